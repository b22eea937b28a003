/**
 * Subscriptions that are delivered at a steady rate, without and with one more of the same channel whose subscriber
 * takes every event and answers none: what the others wait for it. One dispatcher, one stream of events, in turn.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '@knative-kafka/local-cluster';
import type { BenchContext } from './bench.ts';
import { missing, waits, type Arrival, type TimeWindow } from './core/arrivals.ts';
import { atMost, type BenchTable } from './core/bench-table.ts';
import type { Histogram } from './core/histogram.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import { machineMicroseconds } from './io/machine-clock.ts';

const partitions = 6;
const channel = 'hanging';
const others = 4;
/** Events per second, each delivered to all of the others. */
const rate = 200;
/** A dispatcher that starts has to compile first; that is not what is asked here. */
const warmUpMs = 5_000;
const patienceMs = 60_000;

export async function benchHangingSubscriber({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const windowMs = isQuick ? 2_000 : 15_000;
  const { maxInFlight } = world.dispatcherDefaults;
  const backlog = isQuick ? 1_200 : 30_000;
  const topic = await world.channel(channel, partitions);
  step(`hanging subscriber: storing ${figure(backlog)} events for it to hang on`);
  await world.fill(topic, partitions, backlog);
  const subscribers = await Promise.all(Array.from({ length: others }, () => world.subscriber({ hasJournal: true })));
  for (const [index, { port }] of subscribers.entries()) await world.subscription({ name: `other-${index}`, channel, topic, subscriberPort: port, from: 'latest' });
  const hanging = await world.subscriber({ delayMs: 'never' });
  await (await world.dispatcher()).ready();
  const sender = world.sender(topic, rate);
  step('hanging subscriber: warming up');
  await waitFor('the first events', async () => (await Promise.all(subscribers.map((subscriber) => subscriber.arrived()))).every((count) => count > rate), { timeoutMs: patienceMs });
  await delay(isQuick ? 0 : warmUpMs);

  const windowNow = async (): Promise<TimeWindow> => {
    const from = machineMicroseconds();
    await delay(windowMs);
    return { from, to: machineMicroseconds() };
  };
  const without: TimeWindow[] = [];
  const beside: TimeWindow[] = [];
  for (let run = 1; run <= runs; run++) {
    const at = `hanging subscriber: run ${run} of ${runs}`;
    step(`${at}, without it`);
    without.push(await windowNow());

    step(`${at}, beside it`);
    const name = `hanging-${run}`;
    await hanging.reset();
    await world.subscription({ name, channel, topic, subscriberPort: hanging.port, order: 'unordered' });
    await waitFor('events that hang', async () => (await hanging.arrived()) >= maxInFlight, { timeoutMs: patienceMs });
    beside.push(await windowNow());
    const hung = await hanging.arrived();
    if (hung !== maxInFlight) throw new Error(`${hung} events hang at the subscriber that never answers, ${maxInFlight} were to`);
    world.removeSubscription(name);
    await world.groupGone(name, channel);
  }
  step('hanging subscriber: the last events');
  const acceptedAt = await sender.stop();
  const arrivals = await Promise.all(subscribers.map(async (subscriber): Promise<readonly Arrival[]> => {
    await waitFor('the last events', async () => (await subscriber.arrived()) >= acceptedAt.length, { timeoutMs: patienceMs });
    return subscriber.arrivals();
  }));
  const lost = arrivals.reduce((sum, seen) => sum + missing(seen, acceptedAt.length), 0);
  if (lost > 0) throw new Error(`${lost} events never arrived`);

  // The events of all the others together: any of them may be the one that suffers.
  const measured = (windows: readonly TimeWindow[]): Histogram[] => windows.map((window) => waits(arrivals.flat(), acceptedAt, window));
  const [alone, besides] = [measured(without), measured(beside)];
  const quantile = (histograms: readonly Histogram[], of: number): number[] => histograms.map((histogram) => histogram.quantileMs(of));
  const row = (name: string, histograms: readonly Histogram[]): string[] => [
    name,
    ...[0.5, 0.99].map((of) => (histograms === alone ? '–' : spread(ratios(quantile(besides, of), quantile(alone, of))))),
    ...[0.5, 0.99, 0.999].map((of) => figure(median(quantile(histograms, of)))),
  ];
  const figures = (histograms: readonly Histogram[]) => histograms.map((histogram) => ({ p50Ms: histogram.quantileMs(0.5), p99Ms: histogram.quantileMs(0.99), events: histogram.count }));
  return {
    id: 'hanging-subscriber',
    title: 'One subscriber hangs',
    columns: ["wait of the others' events", 'p50 ÷ without', 'p99 ÷ without', 'p50 ms', 'p99 ms', 'p99.9 ms'],
    rows: [row('beside one that hangs', besides), row('without', alone)],
    targets: [atMost(1.2, "p99 of the others' events ÷ the same without it", ratios(quantile(besides, 0.99), quantile(alone, 0.99)))],
    runs,
    figures: { without: figures(alone), beside: figures(besides) },
    notes: [
      `From the moment Kafka has accepted an event to the moment a subscriber has it. ${others} Subscriptions in order, ${rate} events/s for each, over ${windowMs / 1000} s in turn; ${partitions} partitions, one dispatcher all the time.`,
      `The one that hangs is delivered unordered, so that ${maxInFlight} requests of it are under way all the time, and begins with the oldest of ${figure(backlog)} events before, so that its queues are full as well. Its subscriber is a process of its own.`,
    ],
  };
}
