import { describe, expect, it } from 'vitest';
import { backoffMs } from './backoff.ts';

const options = { firstMs: 100, longestMs: 30_000 };

describe('backoffMs', () => {
  it.each([
    { retry: 1, random: 0, waitMs: 50 },
    { retry: 1, random: 0.5, waitMs: 75 },
    { retry: 2, random: 0, waitMs: 100 },
    { retry: 5, random: 0, waitMs: 800 },
    { retry: 10, random: 0, waitMs: 15_000 },
    { retry: 10_000, random: 0, waitMs: 15_000 },
  ])('waits $waitMs ms before retry $retry (random $random)', ({ retry, random, waitMs }) => {
    expect(backoffMs(retry, options, random)).toBe(waitMs);
  });

  it('is never longer than the longest', () => {
    for (let retry = 1; retry < 100; retry++) expect(backoffMs(retry, options, 0.999)).toBeLessThan(30_000);
  });
});
