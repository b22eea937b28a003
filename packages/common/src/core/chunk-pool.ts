/**
 * Pieces of memory that record batches are written into, used again instead of being left to the garbage collector:
 * making one costs more than writing an event into it, and the collector hears of them late.
 *
 * Always true: what waits for a batch is of one of two lengths, and bounded (4.5 MiB by default), whatever was in use at a
 * time. Memory of any other length is made for one record and not kept.
 */

/** The first piece of a batch: most batches of a quiet channel hold one event, and many channels may be quiet. */
export const firstChunkBytes = 8 * 1024;
/** Each further one. */
export const chunkBytes = 64 * 1024;

export class ChunkPool {
  readonly #mostFree: number;
  readonly #freeFirst: Buffer[] = [];
  readonly #free: Buffer[] = [];

  /** @param mostFree of each of the two lengths */
  constructor(mostFree = 64) {
    this.#mostFree = mostFree;
  }

  /** @returns `firstChunkBytes` or more, with anything in it */
  takeFirst(): Buffer {
    return this.#freeFirst.pop() ?? this.#free.pop() ?? Buffer.allocUnsafeSlow(firstChunkBytes);
  }

  /** @returns `chunkBytes`, or just as much as is needed where that is more; with anything in it */
  take(neededBytes: number): Buffer {
    if (neededBytes > chunkBytes) return Buffer.allocUnsafeSlow(neededBytes);
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
  }

  /** Nobody may read or write it any more. */
  give(chunk: Buffer): void {
    if (chunk.length === firstChunkBytes) this.#keep(this.#freeFirst, chunk);
    else if (chunk.length === chunkBytes) this.#keep(this.#free, chunk);
  }

  #keep(free: Buffer[], chunk: Buffer): void {
    if (free.length < this.#mostFree) free.push(chunk);
  }
}
