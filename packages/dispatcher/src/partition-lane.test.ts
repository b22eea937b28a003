import { describe, expect, it } from 'vitest';
import type { DeliveryOrder, IncomingRecord } from '@knative-kafka/common/core';
import { InFlightLimit } from './core/in-flight-limit.ts';
import { encodeSettled } from './core/settled-offsets.ts';
import type { DispatchOutcome, HeldRecord } from './dispatch.ts';
import { PartitionLane } from './partition-lane.ts';

const delivered: DispatchOutcome = { kind: 'delivered' };
const interrupted: DispatchOutcome = { kind: 'interrupted' };

function record(offset: number, bytes = 0, key: string | null = null): IncomingRecord {
  return { offset: BigInt(offset), key: key === null ? null : Buffer.from(key), value: Buffer.alloc(bytes), headers: [], timestampMs: 0 };
}
/** Of the key `a`, and so on. */
const of = (key: string, offset: number): IncomingRecord => record(offset, 0, key);
/** What a record of that many bytes counts in the queue: with a round figure for its objects. */
const queuedBytes = (bytes: number): number => 512 + bytes;

interface SetUp {
  readonly queueLimitBytes?: number;
  readonly order?: DeliveryOrder;
  readonly inFlightLimit?: InFlightLimit;
  readonly metadata?: string | undefined;
  readonly metadataLimitBytes?: number;
}

/** Deliveries under the test's control: each waits for its outcome. */
function setUp({ queueLimitBytes = 1_000_000, order = 'ordered', inFlightLimit = new InFlightLimit(100), metadata, metadataLimitBytes = 2048 }: SetUp = {}) {
  const started: number[] = [];
  const asked: string[] = [];
  const settled: string[] = [];
  const skipped: number[] = [];
  const helds = new Map<number, HeldRecord>();
  const finish = new Map<number, (outcome: DispatchOutcome) => void>();
  const signals = new Map<number, AbortSignal>();
  let queued = 0;
  let limit = queueLimitBytes;
  const lane: PartitionLane = new PartitionLane({ topic: 't', partition: 4, order, inFlightLimit, metadata, metadataLimitBytes }, {
    dispatch: (held, signal) => {
      const offset = Number(held.record.offset);
      started.push(offset);
      helds.set(offset, held);
      signals.set(offset, signal);
      finish.set(offset, (outcome) => lane.ended(held, outcome));
    },
    pause: () => asked.push('pause'),
    resume: () => asked.push('resume'),
    onSettled: (outcome) => settled.push(outcome.kind),
    onSkipped: (records) => skipped.push(records),
    onQueued: (bytes) => { queued += bytes; },
    queueLimitBytes: () => limit,
  });
  return {
    lane, started, asked, settled, skipped, signals, helds,
    add: (...records: IncomingRecord[]) => lane.add(records, BigInt(Number(records.at(-1)?.offset ?? 0n) + 1)),
    end: async (offset: number, outcome: DispatchOutcome = delivered) => {
      finish.get(offset)!(outcome);
      await new Promise<void>((resolve) => setImmediate(resolve));
    },
    setLimit: (bytes: number) => { limit = bytes; },
    queuedInAll: () => queued,
    /** What is to be committed, as the group takes it. */
    commit: () => {
      const commit = lane.commit();
      if (commit !== undefined) lane.accepted(commit);
      return commit?.commitOffset;
    },
  };
}

