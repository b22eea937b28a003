/**
 * The batches that we write, against bytes written down from the format's description (KIP-98), and against the readers
 * of both clients and our own. What Kafka itself says of them is in io/kafka/record-batch.integration.test.ts.
 */
import { createRequire } from 'node:module';
import { jsCRC32C, Reader, readRecordsBatches } from '@platformatic/kafka';
import { describe, expect, it } from 'vitest';
import { readBatches } from '../io/kafka/record-batches.ts';
import { ChunkPool, chunkBytes, firstChunkBytes } from './chunk-pool.ts';
import { SeededRandom } from './cloudevents/seeded-random.ts';
import { batchBytes, recordBytes, type OutgoingRecord } from './kafka-record.ts';
import { encodedRecordBytes, encodeRecord, RecordBatch, type EncodedRecord } from './record-batch.ts';

const crc32c = (pieces: readonly Buffer[]): number => jsCRC32C(Buffer.concat(pieces));
const time = 1_700_000_000_000;

function record(change: Partial<OutgoingRecord> = {}): OutgoingRecord {
  return { key: null, value: Buffer.from('v'), headers: [], timestampMs: time, ...change };
}

function bytesOf(batch: RecordBatch): Buffer {
  return Buffer.concat(batch.finish(crc32c));
}

/** As our own reader gives records back; our tests' word for "what is in it". */
function read(batch: RecordBatch) {
  const { records, error } = readBatches(bytesOf(batch), 0n, []);
  expect(error).toBeUndefined();
  return records.map(({ offset, key, value, headers, timestampMs }) => ({ offset, key, value, headers, timestampMs }));
}

function asRead({ key, value, headers, timestampMs }: OutgoingRecord, index: number) {
  return { offset: BigInt(index), key, value, headers: headers.map(([name, content]) => [name, Buffer.from(content)]), timestampMs };
}

/** From a table as documents have it: hexadecimal digits, spaces as one likes. */
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('a finished batch is, byte by byte,', () => {
  // Time 1 700 000 000 000 is 0x018bcfe56800. CRCs are those of the reference function over what follows them.
  const header = (length: string, count: number, baseTime = '0000018bcfe56800', maxTime = baseTime): string =>
    `0000000000000000 ${length} ffffffff 02 -------- 0000 ${(count - 1).toString(16).padStart(8, '0')} ${baseTime} ${maxTime} ffffffffffffffff ffff ffffffff ${count.toString(16).padStart(8, '0')}`;

  it.each<[string, readonly OutgoingRecord[], string]>([
    // length 7 as zigzag 0e: attributes, time delta, offset delta, no key (01), one byte of value, no headers
    ['one record', [record()], `${header('00000039', 1)} 0e 00 00 00 01 0276 00`],
    ['a tombstone with a key', [record({ key: Buffer.from('k'), value: null })], `${header('00000039', 1)} 0e 00 00 00 026b 01 00`],
    ['empty is not absent', [record({ key: Buffer.alloc(0), value: Buffer.alloc(0) })], `${header('00000038', 1)} 0c 00 00 00 00 00 00`],
    ['headers in order, repeated, empty, beyond ASCII', [record({ headers: [['a', '1'], ['a', ''], ['é', Buffer.from([0xff])]] })],
      `${header('00000045', 1)} 26 00 00 00 01 0276 06 0261 0231 0261 00 04c3a9 02ff`],
    ['offsets and times that go back', [record(), record({ timestampMs: time + 64 }), record({ timestampMs: time - 1 })],
      `${header('0000004a', 3, '0000018bcfe56800', '0000018bcfe56840')} 0e 00 00 00 01 0276 00 10 00 8001 02 01 0276 00 0e 00 01 04 01 0276 00`],
    ['a time more than 31 bits from the first', [record(), record({ timestampMs: time + 2 ** 40 })],
      `${header('00000046', 2, '0000018bcfe56800', '0000028bcfe56800')} 0e 00 00 00 01 0276 00 18 00 808080808040 02 01 0276 00`],
    ['a time before 1970', [record({ timestampMs: -1 })], `${header('00000039', 1, 'ffffffffffffffff')} 0e 00 00 00 01 0276 00`],
    ['a length of two bytes', [record({ value: Buffer.alloc(64, 0x76) })], `${header('0000007a', 1)} 8e01 00 00 00 01 8001 ${'76'.repeat(64)} 00`],
  ])('%s', (_, records, expected) => {
    const written = bytesOf(RecordBatch.of(records));
    const wanted = hex(expected.replace('--------', written.toString('hex', 17, 21)));
    expect(written.toString('hex')).toBe(wanted.toString('hex'));
    expect(written.readUInt32BE(17)).toBe(jsCRC32C(written.subarray(21)));
    expect(wanted.readInt32BE(8)).toBe(wanted.length - 12);
  });

  it('of a checksum that others have computed', () => {
    // "123456789" is what CRC-32C is defined by: e3069283.
    expect(crc32c([Buffer.from('1234'), Buffer.from('56789')])).toBe(0xe3069283);
  });
});

