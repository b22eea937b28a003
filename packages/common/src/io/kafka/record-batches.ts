/**
 * The records in the bytes that a fetch brings of one partition: record batches one after another, in the format of
 * Kafka 0.11 and later (magic 2, KIP-98).
 *
 * Ours and not the library's, whose reader gives up a whole response for one batch that it cannot read, and makes
 * three objects where one is wanted. Decompression is the library's.
 *
 * Always true: what comes out is whole batches, in order, without transaction markers and without the records of
 * transactions that were aborted; `nextOffset` passes what was left out, so that the same bytes are never asked for
 * twice, and stops before a batch that cannot be read.
 */
import { compressionsAlgorithmsByBitmask } from '@platformatic/kafka';
import type { IncomingRecord } from '../../core/kafka-record.ts';

/** A transaction that was aborted, as the broker tells it beside the bytes. */
export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

export interface ReadBatches {
  readonly records: readonly IncomingRecord[];
  /** Where reading goes on; as before where no batch was whole. */
  readonly nextOffset: bigint;
  /** Why reading stopped before the end of the bytes. */
  readonly error: unknown;
}

/** Places of the fields in the header of a batch, whose records begin after it. */
const lengthAt = 8;
const magicAt = 16;
const attributesAt = 21;
const lastOffsetDeltaAt = 23;
const firstTimestampAt = 27;
const maxTimestampAt = 35;
const producerIdAt = 43;
const recordCountAt = 57;
const headerBytes = 61;
/** The length of a batch counts what follows it. */
const beforeLengthCounts = 12;

const compressionBits = 0b111;
const logAppendTimeBit = 1 << 3;
const transactionalBit = 1 << 4;
const controlBit = 1 << 5;
/** The type in the key of a transaction marker, after its version. */
const abortMarker = 0;

/**
 * @param fetchOffset         records before it are left out: batches come whole
 * @param abortedTransactions those that overlap with the bytes; none where the topic has none
 */
export function readBatches(bytes: Buffer, fetchOffset: bigint, abortedTransactions: readonly AbortedTransaction[]): ReadBatches {
  const records: IncomingRecord[] = [];
  const waiting = abortedTransactions.toSorted((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const aborted = new Set<bigint>();
  let nextOffset = fetchOffset;
  try {
    // The last batch may be cut off at the size that was asked for.
    for (let at = 0; bytes.length - at >= headerBytes; ) {
      const end = at + beforeLengthCounts + bytes.readInt32BE(at + lengthAt);
      if (end > bytes.length) break;
      const batch = bytes.subarray(at, end);
      if (batch.readInt8(magicAt) !== 2) throw new RangeError(`record batch of format ${batch.readInt8(magicAt)}`);
      at = end;
      const firstOffset = batch.readBigInt64BE(0);
      const lastOffset = firstOffset + BigInt(batch.readInt32BE(lastOffsetDeltaAt));
      const attributes = batch.readInt16BE(attributesAt);
      const producerId = batch.readBigInt64BE(producerIdAt);
      while (waiting.length > 0 && waiting[0]!.firstOffset <= lastOffset) aborted.add(waiting.shift()!.producerId);
      if ((attributes & controlBit) !== 0) {
        if (markerType(batch) === abortMarker) aborted.delete(producerId);
      } else if (lastOffset >= fetchOffset && !((attributes & transactionalBit) !== 0 && aborted.has(producerId))) {
        readRecords(batch, firstOffset, fetchOffset, records);
      }
      if (lastOffset >= nextOffset) nextOffset = lastOffset + 1n;
    }
  } catch (error) {
    // Whole batches only: what was read of the one that failed comes again with it.
    while (records.length > 0 && records.at(-1)!.offset >= nextOffset) records.pop();
    return { records, nextOffset, error };
  }
  return { records, nextOffset, error: undefined };
}

/** Undefined where compaction has taken the marker out of its batch. */
function markerType(batch: Buffer): number | undefined {
  if (batch.readInt32BE(recordCountAt) === 0) return undefined;
  const key = new RecordReader(recordBytes(batch)).next().key;
  return key?.readInt16BE(2);
}

function readRecords(batch: Buffer, firstOffset: bigint, fetchOffset: bigint, records: IncomingRecord[]): void {
  const count = batch.readInt32BE(recordCountAt);
  if (count === 0) return; // all of them fell to compaction
  const appendTime = (batch.readInt16BE(attributesAt) & logAppendTimeBit) !== 0;
  const baseTimestamp = Number(batch.readBigInt64BE(appendTime ? maxTimestampAt : firstTimestampAt));
  const reader = new RecordReader(recordBytes(batch));
  for (let read = 0; read < count; read++) {
    const { offsetDelta, timestampDelta, key, value, headers } = reader.next();
    const offset = firstOffset + BigInt(offsetDelta);
    if (offset >= fetchOffset) records.push({ offset, key, value, headers, timestampMs: appendTime ? baseTimestamp : baseTimestamp + timestampDelta });
  }
}

function recordBytes(batch: Buffer): Buffer {
  const bytes = batch.subarray(headerBytes);
  const compression = batch.readInt16BE(attributesAt) & compressionBits;
  if (compression === 0) return bytes;
  const algorithm = compressionsAlgorithmsByBitmask[compression];
  if (algorithm === undefined) throw new RangeError(`record batch in an unknown compression, ${compression}`);
  return algorithm.decompressSync(bytes);
}

/** One record after another. Throws where the bytes end within one. */
class RecordReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  next(): Pick<IncomingRecord, 'key' | 'value' | 'headers'> & { readonly offsetDelta: number; readonly timestampDelta: number } {
    const length = this.#varint();
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) throw new RangeError('a record is longer than its batch');
    this.#at++; // attributes, of which there are none
    const timestampDelta = this.#varint();
    const offsetDelta = this.#varint();
    const key = this.#field();
    const value = this.#field();
    const headers: (readonly [string, Buffer])[] = [];
    for (let left = this.#varint(); left > 0; left--) {
      const nameLength = this.#varint();
      const name = this.#bytes.toString('utf8', this.#at, this.#advance(nameLength));
      const headerValue = this.#field();
      // Other clients may write a header without a value, which is none to us.
      if (headerValue !== null) headers.push([name, headerValue]);
    }
    if (this.#at > end) throw new RangeError('a record is longer than it says');
    this.#at = end;
    return { offsetDelta, timestampDelta, key, value, headers };
  }

  /** A view into the bytes, not a copy: they were copied once for the partition, when they were taken off the wire. */
  #field(): Buffer | null {
    const length = this.#varint();
    if (length === -1) return null;
    const start = this.#at;
    return this.#bytes.subarray(start, this.#advance(length));
  }

  #advance(length: number): number {
    if (length < 0 || this.#at + length > this.#bytes.length) throw new RangeError('a field is longer than its record');
    this.#at += length;
    return this.#at;
  }

  /** Zigzag: the lowest bit is the sign. Beyond 32 bits only timestamps go, which a double holds. */
  #varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new RangeError('the bytes end within a record');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      if (factor > 2 ** 56) throw new RangeError('a number that does not end');
    }
  }
}
