import { expect, it } from 'vitest';
import { atLeast, atMost, tableMarkdown, verdict } from './bench-table.ts';
import { replaceBlocks } from './performance-page.ts';

const page = 'before\n<!-- bench:one -->\nold\n<!-- /bench:one -->\nbetween\n<!-- bench:two -->\n<!-- /bench:two -->\nafter\n';

it('replaces what is between the markers and nothing else', () => {
  const result = replaceBlocks(page, new Map([['two', 'new $& text']]));
  expect(result).toEqual({ page: 'before\n<!-- bench:one -->\nold\n<!-- /bench:one -->\nbetween\n<!-- bench:two -->\n\nnew $& text\n\n<!-- /bench:two -->\nafter\n', missing: [] });
  expect(replaceBlocks(result.page, new Map([['two', 'new $& text']])).page).toBe(result.page);
});

it('says which blocks have no place', () => {
  expect(replaceBlocks(page, new Map([['three', 'x']]))).toEqual({ page, missing: ['three'] });
});

it('says by how much a target was missed, by the median', () => {
  expect(verdict(atMost(3, 'CPU', [2, 3, 9]))).toBe('met');
  expect(verdict(atMost(2, 'CPU', [2, 3, 9]))).toBe('missed by 50 %');
  expect(verdict(atLeast(0.6, 'rate', [0.57]))).toBe('missed by 5.0 %');
  expect(verdict(atMost(1, 'CPU', []))).toBe('missed: no figure');
});

it('puts targets before figures, and figures before notes', () => {
  const text = tableMarkdown({ id: 'x', title: 'X', columns: ['', 'rate'], rows: [['ours', '5']], targets: [atMost(2, 'CPU', [1], 'ms')], notes: ['Read it well.'], runs: 3, figures: {} }, '2026-11-22');
  expect(text.split('\n')).toEqual([
    '| target | measured | promised |  |', '| --- | ---: | ---: | ---: |', '| CPU | 1 ms | at most 2 ms | met |', '',
    '|  | rate |', '| --- | ---: |', '| ours | 5 |', '', '- Read it well.', '', '_Measured 2026-11-22; medians of 3 runs, the least and the most in brackets._',
  ]);
});
