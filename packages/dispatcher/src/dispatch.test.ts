/**
 * What follows from each answer, with the answers given: who is asked next, how often, what a wait holds, and how it
 * ends. The same on real servers is delivery-contract.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { decodeKafkaEvent, defaultDelivery, type Delivery, type IncomingRecord } from '@knative-kafka/common/core';
import type { Destination } from './core/desired-consumers.ts';
import { recordHeaders } from './core/record-headers.ts';
import { TextHeaders } from './core/request-headers.ts';
import type { DeliveryAnswer } from './core/response-verdict.ts';
import type { DeliveryRequest } from './core/delivery-attempt.ts';
import { dispatch, startDispatch, type DispatchIo, type DispatchOutcome, type HeldRecord, type RateLimit, type Undeliverable } from './dispatch.ts';
import { fetchedRecord } from './fetched-record-of.ts';

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const eventHeaders: [string, string][] = [['ce_specversion', '1.0'], ['ce_id', '1'], ['ce_source', '/s'], ['ce_type', 't'], ['content-type', 'application/json'], ['traceparent', traceparent]];
const eventBody = '{"n":1}';

/** A record whose bytes are views of one fetch, as a client hands it over. */
function fetched(headers: readonly [string, string][] = eventHeaders, value: string | null = eventBody) {
  const fetch = Buffer.alloc(10_000);
  let end = 0;
  const view = (text: string): Buffer => {
    const start = end;
    end += fetch.write(text, start);
    return fetch.subarray(start, end);
  };
  const record: IncomingRecord = {
    offset: 7n, key: view('key'), value: value === null ? null : view(value), headers: headers.map(([name, text]) => [name, view(text)]), timestampMs: 5,
  };
  return { fetch, record };
}

const [subscriber, replyUri, sink] = ['http://subscriber', 'http://reply', 'http://sink'];
const to = (uri: string) => ({ uri, caCerts: undefined });
const status = (code: number, retryAfter?: string): DeliveryAnswer => ({ status: code, retryAfter });
const timeout: DeliveryAnswer = { failure: 'timeout', message: 'no answer within 5 ms' };
const replied: DeliveryAnswer = { status: 200, reply: { headers: ['ce-specversion', '1.0', 'ce-id', 'r', 'ce-source', '/r', 'ce-type', 'answered'], body: Buffer.from('hi') } };

interface SetUp {
  /** In turn by URL, the last one for ever. */
  readonly answers: Readonly<Record<string, readonly DeliveryAnswer[]>>;
  readonly delivery?: Partial<Delivery>;
  readonly destination?: Partial<Destination>;
  readonly record?: IncomingRecord;
  readonly random?: number;
  readonly nowMs?: number;
  /** Whether the dead letter topic takes it before the signal. */
  readonly isKept?: boolean;
  /** Called in each wait; it may change what it likes. */
  readonly onSleep?: (all: { readonly waits: number; moveTo(change: Partial<Destination>): void; stop(): void }) => void;
  readonly rateLimit?: () => RateLimit | undefined;
  readonly plainHeaders?: DispatchIo['plainHeaders'];
  readonly onSend?: (request: DeliveryRequest, moveTo: (change: Partial<Destination>) => void) => void;
}

