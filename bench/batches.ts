/**
 * Events that come in batches (`application/cloudevents-batch+json`) beside the same events one by one: a sender that
 * can wait until it has a hundred saves itself and the receiver a hundred requests.
 */
import type { BenchContext } from './bench.ts';
import { atLeast, type BenchTable } from './core/bench-table.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import { load, type Load } from './io/load.ts';

const partitions = 6;
const channel = 'batches';
const batchOf = 100;
/** Of JSON data in each event: such as sensors send, and 1 KiB as everywhere else. */
const dataSizes = [64, 1024] as const;

export async function benchBatches({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  await world.channel(channel, partitions, true);
  const receiver = await world.receiver();
  const path = receiver.path(channel);
  const window = isQuick ? { path, warmUpMs: 1_000, durationMs: 1_000 } : { path, warmUpMs: 2_000, durationMs: 5_000 };
  const shapes = dataSizes.map((dataBytes) => ({
    dataBytes,
    single: { ...window, connections: 200, dataBytes },
    batch: { ...window, connections: 16, dataBytes, eventsPerRequest: batchOf },
    singles: [] as Load[],
    batches: [] as Load[],
  }));
  for (let run = 1; run <= runs; run++) {
    for (const { dataBytes, single, batch, singles, batches } of shapes) {
      const at = `batches: run ${run} of ${runs}, ${dataBytes} bytes`;
      step(`${at}, one by one`);
      singles.push(await load(world, receiver, single));
      step(`${at}, ${batchOf} at a time`);
      batches.push(await load(world, receiver, batch));
    }
  }
  const rate = (loads: readonly Load[]): number[] => loads.map((entry) => entry.eventsPerSecond);
  const cpu = (loads: readonly Load[]): number[] => loads.map((entry) => entry.cpuMicrosecondsPerEvent);
  const row = (name: string, loads: readonly Load[], singles?: readonly Load[]): string[] => [
    name,
    singles === undefined ? '–' : spread(ratios(rate(loads), rate(singles))),
    singles === undefined ? '–' : spread(ratios(cpu(loads), cpu(singles))),
    figure(median(rate(loads))),
    figure(median(cpu(loads))),
    figure(median(loads.map((entry) => entry.p50Ms))),
  ];
  return {
    id: 'batches',
    title: 'Batches of events',
    columns: ['', 'events/s ÷ one by one', 'CPU per event ÷ one by one', 'events/s', 'CPU µs/event', 'p50 ms of a request'],
    rows: shapes.flatMap(({ dataBytes, singles, batches }) => [row(`${dataBytes} bytes of data, ${batchOf} at a time`, batches, singles), row(`${dataBytes} bytes of data, one by one`, singles)]),
    targets: shapes.map(({ dataBytes, singles, batches }) => atLeast(6, `${dataBytes} bytes of data: events/s in batches of ${batchOf} ÷ one by one`, ratios(rate(batches), rate(singles)))),
    runs,
    figures: Object.fromEntries(shapes.flatMap(({ dataBytes, singles, batches }) => [[`singles, ${dataBytes}`, singles], [`batches, ${dataBytes}`, batches]])),
    notes: [
      `One by one: binary mode over 200 connections. In batches: ${batchOf} events in structured JSON per request, over 16 connections. 1000 keys, ${partitions} partitions; 202 comes when Kafka has acknowledged all of a request.`,
    ],
  };
}
