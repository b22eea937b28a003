/**
 * How many bytes may wait in memory, as one number that is taken from and given back.
 *
 * Always true: what is held is never more than the limit, except that a single holder may exceed it while it is alone
 * (otherwise an event larger than the whole budget could never pass).
 */
export class ByteBudget {
  readonly limitBytes: number;
  #heldBytes = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** @returns false when there is no room; then nothing was taken */
  take(bytes: number): boolean {
    if (this.#heldBytes > 0 && this.#heldBytes + bytes > this.limitBytes) return false;
    this.#heldBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#heldBytes -= bytes;
    if (this.#heldBytes < 0) throw new RangeError(`gave back ${-this.#heldBytes} bytes that were never taken`);
  }
}
