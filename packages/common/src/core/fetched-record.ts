/**
 * HOT PATH of reading: a record as positions in the bytes that a fetch brought.
 *
 * A consumer queues thousands of records and looks at each for a moment. So a record refers to the bytes of its batch and
 * knows where its parts are; key, value and headers become objects when somebody asks for them. Who can use the bytes
 * themselves finds them by the positions.
 *
 * Always true: all positions were checked when the record was read: they lie within the record, and the record within its
 * batch. The parts are views: one record in memory holds the bytes that it came with.
 */
import type { IncomingRecord, RecordHeaders } from './kafka-record.ts';

/** What the records of one batch share. */
export class BatchContents {
  /** The records, one after another, not compressed. */
  readonly bytes: Buffer;
  readonly firstOffset: bigint;
  /** That the records' own times count from, or the one time of all. */
  readonly timestampMs: number;
  /** Whether all have the time at which the broker got them. */
  readonly isAppendTime: boolean;

  constructor(bytes: Buffer, firstOffset: bigint, timestampMs: number, isAppendTime: boolean) {
    this.bytes = bytes;
    this.firstOffset = firstOffset;
    this.timestampMs = timestampMs;
    this.isAppendTime = isAppendTime;
  }
}

export class FetchedRecord implements IncomingRecord {
  readonly #batch: BatchContents;
  /** From the batch's first offset. */
  readonly offsetDelta: number;
  readonly #timestampDeltaMs: number;
  readonly #keyStart: number;
  readonly #keyLength: number;
  readonly #valueStart: number;
  readonly #valueLength: number;
  /** How many there are in the bytes; those without a value among them. */
  readonly headerCount: number;
  /** Where the first header begins: length of name, name, length of value, value; lengths as zigzag varints (KIP-98). */
  readonly headersStart: number;
  readonly headersEnd: number;
  /** Whoever reads headers reads them more than once; views of key and value cost next to nothing. */
  #headers: RecordHeaders | undefined;

  /**
   * Reads the record that begins at `cursor`, and leaves the cursor behind it.
   * @throws RangeError where lengths do not fit into each other
   */
  constructor(batch: BatchContents, cursor: RecordCursor) {
    this.#batch = batch;
    const length = cursor.varint();
    const end = cursor.at + length;
    if (length < 0 || end > cursor.bytes.length) throw new RangeError('a record is longer than its batch');
    cursor.at++; // attributes, of which there are none
    this.#timestampDeltaMs = cursor.varint();
    this.offsetDelta = cursor.varint();
    this.#keyLength = cursor.varint();
    this.#keyStart = cursor.at;
    cursor.skip(this.#keyLength);
    this.#valueLength = cursor.varint();
    this.#valueStart = cursor.at;
    cursor.skip(this.#valueLength);
    this.headerCount = cursor.varint();
    this.headersStart = cursor.at;
    for (let left = this.headerCount; left > 0; left--) {
      const nameLength = cursor.varint();
      if (nameLength < 0) throw new RangeError('a header without a name');
      cursor.skip(nameLength);
      cursor.skip(cursor.varint());
      if (cursor.at > end) break;
    }
    this.headersEnd = cursor.at;
    if (cursor.at > end) throw new RangeError('a record is longer than it says');
    cursor.at = end;
  }

  /** Of the whole batch: what the positions are positions in. */
  get bytes(): Buffer {
    return this.#batch.bytes;
  }

  get offset(): bigint {
    return this.#batch.firstOffset + BigInt(this.offsetDelta);
  }

  get timestampMs(): number {
    return this.#batch.isAppendTime ? this.#batch.timestampMs : this.#batch.timestampMs + this.#timestampDeltaMs;
  }

  get key(): Buffer | null {
    return this.#keyLength < 0 ? null : this.#batch.bytes.subarray(this.#keyStart, this.#keyStart + this.#keyLength);
  }

  get value(): Buffer | null {
    return this.#valueLength < 0 ? null : this.#batch.bytes.subarray(this.#valueStart, this.#valueStart + this.#valueLength);
  }

  /** Other clients may write headers without a value, which are none to us. */
  get headers(): RecordHeaders {
    return (this.#headers ??= readHeaders(this));
  }

  /** Of key, value and headers. */
  get contentBytes(): number {
    return this.headersEnd - this.#keyStart;
  }
}

function readHeaders({ bytes, headersStart, headerCount }: FetchedRecord): RecordHeaders {
  const headers: (readonly [string, Buffer])[] = [];
  const cursor = new RecordCursor(bytes, headersStart);
  for (let left = headerCount; left > 0; left--) {
    const nameEnd = cursor.varint() + cursor.at;
    const name = bytes.toString('utf8', cursor.at, nameEnd);
    cursor.at = nameEnd;
    const length = cursor.varint();
    if (length >= 0) headers.push([name, bytes.subarray(cursor.at, cursor.at + length)]);
    cursor.skip(length);
  }
  return headers;
}

/** Goes through the bytes of records. */
export class RecordCursor {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  /**
   * A zigzag varint: the lowest bit is the sign. Nearly all have one byte or two.
   * @throws RangeError where the bytes end within it
   */
  varint(): number {
    const first = this.bytes[this.at]!;
    if (first < 0x80) {
      this.at++;
      return (first >>> 1) ^ -(first & 1);
    }
    const second = this.bytes[this.at + 1]!;
    if (second < 0x80) {
      this.at += 2;
      const value = (first & 0x7f) | (second << 7);
      return (value >>> 1) ^ -(value & 1);
    }
    return this.#longVarint();
  }

  /** Beyond 32 bits only timestamps go, which a double holds. */
  #longVarint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new RangeError('the bytes end within a record');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      if (factor > 2 ** 56) throw new RangeError('a number that does not end');
    }
  }

  /** @param length of a field; −1 for one that is not there */
  skip(length: number): void {
    if (length > 0) this.at += length;
    else if (length < -1) throw new RangeError('a length below none');
  }
}
