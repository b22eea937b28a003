/**
 * What a subscriber's answer means, by the table of the Knative data plane specification ("Event Acknowledgement and
 * Delivery Retry").
 */

/** Why an attempt had no answer: the deadline, name resolution, or the connection, before it stood and after. */
export type AttemptFailure = 'timeout' | 'dns-failed' | 'connection-refused' | 'unreachable' | 'tls-failed' | 'connection-lost';

/** An answer that is an event, as it came. */
export interface ReplyMessage {
  /** Flat: name, value, name, value … */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** What came back of one attempt: an HTTP answer, or the reason why there was none. */
export type DeliveryAnswer =
  | {
      readonly status: number;
      readonly retryAfter?: string | undefined;
      /** Of a failure: the first bytes of its body. */
      readonly body?: Buffer | undefined;
      /** The event in a 2xx answer other than 202; `too-large` when its body is past the limit. */
      readonly reply?: ReplyMessage | 'too-large' | undefined;
    }
  | { readonly failure: AttemptFailure; readonly message: string };

export type Verdict = 'delivered' | 'retry' | 'failed';

/**
 * 2xx is delivered. 404, 408, 409, 429, 5xx and no answer at all are worth another attempt, as is a code beyond the
 * table. Everything else, redirects among it, will not get better.
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
