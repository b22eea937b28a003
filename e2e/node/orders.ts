/** The channel that the tests use, its one Subscription, others like them, and an event that is hard to keep as it is. */
import { expect } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { patienceMs, type Cluster } from './cluster.ts';
import { Subscriber, type Received } from './subscriber.ts';

/** Name of the namespace and of the channel in it. */
export const orders = 'orders';

const apiVersion = 'messaging.knative.dev/v1';

/** In a namespace that is there: a subscriber, and what it takes for events to reach it. Waits until all is Ready. */
export async function startOrders(cluster: Cluster): Promise<Subscriber> {
  const subscriber = await Subscriber.start(cluster, orders);
  await applyUntilReady(cluster, kafkaChannel(orders), subscription('all', orders, { subscriber: { uri: subscriber.url } }));
  return subscriber;
}

/** Sends an event from a pod to the channel's address, and waits until the subscriber has it, bit for bit. */
export async function sendAndAwait(subscriber: Subscriber, id: string): Promise<void> {
  const event = orderPlaced(id);
  await send(subscriber, orders, event);
  const [received] = await untilReceived(subscriber, '/events', [id]);
  expect(received).toMatchObject({ method: 'POST', ...asReceived(event) });
}

/** An event in binary mode: headers and body of its request. */
export interface OrderEvent {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** @param key attribute `partitionkey` */
export function orderPlaced(id: string, key = 'one'): OrderEvent {
  const attributes = { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/e2e/node', 'ce-type': 'order.placed', 'ce-time': '2024-02-29T23:59:59.123456789+05:30', 'ce-partitionkey': key };
  // Every byte there is, so no step can have taken it for text.
  return { headers: { ...attributes, 'content-type': 'application/octet-stream' }, body: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)) };
}

/** What a subscriber has of an event that came as it was. */
export function asReceived({ headers, body }: OrderEvent): Pick<Received, 'headers' | 'bodyBase64'> {
  return { headers, bodyBase64: body.toString('base64') };
}

/** Sends an event from a pod to a channel of the namespace until it is acknowledged. */
export async function send(from: Subscriber, channel: string, event: OrderEvent): Promise<void> {
  // Right after a rollout a Service can refuse for a moment; a sender sends again, as its contract asks.
  await waitFor('202 for the event', async () => {
    const { status, text } = await from.send({ url: addressOf(channel), ...event });
    if (status !== 202) throw new Error(`${status} ${text}`);
    return true;
  }, { timeoutMs: patienceMs, everyMs: 500 });
}

/** URL of a channel of the namespace. */
export function addressOf(channel: string): string {
  return `http://${channel}-kn-channel.${orders}.svc.cluster.local`;
}

/** Waits until events with these ids have come at the path. @returns for each the request that was the first to bring it */
export async function untilReceived(subscriber: Subscriber, path: string, ids: readonly string[]): Promise<readonly Received[]> {
  return waitFor(`${ids.join(', ')} at ${subscriber.at(path)}`, async () => {
    const received = await receivedAt(subscriber, path);
    const found = ids.map((id) => received.find(({ headers }) => headers['ce-id'] === id)).filter((request) => request !== undefined);
    return found.length === ids.length && found;
  }, { timeoutMs: patienceMs, everyMs: 300 });
}

/** What has come at one path so far, oldest first. */
export async function receivedAt(subscriber: Subscriber, path: string): Promise<readonly Received[]> {
  return (await subscriber.received()).filter((request) => request.path === path);
}

/** Ids of events, in the order in which they came at the path. */
export async function idsAt(subscriber: Subscriber, path: string): Promise<readonly string[]> {
  return (await receivedAt(subscriber, path)).map(({ headers }) => headers['ce-id'] ?? '');
}

/** A KafkaChannel of the namespace. */
export function kafkaChannel(name: string, spec: object = {}): ClusterResource {
  return { apiVersion, kind: 'KafkaChannel', metadata: { name, namespace: orders }, spec };
}

/** A Subscription to a channel of the namespace. @param spec beside the channel */
export function subscription(name: string, channel: string, spec: object, annotations: Readonly<Record<string, string>> = {}): ClusterResource {
  return { apiVersion, kind: 'Subscription', metadata: { name, namespace: orders, annotations }, spec: { channel: { apiVersion, kind: 'KafkaChannel', name: channel }, ...spec } };
}

export interface ClusterResource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: object;
}

/** Applies what the two above make, and waits until all of it is Ready. */
export async function applyUntilReady(cluster: Cluster, ...resources: readonly ClusterResource[]): Promise<void> {
  await cluster.apply(...resources);
  for (const { kind, metadata } of resources) await cluster.untilReady(`${kind.toLowerCase()}/${metadata.name}`, orders);
}
