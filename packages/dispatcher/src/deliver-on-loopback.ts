/**
 * For tests: one event from its sender's request to its outcome, over real HTTP and without real waiting.
 *
 * The whole of the delivery engine but Kafka: the request becomes a record as the receiver makes it, the delivery
 * options are read as they are written in resources, `dispatch` and the real client do the rest on servers of their own.
 * Only the time between attempts is virtual: it is noted and has passed.
 */
import { decodeHttpEvent, decodeKafkaEvent, defaultDelivery, effectiveDelivery, type Delivery, type DeliverySpec, type IncomingRecord } from '@knative-kafka/common/core';
import { recordHeaders } from './core/record-headers.ts';
import { dispatch, type DispatchOutcome, type Undeliverable } from './dispatch.ts';
import { fetchedRecord } from './fetched-record-of.ts';
import { LoopbackSubscriber, type Answer, type ReceivedRequest } from './io/loopback-subscriber.ts';
import { createSubscriberClient } from './io/subscriber-client.ts';

/** A request as a sender makes it. */
export interface SentEvent {
  /** Flat: name, value, name, value … */
  readonly headers: readonly string[];
  readonly body?: string | Buffer;
}

/** Which client delivers, for a whole file of tests. */
export const loopbackClient = { usesSockets: true };

export interface LoopbackDelivery {
  /** How it answers, in turn, the last for ever; or a URL where no server of the test is. */
  readonly subscriber: readonly Answer[] | string;
  /** The same; undefined where the Subscription has none. */
  readonly reply?: readonly Answer[] | string;
  readonly deadLetterSink?: readonly Answer[] | string;
  /** Behind the subscriber's address. */
  readonly path?: string;
  /** As in the Subscription, without its sink; and as in the KafkaChannel. */
  readonly delivery?: DeliverySpec;
  readonly channelDelivery?: DeliverySpec;
  /** What holds where neither says anything. */
  readonly fallback?: Delivery;
  readonly event?: SentEvent;
  /** A record that no request of ours would have made; instead of `event`. */
  readonly record?: IncomingRecord;
  readonly keepsUndeliverable?: boolean;
  readonly random?: number;
  readonly nowMs?: number;
  readonly replyLimitBytes?: number;
}

export interface DeliveredOnLoopback {
  readonly outcome: DispatchOutcome;
  /** Who was asked, with what; nothing of those that are no servers of the test. */
  readonly subscriber: readonly ReceivedRequest[];
  readonly reply: readonly ReceivedRequest[];
  readonly deadLetterSink: readonly ReceivedRequest[];
  /** As configured. */
  readonly uris: { readonly subscriber: string; readonly reply: string | undefined; readonly deadLetterSink: string | undefined };
  /** Milliseconds between the attempts. */
  readonly waits: readonly number[];
  /** Who was asked in turn, and what came of it. */
  readonly attempts: readonly string[];
  readonly replies: readonly string[];
  readonly kept: readonly Undeliverable[];
}

export const plainEvent: SentEvent = {
  headers: ['ce-specversion', '1.0', 'ce-id', '42', 'ce-source', '/shop/orders', 'ce-type', 'order.placed', 'content-type', 'application/json'],
  body: '{"n":1}',
};

/** What the receiver writes to Kafka for a request, as a consumer gets it. */
export function recordOf({ headers, body = '' }: SentEvent): IncomingRecord {
  const decoded = decodeHttpEvent(headers, Buffer.from(body));
  if ('error' in decoded) throw new Error(`${decoded.error.attribute}: ${decoded.error.reason}`);
  const [event] = decoded.events;
  if (event === undefined) throw new Error('a batch of no events');
  return { offset: 0n, key: null, value: event.value, headers: event.headers.map(([name, value]) => [name, Buffer.from(value)]), timestampMs: 0 };
}

export async function deliverOnLoopback(given: LoopbackDelivery): Promise<DeliveredOnLoopback> {
  const servers: LoopbackSubscriber[] = [];
  const start = async (answers: readonly Answer[] | string | undefined): Promise<{ readonly uri: string | undefined; readonly received: readonly ReceivedRequest[] }> => {
    if (answers === undefined || typeof answers === 'string') return { uri: answers, received: [] };
    const server = await LoopbackSubscriber.start(answers);
    servers.push(server);
    return { uri: server.url, received: server.received };
  };
  const client = createSubscriberClient({ connectionsPerDestination: 10, connectTimeoutMs: 10_000, replyLimitBytes: given.replyLimitBytes ?? 1024 * 1024, ...loopbackClient });
  try {
    const subscriber = await start(given.subscriber);
    const reply = await start(given.reply);
    const deadLetterSink = await start(given.deadLetterSink);
    const uris = { subscriber: `${subscriber.uri!}${given.path ?? ''}`, reply: reply.uri, deadLetterSink: deadLetterSink.uri };
    const delivery = effectiveDelivery(given.delivery, given.channelDelivery, given.fallback ?? defaultDelivery);
    const destination = {
      subscriber: { uri: uris.subscriber },
      reply: uris.reply === undefined ? undefined : { uri: uris.reply },
      deadLetterSink: uris.deadLetterSink === undefined ? undefined : { uri: uris.deadLetterSink },
      keepsUndeliverable: given.keepsUndeliverable ?? false, namespace: 'shop', delivery,
    };
    const waits: number[] = [];
    const attempts: string[] = [];
    const replies: string[] = [];
    const kept: Undeliverable[] = [];
    const { headers, value, key } = given.record ?? recordOf(given.event ?? plainEvent);
    const outcome = await dispatch({ record: fetchedRecord(headers, value, key) }, () => destination, {
      plainHeaders: recordHeaders,
      readEvent: ({ headers, value }) => decodeKafkaEvent(headers, value),
      sendTo: (request, receiver) => client.sendTo(request, receiver),
      keep: (undeliverable) => {
        kept.push(undeliverable);
        return Promise.resolve(true);
      },
      sleep: (ms) => {
        waits.push(ms);
        return Promise.resolve(true);
      },
      random: () => given.random ?? 0,
      now: () => given.nowMs ?? 0,
      longestDelayMs: 300_000,
      onAttempt: (role, answer) => attempts.push(`${role} ${'failure' in answer ? answer.failure : answer.status}`),
      onReply: (result) => replies.push(result),
    }, new AbortController().signal);
    return { outcome, subscriber: subscriber.received, reply: reply.received, deadLetterSink: deadLetterSink.received, uris, waits, attempts, replies, kept };
  } finally {
    await client.close();
    for (const server of servers) await server.close();
  }
}

/** What an event's request is about, without what every request of HTTP has. */
export function eventHeaders({ headers }: ReceivedRequest): Record<string, string> {
  const transport = ['host', 'connection', 'content-length'];
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !transport.includes(name)));
}
