/**
 * Where it is safe to commit while the deliveries of one partition finish, perhaps out of order.
 *
 * Kafka keeps one committed offset per partition. Committing past a record that is still being delivered would lose it
 * on a restart, so the commit offset waits for the slowest delivery.
 *
 * Always true: the commit offset never passes an unsettled record and never moves back.
 */
interface Started {
  readonly offset: bigint;
  isSettled: boolean;
}

export class OffsetTracker {
  /** In the order of their offsets; those before `#head` are settled and gone. */
  #started: Started[] = [];
  #head = 0;
  #commitOffset: bigint | undefined;

  /** Offsets are started in rising order; gaps (compaction, transaction markers) are fine. */
  start(offset: bigint): void {
    const last = this.#started.at(-1);
    if (last !== undefined && last.offset >= offset) throw new RangeError(`offset ${offset} started after ${last.offset}`);
    this.#started.push({ offset, isSettled: false });
  }

  settle(offset: bigint): void {
    const started = this.#started;
    let at = this.#head;
    while (at < started.length && started[at]!.offset !== offset) at++;
    if (at === started.length) throw new RangeError(`offset ${offset} was not started, or is settled`);
    started[at]!.isSettled = true;
    while (this.#head < started.length && started[this.#head]!.isSettled) this.#commitOffset = started[this.#head++]!.offset + 1n;
    if (this.#head === started.length || this.#head > 1024) {
      this.#started = started.slice(this.#head);
      this.#head = 0;
    }
  }

  /** The next record to read after a restart; undefined while nothing has been settled. */
  commitOffset(): bigint | undefined {
    return this.#commitOffset;
  }

  /** Started and not settled. */
  get unsettled(): number {
    let unsettled = 0;
    for (let at = this.#head; at < this.#started.length; at++) if (!this.#started[at]!.isSettled) unsettled++;
    return unsettled;
  }
}
