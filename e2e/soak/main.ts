/** `npm run soak`: how many events, which faults, and where the result goes. `npm run soak -- --help` lists the options. */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkJava, kafkaVersion, runCommandLine, typedPath, type Terminal } from '@knative-kafka/local-cluster';
import { root } from '../local/harness.ts';
import { gracefulDuplicates, soakMarkdown, soakText, withBlock } from './core/soak-report.ts';
import { faultNames, isSafe, type FaultName } from './core/soak-result.ts';
import { runSoak, type SoakOptions } from './soak.ts';

const defaults = { events: 200_000, rate: 300, sessionSeconds: 6, brokers: 3 };
const page = join(root, 'docs', 'SOAK.md');

const usage = `npm run soak -- [options]

Sends events through real processes on a real Kafka while one thing after the other breaks, and accounts for every one.

  --events N       at least so many; ${defaults.events} unless told, which takes about ten minutes
  --rate N         events per second; ${defaults.rate} unless told
  --seed S         chooses who fails and when; a new one each time unless told
  --faults A,B     only these, of: ${faultNames.join(', ')}
  --session N      seconds after which Kafka gives up a dispatcher; ${defaults.sessionSeconds} unless told
  --brokers N      of Kafka, 1 or 3; ${defaults.brokers} unless told. A single one is not killed unless --faults says so
  --client C       consumer client of the dispatchers: auto, platformatic or kafkajs
  --keep-logs      keeps the logs of all processes also when nothing is wrong
  --json FILE      writes all figures to a file
  --write          puts the tables into docs/SOAK.md
  --help

Ends with 1 when an event was lost, came out of order, ended in a wrong place, or was told wrong things about.
`;

interface Options {
  readonly soak: SoakOptions;
  readonly jsonFile: string | undefined;
  readonly isWritten: boolean;
}

process.exitCode = await runCommandLine({ usage, readOptions, run, showsTotalTime: true });

async function run(options: Options, terminal: Terminal): Promise<number> {
  try {
    const machine = await machineText(options.soak.brokers);
    terminal.print(machine);
    const result = await runSoak(options.soak, (text) => terminal.step(text));
    terminal.print(soakText(result, terminal));
    terminal.print(`${gracefulDuplicates(result)} duplicates by dispatchers that came and went in order`);
    if (options.jsonFile !== undefined) await writeFile(options.jsonFile, `${JSON.stringify({ runAt: new Date().toISOString(), machine, ...result }, undefined, 2)}\n`);
    if (options.isWritten) await writeFile(page, withBlock(await readFile(page, 'utf8'), soakMarkdown(result, machine, new Date().toISOString().slice(0, 10))));
    return result.problems.length === 0 ? 0 : 1;
  } catch (error) {
    terminal.print(terminal.red(error instanceof Error ? error.message : String(error)));
    return 1;
  }
}

async function machineText(brokers: number): Promise<string> {
  const java = await checkJava();
  const memoryGib = Math.round(totalmem() / 1024 ** 3);
  return `${cpus().length} cores of ${cpus()[0]?.model.trim() ?? 'unknown'}, ${memoryGib} GiB; Node ${process.versions.node}, Apache Kafka ${kafkaVersion} (${brokers === 1 ? 'one broker' : `${brokers} brokers`}) on Java ${java.ok ? java.version : 'unknown'}`;
}

/** @returns undefined when help was asked for; a sentence when the command line is wrong */
function readOptions(args: readonly string[]): Options | string | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      events: { type: 'string', default: String(defaults.events) },
      rate: { type: 'string', default: String(defaults.rate) },
      seed: { type: 'string', default: String(Date.now() % 100_000) },
      faults: { type: 'string' },
      brokers: { type: 'string', default: String(defaults.brokers) },
      session: { type: 'string', default: String(defaults.sessionSeconds) },
      client: { type: 'string' },
      'keep-logs': { type: 'boolean', default: false },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) return undefined;
  const [events, rate, session] = [Number(values.events), Number(values.rate), Number(values.session)];
  if (!Number.isInteger(events) || events < 1_000) return '--events takes a number from 1000.';
  if (!Number.isInteger(rate) || rate < 10) return '--rate takes a number from 10.';
  if (!(session >= 1)) return '--session takes seconds, from 1.';
  const brokers = Number(values.brokers);
  if (brokers !== 1 && brokers !== 3) return '--brokers takes 1 or 3.';
  const wanted = values.faults?.split(',').map((name) => name.trim());
  const unknown = wanted?.filter((name) => !faultNames.some((known) => known === name)) ?? [];
  if (unknown.length > 0) return `There is no fault named ${unknown.join(', ')}.`;
  return {
    soak: {
      events,
      rate,
      seed: values.seed,
      faults: faultNames.filter((name): name is FaultName => wanted?.includes(name) ?? isSafe(name, brokers)),
      calmEvents: Math.min(2_000, Math.floor(events / 10)),
      quietEvents: Math.min(rate * 3, Math.floor(events / 50)),
      sessionTimeoutMs: session * 1000,
      brokers,
      keepsLogs: values['keep-logs'],
      partitions: 6,
      keys: 200,
      ...(values.client === undefined ? {} : { dispatcherEnv: { CONSUMER_CLIENT: values.client } }),
    },
    jsonFile: values.json === undefined ? undefined : typedPath(values.json),
    isWritten: values.write,
  };
}
