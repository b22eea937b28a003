/**
 * Which queued record of a partition may be delivered next.
 *
 * The lane asks `next` until there is none, delivers all it got at the same time, and says `done` for each. What order
 * means is decided here alone. Every operation takes the same time however much is queued.
 *
 * Always true: what `next` gave is remembered until `done` only as far as others wait for it; a key that has nothing
 * queued or under way takes no memory.
 */
import type { DeliveryOrder } from '@knative-kafka/common/core';

/** What the queue looks at. `nextOfKey` is the queue's to write. */
export interface Queued<Item> {
  readonly offset: bigint;
  /** Records with the same one are delivered one after the other; undefined where no other record is to be waited for. */
  readonly key: string | undefined;
  nextOfKey: Item | undefined;
}

export interface DeliveryQueue<Item> {
  /** In the order of their offsets. */
  add(item: Item): void;
  /** Whether `next` has one to give. */
  readonly hasNext: boolean;
  /** The next one that may start now; undefined when all that is queued has to wait for a `done`. */
  next(): Item | undefined;
  done(item: Item): void;
  /** Added and not started. */
  readonly waiting: number;
}

/**
 * @param order `ordered`: one record at a time, in the order of offsets. `key-ordered`: the same for each key, different
 *              keys (and records without one) at once. `unordered`: all at once
 */
export function createDeliveryQueue<Item extends Queued<Item>>(order: DeliveryOrder): DeliveryQueue<Item> {
  switch (order) {
    case 'ordered':
      return new OrderedQueue();
    case 'key-ordered':
      return new KeyOrderedQueue();
    case 'unordered':
      return new UnorderedQueue();
  }
}

class OrderedQueue<Item> implements DeliveryQueue<Item> {
  readonly #line = new Line<Item>();
  #isBusy = false;

  add(item: Item): void {
    this.#line.push(item);
  }

  get hasNext(): boolean {
    return !this.#isBusy && this.#line.length > 0;
  }

  next(): Item | undefined {
    if (!this.hasNext) return undefined;
    this.#isBusy = true;
    return this.#line.shift();
  }

  done(): void {
    this.#isBusy = false;
  }

  get waiting(): number {
    return this.#line.length;
  }
}

class KeyOrderedQueue<Item extends Queued<Item>> implements DeliveryQueue<Item> {
  /** The newest record of each key that has one queued or under way; the older ones lead to it by `nextOfKey`. */
  readonly #newest = new Map<string, Item>();
  /** May start, and never had to wait for another one. */
  readonly #free = new Line<Item>();
  /** May start since the record before them is done. */
  readonly #freed = new Line<Item>();
  #waiting = 0;

  add(item: Item): void {
    this.#waiting++;
    const newest = item.key === undefined ? undefined : this.#newest.get(item.key);
    if (item.key !== undefined) this.#newest.set(item.key, item);
    if (newest === undefined) this.#free.push(item);
    else newest.nextOfKey = item;
  }

  get hasNext(): boolean {
    return this.#free.length > 0 || this.#freed.length > 0;
  }

  /** The older one of the two lines' first: neither a busy key nor the many others can starve the rest. */
  next(): Item | undefined {
    const free = this.#free.first;
    const freed = this.#freed.first;
    const line = free === undefined || (freed !== undefined && freed.offset < free.offset) ? this.#freed : this.#free;
    const item = line.shift();
    if (item !== undefined) this.#waiting--;
    return item;
  }

  done(item: Item): void {
    if (item.key === undefined) return;
    if (item.nextOfKey === undefined) {
      this.#newest.delete(item.key);
    } else {
      this.#freed.push(item.nextOfKey);
      item.nextOfKey = undefined;
    }
  }

  get waiting(): number {
    return this.#waiting;
  }
}

class UnorderedQueue<Item> implements DeliveryQueue<Item> {
  readonly #line = new Line<Item>();

  add(item: Item): void {
    this.#line.push(item);
  }

  get hasNext(): boolean {
    return this.#line.length > 0;
  }

  next(): Item | undefined {
    return this.#line.shift();
  }

  done(): void {
    // nobody waits for it
  }

  get waiting(): number {
    return this.#line.length;
  }
}

/** First in, first out. An array's own `shift` moves all that is behind. */
class Line<Item> {
  #items: (Item | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  get first(): Item | undefined {
    return this.#items[this.#head];
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): Item | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined; // or the record would stay in memory until the array is cut
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head); // moves no more than have left since the last cut
      this.#head = 0;
    }
    return item;
  }
}
