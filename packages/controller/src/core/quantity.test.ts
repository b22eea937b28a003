import { expect, it } from 'vitest';
import { canonicalQuantity } from './quantity.ts';

// The right column is what an API server gave back for the left one.
it.each([
  ['100m', '100m'], ['0.1', '100m'], ['1', '1'], ['1000m', '1'], ['1.5', '1500m'], ['1024Mi', '1Gi'], ['1.5Gi', '1536Mi'], ['0.5Ki', '512'], ['512Mi', '512Mi'],
  ['1000', '1k'], ['1024', '1024'], ['2000M', '2G'], ['0', '0'], ['1536Ki', '1536Ki'], ['2Ei', '2Ei'],
])('%s is written %s', (given, expected) => {
  expect(canonicalQuantity(given)).toBe(expected);
});

it.each(['', '-1', '1e3', '0.0001', '0.5m', '0.3Ki', '12MB', '1 Gi', '1Kii'])('%j is not taken', (given) => {
  expect(canonicalQuantity(given)).toBeUndefined();
});
