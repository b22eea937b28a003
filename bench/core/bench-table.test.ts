import { describe, expect, it } from 'vitest';
import { neverAbove, verdict } from './bench-table.ts';

describe('neverAbove', () => {
  it('is missed by one run of many', () => {
    expect(neverAbove(1, '', [0.2, 0.4, 1.5])).toMatchObject({ value: 1.5, isMet: false, missedBy: 0.5, valueText: '0.40 (0.20..1.50)', target: 'never above 1' });
    expect(neverAbove(1, '', [0.2, 0.4, 1]).isMet).toBe(true);
  });

  it('has a word for a limit of nothing', () => {
    expect(verdict(neverAbove(0, '', [0, 0]))).toBe('met');
    expect(verdict(neverAbove(0, '', [0, 3]))).toBe('missed');
  });
});