/** Runs one record to its outcome. */
async function run({ answers, delivery = {}, destination = {}, record = fetched().record, random = 0, nowMs = 0, isKept = true, onSleep, rateLimit, plainHeaders, onSend }: SetUp) {
  const sent: DeliveryRequest[] = [];
  const asked = new Map<string, number>();
  const slept: number[] = [];
  const attempts: string[] = [];
  const replies: string[] = [];
  const kept: Undeliverable[] = [];
  let reads = 0;
  let current: Destination = {
    subscriber: { uri: subscriber, caCerts: 'PEM' }, reply: undefined, deadLetterSink: undefined, keepsUndeliverable: false, namespace: 'shop',
    delivery: { ...defaultDelivery, retry: 2, backoffPolicy: 'linear', backoffDelayMs: 100, ...delivery }, ...destination,
  };
  const moveTo = (change: Partial<Destination>): void => { current = { ...current, ...change }; };
  const stop = new AbortController();
  const io: DispatchIo = {
    readEvent: ({ headers, value }) => {
      reads++;
      return decodeKafkaEvent(headers, value);
    },
    sendTo: (request, receiver) => {
      const nth = asked.get(request.uri) ?? 0;
      asked.set(request.uri, nth + 1);
      sent.push({ ...request, headers: new TextHeaders([...request.headers.flat()]), body: request.body === null ? null : Buffer.from(request.body) });
      onSend?.(request, moveTo);
      const given = answers[request.uri];
      if (given === undefined) throw new Error(`nobody expected a request to ${request.uri}`);
      receiver.answered(given[Math.min(nth, given.length - 1)]!);
    },
    keep: (undeliverable) => {
      kept.push(undeliverable);
      return Promise.resolve(isKept);
    },
    sleep: (ms) => {
      slept.push(ms);
      onSleep?.({ waits: slept.length, moveTo, stop: () => stop.abort() });
      return Promise.resolve(!stop.signal.aborted);
    },
    random: () => random,
    now: () => nowMs,
    longestDelayMs: 300_000,
    rateLimit,
    plainHeaders,
    onAttempt: (role, answer, willRetry) => attempts.push(`${role} ${'failure' in answer ? answer.failure : answer.status}${willRetry ? ' retry' : ''}`),
    onReply: (result) => replies.push(result),
  };
  const held: HeldRecord = { record };
  const outcome = await dispatch(held, () => current, io, stop.signal);
  return { outcome, sent, uris: sent.map(({ uri }) => uri), slept, attempts, replies, kept, held, reads };
}

function headersOf(request: DeliveryRequest): Record<string, string> {
  const headers = request.headers.flat();
  return Object.fromEntries(headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1]!]] : [])));
}

describe('a record whose bytes are those of the request', () => {
  const fast = (change: SetUp) => run({ record: fetchedRecord(eventHeaders, Buffer.from(eventBody)), plainHeaders: recordHeaders, ...change });

  it('is sent as every other, and is not read for it', async () => {
    const other = await run({ answers: { [subscriber]: [status(202)] } });
    const { outcome, sent, attempts, reads } = await fast({ answers: { [subscriber]: [status(202)] } });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(sent.map(({ headers, ...request }) => ({ ...request, headers: headers.flat() }))).toEqual(other.sent.map(({ headers, ...request }) => ({ ...request, headers: headers.flat() })));
    expect(attempts).toEqual(['subscriber 202']);
    expect(reads).toBe(0);
  });

  it('goes on like every other, in memory of its own, where the first attempt fails', async () => {
    const record = fetchedRecord(eventHeaders, Buffer.from(eventBody));
    const { outcome, sent, attempts, held, reads, slept } = await fast({ record, answers: { [subscriber]: [status(503), timeout, status(200)] } });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(attempts).toEqual(['subscriber 503 retry', 'subscriber timeout retry', 'subscriber 200']);
    expect(slept).toEqual([100, 200]);
    expect(reads).toBe(2); // once for each retry
    expect(new Set(sent.map((request) => JSON.stringify([request.headers.flat(), String(request.body)]))).size).toBe(1);
    expect(held.record).not.toBe(record);
    expect(held.record.value?.buffer).not.toBe(record.bytes.buffer);
  });

  it('goes on like every other where the answer is a reply', async () => {
    const { outcome, uris } = await fast({ answers: { [subscriber]: [replied], [replyUri]: [status(200)] }, destination: { reply: to(replyUri) } });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(uris).toEqual([subscriber, replyUri]);
  });

  it('is read where the subscriber wants another format, or it is no plain event', async () => {
    const structured = await fast({ answers: { [subscriber]: [status(200)] }, delivery: { format: 'json' } });
    expect(headersOf(structured.sent[0]!)['content-type']).toMatch(/^application\/cloudevents\+json/);
    const none = await fast({ answers: {}, record: fetchedRecord(eventHeaders.slice(1)) });
    expect(none.outcome).toEqual({ kind: 'dropped', reason: 'not-a-cloudevent' });
    const odd = await fast({ answers: { [subscriber]: [status(200)] }, record: fetchedRecord([...eventHeaders, ['ce_subject', 'Zürich']]) });
    expect(headersOf(odd.sent[0]!)['ce-subject']).toBe('Z%C3%BCrich');
    expect([structured.reads, none.reads, odd.reads]).toEqual([1, 1, 1]);
  });
});

