/**
 * A copy of all objects of a kind that follows the API server for as long as it is open.
 *
 * A list, then a watch from there on. However a watch ends, it goes on: from where it was when it merely ended or broke,
 * with a new list when changes may have been missed. A new list is compared with what is known, so that what vanished
 * meanwhile is told as well.
 *
 * Always true: one loop, one request at a time, nothing queued besides the copy itself; a listener sees the copy as it
 * is after the change it is told of; an object that was deleted and made again under its name is told as both.
 */
import { describeError, Fault } from '../../core/fault.ts';
import { sleep } from '../sleep.ts';
import { backoffMs, type BackoffOptions } from './backoff.ts';
import type { Informer, InformerChange, InformerOptions, KubernetesApi, KubernetesObject, WatchEvent } from './port.ts';

export interface InformerTuning {
  readonly pageSize?: number;
  /** Between two attempts that failed. */
  readonly backoff?: BackoffOptions;
  /** A watch that stood for this long ends an outage, and the backoff starts over. */
  readonly healthyAfterMs?: number;
  /** At the end of a watch, everything is listed again if the last time is this long ago: whatever was missed, by whomever. */
  readonly relistAfterMs?: number;
}

/** Starts at once; `synced()` says when everything was read for the first time. */
export function startInformer<T extends KubernetesObject>(api: KubernetesApi, options: InformerOptions<T>, tuning: InformerTuning = {}): Informer<T> {
  const informer = new WatchingInformer<T>(api, options, tuning);
  void informer.run();
  return informer;
}

/** `namespace/name`, or the name alone: how informers name objects. */
export function objectKey({ namespace, name }: { readonly namespace?: string | undefined; readonly name: string }): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

class WatchingInformer<T extends KubernetesObject> implements Informer<T> {
  readonly #api: KubernetesApi;
  readonly #options: InformerOptions<T>;
  readonly #tuning: Required<InformerTuning>;
  readonly #objects = new Map<string, T>();
  readonly #listeners = new Set<(change: InformerChange<T>) => void>();
  readonly #closing = new AbortController();
  readonly #synced = Promise.withResolvers<undefined>();
  #hasSynced = false;
  /** Where the watch goes on; undefined when everything has to be listed first. */
  #resourceVersion: string | undefined;
  #listedAt = 0;
  /** Attempts since a watch last stood for long enough. */
  #failures = 0;
  #isInTrouble = false;
  /** Whether the latest watch brought anything besides that it stands. */
  #hadEvents = false;

