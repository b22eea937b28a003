import { crc32c, createRecordsBatch, type CompressionAlgorithmValue } from '@platformatic/kafka';
import { describe, expect, it } from 'vitest';
import { readBatches } from './record-batches.ts';

const transactional = 1 << 4;
const control = 1 << 5;
const abortMarker = Buffer.from([0, 0, 0, 0]);
const commitMarker = Buffer.from([0, 0, 0, 1]);

interface BatchChange {
  readonly attributes?: number;
  readonly producerId?: bigint;
  readonly key?: Buffer;
  readonly compression?: CompressionAlgorithmValue;
  readonly headers?: Map<Buffer, Buffer>;
  readonly timestamps?: readonly bigint[];
}

/** A batch as a broker has it in its log. */
function batch(firstOffset: number, values: readonly string[], { attributes = 0, producerId = -1n, compression = 'none', headers = new Map<Buffer, Buffer>(), timestamps = [], ...change }: BatchChange = {}): Buffer {
  const messages = values.map((value, number) => ({ topic: 'orders', value: Buffer.from(value), headers, timestamp: timestamps[number] ?? 1_000n, ...change }));
  const bytes = Buffer.from(createRecordsBatch(messages, { producerId, compression }).buffer);
  bytes.writeBigInt64BE(BigInt(firstOffset), 0);
  bytes.writeInt16BE(bytes.readInt16BE(21) | attributes, 21);
  return summedUp(bytes);
}

/** With the checksum of what it has now. */
function summedUp(bytes: Buffer): Buffer {
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
  return bytes;
}

/** What compaction leaves of a batch whose records all fell to it. */
function emptyBatch(firstOffset: number, lastOffset: number): Buffer {
  const bytes = batch(firstOffset, ['x']).subarray(0, 61);
  bytes.writeInt32BE(61 - 12, 8);
  bytes.writeInt32BE(lastOffset - firstOffset, 23);
  bytes.writeInt32BE(0, 57);
  return summedUp(bytes);
}

/** A number as records have it; the library writes those beyond 32 bits wrongly. */
function zigzag(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let rest = value < 0n ? -value * 2n - 1n : value * 2n; ; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    if (rest <= 0x7fn) return Buffer.from(bytes);
  }
}

function read(bytes: readonly Buffer[], fetchOffset = 0n, aborted: readonly { producerId: bigint; firstOffset: bigint }[] = []) {
  const { records, nextOffset, error } = readBatches(Buffer.concat(bytes), fetchOffset, aborted);
  return { values: records.map(({ offset, value }) => `${offset}:${String(value)}`), nextOffset, error };
}