describe('whoever waits for the outcome', () => {
  const destination = (): Destination => ({ subscriber: to(subscriber), reply: undefined, deadLetterSink: undefined, keepsUndeliverable: false, namespace: 'shop', delivery: defaultDelivery });
  const io: DispatchIo = {
    readEvent: ({ headers, value }) => decodeKafkaEvent(headers, value),
    sendTo: (_, receiver) => receiver.answered(status(200)),
    keep: () => Promise.resolve(true), sleep: () => Promise.resolve(true), random: () => 0, now: () => 0, longestDelayMs: 1, onAttempt: () => undefined, onReply: () => undefined,
  };

  it.each<readonly [string, Partial<DispatchIo>]>([
    ['reads the event', { readEvent: () => { throw new Error('a bug'); } }],
    ['sends it', { sendTo: () => { throw new Error('a bug'); } }],
    ['hears of the attempt', { onAttempt: () => { throw new Error('a bug'); } }],
    ['goes on after a failure', { sendTo: (_, receiver) => receiver.answered(status(500)), sleep: () => Promise.reject(new Error('a bug')) }],
  ])('is told once of a bug in what %s', async (_, change) => {
    const told: unknown[] = [];
    startDispatch({ record: fetched().record }, destination, { ...io, ...change }, new AbortController().signal, { ended: (_held, outcome) => told.push(outcome), failed: (_held, error) => told.push(error) });
    await new Promise((resolve) => setImmediate(resolve));
    expect(told).toEqual([new Error('a bug')]);
  });

  it('is told once, whatever it does then', () => {
    const told: unknown[] = [];
    const ended = (_: HeldRecord, outcome: DispatchOutcome): void => {
      told.push(outcome);
      throw new Error('a bug of its own');
    };
    expect(() => startDispatch({ record: fetched().record }, destination, io, new AbortController().signal, { ended, failed: (_, error) => told.push(error) })).toThrow('a bug of its own');
    expect(told).toEqual([{ kind: 'delivered' }]);
  });
});

describe('the subscriber', () => {
  it('gets the event as it is, and is told who asks', async () => {
    const { outcome, sent, attempts } = await run({ answers: { [subscriber]: [status(202)] }, delivery: { timeoutMs: 1_234 } });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({ uri: subscriber, caCerts: 'PEM', body: Buffer.from(eventBody), timeoutMs: 1_234, wantsReply: false });
    expect(headersOf(sent[0]!)).toEqual({
      'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't', 'content-type': 'application/json', traceparent, prefer: 'reply', 'kn-namespace': 'shop',
    });
    expect(attempts).toEqual(['subscriber 202']);
  });

  it('is asked for an event only where somebody wants it', async () => {
    const { sent } = await run({ answers: { [subscriber]: [status(200)] }, destination: { reply: to(replyUri) } });
    expect(sent[0]!.wantsReply).toBe(true);
  });

  it('is tried retry + 1 times; then the event is dropped, and why is said', async () => {
    const { outcome, sent, slept, attempts, held } = await run({ answers: { [subscriber]: [status(503)] }, delivery: { retry: 3 } });
    expect(outcome).toEqual({ kind: 'dropped', reason: 'status-503' });
    expect(sent).toHaveLength(4);
    expect(slept).toEqual([100, 200, 300]);
    expect(attempts).toEqual(['subscriber 503 retry', 'subscriber 503 retry', 'subscriber 503 retry', 'subscriber 503']);
    expect(held.failedAttempts).toBe(4);
  });

  it.each([[0, 500], [5, 400], [5, 302]])('is tried once with retry %i and status %i', async (retry, code) => {
    const { outcome, sent, slept } = await run({ answers: { [subscriber]: [status(code)] }, delivery: { retry } });
    expect(outcome).toEqual({ kind: 'dropped', reason: `status-${code}` });
    expect(sent).toHaveLength(1);
    expect(slept).toEqual([]);
  });

  it('is tried until it recovers', async () => {
    const { outcome, attempts, held } = await run({ answers: { [subscriber]: [{ failure: 'connection-refused', message: '' }, timeout, status(200)] } });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(attempts).toEqual(['subscriber connection-refused retry', 'subscriber timeout retry', 'subscriber 200']);
    expect(held.failedAttempts).toBe(2);
  });

  it('is waited for as backoff, chance and Retry-After have it together', async () => {
    const { slept } = await run({
      answers: { [subscriber]: [status(429, '6'), status(503, 'Thu, 01 Jan 1970 00:00:09 GMT'), status(500, '6'), status(429, '0')] },
      delivery: { retry: 4, retryAfterMaxMs: 30_000 }, random: 0.5, nowMs: 1_000,
    });
    expect(slept.map(Math.round)).toEqual([6_000, 8_000, 315, 420]);
  });

  it('may be a reply that has no subscriber before it', async () => {
    const { outcome, uris, replies } = await run({ answers: { [replyUri]: [replied] }, destination: { subscriber: to(replyUri) } });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(uris).toEqual([replyUri]);
    expect(replies).toEqual([]);
  });

  it.each<['json' | 'binary', string]>([['json', 'application/cloudevents+json; charset=utf-8'], ['binary', 'application/json']])('gets the format %s where it asks for that', async (format, contentType) => {
    const { sent } = await run({ answers: { [subscriber]: [status(503), status(200)] }, delivery: { format } });
    for (const request of sent) expect(headersOf(request)).toMatchObject({ 'content-type': contentType, prefer: 'reply', traceparent });
    expect(sent[1]!.body).toEqual(sent[0]!.body);
    expect(JSON.parse(sent[0]!.body!.toString())).toEqual(format === 'binary' ? { n: 1 } : { specversion: '1.0', id: '1', source: '/s', type: 't', datacontenttype: 'application/json', data: { n: 1 } });
  });
});

