import { describe, expect, it } from 'vitest';
import { crc32c } from '../io/kafka/crc32c.ts';
import { readBatches } from '../io/kafka/record-batches.ts';
import { ChunkPool } from './chunk-pool.ts';
import { SeededRandom } from './cloudevents/seeded-random.ts';
import { PartitionQueue, type Settlement, type WaitingBatch } from './partition-queue.ts';
import { encodeRecord } from './record-batch.ts';

const limitBytes = 1_000;

/** Who waits for a record tells which one that is. */
class Waiting implements Settlement {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  settled(): void {
    throw new Error('a queue settles nothing');
  }
}

function setUp(...texts: readonly (readonly [text: string, deadline: number])[]) {
  const queue = new PartitionQueue(new ChunkPool());
  const append = (text: string, deadline = Infinity): void =>
    queue.append(encodeRecord({ key: null, value: Buffer.from(text), headers: [], timestampMs: 0 }), deadline, new Waiting(text), limitBytes);
  for (const [text, deadline] of texts) append(text, deadline);
  return { queue, append, take: () => queue.take(limitBytes) };
}

const waiting = (settlements: readonly Settlement[]): string[] => settlements.map((settlement) => (settlement as Waiting).text);

/** The records of a batch, which are those that its settlements wait for. */
function texts(batch: WaitingBatch | undefined): string[] | undefined {
  if (batch === undefined) return undefined;
  const { records, error } = readBatches(Buffer.concat(batch.records.finish(crc32c)), 0n, []);
  expect(error).toBeUndefined();
  const values = records.map(({ value }) => String(value));
  expect(waiting(batch.settlements)).toEqual(values);
  return values;
}

describe('PartitionQueue', () => {
  it('fills a batch up to the limit, and one record more begins the next', () => {
    const { append, take, queue } = setUp();
    for (const text of ['a', 'b', 'c', 'd']) append(text.repeat(290));
    expect([texts(take()), texts(take()), take()].map((batch) => (batch as string[] | undefined)?.length)).toEqual([3, 1, undefined]);
    expect(queue.isEmpty).toBe(true);
  });

  it('sends a record alone that is longer than the limit', () => {
    const { append, take } = setUp();
    for (const text of ['a', 'b'.repeat(5_000), 'c']) append(text);
    expect([take(), take(), take()].map((batch) => texts(batch)?.map((text) => text[0]))).toEqual([['a'], ['b'], ['c']]);
  });

  it('sends what came back first, with what has come since as far as it fits', () => {
    const { append, queue, take } = setUp();
    append('a'.repeat(290));
    const batch = take()!;
    append('b'.repeat(290));
    append('c'.repeat(290));
    append('d'.repeat(290));
    queue.putBack(batch);
    append('e');
    expect(texts(take())?.map((text) => text[0])).toEqual(['a']); // the others are one batch already, too long to come along
    expect(texts(take())?.map((text) => text[0])).toEqual(['b', 'c', 'd', 'e']);
    append('f');
    const small = take()!;
    append('g');
    queue.putBack(small);
    expect(texts(take())).toEqual(['f', 'g']);
  });

  it('sends no more records at a time than it may, until it may', () => {
    const { queue, append, take } = setUp();
    for (const text of ['a', 'b', 'c', 'd', 'e']) append(text);
    queue.limitRecords(2);
    expect(texts(take())).toEqual(['a', 'b']);
    const second = take()!;
    expect(texts(second)).toEqual(['c', 'd']);
    queue.putBack(second);
    expect(texts(take())).toEqual(['c', 'd']);
    queue.liftMaxRecords();
    append('f');
    expect(texts(take())).toEqual(['e', 'f']);
  });

  it('takes out late records at the front, and keeps what comes behind one that has time left', () => {
    const { queue, take } = setUp(['a', 10], ['b', 20], ['c', 50], ['d', 20]);
    expect(waiting(queue.takeExpired(5))).toEqual([]);
    expect(waiting(queue.takeExpired(20))).toEqual(['a', 'b']);
    expect(waiting(queue.takeExpired(20))).toEqual([]);
    expect(texts(take())).toEqual(['c', 'd']);
  });

  it('takes out whole batches that are late, and a part of the next', () => {
    const { queue, append, take } = setUp();
    append('a'.repeat(900), 10);
    append('b'.repeat(400), 10);
    append('c'.repeat(400), 30);
    expect(waiting(queue.takeExpired(10)).map((text) => text[0])).toEqual(['a', 'b']);
    expect(texts(take())?.map((text) => text[0])).toEqual(['c']);
    expect(queue.isEmpty).toBe(true);
  });

  it('gives up all that waits, but not what was taken', () => {
    const { queue, append, take } = setUp(['a', 1]);
    const taken = take()!;
    append('b'.repeat(900));
    append('c'.repeat(900));
    expect(waiting(queue.takeAll()).map((text) => text[0])).toEqual(['b', 'c']);
    expect(queue.isEmpty).toBe(true);
    expect(texts(taken)).toEqual(['a']);
  });

  it.each(Array.from({ length: 30 }, (_, index) => index + 1))('behaves as a plain list would, whatever is done to it: seed %d', (seed) => {
    const random = new SeededRandom(seed);
    const { queue, append, take } = setUp();
    let list: { text: string; deadline: number }[] = [];
    let taken: WaitingBatch | undefined;
    let mostRecords = Infinity;
    for (let step = 0, now = 0; step < 300; step++, now++) {
      switch (random.below(8)) {
        case 0:
          if (taken !== undefined) {
            queue.putBack(taken);
            list = [...texts(taken)!.map((text) => ({ text, deadline: Number(text.split('|')[1]) })), ...list];
            taken = undefined;
          }
          break;
        case 1:
          taken = take();
          expect(taken === undefined).toBe(list.length === 0);
          if (taken !== undefined) {
            const count = taken.records.count;
            expect(texts(taken)).toEqual(list.splice(0, count).map(({ text }) => text));
            expect(count === 1 || (count <= mostRecords && taken.records.bytes <= limitBytes)).toBe(true);
          }
          break;
        case 2: {
          const inTime = list.findIndex(({ deadline }) => deadline > now);
          const late = list.splice(0, inTime < 0 ? list.length : inTime);
          expect(waiting(queue.takeExpired(now))).toEqual(late.map(({ text }) => text));
          break;
        }
        case 3:
          mostRecords = random.pick([1, 2, 5, Infinity]);
          queue.limitRecords(mostRecords);
          break;
        default: {
          const deadline = now + random.below(60);
          const text = `${step}|${deadline}|${'x'.repeat(random.pick([0, 10, 200, 700, 1_200]))}`;
          append(text, deadline);
          list.push({ text, deadline });
        }
      }
      expect(queue.isEmpty).toBe(list.length === 0);
    }
    expect(waiting(queue.takeAll())).toEqual(list.map(({ text }) => text));
  });
});
