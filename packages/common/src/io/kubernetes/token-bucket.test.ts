import { describe, expect, it } from 'vitest';
import { TokenBucket } from './token-bucket.ts';

describe('TokenBucket', () => {
  it('gives the burst at once, then one turn after the other', () => {
    const bucket = new TokenBucket(10, 3);
    expect([bucket.take(0), bucket.take(0), bucket.take(0)]).toEqual([0, 0, 0]);
    expect([bucket.take(0), bucket.take(0), bucket.take(0)]).toEqual([100, 200, 300]);
    expect(bucket.take(250)).toBe(150); // turns that were taken stay taken
  });

  it('fills up while nobody asks, and not beyond the burst', () => {
    const bucket = new TokenBucket(10, 3);
    for (let turn = 0; turn < 3; turn++) bucket.take(0);
    expect(bucket.isFull(299)).toBe(false);
    expect(bucket.isFull(300)).toBe(true);
    expect([bucket.take(60_000), bucket.take(60_000), bucket.take(60_000), bucket.take(60_000)]).toEqual([0, 0, 0, 100]);
  });

  it('takes nothing where a turn is only tried for and there is none', () => {
    const bucket = new TokenBucket(1, 1);
    expect(bucket.tryTake(0)).toBe(true);
    expect(bucket.tryTake(500)).toBe(false);
    expect(bucket.tryTake(999)).toBe(false);
    expect(bucket.tryTake(1000)).toBe(true);
  });
});