describe('a record that is no event', () => {
  const record = fetched([['x', 'y']]).record;

  it('is dropped without a call to anybody, a dead letter sink among them', async () => {
    const { outcome, sent, kept } = await run({ answers: {}, record, destination: { deadLetterSink: to(sink) } });
    expect(outcome).toEqual({ kind: 'dropped', reason: 'not-a-cloudevent' });
    expect(sent).toEqual([]);
    expect(kept).toEqual([]);
  });

  it('is kept where what nobody takes is kept', async () => {
    const { outcome, kept } = await run({ answers: {}, record, destination: { keepsUndeliverable: true } });
    expect(outcome).toEqual({ kind: 'kept', reason: 'not-a-cloudevent' });
    expect(kept).toEqual([{ record, attempts: 0, failure: undefined, reason: 'not-a-cloudevent' }]);
  });

  it('is interrupted where keeping it is', async () => {
    expect((await run({ answers: {}, record, destination: { keepsUndeliverable: true }, isKept: false })).outcome).toEqual({ kind: 'interrupted' });
  });
});

describe('what a wait holds', () => {
  it('is nothing before there is one: the record is read once and stays as it came', async () => {
    const { record } = fetched();
    const { held, reads } = await run({ answers: { [subscriber]: [status(200)] }, record });
    expect(reads).toBe(1);
    expect(held.record).toBe(record);
  });

  it('is a copy of the record alone: the fetch may go, and the next attempt is the same', async () => {
    const { record, fetch } = fetched();
    const { outcome, sent, held } = await run({
      answers: { [subscriber]: [status(503), status(503), status(200)] }, record,
      onSleep: () => fetch.fill(0),
    });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(sent[1]).toEqual(sent[0]);
    expect(sent[2]).toEqual(sent[0]);
    expect(held.record).not.toBe(record);
    expect(held.record).toEqual(fetched().record);
    for (const bytes of [held.record.key!, held.record.value!, ...held.record.headers.map(([, value]) => value)]) expect(bytes.buffer).not.toBe(fetch.buffer);
  });

  it('may be an event without data', async () => {
    const { sent, held } = await run({ answers: { [subscriber]: [status(503), status(200)] }, record: fetched(eventHeaders, null).record });
    expect(sent.map(({ body }) => body)).toEqual([null, null]);
    expect(held.record.value).toBeNull();
  });

  it.each([
    ['for a reply', { [subscriber]: [replied], [replyUri]: [status(503)], [sink]: [status(200)] }],
    ['for a dead letter sink', { [subscriber]: [status(400)], [sink]: [status(503), status(200)] }],
  ])('is the copy %s, too, from which the dead letter is made', async (_, answers) => {
    const { record, fetch } = fetched();
    const { outcome, sent } = await run({ answers, record, destination: { reply: to(replyUri), deadLetterSink: to(sink) }, onSleep: () => fetch.fill(0) });
    expect(outcome.kind).toBe('dead-lettered');
    const letter = sent.at(-1)!;
    expect(letter.body).toEqual(Buffer.from(eventBody));
    expect(headersOf(letter)).toMatchObject({ 'ce-id': '1', traceparent });
  });
});