describe('a lane delivers', () => {
  it('one record after the other where they are ordered', async () => {
    const { started, add, end } = setUp();
    add(record(10), record(11));
    add(record(12));
    expect(started).toEqual([10]);
    await end(10);
    expect(started).toEqual([10, 11]);
    await end(11);
    expect(started).toEqual([10, 11, 12]);
  });

  it('different keys at once where the order is by key, and one of each after the other', async () => {
    const { started, add, end } = setUp({ order: 'key-ordered' });
    add(of('a', 1), of('a', 2), of('b', 3), record(4), record(5), of('b', 6));
    expect(started).toEqual([1, 3, 4, 5]);
    await end(3);
    await end(1);
    expect(started).toEqual([1, 3, 4, 5, 6, 2]);
  });

  it('all at once where there is no order', () => {
    const { started, add } = setUp({ order: 'unordered' });
    add(of('a', 1), of('a', 2), record(3));
    expect(started).toEqual([1, 2, 3]);
  });

  it.each<DeliveryOrder>(['ordered', 'unordered'])('what ends as soon as it starts, however much that is, where they are %s', (order) => {
    const ended: bigint[] = [];
    let under = 0;
    let deepest = 0;
    const lane: PartitionLane = new PartitionLane({ topic: 't', partition: 4, order, inFlightLimit: new InFlightLimit(10), metadata: undefined, metadataLimitBytes: 2048 }, {
      dispatch: (entry) => {
        deepest = Math.max(deepest, ++under);
        ended.push(entry.offset);
        lane.ended(entry, delivered);
        under--;
      },
      pause: () => undefined, resume: () => undefined, onSettled: () => undefined, onSkipped: () => undefined, onQueued: () => undefined, queueLimitBytes: () => 1_000_000,
    });
    const records = Array.from({ length: 50_000 }, (_, offset) => record(offset));
    lane.add(records, 50_000n);
    expect(ended).toEqual(records.map(({ offset }) => offset));
    expect(deepest).toBe(1);
    expect(lane.commit()?.commitOffset).toBe(50_000n);
  });

  it('keys by their bytes, not by what they read as', () => {
    const { started, lane } = setUp({ order: 'key-ordered' });
    const keys = [[0xff], [0xfe], [0xff, 0xfe]].map((bytes) => Buffer.from(bytes));
    lane.add(keys.map((key, at) => ({ ...record(at), key })), 3n);
    expect(started).toEqual([0, 1, 2]);
  });

  it('and refers to a record by its entry alone: dispatch may put a copy in its place', async () => {
    const { lane, helds, started, end } = setUp({ order: 'key-ordered' });
    const fetched = of('a', 1);
    lane.add([fetched, of('a', 2)], 3n);
    const held = helds.get(1)!;
    expect(held.record).toBe(fetched);
    fetched.key!.fill(0); // whoever owns the buffer uses it for something else
    held.record = { ...fetched, value: Buffer.alloc(100_000) };
    await end(1);
    expect(started).toEqual([1, 2]);
    expect(lane.queuedBytes).toBe(queuedBytes(2)); // what was taken is given back, not what the copy would count
  });

  it('and tells how far behind it is: from the oldest that has no outcome', async () => {
    const { lane, end } = setUp({ order: 'unordered' });
    expect(lane.lag).toBeUndefined();
    lane.add([], 20n);
    expect(lane.lag).toBeUndefined();
    lane.add([record(10), record(11)], 20n);
    expect(lane.lag).toBe(10);
    await end(11);
    expect(lane.lag).toBe(10);
    await end(10);
    expect(lane.lag).toBe(8);
  });
});

