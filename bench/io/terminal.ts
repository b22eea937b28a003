/**
 * What people see while it takes long: on a terminal one line that counts the seconds, elsewhere a line per step.
 */
import type { TextStyle } from '../core/bench-table.ts';

export interface Terminal extends TextStyle {
  print(text: string): void;
  /** What is going on, until the next step or print. */
  step(text: string): void;
  close(): void;
}

const tickMs = 500;

/** @param stream results go to stdout, steps to stderr, so that either can be sent elsewhere */
export function createTerminal(stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream, env: Readonly<Record<string, string | undefined>>): Terminal {
  const hasColour = stdout.isTTY && env['NO_COLOR'] === undefined;
  const style = (code: number) => (text: string) => (hasColour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const isTerminal = stderr.isTTY;
  let current: { readonly text: string; readonly startedAt: number } | undefined;
  const show = (): void => {
    if (current === undefined) return;
    const seconds = ((Date.now() - current.startedAt) / 1000).toFixed(0);
    stderr.write(`\r\u001b[2K${`${current.text} … ${seconds} s`.slice(0, Math.max(20, stderr.columns - 1))}`);
  };
  const clear = (): void => {
    if (current !== undefined && isTerminal) stderr.write('\r\u001b[2K');
    current = undefined;
  };
  const ticker = isTerminal ? setInterval(show, tickMs) : undefined;
  ticker?.unref();
  return {
    print: (text) => {
      clear();
      stdout.write(`${text}\n`);
    },
    step: (text) => {
      current = { text, startedAt: Date.now() };
      if (isTerminal) show();
      else stderr.write(`${text}\n`);
    },
    close: () => {
      clear();
      clearInterval(ticker);
    },
    bold: style(1),
    dim: style(2),
    green: style(32),
    red: style(31),
  };
}
