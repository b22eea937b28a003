import { describe, expect, it } from 'vitest';
import { createLineSplitter } from './json-lines.ts';

function split(chunks: readonly Buffer[], limitBytes = 1000): { readonly lines: string[]; readonly pendingBytes: number } {
  const lines: string[] = [];
  const splitter = createLineSplitter(limitBytes, (line) => lines.push(line));
  for (const chunk of chunks) splitter.push(chunk);
  return { lines, pendingBytes: splitter.pendingBytes };
}

describe('createLineSplitter', () => {
  const text = Buffer.from('{"a":"ä€😀"}\n\n{"b":2}\n{"c"');

  it('gives the same lines wherever the chunks end, within characters too', () => {
    for (let first = 0; first <= text.length; first++) {
      for (let second = first; second <= text.length; second++) {
        const { lines, pendingBytes } = split([text.subarray(0, first), text.subarray(first, second), text.subarray(second)]);
        expect(lines).toEqual(['{"a":"ä€😀"}', '{"b":2}']);
        expect(pendingBytes).toBe(4);
      }
    }
  });

  it('refuses a line above the limit, whether or not its end is there', () => {
    expect(() => split([Buffer.from('x'.repeat(11))], 10)).toThrow(RangeError);
    expect(() => split([Buffer.from('x'.repeat(6)), Buffer.from('x'.repeat(5))], 10)).toThrow(RangeError);
    expect(() => split([Buffer.from(`${'x'.repeat(11)}\n`)], 10)).toThrow(RangeError);
    expect(split([Buffer.from(`${'x'.repeat(10)}\n${'y'.repeat(10)}\n`)], 10).lines).toHaveLength(2);
  });
});
