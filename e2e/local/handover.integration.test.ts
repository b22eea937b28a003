/**
 * Partitions change hands between dispatcher processes: in order, without a single event lost or delivered twice; by
 * force, with no more delivered twice than what Kafka cannot have known of.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { groupOf, logged, metric, patienceMs, Sender, sendEvents, topicOf, World, type Receiver, type SendOptions, type SendResult, type Service, type Subscriber, type SubscriberOptions } from './harness.ts';

const endedWell = { code: 0, signal: null };
const dispatched = 'knative_kafka_dispatch_events_total';
const rebalances = 'knative_kafka_consumer_rebalances_total';
const commits = 'knative_kafka_consumer_commits_total';
/** As it is unless set otherwise. */
const commitIntervalMs = 100;
const order = (name: 'key-ordered' | 'unordered'): Record<string, string> => ({ 'kafka.eventing.knative.dev/delivery.order': name });

describe('between dispatchers', () => {
  let world: World;
  let receiver: Receiver;

  beforeAll(async () => {
    // Lets groups have the session timeout that dispatchers ask for.
    world = await World.start({ config: { 'group.consumer.min.session.timeout.ms': '1000', 'group.consumer.min.heartbeat.interval.ms': '100', 'group.consumer.heartbeat.interval.ms': '500' } });
    receiver = await world.receiver();
  });
  afterAll(() => world.stop());

  const setUp = async (name: string, options: SubscriberOptions & { readonly partitions?: number; readonly delivery?: object; readonly annotations?: Record<string, string> } = {}): Promise<Subscriber> => {
    await world.channel(name, options.partitions ?? 6);
    const subscriber = await world.subscriber(options);
    world.subscription(name, name, subscriber.uri, options.delivery, options.annotations);
    await waitFor(`channel ${name} known`, async () => (await fetch(receiver.url(name), { method: 'POST' })).status === 400, { timeoutMs: patienceMs });
    return subscriber;
  };
  /** One that keeps its name in the consumer groups when it is started again. */
  const dispatcher = (channel: string, podName: string, { env = {}, awaitReady = true }: { readonly env?: Record<string, string>; readonly awaitReady?: boolean } = {}): Promise<Service> =>
    world.dispatcher({ env: { CHANNEL: `default/${channel}`, POD_NAME: podName, SESSION_TIMEOUT: '20s', ...env }, awaitReady });
  /** A steady stream until it is told to stop. */
  const stream = (channel: string, options: Partial<SendOptions> = {}): { readonly stop: () => Promise<SendResult> } => {
    const done = new AbortController();
    const sending = sendEvents({ urls: [receiver.url(channel)], count: 1_000_000, keys: 60, pauseMs: 100, signal: done.signal, ...options });
    sending.catch(() => undefined); // told by stop
    return {
      stop: () => {
        done.abort();
        return sending;
      },
    };
  };
  const moreAccepted = async (subscriber: Subscriber, count: number): Promise<void> => {
    const wanted = subscriber.accepted.length + count;
    await waitFor(`${count} more deliveries`, () => subscriber.accepted.length >= wanted, { timeoutMs: patienceMs });
  };
  const ended = async (service: Service): Promise<void> => {
    expect(await waitFor('its end', () => (service.process.isRunning() ? undefined : service.process.exited), { timeoutMs: patienceMs })).toEqual(endedWell);
  };
  const terminated = async (service: Service): Promise<void> => {
    service.process.signal('SIGTERM');
    await ended(service);
  };
  /** Until it has so many partitions of its one consumer group. */
  const untilAssigned = (service: Service, count: number): Promise<readonly number[]> =>
    waitFor(`${count} partitions of ${service.process.name}`, () => {
      const lines = service.process.output().split('\n').filter((line) => line.includes('"partitions assigned"') && line.endsWith('}'));
      const found = lines.map((line) => (JSON.parse(line) as { readonly partitions: readonly number[] }).partitions).at(-1);
      return found?.length === count ? found : undefined;
    }, { timeoutMs: patienceMs });
  const untilCommitted = async (channel: string): Promise<void> => {
    await waitFor('everything committed', async () => (await world.lag(channel, channel)) === 0, { timeoutMs: patienceMs });
  };

  it('a rolling restart of two under load loses nothing and repeats nothing', async () => {
    const subscriber = await setUp('rolled');
    const running = [await dispatcher('rolled', 'pod-0'), await dispatcher('rolled', 'pod-1')];
    const load = stream('rolled');
    await moreAccepted(subscriber, 500);
    for (const [index, leaving] of running.entries()) {
      await terminated(leaving);
      await dispatcher('rolled', `pod-${index}`);
      await moreAccepted(subscriber, 500);
    }
    const { acknowledged } = await load.stop();
    await subscriber.untilAccepted(acknowledged);
    expect(subscriber.duplicates).toBe(0);
    expect(subscriber.orderBreaks()).toEqual([]);
  });

  it('one that joins gets its partitions when their deliveries are done, the other partitions go on meanwhile, and nothing is repeated when it leaves', async () => {
    const opened = Promise.withResolvers<undefined>();
    const heldKeys = new Map<number, string>();
    const subscriber = await setUp('joined', {
      annotations: order('key-ordered'),
      answer: async ({ id }) => {
        if (id.startsWith('held')) await opened.promise;
        return 200;
      },
    });
    // A revocation that is never given up for taking long: the order of things here is that of facts alone.
    const env = { DRAIN_TIMEOUT: '10m' };
    const staying = [await dispatcher('joined', 'pod-0', { env }), await dispatcher('joined', 'pod-1', { env })];
    await Promise.all(staying.map((service) => untilAssigned(service, 3))); // a member is ready before it has its share

    // Where keys go: `held…` are keys of which one event each will be held by the subscriber, one in each partition.
    const keys = [...Array.from({ length: 40 }, (_, n) => `free${n}`), ...Array.from({ length: 60 }, (_, n) => `held${n}`)];
    const sender = new Sender({ urls: [receiver.url('joined')], connections: 100 });
    const sent = new Set<string>();
    const send = async (id: string): Promise<void> => {
      await sender.send(id, id.slice(0, id.lastIndexOf('-')));
      sent.add(id);
    };
    try {
      const probes = await (async () => {
        await world.channel('probe', 6); // partitions are chosen by the key alone, so another channel tells as well
        await waitFor('channel probe known', async () => (await fetch(receiver.url('probe'), { method: 'POST' })).status === 400, { timeoutMs: patienceMs });
        const probing = new Sender({ urls: [receiver.url('probe')], connections: 100 });
        await Promise.all(keys.map((key) => probing.send(`${key}-0`, key)));
        await probing.close();
        return world.stored('probe', keys.length);
      })();
      const partitionOf = new Map(probes.map(({ key, partition }) => [key!, partition]));
      for (const key of keys) if (key.startsWith('held')) heldKeys.set(partitionOf.get(key)!, key);
      expect(heldKeys.size).toBe(6);

      await Promise.all([...heldKeys.values()].map((key) => send(`${key}-0`)));
      await waitFor('an attempt under way in each partition', () => subscriber.received.length === 6, { timeoutMs: patienceMs });
      const before = await Promise.all(staying.map((service) => metric(service, rebalances)));

      const joining = await dispatcher('joined', 'pod-2', { env, awaitReady: false });
      await waitFor('both to let go of partitions', async () => {
        const now = await Promise.all(staying.map((service) => metric(service, rebalances)));
        return now.every((count, index) => count > before[index]!);
      }, { timeoutMs: patienceMs });
      // What has to move cannot: its deliveries are held. So the rebalance goes on for as long as this takes.
      const free = keys.filter((key) => key.startsWith('free'));
      for (const round of [0, 1, 2]) await Promise.all(free.map((key) => send(`${key}-${round}`)));
      const undelivered = (): readonly number[] => {
        const accepted = new Set(subscriber.accepted.map(({ id }) => id));
        return [...heldKeys.keys()].filter((partition) => free.some((key) => partitionOf.get(key) === partition && !accepted.has(`${key}-2`)));
      };
      await waitFor('the partitions that stay to deliver', () => undelivered().length <= 2, { timeoutMs: patienceMs });
      const moving = undelivered().toSorted();
      expect(moving).toHaveLength(2);
      expect(subscriber.accepted.filter(({ id }) => moving.includes(partitionOf.get(id.split('-')[0]!)!))).toEqual([]);

      opened.resolve(undefined);
      expect((await untilAssigned(joining, 2)).toSorted()).toEqual(moving);
      await subscriber.untilAccepted(sent);
      expect(subscriber.duplicates).toBe(0);

      const load = stream('joined', { keyPrefix: 'leaving' });
      await moreAccepted(subscriber, 500);
      await terminated(joining);
      await moreAccepted(subscriber, 500);
      const { acknowledged } = await load.stop();
      await subscriber.untilAccepted(acknowledged);
      expect(subscriber.duplicates).toBe(0);
      expect(subscriber.orderBreaks()).toEqual([]);
    } finally {
      opened.resolve(undefined);
      await sender.close();
    }
  });

  it('one that is killed and started again repeats only what was not committed: the last moments before', async () => {
    const answeredAt = new Map<string, number>();
    const subscriber = await setUp('killed', {
      answer: ({ id }) => {
        if (!answeredAt.has(id)) answeredAt.set(id, performance.now());
        return 200;
      },
    });
    const leaving = await dispatcher('killed', 'pod-0');
    await dispatcher('killed', 'pod-1');
    const committed = () => world.admin.groupLag(groupOf('killed', 'killed'), topicOf('killed'));
    const load = stream('killed');
    let slowestAnswerMs = 0;
    const enough = subscriber.accepted.length + 2_000;
    await waitFor('thousands delivered', async () => {
      const askedAt = performance.now();
      await committed();
      slowestAnswerMs = Math.max(slowestAnswerMs, performance.now() - askedAt);
      return subscriber.accepted.length >= enough;
    }, { timeoutMs: patienceMs, everyMs: 20 });
    const killedAt = performance.now();
    leaving.process.signal('SIGKILL');
    await leaving.process.exited;
    const commitOffsets = new Map((await committed()).map(({ partition, commitOffset }) => [partition, commitOffset ?? 0n]));
    await dispatcher('killed', 'pod-0');
    await moreAccepted(subscriber, 1_000);
    const { acknowledged } = await load.stop();
    await subscriber.untilAccepted(acknowledged);
    await untilCommitted('killed');

    expect(subscriber.orderBreaks()).toEqual([]);
    const seen = new Set<string>();
    const repeated = subscriber.accepted.filter(({ id }) => seen.size === seen.add(id).size).map(({ id }) => id);
    const offsets = new Map((await world.stored('killed', acknowledged.size)).map(({ value, partition, offset }) => [(JSON.parse(String(value)) as { id: string }).id, { partition, offset }]));
    // What Kafka had been told of is not delivered again.
    for (const id of repeated) {
      const { partition, offset } = offsets.get(id)!;
      expect(offset).toBeGreaterThanOrEqual(commitOffsets.get(partition)!);
    }
    // And it had been told of all but the last moments: an interval, and the commits under way, which take as long as
    // Kafka takes to answer here, beside all that the machine had to do.
    const lastMomentsMs = commitIntervalMs + 2 * slowestAnswerMs + 1_000;
    for (const id of repeated) expect(killedAt - answeredAt.get(id)!).toBeLessThan(lastMomentsMs);
  });

  it('one that is killed while a record hangs does not repeat the thousands after it', async () => {
    let hangs = true;
    const subscriber = await setUp('hanging', {
      partitions: 1,
      annotations: order('unordered'),
      delivery: { timeout: 'PT10M' },
      answer: ({ id }) => (hangs && id === 'first0-0' ? new Promise<number>(() => undefined) : 200),
    });
    const leaving = await dispatcher('hanging', 'pod-0');
    const send = (count: number, keyPrefix: string): Promise<SendResult> => sendEvents({ urls: [receiver.url('hanging')], count, keys: Math.min(count, 50), keyPrefix });
    await send(1, 'first');
    const { acknowledged } = await send(3_000, 'after');
    await subscriber.untilAccepted(acknowledged);
    const settled = (): Promise<number> => metric(leaving, dispatched, { outcome: 'delivered' });
    await waitFor('all but one settled', async () => (await settled()) >= acknowledged.size, { timeoutMs: patienceMs });
    // A commit that begins after another one that ends from now on carries all of these.
    const committed = await metric(leaving, commits);
    for (let n = 0; (await metric(leaving, commits)) < committed + 2; n++) await subscriber.untilAccepted((await send(1, `more${n}x`)).acknowledged);
    expect(await world.lag('hanging', 'hanging')).toBeGreaterThan(acknowledged.size); // the commit offset itself still waits
    leaving.process.signal('SIGKILL');
    await leaving.process.exited;

    hangs = false;
    await dispatcher('hanging', 'pod-0');
    await subscriber.untilAccepted(new Set(['first0-0']));
    await untilCommitted('hanging');
    const seen = new Set<string>();
    const repeated = subscriber.accepted.filter(({ id }) => seen.size === seen.add(id).size);
    expect(repeated.filter(({ id }) => acknowledged.has(id))).toEqual([]);
    expect(subscriber.received.filter(({ id }) => id === 'first0-0')).toHaveLength(2);
  });

  it('one that is told to end finishes and commits its attempts, and repeats none of them under the same name', async () => {
    const opened = Promise.withResolvers<undefined>();
    const subscriber = await setUp('finished', {
      annotations: order('unordered'),
      answer: async () => {
        await opened.promise;
        return 200;
      },
    });
    const leaving = await dispatcher('finished', 'pod-0');
    const { acknowledged } = await sendEvents({ urls: [receiver.url('finished')], count: 300, keys: 60 });
    await waitFor('as many attempts as may be under way', () => subscriber.received.length === 100, { timeoutMs: patienceMs });
    leaving.process.signal('SIGTERM');
    await logged(leaving, { message: 'shutting down' });
    opened.resolve(undefined);
    await ended(leaving);
    expect(subscriber.accepted).toHaveLength(100); // those, and nothing new
    await dispatcher('finished', 'pod-0');
    await subscriber.untilAccepted(acknowledged);
    expect(subscriber.duplicates).toBe(0);
  });
});
