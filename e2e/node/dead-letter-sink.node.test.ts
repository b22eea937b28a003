/**
 * Events that a subscriber does not take end at the dead letter sink of their channel, as they came and with what went
 * wrong, wherever the sink is: behind a Service that is referred to, or at a URL.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { Cluster, patienceMs, systemNamespace } from './cluster.ts';
import { addressOf, applyUntilReady, asReceived, idsAt, kafkaChannel, orderPlaced, orders, send, subscription, untilReceived } from './orders.ts';
import { Subscriber } from './subscriber.ts';

describe('a dead letter sink of a channel', () => {
  const cluster = new Cluster();
  const attempts = { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT0.2S' };
  const outOfTea = Buffer.from('out of tea: 茶\n');
  let subscriber: Subscriber;
  let letters: Subscriber;

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    await cluster.createNamespace(orders);
    await cluster.install();
    subscriber = await Subscriber.start(cluster, orders);
    letters = await Subscriber.start(cluster, orders, 'letters');
    await subscriber.answerWith({ status: 500, headers: { 'content-type': 'text/plain' }, body: outOfTea });
  });
  afterAll(async () => {
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it('is asked for by the channel while it refers to a Service that is not there', async () => {
    const ref = { apiVersion: 'v1', kind: 'Service', name: 'letter-box' };
    await cluster.apply(kafkaChannel('by-ref', { delivery: { ...attempts, deadLetterSink: { ref } } }));
    await untilSinkResolved('by-ref', { status: 'False', reason: 'DeadLetterSinkResolveFailed' });
    expect(await conditionOf('by-ref', 'Ready')).toMatchObject({ status: 'False', reason: 'DeadLetterSinkResolveFailed', message: expect.stringContaining('Service orders/letter-box does not exist') });
  });

  it('is found as soon as the Service is there', async () => {
    const spec = { selector: { app: 'letters' }, ports: [{ port: 80, targetPort: 8080 }] };
    await cluster.apply({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'letter-box', namespace: orders }, spec });
    await untilSinkResolved('by-ref', { status: 'True' });
    await applyUntilReady(cluster, subscription('by-ref', 'by-ref', { subscriber: { uri: subscriber.at('/by-ref') } }));
    const channel = await cluster.get('kafkachannel', 'by-ref', orders);
    expect(channel?.status).toMatchObject({ deadLetterSinkUri: `http://letter-box.${orders}.svc.cluster.local`, address: { url: addressOf('by-ref') } });
  });

  it('gets from a Service what a subscriber answers with 500, byte for byte, after all attempts', async () => {
    await expectDeadLetter('by-ref', '/');
  });

  it('gets it at a URL just the same', async () => {
    await applyUntilReady(
      cluster,
      kafkaChannel('by-uri', { delivery: { ...attempts, deadLetterSink: { uri: letters.at('/by-uri/of%20the%20channel') } } }),
      subscription('by-uri', 'by-uri', { subscriber: { uri: subscriber.at('/by-uri') } }),
    );
    await expectDeadLetter('by-uri', '/by-uri/of%20the%20channel');
  });

  it('gives way to one of the Subscription', async () => {
    await applyUntilReady(cluster, subscription('own', 'by-uri', { subscriber: { uri: subscriber.at('/own') }, delivery: { deadLetterSink: { uri: letters.at('/own') } } }));
    const event = orderPlaced('own-1');
    await send(letters, 'by-uri', event);
    const [own] = await untilReceived(letters, '/own', ['own-1']);
    expect(own?.headers).toMatchObject({ ...event.headers, 'ce-knativeerrordest': subscriber.at('/own') });
    await untilReceived(letters, '/by-uri/of%20the%20channel', ['own-1']); // from the other Subscription
    expect(await idsAt(subscriber, '/own')).toEqual(['own-1']); // a delivery without retry asks for none
  });

  it('gets each event once, and none that is taken', async () => {
    await subscriber.answerWith();
    await send(letters, 'by-uri', orderPlaced('taken'));
    await untilReceived(subscriber, '/by-uri', ['taken']);
    await untilReceived(subscriber, '/own', ['taken']);
    await subscriber.answerWith({ status: 500 });
    await send(letters, 'by-uri', orderPlaced('last'));
    await untilReceived(letters, '/own', ['last']);
    await untilReceived(letters, '/by-uri/of%20the%20channel', ['last']);
    expect(await idsAt(letters, '/')).toEqual(['by-ref-1']);
    expect(await idsAt(letters, '/by-uri/of%20the%20channel')).toEqual(['by-uri-1', 'own-1', 'last']);
    expect(await idsAt(letters, '/own')).toEqual(['own-1', 'last']);
  });

  /** Sends an event to a channel whose one subscriber has the path of its name. @param path of the sink */
  async function expectDeadLetter(channel: string, path: string): Promise<void> {
    const [id, uri] = [`${channel}-1`, subscriber.at(`/${channel}`)];
    const event = orderPlaced(id);
    const { headers, bodyBase64 } = asReceived(event);
    await send(letters, channel, event);
    const [letter] = await untilReceived(letters, path, [id]);
    const told = { 'ce-knativeerrordest': uri, 'ce-knativeerrorcode': '500', 'ce-knativeerrordata': outOfTea.toString('base64') };
    expect(letter).toMatchObject({ method: 'POST', path, headers: { ...headers, ...told }, bodyBase64 });
    // Nothing else has been added to the event.
    const attributesOf = (of: object): readonly string[] => Object.keys(of).filter((name) => name.startsWith('ce-')).sort();
    expect(attributesOf(letter?.headers ?? {})).toEqual(attributesOf({ ...headers, ...told }));
    expect(await idsAt(subscriber, `/${channel}`)).toEqual([id, id, id]);
  }

  async function untilSinkResolved(channel: string, wanted: { readonly status: string; readonly reason?: string }): Promise<void> {
    await waitFor(`DeadLetterSinkResolved ${wanted.status} on ${channel}`, async () => {
      const condition = await conditionOf(channel, 'DeadLetterSinkResolved');
      return condition?.status === wanted.status && condition.reason === wanted.reason;
    }, { timeoutMs: patienceMs, everyMs: 300 });
  }

  async function conditionOf(channel: string, type: string) {
    const object = await cluster.get('kafkachannel', channel, orders);
    return object?.status?.conditions?.find((condition) => condition.type === type);
  }
});
