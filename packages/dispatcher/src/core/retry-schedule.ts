/**
 * When a delivery is tried again.
 *
 * Two readings of the specification's backoff exist; ours is that of the living KafkaChannel, which never retries at
 * once: linear waits delay × retry, exponential delay × 2^retry (docs/adr/0006).
 */
import type { Delivery } from '@knative-kafka/common/core';
import type { DeliveryAnswer } from './response-verdict.ts';

/** Spreads retries that began together; only ever lengthens. */
const jitter = 0.1;
/** Node's timers fire at once when given more. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * How long to wait before a retry.
 *
 * @param delivery       effective options, delays in milliseconds
 * @param retry          1 for the first retry
 * @param random         from 0 up to but not including 1
 * @param longestDelayMs no backoff is longer, however many retries there are; a Retry-After may be
 * @param askedMs        what a Retry-After asks for, `retryAfterMs`; the wait is at least that
 * @returns              milliseconds, or undefined once `delivery.retry` retries are used up
 * @throws RangeError when `retry` is not a positive integer: a bug in the caller
 * @see Knative Eventing control plane specification, "DeliverySpec"
 */
export function retryDelayMs(delivery: Pick<Delivery, 'retry' | 'backoffPolicy' | 'backoffDelayMs'>, retry: number, random: number, longestDelayMs: number, askedMs = 0): number | undefined {
  if (!Number.isInteger(retry) || retry < 1) throw new RangeError(`retry ${retry} is not a positive integer`);
  if (retry > delivery.retry) return undefined;
  const factor = delivery.backoffPolicy === 'linear' ? retry : 2 ** Math.min(retry, 50);
  const backoffMs = Math.min(longestDelayMs, delivery.backoffDelayMs * factor * (1 + jitter * random));
  return Math.min(longestTimerMs, Math.max(backoffMs, askedMs));
}

/**
 * How long an answer asks to wait, within what the subscriber's `retryAfterMax` allows.
 *
 * Only 429 and 503 can ask, and only where `retryAfterMax` is given and above zero.
 *
 * @param nowMs wall clock, for the form that is a date
 * @returns     milliseconds, 0 where nothing was asked for, or nothing that can be read
 * @see RFC 9110 §10.2.3; Knative Eventing, DeliverySpec.retryAfterMax
 */
export function retryAfterMs(delivery: Pick<Delivery, 'retryAfterMaxMs'>, answer: DeliveryAnswer, nowMs: number): number {
  if ('failure' in answer || answer.retryAfter === undefined || delivery.retryAfterMaxMs === undefined) return 0;
  if (answer.status !== 429 && answer.status !== 503) return 0;
  const asked = parseRetryAfterMs(answer.retryAfter.trim(), nowMs);
  return asked === undefined ? 0 : Math.min(Math.max(0, asked), delivery.retryAfterMaxMs);
}

/** The three forms of an HTTP date begin with the day's name; `Date.parse` alone would take much else. */
const httpDate = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .*\d\d:\d\d:\d\d/;

function parseRetryAfterMs(text: string, nowMs: number): number | undefined {
  if (/^\d{1,15}$/.test(text)) return Number(text) * 1000;
  if (!httpDate.test(text)) return undefined;
  // The oldest form names no zone, and HTTP's is always GMT.
  const atMs = Date.parse(/GMT$/.test(text) ? text : `${text} GMT`);
  return Number.isNaN(atMs) ? undefined : atMs - nowMs;
}
