/**
 * Kafka gone and back: nothing acknowledged is lost, senders are told to try again, and nobody has to be restarted.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { logged, patienceMs, sendEvents, untilReady, World } from './harness.ts';

const events = 10_000;

describe('an outage of Kafka', () => {
  let world: World;
  beforeEach(async () => { world = await World.start(); });
  afterEach(() => world.stop());

  it('loses no acknowledged event when the broker is killed and restarted under load', async () => {
    await world.channel('orders', 6);
    const subscriber = await world.subscriber();
    world.subscription('all', 'orders', subscriber.uri);
    const [receiver] = await Promise.all([world.receiver(), world.dispatcher()]);
    const broker = world.kafka.brokers[0]!;
    let acknowledgedSoFar = 0;
    const sending = sendEvents({ urls: [receiver.url('orders')], count: events, keys: 40, onAcknowledged: (count) => { acknowledgedSoFar = count; } });

    await waitFor('a third of the load', () => acknowledgedSoFar > events / 3, { timeoutMs: patienceMs });
    await broker.kill();
    await waitFor('the receiver not ready', async () => (await fetch(`http://127.0.0.1:${receiver.metricsPort}/readyz`)).status === 503, { timeoutMs: patienceMs });
    // The senders under load may all be waiting for answers; who comes now is told to come again.
    const refused = await fetch(receiver.url('orders'), { method: 'POST', headers: { 'ce-specversion': '1.0', 'ce-id': 'now-0', 'ce-source': '/e2e', 'ce-type': 'test' } });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    await broker.start();

    const { acknowledged, refusals } = await sending;
    expect(acknowledged.size).toBe(events);
    expect([...refusals.keys()].filter((status) => status !== 503)).toEqual([]);
    await subscriber.untilAccepted(acknowledged);
    expect(subscriber.orderBreaks()).toEqual([]);
    expect(receiver.process.isRunning()).toBe(true);
  });

  it('stops deliveries that could not be committed, and goes on with them afterwards', async () => {
    await world.channel('orders', 6);
    const subscriber = await world.subscriber({ answer: () => delay(5, 202) });
    const receiver = await world.receiver();
    const dispatcher = await world.dispatcher({ awaitReady: false });
    world.subscription('all', 'orders', subscriber.uri);
    await untilReady(dispatcher);
    const { acknowledged } = await sendEvents({ urls: [receiver.url('orders')], count: events, keys: 60 });
    await waitFor('the first deliveries', () => subscriber.accepted.length > 100, { timeoutMs: patienceMs });
    const broker = world.kafka.brokers[0]!;
    await broker.kill();
    await logged(dispatcher, { message: 'the group takes no commits, so nothing new is delivered until it does' });
    const atHold = subscriber.received.length;
    expect(atHold).toBeLessThan(events); // or there was nothing left to hold up
    // Long enough for hundreds more.
    await waitFor('the receiver to give up', async () => (await fetch(`http://127.0.0.1:${receiver.metricsPort}/readyz`)).status === 503, { timeoutMs: patienceMs });
    expect(subscriber.received.length).toBeLessThanOrEqual(atHold + 6); // one of each partition was under way

    await broker.start();
    await subscriber.untilAccepted(acknowledged);
    expect(subscriber.orderBreaks()).toEqual([]);
  });

  it('starts without Kafka: up, not ready, 503; ready when Kafka is back', async () => {
    await world.channel('orders', 3);
    const subscriber = await world.subscriber();
    world.subscription('all', 'orders', subscriber.uri);
    const broker = world.kafka.brokers[0]!;
    await broker.stop();

    const [receiver, dispatcher] = await Promise.all([world.receiver({ awaitReady: false }), world.dispatcher({ awaitReady: false })]);
    await waitFor('the receiver up', async () => (await fetch(`http://127.0.0.1:${receiver.metricsPort}/healthz`)).ok, { timeoutMs: patienceMs });
    const readiness = await fetch(`http://127.0.0.1:${receiver.metricsPort}/readyz`);
    expect(readiness.status).toBe(503);
    const refused = await fetch(receiver.url('orders'), { method: 'POST', headers: { 'ce-specversion': '1.0', 'ce-id': 'early-0', 'ce-source': '/e2e', 'ce-type': 'test' } });
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(refused.headers.get('content-type')).toContain('application/problem+json');

    await broker.start();
    await Promise.all([untilReady(receiver), untilReady(dispatcher)]);
    const { acknowledged } = await sendEvents({ urls: [receiver.url('orders')], count: 100, keys: 5 });
    await subscriber.untilAccepted(acknowledged);
  });
});
