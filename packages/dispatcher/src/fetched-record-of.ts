/**
 * For tests: a record as a fetch brings it, whatever bytes are in its headers.
 */
import { BatchContents, FetchedRecord, RecordCursor } from '@knative-kafka/common/core';

/** Null: a header without a value, which our own producers do not write. */
export type WrittenHeader = readonly [name: string | Buffer, value: string | Buffer | null];

/** Offset 7 of a batch that begins at 5. */
export function fetchedRecord(headers: readonly WrittenHeader[], value: Buffer | null = Buffer.from('{}'), key: Buffer | null = null): FetchedRecord {
  const fields = [Buffer.from([0]), zigzag(0), zigzag(2), field(key), field(value), zigzag(headers.length), ...headers.flatMap(([name, text]) => [field(Buffer.from(name)), field(text === null ? null : Buffer.from(text))])];
  const record = Buffer.concat(fields);
  const before = Buffer.from('before it');
  const bytes = Buffer.concat([before, zigzag(record.length), record, Buffer.from('behind it')]);
  return new FetchedRecord(new BatchContents(bytes, 5n, 1_700_000_000_000, false), new RecordCursor(bytes, before.length));
}

function field(bytes: Buffer | null): Buffer {
  return bytes === null ? zigzag(-1) : Buffer.concat([zigzag(bytes.length), bytes]);
}

function zigzag(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value < 0 ? -value * 2 - 1 : value * 2;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}
