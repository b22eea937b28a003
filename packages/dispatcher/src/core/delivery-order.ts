/**
 * Which queued record of a partition may be delivered next.
 *
 * The lane asks `next` until there is none, delivers all it got at the same time, and says `done` for each. What order
 * means is decided here alone.
 */
export interface DeliveryQueue<Item> {
  add(item: Item): void;
  /** The next one that may start now; undefined when all that is queued has to wait for a `done`. */
  next(): Item | undefined;
  done(item: Item): void;
  /** Waiting to be started. */
  readonly waiting: number;
}

/** One record of a partition at a time, in the order of its offsets. */
export class OrderedQueue<Item> implements DeliveryQueue<Item> {
  #queue: Item[] = [];
  #head = 0;
  #isBusy = false;

  add(item: Item): void {
    this.#queue.push(item);
  }

  next(): Item | undefined {
    if (this.#isBusy || this.#head === this.#queue.length) return undefined;
    const item = this.#queue[this.#head++];
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head >= 1024) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    this.#isBusy = true;
    return item;
  }

  done(): void {
    this.#isBusy = false;
  }

  get waiting(): number {
    return this.#queue.length - this.#head;
  }
}
