/**
 * What a subscriber's answer means, by the table of the Knative data plane specification ("Event Acknowledgement and
 * Delivery Retry").
 */

/** What came back of one attempt: an HTTP answer, or the reason why there was none. */
export type DeliveryAnswer =
  | { readonly status: number; readonly retryAfter: string | undefined }
  | { readonly failure: 'timeout' | 'unreachable' | 'connection-lost'; readonly message: string };

export type Verdict = 'delivered' | 'retry' | 'failed';

/**
 * 2xx is delivered. 404, 408, 409, 429, 5xx and no answer at all are worth another attempt. Everything else, redirects
 * among it, will not get better.
 */
export function responseVerdict(answer: DeliveryAnswer): Verdict {
  if ('failure' in answer) return 'retry';
  const { status } = answer;
  if (status >= 200 && status < 300) return 'delivered';
  if (status === 404 || status === 408 || status === 409 || status === 429 || status >= 500) return 'retry';
  return 'failed';
}

/** A short constant word for metrics and logs: `status-503`, `timeout`. */
export function answerReason(answer: DeliveryAnswer): string {
  return 'failure' in answer ? answer.failure : `status-${answer.status}`;
}
