import { describe, expect, it } from 'vitest';
import { Histogram } from './histogram.ts';

describe('Histogram', () => {
  it.each([0, 1, 127, 128, 129, 255, 256, 1_000, 20_021, 999_999, 30_000_000, 4_000_000_000])('finds %i µs again within one percent', (value) => {
    const histogram = new Histogram();
    histogram.record(value);
    expect(Math.abs(histogram.quantileMs(0.5) * 1000 - value)).toBeLessThanOrEqual(value * 0.01);
  });

  it('orders quantiles', () => {
    const histogram = new Histogram();
    for (let value = 1; value <= 1000; value++) histogram.record(value * 100);
    expect(histogram.quantileMs(0.5)).toBeCloseTo(50, 0);
    expect(histogram.quantileMs(0.99)).toBeCloseTo(99, 0);
    expect(histogram.quantileMs(1)).toBeCloseTo(100, 0);
    expect(histogram.count).toBe(1000);
  });

  it('counts what is too long or negative at its ends', () => {
    const histogram = new Histogram();
    histogram.record(1e12);
    histogram.record(-5);
    expect(histogram.quantileMs(0.5)).toBe(0);
    expect(histogram.quantileMs(1)).toBeGreaterThan(4_000_000);
  });

  it('survives being written and read', () => {
    const histogram = new Histogram();
    for (const value of [3, 3, 70_000, 12]) histogram.record(value);
    const copy = Histogram.from(JSON.parse(JSON.stringify(histogram)) as number[]);
    expect(copy.count).toBe(4);
    expect(copy.toJSON()).toEqual(histogram.toJSON());
  });

  it('has no quantile of nothing', () => {
    expect(new Histogram().quantileMs(0.5)).toBeNaN();
  });
});
