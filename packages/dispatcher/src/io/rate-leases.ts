/**
 * The rate limit of one KafkaSource on one pod: leases of permits from bottleneck, one permit for each attempt.
 *
 * bottleneck keeps exact time and takes milliseconds for each job that it is given, so a job is not an event but a lease
 * of permits (core/rate-lease.ts). Events never queue in it: they wait here, and behind them their partitions are paused.
 * The next leases are asked for when the first permit of one is taken, so that they come in time.
 *
 * Always true: first come, first served; a lease that was not used is replaced by the next and adds nothing to it, so
 * after any pause one lease goes out at once and no more. In any time no more than the rate and two leases go out, or
 * where this process was held up meanwhile, those that were asked for ahead.
 */
// Packages that import this one see the declaration only where it is named.
// eslint-disable-next-line @typescript-eslint/triple-slash-reference
/// <reference path="./bottleneck-light.d.ts" />
import Bottleneck from 'bottleneck/light.js';
import { rateLease, type RateLease } from '../core/rate-lease.ts';
import type { RateLimit } from '../dispatch.ts';

interface Waiter {
  readonly since: number;
  readonly go: () => void;
}

export class RateLeases implements RateLimit {
  #perSecond: number;
  #lease: RateLease;
  readonly #limiter: Bottleneck;
  /** Left of the latest lease. */
  #permits = 0;
  #grantedAt = -Infinity;
  /** Leases that are asked for and have not come yet. */
  #asked = 0;
  /** In the order they came. */
  readonly #waiters = new Set<Waiter>();
  #waitedMs = 0;
  #isClosed = false;

  /** @param perSecond attempts, above 0 */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#lease = rateLease(perSecond);
    this.#limiter = new Bottleneck({ minTime: this.#lease.intervalMs });
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** How long those have waited that wait no more, one beside the other. */
  get waitedMs(): number {
    return this.#waitedMs;
  }

  /** Takes effect with the next lease. */
  setRate(perSecond: number): void {
    if (perSecond === this.#perSecond || this.#isClosed) return;
    this.#perSecond = perSecond;
    this.#lease = rateLease(perSecond);
    void this.#limiter.updateSettings({ minTime: this.#lease.intervalMs });
  }

  take(): boolean {
    if (this.#isClosed) return true;
    if (this.#permits === 0) return false; // and while some wait there are none
    this.#renewIfStale();
    this.#permits--;
    this.#askAhead();
    return true;
  }

  wait(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (this.#isClosed) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (mayGo: boolean): void => {
        this.#waiters.delete(waiter);
        signal.removeEventListener('abort', onAbort);
        this.#waitedMs += performance.now() - waiter.since;
        resolve(mayGo);
      };
      const onAbort = (): void => end(false);
      const waiter: Waiter = { since: performance.now(), go: () => end(true) };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
      this.#askAhead();
    });
  }

  /** There is no limit any more: whoever waits goes on. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const waiter of [...this.#waiters]) waiter.go();
    void this.#limiter.stop({ dropWaitingJobs: true }).then(() => this.#limiter.disconnect());
  }

  /** A lease from before a pause is used as if it had come now: what follows it keeps its distance from here on. */
  #renewIfStale(): void {
    if (this.#asked > 0 || performance.now() - this.#grantedAt < this.#lease.intervalMs) return;
    this.#permits = this.#lease.permits;
    this.#grantedAt = performance.now();
    this.#schedule(() => undefined);
  }

  #askAhead(): void {
    for (; this.#asked < this.#lease.ahead; this.#asked++) this.#schedule(() => this.#grant());
  }

  #schedule(act: () => void): void {
    const job = (): Promise<void> => Promise.resolve(act());
    this.#limiter.schedule(job).catch((error: unknown) => {
      if (!this.#isClosed) throw error; // at the end the jobs that wait are dropped
    });
  }

  #grant(): void {
    this.#asked--;
    this.#permits = this.#lease.permits;
    this.#grantedAt = performance.now();
    for (const waiter of this.#waiters) {
      if (this.#permits === 0) break;
      this.#permits--;
      waiter.go();
    }
    if (this.#permits < this.#lease.permits) this.#askAhead();
  }
}
