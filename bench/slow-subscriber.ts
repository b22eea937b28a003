/**
 * A subscriber that takes 100 ms for each event, ordered delivery, a backlog: one partition has at most one event under
 * way, so partitions × 10 per second is all there can be, and none of it may be lost by one partition holding up another.
 */
import type { BenchContext } from './bench.ts';
import { atLeast, type BenchTable, type Target } from './core/bench-table.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import type { PostLoopOptions } from './processes/post-loop.ts';
import type { MeasureResult } from './processes/subscriber.ts';

const delayMs = 100;
const perPartition = 1000 / delayMs;
/** Beside the time that counts: to start and join. */
const patienceMs = 60_000;

export async function benchSlowSubscriber({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const seconds = isQuick ? 2 : 11;
  const rows: string[][] = [];
  const targets: Target[] = [];
  const figures: Record<string, readonly number[]> = {};
  for (const partitions of [6, 24]) {
    const channel = `slow-${partitions}`;
    const topic = await world.channel(channel, partitions);
    const ideal = partitions * perPartition;
    const backlog = ideal * seconds * 2;
    await world.fill(topic, partitions, backlog);
    const subscriber = await world.subscriber(delayMs);
    // Every lane is busy once each partition has had its first answers.
    const skip = partitions * 5;
    // By count, not by time: events come in bursts of one per partition, and a time would cut one off.
    const counted = { skip, events: ideal * seconds, watch: [] };
    const timeoutMs = seconds * 1000 + patienceMs;
    const rate = ({ events, elapsedMs }: MeasureResult): number => (events / elapsedMs) * 1000;

    const dispatched: number[] = [];
    const posted: number[] = [];
    for (let run = 1; run <= runs; run++) {
      const at = `slow subscriber: ${partitions} partitions, run ${run} of ${runs}`;
      step(`${at}, bare undici loop`);
      await subscriber.reset();
      const loop: PostLoopOptions = { port: subscriber.port, inFlight: partitions, events: backlog };
      const poster = world.start('post-loop.ts', loop);
      posted.push(rate(await subscriber.measure(counted, timeoutMs)));
      await poster.stop();

      step(`${at}, dispatcher`);
      await subscriber.reset();
      const name = `slow-${partitions}-${run}`;
      await world.subscription(name, channel, topic, subscriber.port);
      const dispatcher = await world.dispatcher();
      dispatched.push(rate(await subscriber.measure(counted, timeoutMs)));
      await dispatcher.stop();
      world.removeSubscription(name);
    }
    figures[`dispatcher${partitions}`] = dispatched;
    figures[`bare${partitions}`] = posted;
    const ofIdeal = (rates: readonly number[]): number[] => rates.map((value) => value / ideal);
    rows.push(
      [`dispatcher, ordered, ${partitions} partitions`, spread(ofIdeal(dispatched)), spread(ratios(dispatched, posted)), figure(median(dispatched))],
      [`bare undici loop, ${partitions} in flight`, spread(ofIdeal(posted)), '–', figure(median(posted))],
    );
    targets.push(atLeast(0.95, `events/s ÷ (${partitions} partitions × ${perPartition}/s)`, ofIdeal(dispatched)));
  }
  return {
    id: 'slow-subscriber',
    title: `Dispatcher, subscriber that takes ${delayMs} ms`,
    columns: ['', `events/s ÷ (partitions × ${perPartition}/s)`, 'events/s ÷ bare undici', 'events/s'],
    rows,
    targets,
    runs,
    figures,
    notes: [`Over ${seconds} s or longer, once every partition is being delivered.`],
  };
}
