/**
 * A subscriber that takes its time for each event, and a backlog: what may be under way at once, divided by that time,
 * is all there can be, and none of it may be lost by one event holding up another that need not wait for it.
 */
import type { DeliveryOrder } from '@knative-kafka/common/core';
import type { BenchContext } from './bench.ts';
import { atLeast, type BenchTable, type Target } from './core/bench-table.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import { dispatchBacklog, postBacklog, type Pace } from './io/backlog.ts';
import type { Subscriber } from './io/bench-world.ts';

interface Case {
  readonly delayMs: number;
  readonly order: DeliveryOrder;
  readonly partitions: number;
}

/** Promised is the share of the ideal where the delay leaves the machine time for everything else. */
const promisedDelayMs = 100;
/** Beside the time that counts: to start and join. */
const patienceMs = 60_000;

const cases: readonly Case[] = [
  { delayMs: 100, order: 'ordered', partitions: 6 },
  { delayMs: 100, order: 'ordered', partitions: 24 },
  { delayMs: 100, order: 'key-ordered', partitions: 6 },
  { delayMs: 100, order: 'unordered', partitions: 6 },
  { delayMs: 10, order: 'ordered', partitions: 6 },
  { delayMs: 10, order: 'key-ordered', partitions: 6 },
  { delayMs: 10, order: 'unordered', partitions: 6 },
];

export async function benchSlowSubscriber({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const { maxInFlight } = world.dispatcherDefaults;
  const inFlight = ({ order, partitions }: Case): number => (order === 'ordered' ? partitions : maxInFlight);
  const ideal = (given: Case): number => (inFlight(given) * 1000) / given.delayMs;
  const seconds = ({ delayMs }: Case): number => (isQuick ? 2 : delayMs === promisedDelayMs ? 11 : 5);
  // A second, until everything that can be under way is, and compiled where the rate is high.
  const skip = ideal;
  // By count, not by time: events come in bursts, and a time would cut one off.
  const counted = (given: Case): number => ideal(given) * seconds(given);

  const topics = new Map<number, string>();
  for (const partitions of new Set(cases.map((entry) => entry.partitions))) {
    const needed = Math.max(...cases.filter((entry) => entry.partitions === partitions).map((entry) => skip(entry) + counted(entry)));
    const backlog = Math.ceil(needed * 1.5); // so that no partition ends before the others
    step(`slow subscriber: storing ${figure(backlog)} events in ${partitions} partitions`);
    topics.set(partitions, await world.channel(channelOf(partitions), partitions));
    await world.fill(topics.get(partitions)!, partitions, backlog);
  }
  const subscribers = new Map<number, Subscriber>();
  for (const delayMs of new Set(cases.map((entry) => entry.delayMs))) subscribers.set(delayMs, await world.subscriber({ delayMs }));

  const rows: string[][] = [];
  const targets: Target[] = [];
  const figures: Record<string, readonly number[]> = {};
  for (const entry of cases) {
    const { delayMs, order, partitions } = entry;
    const name = `${order}, ${partitions} partitions, ${delayMs} ms`;
    const backlog = {
      channel: channelOf(partitions), topic: topics.get(partitions)!, subscriber: subscribers.get(delayMs)!,
      skip: skip(entry), events: counted(entry), timeoutMs: seconds(entry) * 1000 + patienceMs,
    };
    const dispatched: Pace[] = [];
    const posted: Pace[] = [];
    for (let run = 1; run <= runs; run++) {
      const at = `slow subscriber: ${name}, run ${run} of ${runs}`;
      step(`${at}, bare undici loop`);
      posted.push(await postBacklog(world, backlog, inFlight(entry)));
      step(`${at}, dispatcher`);
      dispatched.push(await dispatchBacklog(world, backlog, `${order}-${partitions}-${delayMs}-${run}`, { order }));
    }
    const rate = (paces: readonly Pace[]): number[] => paces.map((pace) => pace.eventsPerSecond);
    const cpu = (paces: readonly Pace[]): string => figure(median(paces.map((pace) => pace.cpuMicrosecondsPerEvent)));
    const ofIdeal = (paces: readonly Pace[]): number[] => rate(paces).map((value) => value / ideal(entry));
    figures[name] = rate(dispatched);
    figures[`bare, ${name}`] = rate(posted);
    rows.push(
      [`dispatcher, ${name}`, spread(ofIdeal(dispatched)), spread(ratios(rate(dispatched), rate(posted))), figure(median(rate(dispatched))), cpu(dispatched)],
      [`bare undici loop, ${inFlight(entry)} in flight, ${delayMs} ms`, spread(ofIdeal(posted)), '–', figure(median(rate(posted))), cpu(posted)],
    );
    if (delayMs === promisedDelayMs) targets.push(atLeast(0.95, `${order}: events/s ÷ (${inFlight(entry)} ${order === 'ordered' ? 'partitions' : 'in flight'} × ${1000 / delayMs}/s)`, ofIdeal(dispatched)));
  }
  return {
    id: 'slow-subscriber',
    title: 'Dispatcher, slow subscriber',
    columns: ['', 'events/s ÷ (in flight × 1 s ÷ delay)', 'events/s ÷ bare undici', 'events/s', 'CPU µs/event'],
    rows,
    targets,
    runs,
    figures,
    notes: [
      `In flight: as many as there are partitions where delivery is ordered, else ${maxInFlight}, the default of MAX_IN_FLIGHT; each partition has 500 keys in turn.`,
      'The delay is a timer of the subscriber, which fires up to a millisecond late: a tenth of 10 ms. So those are promised nothing beside the bare undici loop, which waits for the same timer.',
    ],
  };
}

function channelOf(partitions: number): string {
  return `slow-${partitions}`;
}