describe('a batch', () => {
  it('counts its bytes as it grows, and never more than the bound that is told beforehand', () => {
    const batch = new RecordBatch();
    const random = new SeededRandom(7);
    let bound = batchBytes(0);
    for (let n = 0; n < 100; n++) {
      const next = randomRecord(random);
      bound += Math.min(encodedRecordBytes(encodeRecord(next)), recordBytes(next));
      batch.append(encodeRecord(next));
      expect(batch.bytes).toBe(bytesOf(batch).length);
      expect(batch.bytes).toBeLessThanOrEqual(bound);
    }
  });

  it('takes records whose headers are encoded already, and copies them', () => {
    const shared = Buffer.from('xx\x0eSUBJECT\x02s\x06key\x06abcxxVALUE');
    const encoded: EncodedRecord = {
      headers: shared.subarray(2), headersEnd: 18, headerCount: 2, keyStart: 15, keyEnd: 18, value: shared, valueStart: 22, valueEnd: 27, timestampMs: time,
    };
    const batch = new RecordBatch();
    batch.append(encoded);
    shared.fill(0);
    batch.append({ ...encoded, headersEnd: 0, headerCount: 0, keyStart: -1, keyEnd: -1, value: null });
    expect(read(batch)).toEqual([
      { offset: 0n, key: Buffer.from('abc'), value: Buffer.from('VALUE'), headers: [['SUBJECT', Buffer.from('s')], ['key', Buffer.from('abc')]], timestampMs: time },
      { offset: 1n, key: null, value: null, headers: [], timestampMs: time },
    ]);
  });

  it('goes on after it was finished, and is finished again', () => {
    const batch = RecordBatch.of([record({ value: Buffer.from('a') })]);
    expect(read(batch)).toHaveLength(1);
    batch.append(encodeRecord(record({ value: Buffer.from('b'), timestampMs: time + 5 })));
    expect(read(batch).map(({ value, timestampMs }) => [String(value), timestampMs])).toEqual([['a', time], ['b', time + 5]]);
    expect(bytesOf(batch).readUInt32BE(17)).toBe(jsCRC32C(bytesOf(batch).subarray(21)));
  });

  it('gives any of its records to another batch, which counts from its own first', () => {
    const random = new SeededRandom(11);
    const records = Array.from({ length: 40 }, () => randomRecord(random));
    const batch = RecordBatch.of(records);
    for (let turn = 0; turn < 50; turn++) {
      const from = random.below(records.length);
      const to = from + 1 + random.below(records.length - from);
      const part = new RecordBatch();
      part.appendFrom(batch, from, to);
      part.appendFrom(batch, 0, 1);
      const wanted = [...records.slice(from, to), records[0]!];
      expect(read(part)).toEqual(wanted.map(asRead));
      expect(bytesOf(part)).toEqual(bytesOf(RecordBatch.of(wanted)));
    }
    expect(read(batch)).toEqual(records.map(asRead));
  });
});

