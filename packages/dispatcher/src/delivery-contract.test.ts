/**
 * What Knative promises about delivery, kept on real HTTP servers: the rules of the data plane specification on the way
 * out, one `describe` each, by the number of the row in the contract that it proves (OUT-04 and so on).
 *
 * @see Knative Eventing specification, data-plane.md; Knative Eventing, DeliverySpec; CloudEvents HTTP binding 1.0.2
 */
import { describe, expect, it, vi } from 'vitest';
import type { DeliverySpec, IncomingRecord } from '@knative-kafka/common/core';
import { deliverOnLoopback, eventHeaders, plainEvent, recordOf, type SentEvent } from './deliver-on-loopback.ts';
import type { Answer } from './io/loopback-subscriber.ts';

// Generous, for machines that are busy and for name servers that take their time.
vi.setConfig({ testTimeout: 30_000 });

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const attributes = { 'ce-specversion': '1.0', 'ce-id': '42', 'ce-source': '/shop/orders', 'ce-type': 'order.placed' };
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');

/** An answer that is an event, in binary mode. */
const answering = (change: { readonly status?: number; readonly headers?: Record<string, string>; readonly body?: string } = {}): Answer => ({
  status: change.status ?? 200,
  headers: { 'ce-specversion': '1.0', 'ce-id': 'r-1', 'ce-source': '/billing', 'ce-type': 'order.billed', 'content-type': 'text/plain', ...change.headers },
  body: change.body ?? 'billed',
});
const replied = { 'ce-specversion': '1.0', 'ce-id': 'r-1', 'ce-source': '/billing', 'ce-type': 'order.billed', 'content-type': 'text/plain' };

const structuredType = 'application/cloudevents+json';
/** With spaces and an order of members that no serializer would make. */
const structuredBody = '{ "data" : {"n":1.0, "big":12345678901234567890}, "type":"order.placed","id":"42", "source":"/shop/orders" ,"specversion":"1.0" }';
const structuredEvent: SentEvent = { headers: ['content-type', structuredType], body: structuredBody };

/** A record that was written by others. */
function recordWith(headers: readonly (readonly [string, string | Buffer])[], value: string | null = '{"n":1}'): IncomingRecord {
  const required = [['ce_specversion', '1.0'], ['ce_id', '42'], ['ce_source', '/shop/orders'], ['ce_type', 'order.placed']] as const;
  return { offset: 0n, key: null, value: value === null ? null : Buffer.from(value), headers: [...required, ...headers].map(([name, text]) => [name, Buffer.from(text)]), timestampMs: 0 };
}

/** Without offset and time, which are the test's. */
function contents({ key, value, headers }: IncomingRecord): Pick<IncomingRecord, 'key' | 'value' | 'headers'> {
  return { key, value, headers };
}

describe('OUT-02: the event arrives as it was sent', () => {
  it.each<[string, SentEvent, Record<string, string>]>([
    ['binary', plainEvent, { ...attributes, 'content-type': 'application/json' }],
    ['of specversion 0.3', { headers: plainEvent.headers.map((text) => (text === '1.0' ? '0.3' : text)), body: '{"n":1}' }, { ...attributes, 'ce-specversion': '0.3', 'content-type': 'application/json' }],
    ['with extensions', { headers: [...plainEvent.headers, 'Ce-Count', '007', 'CE-FLAG', 'TRUE', 'ce-time', '2024-01-31T23:59:59.123456789-07:00'], body: 'x' }, { ...attributes, 'content-type': 'application/json', 'ce-count': '007', 'ce-flag': 'TRUE', 'ce-time': '2024-01-31T23:59:59.123456789-07:00' }],
    ['without data', { headers: plainEvent.headers.slice(0, 8) }, attributes],
    ['with data of any bytes', { headers: [...plainEvent.headers.slice(0, 8), 'content-type', 'application/octet-stream'], body: Buffer.from(Array.from({ length: 256 }, (_, n) => n)) }, { ...attributes, 'content-type': 'application/octet-stream' }],
    ['structured', structuredEvent, { 'content-type': structuredType }],
  ])('%s', async (_, event, headers) => {
    const { subscriber, outcome } = await deliverOnLoopback({ subscriber: [202], event });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(subscriber).toHaveLength(1);
    expect(subscriber[0]).toMatchObject({ method: 'POST', path: '/', body: Buffer.from(event.body ?? '') });
    expect(eventHeaders(subscriber[0]!)).toEqual({ ...headers, prefer: 'reply', 'kn-namespace': 'shop' });
  });

  it('in the same way at every attempt', async () => {
    const { subscriber } = await deliverOnLoopback({ subscriber: [503, 503, 200], event: structuredEvent });
    expect(subscriber).toHaveLength(3);
    expect(subscriber[1]).toEqual(subscriber[0]);
    expect(subscriber[2]).toEqual(subscriber[0]);
  });
});

