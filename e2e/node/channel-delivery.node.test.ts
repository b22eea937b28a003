/**
 * A channel and its Subscriptions, from pod to pod: everybody who subscribes gets every event, as it was sent and in the
 * order of its key, from the moment on at which he asks for it; and what is no event is told so to whoever sent it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { Cluster, patienceMs, systemNamespace } from './cluster.ts';
import { addressOf, applyUntilReady, asReceived, idsAt, kafkaChannel, orderPlaced, orders, send, subscription, untilReceived, type OrderEvent } from './orders.ts';
import { Subscriber } from './subscriber.ts';

/** Of every channel, by path: an address that does not go with the channel. */
const receiver = `http://kafka-channel-receiver.${systemNamespace}.svc.cluster.local`;

describe('a channel with Subscriptions', () => {
  const cluster = new Cluster();
  let kitchen: Subscriber;
  let till: Subscriber;
  const all = (): readonly Subscriber[] => [kitchen, till];

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    await cluster.createNamespace(orders);
    await cluster.install();
    kitchen = await Subscriber.start(cluster, orders, 'kitchen');
    till = await Subscriber.start(cluster, orders, 'till');
  });
  afterAll(async () => {
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it('is Ready, and so are they', async () => {
    await applyUntilReady(cluster, kafkaChannel(orders, { numPartitions: 3 }), ...all().map((subscriber) => subscription(nameOf(subscriber), orders, { subscriber: { uri: subscriber.url } })));
  });

  it('delivers an event to each of them, byte for byte', async () => {
    const event = orderPlaced('binary');
    await send(kitchen, orders, event);
    for (const subscriber of all()) {
      const [received] = await untilReceived(subscriber, '/events', ['binary']);
      expect(received).toMatchObject({ method: 'POST', ...asReceived(event) });
    }
  });

  it('delivers an event in structured mode as the text that it was', async () => {
    const body = Buffer.from('{ "specversion" : "1.0","id":"structured", "source":"/e2e/node","type":"order.placed","subject":"äöü \\u20ac", "data":{"total": 12.50, "count":1e2} }');
    const event: OrderEvent = { headers: { 'content-type': 'application/cloudevents+json; charset=UTF-8' }, body };
    await send(kitchen, orders, event);
    for (const subscriber of all()) {
      const received = await waitFor('the structured event', async () => (await subscriber.received()).find(({ headers }) => headers['content-type']?.startsWith('application/cloudevents+json')), { timeoutMs: patienceMs, everyMs: 300 });
      expect(received).toMatchObject(asReceived(event));
    }
  });

  it('delivers each event of a batch', async () => {
    const ids = ['batch-0', 'batch-1', 'batch-2'];
    const events = ids.map((id) => ({ specversion: '1.0', id, source: '/e2e/node', type: 'order.placed', partitionkey: id, data: { id } }));
    await send(kitchen, orders, { headers: { 'content-type': 'application/cloudevents-batch+json' }, body: Buffer.from(JSON.stringify(events)) });
    for (const subscriber of all()) {
      const found = async (): Promise<readonly string[]> => (await subscriber.received()).map(structuredId).filter((id) => ids.includes(id)).sort();
      await waitFor('the events of the batch', async () => (await found()).length >= ids.length, { timeoutMs: patienceMs, everyMs: 300 });
      expect(await found()).toEqual(ids);
    }
  });

  it('keeps the events of a key in order, for each of them', async () => {
    const keys = ['red', 'green', 'blue'];
    const ids = Array.from({ length: 30 }, (_, number) => `${keys[number % keys.length]}-${Math.floor(number / keys.length)}`);
    for (const id of ids) await send(kitchen, orders, orderPlaced(id, id.slice(0, id.indexOf('-'))));
    for (const subscriber of all()) {
      await untilReceived(subscriber, '/events', ids);
      const came = await idsAt(subscriber, '/events');
      for (const key of keys) expect(came.filter((id) => id.startsWith(`${key}-`))).toEqual(ids.filter((id) => id.startsWith(`${key}-`)));
    }
  });

  it('says what is wrong with what is no event', async () => {
    const headers = Object.fromEntries(Object.entries(orderPlaced('nameless').headers).filter(([name]) => name !== 'ce-id'));
    const refused = await kitchen.send({ url: addressOf(orders), headers, body: Buffer.alloc(0) });
    expect(refused).toMatchObject({ status: 400, text: expect.stringContaining('id') as string });
    const unknown = await kitchen.send({ url: `${receiver}/${orders}/nothing`, ...orderPlaced('lost') });
    expect(unknown).toMatchObject({ status: 404, text: expect.stringContaining(`${orders}/nothing`) as string });
  });

  it('delivers to where a Subscription points now', async () => {
    await applyUntilReady(cluster, subscription('till', orders, { subscriber: { uri: till.at('/moved') } }));
    // The dispatcher hears of it a moment after the API server has.
    await waitFor('an event at the new place', async () => {
      await send(kitchen, orders, orderPlaced('probe'));
      await untilReceived(kitchen, '/events', ['probe']);
      return (await idsAt(till, '/moved')).length > 0;
    }, { timeoutMs: patienceMs, everyMs: 300 });
    const before = await idsAt(till, '/events');
    await send(kitchen, orders, orderPlaced('moved'));
    await untilReceived(till, '/moved', ['moved']);
    expect(await idsAt(till, '/events')).toEqual(before);
  });

  it('gives a new Subscription what is sent once it is Ready, and nothing of before', async () => {
    const waiter = await Subscriber.start(cluster, orders, 'waiter');
    await applyUntilReady(cluster, subscription('waiter', orders, { subscriber: { uri: waiter.url } }));
    await send(kitchen, orders, orderPlaced('served'));
    await untilReceived(waiter, '/events', ['served']);
    expect(await idsAt(waiter, '/events')).toEqual(['served']);
  });

  it('delivered each event once', async () => {
    for (const subscriber of all()) {
      const ids = (await subscriber.received()).map((request) => request.headers['ce-id'] ?? structuredId(request)).filter((id) => id !== 'probe');
      expect(ids.toSorted()).toEqual([...new Set(ids)].sort());
    }
  });

  it('is gone once it is deleted', async () => {
    await cluster.kubectl(['delete', 'subscriptions', '--all', '--namespace', orders, `--timeout=${patienceMs}ms`]);
    await cluster.kubectl(['delete', 'kafkachannel', orders, '--namespace', orders, `--timeout=${patienceMs}ms`]);
    await waitFor('404 at its address', async () => (await kitchen.send({ url: `${receiver}/${orders}/${orders}`, ...orderPlaced('late') })).status === 404, { timeoutMs: patienceMs, everyMs: 300 });
  });
});

function nameOf({ url }: Subscriber): string {
  return new URL(url).hostname.split('.')[0] ?? '';
}

/** Of an event in structured mode; empty where the request holds none. */
function structuredId({ headers, bodyBase64 }: { readonly headers: Readonly<Record<string, string>>; readonly bodyBase64: string }): string {
  if (!(headers['content-type'] ?? '').startsWith('application/cloudevents+json')) return '';
  return (JSON.parse(Buffer.from(bodyBase64, 'base64').toString()) as { id: string }).id;
}
