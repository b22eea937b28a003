/**
 * What programs that take minutes and are started by hand have in common: they read options or explain them, say what is
 * going on, and print what came of it.
 *
 * On a terminal one line counts the seconds and is replaced by what follows; elsewhere each step has a line of its own.
 * Results go to stdout and steps to stderr, so that either can be sent elsewhere.
 */
import { resolve } from 'node:path';

export interface Terminal {
  print(text: string): void;
  /** What is going on, until the next step or print. */
  step(text: string): void;
  close(): void;
  bold(text: string): string;
  dim(text: string): string;
  green(text: string): string;
  red(text: string): string;
}

export interface TerminalStreams {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface CommandLine<Options> {
  /** Printed for `--help`, and after the sentence that says what is wrong with the command line. */
  readonly usage: string;
  /**
   * What `parseArgs` of node:util throws counts as a wrong command line, too.
   *
   * @returns undefined when help was asked for; a sentence when the command line is wrong
   */
  readonly readOptions: (args: readonly string[]) => Options | string | undefined;
  /** Steps begin with the time since the start. */
  readonly showsTotalTime?: boolean;
  /** @returns the exit code */
  readonly run: (options: Options, terminal: Terminal) => Promise<number>;
}

const tickMs = 500;

/** Runs a program with what it was started with, which ends at once when it is interrupted. @returns the exit code */
export async function runCommandLine<Options extends object>({ usage, readOptions, showsTotalTime, run }: CommandLine<Options>): Promise<number> {
  process.on('SIGINT', () => process.exit(130));
  process.on('SIGTERM', () => process.exit(143));
  const options = optionsOrProblem(readOptions, process.argv.slice(2));
  if (typeof options === 'string') {
    process.stderr.write(`${options}\n\n${usage}`);
    return 1;
  }
  if (options === undefined) {
    process.stdout.write(usage);
    return 0;
  }
  const terminal = createTerminal(process, { showsTotalTime });
  try {
    return await run(options, terminal);
  } finally {
    terminal.close();
  }
}

function optionsOrProblem<Options>(readOptions: CommandLine<Options>['readOptions'], args: readonly string[]): Options | string | undefined {
  try {
    return readOptions(args);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith('ERR_PARSE_ARGS_') === true) return message;
    throw error;
  }
}

/** The absolute path of a file named on the command line: npm runs programs in the folder of the repository, and what was typed is relative to where it was typed. */
export function typedPath(path: string): string {
  return resolve(process.env['INIT_CWD'] ?? process.cwd(), path);
}

/** @param showsTotalTime steps begin with the time since now */
export function createTerminal({ stdout, stderr, env }: TerminalStreams, { showsTotalTime = false }: { readonly showsTotalTime?: boolean | undefined } = {}): Terminal {
  const hasColour = stdout.isTTY && env['NO_COLOR'] === undefined;
  const style = (code: number) => (text: string) => (hasColour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const startedAt = performance.now();
  const elapsed = (since: number): string => `${((performance.now() - since) / 1000).toFixed(0)} s`;
  const withTotal = (text: string): string => (showsTotalTime ? `[${elapsed(startedAt)}] ${text}` : text);
  let current: { readonly text: string; readonly since: number } | undefined;
  const show = (): void => {
    if (current !== undefined) stderr.write(`\r\u001b[2K${withTotal(`${current.text} … ${elapsed(current.since)}`).slice(0, Math.max(20, stderr.columns - 1))}`);
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
      else stderr.write(`${withTotal(text)}\n`);
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
