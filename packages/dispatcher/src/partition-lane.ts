/**
 * HOT PATH of one partition: records in, deliveries in order, offsets that may be committed out.
 *
 * Always true: what is queued stays within the lane's share of the byte budget (fetching pauses, so that nothing is
 * thrown away), plus what one fetch brings; after `stop` nothing new starts and nothing more is to be committed.
 */
import type { IncomingRecord } from '@knative-kafka/common/core';
import type { DeliveryQueue } from './core/delivery-order.ts';
import { OffsetTracker } from './core/offset-tracker.ts';
import type { DispatchOutcome } from './dispatch.ts';

export interface LaneIo {
  dispatch(record: IncomingRecord, signal: AbortSignal): Promise<DispatchOutcome>;
  pause(): void;
  resume(): void;
  /** A record has its outcome; `commitOffset()` may have moved. */
  onSettled(outcome: DispatchOutcome): void;
  /** Bytes that this lane queues, more or fewer than before. */
  onQueued(bytes: number): void;
  /** How much the lane may queue now. */
  queueLimitBytes(): number;
}

export class PartitionLane {
  readonly partition: number;
  readonly #queue: DeliveryQueue<IncomingRecord>;
  readonly #io: LaneIo;
  readonly #tracker = new OffsetTracker();
  readonly #stopped = new AbortController();
  /** Ends waiting for retries. */
  readonly #draining = new AbortController();
  #isSuspended = false;
  #isPaused = false;
  #inFlight = 0;
  #queuedBytes = 0;
  #highWatermark = -1n;
  #nextOffset = -1n;
  #idleWaiters: (() => void)[] = [];
  /** What the group has taken last: nothing is committed twice. */
  committed: bigint | undefined;

  constructor(partition: number, order: DeliveryQueue<IncomingRecord>, io: LaneIo) {
    this.partition = partition;
    this.#queue = order;
    this.#io = io;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Records in Kafka that have no outcome yet, as of the last fetch; undefined before the first. */
  get lag(): number | undefined {
    if (this.#highWatermark < 0n) return undefined;
    return Number(this.#highWatermark - (this.#tracker.commitOffset() ?? this.#nextOffset));
  }

  add(records: readonly IncomingRecord[], highWatermark: bigint): void {
    if (this.#stopped.signal.aborted) return;
    this.#highWatermark = highWatermark;
    if (this.#nextOffset < 0n) this.#nextOffset = records[0]?.offset ?? -1n;
    let bytes = 0;
    for (const record of records) {
      bytes += queuedSize(record);
      this.#queue.add(record);
    }
    this.#account(bytes);
    if (!this.#isPaused && this.#queuedBytes >= this.#io.queueLimitBytes()) {
      this.#isPaused = true;
      this.#io.pause();
    }
    this.#start();
  }

  /** The offset to commit, where it moved since the last commit. */
  commitOffset(): bigint | undefined {
    const offset = this.#stopped.signal.aborted ? undefined : this.#tracker.commitOffset();
    return offset === this.committed ? undefined : offset;
  }

  /** Starts nothing new until `proceed`: the partition may be about to move. */
  suspend(): void {
    this.#isSuspended = true;
  }

  /** Goes on, and says anew whether more records are wanted: the member may remember what an earlier lane said. */
  proceed(): void {
    this.#isSuspended = false;
    if (this.#isPaused) this.#io.pause();
    else this.#io.resume();
    this.#start();
  }

  /** Ends waiting for retries and resolves when the attempts under way have ended. What they settle still counts. */
  async drain(): Promise<void> {
    this.#isSuspended = true;
    this.#draining.abort();
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** The partition is somebody else's: forget everything. */
  stop(): void {
    this.#stopped.abort();
    this.#draining.abort();
    this.#account(-this.#queuedBytes);
  }

  #start(): void {
    if (this.#isSuspended || this.#draining.signal.aborted) return; // a rebalance that ends does not end a drain
    for (let record = this.#queue.next(); record !== undefined; record = this.#queue.next()) {
      this.#inFlight++;
      this.#tracker.start(record.offset);
      void this.#deliver(record);
    }
  }

  async #deliver(record: IncomingRecord): Promise<void> {
    const outcome = await this.#io.dispatch(record, this.#draining.signal);
    this.#inFlight--;
    if (!this.#stopped.signal.aborted) {
      // Interrupted by a drain, which also keeps back the records after it.
      if (outcome.kind !== 'interrupted') this.#tracker.settle(record.offset);
      this.#queue.done(record);
      this.#account(-queuedSize(record));
      if (this.#isPaused && this.#queuedBytes <= this.#io.queueLimitBytes() / 2) {
        this.#isPaused = false;
        this.#io.resume();
      }
      this.#start();
    }
    this.#io.onSettled(outcome);
    if (this.#inFlight === 0) {
      for (const resume of this.#idleWaiters) resume();
      this.#idleWaiters = [];
    }
  }

  #account(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#io.onQueued(bytes);
  }
}

/** Objects and header text that come with each record: a round figure. */
const recordOverheadBytes = 512;

function queuedSize(record: IncomingRecord): number {
  let bytes = recordOverheadBytes + (record.key?.length ?? 0) + (record.value?.length ?? 0);
  for (const [name, value] of record.headers) bytes += name.length + value.length;
  return bytes;
}
