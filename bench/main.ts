/** `npm run bench`: which benches, how long, and where the tables go. `npm run bench -- --help` lists the options. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCommandLine, typedPath, type Terminal } from '@knative-kafka/local-cluster';
import type { Bench } from './bench.ts';
import { tableMarkdown, tableText, type BenchTable } from './core/bench-table.ts';
import { replaceBlocks } from './core/performance-page.ts';
import { benchBatches } from './batches.ts';
import { benchControlPlane } from './control-plane.ts';
import { benchDispatcher } from './dispatcher.ts';
import { benchEndToEnd } from './end-to-end.ts';
import { benchHangingSubscriber } from './hanging-subscriber.ts';
import { BenchWorld, root } from './io/bench-world.ts';
import { describeMachine, machineText, type Machine } from './io/machine.ts';
import { benchLightLoad } from './light-load.ts';
import { benchMemory } from './memory.ts';
import { benchPlacement } from './placement.ts';
import { benchProducer } from './producer.ts';
import { benchProfile } from './profile.ts';
import { benchRateLimit } from './rate-limit.ts';
import { benchReceiver } from './receiver.ts';
import { benchRestarts } from './restarts.ts';
import { benchSlowSubscriber } from './slow-subscriber.ts';
import { benchStartUp } from './start-up.ts';
import { benchSubscriptions } from './subscriptions.ts';

/** In the order of the page. */
const benches: Readonly<Record<string, Bench>> = {
  receiver: benchReceiver,
  'light-load': benchLightLoad,
  batches: benchBatches,
  producer: benchProducer,
  dispatcher: benchDispatcher,
  'slow-subscriber': benchSlowSubscriber,
  'hanging-subscriber': benchHangingSubscriber,
  restarts: benchRestarts,
  'end-to-end': benchEndToEnd,
  memory: benchMemory,
  subscriptions: benchSubscriptions,
  'start-up': benchStartUp,
  'control-plane': benchControlPlane,
  placement: benchPlacement,
  'rate-limit': benchRateLimit,
};
const benchNames = Object.keys(benches);
/** What a profile can explain. */
const profiled = ['receiver', 'dispatcher'];
const page = join(root, 'docs', 'PERFORMANCE.md');
const fullRuns = 3;

const usage = `npm run bench -- [NAME ...] [options]

Measures Knative Kafka on this machine, each figure beside its limit in the same run, and prints tables.

  NAME         ${benchNames.join(', ')}; all of them when none is given

  --quick      a smoke run of a few minutes, whose figures mean little
  --runs N     how often each pair is measured, ${fullRuns} unless told
  --profile    also where the receiver and the dispatcher spend their time; comes by itself when a full run
               misses one of their targets
  --write      put the tables into docs/PERFORMANCE.md; a full run does so unless told --no-write
  --json FILE  write figures, targets and the machine's description to a file
  --help
`;

interface Options {
  readonly names: readonly string[];
  readonly isQuick: boolean;
  readonly runs: number;
  readonly hasProfile: boolean;
  readonly isWritten: boolean;
  readonly jsonFile: string | undefined;
}

process.exitCode = await runCommandLine({ usage, readOptions, run: measure });

async function measure(options: Options, terminal: Terminal): Promise<number> {
  if (!existsSync('/proc/self/stat')) {
    process.stderr.write('The bench reads CPU time and memory of processes from /proc, which only Linux has.\n');
    return 1;
  }
  const machine = await describeMachine();
  terminal.print(machineText(machine));
  const tables: BenchTable[] = [];
  const failed: string[] = [];
  const world = await BenchWorld.start((text) => terminal.step(text));
  const runBench = async (name: string, bench: Bench): Promise<void> => {
    try {
      const table = await bench({ world, runs: options.runs, isQuick: options.isQuick, step: (text) => terminal.step(text) });
      tables.push(table);
      terminal.print(tableText(table, terminal));
    } catch (error) {
      failed.push(name);
      terminal.print(terminal.red(`\n${name} failed: ${error instanceof Error ? error.message : String(error)}`));
    } finally {
      terminal.step(`${name}: ending its processes`);
      await world.clear();
    }
  };
  try {
    for (const name of options.names) await runBench(name, benches[name]!);
    const isMissed = tables.some((table) => profiled.includes(table.id) && table.targets.some((target) => !target.isMet));
    if (options.hasProfile || (options.isWritten && isMissed)) await runBench('profile', benchProfile);
  } finally {
    terminal.step('Apache Kafka: stopping');
    await world.stop();
  }
  if (options.jsonFile !== undefined) await writeFile(options.jsonFile, `${JSON.stringify({ measuredAt: new Date().toISOString(), isQuick: options.isQuick, machine, tables, failed }, undefined, 2)}\n`);
  if (options.isWritten) await writePage(tables, machine, terminal);
  const targets = tables.flatMap((table) => table.targets);
  terminal.print(`\n${targets.filter((target) => target.isMet).length} of ${targets.length} targets met${failed.length > 0 ? `; failed: ${failed.join(', ')}` : ''}`);
  return failed.length === 0 ? 0 : 1;
}

async function writePage(tables: readonly BenchTable[], machine: Machine, terminal: Terminal): Promise<void> {
  const today = new Date().toISOString().slice(0, 10);
  const blocks = new Map<string, string>([['machine', `${machineText(machine)}.`]]);
  for (const table of tables) blocks.set(table.id, tableMarkdown(table, today));
  const replaced = replaceBlocks(await readFile(page, 'utf8'), blocks);
  await writeFile(page, replaced.page);
  terminal.print(`\nWritten to docs/PERFORMANCE.md: ${[...blocks.keys()].filter((name) => !replaced.missing.includes(name)).join(', ')}`);
  if (replaced.missing.length > 0) terminal.print(terminal.red(`The page has no markers for ${replaced.missing.join(', ')}`));
}

/** @returns undefined when help was asked for; a sentence when the command line is wrong */
function readOptions(args: readonly string[]): Options | string | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    allowNegative: true,
    options: {
      quick: { type: 'boolean' },
      runs: { type: 'string' },
      profile: { type: 'boolean' },
      write: { type: 'boolean' },
      json: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) return undefined;
  const unknown = positionals.filter((name) => !benchNames.includes(name));
  if (unknown.length > 0) return `There is no bench named ${unknown.join(', ')}.`;
  const isQuick = values.quick ?? false;
  if (isQuick && values.write === true) return 'The figures of a quick run are not for the page.';
  const runs = values.runs === undefined ? (isQuick ? 1 : fullRuns) : Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) return '--runs takes a number from 1.';
  const isFull = positionals.length === 0 && !isQuick;
  return {
    names: benchNames.filter((name) => positionals.length === 0 || positionals.includes(name)),
    isQuick,
    runs,
    hasProfile: values.profile ?? false,
    isWritten: values.write ?? isFull,
    jsonFile: values.json === undefined ? undefined : typedPath(values.json),
  };
}