describe('a lane offers to commit', () => {
  it('up to the oldest that is under way, with what has settled beyond it, until the group has taken it', async () => {
    const { lane, add, end } = setUp({ order: 'unordered' });
    add(record(10), record(11), record(12), record(13));
    expect([lane.hasMoved, lane.commit()]).toEqual([false, undefined]);
    await end(12);
    await end(11);
    const first = lane.commit()!;
    expect(first).toMatchObject({ commitOffset: 10n, metadata: encodeSettled(10n, [{ first: 11n, last: 12n }], 2048) });
    expect(lane.commit()).toEqual(first); // refused, or the answer was lost
    lane.accepted(first);
    expect([lane.hasMoved, lane.commit()]).toEqual([false, undefined]);
    await end(10, { kind: 'dropped', reason: 'status-400' });
    expect(lane.commit()).toMatchObject({ commitOffset: 13n, metadata: undefined });
  });

  it('what has settled since a commit was put together, though it was taken later', async () => {
    const { lane, add, end } = setUp({ order: 'unordered' });
    add(record(10), record(11));
    await end(10);
    const first = lane.commit()!;
    await end(11);
    lane.accepted(first);
    expect(lane.hasMoved).toBe(true);
    expect(lane.commit()).toMatchObject({ commitOffset: 12n });
  });

  it('never more than fits: nothing new, where all that is new lies beyond', async () => {
    const { lane, add, end } = setUp({ order: 'unordered', metadataLimitBytes: 7 });
    add(record(10), record(11), record(12));
    await end(11);
    const first = lane.commit()!;
    expect(first).toMatchObject({ commitOffset: 10n, metadata: undefined });
    lane.accepted(first);
    await end(12);
    expect([lane.hasMoved, lane.commit(), lane.hasMoved]).toEqual([true, undefined, false]);
    await end(10);
    expect(lane.commit()).toMatchObject({ commitOffset: 13n });
  });

  it('no more than an offset where the order is that of offsets', async () => {
    const { lane, add, end } = setUp();
    add(...Array.from({ length: 20 }, (_, at) => record(at)));
    for (let offset = 0; offset < 20; offset++) {
      await end(offset);
      expect(lane.commit()).toMatchObject({ commitOffset: BigInt(offset + 1), metadata: undefined });
    }
  });
});

describe('a lane that is told what had settled before', () => {
  const metadata = encodeSettled(10n, [{ first: 11n, last: 12n }, { first: 14n, last: 20n }], 2048);

  it('passes over it, as often as records come', () => {
    const { started, skipped, lane } = setUp({ order: 'unordered', metadata });
    lane.add([record(10), record(11)], 30n);
    lane.add([record(12), record(13), record(14), record(15)], 30n);
    lane.add([record(20), record(21)], 30n);
    expect(started).toEqual([10, 13, 21]);
    expect(skipped).toEqual([1, 3, 1]);
    expect(lane.queuedBytes).toBe(3 * queuedBytes(0));
  });

  it('goes on committing it before all of it was read again', async () => {
    const { lane, end } = setUp({ order: 'unordered', metadata });
    lane.add([record(10), record(11), record(12), record(13)], 30n);
    expect(lane.commit()).toMatchObject({ commitOffset: 10n, metadata });
    await end(10);
    expect(lane.commit()).toMatchObject({ commitOffset: 13n, metadata: encodeSettled(13n, [{ first: 14n, last: 20n }], 2048) });
  });

  it.each([
    ['that belongs to another offset', [9, 10, 11], 30n, [9, 10, 11]],
    ['beyond the end of the log as it is now', [10, 11, 12, 13, 14, 15], 15n, [10, 13, 15]],
  ] as const)('delivers what it names %s', (_case, offsets, highWatermark, expected) => {
    const { started, lane } = setUp({ order: 'unordered', metadata });
    lane.add(offsets.map((offset) => record(offset)), highWatermark);
    expect(started).toEqual(expected);
  });

  it('delivers all where it was told something else', () => {
    const { started, add } = setUp({ order: 'unordered', metadata: 'checkpointed by nightly-job' });
    add(record(10), record(11));
    expect(started).toEqual([10, 11]);
  });

  it('passes over it under any order', async () => {
    const { started, add, end } = setUp({ order: 'ordered', metadata });
    add(record(10), record(11), record(12), record(13));
    await end(10);
    expect(started).toEqual([10, 13]);
  });
});

