import { describe, expect, it } from 'vitest';
import { OffsetTracker, untracked, type Tracked } from './offset-tracker.ts';
import type { OffsetRange } from './settled-offsets.ts';

interface Item extends Tracked<Item> { readonly offset: bigint }

function item(offset: bigint): Item {
  return { offset, sequence: untracked, older: undefined, newer: undefined };
}
function register(tracker: OffsetTracker<Item>, ...offsets: bigint[]): Item[] {
  return offsets.map(item).filter((one) => tracker.register(one));
}
/** `first-last` for each range. */
function ranges(tracker: OffsetTracker<Item>): string {
  return [...tracker.settledRanges()].map(({ first, last }) => `${first}-${last}`).join(' ');
}

describe('OffsetTracker', () => {
  it('waits for the oldest delivery before moving the commit offset', () => {
    const tracker = new OffsetTracker<Item>();
    const [ten, eleven, twelve] = register(tracker, 10n, 11n, 12n) as [Item, Item, Item];
    tracker.settle(twelve);
    tracker.settle(eleven);
    expect(tracker.commitOffset()).toBe(10n); // still out for delivery
    tracker.settle(ten);
    expect(tracker.commitOffset()).toBe(13n); // the next record to read
  });

  it('steps over offsets that compaction or transaction markers took', () => {
    const tracker = new OffsetTracker<Item>();
    const [five, nine] = register(tracker, 5n, 9n) as [Item, Item];
    tracker.settle(five);
    expect(tracker.commitOffset()).toBe(9n);
    tracker.settle(nine);
    expect(tracker.commitOffset()).toBe(10n);
  });

  it('knows no offset before the first record, and counts what has settled', () => {
    const tracker = new OffsetTracker<Item>();
    expect([tracker.commitOffset(), tracker.settled, ranges(tracker)]).toEqual([undefined, 0, '']);
    const [one] = register(tracker, 1n, 2n) as [Item, Item];
    expect([tracker.commitOffset(), tracker.settled]).toEqual([1n, 0]);
    tracker.settle(one);
    expect([tracker.commitOffset(), tracker.settled]).toEqual([2n, 1]);
  });

  it.each([
    ['nothing, while all are under way', [], ''],
    ['nothing, where the oldest have settled', [10, 11], ''],
    ['one that has overtaken', [12], '12-12'],
    ['up to the newest', [15, 13, 14], '13-15'],
    ['several', [11, 13, 12, 15], '11-13 15-15'],
    ['what is behind the first gap, as settling goes on', [10, 12, 13], '12-13'],
  ])('tells what has settled beyond the commit offset: %s', (_case, settled, expected) => {
    const tracker = new OffsetTracker<Item>();
    const items = register(tracker, 10n, 11n, 12n, 13n, 14n, 15n);
    for (const offset of settled) tracker.settle(items[offset - 10]!);
    expect(ranges(tracker)).toBe(expected);
  });

  it('never has an unsettled record in a range beside offsets without a record', () => {
    const tracker = new OffsetTracker<Item>();
    const items = register(tracker, 10n, 20n, 30n, 40n, 50n);
    tracker.settle(items[1]!);
    tracker.settle(items[4]!);
    expect(ranges(tracker)).toBe('11-29 41-50');
  });

  describe('which is told what an earlier owner had settled', () => {
    const settled: readonly OffsetRange[] = [{ first: 11n, last: 12n }, { first: 20n, last: 29n }];

    it('passes over it', () => {
      const tracker = new OffsetTracker<Item>(settled);
      expect(register(tracker, 10n, 11n, 12n, 13n, 25n, 29n, 30n).map(({ offset }) => offset)).toEqual([10n, 13n, 30n]);
      expect(tracker.settled).toBe(4);
      expect(ranges(tracker)).toBe('11-12 14-29');
    });

    it('and goes on telling of what it has not read yet', () => {
      const tracker = new OffsetTracker<Item>(settled);
      const [ten] = register(tracker, 10n, 11n) as [Item];
      expect(ranges(tracker)).toBe('11-12 20-29');
      tracker.settle(ten);
      expect([tracker.commitOffset(), ranges(tracker)]).toEqual([13n, '20-29']);
      const [thirteen] = register(tracker, 13n) as [Item];
      expect(ranges(tracker)).toBe('20-29');
      tracker.settle(thirteen);
      register(tracker, 21n); // in the middle of a range: what is before it was compacted away
      expect([tracker.commitOffset(), ranges(tracker)]).toEqual([30n, '']);
    });

    it('and joins it with what has settled since', () => {
      const tracker = new OffsetTracker<Item>(settled);
      const [, , nineteen] = register(tracker, 10n, 12n, 13n, 19n) as [Item, Item, Item];
      tracker.settle(nineteen);
      expect(ranges(tracker)).toBe('11-12 14-29');
    });

    it('and keeps apart from it what is unsettled right before', () => {
      const tracker = new OffsetTracker<Item>(settled);
      register(tracker, 10n, 11n, 19n);
      expect(ranges(tracker)).toBe('11-18 20-29'); // 12 to 18 are offsets without a record
    });
  });

  it.each([
    ['one that is not registered', (tracker: OffsetTracker<Item>) => tracker.settle(item(7n))],
    ['one that is settled', (tracker: OffsetTracker<Item>) => { const [seven] = register(tracker, 7n); tracker.settle(seven!); tracker.settle(seven!); }],
    ['one that was forgotten', (tracker: OffsetTracker<Item>) => { register(tracker, 7n); tracker.settle(tracker.forgetOldest()!); }],
    ['offsets that do not rise', (tracker: OffsetTracker<Item>) => { register(tracker, 7n, 7n); }],
  ])('refuses %s: a bug in the caller', (_case, act) => {
    expect(() => act(new OffsetTracker())).toThrow(RangeError);
  });

  it('holds on to nothing that has settled, and lets go of the rest when told to', () => {
    const tracker = new OffsetTracker<Item>();
    const items = register(tracker, 1n, 2n, 3n, 4n);
    tracker.settle(items[1]!);
    expect([items[1]!.older, items[1]!.newer, items[0]!.newer]).toEqual([undefined, undefined, items[2]]);
    expect([tracker.forgetOldest(), tracker.forgetOldest(), tracker.forgetOldest(), tracker.forgetOldest()]).toEqual([items[0], items[2], items[3], undefined]);
    expect(items.every(({ older, newer }) => older === undefined && newer === undefined)).toBe(true);
  });

  it.each([1, 2, 3, 4, 5])('is right whatever the order of settling and whatever was settled before (seed %i)', (firstSeed) => {
    let seed = firstSeed;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const before: OffsetRange[] = [];
    for (let from = 1; before.length < 200;) {
      const first = from + random(20);
      const last = first + random(20);
      before.push({ first: BigInt(first), last: BigInt(last) });
      from = last + 2;
    }
    const tracker = new OffsetTracker<Item>(before);
    const settled = new Set(before.flatMap(({ first, last }) => Array.from({ length: Number(last - first) + 1 }, (_, at) => Number(first) + at)));
    const known = new Set<number>();
    const open: Item[] = [];
    let next = 0;
    let lastCommit = -1n;
    /** Offsets that were refused or taken wrongly, or committed backwards. */
    const wrong: number[] = [];
    for (let step = 0; step < 4_000; step++) {
      if (open.length === 0 || random(5) > 1) {
        const one = item(BigInt(next));
        known.add(next);
        if (tracker.register(one) === settled.has(next)) wrong.push(next);
        if (!settled.has(next)) open.push(one);
        next += 1 + (random(4) === 0 ? random(4) : 0);
      } else {
        const [one] = open.splice(random(3) === 0 ? 0 : random(open.length), 1);
        tracker.settle(one!);
        settled.add(Number(one!.offset));
      }
      const commit = tracker.commitOffset()!;
      if (commit < lastCommit) wrong.push(Number(commit));
      lastCommit = commit;
      if (step % 50 > 0) continue;
      // Each record is below the commit offset or in a range exactly where it is settled; so are those still to be read.
      const inRange = new Set([...tracker.settledRanges()].flatMap(({ first, last }) => Array.from({ length: Number(last - first) + 1 }, (_, at) => Number(first) + at)));
      const misplaced = [...known, ...Array.from({ length: 100 }, (_, at) => next + at)].filter((offset) => (offset < Number(commit) || inRange.has(offset)) !== settled.has(offset));
      expect([misplaced, wrong]).toEqual([[], []]);
      const all = [...tracker.settledRanges()];
      expect(all.every(({ first, last }, at) => first > (all[at - 1]?.last ?? commit - 1n) + 1n && last >= first)).toBe(true);
    }
  }, 60_000);
});
