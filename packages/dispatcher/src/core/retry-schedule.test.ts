import { afterEach, describe, expect, it, vi } from 'vitest';
import type { DeliveryAnswer } from './response-verdict.ts';
import { retryAfterMs, retryDelayMs } from './retry-schedule.ts';

const delivery = (backoffPolicy: 'linear' | 'exponential', retry = 10, backoffDelayMs = 100) => ({ backoffPolicy, retry, backoffDelayMs });
const longestDelayMs = 300_000;
const delayMs = (given: ReturnType<typeof delivery>, retry: number, random = 0, askedMs?: number) => retryDelayMs(given, retry, random, longestDelayMs, askedMs);

describe('retryDelayMs', () => {
  it.each([
    ['linear', [100, 200, 300, 400]],
    ['exponential', [200, 400, 800, 1600]],
  ] as const)('%s waits %j', (policy, expected) => {
    expect(expected.map((_, index) => delayMs(delivery(policy), index + 1))).toEqual(expected);
  });

  it('ends when the retries are used up', () => {
    expect(delayMs(delivery('linear', 2), 2)).toBe(200);
    expect(delayMs(delivery('linear', 2), 3)).toBeUndefined();
    expect(delayMs(delivery('linear', 0), 1)).toBeUndefined();
    expect(delayMs(delivery('linear', 2), 3, 0, 60_000)).toBeUndefined(); // nor does anybody's asking add one
  });

  it('is nothing where the delay is none', () => {
    expect(delayMs(delivery('exponential', 10, 0), 10, 0.9)).toBe(0);
  });

  it('spreads by at most a tenth and never shortens', () => {
    expect(delayMs(delivery('linear'), 1, 0.999)).toBeCloseTo(109.99);
    for (let n = 0; n < 100; n++) expect(delayMs(delivery('exponential'), 3, n / 100)).toBeGreaterThanOrEqual(800);
  });

  it.each([0, 0.999])('is capped, however many retries there are (random %d)', (random) => {
    expect(delayMs(delivery('exponential', 5_000), 4_999, random)).toBe(longestDelayMs);
    expect(delayMs(delivery('linear', 1e6), 1e6, random)).toBe(longestDelayMs);
    expect(delayMs(delivery('linear', 1, longestDelayMs * 10), 1, random)).toBe(longestDelayMs);
  });

  it('is at least what was asked for, which may be more than the cap', () => {
    expect(delayMs(delivery('linear'), 1, 0, 6_000)).toBe(6_000);
    expect(delayMs(delivery('linear'), 1, 0.999, 6_000)).toBe(6_000);
    expect(delayMs(delivery('linear'), 3, 0, 299)).toBe(300);
    expect(delayMs(delivery('linear'), 1, 0, longestDelayMs + 1)).toBe(longestDelayMs + 1);
  });

  it('is never more than a timer takes', () => {
    expect(delayMs(delivery('linear'), 1, 0, 2 ** 40)).toBe(2 ** 31 - 1);
    expect(retryDelayMs(delivery('exponential', 100), 100, 0.5, Number.MAX_SAFE_INTEGER)).toBe(2 ** 31 - 1);
  });

  it.each([0, -1, 1.5, NaN])('refuses retry %d: a bug in the caller', (retry) => {
    expect(() => delayMs(delivery('linear'), retry)).toThrow(RangeError);
  });
});

describe('retryAfterMs', () => {
  afterEach(() => void vi.unstubAllEnvs());
  const nowMs = Date.parse('1994-11-06T08:49:37Z');
  const allowing = { retryAfterMaxMs: 60_000 };
  const answer = (retryAfter: string | undefined, status = 503): DeliveryAnswer => ({ status, retryAfter });

  it.each([
    ['6', 6_000], ['0', 0], ['60', 60_000], ['007', 7_000], [' 6 ', 6_000],
    ['Sun, 06 Nov 1994 08:49:42 GMT', 5_000],
    ['Sunday, 06-Nov-94 08:49:42 GMT', 5_000],
    ['Sun Nov  6 08:49:42 1994', 5_000],
  ])('reads %j', (text, expected) => {
    expect(retryAfterMs(allowing, answer(text), nowMs)).toBe(expected);
  });

  it('reads dates as GMT, wherever it runs', () => {
    vi.stubEnv('TZ', 'America/New_York');
    expect(new Date(nowMs).getHours()).toBe(3); // the zone took effect
    for (const text of ['Sun, 06 Nov 1994 08:49:42 GMT', 'Sunday, 06-Nov-94 08:49:42 GMT', 'Sun Nov  6 08:49:42 1994']) expect(retryAfterMs(allowing, answer(text), nowMs)).toBe(5_000);
  });

  it.each([
    ['61', 'seconds'], ['999999999999999', 'a lifetime'], ['Sun, 06 Nov 1994 08:50:38 GMT', 'a date'],
  ])('waits no longer than retryAfterMax for %s: %s', (text) => {
    expect(retryAfterMs(allowing, answer(text), nowMs)).toBe(60_000);
  });

  it.each(['Sun, 06 Nov 1994 08:49:36 GMT', 'Thu, 01 Jan 1970 00:00:00 GMT'])('does not wait for the past: %s', (text) => {
    expect(retryAfterMs(allowing, answer(text), nowMs)).toBe(0);
  });

  it.each([
    '', ' ', '-6', '+6', '6s', '6.5', '6, 7', '1e3', '0x10', 'soon', '9999999999999999', 'PT6S', '1994-11-06T08:49:42Z', 'Nov 6 1994 08:49:42', 'Sun, 32 Nov 1994 08:49:42 GMT', 'Sun, 06 Nov 1994', 'Sunset',
  ])('takes %j for nothing', (text) => {
    expect(retryAfterMs(allowing, answer(text), nowMs)).toBe(0);
  });

  it.each([429, 503])('counts with %i', (status) => {
    expect(retryAfterMs(allowing, answer('6', status), nowMs)).toBe(6_000);
  });

  it.each([200, 202, 301, 400, 404, 408, 409, 413, 500, 502, 504])('does not count with %i', (status) => {
    expect(retryAfterMs(allowing, answer('6', status), nowMs)).toBe(0);
  });

  it.each([['is not given', undefined], ['is PT0S', 0]])('does not count where retryAfterMax %s', (_, retryAfterMaxMs) => {
    expect(retryAfterMs({ retryAfterMaxMs }, answer('6'), nowMs)).toBe(0);
  });

  it('is nothing where there was no header or no answer', () => {
    expect(retryAfterMs(allowing, answer(undefined), nowMs)).toBe(0);
    expect(retryAfterMs(allowing, { failure: 'timeout', message: '' }, nowMs)).toBe(0);
  });
});
