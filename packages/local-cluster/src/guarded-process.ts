/**
 * Child processes that cannot outlive this one.
 *
 * Each child leads a process group of its own, so Ctrl-C in a terminal reaches only us and we decide the order in
 * which things stop. The price is that nobody ends the child when we die, and we may die without a word: SIGKILL,
 * or a signal without a handler, runs no 'exit' listener (test runners end their workers that way). So two things
 * watch over it: an 'exit' listener here, and per child a tiny shell that holds the far end of a pipe of ours and
 * kills the group when the pipe closes without a farewell.
 *
 * Always true: once a child has ended, whatever it left in its process group is killed too; `exited` settles exactly
 * once and never rejects. Needs /bin/sh (Linux, macOS); without one only the 'exit' listener is left.
 */
import { spawn, type ChildProcess } from 'node:child_process';

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface GuardedProcess {
  readonly pid: number;
  /** For its output streams; signals go through `signal` and `stop`. */
  readonly child: ChildProcess;
  /** Resolves once the process has ended and its piped output has been read to the end. */
  readonly exited: Promise<ProcessExit>;
  isRunning(): boolean;
  /** Sends a signal to the process alone; does nothing once it has ended. */
  signal(name: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL for its whole group if it still runs after `timeoutMs`; resolves when it has ended. */
  stop(timeoutMs: number): Promise<ProcessExit>;
  /** SIGKILL for its whole group; resolves when it has ended. */
  kill(): Promise<ProcessExit>;
}

export interface GuardedProcessOptions {
  readonly cwd?: string | undefined;
  /** The whole environment of the child; ours when left out. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** What the child reads from stdin; nothing when left out. */
  readonly input?: string | undefined;
  /** Where stdout and stderr go: pipes to read from, or an open file descriptor. */
  readonly output: 'pipe' | number;
}

/** How long output may stay open after the end of a process: a grandchild in another group can hold the pipe. */
const outputLingerMs = 2_000;

const liveGroups = new Set<number>();

process.on('exit', () => {
  for (const pid of liveGroups) killGroup(pid);
});

/**
 * Starts a process that ends with this one at the latest.
 *
 * @throws Error when the command cannot be started at all, for example because it is not installed
 */
export function spawnGuarded(
  command: string,
  args: readonly string[],
  { cwd, env = process.env, input, output }: GuardedProcessOptions,
): GuardedProcess {
  const child = spawn(command, args, { cwd, env, detached: true, stdio: [input === undefined ? 'ignore' : 'pipe', output, output] });
  const ended = Promise.withResolvers<ProcessExit>();
  child.on('error', () => undefined); // a failed start shows as a missing pid below; failed signals are no news
  const pid = child.pid;
  if (pid === undefined) {
    const where = cwd === undefined ? '' : `, and does the folder ${cwd} exist`;
    throw new Error(`${command} cannot be started: is it installed and on the PATH${where}?`);
  }

  child.stdin?.on('error', () => undefined); // a child that ends before it has read everything says so by its exit code
  child.stdin?.end(input);

  liveGroups.add(pid);
  const dismissGuard = postGuard(pid);
  child.once('exit', () => {
    killGroup(pid);
    liveGroups.delete(pid);
    dismissGuard();
    setTimeout(() => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, outputLingerMs).unref();
  });
  child.once('close', (code, signal) => ended.resolve({ code, signal }));

  const isRunning = () => child.exitCode === null && child.signalCode === null;
  const kill = () => {
    if (isRunning()) killGroup(pid);
    return ended.promise;
  };
  return {
    pid,
    child,
    exited: ended.promise,
    isRunning,
    signal: (name) => {
      if (isRunning()) child.kill(name);
    },
    stop: async (timeoutMs) => {
      if (!isRunning()) return ended.promise;
      child.kill('SIGTERM');
      child.kill('SIGCONT'); // a process held by SIGSTOP sees its SIGTERM only after this
      const timer = setTimeout(() => void kill(), timeoutMs);
      try {
        return await ended.promise;
      } finally {
        clearTimeout(timer);
      }
    },
    kill,
  };
}

/**
 * Posts the shell that outlives us by the time it takes to kill one process group.
 *
 * @returns what to call once the child has ended, so that its pid, free for reuse from then on, is left alone
 */
function postGuard(pid: number): () => void {
  const script = 'read -r farewell || kill -s KILL -- "-$1"';
  const guard = spawn('/bin/sh', ['-c', script, 'guard', String(pid)], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.on('error', () => undefined);
  guard.stdin.on('error', () => undefined);
  guard.unref();
  (guard.stdin as typeof guard.stdin & { unref?(): void }).unref?.(); // a socket in fact; the guard keeps nobody alive
  return () => guard.stdin.end('farewell\n');
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left in the group, which is what was wanted.
  }
}