describe('lanes of one group', () => {
  function lanes(limit: number) {
    const inFlightLimit = new InFlightLimit(limit);
    return { inFlightLimit, busy: setUp({ order: 'unordered', inFlightLimit }), other: setUp({ order: 'unordered', inFlightLimit }) };
  }

  it('have no more under way than their limit, in turn', async () => {
    const { busy, other } = lanes(2);
    busy.add(...Array.from({ length: 10 }, (_, at) => record(at)));
    other.add(record(0), record(1));
    expect([busy.started, other.started]).toEqual([[0, 1], []]);
    for (const offset of [0, 1]) await busy.end(offset);
    expect([busy.started, other.started]).toEqual([[0, 1, 2], [0]]); // each the place of one
    await busy.end(2);
    await other.end(0);
    expect([busy.started, other.started]).toEqual([[0, 1, 2, 3], [0, 1]]);
  });

  it('leave the place of one that is stopped, suspended or drained to the others', async () => {
    for (const leave of ['stop', 'suspend', 'drain'] as const) {
      const { inFlightLimit, busy, other } = lanes(1);
      busy.add(record(0));
      other.add(record(0));
      const third = setUp({ order: 'unordered', inFlightLimit });
      third.add(record(0));
      expect(inFlightLimit.waiting).toBe(2);
      void other.lane[leave]();
      expect(inFlightLimit.waiting).toBe(1);
      await busy.end(0);
      expect([other.started, third.started]).toEqual([[], [0]]);
    }
  });

  it('give back the place of an attempt that outlives its lane', async () => {
    const { busy, other } = lanes(1);
    busy.add(record(0), record(1));
    other.add(record(0));
    busy.lane.stop();
    expect(other.started).toEqual([]); // the attempt is still under way
    await busy.end(0);
    expect([busy.started, other.started]).toEqual([[0], [0]]);
  });

  it('wait again once their partition stays', async () => {
    const { busy, other } = lanes(1);
    busy.add(record(0));
    other.add(record(0));
    other.lane.suspend();
    other.lane.proceed();
    await busy.end(0);
    expect(other.started).toEqual([0]);
  });
});

describe('a lane is bounded', () => {
  it('asks for no more records at its limit, and for more when half of it is free', async () => {
    const { asked, add, end } = setUp({ queueLimitBytes: 4 * queuedBytes(1000) });
    add(record(0, 1000), record(1, 1000), record(2, 1000));
    expect(asked).toEqual([]);
    add(record(3, 1000), record(4, 1000)); // already fetched when the limit was met: kept, not thrown away
    expect(asked).toEqual(['pause']);
    await end(0);
    await end(1);
    expect(asked).toEqual(['pause']);
    await end(2);
    expect(asked).toEqual(['pause', 'resume']);
  });

  it('by what its share is now, not when the record came', () => {
    const { asked, add, setLimit } = setUp({ queueLimitBytes: 100_000 });
    add(record(0, 1000));
    setLimit(1000);
    add(record(1, 1));
    expect(asked).toEqual(['pause']);
  });

  it('and counts keys and headers as well', () => {
    const { lane } = setUp();
    lane.add([{ offset: 0n, key: Buffer.alloc(3), value: Buffer.alloc(5), headers: [['name', Buffer.alloc(7)]], timestampMs: 0 }], 1n);
    expect(lane.queuedBytes).toBe(queuedBytes(3 + 5 + 4 + 7));
  });

  it('where the order is by key, by all that waits behind a blocked one, and others go on until then', async () => {
    const { asked, started, add, end } = setUp({ order: 'key-ordered', queueLimitBytes: 10 * queuedBytes(2) });
    add(...Array.from({ length: 7 }, (_, at) => of('a', at)));
    add(of('b', 7));
    await end(7);
    add(of('c', 8), of('b', 9));
    expect([started, asked]).toEqual([[0, 7, 8, 9], []]);
    add(of('a', 10));
    expect(asked).toEqual(['pause']);
    for (const offset of [8, 9, 0, 1]) await end(offset);
    expect(asked).toEqual(['pause']);
    await end(2);
    expect(asked).toEqual(['pause', 'resume']);
  });
});

