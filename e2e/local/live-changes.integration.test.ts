/**
 * Things change while everything runs: Subscriptions come, move and go, manifests break, subscribers fail, hang and
 * recover, Kafka stands still. Each costs what it must and nothing else.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { logged, metric, patienceMs, sendEvents, World, type Receiver, type SendOptions, type SendResult, type Service, type Subscriber } from './harness.ts';

const dispatched = 'knative_kafka_dispatch_events_total';

describe('while everything runs', () => {
  let world: World;
  let receiver: Receiver;
  let dispatcher: Service;

  beforeAll(async () => {
    world = await World.start();
    await world.channel('first', 1); // a dispatcher without any channel would be ready as well
    world.subscription('first', 'first', (await world.subscriber()).uri);
    [receiver, dispatcher] = await Promise.all([world.receiver(), world.dispatcher()]);
  });
  afterAll(() => world.stop());

  const send = (channel: string, count: number, options: Partial<SendOptions> = {}): Promise<SendResult> =>
    sendEvents({ urls: [receiver.url(channel)], count, keys: 6, ...options });
  /** Until the receiver knows the channel: senders get 404 before. */
  const untilKnown = async (channel: string): Promise<void> => {
    await waitFor(`channel ${channel} known`, async () => (await fetch(receiver.url(channel), { method: 'POST' })).status === 400, { timeoutMs: patienceMs });
  };
  const untilJoined = (subscription: string): Promise<unknown> => logged(dispatcher, { message: 'partitions assigned', subscription });
  /** Adds a channel with one Subscription of the same name, and waits until both are in use. */
  const added = async (name: string, subscriber: Subscriber, { partitions = 3, delivery }: { readonly partitions?: number; readonly delivery?: object } = {}): Promise<void> => {
    await world.channel(name, partitions);
    world.subscription(name, name, subscriber.uri, delivery);
    await Promise.all([untilKnown(name), untilJoined(name)]);
  };

  describe('Subscriptions', () => {
    it('that are added get every event accepted from then on, and none from before', async () => {
      const old = await world.subscriber();
      const young = await world.subscriber();
      await added('added', old);
      const before = await send('added', 200, { keyPrefix: 'before' });
      const ready = new AbortController();
      const during = send('added', 100_000, { keyPrefix: 'during', pauseMs: 2, signal: ready.signal });
      world.subscription('young', 'added', young.uri);
      await untilJoined('young');
      ready.abort();
      const after = await send('added', 200, { keyPrefix: 'after' });
      await young.untilAccepted(after.acknowledged);
      await old.untilAccepted(new Set([...before.acknowledged, ...(await during).acknowledged, ...after.acknowledged]));
      expect(young.accepted.filter(({ id }) => before.acknowledged.has(id))).toEqual([]);
      expect(young.duplicates + old.duplicates).toBe(0);
      expect(old.orderBreaks()).toEqual([]);
    });

    it('that move take their events along at once, without leaving the consumer group', async () => {
      const here = await world.subscriber();
      const there = await world.subscriber();
      await added('moved', here);
      const rebalances = await metric(dispatcher, 'knative_kafka_consumer_rebalances_total', { subscription: 'moved' });
      const done = new AbortController();
      const sending = send('moved', 100_000, { pauseMs: 2, signal: done.signal });
      await waitFor('deliveries here', () => here.accepted.length > 100, { timeoutMs: patienceMs });
      world.subscription('moved', 'moved', there.uri);
      await waitFor('deliveries there', () => there.accepted.length > 100, { timeoutMs: patienceMs });
      const leftBehind = here.received.length;
      done.abort();
      const { acknowledged } = await sending;
      await waitFor('delivery of all', () => here.accepted.length + there.accepted.length >= acknowledged.size, { timeoutMs: patienceMs });
      const delivered = [...here.accepted, ...there.accepted].map(({ id }) => id);
      expect(delivered.sort()).toEqual([...acknowledged].sort()); // each once, here or there
      expect(here.received).toHaveLength(leftBehind);
      expect(await metric(dispatcher, 'knative_kafka_consumer_rebalances_total', { subscription: 'moved' })).toBe(rebalances);
    });

    it('that are removed get nothing more, and nobody else notices', async () => {
      const staying = await world.subscriber();
      const leaving = await world.subscriber();
      await added('removed', staying);
      world.subscription('leaving', 'removed', leaving.uri);
      await untilJoined('leaving');
      const first = await send('removed', 60, { keyPrefix: 'first' });
      await Promise.all([staying.untilAccepted(first.acknowledged), leaving.untilAccepted(first.acknowledged)]);
      world.remove('subscription-leaving.yaml');
      await waitFor('its consumer group gone', async () => !(await (await fetch(`http://127.0.0.1:${dispatcher.metricsPort}/metrics`)).text()).includes('subscription="leaving"'), { timeoutMs: patienceMs });
      const second = await send('removed', 60, { keyPrefix: 'second' });
      await staying.untilAccepted(second.acknowledged);
      expect(leaving.received).toHaveLength(60);
      expect(staying.duplicates).toBe(0);
    });
  });

  describe('a manifest with a mistake', () => {
    it('is reported with file, document and field, and stops nothing, not even what it said before', async () => {
      const subscriber = await world.subscriber();
      const other = await world.subscriber();
      await added('mistaken', subscriber);
      const subscription = (name: string, uri: string, more = ''): string => `apiVersion: messaging.knative.dev/v1
kind: Subscription
metadata: { name: ${name}, namespace: default }
spec:
  channel: { apiVersion: messaging.knative.dev/v1, kind: KafkaChannel, name: mistaken }
  subscriber: { uri: "${uri}" }
${more}`;
      // The first document is good, the second one was good and is not any more.
      world.write('subscription-mistaken.yaml', `${subscription('beside', other.uri)}\n---\n${subscription('mistaken', subscriber.uri, '  delivery: { retry: often }')}`);
      const problem = { message: 'manifest has a mistake', file: 'subscription-mistaken.yaml', document: 2, field: 'spec.delivery.retry' };
      expect((await logged(dispatcher, problem))['problem']).toContain('often');
      await Promise.all([logged(receiver, problem), untilJoined('beside')]);
      world.write('no-yaml.yaml', 'kind: [');
      await logged(dispatcher, { message: 'manifest has a mistake', file: 'no-yaml.yaml', document: 1 });

      const { acknowledged } = await send('mistaken', 60);
      await Promise.all([subscriber.untilAccepted(acknowledged), other.untilAccepted(acknowledged)]);
      world.remove('no-yaml.yaml');
    });
  });

  describe('a subscriber', () => {
    it('that fails and recovers gets every event, in order', async () => {
      const subscriber = await world.subscriber({ answer: () => 503 });
      await added('recovering', subscriber, { delivery: { retry: 100, backoffPolicy: 'linear', backoffDelay: 'PT0.02S' } });
      const { acknowledged } = await send('recovering', 120);
      await waitFor('three attempts of one event', () => subscriber.received.length >= 9, { timeoutMs: patienceMs });
      expect(new Set(subscriber.received.map(({ id }) => id)).size).toBeLessThanOrEqual(3); // one per partition: the others wait
      subscriber.answer = () => 200;
      await subscriber.untilAccepted(acknowledged);
      expect(subscriber.orderBreaks()).toEqual([]);
      expect(subscriber.duplicates).toBe(0);
      expect(await metric(dispatcher, 'knative_kafka_dispatch_retries_total', { subscription: 'recovering', reason: 'status-503' })).toBe(subscriber.received.length - acknowledged.size);
      await Promise.all([logged(dispatcher, { message: 'delivery starts failing', subscription: 'recovering' }), logged(dispatcher, { message: 'delivery has recovered', subscription: 'recovering' })]);
    });

    it('that fails for good loses the events whose retries are used up, counted, and gets those after them', async () => {
      const isBad = (id: string): boolean => Number(id.split('-')[1]) % 10 === 3;
      const subscriber = await world.subscriber({ answer: ({ id }) => (isBad(id) ? 500 : 200) });
      await added('dropping', subscriber, { delivery: { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' } });
      const { acknowledged } = await send('dropping', 120);
      const bad = [...acknowledged].filter(isBad);
      await subscriber.untilAccepted(new Set([...acknowledged].filter((id) => !isBad(id))));
      await waitFor('the last of them dropped', async () => (await metric(dispatcher, dispatched, { subscription: 'dropping', outcome: 'dropped', reason: 'status-500' })) === bad.length, { timeoutMs: patienceMs });
      for (const id of bad) expect(subscriber.received.filter((event) => event.id === id)).toHaveLength(3);
      expect(await metric(dispatcher, dispatched, { subscription: 'dropping', outcome: 'delivered' })).toBe(acknowledged.size - bad.length);
    });

    it('that says no for good is not asked again', async () => {
      const subscriber = await world.subscriber({ answer: ({ id }) => (id.endsWith('-0') ? 400 : 200) });
      await added('refusing', subscriber);
      const { acknowledged } = await send('refusing', 60);
      await subscriber.untilAccepted(new Set([...acknowledged].filter((id) => !id.endsWith('-0'))));
      await waitFor('all of them dropped', async () => (await metric(dispatcher, dispatched, { subscription: 'refusing', outcome: 'dropped', reason: 'status-400' })) === 6, { timeoutMs: patienceMs });
      expect(subscriber.received).toHaveLength(60);
    });

    it('that hangs holds up nobody else', async () => {
      const hanging = await world.subscriber({ answer: () => new Promise<number>(() => undefined) });
      const quick = await world.subscriber();
      await added('hanging', hanging);
      world.subscription('quick', 'hanging', quick.uri);
      await untilJoined('quick');
      const { acknowledged } = await send('hanging', 1_200);
      await quick.untilAccepted(acknowledged);
      expect(quick.orderBreaks()).toEqual([]);
      expect(hanging.received.length).toBeLessThanOrEqual(3); // one per partition
      world.remove('subscription-hanging.yaml');
    });
  });

  it('a Kafka that stands still makes the receiver refuse early, stay small, and go on afterwards', async () => {
    const subscriber = await world.subscriber();
    await added('overloaded', subscriber);
    const limited = await world.receiver({ env: { QUEUE_LIMIT: '256KiB', KAFKA_REQUEST_TIMEOUT: '3s' } });
    const held = (): Promise<number> => metric(limited, 'knative_kafka_ingress_held_bytes');
    const memory = (): Promise<number> => metric(limited, 'process_resident_memory_bytes');
    const retryAfters = new Set<string>();
    let acknowledgedSoFar = 0;
    let tooMany = 0;
    let lastRefusal = 0;
    const sending = sendEvents({
      urls: [limited.url('overloaded')],
      count: 5_000,
      keys: 200,
      onAcknowledged: (count) => { acknowledgedSoFar = count; },
      onRefused: (status, retryAfter) => {
        lastRefusal = status;
        if (status === 429) tooMany++;
        retryAfters.add(`${status} ${retryAfter ?? 'at once'}`);
      },
    });
    await waitFor('a part of the load', () => acknowledgedSoFar > 500, { timeoutMs: patienceMs, everyMs: 10 });
    const memoryBefore = await memory();
    const broker = world.kafka.brokers[0]!;
    broker.freeze();
    try {
      let mostHeld = 0;
      await waitFor('many refused', async () => {
        mostHeld = Math.max(mostHeld, await held());
        return tooMany > 200 && mostHeld > 128 * 1024;
      }, { timeoutMs: patienceMs });
      expect(mostHeld).toBeLessThanOrEqual(256 * 1024);
      await waitFor('Kafka missed', () => lastRefusal === 503, { timeoutMs: patienceMs });
      expect((await memory()) - memoryBefore).toBeLessThan(64 * 1024 * 1024);
    } finally {
      broker.thaw();
    }
    const { acknowledged } = await sending;
    expect(acknowledged.size).toBe(5_000);
    expect([...retryAfters].sort()).toEqual(['429 1', '503 1']);
    await subscriber.untilAccepted(acknowledged);
    expect(subscriber.orderBreaks()).toEqual([]);
    await waitFor('nothing held any more', async () => (await held()) === 0, { timeoutMs: patienceMs });
  });
});