describe('OUT-03: requests say that an answer may be a reply, and whose channel it is', () => {
  it('a subscriber is told both, whether or not somebody wants its reply', async () => {
    for (const reply of [undefined, [200]]) {
      const { subscriber } = await deliverOnLoopback({ subscriber: [200], ...(reply === undefined ? {} : { reply }) });
      expect(subscriber[0]!.headers).toMatchObject({ prefer: 'reply', 'kn-namespace': 'shop' });
    }
  });

  it('who gets a reply or a dead letter is told the namespace only', async () => {
    const { reply, deadLetterSink } = await deliverOnLoopback({ subscriber: [answering()], reply: [400], deadLetterSink: [200] });
    for (const request of [reply[0]!, deadLetterSink[0]!]) {
      expect(request.headers).toMatchObject({ 'kn-namespace': 'shop' });
      expect(request.headers).not.toHaveProperty('prefer');
    }
  });
});

describe('OUT-04: the status of the answer decides', () => {
  const delivery: DeliverySpec = { retry: 1 };

  it.each([200, 201, 202, 203, 204, 205, 206, 226, 299])('%i is delivered', async (status) => {
    const { attempts, outcome } = await deliverOnLoopback({ subscriber: [status], deadLetterSink: [200], delivery });
    expect(attempts).toEqual([`subscriber ${status}`]);
    expect(outcome).toEqual({ kind: 'delivered' });
  });

  it.each([404, 408, 409, 429, 500, 501, 502, 503, 504, 511, 599, 600, 777, 999])('%i is tried again', async (status) => {
    const { attempts, outcome } = await deliverOnLoopback({ subscriber: [status], deadLetterSink: [200], delivery });
    expect(attempts).toEqual([`subscriber ${status}`, `subscriber ${status}`, 'dead-letter-sink 200']);
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: `status-${status}` });
  });

  it.each([300, 301, 302, 303, 304, 305, 307, 308, 399, 400, 401, 402, 403, 405, 406, 407, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 431, 451, 499])('%i fails at once', async (status) => {
    const { attempts, outcome } = await deliverOnLoopback({ subscriber: [status], deadLetterSink: [200], delivery });
    expect(attempts).toEqual([`subscriber ${status}`, 'dead-letter-sink 200']);
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: `status-${status}` });
  });

  it.each([301, 302, 303, 307, 308])('%i is not followed', async (status) => {
    const { subscriber, deadLetterSink } = await deliverOnLoopback({ subscriber: [{ status, headers: { location: '/there' } }, 200], deadLetterSink: [200], delivery });
    expect(subscriber.map(({ path }) => path)).toEqual(['/']);
    expect(deadLetterSink).toHaveLength(1);
  });

  it.each<[string, readonly Answer[] | string, string]>([
    ['a connection that is cut', ['reset'], 'connection-lost'],
    ['no answer in time', ['hang'], 'timeout'],
    ['nobody there', 'http://127.0.0.1:1', 'connection-refused'],
    ['a host that nobody knows', 'http://nobody.invalid', 'dns-failed'],
  ])('%s is tried again', async (_, subscriber, failure) => {
    const { attempts, outcome } = await deliverOnLoopback({ subscriber, deadLetterSink: [200], delivery: { ...delivery, timeout: failure === 'timeout' ? 'PT1S' : 'PT20S' } });
    expect(attempts).toEqual([`subscriber ${failure}`, `subscriber ${failure}`, 'dead-letter-sink 200']);
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: failure });
  });
});

describe('OUT-05: attempts are retry + 1', () => {
  it.each<[string, DeliverySpec | undefined, DeliverySpec | undefined, number]>([
    ['retry 0', { retry: 0 }, undefined, 1],
    ['retry 1', { retry: 1 }, undefined, 2],
    ['retry 5', { retry: 5 }, undefined, 6],
    ['a delivery that does not speak of it', { backoffDelay: 'PT1S' }, undefined, 1],
    ['retry 3 of the channel', undefined, { retry: 3 }, 4],
    ['retry of both, the Subscription’s', { retry: 2 }, { retry: 3 }, 3],
    ['a delivery of the Subscription that does not speak of it, whatever the channel’s says', {}, { retry: 3 }, 1],
    ['no delivery anywhere, the 10 of the defaults', undefined, undefined, 11],
  ])('%s', async (_, delivery, channelDelivery, attempts) => {
    const { subscriber, outcome, waits } = await deliverOnLoopback({ subscriber: [503], ...(delivery === undefined ? {} : { delivery }), ...(channelDelivery === undefined ? {} : { channelDelivery }) });
    expect(subscriber).toHaveLength(attempts);
    expect(waits).toHaveLength(attempts - 1);
    expect(outcome).toEqual({ kind: 'dropped', reason: 'status-503' });
  });

  it('and none more once it is delivered', async () => {
    const { subscriber, outcome } = await deliverOnLoopback({ subscriber: [503, 200], delivery: { retry: 5 } });
    expect(subscriber).toHaveLength(2);
    expect(outcome).toEqual({ kind: 'delivered' });
  });
});