describe('a reply', () => {
  const destination: Partial<Destination> = { reply: { uri: replyUri, caCerts: 'PEM 2' }, deadLetterSink: to(sink) };

  it('is sent on, and goes on with the trace', async () => {
    const { outcome, sent, replies, attempts } = await run({ answers: { [subscriber]: [replied], [replyUri]: [status(202)] }, destination, delivery: { timeoutMs: 1_234 } });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(replies).toEqual(['sent']);
    expect(attempts).toEqual(['subscriber 200', 'reply 202']);
    expect(sent[1]).toMatchObject({ uri: replyUri, caCerts: 'PEM 2', body: Buffer.from('hi'), timeoutMs: 1_234, wantsReply: false });
    expect(headersOf(sent[1]!)).toEqual({ 'ce-specversion': '1.0', 'ce-id': 'r', 'ce-source': '/r', 'ce-type': 'answered', traceparent, 'kn-namespace': 'shop' });
  });

  it('has retries of its own; the subscriber is not called again', async () => {
    const { outcome, uris, slept, held } = await run({ answers: { [subscriber]: [status(503), replied], [replyUri]: [status(503), status(503), status(200)] }, destination });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(uris).toEqual([subscriber, subscriber, replyUri, replyUri, replyUri]);
    expect(slept).toEqual([100, 100, 200]);
    expect(held.failedAttempts).toBe(3);
  });

  it('that nobody takes dead-letters the event that was answered, as a failure of the reply', async () => {
    const { outcome, sent, uris, replies } = await run({ answers: { [subscriber]: [replied], [replyUri]: [{ status: 422, body: Buffer.from('no') }], [sink]: [status(200)] }, destination });
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: 'status-422' });
    expect(uris).toEqual([subscriber, replyUri, sink]);
    expect(replies).toEqual(['failed']);
    expect(sent[2]!.body).toEqual(Buffer.from(eventBody));
    expect(headersOf(sent[2]!)).toMatchObject({ 'ce-id': '1', 'ce-knativeerrordest': replyUri, 'ce-knativeerrorcode': '422', 'ce-knativeerrordata': Buffer.from('no').toString('base64') });
  });

  it('that is too large dead-letters the event that was answered', async () => {
    const { outcome, sent, uris, replies } = await run({ answers: { [subscriber]: [{ status: 200, reply: 'too-large' }], [sink]: [status(200)] }, destination });
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: 'status-413' });
    expect(uris).toEqual([subscriber, sink]);
    expect(replies).toEqual(['failed']);
    expect(headersOf(sent[1]!)).toMatchObject({ 'ce-knativeerrordest': replyUri, 'ce-knativeerrorcode': '413' });
  });

  it('that is no event is left: the subscriber took its own', async () => {
    const { outcome, uris, replies } = await run({ answers: { [subscriber]: [{ status: 200, reply: { headers: ['ce-specversion', '1.0'], body: Buffer.from('hi') } }] }, destination });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(uris).toEqual([subscriber]);
    expect(replies).toEqual(['invalid']);
  });

  it.each<[string, DeliveryAnswer]>([['one', replied], ['one that is too large', { status: 200, reply: 'too-large' }]])('is nobody’s where the last that wanted it went meanwhile: %s', async (_, answer) => {
    const { outcome, uris, replies } = await run({ answers: { [subscriber]: [answer] }, destination, onSend: (_request, moveTo) => moveTo({ reply: undefined }) });
    expect(outcome).toEqual({ kind: 'delivered' });
    expect(uris).toEqual([subscriber]);
    expect(replies).toEqual([]);
  });
});

