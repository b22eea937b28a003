import { describe, expect, it } from 'vitest';
import { TextHeaders } from './request-headers.ts';

const plain = ['ce-id', '1', 'content-type', 'text/plain; charset="x"', 'kn-namespace', ''];
const lines = 'ce-id: 1\r\ncontent-type: text/plain; charset="x"\r\nkn-namespace: \r\n';

describe('headers of texts', () => {
  it('are given as they came', () => {
    expect(new TextHeaders(plain).flat()).toBe(plain);
  });

  it('are written as lines where they are told', () => {
    const out = Buffer.alloc(100, '.');
    expect(new TextHeaders(plain).write(out, 7)).toBe(7 + lines.length);
    expect(out.toString('latin1')).toBe(`.......${lines}`.padEnd(100, '.'));
  });

  it('may be none', () => {
    expect(new TextHeaders([]).write(Buffer.alloc(4), 4)).toBe(4);
  });

  it('fit to the last byte, and with one byte less they do not', () => {
    expect(new TextHeaders(plain).write(Buffer.alloc(5 + lines.length), 5)).toBe(5 + lines.length);
    expect(new TextHeaders(plain).write(Buffer.alloc(4 + lines.length), 5)).toBe(-1);
  });

  it('have one byte for each character of Latin-1', () => {
    const out = Buffer.alloc(16);
    expect(new TextHeaders(['x', '\tü\xff\x80 ']).write(out, 0)).toBe(10);
    expect(out.subarray(0, 10).equals(Buffer.from('x: \tü\xff\x80 \r\n', 'latin1'))).toBe(true);
  });

  it.each([
    ['a line end', 'a\r\nb'], ['a carriage return', 'a\rb'], ['a line feed', 'a\n'], ['a zero', '\0'], ['what controls terminals', '\x1b'], ['delete', '\x7f'], ['more than Latin-1', 'Ā'], ['half of a character', '\ud800'],
  ])('are not written with %s in a value', (_, value) => {
    expect(new TextHeaders(['a', '1', 'b', value]).write(Buffer.alloc(100), 0)).toBe(-1);
  });

  it.each(['', 'a b', 'a:', 'a\r\n', 'ü', 'a(', 'a\0', 'Host', 'content-length', 'Content-Length', 'transfer-encoding', 'connection', 'keep-alive', 'upgrade', 'expect'])('are not written with the name %j', (name) => {
    expect(new TextHeaders(['a', '1', name, '1']).write(Buffer.alloc(100), 0)).toBe(-1);
  });

  it('may have every name that is a token', () => {
    expect(new TextHeaders(['!#$%&\'*+-.^_`|~09azAZ', '1']).write(Buffer.alloc(100), 0)).toBe(26);
  });
});
