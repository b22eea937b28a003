/**
 * A record batch of Kafka (magic 2, KIP-98) that grows record by record: each record is encoded once, straight into the
 * bytes that go over the wire, without an object for it or for its headers.
 *
 * The bytes are a list of pieces rather than one long buffer, so that nothing is moved when the batch grows, and a large
 * record costs its own size once. A record's own fields are in one piece, but for a large value that its owner keeps
 * (`isValueKept`), which is a piece by itself and not copied at all.
 *
 * Always true: after `finish` the pieces, one behind the other, are one valid batch of all records appended so far, with
 * offsets from 0; without compression, producer id or transaction; with the time that the sender gave each record.
 */
import { ChunkPool } from './chunk-pool.ts';
import { RecordCursor } from './fetched-record.ts';
import type { OutgoingRecord, TopicPartition } from './kafka-record.ts';

/** A record whose headers are in Kafka's format already. Its bytes are copied when it is appended: the buffers may be used again at once. */
export interface EncodedRecord {
  /** For each header: length of name, name, length of value, value; lengths as zigzag varints (KIP-98). Without the count. */
  readonly headers: Buffer;
  /** The headers are `headers[0, headersEnd)`. */
  readonly headersEnd: number;
  readonly headerCount: number;
  /** The key is `headers[keyStart, keyEnd)`, usually the bytes of a header's value. `keyStart` -1: no key. */
  readonly keyStart: number;
  readonly keyEnd: number;
  /** The value is `value[valueStart, valueEnd)`; null: no value (an event without data). */
  readonly value: Buffer | null;
  readonly valueStart: number;
  readonly valueEnd: number;
  readonly timestampMs: number;
  /** True where the bytes of `value` stay as they are until the record is settled; a large value is then not copied. */
  readonly isValueKept?: boolean;
}

/** Consecutive records for one partition; they are stored together or not at all. */
export interface PartitionBatch extends TopicPartition {
  readonly batch: RecordBatch;
}

/** CRC-32C (Castagnoli) of pieces, one behind the other; an unsigned 32-bit number. */
export type Crc32c = (pieces: readonly Buffer[]) => number;

/** Places of the fields in the header of a batch, whose records begin after it. */
const lengthAt = 8;
const leaderEpochAt = 12;
const magicAt = 16;
const crcAt = 17;
const attributesAt = 21;
const lastOffsetDeltaAt = 23;
const baseTimestampAt = 27;
const maxTimestampAt = 35;
const producerIdAt = 43;
const producerEpochAt = 51;
const baseSequenceAt = 53;
const recordCountAt = 57;
const headerBytes = 61;
/** The length of a batch counts what follows it. */
const beforeLengthCounts = 12;

/** What is the same in each batch of ours: offsets from 0, which the broker changes; no compression, the sender's time; no ids. */
const emptyHeader = Buffer.alloc(headerBytes);
emptyHeader.writeInt32BE(-1, leaderEpochAt);
emptyHeader.writeInt8(2, magicAt);
emptyHeader.writeBigInt64BE(-1n, producerIdAt);
emptyHeader.writeInt16BE(-1, producerEpochAt);
emptyHeader.writeInt32BE(-1, baseSequenceAt);

/** Attributes, and the most that lengths, deltas and counts of a record take as varints: 36. */
const recordOverheadBytes = 40;
/** From here on a value that is kept is a piece of its own rather than copied; below it, copying costs less. */
const ownPieceBytes = 16 * 1024;

/** An upper bound for the bytes of a record inside a batch, of the same kind as `recordBytes`. */
export function encodedRecordBytes(record: EncodedRecord): number {
  return recordOverheadBytes + record.headersEnd + Math.max(0, record.keyEnd - record.keyStart) + (record.value === null ? 0 : record.valueEnd - record.valueStart);
}

export class RecordBatch {
  readonly #pool: ChunkPool;
  /** All memory taken from the pool; the batch's header is at the start of the first. */
  readonly #chunks: Buffer[] = [];
  /** What is written, but for `#chunk[#pieceStart, #at)`. */
  readonly #pieces: Buffer[] = [];
  #chunk: Buffer;
  #pieceStart = 0;
  #at = headerBytes;
  #bytes = headerBytes;
  #count = 0;
  #baseTimestampMs = 0;
  #maxTimestampMs = 0;

  /** @param pool for its memory; without one it is left to the garbage collector */
  constructor(pool = new ChunkPool()) {
    this.#pool = pool;
    this.#chunk = pool.takeFirst();
    this.#chunks.push(this.#chunk);
  }

  /** A batch of records that are at hand. */
  static of(records: readonly OutgoingRecord[]): RecordBatch {
    const batch = new RecordBatch();
    for (const record of records) batch.append(encodeRecord(record));
    return batch;
  }