describe('readBatches', () => {
  it('reads batch after batch, and says where to go on', () => {
    expect(read([batch(0, ['a', 'b']), batch(2, ['c'])])).toEqual({ values: ['0:a', '1:b', '2:c'], nextOffset: 3n, error: undefined });
  });

  it.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)('reads %s', (compression) => {
    const long = 'long '.repeat(10_000);
    const first = readBatches(batch(0, [long, 'b'], { compression }), 0n, []);
    readBatches(batch(2, ['other '.repeat(10_000)], { compression }), 2n, []); // must not write over what was read before
    expect(first.records.map(({ value }) => String(value))).toEqual([long, 'b']);
  });

  it('leaves out what comes before the offset, because batches come whole', () => {
    expect(read([batch(0, ['a', 'b', 'c'])], 2n)).toMatchObject({ values: ['2:c'], nextOffset: 3n });
  });

  it('stops before a batch that was cut off', () => {
    const second = batch(1, ['b']);
    expect(read([batch(0, ['a']), second.subarray(0, second.length - 1)])).toEqual({ values: ['0:a'], nextOffset: 1n, error: undefined });
    expect(read([second.subarray(0, 20)], 1n)).toEqual({ values: [], nextOffset: 1n, error: undefined });
    expect(read([])).toEqual({ values: [], nextOffset: 0n, error: undefined });
  });

  it('goes past batches that compaction has emptied, and past offsets that it took out', () => {
    expect(read([emptyBatch(0, 4), batch(7, ['h']), emptyBatch(8, 11)])).toMatchObject({ values: ['7:h'], nextOffset: 12n });
    expect(read([emptyBatch(0, 4)])).toEqual({ values: [], nextOffset: 5n, error: undefined });
  });

  it('leaves out aborted transactions and all markers, and goes past them', () => {
    const aborted = { attributes: transactional, producerId: 7n };
    const log = [
      batch(0, ['plain']),
      batch(1, ['aborted'], aborted),
      batch(2, ['of another producer'], { attributes: transactional, producerId: 8n }),
      batch(3, ['aborted, too'], aborted),
      batch(4, ['marker'], { attributes: transactional | control, producerId: 7n, key: abortMarker }),
      batch(5, ['the next one of the same producer'], aborted),
      batch(6, ['marker'], { attributes: transactional | control, producerId: 7n, key: commitMarker }),
      batch(7, ['marker'], { attributes: transactional | control, producerId: 8n, key: commitMarker }),
    ];
    const values = ['0:plain', '2:of another producer', '5:the next one of the same producer'];
    expect(read(log, 0n, [{ producerId: 7n, firstOffset: 1n }])).toEqual({ values, nextOffset: 8n, error: undefined });
    expect(read(log.slice(3, 5), 3n, [{ producerId: 7n, firstOffset: 1n }])).toEqual({ values: [], nextOffset: 5n, error: undefined });
  });

  it('leaves out both of two transactions that the same producer aborted', () => {
    const aborted = { attributes: transactional, producerId: 7n };
    const marker = { attributes: transactional | control, producerId: 7n, key: abortMarker };
    const log = [batch(0, ['a'], aborted), batch(1, ['marker'], marker), batch(2, ['b']), batch(3, ['c'], aborted), batch(4, ['marker'], marker)];
    expect(read(log, 0n, [{ producerId: 7n, firstOffset: 3n }, { producerId: 7n, firstOffset: 0n }])).toMatchObject({ values: ['2:b'], nextOffset: 5n });
  });

  it.each([
    ['bytes that are no gzip', (bytes: Buffer) => bytes.fill(0, 70), 'gzip'],
    ['a compression that nobody knows', (bytes: Buffer) => bytes.writeInt16BE(7, 21), 'none'],
    ['a format of old', (bytes: Buffer) => bytes.writeInt8(1, 16), 'none'],
    ['a record longer than its batch', (bytes: Buffer) => bytes.writeUInt8(0x7e, 61), 'none'],
    ['more records than there are', (bytes: Buffer) => bytes.writeInt32BE(9, 57), 'none'],
  ] as const)('stops before %s, with all that came before', (_, spoil, compression) => {
    const spoilt = batch(1, ['b', 'b'.repeat(50)], { compression });
    spoil(spoilt);
    summedUp(spoilt);
    const { values, nextOffset, error } = read([batch(0, ['a']), spoilt, batch(3, ['c'])]);
    expect({ values, nextOffset }).toEqual({ values: ['0:a'], nextOffset: 1n });
    expect(error).toBeInstanceOf(Error);
  });

  it('stops before a batch whose bytes are not those that were summed up, be they a marker', () => {
    const spoilt = batch(1, ['b']);
    spoilt[spoilt.length - 2]! ^= 1; // the value's last letter
    const marker = batch(1, ['marker'], { attributes: transactional | control, producerId: 7n, key: abortMarker });
    marker.writeBigInt64BE(8n, 43);
    for (const second of [spoilt, marker]) {
      expect(read([batch(0, ['a']), second, batch(2, ['c'])])).toEqual({ values: ['0:a'], nextOffset: 1n, error: new RangeError('record batch with a wrong checksum') });
    }
  });

  it('keeps keys, timestamps and repeated header names', () => {
    const headers = new Map([[Buffer.from('twice'), Buffer.from('1')], [Buffer.from('schlüssel'), Buffer.alloc(0)], [Buffer.from('twice'), Buffer.from('2')]]);
    const { records } = readBatches(batch(5, ['a', 'b', 'c'], { key: Buffer.from([0, 0xff]), headers, timestamps: [1_700_000_000_000n, 1_699_900_000_000n, 1_701_000_000_000n] }), 5n, []);
    expect(records.map(({ timestampMs }) => timestampMs)).toEqual([1_700_000_000_000, 1_699_900_000_000, 1_701_000_000_000]);
    expect(records[0]).toMatchObject({ offset: 5n, key: Buffer.from([0, 0xff]) });
    expect(records[0]?.headers).toEqual([['twice', Buffer.from('1')], ['schlüssel', Buffer.alloc(0)], ['twice', Buffer.from('2')]]);
  });

  it('drops headers without a value, which other clients may write, and keeps their neighbours', () => {
    const header = (name: string, value: string | null) => Buffer.concat([zigzag(BigInt(name.length)), Buffer.from(name), value === null ? zigzag(-1n) : Buffer.concat([zigzag(BigInt(value.length)), Buffer.from(value)])]);
    const body = Buffer.concat([Buffer.from([0]), zigzag(0n), zigzag(0n), zigzag(-1n), zigzag(-1n), zigzag(3n), header('a', '1'), header('none', null), header('b', '')]);
    const records = Buffer.concat([emptyBatch(0, 0), zigzag(BigInt(body.length)), body]);
    records.writeInt32BE(records.length - 12, 8);
    records.writeInt32BE(1, 57);
    expect(readBatches(summedUp(records), 0n, []).records).toMatchObject([{ headers: [['a', Buffer.from('1')], ['b', Buffer.alloc(0)]] }]);
  });

  it.each([-1_700_000_000_000n, -(2n ** 31n) - 1n, -1n, 0n, 63n, 64n, 2n ** 31n, 200_000_000_000n])('reads a timestamp %d ms from the first one', (delta) => {
    const bytes = emptyBatch(0, 0);
    const body = Buffer.concat([Buffer.from([0]), zigzag(delta), zigzag(0n), zigzag(-1n), zigzag(-1n), zigzag(0n)]);
    const records = Buffer.concat([bytes, zigzag(BigInt(body.length)), body]);
    records.writeInt32BE(records.length - 12, 8);
    records.writeInt32BE(1, 57);
    records.writeBigInt64BE(1_700_000_000_000n, 27);
    expect(readBatches(summedUp(records), 0n, []).records).toMatchObject([{ key: null, value: null, timestampMs: Number(1_700_000_000_000n + delta) }]);
  });

  it('takes the time of the broker where the topic says so', () => {
    const bytes = batch(0, ['a'], { attributes: 1 << 3 });
    bytes.writeBigInt64BE(5_000n, 35);
    expect(readBatches(summedUp(bytes), 0n, []).records[0]?.timestampMs).toBe(5_000);
  });
});