describe('a dead letter sink', () => {
  const destination: Partial<Destination> = { deadLetterSink: { uri: sink, caCerts: 'PEM 3' } };

  it('gets the event and what went wrong', async () => {
    const { outcome, sent, attempts, kept } = await run({ answers: { [subscriber]: [{ status: 422, body: Buffer.from('no') }], [sink]: [status(202)] }, destination, delivery: { timeoutMs: 1_234 } });
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: 'status-422' });
    expect(attempts).toEqual(['subscriber 422', 'dead-letter-sink 202']);
    expect(sent[1]).toMatchObject({ uri: sink, caCerts: 'PEM 3', body: Buffer.from(eventBody), timeoutMs: 1_234, wantsReply: false });
    expect(headersOf(sent[1]!)).toEqual({
      'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't', 'content-type': 'application/json', traceparent, 'kn-namespace': 'shop',
      'ce-knativeerrordest': subscriber, 'ce-knativeerrorcode': '422', 'ce-knativeerrordata': Buffer.from('no').toString('base64'),
    });
    expect(kept).toEqual([]);
  });

  it('is told of the last failure', async () => {
    const { outcome, sent } = await run({ answers: { [subscriber]: [status(503), timeout, status(404)], [sink]: [status(200)] }, destination });
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: 'status-404' });
    expect(headersOf(sent.at(-1)!)).toMatchObject({ 'ce-knativeerrorcode': '404' });
  });

  it('has retries of its own', async () => {
    const { outcome, uris, slept } = await run({ answers: { [subscriber]: [status(400)], [sink]: [status(503), status(503), status(200)] }, destination });
    expect(outcome).toEqual({ kind: 'dead-lettered', reason: 'status-400' });
    expect(uris).toEqual([subscriber, sink, sink, sink]);
    expect(slept).toEqual([100, 200]);
  });

  it.each([true, false])('that takes nothing leaves the event to the dead letter topic, with the first failure (keepsUndeliverable: %s)', async (keepsUndeliverable) => {
    const { outcome, kept, held } = await run({ answers: { [subscriber]: [status(400)], [sink]: [timeout] }, destination: { ...destination, keepsUndeliverable } });
    expect(outcome).toEqual({ kind: 'kept', reason: 'status-400' });
    expect(kept).toEqual([{ record: held.record, attempts: 4, failure: { uri: subscriber, answer: status(400) }, reason: 'status-400' }]);
  });

  it('that refuses is not tried again', async () => {
    const { outcome, uris } = await run({ answers: { [subscriber]: [status(400)], [sink]: [status(400)] }, destination });
    expect(outcome.kind).toBe('kept');
    expect(uris).toEqual([subscriber, sink]);
  });

  it('gets the format that is asked for, with what went wrong in it', async () => {
    const { sent } = await run({ answers: { [subscriber]: [status(400)], [sink]: [status(200)] }, destination, delivery: { format: 'json' } });
    expect(JSON.parse(sent[1]!.body!.toString())).toMatchObject({ id: '1', data: { n: 1 }, knativeerrordest: subscriber, knativeerrorcode: '400' });
    expect(headersOf(sent[1]!)).not.toHaveProperty('ce-knativeerrordest');
  });
});

describe('without a dead letter sink', () => {
  it('an event is dropped', async () => {
    const { outcome, kept } = await run({ answers: { [subscriber]: [status(400)] } });
    expect(outcome).toEqual({ kind: 'dropped', reason: 'status-400' });
    expect(kept).toEqual([]);
  });

  it('it is kept where what nobody takes is kept', async () => {
    const { outcome, kept, held } = await run({ answers: { [subscriber]: [timeout] }, destination: { keepsUndeliverable: true } });
    expect(outcome).toEqual({ kind: 'kept', reason: 'timeout' });
    expect(kept).toEqual([{ record: held.record, attempts: 3, failure: { uri: subscriber, answer: timeout }, reason: 'timeout' }]);
  });

  it('the reply that failed is named as what did', async () => {
    const { kept } = await run({ answers: { [subscriber]: [replied], [replyUri]: [status(400)] }, destination: { reply: to(replyUri), keepsUndeliverable: true } });
    expect(kept[0]).toMatchObject({ attempts: 1, failure: { uri: replyUri, answer: status(400) } });
  });
});

