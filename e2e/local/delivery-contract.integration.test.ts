/**
 * The delivery contract through the whole path: a request in, Kafka between, what subscribers, reply receivers, dead
 * letter sinks and the dead letter topic get. The rules one by one are tables beside the dispatcher's own code.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { deadLetterTopicName } from '@knative-kafka/common/core';
import { freePort, waitFor } from '@knative-kafka/local-cluster';
import { groupOf, metric, patienceMs, topicOf, World, type Receiver, type Service } from './harness.ts';

const messaging = 'messaging.knative.dev/v1';

describe('the delivery contract', () => {
  let world: World;
  let receiver: Receiver;
  let dispatcher: Service;
  const servers: Server[] = [];
  let events = 0;

  beforeAll(async () => {
    world = await World.start();
    for (const channel of ['orders', 'answers', 'keys']) await world.channel(channel, channel === 'keys' ? 1 : 2);
    receiver = await world.receiver();
    dispatcher = await world.dispatcher();
  }, 2 * patienceMs);
  afterEach(async () => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
  afterAll(() => world.stop());

  /** A subscriber that answers with an event, or whatever else. */
  async function answering(status: number, headers: Record<string, string>, body: string): Promise<string> {
    const server = createServer((request, response) => {
      request.resume().on('end', () => response.writeHead(status, headers).end(body));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async function send(channel: string, headers: Record<string, string> = {}, body = '{"n": 1.0}'): Promise<string> {
    const id = `event-${events++}`;
    const response = await fetch(receiver.url(channel), {
      method: 'POST',
      headers: { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/test', 'ce-type': 'test', 'content-type': 'application/json', ...headers },
      body,
    });
    expect(response.status).toBe(202);
    return id;
  }

  /** A Subscription whose consumer group has its initial offsets, so that whatever is sent from now on is its. */
  async function subscribe(name: string, channel: string, spec: object, annotations: Record<string, string> = {}): Promise<() => Promise<void>> {
    const file = `subscription-${name}.yaml`;
    world.write(file, {
      apiVersion: messaging, kind: 'Subscription',
      metadata: { name, namespace: 'default', uid: `uid-${name}`, annotations },
      spec: { channel: { apiVersion: messaging, kind: 'KafkaChannel', name: channel }, ...spec },
    });
    await waitFor(`initial offsets of ${name}`, async () => {
      const lag = await world.admin.groupLag(groupOf(channel, name), topicOf(channel));
      return lag.length > 0 && lag.every(({ commitOffset }) => commitOffset !== undefined);
    }, { timeoutMs: patienceMs });
    return () => {
      world.remove(file);
      return Promise.resolve();
    };
  }

  const outcomes = (subscription: string, outcome: string): Promise<number> => metric(dispatcher, 'knative_kafka_dispatch_events_total', { subscription, outcome });

  it('carries the sender\'s trace and request headers through Kafka, and says who asks', async () => {
    const subscriber = await world.subscriber();
    const end = await subscribe('headers', 'orders', { subscriber: { uri: subscriber.uri } });
    const passed = { 'traceparent': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'tracestate': 'a=1', 'x-request-id': 'r-1', 'knative-hello': 'world', 'x-b3-traceid': 'abc' };
    const id = await send('orders', { ...passed, 'x-other': 'stays here' });
    await subscriber.untilAccepted(new Set([id]));
    const [event] = subscriber.accepted;
    expect(event!.headers).toMatchObject({ ...passed, 'prefer': 'reply', 'kn-namespace': 'default' });
    expect(event!.headers).not.toHaveProperty('x-other');
    expect(event!.body.toString()).toBe('{"n": 1.0}');
    await end();
  });

  it('sends the structured form where the Subscription asks for json, the data as it was written', async () => {
    const subscriber = await world.subscriber();
    const end = await subscribe('structured', 'orders', { subscriber: { uri: subscriber.uri }, delivery: { format: 'json' } });
    const id = await send('orders');
    await waitFor('the event', () => subscriber.received.length > 0, { timeoutMs: patienceMs });
    const [event] = subscriber.received;
    expect(event!.headers['content-type']).toBe('application/cloudevents+json; charset=utf-8');
    expect(event!.body.toString()).toContain('"data":{"n": 1.0}');
    expect(JSON.parse(event!.body.toString())).toMatchObject({ id, specversion: '1.0', datacontenttype: 'application/json', data: { n: 1 } });
    await end();
  });

  it('sends a reply on to another channel, as it came, and calls the subscriber once', async () => {
    const transformed = await world.subscriber();
    const endAnswers = await subscribe('transformed', 'answers', { subscriber: { uri: transformed.uri } });
    const uri = await answering(200, { 'ce-specversion': '1.0', 'ce-id': 'answer', 'ce-source': '/subscriber', 'ce-type': 'answer', 'content-type': 'text/plain' }, 'the answer');
    const end = await subscribe('asked', 'orders', { subscriber: { uri }, reply: { uri: receiver.url('answers') } });
    await send('orders');
    await transformed.untilAccepted(new Set(['answer']));
    expect(transformed.accepted[0]!.body.toString()).toBe('the answer');
    await waitFor('the outcome', async () => (await outcomes('asked', 'delivered')) === 1, { timeoutMs: patienceMs });
    expect(await metric(dispatcher, 'knative_kafka_dispatch_attempts_total', { subscription: 'asked', to: 'subscriber' })).toBe(1);
    await end();
    await endAnswers();
  });

  it.each([
    ['without a body', '', undefined],
    ['with a body', '<html>why it failed</html>', Buffer.from('<html>why it failed</html>').toString('base64')],
  ])('tells the dead letter sink what went wrong: 422 %s', async (name, body, data) => {
    const sink = await world.subscriber();
    const uri = await answering(422, {}, body);
    const end = await subscribe(`refused-${name.replaceAll(' ', '-')}`, 'orders', { subscriber: { uri }, delivery: { deadLetterSink: { uri: sink.uri } } });
    const id = await send('orders', { 'ce-extra': 'kept' });
    await sink.untilAccepted(new Set([id]));
    expect(sink.received).toHaveLength(1);
    const { headers } = sink.received[0]!;
    expect(headers).toMatchObject({ 'ce-extra': 'kept', 'ce-knativeerrordest': uri, 'ce-knativeerrorcode': '422' });
    expect(headers['ce-knativeerrordata']).toBe(data);
    expect(sink.received[0]!.body.toString()).toBe('{"n": 1.0}');
    await end();
  });

  it('keeps an event in the dead letter topic when the sink is gone too, and the partition goes on', async () => {
    const gone = `http://127.0.0.1:${await freePort()}`;
    const subscriber = await world.subscriber({ answer: ({ headers }) => (headers['ce-fate'] === 'refused' ? 400 : 200) });
    const end = await subscribe('kept', 'orders', { subscriber: { uri: subscriber.uri }, delivery: { retry: 1, backoffDelay: 'PT0.01S', deadLetterSink: { uri: gone } } });
    const refused = await send('orders', { 'ce-fate': 'refused', 'ce-subject': 'one-key' });
    const next = await send('orders', { 'ce-subject': 'one-key' });
    await subscriber.untilAccepted(new Set([next]));
    const [kept] = await world.storedIn(deadLetterTopicName(topicOf('orders')), 1);
    const headers = Object.fromEntries(kept!.headers.map(([name, value]) => [name, value.toString()]));
    expect(headers).toMatchObject({
      'ce_id': refused, 'ce_fate': 'refused', 'dead-letter-subscription': 'kept', 'dead-letter-channel': 'default/orders',
      'dead-letter-subscriber': subscriber.uri, 'dead-letter-reason': 'status-400', 'dead-letter-code': '400',
    });
    expect(kept!.value?.toString()).toBe('{"n": 1.0}');
    expect(await outcomes('kept', 'kept')).toBe(1);
    await end();
  });

  it('drops what has no dead letter sink, until people ask for it to be kept', async () => {
    const subscriber = await world.subscriber({ answer: () => 400 });
    const end = await subscribe('without-sink', 'answers', { subscriber: { uri: subscriber.uri } });
    await send('answers');
    await waitFor('the drop', async () => (await outcomes('without-sink', 'dropped')) === 1, { timeoutMs: patienceMs });

    world.write('features.yaml', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'config-kafka-features', namespace: 'knative-eventing' }, data: { 'dead-letter-topic': 'enabled' } });
    await waitFor('an event that is kept', async () => {
      await send('answers');
      return (await outcomes('without-sink', 'kept')) > 0;
    }, { timeoutMs: patienceMs });
    expect((await world.storedIn(deadLetterTopicName(topicOf('answers')))).length).toBeGreaterThan(0);
    world.remove('features.yaml');
    await end();
  });

  it('delivers key by key where asked: one that hangs holds up no other, and keeps its own order', async () => {
    const held = Promise.withResolvers<number>();
    const subscriber = await world.subscriber({ answer: ({ headers }) => (headers['ce-subject'] === 'slow' ? held.promise : 200) });
    const end = await subscribe('by-key', 'keys', { subscriber: { uri: subscriber.uri } }, { 'kafka.eventing.knative.dev/delivery.order': 'key-ordered' });
    const slow = [await send('keys', { 'ce-subject': 'slow' }), await send('keys', { 'ce-subject': 'slow' })];
    const others: string[] = [];
    for (let n = 0; n < 20; n++) others.push(await send('keys', { 'ce-subject': `key-${n % 5}` }));
    await subscriber.untilAccepted(new Set(others));
    expect(subscriber.received.filter(({ headers }) => headers['ce-subject'] === 'slow').map(({ id }) => id)).toEqual([slow[0]]);
    held.resolve(200);
    await subscriber.untilAccepted(new Set(slow));
    expect(subscriber.accepted.filter(({ headers }) => headers['ce-subject'] === 'slow').map(({ id }) => id)).toEqual(slow);
    await end();
  });
});
