import { describe, expect, it } from 'vitest';
import { rateLease } from './rate-lease.ts';

describe('a lease', () => {
  it.each([
    [0.5, 1, 2_000],
    [1, 1, 1_000],
    [50, 1, 20],
    [100, 1, 10],
    [101, 2, 2_000 / 101],
    [1_000, 10, 10],
    [20_000, 200, 10],
    [1_000_000, 10_000, 10],
  ])('at %d a second is of %d permits each %d ms', (perSecond, permits, intervalMs) => {
    expect(rateLease(perSecond)).toMatchObject({ permits, intervalMs });
  });

  it('is never shorter than 10 ms, nor more than 10 ms of the rate, and its permits make exactly the rate', () => {
    for (let perSecond = 1; perSecond < 30_000; perSecond += 7) {
      const { permits, intervalMs } = rateLease(perSecond);
      expect(intervalMs).toBeGreaterThanOrEqual(10 - 1e-9);
      expect(permits).toBeLessThan(perSecond / 100 + 1);
      expect((permits * 1000) / intervalMs).toBeCloseTo(perSecond, 6);
    }
  });

  it.each([[100, 6], [20_000, 6], [50, 4], [20, 2], [19, 1], [1, 1]])('at %d a second: %d are asked for ahead', (perSecond, ahead) => {
    expect(rateLease(perSecond).ahead).toBe(ahead);
  });
});
