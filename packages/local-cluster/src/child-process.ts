/**
 * Services as real child processes, for tests and benches that need signals, exit codes and separate memory.
 *
 * Always true: a child ends with this process at the latest (guarded-process.ts), and every wait ends, with an error
 * that names the fact that did not come true and shows the last thing seen.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { spawnGuarded, type ProcessExit } from './guarded-process.ts';
import { lastLines } from './text-lines.ts';

export interface ChildServiceOptions {
  readonly command: string;
  readonly args?: readonly string[];
  /** Added to our own environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** What errors call it. */
  readonly name: string;
}

export interface ChildService {
  readonly name: string;
  /** Also the id of its process group: `process.kill(-pid, 'SIGINT')` does what Ctrl-C does. */
  readonly pid: number;
  /** stdout and stderr so far, in the order in which they came. */
  output(): string;
  isRunning(): boolean;
  /**
   * Waits until the output so far or to come matches; looks from the beginning each time.
   *
   * @throws Error with the last lines of output when the time is up or the process ends without a match
   */
  waitForOutput(pattern: RegExp | string, timeoutMs: number): Promise<RegExpMatchArray>;
  /** Sends a signal; does nothing once the process has ended. */
  signal(name: NodeJS.Signals): void;
  readonly exited: Promise<ProcessExit>;
  /** SIGTERM, then SIGKILL after `timeoutMs` (default 10 000); resolves with how it ended. */
  stop(timeoutMs?: number): Promise<ProcessExit>;
}

/**
 * Starts a service as a child process.
 *
 * @throws Error when the command cannot be started at all
 */
export function startProcess({ command, args = [], env = {}, cwd, name }: ChildServiceOptions): ChildService {
  const running = spawnGuarded(command, args, { cwd, env: { ...process.env, ...env }, output: 'pipe' });
  let text = '';
  const lookAgain = new Set<() => void>();
  for (const stream of [running.child.stdout, running.child.stderr]) {
    stream?.setEncoding('utf8');
    stream?.on('data', (chunk: string) => {
      text += chunk;
      for (const look of lookAgain) look();
    });
  }

  const waitForOutput = async (pattern: RegExp | string, timeoutMs: number): Promise<RegExpMatchArray> => {
    const firstMatch = matcher(pattern);
    const settled = Promise.withResolvers<RegExpMatchArray>();
    const look = () => {
      const match = firstMatch(text);
      if (match !== null) settled.resolve(match);
    };
    const giveUp = (why: string) => {
      look();
      settled.reject(new Error(`${name}: ${why} without ${String(pattern)} in its output:\n${lastLines(text, 20)}`));
    };
    const timer = setTimeout(() => giveUp(`${timeoutMs} ms passed`), timeoutMs);
    void running.exited.then(({ code, signal }) => giveUp(`ended with ${signal ?? `code ${code ?? '?'}`}`));
    lookAgain.add(look);
    look();
    try {
      return await settled.promise;
    } finally {
      clearTimeout(timer);
      lookAgain.delete(look);
    }
  };

  return {
    name,
    pid: running.pid,
    output: () => text,
    isRunning: () => running.isRunning(),
    waitForOutput,
    signal: (signalName) => running.signal(signalName),
    exited: running.exited,
    stop: (timeoutMs = 10_000) => running.stop(timeoutMs),
  };
}

/** First match of a pattern; flags that make a RegExp remember its place would make waiting depend on chunk borders. */
function matcher(pattern: RegExp | string): (text: string) => RegExpMatchArray | null {
  const expression =
    typeof pattern === 'string'
      ? new RegExp(pattern.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
      : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''));
  return (text) => expression.exec(text);
}

export interface WaitOptions {
  readonly timeoutMs: number;
  /** Pause between two checks, 50 ms unless told. */
  readonly everyMs?: number;
}

/**
 * Waits for a fact.
 *
 * @param fact  what is waited for, as it should read after "waited in vain for"
 * @param check answers with a value once the fact is true, with `undefined`, `null` or `false` while it is not; may throw
 * @returns     the first value `check` answered with
 * @throws Error naming the fact when it did not come true in time, with the last error of `check` as cause
 */
export async function waitFor<T>(
  fact: string,
  check: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  { timeoutMs, everyMs = 50 }: WaitOptions,
): Promise<T> {
  const late = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => late.resolve('late'), timeoutMs);
  let lastError: unknown;
  try {
    for (;;) {
      try {
        // Raced, because a check that never answers must not hold the wait open.
        const answer = await Promise.race([check(), late.promise]);
        if (answer === 'late') break;
        if (answer !== undefined && answer !== null && answer !== false) return answer;
        lastError = undefined;
      } catch (error) {
        lastError = error;
      }
      if ((await Promise.race([delay(everyMs), late.promise])) === 'late') break;
    }
  } finally {
    clearTimeout(timer);
  }
  const why = lastError instanceof Error ? `; last error: ${lastError.message}` : '';
  throw new Error(`waited in vain for ${fact} (${timeoutMs} ms)${why}`, { cause: lastError });
}
