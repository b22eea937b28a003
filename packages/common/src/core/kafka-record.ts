/**
 * Records and what becomes of them, as the pump, the codecs and the Kafka port speak of them.
 */
import type { Fault } from './fault.ts';

/** Name and value in the order written; names may repeat. Values are UTF-8 in everything this project writes. */
export type RecordHeaders = readonly (readonly [name: string, value: Buffer])[];

/** A record on its way to Kafka. */
export interface OutgoingRecord {
  readonly key: Buffer | null;
  /** `null` for an event without data (CloudEvents Kafka binding §3.2.2); in a compacted topic that is a tombstone. */
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [name: string, value: string | Buffer])[];
  readonly timestampMs: number;
}

/** A record as Kafka gave it. Its fields may be made when they are asked for: `{ ...record }` is no copy of it. */
export interface IncomingRecord {
  readonly offset: bigint;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: RecordHeaders;
  readonly timestampMs: number;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** What became of one batch. A fault says by `retriable` whether the very same batch may be sent again. */
export type ProduceResult = { readonly baseOffset: bigint } | { readonly fault: Fault };

export interface TopicMetadata {
  /** Broker id of each partition's leader by partition number; -1 while there is none. */
  readonly leaders: readonly number[];
}

/** Kafka's own sizes of a record batch, without compression: batch header, and a generous bound per record and header. */
const batchHeaderBytes = 61;
const recordOverheadBytes = 40;
const headerOverheadBytes = 6;

/**
 * An upper bound for the bytes of a record inside a batch (KIP-98 record format).
 * A batch of records is at most `batchBytes(sum of their recordBytes)` long, which `max.message.bytes` limits.
 */
export function recordBytes(record: OutgoingRecord): number {
  let bytes = recordOverheadBytes + (record.key?.length ?? 0) + (record.value?.length ?? 0);
  for (const [name, value] of record.headers) {
    // A string takes at most three bytes of UTF-8 per UTF-16 unit; header text is nearly always ASCII.
    bytes += headerOverheadBytes + name.length + (typeof value === 'string' ? Buffer.byteLength(value) : value.length);
  }
  return bytes;
}

export function batchBytes(recordsBytes: number): number {
  return batchHeaderBytes + recordsBytes;
}
