import { expect, it } from 'vitest';
import { parseDurationText } from './duration-text.ts';

it.each([
  ['0ms', 0],
  ['250ms', 250],
  ['30s', 30_000],
  ['2m', 120_000],
  ['1h', 3_600_000],
  ['007s', 7_000],
  ['596h', 2_145_600_000],
])('%s is %i ms', (text, ms) => {
  expect(parseDurationText(text)).toBe(ms);
});

it.each(['', '5', 's', '5 s', ' 5s', '5s ', '-5s', '+5s', '1.5s', '1e3s', '5S', '5d', '5sec', '1m30s', 'PT5S', '1000000000ms', '٥s'])('%j is no duration', (text) => {
  expect(parseDurationText(text)).toBeUndefined();
});

it.each(['597h', '35792m', '2147484s'])('%s is longer than a timer can wait, which would make it no wait at all', (text) => {
  expect(parseDurationText(text)).toBeUndefined();
});
