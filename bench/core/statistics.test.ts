import { describe, expect, it } from 'vitest';
import { figure, median, ratios, spread } from './statistics.ts';

describe('median', () => {
  it.each([
    [[3, 1, 2], 2],
    [[4, 1, 2, 3], 2.5],
    [[7], 7],
  ])('of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  it('of nothing is not a number', () => {
    expect(median([])).toBeNaN();
  });
});

describe('figure', () => {
  it.each([
    [0, '0'], [7, '7'], [60, '60'], [0.01234, '0.012'], [0.3, '0.30'], [0.9998, '1.00'], [1.234, '1.23'], [12.34, '12.3'], [123.4, '123'], [999.6, '1000'], [1234.5, '1,235'], [1234567, '1,234,567'], [Number.NaN, '–'],
  ])('%d reads %s', (value, text) => {
    expect(figure(value)).toBe(text);
  });
});

it('takes ratios run by run, not of the medians', () => {
  expect(ratios([10, 40], [5, 10])).toEqual([2, 4]);
  expect(spread(ratios([10, 40, 9], [5, 10, 3]))).toBe('3 (2..4)');
});
