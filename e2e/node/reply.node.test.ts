/**
 * An event in a subscriber's answer goes on to where the Subscription says: another channel, and from there to whoever
 * subscribes to that.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, systemNamespace } from './cluster.ts';
import { addressOf, applyUntilReady, asReceived, idsAt, kafkaChannel, orderPlaced, orders, send, subscription, untilReceived, type OrderEvent } from './orders.ts';
import { Subscriber } from './subscriber.ts';

describe('a subscriber that answers with an event', () => {
  const cluster = new Cluster();
  const bill: OrderEvent = {
    headers: { 'ce-specversion': '1.0', 'ce-id': 'bill-1', 'ce-source': '/e2e/till', 'ce-type': 'order.billed', 'ce-total': '12.50', 'content-type': 'application/octet-stream' },
    body: Buffer.from(Array.from({ length: 256 }, (_, byte) => 255 - byte)),
  };
  let till: Subscriber;
  let books: Subscriber;

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    await cluster.createNamespace(orders);
    await cluster.install();
    till = await Subscriber.start(cluster, orders, 'till');
    books = await Subscriber.start(cluster, orders, 'books');
  });
  afterAll(async () => {
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it('has a reply that is another channel', async () => {
    const ref = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'bills' };
    await applyUntilReady(
      cluster,
      kafkaChannel(orders),
      kafkaChannel('bills'),
      subscription('till', orders, { subscriber: { uri: till.url }, reply: { ref } }),
      subscription('books', 'bills', { subscriber: { uri: books.url } }),
    );
    const subscribed = await cluster.get('subscription', 'till', orders);
    expect(subscribed?.status?.physicalSubscription).toEqual({ subscriberUri: till.url, replyUri: addressOf('bills') });
  });

  it('sends its answer through that channel, byte for byte, and is asked once', async () => {
    await till.answerWith({ status: 200, ...bill });
    await send(books, orders, orderPlaced('order-1'));
    const [received] = await untilReceived(books, '/events', ['bill-1']);
    expect(received).toMatchObject({ method: 'POST', ...asReceived(bill) });
    // Nothing of the event that was answered is in it.
    expect(received?.headers).not.toHaveProperty('ce-partitionkey');
    expect(await idsAt(till, '/events')).toEqual(['order-1']);
  });

  it('may answer in structured mode', async () => {
    const body = Buffer.from('{ "specversion":"1.0", "id":"bill-2", "source":"/e2e/till","type":"order.billed","data" : {"total": 12.50} }');
    const structured: OrderEvent = { headers: { 'content-type': 'application/cloudevents+json; charset=utf-8' }, body };
    await till.answerWith({ status: 200, ...structured });
    await send(books, orders, orderPlaced('order-2'));
    // A structured event has its id in its body, and the header that binary mode would have is another's.
    await till.answerWith({ status: 200, headers: { ...bill.headers, 'ce-id': 'bill-3' }, body: bill.body });
    await send(books, orders, orderPlaced('order-3'));
    await untilReceived(books, '/events', ['bill-3']);
    const found = (await books.received()).find(({ bodyBase64 }) => bodyBase64 === body.toString('base64'));
    expect(found).toMatchObject({ method: 'POST', path: '/events', headers: structured.headers });
  });

  it('sends nothing on when its answer is no event', async () => {
    const before = await books.received();
    await till.answerWith({ status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from('{"ok":true}') });
    await send(books, orders, orderPlaced('order-4'));
    await untilReceived(till, '/events', ['order-4']);
    await till.answerWith({ status: 200, headers: { ...bill.headers, 'ce-id': 'bill-5' }, body: bill.body });
    await send(books, orders, orderPlaced('order-5'));
    await untilReceived(books, '/events', ['bill-5']);
    // In the order of the partition, so what came from the order before would be here.
    expect((await books.received()).slice(before.length).map(({ headers }) => headers['ce-id'])).toEqual(['bill-5']);
    expect(await idsAt(till, '/events')).toEqual(['order-1', 'order-2', 'order-3', 'order-4', 'order-5']);
  });

  it('has its order dead-lettered, not its answer, when nobody takes the answer', async () => {
    const delivery = { retry: 0, deadLetterSink: { uri: books.at('/letters') } };
    await applyUntilReady(cluster, kafkaChannel('refunds'), subscription('refunds', 'refunds', { subscriber: { uri: till.at('/refunds') }, reply: { uri: books.at('/refused') }, delivery }));
    await till.answerWith({ path: '/refunds', status: 200, ...bill });
    await books.answerWith({ path: '/refused', status: 422, body: Buffer.from('no') });
    const refund = orderPlaced('refund-1');
    await send(books, 'refunds', refund);
    const [letter] = await untilReceived(books, '/letters', ['refund-1']);
    const { headers, bodyBase64 } = asReceived(refund);
    expect(letter).toMatchObject({ headers: { ...headers, 'ce-knativeerrordest': books.at('/refused'), 'ce-knativeerrorcode': '422', 'ce-knativeerrordata': 'bm8=' }, bodyBase64 });
    expect(await idsAt(books, '/refused')).toEqual(['bill-1']);
    expect(await idsAt(till, '/refunds')).toEqual(['refund-1']);
  });
});
