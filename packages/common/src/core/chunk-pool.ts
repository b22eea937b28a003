/**
 * Pieces of memory that record batches are written into, used again instead of being left to the garbage collector,
 * which hears of them late: under load the same few serve all batches.
 *
 * Always true: all that wait for a batch are of one length, and how much that is together is bounded (4 MiB by default),
 * whatever was in use at a time. Memory of any other length is made for one batch and not kept.
 */

/** What a batch takes at a time, but for its first piece. */
export const chunkBytes = 64 * 1024;
/** Most batches of a quiet channel hold one event; where nothing waits for use they shall not cost 64 KiB each. */
export const firstChunkBytes = 8 * 1024;

export class ChunkPool {
  readonly #mostFree: number;
  readonly #free: Buffer[] = [];

  constructor(mostFree = 64) {
    this.#mostFree = mostFree;
  }

  /**
   * @param leastBytes  what it has to hold
   * @param wantedBytes how long a new one shall be where that is more
   * @returns memory with anything in it
   */
  take(leastBytes: number, wantedBytes: number): Buffer {
    const free = leastBytes <= chunkBytes ? this.#free.pop() : undefined;
    return free ?? Buffer.allocUnsafeSlow(Math.max(leastBytes, wantedBytes));
  }

  /** Nobody may read or write it any more. */
  give(chunk: Buffer): void {
    if (chunk.length === chunkBytes && this.#free.length < this.#mostFree) this.#free.push(chunk);
  }
}
