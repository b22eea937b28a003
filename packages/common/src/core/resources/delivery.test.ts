import { describe, expect, it } from 'vitest';
import type { Delivery, DeliverySpec } from './delivery.ts';
import { defaultDelivery, deliveryProblems, durationProblem, effectiveDelivery, parseDurationMs } from './delivery.ts';

describe('parseDurationMs', () => {
  it.each([
    ['PT0S', 0],
    ['PT0.0S', 0],
    ['PT1S', 1000],
    ['PT0.2S', 200],
    ['PT0,2S', 200],
    ['PT2.3S', 2300],
    ['PT0.0001S', 1],
    ['PT1.0006S', 1001],
    ['PT90M', 5_400_000],
    ['PT1.5H', 5_400_000],
    ['PT1H30M', 5_400_000],
    ['PT1H0M0.5S', 3_600_500],
    ['P1D', 86_400_000],
    ['P0.5D', 43_200_000],
    ['P1W', 604_800_000],
    ['P1W2DT3H4M5.5S', 604_800_000 + 2 * 86_400_000 + 3 * 3_600_000 + 4 * 60_000 + 5500],
    ['PT168H', 604_800_000],
    ['PT007S', 7000],
  ])('%s is %i ms', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
    expect(durationProblem(text)).toBeUndefined();
  });

  it.each([
    ['', 'such as PT0.5S'],
    ['P', 'such as PT0.5S'],
    ['PT', 'such as PT0.5S'],
    ['P1DT', 'such as PT0.5S'],
    ['PT1H1', 'such as PT0.5S'],
    ['PT1S ', 'such as PT0.5S'],
    [' PT1S', 'such as PT0.5S'],
    ['PT1S\n', 'such as PT0.5S'],
    ['PT1SPT1S', 'such as PT0.5S'],
    ['PT1S1M', 'such as PT0.5S'],
    ['P1H', 'such as PT0.5S'],
    ['PT1D', 'such as PT0.5S'],
    ['P1D1W', 'such as PT0.5S'],
    ['pt1s', 'such as PT0.5S'],
    ['PT.5S', 'such as PT0.5S'],
    ['PT1.S', 'such as PT0.5S'],
    ['PT1e3S', 'such as PT0.5S'],
    ['PT٣S', 'such as PT0.5S'],
    ['-PT1S', 'without a sign'],
    ['+PT1S', 'without a sign'],
    ['PT-1S', 'such as PT0.5S'],
    ['PT1.5H30M', 'fraction on the last part only'],
    ['P1Y', 'years and months have no fixed length'],
    ['P1M', 'years and months have no fixed length'],
    ['P1Y2M3DT1S', 'years and months have no fixed length'],
    ['30s', 'seconds are PT<number>S'],
    ['200ms', 'seconds are PT<number>S'],
    ['5', 'seconds are PT<number>S'],
    [`P${'9'.repeat(30)}D`, 'such as PT0.5S'],
  ])('refuses %j and says why', (text, why) => {
    expect(parseDurationMs(text)).toBeUndefined();
    expect(durationProblem(text)).toContain(why);
    expect(durationProblem(text)).toContain(JSON.stringify(text));
  });
});

describe('effectiveDelivery', () => {
  const fallback: Delivery = { ...defaultDelivery, retry: 7, backoffDelayMs: 111, timeoutMs: 222 };
  const sink = (uri: string): DeliverySpec => ({ deadLetterSink: { uri } });
  const open: Delivery = { ...fallback, retry: 0 };

  it.each<[string, DeliverySpec | undefined, DeliverySpec | undefined, Partial<Delivery>]>([
    ['nothing anywhere: the fallback', undefined, undefined, fallback],
    ['the channel, where the Subscription says nothing', undefined, { retry: 3 }, { ...open, retry: 3 }],
    ['the Subscription as a whole, where both speak', { backoffPolicy: 'linear' }, { retry: 3, backoffDelay: 'PT9S' }, { ...open, backoffPolicy: 'linear' }],
    ['an empty delivery is one too: no retry', {}, { retry: 3 }, open],
    ['a delivery without retry: no retry', { timeout: 'PT5S' }, undefined, { ...open, timeoutMs: 5000 }],
    [
      'all fields in their own words',
      { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT1M', timeout: 'PT2S', retryAfterMax: 'PT3S', format: 'json', ...sink('http://dls') },
      { retry: 9, format: 'binary', ...sink('http://other') },
      { retry: 2, backoffPolicy: 'linear', backoffDelayMs: 60_000, timeoutMs: 2000, retryAfterMaxMs: 3000, format: 'json', deadLetterSink: { uri: 'http://dls' } },
    ],
    ["the channel's dead letter sink, also beside the Subscription's own words", { retry: 1 }, { retry: 9, ...sink('http://ch') }, { ...open, retry: 1, deadLetterSink: { uri: 'http://ch' } }],
    ["the Subscription's dead letter sink over the channel's", sink('http://sub'), sink('http://ch'), { ...open, deadLetterSink: { uri: 'http://sub' } }],
    ["the channel's format, which the stock controller does not copy", { retry: 1 }, { format: 'json' }, { ...open, retry: 1, format: 'json' }],
    ['a backoff delay of zero is one', { backoffDelay: 'PT0S' }, undefined, { ...open, backoffDelayMs: 0 }],
    ['Retry-After is ignored with PT0S', { retryAfterMax: 'PT0S' }, undefined, open],
    ['a timeout of zero, which no manifest may have', { timeout: 'PT0S' }, undefined, open],
    ['durations that cannot be read', { backoffDelay: 'soon', timeout: 'P1Y', retryAfterMax: '-PT1S' }, undefined, open],
    ['a timeout longer than timers reach', { timeout: 'P52W' }, undefined, { ...open, timeoutMs: 2_147_483_647 }],
  ])('%s', (_name, subscription, channel, expected) => {
    expect(effectiveDelivery(subscription, channel, fallback)).toEqual(expected);
  });

  it('retries ten times, exponentially from 0.3 s, unless configured otherwise', () => {
    expect(effectiveDelivery(undefined, undefined)).toEqual({
      retry: 10,
      backoffPolicy: 'exponential',
      backoffDelayMs: 300,
      timeoutMs: 60_000,
    });
  });
});

describe('deliveryProblems', () => {
  it.each<[string, DeliverySpec | undefined, [string, RegExp][]]>([
    ['nothing', undefined, []],
    ['nothing in it', {}, []],
    ['all well', { backoffDelay: 'PT0S', timeout: 'PT1S', retryAfterMax: 'PT0S' }, []],
    ['a timeout of zero', { timeout: 'PT0S' }, [['spec.delivery.timeout', /longer than zero, found "PT0S"/]]],
    [
      'each wrong duration by its field',
      { backoffDelay: '1s', timeout: 'P1M', retryAfterMax: 'x' },
      [
        ['spec.delivery.backoffDelay', /found "1s"/],
        ['spec.delivery.timeout', /months/],
        ['spec.delivery.retryAfterMax', /found "x"/],
      ],
    ],
  ])('%s', (_name, delivery, expected) => {
    const problems = deliveryProblems(delivery, ['spec', 'delivery']);
    expect(problems.map((problem) => problem.path.join('.'))).toEqual(expected.map(([field]) => field));
    for (const [index, [, message]] of expected.entries()) expect(problems[index]?.message).toMatch(message);
  });
});
