/**
 * HOT PATH of one record: decode, deliver, retry, reply, dead letter, settle.
 *
 * Always true: a record ends as exactly one outcome, which the caller counts. `interrupted` is none: the record is
 * another member's now, or will be read again at the next start. Whatever waits for a retry holds the record and
 * nothing else. Nothing here knows whether it serves a Subscription or a KafkaSource.
 */
import { encodeHttpEvent, isEventError, toBinary, toStructured, withExtensions, type EventError, type IncomingRecord, type StoredEvent } from '@knative-kafka/common/core';
import { errorExtensions, type DeliveryFailure } from './core/dead-letter.ts';
import type { Destination, Endpoint } from './core/desired-consumers.ts';
import { readReply } from './core/reply.ts';
import { TextHeaders, type RequestHeaders } from './core/request-headers.ts';
import { answerReason, responseVerdict, type DeliveryAnswer } from './core/response-verdict.ts';
import { retryAfterMs, retryDelayMs } from './core/retry-schedule.ts';

/** `kept`: in the dead letter topic. `dropped`: nowhere left to send it, by contract. */
export type DispatchOutcome =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'dead-lettered' | 'kept' | 'dropped'; readonly reason: string }
  | { readonly kind: 'interrupted' };

/** Who an attempt goes to. */
export type Role = 'subscriber' | 'reply' | 'dead-letter-sink';

/** One attempt's request, as the client sends it. */
export interface DeliveryRequest extends Endpoint {
  readonly headers: RequestHeaders;
  readonly body: Buffer | null;
  readonly timeoutMs: number;
  /** Whether an event in the answer is of interest. */
  readonly wantsReply: boolean;
}

/** A record under way; before a wait it is replaced by a copy that does not hold the fetch it came with. */
export interface HeldRecord {
  record: IncomingRecord;
  isDetached?: boolean;
  /** Attempts that failed, wherever they went. */
  failedAttempts?: number;
}

/** What the dead letter topic is told. */
export interface Undeliverable {
  readonly record: IncomingRecord;
  /** Attempts made, wherever they went. */
  readonly attempts: number;
  /** What failed last; undefined for a record that is no event. */
  readonly failure: DeliveryFailure | undefined;
  readonly reason: string;
}

/** How fast attempts at a subscriber may follow each other. */
export interface RateLimit {
  /** @returns whether an attempt may be made now; it then counts */
  take(): boolean;
  /** Waits for its turn behind those that came before. @returns false when the signal ended the wait */
  wait(signal: AbortSignal): Promise<boolean>;
}

export interface DispatchIo {
  readEvent(record: IncomingRecord): StoredEvent | EventError;
  /** One attempt. Never rejects. */
  send(request: DeliveryRequest): Promise<DeliveryAnswer>;
  /** Stores in the dead letter topic, however long that takes. @returns false when the signal ended it */
  keep(undeliverable: Undeliverable, signal: AbortSignal): Promise<boolean>;
  /** @returns false when the signal ended the wait */
  sleep(ms: number, signal: AbortSignal): Promise<boolean>;
  random(): number;
  /** Wall clock in milliseconds, for dates in Retry-After. */
  now(): number;
  readonly longestDelayMs: number;
  /** Asked for each attempt at the subscriber, dead letters and replies are not counted; undefined where there is never one. */
  readonly rateLimit?: (() => RateLimit | undefined) | undefined;
  /** Told of every attempt, before what follows from it. */
  onAttempt(role: Role, answer: DeliveryAnswer, willRetry: boolean): void;
  /** Told what became of each event that a subscriber answered with. */
  onReply(result: 'sent' | 'failed' | 'invalid'): void;
}

const delivered: DispatchOutcome = { kind: 'delivered' };
const interrupted: DispatchOutcome = { kind: 'interrupted' };

/**
 * @param destination asked anew for each attempt: a changed Subscription takes effect at the next one
 * @param signal      ends waiting for a retry; an attempt under way is let finish
 */
export async function dispatch(held: HeldRecord, destination: () => Destination, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
  const limit = io.rateLimit?.();
  if (limit !== undefined && !limit.take() && !(await itsTurn(held, limit, signal))) return interrupted;
  let event: StoredEvent | EventError | undefined = io.readEvent(held.record);
  if (isEventError(event)) return keepOrDrop(held, undefined, 'not-a-cloudevent', destination, io, signal);

  const request = (): DeliveryRequest => {
    const current = (event as StoredEvent | undefined) ?? eventOf(held.record, io);
    event = undefined; // read once for the first attempt; a wait for another one holds the record alone
    return subscriberRequest(current, destination());
  };
  const result = await deliver('subscriber', held, request, destination, io, signal);
  if (result === undefined) return interrupted;
  const { answer } = result;
  if (responseVerdict(answer) !== 'delivered') return deadLetter(held, result, destination, io, signal);
  return 'reply' in answer && answer.reply !== undefined ? sendReply(held, answer.reply, destination, io, signal) : delivered;
}

/**
 * One event to one place: the first attempt and its retries.
 *
 * @returns the last answer, good or bad, and who gave it: the destination may be another by now; undefined when interrupted
 */
async function deliver(role: Role, held: HeldRecord, request: () => DeliveryRequest, destination: () => Destination, io: DispatchIo, signal: AbortSignal): Promise<{ readonly uri: string; readonly answer: DeliveryAnswer } | undefined> {
  for (let retry = 1; ; retry++) {
    const { uri, sending } = startAttempt(request(), io);
    const answer = await sending;
    const verdict = responseVerdict(answer);
    const { delivery } = destination();
    const delayMs = verdict === 'retry' ? retryDelayMs(delivery, retry, io.random(), io.longestDelayMs, retryAfterMs(delivery, answer, io.now())) : undefined;
    io.onAttempt(role, answer, delayMs !== undefined);
    if (verdict !== 'delivered') held.failedAttempts = (held.failedAttempts ?? 0) + 1;
    if (delayMs === undefined) return { uri, answer };
    detach(held);
    if (!(await io.sleep(delayMs, signal))) return undefined;
    const limit = role === 'subscriber' ? io.rateLimit?.() : undefined;
    if (limit !== undefined && !limit.take() && !(await itsTurn(held, limit, signal))) return undefined;
  }
}

