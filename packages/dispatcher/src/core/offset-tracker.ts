/**
 * Where it is safe to commit while the deliveries of one partition finish, perhaps out of order.
 *
 * Kafka keeps one committed offset per partition. Committing past a record that is still being delivered would lose it
 * on a restart, so the commit offset waits for the slowest delivery. What has settled beyond it is known as ranges of
 * offsets, which settled-offsets.ts makes fit for a commit.
 *
 * Only unsettled records are kept, in a list through the records themselves: to settle one takes the same time however
 * many there are, and the ranges are what is missing between two neighbours.
 *
 * Always true: the commit offset never passes an unsettled record and never moves back; no range has one in it.
 */
import type { OffsetRange } from './settled-offsets.ts';

/** A record's place in the list. All but the offset is the tracker's to write. */
export interface Tracked<Item> {
  readonly offset: bigint;
  /** Counts the records of the partition; `untracked` before it is registered and once it is settled. */
  sequence: number;
  older: Item | undefined;
  newer: Item | undefined;
}

export const untracked = -1;

export class OffsetTracker<Item extends Tracked<Item>> {
  #oldest: Item | undefined;
  #newest: Item | undefined;
  #registered = 0;
  #lastOffset = -1n;
  /** Sequence of the newest one that has settled: behind it there is no range to look for. */
  #newestSettled = -1;
  #settled = 0;
  /** What an earlier owner settled; those from `#aheadAt` on end behind `#lastOffset`. */
  readonly #ahead: readonly OffsetRange[];
  #aheadAt = 0;

  /** @param settled what an earlier owner of the partition had settled beyond the offset that it committed; rising */
  constructor(settled: readonly OffsetRange[] = []) {
    this.#ahead = settled;
  }

  /**
   * A record that is to be settled. Offsets rise; gaps (compaction, transaction markers) are fine.
   * @returns false where it was settled by an earlier owner: then it counts as settled now, and is not kept
   * @throws RangeError when offsets do not rise: a bug in the caller
   */
  register(record: Item): boolean {
    const { offset } = record;
    if (offset <= this.#lastOffset) throw new RangeError(`offset ${offset} registered after ${this.#lastOffset}`);
    this.#lastOffset = offset;
    const sequence = this.#registered++;
    let ahead = this.#ahead[this.#aheadAt];
    while (ahead !== undefined && ahead.last < offset) ahead = this.#ahead[++this.#aheadAt];
    if (ahead !== undefined && ahead.first <= offset) {
      if (ahead.last === offset) this.#aheadAt++;
      this.#newestSettled = sequence;
      this.#settled++;
      return false;
    }
    record.sequence = sequence;
    record.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = record;
    else this.#newest.newer = record;
    this.#newest = record;
    return true;
  }

  /** @throws RangeError when it is not registered, or settled already: a bug in the caller */
  settle(record: Item): void {
    const { sequence } = record;
    if (sequence === untracked) throw new RangeError(`offset ${record.offset} is not registered, or is settled`);
    this.#remove(record);
    if (sequence > this.#newestSettled) this.#newestSettled = sequence;
    this.#settled++;
  }

  /** Whatever is unsettled will never be settled here. @returns the oldest of them, which the tracker no longer knows */
  forgetOldest(): Item | undefined {
    const oldest = this.#oldest;
    if (oldest !== undefined) this.#remove(oldest);
    return oldest;
  }

  /** How many have settled so far. While it stays the same there is nothing new to commit. */
  get settled(): number {
    return this.#settled;
  }

  /** The next record to read after a restart; undefined before the first was registered. */
  commitOffset(): bigint | undefined {
    if (this.#registered === 0) return undefined;
    return this.#oldest === undefined ? this.#settledUpTo() + 1n : this.#oldest.offset;
  }

  /**
   * What has settled beyond the commit offset: rising, none touching another. Gaps in the log count to either side.
   * To be read at once, before anything else is registered or settled.
   */
  *settledRanges(): Generator<OffsetRange, void> {
    for (let record = this.#oldest; record?.newer !== undefined && record.sequence < this.#newestSettled; record = record.newer) {
      const { offset, sequence, newer } = record;
      if (newer.sequence > sequence + 1) yield { first: offset + 1n, last: newer.offset - 1n };
    }
    const last = this.#settledUpTo();
    if (this.#newest !== undefined && last > this.#newest.offset) yield { first: this.#newest.offset + 1n, last };
    for (let at = this.#aheadAt; at < this.#ahead.length; at++) {
      const range = this.#ahead[at]!;
      if (range.last > last) yield range;
    }
  }

  #remove(record: Item): void {
    const { older, newer } = record;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    record.sequence = untracked;
    record.older = record.newer = undefined; // one that is gone must not keep others in memory
  }

  /** The end of what is settled behind the newest unsettled record; that record's own offset where nothing is. */
  #settledUpTo(): bigint {
    const ahead = this.#ahead[this.#aheadAt];
    const isLastSettled = this.#newest === undefined || this.#newest.offset < this.#lastOffset;
    return isLastSettled && ahead !== undefined && ahead.first <= this.#lastOffset + 1n ? ahead.last : this.#lastOffset;
  }
}
