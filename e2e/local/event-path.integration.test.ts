/**
 * What 202 promises: every acknowledged event reaches every subscriber at least once, in order per key, while
 * dispatchers join, leave and die.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { metric, patienceMs, sendEvents, World, type Service, type Subscriber } from './harness.ts';

const events = 20_000;
const partitions = 6;

describe('two receivers, two dispatchers, two subscribers', () => {
  let world: World;
  let first: Subscriber;
  let second: Subscriber;

  beforeAll(async () => {
    world = await World.start();
    await world.channel('orders', partitions);
    first = await world.subscriber();
    second = await world.subscriber();
    world.subscription('first', 'orders', first.uri);
    world.subscription('second', 'orders', second.uri);
  });
  afterAll(() => world.stop());

  it('delivers every acknowledged event to each subscriber, in order per key, while dispatchers join, leave and are killed', async () => {
    const [one, two] = await Promise.all([world.receiver(), world.receiver()]);
    const changes: { readonly what: string; readonly duplicatesBefore: number }[] = [];
    const change = (what: string): void => { changes.push({ what, duplicatesBefore: first.duplicates + second.duplicates }); };
    const delivered = (count: number) =>
      waitFor(`${count} deliveries to both`, () => first.accepted.length >= count && second.accepted.length >= count, { timeoutMs: patienceMs });

    let dispatcher = await world.dispatcher();
    const sending = sendEvents({ urls: [one.url('orders'), two.url('orders')], count: events, keys: 50 });

    await delivered(events * 0.1);
    change('second joins');
    let other: Service = await world.dispatcher();
    await delivered(events * 0.25);
    change('first leaves (SIGTERM)');
    expect(await dispatcher.process.stop()).toEqual({ code: 0, signal: null });
    await delivered(events * 0.4);
    change('third joins');
    dispatcher = await world.dispatcher();
    await delivered(events * 0.5);
    change('second is killed (SIGKILL)');
    other.process.signal('SIGKILL');
    await other.process.exited;
    await delivered(events * 0.7);
    change('fourth joins');
    other = await world.dispatcher();

    const { acknowledged } = await sending;
    expect(acknowledged.size).toBe(events);
    await Promise.all([first.untilAccepted(acknowledged), second.untilAccepted(acknowledged)]);
    expect(first.orderBreaks()).toEqual([]);
    expect(second.orderBreaks()).toEqual([]);

    // Duplicates come from what was in flight when partitions moved, and after SIGKILL from what was settled since the
    // last commit (100 ms before) besides. Ordered delivery has at most one event in flight per partition and group.
    const steps = changes.map(({ what, duplicatesBefore }, index) => `${what}: ${(changes[index + 1]?.duplicatesBefore ?? first.duplicates + second.duplicates) - duplicatesBefore}`);
    console.log(`duplicates by change: ${steps.join(', ')}`);
    const planned = changes.filter(({ what }) => !what.includes('SIGKILL')).length;
    const settledInCommitInterval = 3_000;
    expect(first.duplicates + second.duplicates).toBeLessThanOrEqual(planned * partitions * 2 * 2 + settledInCommitInterval);
    const counted = (await metric(dispatcher, 'knative_kafka_dispatch_events_total', { outcome: 'dropped' })) + (await metric(other, 'knative_kafka_dispatch_events_total', { outcome: 'dropped' }));
    expect(counted).toBe(0);
  });
});
