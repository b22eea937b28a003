import { describe, expect, it } from 'vitest';
import { gracefulDuplicates, soakMarkdown, soakText, withBlock } from './soak-report.ts';
import { faultResults, summed, type SoakResult } from './soak-result.ts';

const tally = { delivered: 90, deadLettered: 8, kept: 2, inSeveralPlaces: 0, missing: [], orderBreaks: [], duplicates: 3 };
const result: SoakResult = {
  seed: '7',
  events: 100,
  elapsedMs: 61_000,
  storedTwice: 1,
  subscriptions: { flaky: tally, slow: { ...tally, missing: ['k1-1'] } },
  faults: [
    { fault: 'none', tookMs: [1_000], pauseMs: { flaky: [100], slow: [50] }, duplicates: { flaky: 0, slow: 0 }, repeatedFromMs: undefined },
    { fault: 'dispatcher rolled', tookMs: [3_000, 1_000, 2_000], pauseMs: { flaky: [300, 200, 100], slow: [3, 2, 1] }, duplicates: { flaky: 0, slow: 2 }, repeatedFromMs: 40 },
    { fault: 'dispatcher killed', tookMs: [1_000], pauseMs: { flaky: [300], slow: [0] }, duplicates: { flaky: 3, slow: 1 }, repeatedFromMs: 0 },
  ],
  calm: [{ events: 20, counted: {}, arrived: {} }],
  deadLettersChecked: 8,
  atWrongSink: 0,
  problems: ['lost: k1-1 of slow'],
};
const plain = { bold: (text: string) => text, red: (text: string) => text, green: (text: string) => text };

describe('the report', () => {
  it('shows where the events of each Subscription ended, and what went wrong', () => {
    const text = soakText(result, plain);
    expect(text).toMatch(/slow +100 +90 +8 +2 +1 +3 +0\n/);
    expect(text).toMatch(/flaky +100 +90 +8 +2 +0 +3 +unordered\n/);
    expect(text).toContain('✗ lost: k1-1 of slow');
    expect(text).toContain('✗ not passed');
    expect(soakText({ ...result, problems: [] }, plain)).toContain('✓ nothing lost');
  });

  it('shows of each fault the median and the longest pause, and the duplicates', () => {
    expect(soakText(result, plain)).toMatch(/dispatcher rolled +3 +2\.00 s \(3\.00 s\) +0\.20 s \(0\.30 s\) +0\.00 s \(0\.00 s\) +0 \/ 2 +0\.04 s\n/);
    expect(soakMarkdown(result, 'A machine', '2026-11-22')).toContain('| dispatcher killed | 1 | 1.00 s | 0.30 s | 0.00 s | 3 / 1 | 0.00 s |');
  });

  it('counts the duplicates of the faults that are to cost none', () => {
    expect(gracefulDuplicates(result)).toBe(2);
  });

  it('replaces what stands between the markers of a page, and nothing else', () => {
    expect(withBlock('a\n<!-- soak -->\nold\n<!-- /soak -->\nb\n', 'new')).toBe('a\n<!-- soak -->\n\nnew\n\n<!-- /soak -->\nb\n');
    expect(() => withBlock('a', 'new')).toThrow('has no <!-- soak -->');
  });

  it('tells the first problems of a kind, and how many more there are', () => {
    const lost = Array.from({ length: 7 }, (_, n) => `lost: k${n}-0 of slow`);
    expect(summed([...lost, 'another'])).toEqual([...lost.slice(0, 5), '… and 2 more like the last one', 'another']);
  });

  it('puts together what each kind of fault cost, and of which time its duplicates were', () => {
    const window = { fault: 'dispatcher killed', startedAt: 1_000, endedAt: 3_000, pauseMs: { flaky: 1, slow: 2, vanishing: 3 } };
    const duplicate = { id: 'k-0', subscription: 'slow', fault: 'dispatcher killed' };
    const windows = [{ ...window, fault: undefined, startedAt: 0, endedAt: 1_000 }, window, { ...window, startedAt: 5_000, endedAt: 6_000 }];
    const duplicates = [{ ...duplicate, firstAtMs: 900, atMs: 2_000 }, { ...duplicate, firstAtMs: 4_950, atMs: 5_500 }, { ...duplicate, firstAtMs: 5_100, atMs: 5_500 }];
    const none = { flaky: 0, slow: 0, vanishing: 0 };
    expect(faultResults(windows, duplicates)).toEqual([
      { fault: 'none', repeatedFromMs: undefined, tookMs: [1_000], pauseMs: { flaky: [1], slow: [2], vanishing: [3] }, duplicates: none },
      { fault: 'dispatcher killed', repeatedFromMs: 100, tookMs: [2_000, 1_000], pauseMs: { flaky: [1, 1], slow: [2, 2], vanishing: [3, 3] }, duplicates: { ...none, slow: 3 } },
    ]);
  });
});
