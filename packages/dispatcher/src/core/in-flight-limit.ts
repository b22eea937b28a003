/**
 * How many deliveries one consumer group may have under way, shared by the lanes of its partitions.
 *
 * A lane that finds no place waits; each place that is given back goes to the lane that has waited longest. One that
 * wants more waits again at the end, so that the lanes have their turns however much one of them has queued. A delivery
 * that waits for a retry has no place, or a hundred of them would stop all others.
 *
 * Always true: never more than `limit` are taken, but for deliveries that are told to end while they have none; while a
 * lane waits, no place is free; a lane waits once at most.
 */
export class InFlightLimit {
  readonly limit: number;
  #taken = 0;
  /** In the order they came. */
  readonly #waiting = new Set<() => void>();

  /** @throws RangeError when nothing could ever start: a bug in the caller */
  constructor(limit: number) {
    if (!Number.isInteger(limit) || limit < 1) throw new RangeError(`a limit of ${limit} deliveries`);
    this.limit = limit;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Lanes that would start more. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** @returns false when there is no place; then nothing was taken */
  take(): boolean {
    if (this.#taken >= this.limit) return false;
    this.#taken++;
    return true;
  }

  /** Gives one place back; whoever has waited longest is called before this returns. */
  give(): void {
    if (this.#taken === 0) throw new RangeError('gave back a place that was never taken');
    this.#taken--;
    for (const start of this.#waiting) {
      if (this.#taken >= this.limit) return; // at once, where deliveries that were told to end had made it more
      this.#waiting.delete(start);
      start();
    }
  }

  /**
   * Lets others have the place of a delivery that waits, and takes one again before the delivery goes on.
   *
   * @param wait   resolves with whether the whole time has passed
   * @param signal ends it: then at once, whether or not there is a place, because all that follows is to give it back
   * @returns      whether the delivery goes on
   */
  async without(wait: Promise<boolean>, signal: AbortSignal): Promise<boolean> {
    this.give();
    const mayGoOn = (await wait) && (this.take() || (await this.#takeInTurn(signal)));
    if (!mayGoOn) this.#taken++;
    return mayGoOn;
  }

  #takeInTurn(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const onPlace = (): void => {
        this.#taken++; // called only while there is a place
        signal.removeEventListener('abort', onAbort);
        resolve(true);
      };
      const onAbort = (): void => {
        this.leave(onPlace);
        resolve(false);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.wait(onPlace);
    });
  }

  /** @param start called once when there is a place, to `take` it; the same function keeps its turn if it waits already */
  wait(start: () => void): void {
    this.#waiting.add(start);
  }

  /** No longer wants a place. */
  leave(start: () => void): void {
    this.#waiting.delete(start);
  }
}
