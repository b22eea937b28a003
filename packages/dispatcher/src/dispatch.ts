/**
 * HOT PATH of one record: decode, deliver, retry, reply, dead letter, settle.
 *
 * Nearly every event is taken by its subscriber at once, without a reply. That much goes by plain calls and one object
 * (`FirstAttempt`); whatever else becomes of a first attempt goes on in async functions, which cost more and read better.
 *
 * Always true: a record ends as exactly one outcome, which the caller counts. `interrupted` is none: the record is
 * another member's now, or will be read again at the next start. Whatever waits for a retry holds the record and
 * nothing else. Nothing here knows whether it serves a Subscription or a KafkaSource.
 */
import { encodeHttpEvent, isEventError, toBinary, toStructured, withExtensions, type EventError, type IncomingRecord, type StoredEvent } from '@knative-kafka/common/core';
import { errorExtensions, type DeliveryFailure } from './core/dead-letter.ts';
import type { AnswerReceiver, DeliveryRequest } from './core/delivery-attempt.ts';
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

/** A record under way; before a wait it is replaced by a copy that does not hold the fetch it came with. */
export interface HeldRecord {
  record: IncomingRecord;
  isDetached?: boolean;
  /** Attempts that failed, wherever they went. */
  failedAttempts?: number;
}

/** Whoever waits for what becomes of a record: told exactly once. */
export interface OutcomeReceiver<Held extends HeldRecord = HeldRecord> {
  ended(held: Held, outcome: DispatchOutcome): void;
  /** There is a bug, and no outcome. @param signal as `startDispatch` was given it */
  failed(held: Held, error: unknown, signal: AbortSignal): void;
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
  /**
   * Where a record's event is what its headers and value say: the headers of a request that delivers it in binary mode,
   * the same that `readEvent` would lead to. Undefined where only `readEvent` can tell.
   */
  readonly plainHeaders?: ((record: IncomingRecord, namespace: string) => RequestHeaders | undefined) | undefined;
  /** One attempt. Never throws; may tell at once. */
  sendTo(request: DeliveryRequest, receiver: AnswerReceiver): void;
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
export function startDispatch<Held extends HeldRecord>(held: Held, destination: () => Destination, io: DispatchIo, signal: AbortSignal, receiver: OutcomeReceiver<Held>): void {
  const limit = io.rateLimit?.();
  if (limit === undefined || limit.take()) new FirstAttempt(held, destination, io, signal, receiver).start();
  else {
    void itsTurn(held, limit, signal).then((isTurn) => {
      if (isTurn) new FirstAttempt(held, destination, io, signal, receiver).start();
      else receiver.ended(held, interrupted);
    });
  }
}

/** `startDispatch` for whoever has one record only. Rejects where there is a bug. */
export function dispatch(held: HeldRecord, destination: () => Destination, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
  return new Promise((resolve, reject) => {
    startDispatch(held, destination, io, signal, { ended: (_, outcome) => resolve(outcome), failed: (_, error) => reject(error as Error) });
  });
}

/** The first attempt at the subscriber, and what follows from its answer. It holds the record and nothing of the request. */
class FirstAttempt<Held extends HeldRecord> implements AnswerReceiver {
  readonly #held: Held;
  readonly #destination: () => Destination;
  readonly #io: DispatchIo;
  readonly #signal: AbortSignal;
  readonly #receiver: OutcomeReceiver<Held>;
  #uri = '';
  #isAnswered = false;

  constructor(held: Held, destination: () => Destination, io: DispatchIo, signal: AbortSignal, receiver: OutcomeReceiver<Held>) {
    this.#held = held;
    this.#destination = destination;
    this.#io = io;
    this.#signal = signal;
    this.#receiver = receiver;
  }

