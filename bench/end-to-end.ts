/**
 * How long an event takes from its sender to its subscriber while little is going on: 100 events per second.
 *
 * The limit is what the two protocols cost by themselves, added up: a POST that is answered 202 at once, and a record
 * that one process produces and reads back.
 */
import type { BenchContext } from './bench.ts';
import { atMost, type BenchTable } from './core/bench-table.ts';
import { Histogram } from './core/histogram.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import { load } from './io/load.ts';
import type { FetchProbeOptions, FetchProbeResult } from './processes/fetch-probe.ts';

const partitions = 6;
const channel = 'path';
const rate = 100;
const connections = 10;
const patienceMs = 60_000;

interface Delay {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function benchEndToEnd({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const [warmUpMs, durationMs] = isQuick ? [1_000, 2_000] : [3_000, 15_000];
  const skip = (rate * warmUpMs) / 1000;
  const events = (rate * durationMs) / 1000;
  const topic = await world.channel(channel, partitions);
  const subscriber = await world.subscriber();
  await world.subscription({ name: 'end', channel, topic, subscriberPort: subscriber.port });
  const receiver = await world.receiver();
  await (await world.dispatcher()).ready();
  const bare = await world.bareServer();
  const steady = { connections, rate, warmUpMs, durationMs };

  const path: Delay[] = [];
  const answered: Delay[] = [];
  const post: Delay[] = [];
  const fetched: Delay[] = [];
  const fetchedAfterAck: Delay[] = [];
  for (let run = 1; run <= runs; run++) {
    const at = `end to end: run ${run} of ${runs}`;
    step(`${at}, ${rate} events/s from sender to subscriber`);
    await subscriber.reset();
    const [measured, sent] = await Promise.all([
      subscriber.measure({ skip, events, isStamped: true, watch: [] }, warmUpMs + durationMs + patienceMs),
      load(world, receiver, { ...steady, path: receiver.path(channel), isStamped: true }),
    ]);
    path.push(delayOf(Histogram.from(measured.delays)));
    answered.push(sent);

    step(`${at}, bare POST`);
    post.push(await load(world, bare, { ...steady, path: '/', isStamped: true }));

    step(`${at}, bare fetch`);
    const probeTopic = `bench-fetch-${run}`;
    await world.topic(probeTopic, partitions);
    const probe: FetchProbeOptions = { bootstrap: world.kafka.bootstrap, topic: probeTopic, groupId: probeTopic, fetchBytes: world.dispatcherDefaults.fetchBytes, rate, skip, records: events };
    const { produceToArrival, ackToArrival } = (await world.runToEnd('fetch-probe.ts', probe, warmUpMs + durationMs + patienceMs)) as FetchProbeResult;
    fetched.push(delayOf(Histogram.from(produceToArrival)));
    fetchedAfterAck.push(delayOf(Histogram.from(ackToArrival)));
  }
  const p50 = (delays: readonly Delay[]): number[] => delays.map((entry) => entry.p50Ms);
  const limit = post.map((entry, run) => entry.p50Ms + fetched[run]!.p50Ms);
  const withoutProduce = post.map((entry, run) => entry.p50Ms + fetchedAfterAck[run]!.p50Ms);
  const row = (name: string, ratio: string, delays: readonly Delay[]): string[] => [name, ratio, figure(median(p50(delays))), figure(median(delays.map((entry) => entry.p99Ms)))];
  return {
    id: 'end-to-end',
    title: `End to end, ${rate} events/s`,
    columns: ['', 'p50 ÷ limit', 'p50 ms', 'p99 ms'],
    rows: [
      row('sender to subscriber', spread(ratios(p50(path), limit)), path),
      ['limit: bare POST + bare fetch', '1', figure(median(limit)), '–'],
      ['the same without producing: bare POST + acknowledged to arrived', figure(median(ratios(withoutProduce, limit))), figure(median(withoutProduce)), '–'],
      row('bare POST answered 202', '–', post),
      row('bare fetch: produced to arrived at a consumer', '–', fetched),
      row('bare fetch: acknowledged to arrived', '–', fetchedAfterAck),
      row('sender to its 202', '–', answered),
    ],
    targets: [atMost(3, 'median ÷ (bare POST answered 202 + bare fetch)', ratios(p50(path), limit))],
    runs,
    figures: { path, answered, post, fetched, fetchedAfterAck },
    notes: [
      'Sender, receiver, Kafka, dispatcher and subscriber are processes of one machine and share its monotonic clock, so the delay is one of an event, not half a round trip.',
      'The bare fetch is one process with the Kafka clients of the services: from its produce call to its record handler. The event has to be produced on its way, so the limit includes it; without it the ratio would be ' +
        `${spread(ratios(p50(path), withoutProduce))}.`,
    ],
  };
}

function delayOf(histogram: Histogram): Delay {
  return { p50Ms: histogram.quantileMs(0.5), p99Ms: histogram.quantileMs(0.99) };
}
