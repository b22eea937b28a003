/**
 * HOT PATH of one partition: records in, deliveries in order, what may be committed out.
 *
 * Always true: what is queued stays within the lane's share of the byte budget (fetching pauses, so that nothing is
 * thrown away), plus what one fetch brings; a record is referred to by its entry alone, whose `record` dispatch may
 * replace; after `stop` nothing new starts and nothing more is to be committed.
 */
import { FetchedRecord, type DeliveryOrder, type IncomingRecord, type TopicPartition } from '@knative-kafka/common/core';
import { createDeliveryQueue, type DeliveryQueue, type Queued } from './core/delivery-order.ts';
import type { InFlightLimit } from './core/in-flight-limit.ts';
import { OffsetTracker, untracked, type Tracked } from './core/offset-tracker.ts';
import { decodeSettled, encodeSettled } from './core/settled-offsets.ts';
import type { DispatchOutcome, HeldRecord } from './dispatch.ts';

export interface LaneIo {
  /** Tells `PartitionLane.ended` of the outcome, once. Never throws. */
  dispatch(entry: LaneEntry, signal: AbortSignal): void;
  pause(): void;
  resume(): void;
  /** A record has its outcome; there may be something to commit. */
  onSettled(outcome: DispatchOutcome): void;
  /** So many of the records just added are not delivered: an earlier owner did. There may be something to commit. */
  onSkipped(records: number): void;
  /** Bytes that this lane queues, more or fewer than before. */
  onQueued(bytes: number): void;
  /** How much the lane may queue now. */
  queueLimitBytes(): number;
}

export interface LaneOptions extends TopicPartition {
  readonly order: DeliveryOrder;
  /** The group's, shared by its lanes. */
  readonly inFlightLimit: InFlightLimit;
  /** What was committed beside the offset that the lane begins at. */
  readonly metadata: string | undefined;
  /** The most characters that a commit may carry. */
  readonly metadataLimitBytes: number;
}

/** What to commit; `PartitionLane.accepted` is told of it when the group has taken it. */
export interface LaneCommit {
  /** The next record to read. */
  readonly commitOffset: bigint;
  /** What has settled beyond it; undefined where nothing has. */
  readonly metadata: string | undefined;
  /** How many records had settled. */
  readonly settled: number;
}

export class PartitionLane implements TopicPartition {
  readonly topic: string;
  readonly partition: number;
  readonly #order: DeliveryOrder;
  readonly #inFlightLimit: InFlightLimit;
  readonly #metadataLimitBytes: number;
  readonly #io: LaneIo;
  readonly #stopped = new AbortController();
  /** Ends waiting for retries. */
  readonly #draining = new AbortController();
  #queue: DeliveryQueue<LaneEntry>;
  #tracker = new OffsetTracker<LaneEntry>();
  /** Of the assignment, until the first record tells the offset that it belongs to. */
  #metadata: string | undefined;
  #isSuspended = false;
  #isPaused = false;
  #isStarting = false;
  #inFlight = 0;
  #queuedBytes = 0;
  #highWatermark = -1n;
  #idleWaiters: (() => void)[] = [];
  /** What the group has taken last: nothing is committed twice. */
  #committed: LaneCommit | undefined;
  #committedSettled = 0;

