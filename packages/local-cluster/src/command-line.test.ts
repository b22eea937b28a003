import { describe, expect, it } from 'vitest';
import { createTerminal } from './command-line.ts';

function setUp({ isTTY, columns = 80, env = {}, showsTotalTime = false }: { readonly isTTY: boolean; readonly columns?: number; readonly env?: Record<string, string>; readonly showsTotalTime?: boolean }) {
  const [results, steps]: [string[], string[]] = [[], []];
  const stream = (written: string[]) => ({ isTTY, columns, write: (text: string) => written.push(text) }) as unknown as NodeJS.WriteStream;
  return { results, steps, terminal: createTerminal({ stdout: stream(results), stderr: stream(steps), env }, { showsTotalTime }) };
}

describe('a terminal', () => {
  it('shows the step at hand in one line, which the next one and each result replace', () => {
    const { terminal, results, steps } = setUp({ isTTY: true });
    terminal.step('one');
    terminal.step('two');
    terminal.print('done');
    terminal.print('more');
    terminal.close();
    expect(steps).toEqual(['\r\u001b[2Kone … 0 s', '\r\u001b[2Ktwo … 0 s', '\r\u001b[2K']);
    expect(results).toEqual(['done\n', 'more\n']);
  });

  it('cuts a step to one line, because only one is taken back', () => {
    const { terminal, steps } = setUp({ isTTY: true, columns: 30 });
    terminal.step('x'.repeat(50));
    terminal.close();
    expect(steps[0]).toBe(`\r\u001b[2K${'x'.repeat(29)}`);
  });

  it('colours, unless NO_COLOR says otherwise', () => {
    const colourful = setUp({ isTTY: true }).terminal;
    const plain = setUp({ isTTY: true, env: { NO_COLOR: '' } }).terminal;
    expect(colourful.green('ok')).toBe('\u001b[32mok\u001b[0m');
    expect(plain.green('ok')).toBe('ok');
    for (const terminal of [colourful, plain]) terminal.close();
  });
});

describe('a file or a pipe', () => {
  it('gets plain lines, the total time in front where it is wanted', () => {
    const { terminal, results, steps } = setUp({ isTTY: false, columns: 5, showsTotalTime: true });
    terminal.step('starting the brokers');
    terminal.print(terminal.bold('done'));
    terminal.close();
    expect(steps).toEqual(['[0 s] starting the brokers\n']);
    expect(results).toEqual(['done\n']);
  });
});
