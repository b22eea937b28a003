/** One attempt at a delivery, as those who ask for it and those who make it speak of it. */
import type { Endpoint } from './desired-consumers.ts';
import type { RequestHeaders } from './request-headers.ts';
import type { DeliveryAnswer } from './response-verdict.ts';

/** One attempt's request, as the client sends it. */
export interface DeliveryRequest extends Endpoint {
  readonly headers: RequestHeaders;
  readonly body: Buffer | null;
  readonly timeoutMs: number;
  /** Whether an event in the answer is of interest. */
  readonly wantsReply: boolean;
}

/** Whoever waits for an answer: told exactly once. */
export interface AnswerReceiver {
  answered(answer: DeliveryAnswer): void;
}
