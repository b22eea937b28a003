/**
 * What people see: colour on a terminal, plain lines elsewhere, progress that replaces itself.
 */
import { stripVTControlCharacters } from 'node:util';

export interface Terminal {
  print(text: string): void;
  warn(text: string): void;
  /** One line that the next progress or print replaces; a line of its own where there is no terminal. */
  progress(text: string): void;
  bold(text: string): string;
  dim(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
}

export function createTerminal(stream: NodeJS.WriteStream, env: Readonly<Record<string, string | undefined>>): Terminal {
  const isTerminal = stream.isTTY;
  const hasColour = isTerminal && env['NO_COLOR'] === undefined;
  const style = (code: number) => (text: string) => (hasColour ? `\u001b[${code}m${text}\u001b[0m` : text);
  let hasProgress = false;
  let lastProgress = '';
  const clear = (): void => {
    if (hasProgress && isTerminal) stream.write('\r\u001b[2K');
    hasProgress = false;
  };
  const yellow = style(33);
  const print = (text: string): void => {
    clear();
    stream.write(`${text}\n`);
  };
  return {
    print,
    warn: (text) => print(yellow(`! ${text}`)),
    progress: (text) => {
      if (text === lastProgress) return;
      lastProgress = text;
      clear();
      stream.write(isTerminal ? text.slice(0, Math.max(20, stream.columns - 1)) : `${text}\n`);
      hasProgress = true;
    },
    bold: style(1),
    dim: style(2),
    green: style(32),
    yellow,
  };
}

/** Columns as wide as their longest cell, as seen: colour takes no room. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, widthOf(cell))));
  return rows.map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : cell + ' '.repeat(widths[column]! - widthOf(cell)))).join('  ')).join('\n');
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}
