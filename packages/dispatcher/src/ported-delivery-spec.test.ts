/**
 * Expectations of Knative's own conformance tests for channels, ported: their facts on our delivery engine and real HTTP
 * servers, in one process. This is not a run of those suites; it shows what they would see of this part.
 *
 * A pattern is what one receiver does with the event that it gets, attempt by attempt: F drops it (409), T takes it.
 *
 * @see Knative Eventing, test/rekt/features/channel (control and data plane, dead letter sink extensions, headers,
 *      transformation), test/experimental (delivery timeout, retry after)
 */
import { describe, expect, it, vi } from 'vitest';
import { defaultDelivery, type DeliverySpec } from '@knative-kafka/common/core';
import { deliverOnLoopback, type SentEvent } from './deliver-on-loopback.ts';
import type { Answer } from './io/loopback-subscriber.ts';

// Generous, for machines that are busy and for name servers that take their time.
vi.setConfig({ testTimeout: 30_000 });

/** An event with every attribute. */
const fullEvent: SentEvent = {
  headers: [
    'ce-specversion', '1.0', 'ce-id', 'full-event', 'ce-source', 'http://example.com/source', 'ce-type', 'com.example.FullEvent', 'ce-subject', 'topic', 'ce-time', '2020-03-21T12:34:56.78Z',
    'ce-dataschema', 'http://example.com/schema', 'ce-exbool', 'true', 'ce-exint', '42', 'ce-exstring', 'exstring', 'ce-exbinary', 'AAECAw==', 'ce-exurl', 'http://example.com/source', 'ce-extime', '2020-03-21T12:34:56.78Z',
    'content-type', 'text/json',
  ],
  body: '"hello"',
};
/** The same event with something added to its data. */
const repliesWithMore: Answer = { status: 200, headers: { 'ce-specversion': '1.0', 'ce-id': 'full-event', 'ce-source': 'http://example.com/source', 'ce-type': 'com.example.FullEvent', 'content-type': 'text/json' }, body: '"hello sub1"' };

/** Drops the first so many, then takes. */
function dropping(count: number, then: Answer): Answer[] {
  return [...Array.from({ length: count }, () => 409), then];
}

/** `FFT`: of what one receiver got, what it dropped and took. */
function pattern(attempts: readonly string[], role: string): string {
  return attempts.filter((attempt) => attempt.startsWith(`${role} `)).map((attempt) => (/ 2\d\d$/.test(attempt) ? 'T' : 'F')).join('');
}

interface Row {
  readonly subscriberDrops?: number;
  readonly subscriberReplies?: boolean;
  readonly replyDrops?: number;
  /** `none` where nobody gives a delivery: the table counts one attempt then, so it is read with DEFAULT_RETRY 0. */
  readonly delivery: DeliverySpec | 'none';
  readonly hasDeadLetterSink: boolean;
}

async function patternsOf({ subscriberDrops = 0, subscriberReplies = true, replyDrops = 0, delivery, hasDeadLetterSink }: Row) {
  const { attempts, deadLetterSink, reply } = await deliverOnLoopback({
    event: fullEvent,
    subscriber: dropping(subscriberDrops, subscriberReplies ? repliesWithMore : 202),
    reply: dropping(replyDrops, 202),
    ...(hasDeadLetterSink ? { deadLetterSink: [202] } : {}),
    ...(delivery === 'none' ? {} : { delivery }),
    fallback: { ...defaultDelivery, retry: 0 },
  });
  for (const { body } of reply) expect(body.toString()).toBe('"hello sub1"');
  for (const { body, headers } of deadLetterSink) {
    expect(body.toString()).toBe('"hello"'); // the event that was sent, whoever failed
    expect(headers).toMatchObject({ 'ce-id': 'full-event' });
  }
  return { subscriber: pattern(attempts, 'subscriber'), reply: pattern(attempts, 'reply'), deadLetterSink: pattern(attempts, 'dead-letter-sink') };
}