describe('OUT-06: the wait before a retry is the backoff', () => {
  it.each<[string, DeliverySpec, number, number[]]>([
    ['linear: delay × retry', { retry: 4, backoffPolicy: 'linear', backoffDelay: 'PT0.5S' }, 0, [500, 1_000, 1_500, 2_000]],
    ['exponential: delay × 2^retry', { retry: 4, backoffPolicy: 'exponential', backoffDelay: 'PT0.5S' }, 0, [1_000, 2_000, 4_000, 8_000]],
    ['longer by chance, never shorter', { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT1S' }, 0.5, [1_050, 2_100]],
    ['at most five minutes, chance included', { retry: 4, backoffPolicy: 'exponential', backoffDelay: 'PT1M' }, 0.5, [126_000, 252_000, 300_000, 300_000]],
    ['none where the delay is none', { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT0S' }, 0.5, [0, 0]],
    ['exponential from 300 ms where only retry is given', { retry: 3 }, 0, [600, 1_200, 2_400]],
  ])('%s', async (_, delivery, random, expected) => {
    const { waits } = await deliverOnLoopback({ subscriber: [503], delivery, random });
    expect(waits.map((ms) => Math.round(ms))).toEqual(expected);
  });
});

describe('OUT-07: Retry-After', () => {
  const nowMs = Date.parse('2024-06-01T12:00:00Z');
  const linear: DeliverySpec = { retry: 1, backoffPolicy: 'linear', backoffDelay: 'PT2S', retryAfterMax: 'PT30S' };

  it.each<[string, number, string, DeliverySpec, number]>([
    ['seconds with 429', 429, '6', linear, 6_000],
    ['seconds with 503', 503, '6', linear, 6_000],
    ['a date', 503, 'Sat, 01 Jun 2024 12:00:07 GMT', linear, 7_000],
    ['a date in the form of RFC 850', 503, 'Saturday, 01-Jun-24 12:00:07 GMT', linear, 7_000],
    ['a date in the form of asctime', 503, 'Sat Jun  1 12:00:07 2024', linear, 7_000],
    ['no more than retryAfterMax', 429, '3600', linear, 30_000],
    ['no more than retryAfterMax as a date', 429, 'Sat, 01 Jun 2024 13:00:00 GMT', linear, 30_000],
    ['never less than the backoff', 429, '1', linear, 2_000],
    ['a date of the past', 429, 'Sat, 01 Jun 2024 11:00:00 GMT', linear, 2_000],
    ['nothing that can be read', 429, 'soon', linear, 2_000],
    ['not with 500', 500, '6', linear, 2_000],
    ['not with 404', 404, '6', linear, 2_000],
    ['not without retryAfterMax', 429, '6', { retry: 1, backoffPolicy: 'linear', backoffDelay: 'PT2S' }, 2_000],
    ['not with retryAfterMax PT0S', 429, '6', { ...linear, retryAfterMax: 'PT0S' }, 2_000],
  ])('%s', async (_, status, retryAfter, delivery, expected) => {
    const { waits } = await deliverOnLoopback({ subscriber: [{ status, headers: { 'retry-after': retryAfter } }, 200], delivery, nowMs });
    expect(waits).toEqual([expected]);
  });

  it('counts for a reply and a dead letter, too', async () => {
    const asking: Answer = { status: 429, headers: { 'retry-after': '6' } };
    const { waits, attempts } = await deliverOnLoopback({ subscriber: [answering()], reply: [asking], deadLetterSink: [asking, 200], delivery: linear });
    expect(attempts).toEqual(['subscriber 200', 'reply 429', 'reply 429', 'dead-letter-sink 429', 'dead-letter-sink 200']);
    expect(waits).toEqual([6_000, 6_000]);
  });

  it('gives nobody a retry that has none', async () => {
    const { attempts } = await deliverOnLoopback({ subscriber: [{ status: 429, headers: { 'retry-after': '6' } }], delivery: { retryAfterMax: 'PT30S' } });
    expect(attempts).toEqual(['subscriber 429']);
  });
});

describe('OUT-08: the timeout is one attempt’s', () => {
  it('the next one has it anew', async () => {
    const { attempts, outcome } = await deliverOnLoopback({ subscriber: ['hang', 'hang', 200], delivery: { retry: 2, timeout: 'PT1S' } });
    expect(attempts).toEqual(['subscriber timeout', 'subscriber timeout', 'subscriber 200']);
    expect(outcome).toEqual({ kind: 'delivered' });
  });

  it('it is that of a reply and of a dead letter, too', async () => {
    const { attempts, outcome } = await deliverOnLoopback({ subscriber: [answering()], reply: ['hang'], deadLetterSink: ['hang', 200], delivery: { retry: 1, timeout: 'PT1S' } });
    expect(attempts).toEqual(['subscriber 200', 'reply timeout', 'reply timeout', 'dead-letter-sink timeout', 'dead-letter-sink 200']);
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: 'timeout' });
  });

  it('an answer whose status has come is one', async () => {
    const half = (status: number): Answer => (response) => void response.writeHead(status).write('half');
    const { attempts, outcome } = await deliverOnLoopback({ subscriber: [half(503), half(200)], delivery: { retry: 2, timeout: 'PT1S' } });
    expect(attempts).toEqual(['subscriber 503', 'subscriber 200']);
    expect(outcome).toEqual({ kind: 'delivered' });
  });

  it('a reply that does not end is none', async () => {
    const half: Answer = (response) => void response.writeHead(200, replied).write('half');
    const { attempts, replies } = await deliverOnLoopback({ subscriber: [half, answering()], reply: [202], delivery: { retry: 1, timeout: 'PT1S' } });
    expect(attempts).toEqual(['subscriber timeout', 'subscriber 200', 'reply 202']);
    expect(replies).toEqual(['sent']);
  });
});

describe('OUT-09: an event in the answer goes on to the reply', () => {
  it.each([200, 201, 203, 206])('of a %i', async (status) => {
    const { reply, outcome, replies } = await deliverOnLoopback({ subscriber: [answering({ status })], reply: [202] });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(replies).toEqual(['sent']);
    expect(reply).toHaveLength(1);
    expect(reply[0]).toMatchObject({ method: 'POST', path: '/', body: Buffer.from('billed') });
    expect(eventHeaders(reply[0]!)).toEqual({ ...replied, 'kn-namespace': 'shop' });
  });

  it('in the mode and version it came in, whatever the format of the delivery', async () => {
    const body = '{"specversion":"0.3", "id":"r-1","source":"/billing","type":"order.billed","data":1.0}';
    const { reply } = await deliverOnLoopback({ subscriber: [{ status: 200, headers: { 'content-type': structuredType }, body }], reply: [202], delivery: { format: 'binary' } });
    expect(reply[0]!.body.toString()).toBe(body);
    expect(reply[0]!.headers).toMatchObject({ 'content-type': structuredType });
  });

  it('without data where it has none', async () => {
    const { reply } = await deliverOnLoopback({ subscriber: [{ status: 204, headers: { 'ce-specversion': '1.0', 'ce-id': 'r', 'ce-source': '/r', 'ce-type': 'r' } }], reply: [202] });
    expect(reply[0]!.body).toHaveLength(0);
    expect(reply[0]!.headers).toMatchObject({ 'ce-id': 'r' });
  });

  it('with retries of its own; the subscriber is not called again', async () => {
    const { attempts, outcome, waits } = await deliverOnLoopback({ subscriber: [503, answering()], reply: [503, 404, 200], delivery: { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT1S' } });
    expect(attempts).toEqual(['subscriber 503', 'subscriber 200', 'reply 503', 'reply 404', 'reply 200']);
    expect(waits).toEqual([1_000, 1_000, 2_000]);
    expect(outcome).toEqual({ kind: 'delivered' });
  });

  it('and an event in the answer to that goes nowhere', async () => {
    const { attempts } = await deliverOnLoopback({ subscriber: [answering()], reply: [answering()] });
    expect(attempts).toEqual(['subscriber 200', 'reply 200']);
  });
});

describe('OUT-10: what is no reply is left, and the event is delivered', () => {
  it.each<[string, Answer, string[]]>([
    ['an event in a 202', answering({ status: 202 }), []],
    ['a structured event in a 202', { status: 202, headers: { 'content-type': structuredType }, body: structuredBody }, []],
    ['a page', { status: 200, headers: { 'content-type': 'text/html' }, body: '<p>thanks' }, []],
    ['JSON', { status: 200, headers: { 'content-type': 'application/json' }, body: structuredBody }, []],
    ['an empty body', 200, []],
    ['a batch', { status: 200, headers: { 'content-type': 'application/cloudevents-batch+json' }, body: `[${structuredBody}]` }, []],
    ['a binary event without an id', { status: 200, headers: { 'ce-specversion': '1.0', 'ce-source': '/r', 'ce-type': 'r' }, body: 'x' }, ['invalid']],
    ['an event of a version that nobody knows', answering({ headers: { 'ce-specversion': '9.9' } }), ['invalid']],
    ['a structured event that is no JSON', { status: 200, headers: { 'content-type': structuredType }, body: '{' }, ['invalid']],
    ['a structured event without a body', { status: 200, headers: { 'content-type': structuredType } }, ['invalid']],
  ])('%s', async (_, answer, counted) => {
    const { attempts, outcome, replies } = await deliverOnLoopback({ subscriber: [answer], reply: [200], deadLetterSink: [200] });
    expect(attempts).toHaveLength(1);
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(replies).toEqual(counted);
  });

  it('an event that nobody wants', async () => {
    const { attempts, outcome, replies } = await deliverOnLoopback({ subscriber: [answering()], deadLetterSink: [200] });
    expect(attempts).toEqual(['subscriber 200']);
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(replies).toEqual([]);
  });
});

describe('OUT-11: what cannot be delivered goes to the dead letter sink', () => {
  const delivery: DeliverySpec = { retry: 0, timeout: 'PT20S' };

  it('as it was sent, with what went wrong', async () => {
    const body = 'no such order';
    const { deadLetterSink, uris, outcome } = await deliverOnLoopback({ subscriber: [{ status: 422, body }], deadLetterSink: [202], delivery });
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: 'status-422' });
    expect(deadLetterSink).toHaveLength(1);
    expect(deadLetterSink[0]).toMatchObject({ method: 'POST', path: '/', body: Buffer.from('{"n":1}') });
    expect(eventHeaders(deadLetterSink[0]!)).toEqual({
      ...attributes, 'content-type': 'application/json', 'kn-namespace': 'shop',
      'ce-knativeerrordest': uris.subscriber, 'ce-knativeerrorcode': '422', 'ce-knativeerrordata': base64(body),
    });
  });

  it.each(['', '/', '/a/../b//c', '/a?x=%20&y#z'])('under the subscriber’s URL as configured, nothing added: %j', async (path) => {
    const { deadLetterSink, uris } = await deliverOnLoopback({ subscriber: [400], deadLetterSink: [202], delivery, path });
    expect(deadLetterSink[0]!.headers['ce-knativeerrordest']).toBe(uris.subscriber);
    expect(uris.subscriber.endsWith(path)).toBe(true);
  });

  it.each<[string, string | readonly Answer[], DeliverySpec, RegExp]>([
    ['nobody is there', 'http://127.0.0.1:1', delivery, /ECONNREFUSED/],
    ['the host has no address', 'http://nobody.invalid', delivery, /nobody\.invalid/],
    ['nothing came in time', ['hang'], { retry: 0, timeout: 'PT1S' }, /no answer within 1000 ms/],
    ['the connection was cut', ['reset'], delivery, /closed|reset/i],
  ])('with code 500 and the error where there was no answer: %s', async (_, subscriber, given, message) => {
    const { deadLetterSink, uris } = await deliverOnLoopback({ subscriber, deadLetterSink: [202], delivery: given });
    const { headers } = deadLetterSink[0]!;
    expect(headers).toMatchObject({ 'ce-knativeerrordest': uris.subscriber, 'ce-knativeerrorcode': '500' });
    const data = Buffer.from(headers['ce-knativeerrordata']!, 'base64').toString();
    expect(data).toMatch(/^dispatch error: /);
    expect(data).toMatch(message);
  });

  it.each<[string, Answer, string | undefined]>([
    ['nothing of an empty body', 400, undefined],
    ['all of a short one', { status: 400, body: Buffer.from([0, 10, 255]) }, base64(Buffer.from([0, 10, 255]))],
    ['768 bytes', { status: 400, body: 'x'.repeat(768) }, base64('x'.repeat(768))],
    ['the first 768 bytes of more', { status: 400, body: 'x'.repeat(800) }, base64('x'.repeat(768))],
    ['the first 768 bytes of megabytes', { status: 400, body: 'x'.repeat(3_000_000) }, base64('x'.repeat(768))],
  ])('with %s as data', async (_, answer, data) => {
    const { deadLetterSink } = await deliverOnLoopback({ subscriber: [answer], deadLetterSink: [202], delivery });
    expect(deadLetterSink[0]!.headers['ce-knativeerrordata']).toBe(data);
    expect(data?.length ?? 0).toBeLessThanOrEqual(1024);
  });

  it('with the last failure of several', async () => {
    const { deadLetterSink } = await deliverOnLoopback({ subscriber: [{ status: 503, body: 'first' }, { status: 400, body: 'last' }], deadLetterSink: [202], delivery: { retry: 5 } });
    expect(deadLetterSink[0]!.headers).toMatchObject({ 'ce-knativeerrorcode': '400', 'ce-knativeerrordata': base64('last') });
  });

  it('with the first error of a chain of dead letter sinks', async () => {
    const event = { ...plainEvent, headers: [...plainEvent.headers, 'ce-knativeerrordest', 'http://first', 'ce-knativeerrorcode', '418'] };
    const { deadLetterSink } = await deliverOnLoopback({ subscriber: [{ status: 400, body: 'second' }], deadLetterSink: [202], delivery, event });
    expect(deadLetterSink[0]!.headers).toMatchObject({ 'ce-knativeerrordest': 'http://first', 'ce-knativeerrorcode': '418', 'ce-knativeerrordata': base64('second') });
  });

  it('in structured mode with the extensions in the event, and nothing else of it changed', async () => {
    const { deadLetterSink, uris } = await deliverOnLoopback({ subscriber: [{ status: 400, body: 'no' }], deadLetterSink: [202], delivery, event: structuredEvent });
    const { headers, body } = deadLetterSink[0]!;
    expect(headers).toMatchObject({ 'content-type': structuredType });
    expect(headers).not.toHaveProperty('ce-knativeerrordest');
    expect(body.toString().startsWith(structuredBody.slice(0, structuredBody.lastIndexOf('}')).trimEnd())).toBe(true);
    expect(JSON.parse(body.toString())).toEqual({ ...(JSON.parse(structuredBody) as object), knativeerrordest: uris.subscriber, knativeerrorcode: '400', knativeerrordata: base64('no') });
  });

  it('with its trace', async () => {
    const event = { ...plainEvent, headers: [...plainEvent.headers, 'traceparent', traceparent, 'x-request-id', 'q'] };
    const { deadLetterSink } = await deliverOnLoopback({ subscriber: [400], deadLetterSink: [202], delivery, event });
    expect(deadLetterSink[0]!.headers).toMatchObject({ traceparent, 'x-request-id': 'q' });
  });
});

describe('OUT-12: a reply that fails dead-letters the event that was answered', () => {
  it('with the reply’s URL and answer; the subscriber is not called again', async () => {
    const { attempts, deadLetterSink, uris, outcome, replies } = await deliverOnLoopback({ subscriber: [answering()], reply: [{ status: 503, body: 'full' }], deadLetterSink: [202], delivery: { retry: 1 } });
    expect(attempts).toEqual(['subscriber 200', 'reply 503', 'reply 503', 'dead-letter-sink 202']);
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: 'status-503' });
    expect(replies).toEqual(['failed']);
    expect(deadLetterSink[0]!.body.toString()).toBe('{"n":1}');
    expect(deadLetterSink[0]!.headers).toMatchObject({ ...attributes, 'ce-knativeerrordest': uris.reply, 'ce-knativeerrorcode': '503', 'ce-knativeerrordata': base64('full') });
  });

  it('as it does when it is larger than replies may be', async () => {
    const { attempts, deadLetterSink, uris } = await deliverOnLoopback({ subscriber: [answering({ body: 'x'.repeat(101) })], reply: [202], deadLetterSink: [202], replyLimitBytes: 100 });
    expect(attempts).toEqual(['subscriber 200', 'dead-letter-sink 202']);
    expect(deadLetterSink[0]!.headers).toMatchObject({ 'ce-knativeerrordest': uris.reply, 'ce-knativeerrorcode': '413' });
  });

  it('and drops it where there is no dead letter sink', async () => {
    const { attempts, outcome } = await deliverOnLoopback({ subscriber: [answering()], reply: [400] });
    expect(attempts).toEqual(['subscriber 200', 'reply 400']);
    expect(outcome).toEqual({ kind: 'dropped', reason: 'status-400' });
  });
});

describe('OUT-13: a dead letter sink that fails', () => {
  it('is tried as often as a subscriber', async () => {
    const { attempts, outcome, waits } = await deliverOnLoopback({ subscriber: [400], deadLetterSink: [503, 503, 202], delivery: { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT1S' } });
    expect(attempts).toEqual(['subscriber 400', 'dead-letter-sink 503', 'dead-letter-sink 503', 'dead-letter-sink 202']);
    expect(waits).toEqual([1_000, 2_000]);
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: 'status-400' });
  });

  it.each<[string, readonly Answer[] | string]>([['refuses', [400]], ['fails for ever', [503]], ['is not there', 'http://127.0.0.1:1']])('and %s leaves the event to the dead letter topic: nothing is lost, and processing goes on', async (_, deadLetterSink) => {
    const { outcome, kept, uris } = await deliverOnLoopback({ subscriber: [{ status: 422, body: 'no' }], deadLetterSink, delivery: { retry: 1 } });
    expect(outcome).toEqual({ kind: 'kept', reason: 'status-422' });
    expect(kept).toMatchObject([{ failure: { uri: uris.subscriber, answer: { status: 422, body: Buffer.from('no') } }, reason: 'status-422' }]);
    expect(contents(kept[0]!.record)).toEqual(contents(recordOf(plainEvent)));
  });
});

describe('OUT-14: without a dead letter sink', () => {
  it('the event is dropped after its retries', async () => {
    const { outcome, kept, attempts } = await deliverOnLoopback({ subscriber: [503], delivery: { retry: 1 } });
    expect(attempts).toEqual(['subscriber 503', 'subscriber 503']);
    expect(outcome).toEqual({ kind: 'dropped', reason: 'status-503' });
    expect(kept).toEqual([]);
  });

  it('it is kept where people asked for that', async () => {
    const { outcome, kept } = await deliverOnLoopback({ subscriber: [503], delivery: { retry: 1 }, keepsUndeliverable: true });
    expect(outcome).toEqual({ kind: 'kept', reason: 'status-503' });
    expect(kept).toMatchObject([{ attempts: 2 }]);
  });
});

describe('OUT-17: delivery.format', () => {
  const binary = { headers: { ...attributes, 'content-type': 'application/json' }, body: '{"n":1}' };
  const json = { headers: { 'content-type': `${structuredType}; charset=utf-8` }, body: '{"specversion":"1.0","id":"42","source":"/shop/orders","type":"order.placed","datacontenttype":"application/json","data":{"n":1}}' };
  const fromStructured = { headers: { ...attributes, 'content-type': 'application/json' }, body: '{"n":1.0, "big":12345678901234567890}' };

  it.each<[string, DeliverySpec, SentEvent, { readonly headers: object; readonly body: string }]>([
    ['json makes a binary event structured', { format: 'json' }, plainEvent, json],
    ['json leaves a structured event as it is', { format: 'json' }, structuredEvent, { headers: { 'content-type': structuredType }, body: structuredBody }],
    ['binary makes a structured event binary, its digits untouched', { format: 'binary' }, structuredEvent, fromStructured],
    ['binary leaves a binary event as it is', { format: 'binary' }, plainEvent, binary],
    ['absent leaves a binary event as it is', {}, plainEvent, binary],
    ['absent leaves a structured event as it is', {}, structuredEvent, { headers: { 'content-type': structuredType }, body: structuredBody }],
  ])('%s', async (_, delivery, event, expected) => {
    const { subscriber } = await deliverOnLoopback({ subscriber: [200], delivery, event });
    expect(subscriber[0]!.body.toString()).toBe(expected.body);
    expect(eventHeaders(subscriber[0]!)).toEqual({ ...expected.headers, prefer: 'reply', 'kn-namespace': 'shop' });
  });

  it('holds for the dead letter, which has its extensions in that form', async () => {
    const { deadLetterSink, uris } = await deliverOnLoopback({ subscriber: [400], deadLetterSink: [200], delivery: { format: 'json' } });
    expect(JSON.parse(deadLetterSink[0]!.body.toString())).toEqual({ ...(JSON.parse(json.body) as object), knativeerrordest: uris.subscriber, knativeerrorcode: '400' });
    const other = await deliverOnLoopback({ subscriber: [400], deadLetterSink: [200], delivery: { format: 'binary' }, event: structuredEvent });
    expect(other.deadLetterSink[0]!.headers).toMatchObject({ ...fromStructured.headers, 'ce-knativeerrordest': other.uris.subscriber, 'ce-knativeerrorcode': '400' });
  });
});

describe('OUT-22: no value of an event can break a request', () => {
  it.each<[string, string | Buffer, string]>([
    ['letters beyond ASCII are percent-encoded as UTF-8', 'Größe €', 'Gr%C3%B6%C3%9Fe%20%E2%82%AC'],
    ['line ends are percent-encoded', 'a\r\nx-injected: b', 'a%0D%0Ax-injected:%20b'],
    ['zero bytes are percent-encoded', 'a\0b', 'a%00b'],
    ['spaces at an end are percent-encoded, and then all of it', ' a "b"', '%20a%20%22b%22'],
    ['percent signs, quotes and spaces inside stay as they are', '100% "of" a%20b', '100% "of" a%20b'],
    ['bytes that are no UTF-8 become the sign for that', Buffer.from([0x61, 0xff]), 'a%EF%BF%BD'],
  ])('%s', async (_, value, sent) => {
    const { subscriber, outcome } = await deliverOnLoopback({ subscriber: [200], record: recordWith([['ce_note', value]]) });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(eventHeaders(subscriber[0]!)).toEqual({ ...attributes, 'ce-note': sent, prefer: 'reply', 'kn-namespace': 'shop' });
  });

  it.each<[string, readonly (readonly [string, string])[]]>([
    ['a name that is no header’s is left out', [['ce_bad name', 'x'], ['ce_bad\r\nname', 'x'], ['ce_bäd', 'x']]],
    ['a content type with a line end is encoded', [['content-type', 'text/plain\r\nx-injected: b']]],
    ['headers that have no business in an event are left out', [['host', 'elsewhere'], ['content-length', '1'], ['transfer-encoding', 'chunked'], ['connection', 'close'], ['authorization', 'secret'], ['prefer', 'no']]],
    ['transport headers that HTTP cannot carry are left out', [['traceparent', 'a\r\nb'], ['knative-x', 'ü'], ['knative-bad name', 'x']]],
  ])('%s', async (_, headers) => {
    const { subscriber, outcome } = await deliverOnLoopback({ subscriber: [200], record: recordWith(headers) });
    expect(outcome).toEqual({ kind: 'delivered' });
    const { 'content-type': contentType, ...others } = eventHeaders(subscriber[0]!);
    expect(others).toEqual({ ...attributes, prefer: 'reply', 'kn-namespace': 'shop' });
    expect([undefined, 'text/plain%0D%0Ax-injected:%20b']).toContain(contentType);
    expect(subscriber[0]!.body.toString()).toBe('{"n":1}');
  });

  it('what an answer holds cannot break the dead letter', async () => {
    const { deadLetterSink } = await deliverOnLoopback({ subscriber: [{ status: 400, body: 'a\r\nx-injected: b\0ü' }], deadLetterSink: [200], delivery: {} });
    expect(deadLetterSink[0]!.headers['ce-knativeerrordata']).toBe(base64('a\r\nx-injected: b\0ü'));
    expect(deadLetterSink[0]!.headers).not.toHaveProperty('x-injected');
  });

  it('an attribute larger than servers take is an answer like any other', async () => {
    const { outcome, attempts } = await deliverOnLoopback({ subscriber: [200], deadLetterSink: [200], record: recordWith([['ce_large', 'x'.repeat(100_000)]]), delivery: {} });
    expect(attempts).toEqual(['subscriber 431', 'dead-letter-sink 431']);
    expect(outcome).toEqual({ kind: 'kept', reason: 'status-431' });
  });

  it('a text that HTTP carries comes back from it as it was sent', async () => {
    const note = 'a%20b "c" 100% d';
    const { subscriber } = await deliverOnLoopback({ subscriber: [200], event: { ...plainEvent, headers: [...plainEvent.headers, 'ce-note', note] } });
    expect(subscriber[0]!.headers['ce-note']).toBe(note);
  });
});

describe('IN-13: what travels with an event reaches the subscriber', () => {
  const travelling = { traceparent, tracestate: 'a=1,b=2', 'x-request-id': 'q-1', 'knative-anything': 'k', 'x-b3-traceid': '80f198ee56343ba864fe8b2a57d3eff7', 'x-b3-sampled': '1' };

  it('trace context, request id, knative- and x-b3- headers; no others', async () => {
    const sent = { ...travelling, 'X-Other': 'no', Authorization: 'Bearer secret', Cookie: 'c', 'Retry-After': '5', Prefer: 'other', 'Kn-Namespace': 'elsewhere' };
    const event = { ...plainEvent, headers: [...plainEvent.headers, ...Object.entries(sent).flat()] };
    const { subscriber } = await deliverOnLoopback({ subscriber: [503, 200], event });
    expect(subscriber).toHaveLength(2);
    for (const request of subscriber) expect(eventHeaders(request)).toEqual({ ...attributes, 'content-type': 'application/json', ...travelling, prefer: 'reply', 'kn-namespace': 'shop' });
  });

  it('beside an attribute of the same name', async () => {
    const own = '00-11111111111111111111111111111111-2222222222222222-00';
    const event = { ...plainEvent, headers: [...plainEvent.headers, 'ce-traceparent', own, 'traceparent', traceparent] };
    const { subscriber } = await deliverOnLoopback({ subscriber: [200], event });
    expect(subscriber[0]!.headers).toMatchObject({ 'ce-traceparent': own, traceparent });
  });

  it('and with a reply those that the answer has, which goes on with the event’s trace', async () => {
    const event = { ...plainEvent, headers: [...plainEvent.headers, ...Object.entries(travelling).flat()] };
    const headers = { 'x-request-id': 'q-2', 'knative-answer': 'a', 'x-b3-spanid': 's', 'x-other': 'no', 'set-cookie': 'c' };
    const { reply } = await deliverOnLoopback({ subscriber: [answering({ headers })], reply: [200], event });
    expect(eventHeaders(reply[0]!)).toEqual({ ...replied, 'x-request-id': 'q-2', 'knative-answer': 'a', 'x-b3-spanid': 's', traceparent, tracestate: 'a=1,b=2', 'kn-namespace': 'shop' });
  });

  it('unless the answer has a trace of its own', async () => {
    const own = '00-0af7651916cd43dd8448eb211c80319c-1111111111111111-01';
    const event = { ...plainEvent, headers: [...plainEvent.headers, ...Object.entries(travelling).flat()] };
    const { reply } = await deliverOnLoopback({ subscriber: [answering({ headers: { traceparent: own } })], reply: [200], event });
    expect(reply[0]!.headers).toMatchObject({ traceparent: own });
    expect(reply[0]!.headers).not.toHaveProperty('tracestate');
  });
});
