/**
 * What waits for one partition, as record batches that are encoded already: the first is the next to be sent, the last
 * may still grow.
 *
 * Always true: records leave in the order in which they came, whoever waits for a record goes where it goes, and no
 * batch of several records is longer than the limit it was filled under. Bytes are moved only where something went
 * wrong: a batch is split because it was too large or because some of its records are late, or one that failed takes in
 * what has come since.
 */
import type { ChunkPool } from './chunk-pool.ts';
import type { Fault } from './fault.ts';
import { batchBytes } from './kafka-record.ts';
import { encodedRecordBytes, RecordBatch, type EncodedRecord } from './record-batch.ts';

/** Whoever waits for a record: told once; nothing when Kafka has acknowledged it, the reason when it will not be stored. May append. */
export interface Settlement {
  settled(fault?: Fault): void;
}

/** Records with who waits for each of them, and until when; both by the record's place in the batch. */
export interface WaitingBatch {
  readonly records: RecordBatch;
  readonly settlements: readonly Settlement[];
  /** How often it has been sent. */
  attempts: number;
}

interface OpenBatch extends WaitingBatch {
  readonly settlements: Settlement[];
  readonly deadlines: number[];
}

export class PartitionQueue {
  readonly #pool: ChunkPool;
  readonly #batches: OpenBatch[] = [];
  /** After "batch too large": how many records the next batch may have. */
  #maxRecords = Infinity;

  constructor(pool: ChunkPool) {
    this.#pool = pool;
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0;
  }

  /** @param limitBytes how long a batch of several records may be */
  append(record: EncodedRecord, deadline: number, settlement: Settlement, limitBytes: number): void {
    let last = this.#batches.at(-1);
    if (last === undefined || last.records.bytes + encodedRecordBytes(record) > limitBytes) {
      last = this.#newBatch();
      this.#batches.push(last);
    }
    last.records.append(record);
    last.deadlines.push(deadline);
    last.settlements.push(settlement);
  }

  /** @returns the next batch to send; undefined where nothing waits. It comes back by `putBack`, or not at all */
  take(limitBytes: number): WaitingBatch | undefined {
    const first = this.#batches.shift();
    if (first === undefined) return undefined;
    if (first.records.count > this.#maxRecords) {
      this.#batches.unshift(this.#part(first, this.#maxRecords, first.records.count));
      return this.#part(first, 0, this.#maxRecords);
    }
    for (let next = this.#batches[0]; next !== undefined && this.#fitTogether(first, next, limitBytes); next = this.#batches[0]) {
      move(next, 0, next.records.count, first);
      this.#batches.shift();
    }
    return first;
  }

  /** A batch that was taken goes first again. */
  putBack(batch: WaitingBatch): void {
    this.#batches.unshift(batch as OpenBatch);
  }

  /** From now on batches have this many records, until `liftMaxRecords`. */
  limitRecords(maxRecords: number): void {
    this.#maxRecords = maxRecords;
  }

  liftMaxRecords(): void {
    this.#maxRecords = Infinity;
  }

  /** Takes out the records from the first on whose deadline is over; those behind one that has time left wait for it. */
  takeExpired(now: number): readonly Settlement[] {
    const expired: Settlement[] = [];
    for (let first = this.#batches[0]; first !== undefined && first.deadlines[0]! <= now; first = this.#batches[0]) {
      const inTime = first.deadlines.findIndex((deadline) => deadline > now);
      if (inTime < 0) this.#batches.shift();
      else this.#batches[0] = this.#part(first, inTime, first.records.count);
      expired.push(...(inTime < 0 ? first.settlements : first.settlements.slice(0, inTime)));
    }
    return expired;
  }

  takeAll(): readonly Settlement[] {
    return this.#batches.splice(0).flatMap(({ settlements }) => settlements);
  }

  #newBatch(): OpenBatch {
    return { records: new RecordBatch(this.#pool), settlements: [], deadlines: [], attempts: 0 };
  }

  #part(batch: OpenBatch, from: number, to: number): OpenBatch {
    const part = this.#newBatch();
    move(batch, from, to, part);
    return part;
  }

  #fitTogether(first: WaitingBatch, next: WaitingBatch, limitBytes: number): boolean {
    return first.records.count + next.records.count <= this.#maxRecords && first.records.bytes + next.records.bytes - batchBytes(0) <= limitBytes;
  }
}

function move(source: OpenBatch, from: number, to: number, target: OpenBatch): void {
  target.records.appendFrom(source.records, from, to);
  for (let index = from; index < to; index++) {
    target.deadlines.push(source.deadlines[index]!);
    target.settlements.push(source.settlements[index]!);
  }
}
