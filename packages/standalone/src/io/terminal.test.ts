import { describe, expect, it } from 'vitest';
import { createTerminal, table } from './terminal.ts';

function setUp({ isTTY, columns = 80, env = {} }: { readonly isTTY: boolean; readonly columns?: number; readonly env?: Record<string, string> }) {
  const written: string[] = [];
  const stream = { isTTY, columns, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream;
  return { written, terminal: createTerminal(stream, env) };
}

describe('a terminal', () => {
  it('shows progress in one line that what follows replaces', () => {
    const { terminal, written } = setUp({ isTTY: true });
    terminal.progress('one');
    terminal.progress('two');
    terminal.print('done');
    terminal.print('more');
    expect(written).toEqual(['one', '\r\u001b[2K', 'two', '\r\u001b[2K', 'done\n', 'more\n']);
  });

  it('cuts progress to one line, because only one is taken back', () => {
    const { terminal, written } = setUp({ isTTY: true, columns: 30 });
    terminal.progress('x'.repeat(50));
    expect(written).toEqual(['x'.repeat(29)]);
  });

  it('colours, unless NO_COLOR says otherwise', () => {
    expect(setUp({ isTTY: true }).terminal.green('ok')).toBe('\u001b[32mok\u001b[0m');
    expect(setUp({ isTTY: true, env: { NO_COLOR: '' } }).terminal.green('ok')).toBe('ok');
  });
});

describe('a file or a pipe', () => {
  it('gets plain lines, one for each step of progress and none twice', () => {
    const { terminal, written } = setUp({ isTTY: false, columns: 5 });
    terminal.progress('downloading the jars');
    terminal.progress('downloading the jars');
    terminal.progress('starting');
    terminal.warn(terminal.bold('careful'));
    expect(written).toEqual(['downloading the jars\n', 'starting\n', '! careful\n']);
  });
});

describe('a table', () => {
  it('has columns as wide as their longest cell, and nothing behind the last one', () => {
    expect(table([['a', 'bb', 'c'], ['aaa', 'b', ''], ['', '', 'ccc']])).toBe('a    bb  c\naaa  b   \n         ccc');
  });

  it('may be empty, or ragged', () => {
    expect(table([])).toBe('');
    expect(table([['a'], ['bb', 'c']])).toBe('a\nbb  c');
  });

  it('counts what is seen: colour takes no room', () => {
    expect(table([['\u001b[32mok\u001b[0m', 'x'], ['long', 'x']])).toBe('\u001b[32mok\u001b[0m    x\nlong  x');
  });
});