  /** How many records there are. */
  get count(): number {
    return this.#count;
  }

  /** How long the batch is, as Kafka counts for `max.message.bytes`. */
  get bytes(): number {
    return this.#bytes;
  }

  append(record: EncodedRecord): void {
    const { headers, headersEnd, headerCount, keyStart, keyEnd, value, valueStart, valueEnd } = record;
    const keyBytes = keyStart < 0 ? -1 : keyEnd - keyStart;
    const valueBytes = value === null ? -1 : valueEnd - valueStart;
    const fieldsBytes = fieldBytes(keyBytes) + fieldBytes(valueBytes) + varintBytes(headerCount * 2) + headersEnd;
    const isOwnPiece = record.isValueKept === true && valueBytes >= ownPieceBytes;
    this.#startRecord(record.timestampMs, fieldsBytes, isOwnPiece ? fieldsBytes - valueBytes : fieldsBytes);
    this.#at = putVarint(this.#chunk, this.#at, zigzag(keyBytes));
    if (keyBytes > 0) this.#copy(headers, keyStart, keyEnd);
    this.#at = putVarint(this.#chunk, this.#at, zigzag(valueBytes));
    if (isOwnPiece) {
      this.#endPiece();
      this.#pieces.push(value!.subarray(valueStart, valueEnd));
    } else if (valueBytes > 0) this.#copy(value!, valueStart, valueEnd);
    this.#at = putVarint(this.#chunk, this.#at, headerCount * 2);
    if (headersEnd > 0) this.#copy(headers, 0, headersEnd);
  }