describe('ported: patterns of attempts', () => {
  it.each<[string, Row, { readonly subscriber: string; readonly reply: string; readonly deadLetterSink: string }]>([
    ['all take it', { delivery: 'none', hasDeadLetterSink: false }, { subscriber: 'T', reply: 'T', deadLetterSink: '' }],
    ['a subscriber that does not reply', { subscriberReplies: false, delivery: 'none', hasDeadLetterSink: false }, { subscriber: 'T', reply: '', deadLetterSink: '' }],
    ['a subscriber that drops one, no delivery', { subscriberDrops: 1, subscriberReplies: false, delivery: 'none', hasDeadLetterSink: false }, { subscriber: 'F', reply: '', deadLetterSink: '' }],
    ['a reply that drops one, no delivery', { replyDrops: 1, delivery: 'none', hasDeadLetterSink: false }, { subscriber: 'T', reply: 'F', deadLetterSink: '' }],
    ['both drop three, retry 3', { subscriberDrops: 3, replyDrops: 3, delivery: { retry: 3 }, hasDeadLetterSink: true }, { subscriber: 'FFFT', reply: 'FFFT', deadLetterSink: '' }],
    ['both drop four, retry 3', { subscriberDrops: 4, replyDrops: 4, delivery: { retry: 3 }, hasDeadLetterSink: true }, { subscriber: 'FFFF', reply: '', deadLetterSink: 'T' }],
    ['three and four, retry 3', { subscriberDrops: 3, replyDrops: 4, delivery: { retry: 3 }, hasDeadLetterSink: true }, { subscriber: 'FFFT', reply: 'FFFF', deadLetterSink: 'T' }],
  ])('%s', async (_, row, expected) => {
    expect(await patternsOf(row)).toEqual(expected);
  });
});

describe('ported: Delivery Spec 0 and 1, a dead letter sink and retry 1 without a word about backoff', () => {
  const delivery: DeliverySpec = { retry: 1 };

  it.each<[string, Omit<Row, 'delivery' | 'hasDeadLetterSink'>, { readonly subscriber: string; readonly reply: string; readonly deadLetterSink: string }]>([
    ['nobody drops', { subscriberReplies: false }, { subscriber: 'T', reply: '', deadLetterSink: '' }],
    ['the subscriber drops one', { subscriberDrops: 1, subscriberReplies: false }, { subscriber: 'FT', reply: '', deadLetterSink: '' }],
    ['the subscriber drops two', { subscriberDrops: 2, subscriberReplies: false }, { subscriber: 'FF', reply: '', deadLetterSink: 'T' }],
    ['subscriber and reply drop one each', { subscriberDrops: 1, replyDrops: 1 }, { subscriber: 'FT', reply: 'FT', deadLetterSink: '' }],
    ['the subscriber drops one, the reply two', { subscriberDrops: 1, replyDrops: 2 }, { subscriber: 'FT', reply: 'FF', deadLetterSink: 'T' }],
  ])('%s', async (_, row, expected) => {
    expect(await patternsOf({ ...row, delivery, hasDeadLetterSink: true })).toEqual(expected);
  });
});

