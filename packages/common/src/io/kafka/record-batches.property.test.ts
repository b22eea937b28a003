/** The reader beside the library's own, and on bytes that were damaged; random choices are the same at every run. */
import { isDeepStrictEqual } from 'node:util';
import { compressionsAlgorithms, crc32c, createRecordsBatch, Reader, readRecordsBatches } from '@platformatic/kafka';
import { describe, expect, it, vi } from 'vitest';
import { SeededRandom } from '../../core/cloudevents/seeded-random.ts';
import { readBatches } from './record-batches.ts';

// Generous, for machines that are busy.
vi.setConfig({ testTimeout: 60_000 });

const codecs = ['none', 'none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
const crcAt = 17;
const attributesAt = 21;
const headerBytes = 61;

/** Lengths on both sides of where a varint takes another byte. */
const lengths = [0, 0, 1, 2, 5, 13, 31, 62, 63, 64, 65, 127, 128, 200, 8_190, 8_191, 8_192, 20_000];
const shortLengths = lengths.slice(0, 12);

const noise = noiseOf(new SeededRandom(4));

function noiseOf(random: SeededRandom): Buffer {
  return Buffer.from(Array.from({ length: 2 ** 16 }, () => random.below(256)));
}

function bytesOf(random: SeededRandom): Buffer {
  const start = random.below(2 ** 15);
  return noise.subarray(start, start + random.pick(random.below(20) === 0 ? lengths : shortLengths));
}

function nameOf(random: SeededRandom): string {
  return random.text(['ce_', 'id', 'content-type', 'x', 'ü', '漢', ' ', '\r', '0'], 6);
}

/** One batch as a broker has it in its log. */
function randomBatch(random: SeededRandom, firstOffset: bigint): Buffer {
  const firstTimestamp = BigInt(random.pick([0, 1, 1_700_000_000_000, 253_402_300_799_999]));
  const messages = Array.from({ length: 1 + random.below(random.below(10) === 0 ? 200 : 5) }, (_, number) => ({
    topic: 'orders',
    // The library cannot write a key or a value that is null, but one that is not there.
    ...(random.below(3) === 0 ? {} : { key: bytesOf(random) }),
    value: (random.below(8) === 0 ? undefined : bytesOf(random)) as Buffer,
    headers: new Map(Array.from({ length: random.below(random.below(30) === 0 ? 400 : 9) }, () => [Buffer.from(nameOf(random)), bytesOf(random)])),
    timestamp: number === 0 ? firstTimestamp : firstTimestamp + BigInt(random.below(4) === 0 ? random.below(2 ** 31) - 2 ** 30 : random.below(200) - 100),
  }));
  const bytes = Buffer.from(createRecordsBatch(messages, { compression: random.pick(codecs) }).buffer);
  bytes.writeBigInt64BE(firstOffset, 0);
  return bytes;
}

function oracle(bytes: Buffer): readonly unknown[] {
  return readRecordsBatches(Reader.from(bytes)).flatMap(({ firstOffset, firstTimestamp, records }) =>
    records.map(({ offsetDelta, timestampDelta, key, value, headers }) => ({
      offset: firstOffset + BigInt(offsetDelta),
      key, value,
      headers: headers.map(([name, text]) => [String(name), text]),
      timestampMs: Number(firstTimestamp + timestampDelta),
    })));
}

function plain(bytes: Buffer, fetchOffset: bigint): { readonly records: readonly unknown[]; readonly nextOffset: bigint } {
  const { records, nextOffset, error } = readBatches(bytes, fetchOffset, []);
  expect(error).toBeUndefined();
  return { records: records.map(({ offset, key, value, headers, timestampMs }) => ({ offset, key, value, headers, timestampMs })), nextOffset };
}

describe('readBatches, whatever comes', () => {
  it('reads what the reader of the library reads, in 3,000 batches in all codecs', () => {
    const random = new SeededRandom(9);
    for (let log = 0; log < 1_000; log++) {
      let nextOffset = BigInt(random.pick([0, 1, 2 ** 31 - 2, 2 ** 40])) + (random.below(50) === 0 ? 2n ** 60n : 0n);
      const firstOffset = nextOffset;
      const batches = Array.from({ length: 3 }, () => {
        const batch = randomBatch(random, nextOffset);
        nextOffset += BigInt(batch.readInt32BE(57) + random.below(3));
        return batch;
      });
      const bytes = Buffer.concat(batches);
      const expected = oracle(bytes);
      expectSame(plain(bytes, firstOffset).records, expected);
      const from = firstOffset + BigInt(random.below(expected.length));
      expectSame(plain(bytes, from).records, (expected as readonly { offset: bigint }[]).filter(({ offset }) => offset >= from));
    }
  });

  it('reads Snappy in the framing of Java clients, in one piece and in several', () => {
    const random = new SeededRandom(1);
    for (let run = 0; run < 200; run++) {
      const uncompressed = Buffer.from(createRecordsBatch([{ topic: 'orders', key: bytesOf(random), value: bytesOf(random), timestamp: 5n }]).buffer);
      const framed = summedUp(Buffer.concat([uncompressed.subarray(0, headerBytes), xerial(uncompressed.subarray(headerBytes), 1 + random.below(40))]), 2);
      expect(plain(framed, 0n)).toEqual(plain(uncompressed, 0n));
    }
  });

  it('finds each single byte that changed on the way', () => {
    const random = new SeededRandom(2);
    for (const compression of codecs) {
      const batch = Buffer.from(createRecordsBatch([{ topic: 'orders', key: Buffer.from('k'), value: Buffer.from('some value'), timestamp: 5n }], { compression }).buffer);
      for (let at = crcAt; at < batch.length; at++) {
        const damaged = Buffer.from(batch);
        damaged[at]! ^= 1 + random.below(255);
        expect(readBatches(damaged, 0n, [])).toEqual({ records: [], nextOffset: 0n, error: new RangeError('record batch with a wrong checksum') });
      }
    }
  });

  it('throws at nothing that a checksum vouches for, and hands out no bytes from elsewhere', () => {
    const random = new SeededRandom(3);
    let errors = 0;
    const batches = Array.from({ length: 200 }, () => randomBatch(random, 0n)).filter((batch) => batch.length < 5_000);
    for (let run = 0; run < 20_000; run++) {
      const batch = Buffer.from(random.pick(batches)); // whatever it was compressed with, its bytes are records now
      for (let change = random.below(4); change >= 0; change--) batch[headerBytes + random.below(Math.min(60, batch.length - headerBytes))] = random.pick([0, 1, 2, 0x7f, 0x80, 0xff, random.below(256)]);
      const { records, error } = readBatches(summedUp(batch, 0), 0n, []);
      if (error !== undefined) errors++;
      for (const { key, value, headers } of records) {
        for (const part of [key, value, ...headers.map(([, bytes]) => bytes)]) if (part !== null && !isWithin(batch, part)) expect(part).toEqual('bytes of the batch');
      }
    }
    expect(errors).toBeGreaterThan(1_000);
    expect(errors).toBeLessThan(19_000);
  });
});

function isWithin(batch: Buffer, part: Buffer): boolean {
  const start = part.byteOffset - batch.byteOffset;
  return part.buffer === batch.buffer && start >= headerBytes && start + part.length <= batch.length;
}

/** `toEqual` walks through every byte of a Buffer: for thousands of them that takes minutes. */
function expectSame(got: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(got, wanted)) expect(got).toEqual(wanted);
}

/** As org.xerial.snappy writes it: a header of 16 bytes, then pieces with their lengths before them. */
function xerial(bytes: Buffer, pieceBytes: number): Buffer {
  const parts: Buffer[] = [Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])];
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = compressionsAlgorithms.snappy.compressSync(bytes.subarray(at, at + pieceBytes));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(piece.length);
    parts.push(length, piece);
  }
  return Buffer.concat(parts);
}

/** With the length and the checksum of what it has now, in that compression. */
function summedUp(batch: Buffer, compression: number): Buffer {
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeInt16BE(compression, attributesAt);
  batch.writeUInt32BE(crc32c(batch.subarray(attributesAt)), crcAt);
  return batch;
}