describe('an interruption', () => {
  const everybody: Partial<Destination> = { reply: to(replyUri), deadLetterSink: to(sink), keepsUndeliverable: true };

  it.each<[string, Record<string, DeliveryAnswer[]>, string[]]>([
    ['of the wait for the subscriber', { [subscriber]: [status(503)] }, [subscriber]],
    ['of the wait for the reply', { [subscriber]: [replied], [replyUri]: [status(503)] }, [subscriber, replyUri]],
    ['of the wait for the dead letter sink', { [subscriber]: [status(400)], [sink]: [status(503)] }, [subscriber, sink]],
  ])('%s settles nothing', async (_, answers, expected) => {
    const { outcome, uris, kept, replies } = await run({ answers, destination: everybody, onSleep: ({ stop }) => stop() });
    expect(outcome).toEqual({ kind: 'interrupted' });
    expect(uris).toEqual(expected);
    expect(kept).toEqual([]);
    expect(replies).toEqual([]);
  });

  it('of a later wait settles nothing either', async () => {
    const { outcome, uris } = await run({ answers: { [subscriber]: [status(503)] }, destination: everybody, onSleep: ({ waits, stop }) => { if (waits === 2) stop(); } });
    expect(outcome).toEqual({ kind: 'interrupted' });
    expect(uris).toEqual([subscriber, subscriber]);
  });

  it.each<[string, Record<string, DeliveryAnswer[]>, Partial<Destination>]>([
    ['after a sink that takes nothing', { [subscriber]: [status(400)], [sink]: [status(400)] }, everybody],
    ['where there is no sink', { [subscriber]: [status(400)] }, { keepsUndeliverable: true }],
  ])('of keeping it settles nothing, %s', async (_, answers, destination) => {
    const { outcome, kept } = await run({ answers, destination, isKept: false });
    expect(outcome).toEqual({ kind: 'interrupted' });
    expect(kept).toHaveLength(1);
  });
});

describe('a destination that changes', () => {
  const elsewhere = 'http://elsewhere';

  it('takes effect with the next attempt: where, how often, how long, in which form', async () => {
    const { outcome, sent, slept } = await run({
      answers: { [subscriber]: [status(503)], [elsewhere]: [status(503)] }, delivery: { retry: 1 },
      onSleep: ({ waits, moveTo }) => {
        if (waits === 1) moveTo({ subscriber: to(elsewhere), namespace: 'other', delivery: { ...defaultDelivery, retry: 3, backoffPolicy: 'linear', backoffDelayMs: 7, timeoutMs: 9, format: 'json' } });
      },
    });
    expect(outcome).toEqual({ kind: 'dropped', reason: 'status-503' });
    expect(sent.map(({ uri, timeoutMs }) => `${uri} ${timeoutMs}`)).toEqual([`${subscriber} 60000`, `${elsewhere} 9`, `${elsewhere} 9`, `${elsewhere} 9`]);
    expect(headersOf(sent[1]!)).toMatchObject({ 'kn-namespace': 'other', 'content-type': 'application/cloudevents+json; charset=utf-8' });
    expect(slept).toEqual([100, 14, 21]);
  });

  it('takes effect for a reply that waits', async () => {
    const { uris } = await run({
      answers: { [subscriber]: [replied], [replyUri]: [status(503)], [elsewhere]: [status(200)] }, destination: { reply: to(replyUri) },
      onSleep: ({ moveTo }) => moveTo({ reply: to(elsewhere) }),
    });
    expect(uris).toEqual([subscriber, replyUri, elsewhere]);
  });

  it('takes effect for a dead letter that waits', async () => {
    const { uris, outcome } = await run({
      answers: { [subscriber]: [status(400)], [sink]: [status(503)], [elsewhere]: [status(200)] }, destination: { deadLetterSink: to(sink) },
      onSleep: ({ moveTo }) => moveTo({ deadLetterSink: to(elsewhere) }),
    });
    expect(uris).toEqual([subscriber, sink, elsewhere]);
    expect(outcome.kind).toBe('dead-lettered');
  });

  it.each<[string, Record<string, DeliveryAnswer[]>, Partial<Destination>, string[], string]>([
    ['a dead letter sink', { [subscriber]: [status(400)], [sink]: [status(503), status(200)] }, { deadLetterSink: undefined }, [subscriber, sink, sink], 'dead-lettered'],
    ['a reply', { [subscriber]: [replied], [replyUri]: [status(503), status(200)] }, { reply: undefined }, [subscriber, replyUri, replyUri], 'delivered'],
  ])('and loses %s still uses it for what was begun', async (_, answers, change, expected, kind) => {
    const { uris, outcome } = await run({ answers, destination: { reply: to(replyUri), deadLetterSink: to(sink) }, onSleep: ({ moveTo }) => moveTo(change) });
    expect(uris).toEqual(expected);
    expect(outcome.kind).toBe(kind);
  });

  it('and gets a dead letter sink while the subscriber is retried uses it', async () => {
    const { uris } = await run({ answers: { [subscriber]: [status(503)], [sink]: [status(200)] }, delivery: { retry: 1 }, onSleep: ({ moveTo }) => moveTo({ deadLetterSink: to(sink) }) });
    expect(uris).toEqual([subscriber, subscriber, sink]);
  });

  it('and loses its dead letter sink while the subscriber is retried drops the event', async () => {
    const { outcome } = await run({ answers: { [subscriber]: [status(503)] }, destination: { deadLetterSink: to(sink) }, onSleep: ({ moveTo }) => moveTo({ deadLetterSink: undefined }) });
    expect(outcome).toEqual({ kind: 'dropped', reason: 'status-503' });
  });

  it('names the subscriber that failed last', async () => {
    const { sent } = await run({
      answers: { [subscriber]: [status(503)], [elsewhere]: [status(400)], [sink]: [status(200)] }, destination: { deadLetterSink: to(sink) },
      onSleep: ({ moveTo }) => moveTo({ subscriber: to(elsewhere) }),
    });
    expect(headersOf(sent.at(-1)!)).toMatchObject({ 'ce-knativeerrordest': elsewhere });
  });

  it('names the subscriber that failed, although there is another by then', async () => {
    const { sent } = await run({
      answers: { [subscriber]: [status(400)], [sink]: [status(200)] }, destination: { deadLetterSink: to(sink) },
      onSend: ({ uri }, moveTo) => { if (uri === subscriber) moveTo({ subscriber: to(elsewhere) }); },
    });
    expect(headersOf(sent.at(-1)!)).toMatchObject({ 'ce-knativeerrordest': subscriber });
  });
});

