import { describe, expect, it } from 'vitest';
import { OffsetTracker } from './offset-tracker.ts';

describe('OffsetTracker', () => {
  it('waits for the oldest delivery before moving the commit offset', () => {
    const tracker = new OffsetTracker();
    for (const offset of [10n, 11n, 12n]) tracker.start(offset);
    tracker.settle(12n);
    tracker.settle(11n);
    expect(tracker.commitOffset()).toBeUndefined(); // 10 is still out for delivery
    tracker.settle(10n);
    expect(tracker.commitOffset()).toBe(13n); // the next record to read
  });

  it('steps over offsets that compaction or transaction markers took', () => {
    const tracker = new OffsetTracker();
    tracker.start(5n);
    tracker.start(9n);
    tracker.settle(5n);
    expect(tracker.commitOffset()).toBe(6n);
    tracker.settle(9n);
    expect(tracker.commitOffset()).toBe(10n);
  });

  it('has nothing to commit before anything is settled', () => {
    const tracker = new OffsetTracker();
    expect(tracker.commitOffset()).toBeUndefined();
    tracker.start(1n);
    expect(tracker.commitOffset()).toBeUndefined();
    expect(tracker.unsettled).toBe(1);
  });

  it.each([
    ['an offset that was not started', (tracker: OffsetTracker) => tracker.settle(7n)],
    ['an offset that is settled', (tracker: OffsetTracker) => { tracker.start(7n); tracker.settle(7n); tracker.settle(7n); }],
    ['a start out of order', (tracker: OffsetTracker) => { tracker.start(7n); tracker.start(6n); }],
  ])('refuses %s: a bug in the caller', (_case, act) => {
    expect(() => act(new OffsetTracker())).toThrow(RangeError);
  });

  it('never passes an unsettled record, whatever the order of settling', () => {
    let seed = 7;
    const random = (below: number) => { seed = (Math.imul(seed, 1103515245) + 12345) >>> 0; return seed % below; };
    const tracker = new OffsetTracker();
    const open = new Set<bigint>();
    let next = 0n;
    let last = -1n;
    for (let step = 0; step < 20_000; step++) {
      if (open.size === 0 || random(3) > 0) {
        tracker.start(next);
        open.add(next);
        next += BigInt(1 + random(3));
      } else {
        const offset = [...open][random(Math.min(open.size, 50))]!;
        open.delete(offset);
        tracker.settle(offset);
      }
      const commit = tracker.commitOffset() ?? 0n;
      const oldest = [...open][0];
      if (oldest !== undefined) expect(commit).toBeLessThanOrEqual(oldest);
      expect(commit).toBeGreaterThanOrEqual(last < 0n ? 0n : last);
      last = commit;
      if (open.size > 200) for (const offset of [...open]) { open.delete(offset); tracker.settle(offset); }
    }
  });
});
