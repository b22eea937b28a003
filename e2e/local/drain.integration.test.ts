/**
 * SIGTERM: what is under way is finished, nothing that was promised is lost, and the process ends by itself and in
 * time. A second signal, or the end of the time, ends it at once.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { metric, patienceMs, sendEvents, World, type Receiver, type Service, type Subscriber, type SubscriberOptions } from './harness.ts';
import { exchange, request, type HeaderLines } from './raw-http.ts';

/** A process and its test may be slow; one that does not end by itself takes longer than this. */
const exitPatienceMs = 20_000;
const endedWell = { code: 0, signal: null };

function attributes(id: string): HeaderLines {
  return [['ce-specversion', '1.0'], ['ce-id', id], ['ce-source', '/e2e'], ['ce-type', 'test']];
}

/** Everything that waits at the gate is answered when it opens, and whatever comes later at once. */
class Gate {
  readonly #opened = Promise.withResolvers<undefined>();
  open(): void {
    this.#opened.resolve(undefined);
  }
  readonly pass = async (): Promise<number> => {
    await this.#opened.promise;
    return 200;
  };
}

async function terminate(service: Service): Promise<void> {
  service.process.signal('SIGTERM');
  await service.process.waitForOutput('shutting down', patienceMs);
}
/** How a process that was told to end has ended. @throws Error when it has not */
async function ended(service: Service, withinMs = exitPatienceMs): Promise<unknown> {
  return waitFor(`the end of ${service.process.name}`, () => (service.process.isRunning() ? undefined : service.process.exited), { timeoutMs: withinMs });
}