describe('while the partition may be about to move, a lane', () => {
  it('starts nothing new, and goes on where it was', async () => {
    const { lane, started, add, end, commit } = setUp();
    add(record(0), record(1));
    lane.suspend();
    await end(0);
    add(record(2));
    expect(started).toEqual([0]);
    expect(commit()).toBe(1n); // what ends meanwhile counts
    lane.proceed();
    expect(started).toEqual([0, 1]);
  });

  it.each([['wanted', 0, 'resume'], ['not wanted', 10_000, 'pause']] as const)('says anew that more records are %s', (_, bytes, expected) => {
    const { lane, asked, add } = setUp({ queueLimitBytes: 5_000 });
    add(record(0, bytes));
    asked.length = 0;
    lane.suspend();
    lane.proceed();
    expect(asked).toEqual([expected]);
  });
});

describe('a lane that is drained', () => {
  it('ends waiting for retries, starts nothing new, and waits for the attempts under way', async () => {
    const { lane, started, signals, add, end, commit } = setUp();
    add(record(0), record(1));
    expect(signals.get(0)!.aborted).toBe(false);
    let isDrained = false;
    const draining = lane.drain().then(() => { isDrained = true; });
    expect(signals.get(0)!.aborted).toBe(true);
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(isDrained).toBe(false);
    await end(0);
    await draining;
    expect(started).toEqual([0]);
    expect(commit()).toBe(1n);
  });

  it('has nothing to wait for where nothing is under way', async () => {
    const { lane } = setUp();
    await lane.drain();
  });

  it('does not start again because a rebalance ended meanwhile', async () => {
    const { lane, started, add, end } = setUp();
    add(record(0), record(1));
    const draining = lane.drain();
    lane.suspend();
    lane.proceed();
    await end(0);
    await draining;
    expect(started).toEqual([0]);
  });

  it('commits nothing of a delivery that was interrupted, and nothing after it overtakes it', async () => {
    const { lane, started, settled, add, end, commit } = setUp();
    add(record(0), record(1), record(2));
    await end(0);
    const draining = lane.drain();
    await end(1, interrupted);
    await draining;
    expect(commit()).toBe(1n);
    expect(started).toEqual([0, 1]);
    expect(settled).toEqual(['delivered', 'interrupted']);
  });
});

describe('a lane that is stopped', () => {
  it('commits nothing more, starts nothing more and takes nothing more', async () => {
    const { lane, started, signals, add, end } = setUp();
    add(record(0), record(1));
    await end(0);
    lane.stop();
    expect([lane.hasMoved, lane.commit()]).toEqual([false, undefined]); // somebody else's offset may be further by now
    expect(signals.get(1)!.aborted).toBe(true);
    await end(1);
    add(record(2));
    lane.proceed();
    expect([lane.hasMoved, lane.commit()]).toEqual([false, undefined]);
    expect(started).toEqual([0, 1]);
  });

  it('gives back all it queued, once', async () => {
    const { lane, add, end, queuedInAll } = setUp();
    add(record(0, 1000), record(1, 1000));
    expect(queuedInAll()).toBe(2 * queuedBytes(1000));
    lane.stop();
    expect(queuedInAll()).toBe(0);
    lane.stop();
    await end(0);
    add(record(2, 1000)); // fetched before, and late
    expect(queuedInAll()).toBe(0);
  });

  it('keeps of what it queued no more than the record of an attempt under way', () => {
    const { lane, add, helds } = setUp({ order: 'key-ordered' });
    add(of('a', 0), of('a', 1), of('b', 2), of('a', 3));
    const reachable = (from: unknown): bigint[] => {
      const seen = new Set<unknown>();
      const visit = (value: unknown): void => {
        if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || seen.has(value)) return;
        seen.add(value);
        Object.values(value).forEach(visit);
      };
      visit(from);
      return [...new Set([...seen].flatMap((value) => ('offset' in (value as object) ? [(value as IncomingRecord).offset] : [])))];
    };
    expect(reachable(helds.get(0)).length).toBeGreaterThan(1);
    lane.stop();
    expect([0, 2].map((offset) => reachable(helds.get(offset)))).toEqual([[0n], [2n]]);
  });

  it('still counts the outcome of what was under way', async () => {
    const { lane, settled, add, end } = setUp();
    add(record(0));
    lane.stop();
    await end(0);
    expect(settled).toEqual(['delivered']);
  });
});