  start(): void {
    try {
      const request = firstRequest(this.#held.record, this.#destination(), this.#io);
      if (request === undefined) {
        this.#endWith(keepOrDrop(this.#held, undefined, 'not-a-cloudevent', this.#destination, this.#io, this.#signal));
        return;
      }
      this.#uri = request.uri;
      this.#io.sendTo(request, this);
    } catch (error) {
      if (this.#isAnswered) throw error; // told at once, and thrown by what was told
      this.#receiver.failed(this.#held, error, this.#signal);
    }
  }

  answered(answer: DeliveryAnswer): void {
    this.#isAnswered = true;
    if (!isAllThereIs(answer)) {
      this.#endWith(goOn(this.#held, { uri: this.#uri, answer }, this.#destination, this.#io, this.#signal));
      return;
    }
    try {
      this.#io.onAttempt('subscriber', answer, false);
    } catch (error) {
      this.#receiver.failed(this.#held, error, this.#signal);
      return;
    }
    this.#receiver.ended(this.#held, delivered);
  }

  #endWith(outcome: Promise<DispatchOutcome>): void {
    outcome.then((value) => this.#receiver.ended(this.#held, value), (error: unknown) => this.#receiver.failed(this.#held, error, this.#signal));
  }
}

/** Whether nothing follows from an answer: the event was taken, and there is no reply. */
function isAllThereIs(answer: DeliveryAnswer): boolean {
  return 'status' in answer && answer.reply === undefined && responseVerdict(answer) === 'delivered';
}

/** What follows from the first answer of the subscriber. */
async function goOn(held: HeldRecord, first: Attempted, destination: () => Destination, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
  const request = (): DeliveryRequest => subscriberRequest(eventOf(held.record, io), destination());
  const result = await deliver('subscriber', held, request, destination, io, signal, first);
  if (result === undefined) return interrupted;
  const { answer } = result;
  if (responseVerdict(answer) !== 'delivered') return deadLetter(held, result, destination, io, signal);
  return 'reply' in answer && answer.reply !== undefined ? sendReply(held, answer.reply, destination, io, signal) : delivered;
}

/** An answer, good or bad, and who gave it: the destination may be another by now. */
interface Attempted {
  readonly uri: string;
  readonly answer: DeliveryAnswer;
}

/**
 * One event to one place: the first attempt and its retries.
 *
 * @param first where the first attempt has been made
 * @returns     the last answer; undefined when interrupted
 */
async function deliver(role: Role, held: HeldRecord, request: () => DeliveryRequest, destination: () => Destination, io: DispatchIo, signal: AbortSignal, first?: Attempted): Promise<Attempted | undefined> {
  let attempted = first ?? (await attempt(request(), io));
  for (let retry = 1; ; retry++) {
    const { answer } = attempted;
    const verdict = responseVerdict(answer);
    const { delivery } = destination();
    const delayMs = verdict === 'retry' ? retryDelayMs(delivery, retry, io.random(), io.longestDelayMs, retryAfterMs(delivery, answer, io.now())) : undefined;
    io.onAttempt(role, answer, delayMs !== undefined);
    if (verdict !== 'delivered') held.failedAttempts = (held.failedAttempts ?? 0) + 1;
    if (delayMs === undefined) return attempted;
    detach(held);
    if (!(await io.sleep(delayMs, signal))) return undefined;
    const limit = role === 'subscriber' ? io.rateLimit?.() : undefined;
    if (limit !== undefined && !limit.take() && !(await itsTurn(held, limit, signal))) return undefined;
    attempted = await attempt(request(), io);
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

/** What waits for the answer holds nothing of the request, and with it of the fetch, but where it went. */
function attempt(request: DeliveryRequest, io: DispatchIo): Promise<Attempted> {
  const { promise, resolve } = Promise.withResolvers<Attempted>();
  io.sendTo(request, new Attempt(request.uri, resolve));
  return promise;
}

class Attempt implements AnswerReceiver {
  readonly #uri: string;
  readonly #resolve: (attempted: Attempted) => void;

  constructor(uri: string, resolve: (attempted: Attempted) => void) {
    this.#uri = uri;
    this.#resolve = resolve;
  }

  answered(answer: DeliveryAnswer): void {
    this.#resolve({ uri: this.#uri, answer });
  }
}

/** @returns undefined for a record that is no event */
function firstRequest(record: IncomingRecord, destination: Destination, io: DispatchIo): DeliveryRequest | undefined {
  if (io.plainHeaders !== undefined && destination.delivery.format !== 'json') {
    const headers = io.plainHeaders(record, destination.namespace);
    if (headers !== undefined) return requestTo(destination, headers, record.value);
  }
  const event = io.readEvent(record);
  return isEventError(event) ? undefined : subscriberRequest(event, destination);
}

/** Every subscriber is told that its answer may be a reply, and of which namespace's channel the event is. */
function subscriberRequest(event: StoredEvent, destination: Destination): DeliveryRequest {
  const { headers, body } = encodeHttpEvent(inFormat(event, destination.delivery.format));
  headers.push('prefer', 'reply', 'kn-namespace', destination.namespace);
  return requestTo(destination, new TextHeaders(headers), body);
}

function requestTo({ subscriber, reply, delivery }: Destination, headers: RequestHeaders, body: Buffer | null): DeliveryRequest {
  return { uri: subscriber.uri, caCerts: subscriber.caCerts, headers, body, timeoutMs: delivery.timeoutMs, wantsReply: reply !== undefined };
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
