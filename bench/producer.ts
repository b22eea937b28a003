/**
 * The receiver beside Kafka's own producer: how much of what a Java client stores in this Kafka from memory arrives
 * there by way of HTTP.
 */
import { runKafkaTool } from '@knative-kafka/local-cluster';
import type { BenchContext } from './bench.ts';
import type { BenchTable } from './core/bench-table.ts';
import { eventBytes } from './core/bench-event.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import type { BenchWorld } from './io/bench-world.ts';
import { load } from './io/load.ts';

const partitions = 6;
const channel = 'produced';
const connections = 200;
const lingers = [0, 5] as const;

interface Produced {
  readonly eventsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

export async function benchProducer({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const topic = await world.channel(channel, partitions, true);
  const receiver = await world.receiver();
  const window = { connections, path: receiver.path(channel), warmUpMs: isQuick ? 1_000 : 2_000, durationMs: isQuick ? 1_000 : 5_000 };
  const records = isQuick ? 50_000 : 400_000;

  const ours: Produced[] = [];
  const java = new Map<number, Produced[]>(lingers.map((linger) => [linger, []]));
  for (let run = 1; run <= runs; run++) {
    const at = `producer: run ${run} of ${runs}`;
    step(`${at}, receiver with ${connections} connections`);
    ours.push(await load(world, receiver, window));
    for (const linger of lingers) {
      step(`${at}, producer-perf-test with linger ${linger} ms`);
      java.get(linger)!.push(await producerPerformance(world, topic, records, linger));
    }
  }
  const rate = (runsOf: readonly Produced[]): number[] => runsOf.map((entry) => entry.eventsPerSecond);
  const row = (name: string, runsOf: readonly Produced[], ratio: string): string[] => [
    name,
    ratio,
    figure(median(rate(runsOf))),
    figure(median(runsOf.map((entry) => entry.p50Ms))),
    figure(median(runsOf.map((entry) => entry.p99Ms))),
    figure(median(runsOf.map((entry) => entry.p999Ms))),
  ];
  return {
    id: 'producer',
    title: "Receiver beside Kafka's own producer",
    columns: ['', "receiver's rate ÷ this", 'events/s', 'p50 ms', 'p99 ms', 'p99.9 ms'],
    rows: [
      row(`receiver, ${connections} connections`, ours, '1'),
      ...lingers.map((linger) => row(`producer-perf-test, acks=all, linger ${linger} ms`, java.get(linger)!, spread(ratios(rate(ours), rate(java.get(linger)!))))),
    ],
    targets: [],
    runs,
    figures: { receiver: ours, ...Object.fromEntries([...java].map(([linger, produced]) => [`linger${linger}`, produced])) },
    notes: [
      'producer-perf-test makes its records in its own memory and has as many under way as its 32 MiB buffer takes, hence its latencies; the receiver gets each event over a connection and has at most one per connection under way.',
    ],
  };
}

async function producerPerformance(world: BenchWorld, topic: string, records: number, lingerMs: number): Promise<Produced> {
  const { stdout } = await runKafkaTool('org.apache.kafka.tools.ProducerPerformance', [
    '--bootstrap-server', world.kafka.bootstrap, '--topic', topic, '--num-records', String(records), '--record-size', String(eventBytes),
    '--throughput', '-1', '--warmup-records', String(records / 5), '--command-property', 'acks=all', `linger.ms=${lingerMs}`,
  ]);
  return readSummary(stdout);
}

/** The last line: `400000 records sent, 71000.0 records/sec (69.3 MB/sec), 90.1 ms avg latency, ..., 88 ms 50th, ...`. */
function readSummary(output: string): Produced {
  const line = output.trim().split('\n').findLast((candidate) => candidate.includes('50th')) ?? '';
  const number = (pattern: RegExp): number => {
    const found = pattern.exec(line)?.[1];
    if (found === undefined) throw new Error(`producer-perf-test printed something else than before:\n${output}`);
    return Number(found);
  };
  return {
    eventsPerSecond: number(/([\d.]+) records\/sec/),
    p50Ms: number(/([\d.]+) ms 50th/),
    p99Ms: number(/([\d.]+) ms 99th/),
    p999Ms: number(/([\d.]+) ms 99\.9th/),
  };
}