  constructor({ topic, partition, order, inFlightLimit, metadata, metadataLimitBytes }: LaneOptions, io: LaneIo) {
    this.topic = topic;
    this.partition = partition;
    this.#order = order;
    this.#inFlightLimit = inFlightLimit;
    this.#metadata = metadata;
    this.#metadataLimitBytes = metadataLimitBytes;
    this.#queue = createDeliveryQueue(order);
    this.#io = io;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Records in Kafka from the commit offset on, as of the last fetch; undefined before the first. */
  get lag(): number | undefined {
    const commitOffset = this.#tracker.commitOffset();
    return commitOffset === undefined ? undefined : Number(this.#highWatermark - commitOffset);
  }

  add(records: readonly IncomingRecord[], highWatermark: bigint): void {
    const first = records[0];
    if (this.#stopped.signal.aborted || first === undefined) return;
    this.#highWatermark = highWatermark;
    if (this.#metadata !== undefined) {
      this.#tracker = new OffsetTracker(decodeSettled(this.#metadata, first.offset, highWatermark));
      this.#metadata = undefined;
    }
    const bytes = this.#enqueue(records);
    this.#account(bytes);
    if (!this.#isPaused && this.#queuedBytes >= this.#io.queueLimitBytes()) {
      this.#isPaused = true;
      this.#io.pause();
    }
    this.#start();
  }

  /** What to commit, where offset or metadata moved since the last commit that was `accepted`. */
  commit(): LaneCommit | undefined {
    const { settled } = this.#tracker;
    const commitOffset = this.#tracker.commitOffset();
    if (!this.hasMoved || commitOffset === undefined) return undefined;
    const metadata = encodeSettled(commitOffset, this.#tracker.settledRanges(), this.#metadataLimitBytes);
    if (commitOffset === this.#committed?.commitOffset && metadata === this.#committed.metadata) {
      this.#committedSettled = settled; // what has settled since lies beyond what fits
      return undefined;
    }
    return { commitOffset, metadata, settled };
  }

  /** The group has taken it. */
  accepted(commit: LaneCommit): void {
    this.#committed = commit;
    this.#committedSettled = commit.settled;
  }

  /** Whether anything has settled since the last commit: cheap, where `commit` puts the metadata together. */
  get hasMoved(): boolean {
    return !this.#stopped.signal.aborted && this.#tracker.settled !== this.#committedSettled;
  }

  /** Starts nothing new until `proceed`: the partition may be about to move. */
  suspend(): void {
    this.#isSuspended = true;
    this.#inFlightLimit.leave(this.#start);
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
    this.suspend();
    this.#draining.abort();
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** The partition is somebody else's: forget everything. */
  stop(): void {
    this.#stopped.abort();
    this.suspend();
    this.#draining.abort();
    this.#account(-this.#queuedBytes);
    // Attempts under way refer to the lane and to their entries until they end: what waited behind them goes now.
    this.#queue = createDeliveryQueue(this.#order);
    for (let entry = this.#tracker.forgetOldest(); entry !== undefined; entry = this.#tracker.forgetOldest()) entry.nextOfKey = undefined;
  }

  /** @returns how many bytes they take */
  #enqueue(records: readonly IncomingRecord[]): number {
    let bytes = 0;
    let skipped = 0;
    for (const record of records) {
      const entry = new LaneEntry(record, this.#order);
      if (this.#tracker.register(entry)) {
        bytes += entry.bytes;
        this.#queue.add(entry);
      } else {
        skipped++;
      }
    }
    if (skipped > 0) this.#io.onSkipped(skipped);
    return bytes;
  }

  /** Also what the group's limit calls when it is this lane's turn. */
  readonly #start = (): void => {
    if (this.#isStarting) return; // what has ended at once is within what starts it
    this.#isStarting = true;
    try {
      // Asked anew for each: a rebalance that ends does not end a drain.
      while (this.#queue.hasNext && !this.#isSuspended && !this.#draining.signal.aborted) {
        if (!this.#inFlightLimit.take()) {
          this.#inFlightLimit.wait(this.#start);
          break;
        }
        this.#inFlight++;
        this.#io.dispatch(this.#queue.next()!, this.#draining.signal);
      }
    } finally {
      this.#isStarting = false;
    }
  };

  /** @param entry as `dispatch` was given it */
  ended(entry: LaneEntry, outcome: DispatchOutcome): void {
    this.#inFlight--;
    if (!this.#stopped.signal.aborted) {
      // Interrupted by a drain: it stays unsettled and queued in its order, so that nothing overtakes it.
      if (outcome.kind !== 'interrupted') {
        this.#tracker.settle(entry);
        this.#queue.done(entry);
      }
      this.#account(-entry.bytes);
      if (this.#isPaused && this.#queuedBytes <= this.#io.queueLimitBytes() / 2) {
        this.#isPaused = false;
        this.#io.resume();
      }
    }
    this.#inFlightLimit.give(); // first whoever waits for it, then this lane
    this.#start();
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

/** A record from the moment it is queued until it is settled. */
export class LaneEntry implements HeldRecord, Tracked<LaneEntry>, Queued<LaneEntry> {
  record: IncomingRecord;
  readonly offset: bigint;
  /** The key as text that refers to no buffer; undefined where the order does not ask for it. */
  readonly key: string | undefined;
  /** What it counted when it was queued, and counts when it leaves, whatever `record` is by then. */
  readonly bytes: number;
  sequence = untracked;
  older: LaneEntry | undefined;
  newer: LaneEntry | undefined;
  nextOfKey: LaneEntry | undefined;
  /** When its delivery began, for whoever measures it, on the clock of their choice. */
  startedAt = 0;

  constructor(record: IncomingRecord, order: DeliveryOrder) {
    this.record = record;
    this.offset = record.offset;
    this.key = order === 'key-ordered' ? record.key?.toString('latin1') : undefined;
    this.bytes = queuedSize(record) + (this.key?.length ?? 0);
  }
}

/** Round figures of the objects that come with each record: of one that refers to the bytes of its fetch, and of any other. */
const fetchedOverheadBytes = 256;
const recordOverheadBytes = 512;

function queuedSize(record: IncomingRecord): number {
  if (record instanceof FetchedRecord) return fetchedOverheadBytes + record.contentBytes; // whose headers are not asked for
  let bytes = recordOverheadBytes + (record.key?.length ?? 0) + (record.value?.length ?? 0);
  for (const [name, value] of record.headers) bytes += name.length + value.length;
  return bytes;
}
