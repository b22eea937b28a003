/**
 * When a process has come to rest and holds memory that it does not need there.
 *
 * V8 collects garbage as memory is asked for, and gives room back when it collects. A process that has started, or worked
 * off a load, and then has nothing to do asks for little: it keeps what the busy time took, for hours.
 *
 * Always true: nothing is due while the process is busy, nor within `leastMs` of the time before, so that the pause of a
 * collection is a share of the time too small to see in any latency, also where there is always a little to do.
 */

/** What a process has used, at one moment. Times in milliseconds. */
export interface Usage {
  readonly atMs: number;
  /** CPU time since its start, all threads. */
  readonly cpuMs: number;
  /** What V8 holds of the system for its heap, used or not. */
  readonly heapBytes: number;
}

/** Less of a core than this is rest: heartbeats and long polls of a hundred consumer groups stay below half of it. */
const restingCores = 0.1;
/** Between two collections. */
const leastMs = 5 * 60_000;
/** Of what was held after the last collection; below that there is little to gain. */
const growth = 1.25;

export class RestWatch {
  #last: Usage | undefined;
  #collected: Usage | undefined;

  /** @returns whether the process should collect now, judged by the time since it was asked last; the first time never */
  isCollectionDue(now: Usage): boolean {
    const last = this.#last;
    this.#last = now;
    if (last === undefined || now.cpuMs - last.cpuMs >= restingCores * (now.atMs - last.atMs)) return false;
    return this.#collected === undefined || (now.atMs - this.#collected.atMs >= leastMs && now.heapBytes >= growth * this.#collected.heapBytes);
  }

  /** @param after a collection, so that the CPU time it took is not taken for work */
  collected(after: Usage): void {
    this.#last = after;
    this.#collected = after;
  }
}
