/**
 * A long-running program that writes its output to a file and can be stopped, killed, frozen and started again.
 *
 * Always true: it ends with this process at the latest (guarded-process.ts); a start that fails leaves nothing running
 * and tells the last lines of the log; an end that nobody asked for is told to `onEnded`, once.
 */
import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { waitFor } from './child-process.ts';
import { spawnGuarded, type GuardedProcess, type ProcessExit } from './guarded-process.ts';
import { lastLines } from './text-lines.ts';

export interface LoggedProcessOptions {
  /** What errors call it. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to our own environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Output of every start is added to it. */
  readonly logFile: string;
  /** Called when it ends and nobody stopped or killed it, with a sentence and the last lines of its log. */
  readonly onEnded?: ((text: string) => void) | undefined;
}

/** Another program has the port this one was told to listen on. */
export class PortTakenError extends Error {}

const startTimeoutMs = 120_000;
const stopTimeoutMs = 20_000;

export class LoggedProcess {
  readonly logFile: string;
  readonly #options: LoggedProcessOptions;
  #process: GuardedProcess | undefined;
  /** Whether its end is our doing: asked to stop, or still on its way up, where start() throws. */
  #endIsExpected = true;

  constructor(options: LoggedProcessOptions) {
    this.#options = options;
    this.logFile = options.logFile;
  }

  /** `undefined` while it does not run. */
  pid(): number | undefined {
    return this.isRunning() ? this.#process?.pid : undefined;
  }

  isRunning(): boolean {
    return this.#process?.isRunning() ?? false;
  }

  /**
   * Starts it and waits until `isReady` answers true; what that throws counts as no.
   *
   * @throws PortTakenError, or Error when it runs already, ends early or is not ready in two minutes
   */
  async start(isReady: () => Promise<boolean>): Promise<void> {
    const { name, command, args, env, onEnded } = this.#options;
    if (this.isRunning()) throw new Error(`${name} runs already`);
    const logStart = await stat(this.logFile).then((found) => found.size, () => 0);
    const running = await this.#spawn(command, args, env);
    this.#process = running;
    this.#endIsExpected = true;
    void running.exited.then(async (exit) => {
      if (!this.#endIsExpected) onEnded?.(await this.#obituary(exit, logStart));
    });
    const state = async () => {
      if (!running.isRunning()) return 'ended';
      return (await isReady()) && 'ready';
    };
    const outcome = await waitFor(`${name} to be ready`, state, { timeoutMs: startTimeoutMs }).catch(async (error: unknown) => {
      await this.kill();
      const log = await this.#lastLines(logStart);
      throw new Error(`${(error as Error).message}; the last lines of its log:\n${log}`, { cause: error });
    });
    if (outcome === 'ended') {
      const text = await this.#obituary(await running.exited, logStart);
      throw /address already in use/i.test(text) ? new PortTakenError(text) : new Error(text);
    }
    this.#endIsExpected = false;
  }

  /** SIGTERM, and SIGKILL where that takes longer than 20 seconds; resolves when it has ended. */
  async stop(): Promise<void> {
    this.#endIsExpected = true;
    await this.#process?.stop(stopTimeoutMs);
  }

  /** SIGKILL; resolves when it has ended. */
  async kill(): Promise<void> {
    this.#endIsExpected = true;
    await this.#process?.kill();
  }

  /** SIGSTOP: connections stay open and nothing answers. */
  freeze(): void {
    this.#process?.signal('SIGSTOP');
  }

  /** SIGCONT. */
  thaw(): void {
    this.#process?.signal('SIGCONT');
  }

  async #spawn(command: string, args: readonly string[], env: LoggedProcessOptions['env']): Promise<GuardedProcess> {
    const folder = dirname(this.logFile);
    await mkdir(folder, { recursive: true });
    const log = await open(this.logFile, 'a');
    try {
      return spawnGuarded(command, args, { cwd: folder, env: { ...process.env, ...env }, output: log.fd });
    } finally {
      await log.close();
    }
  }

  async #obituary({ code, signal }: ProcessExit, logStart: number): Promise<string> {
    const how = signal === null ? `code ${code ?? '?'}` : signal;
    return `${this.#options.name} ended with ${how}; the last lines of its log:\n${await this.#lastLines(logStart)}`;
  }

  /** What it printed since that place of the log; empty when the log is gone. */
  async #lastLines(start: number): Promise<string> {
    return readFile(this.logFile).then((log) => lastLines(log.subarray(start).toString('utf8'), 15), () => '');
  }
}
