/**
 * From starting the process to the first event accepted, with Kafka up: what a rollout, a crash or a scale-up costs.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchContext } from './bench.ts';
import { atMost, type BenchTable } from './core/bench-table.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import type { RunningServer } from './io/bench-world.ts';
import { postEvent } from './io/post-event.ts';

const partitions = 6;
const channel = 'ingest';
/** A start is short, so that more of them cost little. */
const fewestRuns = 5;
const pauseMs = 2;
const patienceMs = 30_000;

export async function benchStartUp({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  await world.channel(channel, partitions);
  const bare: number[] = [];
  const receiver: number[] = [];
  const total = isQuick ? 2 : Math.max(fewestRuns, runs);
  for (let run = 1; run <= total; run++) {
    step(`start-up: run ${run} of ${total}`);
    bare.push(await timeToAccept(() => world.bareServer(false), () => '/'));
    receiver.push(await timeToAccept(() => world.receiver({ isReadyAwaited: false }), (server) => server.path(channel)));
  }
  return {
    id: 'start-up',
    title: 'Start to first 202',
    columns: ['', 'time ÷ bare', 'ms'],
    rows: [
      ['receiver', spread(ratios(receiver, bare)), figure(median(receiver))],
      ['bare node:http', '–', figure(median(bare))],
    ],
    targets: [atMost(1000, 'receiver, start of the process to its first 202, Kafka up', receiver, 'ms')],
    runs: total,
    figures: { receiver, bare },
    notes: [`A sender that gets no connection, or no 202, tries again ${pauseMs} ms later.`],
  };
}

async function timeToAccept<S extends RunningServer>(start: () => Promise<S>, path: (server: S) => string): Promise<number> {
  const startedAt = performance.now();
  const server = await start();
  while ((await postEvent(server.port, path(server))) !== 202) {
    if (performance.now() - startedAt > patienceMs) throw new Error(`${server.process.name} accepted nothing in ${patienceMs} ms:\n${server.process.output()}`);
    await delay(pauseMs);
  }
  const elapsedMs = performance.now() - startedAt;
  await server.process.stop();
  return elapsedMs;
}
