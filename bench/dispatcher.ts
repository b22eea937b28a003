/**
 * The dispatcher with a subscriber that answers at once, beside its two limits: undici that POSTs from memory with as
 * many in flight as there are partitions, and the Kafka client alone that reads the same topic.
 */
import type { BenchContext } from './bench.ts';
import { atLeast, type BenchTable } from './core/bench-table.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import { dispatchBacklog, pace, postBacklog, type Pace } from './io/backlog.ts';
import type { ReadLoopOptions, ReadLoopResult } from './processes/read-loop.ts';

const partitions = 6;
const channel = 'backlog';
const patienceMs = 180_000;

export async function benchDispatcher({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const events = isQuick ? 12_000 : 120_000;
  const skip = events / 6;
  const counted = events - skip;
  step(`dispatcher: storing ${figure(events)} events`);
  const topic = await world.channel(channel, partitions);
  await world.fill(topic, partitions, events);
  const backlog = { channel, topic, subscriber: await world.subscriber(), skip, events: counted, timeoutMs: patienceMs };

  const dispatched: Pace[] = [];
  const posted: Pace[] = [];
  const read: Pace[] = [];
  for (let run = 1; run <= runs; run++) {
    const at = `dispatcher: run ${run} of ${runs}`;
    step(`${at}, bare undici loop`);
    posted.push(await postBacklog(world, backlog, partitions));
    step(`${at}, dispatcher`);
    dispatched.push(await dispatchBacklog(world, backlog, `fast-${run}`));
    step(`${at}, bare read loop`);
    const reader: ReadLoopOptions = { bootstrap: world.kafka.bootstrap, topic, groupId: `bench-read-${run}`, fetchBytes: world.dispatcherDefaults.fetchBytes, skip, events: counted };
    read.push(pace((await world.runToEnd('read-loop.ts', reader, patienceMs)) as ReadLoopResult));
  }
  const rate = (paces: readonly Pace[]): number[] => paces.map((entry) => entry.eventsPerSecond);
  const cpu = (paces: readonly Pace[]): number[] => paces.map((entry) => entry.cpuMicrosecondsPerEvent);
  const bothLimits = posted.map((entry, run) => entry.cpuMicrosecondsPerEvent + read[run]!.cpuMicrosecondsPerEvent);
  const row = (name: string, paces: readonly Pace[]): string[] => [
    name,
    paces === posted ? '–' : spread(ratios(rate(paces), rate(posted))),
    paces === read ? '–' : spread(ratios(rate(paces), rate(read))),
    paces === dispatched ? spread(ratios(cpu(paces), bothLimits)) : '–',
    figure(median(rate(paces))),
    figure(median(cpu(paces))),
  ];
  return {
    id: 'dispatcher',
    title: 'Dispatcher, fast subscriber',
    columns: ['', 'events/s ÷ bare undici', 'events/s ÷ bare read', 'CPU per event ÷ both limits together', 'events/s', 'CPU µs/event'],
    rows: [row(`dispatcher, ordered, ${partitions} partitions`, dispatched), row(`bare undici loop, ${partitions} in flight`, posted), row('bare read loop', read)],
    targets: [atLeast(0.6, `events/s ÷ bare undici loop with ${partitions} in flight`, ratios(rate(dispatched), rate(posted)))],
    runs,
    figures: { dispatched, posted, read },
    notes: [
      `A backlog of ${figure(events)} events of 1 KiB, evenly over ${partitions} partitions, delivered by a dispatcher that starts on it; the first ${figure(skip)} of each run do not count (start-up, compilation).`,
      'The bare read loop is the same Kafka client with the same settings, which drops the records.',
    ],
  };
}
