/**
 * Which keys are to be worked on, when, and by how many at a time.
 *
 * A key says that something about an object may have changed, not what: so a key that waits already is not added again.
 *
 * Always true: no key is worked on twice at the same time; a key that is added while it is being worked on is worked on
 * again afterwards; of two times at which a key is due the earlier counts; a key that failed is never lost.
 */
import { backoffMs, TokenBucket, type BackoffOptions } from '@knative-kafka/common/io';

export type WorkOutcome =
  | { readonly kind: 'done'; readonly againAfterMs?: number | undefined }
  /** Comes again after its backoff, and not before `atLeastMs`. */
  | { readonly kind: 'failed'; readonly atLeastMs?: number };

export interface WorkQueueOptions {
  readonly workers: number;
  /** Must not reject. */
  readonly work: (key: string) => Promise<WorkOutcome>;
  /** Per key, from its first failure in a row. */
  readonly backoff?: BackoffOptions;
  /**
   * Of all keys together, and of retries only: what is new comes from changes, of which there are as many as there are,
   * and whoever made them waits; retries are made by us, and all at once when something that all need is away.
   */
  readonly retriesPerSecond?: number;
  readonly retryBurst?: number;
  readonly random?: () => number;
}

export interface WorkQueue {
  /** Due at once. */
  add(key: string): void;
  /** Due after a time, unless it is due earlier already. */
  addAfter(key: string, delayMs: number): void;
  /** Keys that are due and wait for a worker. */
  readonly depth: number;
  /** How long the first of them waits. */
  readonly oldestMs: number;
  /** Begins nothing more. @returns whether all that was under way ended within the time */
  stop(timeoutMs: number): Promise<boolean>;
}

/** What is known of one key; forgotten when it is neither due nor under way and did not fail. */
interface Entry {
  readonly key: string;
  /** Of `performance.now()`; undefined when it is not due at any time. */
  dueAt: number | undefined;
  timer: NodeJS.Timeout | undefined;
  isRunning: boolean;
  failures: number;
}

/** Node's timers fire at once when given more. */
const longestTimerMs = 2 ** 31 - 1;

export function startWorkQueue(options: WorkQueueOptions): WorkQueue {
  return new KeyedWorkQueue(options);
}

class KeyedWorkQueue implements WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #backoff: BackoffOptions;
  readonly #retries: TokenBucket;
  readonly #random: () => number;
  readonly #entries = new Map<string, Entry>();
  /** Due and not running, first come first served. */
  readonly #ready = new Set<Entry>();
  #running = 0;
  #isStopped = false;
  readonly #idle = Promise.withResolvers<undefined>();

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? { firstMs: 5, longestMs: 300_000 };
    this.#retries = new TokenBucket(options.retriesPerSecond ?? 50, options.retryBurst ?? 300);
    this.#random = options.random ?? Math.random;
  }

  add(key: string): void {
    this.addAfter(key, 0);
  }

  addAfter(key: string, delayMs: number): void {
    if (this.#isStopped) return;
    let entry = this.#entries.get(key);
    if (entry === undefined) this.#entries.set(key, (entry = { key, dueAt: undefined, timer: undefined, isRunning: false, failures: 0 }));
    const dueAt = performance.now() + delayMs;
    if (entry.dueAt !== undefined && entry.dueAt <= dueAt) return;
    entry.dueAt = dueAt;
    if (!entry.isRunning) this.#schedule(entry);
  }

  get depth(): number {
    return this.#ready.size;
  }

  get oldestMs(): number {
    for (const { dueAt } of this.#ready) return Math.max(0, performance.now() - dueAt!);
    return 0;
  }

  async stop(timeoutMs: number): Promise<boolean> {
    this.#isStopped = true;
    for (const { timer } of this.#entries.values()) clearTimeout(timer);
    this.#ready.clear();
    if (this.#running === 0) return true;
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), timeoutMs);
    await Promise.race([this.#idle.promise, late.promise]);
    clearTimeout(timer);
    return this.#running === 0;
  }

  /** Of a key that is due at some time and not under way. */
  #schedule(entry: Entry): void {
    clearTimeout(entry.timer);
    entry.timer = undefined;
    const waitMs = entry.dueAt! - performance.now();
    if (waitMs > 0) {
      entry.timer = setTimeout(() => this.#schedule(entry), Math.min(longestTimerMs, Math.ceil(waitMs)));
      return;
    }
    this.#ready.add(entry);
    this.#startNext();
  }

  #startNext(): void {
    for (const entry of this.#ready) {
      if (this.#running >= this.#options.workers) return;
      this.#ready.delete(entry);
      entry.dueAt = undefined;
      entry.isRunning = true;
      this.#running++;
      void this.#run(entry);
    }
  }

  async #run(entry: Entry): Promise<void> {
    const outcome = await this.#options.work(entry.key);
    entry.isRunning = false;
    this.#running--;
    if (this.#isStopped) {
      if (this.#running === 0) this.#idle.resolve(undefined);
      return;
    }
    const now = performance.now();
    let againAfterMs: number | undefined;
    if (outcome.kind === 'done') {
      entry.failures = 0;
      againAfterMs = outcome.againAfterMs;
    } else {
      entry.failures++;
      againAfterMs = Math.max(backoffMs(entry.failures, this.#backoff, this.#random()), outcome.atLeastMs ?? 0, this.#retries.take(now));
    }
    if (againAfterMs !== undefined) entry.dueAt = Math.min(entry.dueAt ?? Infinity, now + againAfterMs);
    if (entry.dueAt !== undefined) this.#schedule(entry);
    else this.#entries.delete(entry.key);
    this.#startNext();
  }
}
