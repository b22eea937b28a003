/**
 * The answer to one attempt while it comes in, whichever client reads it: what is kept of it, and when enough has come.
 *
 * Always true: the status decides, whatever becomes of the body; only a reply is none before its end.
 */
import { errorDataBytes } from './dead-letter.ts';
import { announcesEvent } from './reply.ts';
import type { DeliveryAnswer } from './response-verdict.ts';

/** The rest of a longer answer is not waited for: the status has been read, and the connection is given up. */
const bodyLimitBytes = 1024 * 1024;

/** What there is to ask of an answer's head. */
export interface AnswerHead {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** The first header with a name in lower case. */
  first(name: string): string | undefined;
  /** Flat: name, value, name, value …, as they came, as latin1 text, which is how the codec of requests wants them. */
  headers(): readonly string[];
}

export class IncomingAnswer {
  readonly #replyLimitBytes: number;
  #wantsReply = false;
  #status = 0;
  #retryAfter: string | undefined;
  /** Flat, while the answer is an event that is wanted. */
  #replyHeaders: readonly string[] | undefined;
  #isReplyTooLarge = false;
  #kept: Buffer[] | undefined;
  #keptBytes = 0;
  #bodyBytes = 0;

  /** @param replyLimitBytes a larger reply counts as failed */
  constructor(replyLimitBytes: number) {
    this.#replyLimitBytes = replyLimitBytes;
  }

  /** For the next attempt. @param wantsReply whether an event in the answer is of interest */
  begin(wantsReply: boolean): void {
    this.#wantsReply = wantsReply;
    this.#status = 0;
    this.#retryAfter = undefined;
    this.#replyHeaders = undefined;
    this.#isReplyTooLarge = false;
    this.#kept = undefined;
    this.#keptBytes = 0;
    this.#bodyBytes = 0;
  }

  head(head: AnswerHead): void {
    const { status } = head;
    this.#status = status;
    this.#retryAfter = head.retryAfter;
    if (this.#wantsReply && status >= 200 && status < 300 && status !== 202 && announcesEvent((name) => head.first(name))) this.#replyHeaders = head.headers();
  }

  /**
   * @param bytes `[start, end)` of the body; copied where they are kept
   * @returns     whether the rest is of interest
   */
  body(bytes: Buffer, start: number, end: number): boolean {
    this.#bodyBytes += end - start;
    if (this.#replyHeaders !== undefined) {
      this.#isReplyTooLarge = this.#bodyBytes > this.#replyLimitBytes;
      if (!this.#isReplyTooLarge) this.#keep(bytes, start, end);
      return !this.#isReplyTooLarge;
    }
    const missing = errorDataBytes - this.#keptBytes;
    if ((this.#status < 200 || this.#status > 299) && missing > 0) this.#keep(bytes, start, Math.min(end, start + missing));
    return this.#bodyBytes <= bodyLimitBytes;
  }

  /** Whether what comes next can change nothing: the status has come, and is not that of a reply. */
  get isDecided(): boolean {
    return this.#status !== 0 && this.#replyHeaders === undefined;
  }

  /** What has come, handed over: to be asked for once, and only where there is a status. */
  answer(): DeliveryAnswer {
    const status = this.#status;
    const kept = this.#kept;
    this.#kept = undefined;
    if (this.#isReplyTooLarge) return { status, reply: 'too-large' };
    if (this.#replyHeaders !== undefined) return { status, reply: { headers: this.#replyHeaders, body: Buffer.concat(kept ?? []) } };
    if (kept === undefined) return { status, retryAfter: this.#retryAfter };
    return { status, retryAfter: this.#retryAfter, body: Buffer.concat(kept) };
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    this.#kept ??= [];
    this.#kept.push(Buffer.from(bytes.subarray(start, end)));
    this.#keptBytes += end - start;
  }
}
