/**
 * HOT PATH of one record: decode, deliver, retry, settle.
 *
 * Always true: a record ends as exactly one outcome, which the caller counts. `interrupted` is none: the record is
 * another member's now, or will be read again at the next start.
 */
import { decodeKafkaEvent, encodeHttpEvent, type IncomingRecord } from '@knative-kafka/common/core';
import type { Destination } from './core/desired-consumers.ts';
import { answerReason, responseVerdict, type DeliveryAnswer } from './core/response-verdict.ts';
import { retryDelayMs } from './core/retry-schedule.ts';

export type DispatchOutcome = { readonly kind: 'delivered' } | { readonly kind: 'dropped'; readonly reason: string } | { readonly kind: 'interrupted' };

/** One attempt's request, as the client sends it. */
export interface DeliveryRequest {
  readonly uri: string;
  /** Flat: name, value, name, value … */
  readonly headers: readonly string[];
  readonly body: Buffer | null;
  readonly timeoutMs: number;
}

export interface DispatchIo {
  /** One attempt. Never rejects. */
  send(request: DeliveryRequest): Promise<DeliveryAnswer>;
  /** @returns false when the signal ended the wait */
  sleep(ms: number, signal: AbortSignal): Promise<boolean>;
  random(): number;
  /** Told of every attempt that did not deliver, before what follows from it. */
  onFailedAttempt(reason: string, willRetry: boolean): void;
}

const delivered: DispatchOutcome = { kind: 'delivered' };
const interrupted: DispatchOutcome = { kind: 'interrupted' };

/**
 * @param destination asked anew for each attempt: a changed Subscription takes effect at the next one
 * @param signal      ends waiting for a retry; an attempt under way is let finish
 */
export async function dispatch(record: IncomingRecord, destination: () => Destination, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
  const event = decodeKafkaEvent(record.headers, record.value);
  if ('reason' in event) return { kind: 'dropped', reason: 'not-a-cloudevent' };
  const { headers, body } = encodeHttpEvent(event);
  // Every subscriber is told that its answer may be a reply, and of which namespace's channel the event is.
  headers.push('prefer', 'reply', 'kn-namespace', destination().namespace);
  for (let retry = 1; ; retry++) {
    const { subscriberUri, delivery } = destination();
    const answer = await io.send({ uri: subscriberUri, headers, body, timeoutMs: delivery.timeoutMs });
    const verdict = responseVerdict(answer);
    if (verdict === 'delivered') return delivered; // a reply in the answer follows with the delivery contract
    const delayMs = verdict === 'retry' ? retryDelayMs(delivery, retry, io.random()) : undefined;
    const reason = answerReason(answer);
    io.onFailedAttempt(reason, delayMs !== undefined);
    if (delayMs === undefined) return { kind: 'dropped', reason }; // no dead letter sink yet: dropped by contract, and counted
    if (!(await io.sleep(delayMs, signal))) return interrupted;
  }
}