describe('SIGTERM', () => {
  let world: World;
  beforeAll(async () => { world = await World.start(); });
  afterAll(() => world.stop());

  /** A channel of its own with one subscriber for each test, so that none meets the events of another. */
  const setUp = async (name: string, options?: SubscriberOptions, partitions = 6): Promise<Subscriber> => {
    await world.channel(name, partitions);
    const subscriber = await world.subscriber(options);
    world.subscription(name, name, subscriber.uri);
    return subscriber;
  };
  const dispatcher = (channel: string, env: Record<string, string> = {}): Promise<Service> => world.dispatcher({ env: { CHANNEL: `default/${channel}`, ...env } });
  const published = async (receiver: Receiver, channel: string, count: number, keys = 6): Promise<ReadonlySet<string>> =>
    (await sendEvents({ urls: [receiver.url(channel)], count, keys })).acknowledged;

  describe.each(['on', 'off'])('for a receiver, with the fast lane %s,', (fastLane) => {
    const channel = (name: string): string => `${name}-${fastLane}`;
    const startReceiver = (env: Record<string, string> = {}): Promise<Receiver> => world.receiver({ env: { FAST_LANE: fastLane, ...env } });

    it('under load loses no event that it acknowledged, and its senders go on elsewhere', async () => {
      const subscriber = await setUp(channel('loaded'));
      const [leaving, staying] = await Promise.all([startReceiver(), startReceiver(), dispatcher(channel('loaded'))]);
      let acknowledgedSoFar = 0;
      const sending = sendEvents({ urls: [leaving.url(channel('loaded')), staying.url(channel('loaded'))], count: 3_000, keys: 30, onAcknowledged: (count) => { acknowledgedSoFar = count; } });
      await waitFor('a third of the load', () => acknowledgedSoFar > 1_000, { timeoutMs: patienceMs });
      await terminate(leaving);
      expect(await ended(leaving)).toEqual(endedWell);
      const { acknowledged, refusals } = await sending;
      expect(acknowledged.size).toBe(3_000);
      expect([...refusals.keys()].filter((status) => status !== 0)).toEqual([]); // 0: found nobody at the port
      await subscriber.untilAccepted(acknowledged);
      expect(subscriber.orderBreaks()).toEqual([]);
    });

    it('takes events until its port closes, and lets no sender keep a connection', async () => {
      await setUp(channel('retiring'));
      const receiver = await startReceiver({ SHUTDOWN_DELAY: '60s' });
      const send = (id: string) => fetch(receiver.url(channel('retiring')), { method: 'POST', headers: Object.fromEntries(attributes(id)) });
      const before = await send('before');
      expect([before.status, before.headers.get('connection')]).toEqual([202, 'keep-alive']);
      await terminate(receiver);
      for (const id of ['first', 'second']) {
        const answer = await send(id);
        expect([answer.status, answer.headers.get('connection')]).toEqual([202, 'close']);
      }
      receiver.process.signal('SIGTERM'); // the second ends it at once
      await ended(receiver);
    });

    it('stops accepting, answers all that is under way, and ends', async () => {
      const subscriber = await setUp(channel('waiting'));
      const [receiver] = await Promise.all([startReceiver(), dispatcher(channel('waiting'))]);
      await published(receiver, channel('waiting'), 6); // so that nothing but Kafka itself is waited for
      const broker = world.kafka.brokers[0]!;
      broker.freeze();
      const ids = Array.from({ length: 50 }, (_, n) => `late-${n}`);
      const answers = Promise.all(ids.map((id) => exchange(receiver.httpPort, request('POST', `/default/${channel('waiting')}`, attributes(id), '{}'), { timeoutMs: patienceMs })));
      try {
        await waitFor('all of them under way', async () => (await metric(receiver, 'knative_kafka_produce_pending_records')) === ids.length, { timeoutMs: patienceMs });
        await terminate(receiver);
        await waitFor('the port closed', () => exchange(receiver.httpPort, '', { ends: true, timeoutMs: patienceMs }).then(() => false, (error: unknown) => (error as NodeJS.ErrnoException).code === 'ECONNREFUSED'), { timeoutMs: patienceMs });
        expect(receiver.process.isRunning()).toBe(true);
        expect(await (await fetch(`http://127.0.0.1:${receiver.metricsPort}/readyz`)).json()).toMatchObject({ reasons: ['shutting down'] });
      } finally {
        broker.thaw();
      }
      for (const { answers: [answer] } of await answers) expect(answer).toMatchObject({ status: 202, headers: { connection: 'close' } });
      expect(await ended(receiver)).toEqual(endedWell);
      await subscriber.untilAccepted(new Set(ids));
    });

    it('waits neither for connections without a request nor for a sender that does not get done', async () => {
      await setUp(channel('silent'));
      const receiver = await startReceiver({ DRAIN_TIMEOUT: '2s' });
      const nothing = exchange(receiver.httpPort, '', { timeoutMs: patienceMs });
      const [used] = await Promise.all([
        exchange(receiver.httpPort, request('POST', `/default/${channel('silent')}`, attributes('used')), { answers: 2, timeoutMs: patienceMs }),
        nothing,
        exchange(receiver.httpPort, request('POST', `/default/${channel('silent')}`, [...attributes('half'), ['Content-Length', '100']], '{'), { timeoutMs: patienceMs }),
        (async () => {
          await waitFor('the half request under way', async () => (await metric(receiver, 'knative_kafka_ingress_held_bytes')) > 0, { timeoutMs: patienceMs });
          await waitFor('the other one answered', async () => (await metric(receiver, 'knative_kafka_ingress_requests_total', { status: '202' })) === 1, { timeoutMs: patienceMs });
          await terminate(receiver);
          expect(await ended(receiver)).toEqual(endedWell);
        })(),
      ]);
      expect(used).toMatchObject({ answers: [{ status: 202 }], isClosed: true });
    });

    it('gives up what Kafka does not take in time, tells the senders, and ends', async () => {
      await setUp(channel('stuck'));
      const receiver = await startReceiver({ DRAIN_TIMEOUT: '1s' });
      await published(receiver, channel('stuck'), 6);
      const broker = world.kafka.brokers[0]!;
      broker.freeze();
      try {
        const answers = Promise.all(Array.from({ length: 20 }, (_, n) => exchange(receiver.httpPort, request('POST', `/default/${channel('stuck')}`, attributes(`stuck-${n}`)), { timeoutMs: patienceMs })));
        await waitFor('all of them under way', async () => (await metric(receiver, 'knative_kafka_produce_pending_records')) === 20, { timeoutMs: patienceMs });
        await terminate(receiver);
        // Neither answer is an acknowledgement: 503 for what waited, a closed connection for what Kafka may have got.
        for (const { answers: [answer], isClosed } of await answers) expect(answer?.status ?? (isClosed ? 'closed' : 'open')).toSatisfy((outcome) => outcome === 503 || outcome === 'closed');
        expect(await ended(receiver)).toEqual(endedWell);
      } finally {
        broker.thaw();
      }
    });
  });

  describe('for a dispatcher', () => {
    it('finishes the deliveries in flight and commits them: the next one repeats nothing and misses nothing', async () => {
      const gate = new Gate();
      const subscriber = await setUp('slow', { answer: gate.pass });
      const [receiver, leaving] = await Promise.all([world.receiver(), dispatcher('slow')]);
      const ids = await published(receiver, 'slow', 300, 12);
      await waitFor('deliveries in flight', () => subscriber.received.length >= 4, { timeoutMs: patienceMs });
      await terminate(leaving);
      const inFlight = subscriber.received.length;
      gate.open();
      expect(await ended(leaving)).toEqual(endedWell);
      expect(subscriber.accepted).toHaveLength(inFlight); // those, and nothing new

      await dispatcher('slow');
      await subscriber.untilAccepted(ids);
      expect(subscriber.duplicates).toBe(0);
      expect(subscriber.orderBreaks()).toEqual([]);
    });

    it('hands over to a dispatcher that runs already: nothing lost, nothing twice', async () => {
      const subscriber = await setUp('handed');
      const [receiver, leaving] = await Promise.all([world.receiver(), dispatcher('handed')]);
      await dispatcher('handed');
      let acknowledgedSoFar = 0;
      const sending = sendEvents({ urls: [receiver.url('handed')], count: 3_000, keys: 30, onAcknowledged: (count) => { acknowledgedSoFar = count; } });
      await waitFor('a third of the load', () => acknowledgedSoFar > 1_000, { timeoutMs: patienceMs });
      await terminate(leaving);
      expect(await ended(leaving)).toEqual(endedWell);
      const { acknowledged } = await sending;
      await subscriber.untilAccepted(acknowledged);
      expect(subscriber.duplicates).toBe(0);
      expect(subscriber.orderBreaks()).toEqual([]);
    });

    it('does not wait for the next try of a delivery that failed', async () => {
      const subscriber = await setUp('failing', { answer: () => 503 }, 1);
      const [receiver, leaving] = await Promise.all([world.receiver(), dispatcher('failing')]);
      const ids = await published(receiver, 'failing', 3, 1);
      await waitFor('a second attempt', () => subscriber.received.length >= 2, { timeoutMs: patienceMs });
      await terminate(leaving);
      expect(await ended(leaving)).toEqual(endedWell);
      expect(subscriber.accepted).toHaveLength(0);

      subscriber.answer = () => 200;
      await dispatcher('failing');
      await subscriber.untilAccepted(ids);
      expect(subscriber.duplicates).toBe(0);
      expect(subscriber.orderBreaks()).toEqual([]);
    });

    it('ends within its drain time though a subscriber hangs; the event is delivered again later', async () => {
      const subscriber = await setUp('hanging', { answer: () => new Promise<number>(() => undefined) }, 1);
      const [receiver, leaving] = await Promise.all([world.receiver(), dispatcher('hanging', { DRAIN_TIMEOUT: '1s' })]);
      const ids = await published(receiver, 'hanging', 3, 1);
      await waitFor('a delivery in flight', () => subscriber.received.length === 1, { timeoutMs: patienceMs });
      await terminate(leaving);
      expect(await ended(leaving)).toEqual(endedWell);

      subscriber.answer = () => 200;
      await dispatcher('hanging');
      await subscriber.untilAccepted(ids);
      expect(subscriber.received.map(({ id }) => id)).toEqual(['key0-0', 'key0-0', 'key0-1', 'key0-2']);
    });
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('a second signal (%s) ends a process at once, with code 1', async (second) => {
    const name = `impatient-${second.toLowerCase()}`;
    const subscriber = await setUp(name, { answer: () => new Promise<number>(() => undefined) }, 1);
    const [receiver, waiting] = await Promise.all([world.receiver(), dispatcher(name, { DRAIN_TIMEOUT: '10m' })]);
    await published(receiver, name, 1, 1);
    await waitFor('a delivery in flight', () => subscriber.received.length === 1, { timeoutMs: patienceMs });
    await terminate(waiting);
    expect(waiting.process.isRunning()).toBe(true);
    waiting.process.signal(second);
    expect(await ended(waiting)).toEqual({ code: 1, signal: null });
  });
});
