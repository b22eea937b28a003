/**
 * Events at a steady rate over many keys, the events of a key one after the other, until told to stop.
 *
 * Always true: every event that was begun is sent until it is acknowledged; after `pause` resolves, none is under way.
 */
import { sleep } from '@knative-kafka/common/io';
import { Sender } from '../../local/harness.ts';

export interface SteadyLoadOptions {
  /** Of the receivers, in turn. */
  readonly urls: readonly string[];
  readonly keys: readonly string[];
  /** Events per second of all keys together, as long as receivers answer at once. */
  readonly rate: number;
  readonly random: () => number;
  /** Before the first attempt. */
  readonly onSent: (id: string) => void;
  readonly onAccepted: (id: string) => void;
}

export class SteadyLoad {
  readonly #options: SteadyLoadOptions;
  readonly #sender: Sender;
  readonly #next = new Map<string, number>();
  #running: { readonly stop: AbortController; readonly done: Promise<unknown> } | undefined;
  #failed: Error | undefined;

  constructor(options: SteadyLoadOptions) {
    this.#options = options;
    // Most keys wait for their next turn most of the time; while Kafka is away all of them may be sending.
    this.#sender = new Sender({ urls: options.urls, connections: options.keys.length });
  }

  /** Why sending has ended by itself; undefined while it goes on. */
  get failure(): Error | undefined {
    return this.#failed;
  }

  /** One event of each key. */
  async sendOneOfEach(): Promise<void> {
    await Promise.all(this.#options.keys.map((key) => this.#sendNext(key)));
  }

  resume(): void {
    if (this.#running !== undefined) return;
    const stop = new AbortController();
    const done = Promise.all(this.#options.keys.map((key) => this.#run(key, stop.signal))).catch((error: unknown) => {
      this.#failed ??= error instanceof Error ? error : new Error(String(error));
      stop.abort();
    });
    this.#running = { stop, done };
  }

  /** Resolves when all that was begun is acknowledged. @throws what sending has failed with */
  async pause(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.stop.abort();
    await running?.done;
    if (this.#failed !== undefined) throw this.#failed;
  }

  async close(): Promise<void> {
    await this.pause().catch(() => undefined);
    await this.#sender.close();
  }

  async #run(key: string, signal: AbortSignal): Promise<void> {
    const { keys, rate, random } = this.#options;
    const everyMs = (keys.length / rate) * 1000;
    let dueAt = performance.now() + random() * everyMs;
    for (;;) {
      if (!(await sleep(Math.max(0, dueAt - performance.now()), signal))) return;
      await this.#sendNext(key);
      // What an outage has held up is not made up for.
      dueAt = Math.max(dueAt + everyMs * (0.5 + random()), performance.now());
    }
  }

  async #sendNext(key: string): Promise<void> {
    const number = this.#next.get(key) ?? 0;
    this.#next.set(key, number + 1);
    const id = `${key}-${number}`;
    this.#options.onSent(id);
    await this.#sender.send(id, key);
    this.#options.onAccepted(id);
  }
}