describe('a rate limit', () => {
  /** Lets attempts go at once as often as it is told, the others when they have waited as long as they may. */
  function limitOf(atOnce: number, mayGo: readonly boolean[] = []) {
    const did: string[] = [];
    const waits = [...mayGo];
    const limit: RateLimit = {
      take: () => {
        did.push('take');
        return did.filter((what) => what === 'take').length <= atOnce;
      },
      wait: () => {
        did.push('wait');
        return Promise.resolve(waits.shift() ?? true);
      },
    };
    return { did, limit };
  }

  it('is asked before each attempt at the subscriber, and before no other', async () => {
    const { did, limit } = limitOf(10);
    const { outcome } = await run({
      answers: { [subscriber]: [status(503), status(503), replied], [replyUri]: [status(503), status(400)], [sink]: [status(503), status(200)] },
      destination: { reply: to(replyUri), deadLetterSink: to(sink) }, rateLimit: () => limit,
    });
    expect(outcome.kind).toBe('dead-lettered');
    expect(did).toEqual(['take', 'take', 'take']);
  });

  it('holds an attempt back until it is its turn; what waits holds no fetch', async () => {
    const { did, limit } = limitOf(0);
    const { fetch, record } = fetched();
    const { outcome, sent, held, reads } = await run({
      record, answers: { [subscriber]: [status(200)] },
      rateLimit: () => ({
        take: () => limit.take(),
        wait: (signal) => {
          fetch.fill(0); // its memory is somebody else's by then
          return limit.wait(signal);
        },
      }),
    });
    expect([outcome.kind, did, reads, held.isDetached]).toEqual(['delivered', ['take', 'wait'], 1, true]);
    expect(sent[0]!.body?.toString()).toBe(eventBody);
  });

  it.each<[string, readonly boolean[], number]>([['before the first attempt', [false], 0], ['before a retry', [true, false], 1]])('whose wait is ended %s interrupts the delivery', async (_, mayGo, attempts) => {
    const { limit } = limitOf(0, mayGo);
    const { outcome, sent } = await run({ answers: { [subscriber]: [status(503)] }, rateLimit: () => limit });
    expect(outcome).toEqual({ kind: 'interrupted' });
    expect(sent).toHaveLength(attempts);
  });

  it('may begin and end while a delivery waits for its retry', async () => {
    const { did, limit } = limitOf(10);
    const limits = [undefined, limit, undefined];
    await run({ answers: { [subscriber]: [status(503)] }, rateLimit: () => limits.shift() });
    expect(did).toEqual(['take']);
  });
});