describe('ported: dead letter sink extensions, no retry configured', () => {
  /** Knative's tests install a sink and nothing else. */
  const delivery: DeliverySpec = {};
  const page = '<!doctype html>\n<html>\n<head>\n    <title>Not today</title>\n</head>\n<body>\n<p>The order desk is closed until tomorrow.\n</body></html>';

  it('an unreachable host: its URL, no slash added', async () => {
    const { deadLetterSink } = await deliverOnLoopback({ event: fullEvent, subscriber: 'http://fake.svc.cluster.local', deadLetterSink: [202], delivery });
    expect(deadLetterSink).toHaveLength(1);
    expect(deadLetterSink[0]!.headers['ce-knativeerrordest']).toBe('http://fake.svc.cluster.local');
  });

  it.each<[string, Answer, string | undefined]>([
    ['422 without a body: URL and code, no data', 422, undefined],
    ['422 with a page: its bytes in base64', { status: 422, body: page }, Buffer.from(page).toString('base64')],
  ])('%s', async (_, answer, data) => {
    const { deadLetterSink, subscriber, uris } = await deliverOnLoopback({ event: fullEvent, subscriber: [answer, 202], deadLetterSink: [202], delivery });
    expect(subscriber).toHaveLength(1);
    expect(deadLetterSink).toHaveLength(1); // exactly one event
    expect(deadLetterSink[0]!.headers).toMatchObject({ 'ce-knativeerrordest': uris.subscriber, 'ce-knativeerrorcode': '422' });
    expect(deadLetterSink[0]!.headers['ce-knativeerrordata']).toBe(data);
  });
});

describe('ported: delivery timeout', () => {
  it('a subscriber that answers after it: one event there, one at the dead letter sink', async () => {
    // Both timers are of this process, which fires them in the order of their times, however busy the machine is.
    const late: Answer = (response) => void setTimeout(() => response.writeHead(202).end(), 3_000);
    const { subscriber, deadLetterSink, attempts } = await deliverOnLoopback({ event: fullEvent, subscriber: [late], deadLetterSink: [202], delivery: { timeout: 'PT1S' } });
    expect(subscriber.map(({ headers }) => headers['ce-id'])).toEqual(['full-event']);
    expect(deadLetterSink.map(({ headers }) => headers['ce-id'])).toEqual(['full-event']);
    expect(attempts).toEqual(['subscriber timeout', 'dead-letter-sink 202']);
  });
});

describe('ported: retry after', () => {
  it('429 three times with Retry-After: 6, and retryAfterMax PT30S: four attempts, six seconds between them', async () => {
    const busy: Answer = { status: 429, headers: { 'retry-after': '6' } };
    for (const random of [0, 0.999]) {
      const { subscriber, waits, outcome } = await deliverOnLoopback({
        event: fullEvent, subscriber: [busy, busy, busy, 202], random,
        delivery: { retry: 3, backoffPolicy: 'linear', backoffDelay: 'PT0.5S', retryAfterMax: 'PT30S' },
      });
      expect(subscriber).toHaveLength(4);
      expect(waits).toEqual([6_000, 6_000, 6_000]);
      expect(outcome).toEqual({ kind: 'delivered' });
    }
  });
});

describe('ported: headers of a request', () => {
  it('an event whose sender did not ask for it has Prefer: reply and the namespace of the channel', async () => {
    const { subscriber } = await deliverOnLoopback({ event: fullEvent, subscriber: [202] });
    expect(subscriber[0]!.headers).toMatchObject({ prefer: 'reply', 'kn-namespace': 'shop' });
  });
});

describe('ported: transformation', () => {
  it('what a subscriber makes of events arrives where replies go, each once', async () => {
    const transformed: Answer = { status: 200, headers: { 'ce-specversion': '1.0', 'ce-id': 'full-event', 'ce-source': 'transformer', 'ce-type': 'transformed', 'content-type': 'text/json' }, body: '"hello"' };
    for (let sent = 0; sent < 3; sent++) {
      const first = await deliverOnLoopback({ event: fullEvent, subscriber: [transformed], reply: [202] });
      expect(first.reply).toHaveLength(1);
      // The reply is a second channel's address: what arrives there is the event of that channel.
      const { headers, body } = first.reply[0]!;
      const second = await deliverOnLoopback({ event: { headers: Object.entries(headers).flat(), body }, subscriber: [202] });
      expect(second.subscriber[0]!.headers).toMatchObject({ 'ce-type': 'transformed', 'ce-source': 'transformer', 'ce-id': 'full-event' });
      expect(second.subscriber[0]!.body.toString()).toBe('"hello"');
    }
  });
});
