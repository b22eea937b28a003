/**
 * The records in the bytes that a fetch brings of one partition: record batches one after another, in the format of
 * Kafka 0.11 and later (magic 2, KIP-98).
 *
 * Ours and not the library's, whose reader gives up a whole response for one batch that it cannot read, takes a batch
 * without looking at its checksum, and makes some twenty objects of a record where one is wanted. Decompression is
 * the library's.
 *
 * Always true: what comes out is whole batches, in order, without transaction markers and without the records of
 * transactions that were aborted; `nextOffset` passes what was left out, so that the same bytes are never asked for
 * twice, and stops before a batch that cannot be read.
 */
import { compressionsAlgorithmsByBitmask } from '@platformatic/kafka';
import { BatchContents, FetchedRecord, RecordCursor } from '../../core/fetched-record.ts';
import type { IncomingRecord } from '../../core/kafka-record.ts';
import { crc32c } from './crc32c.ts';

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
const crcAt = 17;
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
  let whole = 0;
  try {
    // The last batch may be cut off at the size that was asked for.
    for (let at = 0; bytes.length - at >= headerBytes; ) {
      const end = at + beforeLengthCounts + bytes.readInt32BE(at + lengthAt);
      if (end > bytes.length) break;
      const batch = bytes.subarray(at, end);
      if (batch.readInt8(magicAt) !== 2) throw new RangeError(`record batch of format ${batch.readInt8(magicAt)}`);
      checkSum(batch);
      at = end;
      const firstOffset = batch.readBigInt64BE(0);
      const lastOffset = firstOffset + BigInt(batch.readInt32BE(lastOffsetDeltaAt));
      const attributes = batch.readInt16BE(attributesAt);
      const producerId = batch.readBigInt64BE(producerIdAt);
      while (waiting.length > 0 && waiting[0]!.firstOffset <= lastOffset) aborted.add(waiting.shift()!.producerId);
      if ((attributes & controlBit) !== 0) {
        if (markerType(batch) === abortMarker) aborted.delete(producerId);
      } else if (lastOffset >= fetchOffset && !((attributes & transactionalBit) !== 0 && aborted.has(producerId))) {
        readRecords(batch, fetchOffset, records);
      }
      whole = records.length;
      if (lastOffset >= nextOffset) nextOffset = lastOffset + 1n;
    }
  } catch (error) {
    records.length = whole; // what was read of the batch that failed comes again with it
    return { records, nextOffset, error };
  }
  return { records, nextOffset, error: undefined };
}

/** @throws RangeError where the bytes are not those that the producer, or the broker, summed up */
function checkSum(batch: Buffer): void {
  if (crc32c([batch.subarray(attributesAt)]) !== batch.readUInt32BE(crcAt)) throw new RangeError('record batch with a wrong checksum');
}

/** Undefined where compaction has taken the marker out of its batch. */
function markerType(batch: Buffer): number | undefined {
  if (batch.readInt32BE(recordCountAt) === 0) return undefined;
  const contents = contentsOf(batch);
  return new FetchedRecord(contents, new RecordCursor(contents.bytes, 0)).key?.readInt16BE(2);
}

/** Adds those from `fetchOffset` on. */
function readRecords(batch: Buffer, fetchOffset: bigint, records: IncomingRecord[]): void {
  const count = batch.readInt32BE(recordCountAt);
  if (count === 0) return; // all of them fell to compaction
  const contents = contentsOf(batch);
  const cursor = new RecordCursor(contents.bytes, 0);
  const wantedFrom = Number(fetchOffset - contents.firstOffset);
  for (let read = 0; read < count; read++) {
    const record = new FetchedRecord(contents, cursor);
    if (record.offsetDelta >= wantedFrom) records.push(record);
  }
}

function contentsOf(batch: Buffer): BatchContents {
  const isAppendTime = (batch.readInt16BE(attributesAt) & logAppendTimeBit) !== 0;
  return new BatchContents(recordBytes(batch), batch.readBigInt64BE(0), Number(batch.readBigInt64BE(isAppendTime ? maxTimestampAt : firstTimestampAt)), isAppendTime);
}

/** Not compressed: a view and not a copy, because the bytes were copied once for the partition, when they were taken off the wire. */
function recordBytes(batch: Buffer): Buffer {
  const bytes = batch.subarray(headerBytes);
  const compression = batch.readInt16BE(attributesAt) & compressionBits;
  if (compression === 0) return bytes;
  const algorithm = compressionsAlgorithmsByBitmask[compression];
  if (algorithm === undefined) throw new RangeError(`record batch in an unknown compression, ${compression}`);
  return algorithm.decompressSync(bytes);
}
