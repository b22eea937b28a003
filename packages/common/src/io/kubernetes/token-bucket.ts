/**
 * A rate with a burst, as arithmetic: who asks is told how long to wait, and its turn is taken from that moment on.
 *
 * Always true: in any stretch of time no more turns come than the burst and the rate allow together, and they come in
 * the order in which they were asked for. No timer of its own, no queue: one number.
 */
export class TokenBucket {
  readonly #intervalMs: number;
  readonly #allowanceMs: number;
  /** When the bucket would be full again if nobody asked any more. */
  #fullAtMs = -Infinity;

  /** @param burst how many may come at once, at least 1 */
  constructor(perSecond: number, burst: number) {
    this.#intervalMs = 1000 / perSecond;
    this.#allowanceMs = (burst - 1) * this.#intervalMs;
  }

  /** Takes the next turn. @returns milliseconds from `nowMs` until it comes, 0 for at once */
  take(nowMs: number): number {
    const waitMs = this.#waitMs(nowMs);
    this.#fullAtMs = Math.max(nowMs, this.#fullAtMs) + this.#intervalMs;
    return waitMs;
  }

  /** Takes a turn only if there is one now. */
  tryTake(nowMs: number): boolean {
    if (this.#waitMs(nowMs) > 0) return false;
    this.take(nowMs);
    return true;
  }

  /** Whether nobody asked for so long that a new bucket would be the same. */
  isFull(nowMs: number): boolean {
    return this.#fullAtMs <= nowMs;
  }

  #waitMs(nowMs: number): number {
    return Math.max(0, this.#fullAtMs - this.#allowanceMs - nowMs);
  }
}
