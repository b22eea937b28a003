/** The channel that the tests use, its one Subscription, and an event that is hard to keep as it is. */
import { expect } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { patienceMs, type Cluster } from './cluster.ts';
import { Subscriber } from './subscriber.ts';

/** Name of the namespace and of the channel in it. */
export const orders = 'orders';

const apiVersion = 'messaging.knative.dev/v1';

/** In a namespace that is there: a subscriber, and what it takes for events to reach it. Waits until all is Ready. */
export async function startOrders(cluster: Cluster): Promise<Subscriber> {
  const subscriber = await Subscriber.start(cluster, orders);
  await cluster.apply(
    { apiVersion, kind: 'KafkaChannel', metadata: { name: orders, namespace: orders } },
    {
      apiVersion,
      kind: 'Subscription',
      metadata: { name: 'all', namespace: orders },
      spec: { channel: { apiVersion, kind: 'KafkaChannel', name: orders }, subscriber: { uri: subscriber.url } },
    },
  );
  await cluster.untilReady(`kafkachannel/${orders}`, orders);
  await cluster.untilReady('subscription/all', orders);
  return subscriber;
}

/** Sends an event from a pod to the channel's address, and waits until the subscriber has it, bit for bit. */
export async function sendAndAwait(subscriber: Subscriber, id: string): Promise<void> {
  // Every byte there is, so no step can have taken it for text.
  const body = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const attributes = { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/e2e/node', 'ce-type': 'order.placed', 'ce-time': '2024-02-29T23:59:59.123456789+05:30', 'ce-partitionkey': 'one' };
  const headers = { ...attributes, 'content-type': 'application/octet-stream' };
  // Right after a rollout a Service can refuse for a moment; a sender sends again, as its contract asks.
  await waitFor('202 for the event', async () => {
    const { status, text } = await subscriber.send({ url: `http://${orders}-kn-channel.${orders}.svc.cluster.local`, headers, body });
    if (status !== 202) throw new Error(`${status} ${text}`);
    return true;
  }, { timeoutMs: patienceMs, everyMs: 500 });
  const event = await waitFor(`event ${id} at the subscriber`, async () => (await subscriber.received()).find((request) => request.headers['ce-id'] === id), { timeoutMs: patienceMs, everyMs: 300 });
  expect(event).toMatchObject({ method: 'POST', path: '/events', headers, bodyBase64: body.toString('base64') });
}
