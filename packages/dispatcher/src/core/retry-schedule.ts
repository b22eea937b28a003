/**
 * When a delivery is tried again.
 *
 * Two readings of the specification's backoff exist; ours is that of the living KafkaChannel, which never retries at
 * once: linear waits delay × retry, exponential delay × 2^retry (docs/adr/0006).
 */
import type { Delivery } from '@knative-kafka/common/core';

/** No wait is longer, however many retries there are, unless a subscriber's own Retry-After asks for it. */
export const longestDelayMs = 300_000;
/** Spreads retries that began together; only ever lengthens. */
const jitter = 0.1;

/**
 * How long to wait before a retry.
 *
 * @param delivery effective options, delays in milliseconds
 * @param retry    1 for the first retry
 * @param random   from 0 up to but not including 1
 * @returns        milliseconds, or undefined once `delivery.retry` retries are used up
 * @throws RangeError when `retry` is not a positive integer: a bug in the caller
 * @see Knative Eventing control plane specification, "DeliverySpec"
 */
export function retryDelayMs(delivery: Pick<Delivery, 'retry' | 'backoffPolicy' | 'backoffDelayMs'>, retry: number, random: number): number | undefined {
  if (!Number.isInteger(retry) || retry < 1) throw new RangeError(`retry ${retry} is not a positive integer`);
  if (retry > delivery.retry) return undefined;
  const factor = delivery.backoffPolicy === 'linear' ? retry : 2 ** Math.min(retry, 50);
  return Math.min(longestDelayMs, delivery.backoffDelayMs * factor) * (1 + jitter * random);
}
