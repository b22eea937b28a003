/**
 * What people see while a soak goes on: on a terminal one line that counts the seconds, elsewhere a line per step.
 */

export interface Terminal {
  print(text: string): void;
  /** What is going on, until the next step or print. */
  step(text: string): void;
  close(): void;
  bold(text: string): string;
  red(text: string): string;
  green(text: string): string;
}

const tickMs = 500;

/** @param stdout gets results, `stderr` the steps, so that either can be sent elsewhere */
export function createTerminal(stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream, env: Readonly<Record<string, string | undefined>>): Terminal {
  const hasColour = stdout.isTTY && env['NO_COLOR'] === undefined;
  const style = (code: number) => (text: string) => (hasColour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const startedAt = performance.now();
  const elapsed = (since: number): string => `${((performance.now() - since) / 1000).toFixed(0)} s`;
  let current: { readonly text: string; readonly since: number } | undefined;
  const show = (): void => {
    if (current !== undefined) stderr.write(`\r\u001b[2K${`[${elapsed(startedAt)}] ${current.text} … ${elapsed(current.since)}`.slice(0, Math.max(20, stderr.columns - 1))}`);
  };
  const clear = (): void => {
    if (current !== undefined && stderr.isTTY) stderr.write('\r\u001b[2K');
    current = undefined;
  };
  const ticker = stderr.isTTY ? setInterval(show, tickMs) : undefined;
  ticker?.unref();
  return {
    print: (text) => {
      clear();
      stdout.write(`${text}\n`);
    },
    step: (text) => {
      current = { text, since: performance.now() };
      if (stderr.isTTY) show();
      else stderr.write(`[${elapsed(startedAt)}] ${text}\n`);
    },
    close: () => {
      clear();
      clearInterval(ticker);
    },
    bold: style(1),
    red: style(31),
    green: style(32),
  };
}