  constructor(api: KubernetesApi, options: InformerOptions<T>, tuning: InformerTuning) {
    this.#api = api;
    this.#options = options;
    this.#tuning = { pageSize: 500, backoff: { firstMs: 100, longestMs: 30_000 }, healthyAfterMs: 5_000, relistAfterMs: 600_000, ...tuning };
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): readonly T[] {
    return [...this.#objects.values()];
  }

  hasSynced(): boolean {
    return this.#hasSynced;
  }

  synced(): Promise<void> {
    return this.#synced.promise;
  }

  onChange(listener: (change: InformerChange<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    this.#closing.abort();
    this.#listeners.clear();
    this.#synced.resolve(undefined);
  }

  async run(): Promise<void> {
    while (!this.#isClosed) {
      const reason = await this.#listAndWatch();
      if (reason !== undefined) await sleep(backoffMs(this.#failures, this.#tuning.backoff, Math.random()), this.#closing.signal);
    }
  }

  /** As long as it goes well. @returns what was wrong, if anything */
  async #listAndWatch(): Promise<string | undefined> {
    try {
      if (this.#resourceVersion === undefined || performance.now() - this.#listedAt > this.#tuning.relistAfterMs) await this.#relist();
      if (await this.#watch()) return undefined;
      // No failure by itself; but an API server that ends every watch at once must not be asked without a pause.
      this.#failures++;
      return 'the watch ended at once';
    } catch (error) {
      const code = error instanceof Fault ? error.code : undefined;
      if (code === 'CLOSED') this.close(); // by us, or the connection to the API server was closed as a whole
      if (this.#isClosed) return undefined;
      this.#failures++;
      // Only what broke on its way can go on from where it was. After a silence it cannot either: an API server whose
      // data was restored from a backup counts from lower versions, and has nothing to say until it is beyond ours.
      if (code !== 'KUBERNETES_UNAVAILABLE' || !this.#hadEvents) this.#resourceVersion = undefined;
      const reason = error instanceof Fault ? describeError(error) : stackOf(error);
      if (code !== 'KUBERNETES_EXPIRED' || this.#failures > 1) this.#tellTrouble(reason);
      return reason;
    }
  }

  /** @returns whether it stood for long enough to be called healthy */
  async #watch(): Promise<boolean> {
    const { type, namespace, labelSelector, fieldSelector } = this.#options;
    let healthy: NodeJS.Timeout | undefined;
    let isHealthy = false;
    let events = 0;
    this.#hadEvents = false;
    try {
      await this.#api.watch<T>(type, { namespace, labelSelector, fieldSelector, resourceVersion: this.#resourceVersion!, signal: this.#closing.signal }, (event) => {
        if (this.#isClosed) return;
        healthy ??= setTimeout(() => {
          isHealthy = true;
          this.#failures = 0;
          this.#tellOver();
        }, this.#tuning.healthyAfterMs);
        this.#hadEvents = ++events > 1; // the first says that the watch stands
        this.#take(event);
      });
      return isHealthy;
    } finally {
      clearTimeout(healthy);
    }
  }

  #take(event: WatchEvent<T>): void {
    if (event.type === 'DELETED') this.#remove(objectKey(event.object.metadata));
    else if (event.type !== 'BOOKMARK') this.#put(event.object);
    this.#resourceVersion = event.object.metadata.resourceVersion;
  }

  /** Page by page into the copy; what is on no page is gone. */
  async #relist(): Promise<void> {
    const { type, namespace, labelSelector, fieldSelector } = this.#options;
    this.#resourceVersion = undefined;
    const seen = new Set<string>();
    let next: string | undefined;
    let resourceVersion: string;
    do {
      const page = await this.#api.list<T>(type, { namespace, labelSelector, fieldSelector, limit: this.#tuning.pageSize, next, signal: this.#closing.signal });
      if (this.#isClosed) return;
      for (const object of page.items) {
        seen.add(objectKey(object.metadata));
        this.#put(object);
      }
      ({ next, resourceVersion } = page);
    } while (next !== undefined);
    for (const key of this.#objects.keys()) if (!seen.has(key)) this.#remove(key);
    this.#resourceVersion = resourceVersion;
    this.#listedAt = performance.now();
    this.#hasSynced = true;
    this.#synced.resolve(undefined);
  }

  #put(object: T): void {
    const key = objectKey(object.metadata);
    const before = this.#objects.get(key);
    const { uid, resourceVersion } = object.metadata;
    if (before !== undefined && before.metadata.uid === uid && before.metadata.resourceVersion === resourceVersion) return;
    const metadata: T['metadata'] & { managedFields?: unknown } = { ...object.metadata };
    delete metadata.managedFields;
    const lean: T = { ...object, metadata };
    const after = this.#options.trim?.(lean) ?? lean;
    const isAnother = before !== undefined && before.metadata.uid !== uid;
    if (isAnother) this.#remove(key);
    this.#objects.set(key, after);
    this.#tell({ key, before: isAnother ? undefined : before, after });
  }

  #remove(key: string): void {
    const before = this.#objects.get(key);
    if (this.#objects.delete(key)) this.#tell({ key, before, after: undefined });
  }

  #tell(change: InformerChange<T>): void {
    for (const listener of this.#listeners) listener(change);
  }

  #tellTrouble(reason: string): void {
    if (this.#isInTrouble) return;
    this.#isInTrouble = true;
    this.#options.onTrouble?.({ type: this.#options.type, reason });
  }

  #tellOver(): void {
    if (!this.#isInTrouble) return;
    this.#isInTrouble = false;
    this.#options.onTrouble?.({ type: this.#options.type, isOver: true });
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }
}

/** Of a bug, in `trim` or in a listener: where it is. */
function stackOf(error: unknown): string {
  return error instanceof Error && error.stack !== undefined ? error.stack : describeError(error);
}
