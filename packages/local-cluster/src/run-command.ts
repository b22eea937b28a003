/**
 * Runs a program to its end and returns what it printed.
 *
 * Always true: the program ends with this process at the latest, and its output is complete when the promise resolves.
 */
import { spawnGuarded, type ProcessExit } from './guarded-process.ts';
import { lineSplitter } from './text-lines.ts';

export interface CommandResult extends ProcessExit {
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly cwd?: string;
  /** Added to our own environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What the program reads from stdin; nothing when left out. */
  readonly input?: string | undefined;
  /** Killed after this long, which shows as `signal: 'SIGKILL'`; unbounded when left out. */
  readonly timeoutMs?: number;
  /** Called with each whole line of stdout and stderr as it comes. */
  readonly onLine?: ((line: string) => void) | undefined;
}

/**
 * @returns the exit and the text, whatever the exit code: what a failure means is for the caller to say
 * @throws Error when the program cannot be started at all
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  { cwd, env = {}, input, timeoutMs, onLine }: CommandOptions = {},
): Promise<CommandResult> {
  const running = spawnGuarded(command, args, { cwd, env: { ...process.env, ...env }, input, output: 'pipe' });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    const lines = lineSplitter((line) => onLine?.(line));
    const stream = running.child[name];
    stream?.setEncoding('utf8');
    stream?.on('data', (chunk: string) => {
      texts[name] += chunk;
      lines.push(chunk);
    });
    stream?.once('end', () => lines.end());
  }
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => void running.kill(), timeoutMs);
  const exit = await running.exited;
  clearTimeout(timer);
  return { ...exit, ...texts };
}