  /**
   * Appends records of another batch, which stays as it is. Reads that batch's bytes anew: for what is rare.
   *
   * @param from the first of them, counted from 0
   * @param to   the one after the last
   */
  appendFrom(other: RecordBatch, from: number, to: number): void {
    const bytes = Buffer.concat(other.#allPieces(), other.#bytes);
    const cursor = new RecordCursor(bytes, headerBytes);
    for (let index = 0; index < to; index++) {
      const length = cursor.varint();
      const end = cursor.at + length;
      if (index >= from) {
        cursor.at++; // attributes
        const timestampDeltaMs = cursor.varint();
        cursor.varint(); // the offset, which is another one here
        const fieldsBytes = end - cursor.at;
        this.#startRecord(other.#baseTimestampMs + timestampDeltaMs, fieldsBytes, fieldsBytes);
        this.#copy(bytes, cursor.at, end);
      }
      cursor.at = end;
    }
  }

  /**
   * Writes the batch's header. More may be appended afterwards, and then it is to be finished again.
   * @returns the batch in pieces, which are good until something is appended or the memory recycled
   */
  finish(crc32c: Crc32c): readonly Buffer[] {
    const pieces = this.#allPieces();
    const header = pieces[0]!;
    emptyHeader.copy(header);
    header.writeInt32BE(this.#bytes - beforeLengthCounts, lengthAt);
    header.writeInt32BE(this.#count - 1, lastOffsetDeltaAt);
    writeInt64(header, this.#baseTimestampMs, baseTimestampAt);
    writeInt64(header, this.#maxTimestampMs, maxTimestampAt);
    header.writeInt32BE(this.#count, recordCountAt);
    header.writeUInt32BE(crc32c([header.subarray(attributesAt), ...pieces.slice(1)]), crcAt);
    return pieces;
  }

  /** Gives the memory back for other batches. Only where nobody can still read the pieces; the batch is of no use afterwards. */
  recycle(): void {
    for (const chunk of this.#chunks.splice(0)) this.#pool.give(chunk);
    this.#pieces.length = 0;
  }

  /** Writes what comes before a record's key, with room for all that is written of it after that. */
  #startRecord(timestampMs: number, fieldsBytes: number, writtenBytes: number): void {
    if (this.#chunk.length - this.#at < recordOverheadBytes + writtenBytes) {
      this.#endPiece();
      this.#chunk = this.#pool.take(recordOverheadBytes + writtenBytes);
      this.#chunks.push(this.#chunk);
      this.#pieceStart = this.#at = 0;
    }
    if (this.#count === 0) this.#baseTimestampMs = this.#maxTimestampMs = timestampMs;
    else if (timestampMs > this.#maxTimestampMs) this.#maxTimestampMs = timestampMs;
    const timestampDelta = zigzag(timestampMs - this.#baseTimestampMs);
    const offsetDelta = this.#count * 2;
    const length = 1 + varintBytes(timestampDelta) + varintBytes(offsetDelta) + fieldsBytes;
    const chunk = this.#chunk;
    let at = putVarint(chunk, this.#at, length * 2);
    chunk[at++] = 0; // attributes, of which there are none
    at = putVarint(chunk, at, timestampDelta);
    this.#at = putVarint(chunk, at, offsetDelta);
    this.#count++;
    this.#bytes += varintBytes(length * 2) + length;
  }

  #copy(source: Buffer, start: number, end: number): void {
    source.copy(this.#chunk, this.#at, start, end);
    this.#at += end - start;
  }

  #endPiece(): void {
    if (this.#at === this.#pieceStart) return;
    this.#pieces.push(this.#chunk.subarray(this.#pieceStart, this.#at));
    this.#pieceStart = this.#at;
  }

  #allPieces(): readonly Buffer[] {
    this.#endPiece();
    return this.#pieces;
  }
}

/** Where text headers are encoded before they are copied into a batch; one event's headers rarely need more. */
let scratch = Buffer.allocUnsafeSlow(8 * 1024);
const mostScratchBytes = 64 * 1024;

/** @returns the record with its headers encoded, for one `append`: the next call writes over them */
export function encodeRecord({ key, value, headers, timestampMs }: OutgoingRecord): EncodedRecord {
  const buffer = scratchOf(headers, key?.length ?? 0);
  let headersEnd = 0;
  for (const [name, headerValue] of headers) headersEnd = putBytes(buffer, putBytes(buffer, headersEnd, name), headerValue);
  let keyStart = -1;
  let keyEnd = -1;
  if (key !== null) {
    keyStart = headersEnd;
    keyEnd = keyStart + key.copy(buffer, keyStart);
  }
  return { headers: buffer, headersEnd, headerCount: headers.length, keyStart, keyEnd, value, valueStart: 0, valueEnd: value?.length ?? 0, timestampMs, isValueKept: true };
}

function scratchOf(headers: OutgoingRecord['headers'], keyBytes: number): Buffer {
  let bytes = keyBytes;
  // A UTF-16 unit is at most three bytes of UTF-8, a length at most five.
  for (const [name, value] of headers) bytes += 10 + name.length * 3 + (typeof value === 'string' ? value.length * 3 : value.length);
  if (bytes <= scratch.length) return scratch;
  const larger = Buffer.allocUnsafeSlow(bytes);
  if (bytes <= mostScratchBytes) scratch = larger;
  return larger;
}

/** Text up to here, if it is ASCII, has a length of one byte, and is written faster unit by unit than by a call into Node. */
const longestShortText = 63;

/** @returns false where some of the text is not ASCII; what was written until then is of no use */
function putAscii(buffer: Buffer, at: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f) return false;
    buffer[at + index] = unit;
  }
  return true;
}

/** Length and bytes. @returns where they end */
function putBytes(buffer: Buffer, at: number, content: string | Buffer): number {
  if (typeof content !== 'string') {
    const bytesAt = putVarint(buffer, at, content.length * 2);
    return bytesAt + content.copy(buffer, bytesAt);
  }
  if (content.length <= longestShortText && putAscii(buffer, at + 1, content)) {
    buffer[at] = content.length * 2;
    return at + 1 + content.length;
  }
  // Its length is not known before it is written, and may then take another byte than was thought.
  const expected = content.length;
  const textAt = at + varintBytes(expected * 2);
  const bytes = buffer.write(content, textAt);
  if (bytes === expected) {
    putVarint(buffer, at, expected * 2);
    return textAt + bytes;
  }
  const movedTo = at + varintBytes(bytes * 2);
  if (movedTo !== textAt) buffer.copyWithin(movedTo, textAt, textAt + bytes);
  putVarint(buffer, at, bytes * 2);
  return movedTo + bytes;
}

/** The bytes of a key or value with its length; -1 where there is none. */
function fieldBytes(length: number): number {
  return length < 0 ? 1 : varintBytes(length * 2) + length;
}

/** Without a BigInt. */
function writeInt64(buffer: Buffer, value: number, at: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  buffer.writeInt32BE(high, at);
  buffer.writeUInt32BE(value - high * 0x1_0000_0000, at + 4);
}

/** Signed to unsigned, small to small. Exact for all that a double holds exactly after doubling. */
function zigzag(value: number): number {
  return value < 0 ? -value * 2 - 1 : value * 2;
}

/** @param value not negative, whole */
function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  let bytes = 4;
  for (let rest = value / 0x1000_0000; rest >= 1; rest /= 0x80) bytes++;
  return bytes;
}

/** @returns where it ends */
function putVarint(buffer: Buffer, at: number, value: number): number {
  let rest = value;
  let next = at;
  // Operators on bits know 32 of them, which only timestamps go beyond.
  for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 0x80)) buffer[next++] = (rest % 0x80) | 0x80;
  for (; rest > 0x7f; rest >>>= 7) buffer[next++] = (rest & 0x7f) | 0x80;
  buffer[next++] = rest;
  return next;
}
