import { describe, expect, it } from 'vitest';
import type { IncomingRecord } from '@knative-kafka/common/core';
import { OrderedQueue, type DeliveryQueue } from './core/delivery-order.ts';
import type { DispatchOutcome } from './dispatch.ts';
import { PartitionLane } from './partition-lane.ts';

const delivered: DispatchOutcome = { kind: 'delivered' };
const interrupted: DispatchOutcome = { kind: 'interrupted' };

function record(offset: number, bytes = 0): IncomingRecord {
  return { offset: BigInt(offset), key: null, value: Buffer.alloc(bytes), headers: [], timestampMs: 0 };
}
/** What a record of that many bytes counts in the queue: with a round figure for its objects. */
const queuedBytes = (bytes: number): number => 512 + bytes;

/** No order at all: everything may be under way at the same time. */
class Unordered implements DeliveryQueue<IncomingRecord> {
  readonly #items: IncomingRecord[] = [];
  add(item: IncomingRecord): void { this.#items.push(item); }
  next(): IncomingRecord | undefined { return this.#items.shift(); }
  done(): void { /* nobody waits */ }
  get waiting(): number { return this.#items.length; }
}

/** Deliveries under the test's control: each waits for its outcome. */
function setUp({ queueLimitBytes = 1_000_000, order = new OrderedQueue<IncomingRecord>() }: { queueLimitBytes?: number; order?: DeliveryQueue<IncomingRecord> } = {}) {
  const started: number[] = [];
  const asked: string[] = [];
  const settled: string[] = [];
  const finish = new Map<number, (outcome: DispatchOutcome) => void>();
  const signals = new Map<number, AbortSignal>();
  let queued = 0;
  let limit = queueLimitBytes;
  const lane = new PartitionLane(4, order, {
    dispatch: ({ offset }, signal) => {
      started.push(Number(offset));
      signals.set(Number(offset), signal);
      return new Promise((resolve) => finish.set(Number(offset), resolve));
    },
    pause: () => asked.push('pause'),
    resume: () => asked.push('resume'),
    onSettled: (outcome) => settled.push(outcome.kind),
    onQueued: (bytes) => { queued += bytes; },
    queueLimitBytes: () => limit,
  });
  return {
    lane, started, asked, settled, signals,
    add: (...records: IncomingRecord[]) => lane.add(records, BigInt(Number(records.at(-1)?.offset ?? 0n) + 1)),
    end: async (offset: number, outcome: DispatchOutcome = delivered) => {
      finish.get(offset)!(outcome);
      await new Promise<void>((resolve) => setImmediate(resolve));
    },
    setLimit: (bytes: number) => { limit = bytes; },
    queuedInAll: () => queued,
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

  it('and offers to commit up to the oldest that is under way, each offset once', async () => {
    const { lane, add, end } = setUp({ order: new Unordered() });
    add(record(10), record(11), record(12));
    await end(12);
    await end(11);
    expect(lane.commitOffset()).toBeUndefined();
    await end(10, { kind: 'dropped', reason: 'status-400' });
    expect(lane.commitOffset()).toBe(13n);
    lane.committed = 13n;
    expect(lane.commitOffset()).toBeUndefined();
  });

  it('and tells how far behind it is: what has no outcome yet', async () => {
    const { lane, end } = setUp();
    expect(lane.lag).toBeUndefined();
    lane.add([record(10), record(11)], 20n);
    expect(lane.lag).toBe(10);
    await end(10);
    expect(lane.lag).toBe(9);
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
});

describe('while the partition may be about to move, a lane', () => {
  it('starts nothing new, and goes on where it was', async () => {
    const { lane, started, add, end } = setUp();
    add(record(0), record(1));
    lane.suspend();
    await end(0);
    add(record(2));
    expect(started).toEqual([0]);
    expect(lane.commitOffset()).toBe(1n); // what ends meanwhile counts
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
    const { lane, started, signals, add, end } = setUp();
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
    expect(lane.commitOffset()).toBe(1n);
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
    const { lane, started, settled, add, end } = setUp();
    add(record(0), record(1), record(2));
    await end(0);
    const draining = lane.drain();
    await end(1, interrupted);
    await draining;
    expect(lane.commitOffset()).toBe(1n);
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
    expect(lane.commitOffset()).toBeUndefined(); // somebody else's offset may be further by now
    expect(signals.get(1)!.aborted).toBe(true);
    await end(1);
    add(record(2));
    lane.proceed();
    expect(lane.commitOffset()).toBeUndefined();
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

  it('still counts the outcome of what was under way', async () => {
    const { lane, settled, add, end } = setUp();
    add(record(0));
    lane.stop();
    await end(0);
    expect(settled).toEqual(['delivered']);
  });
});