describe('memory of a batch', () => {
  it('holds a large record once: not copied where its owner keeps it, copied exactly where not', () => {
    const value = Buffer.alloc(500_000, 'x');
    const kept = RecordBatch.of([record({ value })]);
    expect(kept.finish(crc32c)[1]!.buffer).toBe(value.buffer);
    const copied = new RecordBatch();
    copied.append({ ...encodeRecord(record({ value })), isValueKept: false });
    const memory = new Set(copied.finish(crc32c).map((piece) => piece.buffer));
    expect(memory).not.toContain(value.buffer);
    expect([...memory].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(value.length + firstChunkBytes + 100);
    expect(bytesOf(copied)).toEqual(bytesOf(kept));
  });

  it('is used again after a batch gave it back, and only what the pool may keep', () => {
    const pool = new ChunkPool(2);
    const first = new RecordBatch(pool);
    const value = Buffer.alloc(10_000);
    for (let n = 0; n < 30; n++) first.append(encodeRecord(record({ value })));
    const pieces = first.finish(crc32c);
    expect(pieces.length).toBeGreaterThan(3);
    const memory = pieces.map((piece) => piece.buffer);
    first.recycle();
    const second = new RecordBatch(pool);
    for (let n = 0; n < 30; n++) second.append(encodeRecord(record({ value })));
    expect(second.finish(crc32c).filter((piece) => memory.includes(piece.buffer))).toHaveLength(3); // the first and two more
    expect(read(second)).toHaveLength(30);
  });

  it.each([
    ['kept and used again as the first when it is of the usual length', firstChunkBytes, (pool: ChunkPool) => pool.takeFirst(), true],
    ['used again as the first when there is only a long one', chunkBytes, (pool: ChunkPool) => pool.takeFirst(), true],
    ['kept and used again as another', chunkBytes, (pool: ChunkPool) => pool.take(chunkBytes), true],
    ['not used as another when it is short', firstChunkBytes, (pool: ChunkPool) => pool.take(10), false],
    ['not given to who needs more', chunkBytes, (pool: ChunkPool) => pool.take(chunkBytes + 1), false],
    ['not kept when it is longer', chunkBytes + 1, (pool: ChunkPool) => pool.take(10), false],
  ])('is %s', (_, givenBytes, take, isTheSame) => {
    const pool = new ChunkPool();
    const given = Buffer.alloc(givenBytes);
    pool.give(given);
    expect(take(pool) === given).toBe(isTheSame);
  });
});

// --- any batch, read by others ---------------------------------------------------------------------------------------

function randomBytes(random: SeededRandom, longest: number): Buffer {
  return Buffer.from(Array.from({ length: random.below(longest + 1) }, () => random.below(256)));
}

/** Mostly as events are, sometimes odd: lengths around where varints grow, text of all kinds, times that jump. */
function randomRecord(random: SeededRandom): OutgoingRecord {
  const edge = random.pick([0, 1, 62, 63, 64, 65, 8190, 8191, 8192, 8193, 16_384, 20_000, 70_000]);
  const text = (): string => random.text(['a', 'ce_id', '-', 'ü', '雪', '𝄞', '\0', 'x'.repeat(random.pick([1, 20, 60]))], 8);
  const values: readonly (() => Buffer | null)[] = [() => null, () => Buffer.alloc(0), () => randomBytes(random, 40), () => randomBytes(random, 300), () => Buffer.alloc(edge, 'v')];
  return {
    key: random.pick(values.slice(0, 3))(),
    value: random.pick(values)(),
    headers: Array.from({ length: random.below(9) }, () => [text(), random.below(3) === 0 ? randomBytes(random, 70) : text()] as const),
    timestampMs: time + random.pick([0, 0, 0, 1, -1, 63, -64, 64, 5_000, -86_400_000]) * random.below(3),
  };
}

interface KafkajsRecord { offset: string; timestamp: string; key: Buffer | null; value: Buffer | null; headers: Record<string, Buffer | Buffer[]> }
const require = createRequire(import.meta.url);
/** What kafkajs keeps to itself has no types. */
const [KafkajsDecoder, decodeBatch]: [new (bytes: Buffer) => object, (decoder: object) => Promise<{ records: KafkajsRecord[]; maxTimestamp: string; lastOffsetDelta: number }>] =
  [require('kafkajs/src/protocol/decoder'), require('kafkajs/src/protocol/recordBatch/v0/decoder')];

describe('any batch says the same to every reader', () => {
  it.each(Array.from({ length: 12 }, (_, index) => index + 1))('seed %d', async (seed) => {
    const random = new SeededRandom(seed);
    const pool = new ChunkPool(4);
    for (let turn = 0; turn < 40; turn++) {
      const records = Array.from({ length: 1 + random.below(random.pick([1, 3, 30])) }, () => randomRecord(random));
      const batch = new RecordBatch(random.below(2) === 0 ? pool : undefined);
      for (const next of records) batch.append({ ...encodeRecord(next), isValueKept: random.below(2) === 0 });
      const bytes = bytesOf(batch);
      expect(read(batch)).toEqual(records.map(asRead));

      const [theirs, ...none] = readRecordsBatches(Reader.from(bytes));
      expect(none).toEqual([]);
      expect(theirs).toMatchObject({
        firstOffset: 0n, length: bytes.length - 12, magic: 2, crc: jsCRC32C(bytes.subarray(21)), attributes: 0, lastOffsetDelta: records.length - 1,
        firstTimestamp: BigInt(records[0]!.timestampMs), maxTimestamp: BigInt(Math.max(...records.map(({ timestampMs }) => timestampMs))), producerId: -1n, producerEpoch: -1, firstSequence: -1,
      });
      expect(theirs!.records.map(({ key, value, timestampDelta, offsetDelta, headers }) => [key, value, timestampDelta, offsetDelta, headers])).toEqual(
        records.map(({ key, value, timestampMs, headers }, index) => [key, value, BigInt(timestampMs - records[0]!.timestampMs), index, headers.map(([name, content]) => [Buffer.from(name), Buffer.from(content)])]),
      );

      const decoded = await decodeBatch(new KafkajsDecoder(bytes));
      expect(decoded.lastOffsetDelta).toBe(records.length - 1);
      expect(decoded.records.map(({ key, value, timestamp, offset }) => [key, value, Number(timestamp), Number(offset)])).toEqual(
        records.map(({ key, value, timestampMs }, index) => [key, value, timestampMs, index]),
      );
      expect(decoded.records.map(({ headers }) => Object.values(headers).flat().length)).toEqual(records.map(({ headers }) => headers.length));
      batch.recycle();
    }
  });
});