/** @returns whether an attempt may be made: false when the signal came first */
function itsTurn(held: HeldRecord, limit: RateLimit, signal: AbortSignal): Promise<boolean> {
  detach(held);
  return limit.wait(signal);
}

/** What waits holds the record alone. */
function detach(held: HeldRecord): void {
  if (held.isDetached === true) return;
  held.record = detached(held.record);
  held.isDetached = true;
}

/** A function of its own, so that no variable holds the request, and with it the fetch, during a wait. */
function startAttempt(request: DeliveryRequest, io: DispatchIo): { readonly uri: string; readonly sending: Promise<DeliveryAnswer> } {
  return { uri: request.uri, sending: io.send(request) };
}

/** Every subscriber is told that its answer may be a reply, and of which namespace's channel the event is. */
function subscriberRequest(event: StoredEvent, { subscriber, reply, namespace, delivery }: Destination): DeliveryRequest {
  const { headers, body } = encodeHttpEvent(inFormat(event, delivery.format));
  headers.push('prefer', 'reply', 'kn-namespace', namespace);
  return { uri: subscriber.uri, caCerts: subscriber.caCerts, headers: new TextHeaders(headers), body, timeoutMs: delivery.timeoutMs, wantsReply: reply !== undefined };
}

/** The event of a record that was found to have one. */
function eventOf(record: IncomingRecord, io: DispatchIo): StoredEvent {
  const event = io.readEvent(record);
  if (isEventError(event)) throw new Error(`a record that was an event is none: ${event.reason}`);
  return event;
}

function inFormat(event: StoredEvent, format: Destination['delivery']['format']): StoredEvent {
  if (format === undefined) return event;
  return format === 'json' ? toStructured(event) : toBinary(event);
}

/** The subscriber has done its part and is not called again for this event, whatever becomes of the reply. */
async function sendReply(held: HeldRecord, reply: NonNullable<Extract<DeliveryAnswer, { status: number }>['reply']>, destination: () => Destination, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
  const first = destination().reply;
  if (first === undefined) return delivered;
  if (reply === 'too-large') {
    io.onReply('failed');
    return deadLetter(held, { uri: first.uri, answer: { status: 413, body: Buffer.from('the reply is larger than replies may be') } }, destination, io, signal);
  }
  const replyEvent = readReply(reply, eventOf(held.record, io).transport);
  if (replyEvent === undefined) {
    io.onReply('invalid');
    return delivered;
  }
  const { headers, body } = encodeHttpEvent(replyEvent);
  headers.push('kn-namespace', destination().namespace);
  const to = (): Endpoint => destination().reply ?? first;
  const request = (): DeliveryRequest => ({ ...to(), headers: new TextHeaders(headers), body, timeoutMs: destination().delivery.timeoutMs, wantsReply: false });
  const result = await deliver('reply', held, request, destination, io, signal);
  if (result === undefined) return interrupted;
  const isSent = responseVerdict(result.answer) === 'delivered';
  io.onReply(isSent ? 'sent' : 'failed');
  return isSent ? delivered : deadLetter(held, result, destination, io, signal);
}

/** The original event and what went wrong, to the dead letter sink; failing that, to the dead letter topic. */
async function deadLetter(held: HeldRecord, failure: DeliveryFailure, destination: () => Destination, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
  const reason = answerReason(failure.answer);
  const first = destination().deadLetterSink;
  if (first === undefined) return keepOrDrop(held, failure, reason, destination, io, signal);
  const request = (): DeliveryRequest => {
    const { deadLetterSink = first, delivery, namespace } = destination();
    const { headers, body } = encodeHttpEvent(withExtensions(inFormat(eventOf(held.record, io), delivery.format), errorExtensions(failure)));
    headers.push('kn-namespace', namespace);
    return { ...deadLetterSink, headers: new TextHeaders(headers), body, timeoutMs: delivery.timeoutMs, wantsReply: false };
  };
  const result = await deliver('dead-letter-sink', held, request, destination, io, signal);
  if (result === undefined) return interrupted;
  if (responseVerdict(result.answer) === 'delivered') return { kind: 'dead-lettered', reason };
  return keep(held, failure, reason, io, signal);
}

/** Without a dead letter sink an event is dropped, as Knative has it, unless people asked for it to be kept. */
async function keepOrDrop(held: HeldRecord, failure: DeliveryFailure | undefined, reason: string, destination: () => Destination, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
  return destination().keepsUndeliverable ? keep(held, failure, reason, io, signal) : { kind: 'dropped', reason };
}

async function keep(held: HeldRecord, failure: DeliveryFailure | undefined, reason: string, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
  return (await io.keep({ record: held.record, attempts: held.failedAttempts ?? 0, failure, reason }, signal)) ? { kind: 'kept', reason } : interrupted;
}

/** A copy in memory of its own: what a client hands over are views of the whole fetch. */
function detached({ offset, key, value, headers, timestampMs }: IncomingRecord): IncomingRecord {
  const copy = (bytes: Buffer | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes));
  return { offset, key: copy(key), value: copy(value), headers: headers.map(([name, bytes]) => [name, Buffer.from(bytes)]), timestampMs };
}
