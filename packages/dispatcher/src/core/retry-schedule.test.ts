import { describe, expect, it } from 'vitest';
import { longestDelayMs, retryDelayMs } from './retry-schedule.ts';

const delivery = (backoffPolicy: 'linear' | 'exponential', retry = 10, backoffDelayMs = 100) => ({ backoffPolicy, retry, backoffDelayMs });

describe('retryDelayMs', () => {
  it.each([
    ['linear', [100, 200, 300, 400]],
    ['exponential', [200, 400, 800, 1600]],
  ] as const)('%s waits %j', (policy, expected) => {
    expect(expected.map((_, index) => retryDelayMs(delivery(policy), index + 1, 0))).toEqual(expected);
  });

  it('ends when the retries are used up', () => {
    expect(retryDelayMs(delivery('linear', 2), 2, 0)).toBe(200);
    expect(retryDelayMs(delivery('linear', 2), 3, 0)).toBeUndefined();
    expect(retryDelayMs(delivery('linear', 0), 1, 0)).toBeUndefined();
  });

  it('spreads by at most a tenth and never shortens', () => {
    expect(retryDelayMs(delivery('linear'), 1, 0.999)).toBeCloseTo(109.99);
    for (let n = 0; n < 100; n++) expect(retryDelayMs(delivery('exponential'), 3, n / 100)).toBeGreaterThanOrEqual(800);
  });

  it('is capped, however many retries there are', () => {
    expect(retryDelayMs(delivery('exponential', 5_000), 4_999, 0)).toBe(longestDelayMs);
    expect(retryDelayMs(delivery('linear', 1e6), 1e6, 0)).toBe(longestDelayMs);
  });

  it.each([0, -1, 1.5, NaN])('refuses retry %d: a bug in the caller', (retry) => {
    expect(() => retryDelayMs(delivery('linear'), retry, 0)).toThrow(RangeError);
  });
});
