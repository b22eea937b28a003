/**
 * The dispatcher with a subscriber that answers at once, beside its limits: sockets that send the same events from
 * memory with as many in flight as there are partitions, undici that does the same, and the Kafka client alone that
 * reads the same topic. Also with undici in place of its own HTTP client.
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
  const events = isQuick ? 24_000 : 420_000;
  const skip = (2 * events) / 3;
  const counted = events - skip;
  step(`dispatcher: storing ${figure(events)} events`);
  const topic = await world.channel(channel, partitions);
  await world.fill(topic, partitions, events);
  const backlog = { channel, topic, subscriber: await world.subscriber(), skip, events: counted, timeoutMs: patienceMs };

  const measured: Record<'dispatched' | 'by undici' | 'sockets' | 'undici' | 'read', Pace[]> = { 'dispatched': [], 'by undici': [], 'sockets': [], 'undici': [], 'read': [] };
  for (let run = 1; run <= runs; run++) {
    const at = `dispatcher: run ${run} of ${runs}`;
    step(`${at}, bare undici loop`);
    measured.undici.push(await postBacklog(world, backlog, partitions));
    step(`${at}, dispatcher with undici`);
    measured['by undici'].push(await dispatchBacklog(world, backlog, `undici-${run}`, { env: { SUBSCRIBER_CLIENT: 'undici' } }));
    step(`${at}, bare socket loop`);
    measured.sockets.push(await postBacklog(world, backlog, partitions, 'sockets'));
    step(`${at}, dispatcher`);
    measured.dispatched.push(await dispatchBacklog(world, backlog, `fast-${run}`));
    step(`${at}, bare read loop`);
    const reader: ReadLoopOptions = { bootstrap: world.kafka.bootstrap, topic, groupId: `bench-read-${run}`, fetchBytes: world.dispatcherDefaults.fetchBytes, skip, events: counted };
    measured.read.push(pace((await world.runToEnd('read-loop.ts', reader, patienceMs)) as ReadLoopResult));
  }
  const rate = (paces: readonly Pace[]): number[] => paces.map((entry) => entry.eventsPerSecond);
  const cpu = (paces: readonly Pace[]): number[] => paces.map((entry) => entry.cpuMicrosecondsPerEvent);
  const bothLimits = measured.sockets.map((entry, run) => entry.cpuMicrosecondsPerEvent + measured.read[run]!.cpuMicrosecondsPerEvent);
  const row = (name: string, paces: readonly Pace[]): string[] => [
    name,
    paces === measured.sockets ? '–' : spread(ratios(rate(paces), rate(measured.sockets))),
    paces === measured.undici ? '–' : spread(ratios(rate(paces), rate(measured.undici))),
    paces === measured.dispatched || paces === measured['by undici'] ? spread(ratios(cpu(paces), bothLimits)) : '–',
    figure(median(rate(paces))),
    figure(median(cpu(paces))),
  ];
  return {
    id: 'dispatcher',
    title: 'Dispatcher, fast subscriber',
    columns: ['', 'events/s ÷ bare sockets', 'events/s ÷ bare undici', 'CPU per event ÷ sockets and read together', 'events/s', 'CPU µs/event'],
    rows: [
      row(`dispatcher, ordered, ${partitions} partitions`, measured.dispatched),
      row('the same with undici', measured['by undici']),
      row(`bare socket loop, ${partitions} in flight`, measured.sockets),
      row(`bare undici loop, ${partitions} in flight`, measured.undici),
      row('bare read loop', measured.read),
    ],
    targets: [
      atLeast(0.75, `events/s ÷ bare socket loop with ${partitions} in flight`, ratios(rate(measured.dispatched), rate(measured.sockets))),
      atLeast(0.6, `with undici: events/s ÷ bare undici loop with ${partitions} in flight`, ratios(rate(measured['by undici']), rate(measured.undici))),
    ],
    runs,
    figures: measured,
    notes: [
      `A backlog of ${figure(events)} events of 1 KiB, evenly over ${partitions} partitions, delivered by a dispatcher that starts on it; the first ${figure(skip)} of each run do not count (start-up, compilation).`,
      'The bare read loop is the same Kafka client with the same settings, which drops the records.',
    ],
  };
}
