import { describe, expect, it } from 'vitest';
import { arrivedIn, keepUp, longestGapMs, missing, repeated, waits, type Arrival } from './arrivals.ts';

/** @param times by [event, milliseconds of its arrival], sent a millisecond before unless told */
function arrivals(...times: readonly (readonly [n: number, atMs: number, sentAtMs?: number])[]): Arrival[] {
  return times.map(([n, atMs, sentAtMs = atMs - 1]) => ({ n, at: atMs * 1000, sentAt: sentAtMs * 1000 }));
}
const window = (fromMs: number, toMs: number) => ({ from: fromMs * 1000, to: toMs * 1000 });

describe('longestGapMs', () => {
  it.each([
    ['between two arrivals', [10, 20, 50, 60], 30],
    ['from the last arrival before the window', [1, 40, 50, 60], 39],
    ['to the end of the window, when nothing comes any more', [10, 20], 40],
    ['of the whole window, when nothing ever came', [], 50],
    ['not of what comes after the window', [10, 20, 30, 40, 50, 60, 200], 10],
  ])('%s', (_name, times, gapMs) => {
    expect(longestGapMs(arrivals(...times.map((atMs, n) => [n, atMs] as const)), window(10, 60))).toBe(gapMs);
  });
});

it('counts each arrival after the first of an event', () => {
  expect(repeated(arrivals([0, 1], [1, 2], [0, 3], [2, 4], [0, 5])).map(({ at }) => at / 1000)).toEqual([3, 5]);
});

it('counts the events that never arrived', () => {
  expect(missing(arrivals([0, 1], [3, 2], [0, 3]), 4)).toBe(2);
});

it('cuts a window out, both edges in it', () => {
  expect(arrivedIn(arrivals([0, 1], [1, 2], [2, 3], [3, 4]), window(2, 3)).map(({ n }) => n)).toEqual([1, 2]);
});

it('takes waits of the events accepted in the window, none below nothing', () => {
  const accepted = [1_000, 2_000, 9_000, 100_000];
  const histogram = waits(arrivals([0, 6], [1, 12], [2, 8], [3, 130]), accepted, window(2, 50));
  expect(histogram.count).toBe(2);
  expect(histogram.quantileMs(0.5)).toBe(0);
  expect(histogram.quantileMs(1)).toBeCloseTo(10, 0);
});

describe('keepUp', () => {
  it.each([
    ['all partitions have a young event', arrivals([0, 100], [1, 100]), true],
    ['one of them only had one that was sent before', arrivals([0, 100], [1, 100, 49]), false],
    ['one of them only has old ones', arrivals([0, 100], [1, 100, 60]), false],
    ['one of them has none', arrivals([0, 100], [2, 100]), false],
  ])('%s', (_name, seen, expected) => {
    expect(keepUp(seen, 2, 50_000, 20)).toBe(expected);
  });
});
