/**
 * What happened to an object, told to whoever runs `kubectl describe`: Events of events.k8s.io/v1.
 *
 * What is told again (same object, same reason, same words) within ten minutes is one Event that counts. An object has a
 * number of Events to spend and gets one more every five minutes, so that one that flaps drowns nothing.
 *
 * Always true: `record` neither throws nor waits; one Event is written at a time; what is kept is bounded. Events are
 * told as well as can be: they are lost when the API server is away for long, and nothing depends on them.
 */
import { Fault } from '@knative-kafka/common/core';
import { randomBytes } from 'node:crypto';
import { objectKey, resourceTypes, TokenBucket, type KubernetesApi, type KubernetesObject, type Logger } from '@knative-kafka/common/io';
import { microTime } from './leader-election.ts';

export interface RecordedEvent {
  readonly regarding: KubernetesObject;
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, at most 128 characters. */
  readonly reason: string;
  /** For people; cut after 1024 bytes. */
  readonly note: string;
  /** What was being done, CamelCase. */
  readonly action: string;
}

export type RecordEvent = (event: RecordedEvent) => void;

export interface EventRecorder {
  readonly record: RecordEvent;
  /** Writes what is new, for a bounded time, and then no more. */
  close(): Promise<void>;
}

export interface EventRecorderOptions {
  readonly api: KubernetesApi;
  /** Who tells, such as `kafka-controller`. */
  readonly reportingController: string;
  readonly reportingInstance: string;
  readonly log: Logger;
}

interface EventObject extends KubernetesObject {
  readonly eventTime: string;
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
  readonly [field: string]: unknown;
}

/** One Event, written or still to be. */
interface Series {
  readonly id: string;
  readonly event: EventObject;
  count: number;
  lastAtMs: number;
  isWritten: boolean;
  /** Whether the API server knows less than is known here. */
  isDirty: boolean;
  timer: NodeJS.Timeout | undefined;
}

const seriesEndsAfterMs = 600_000;
const writeEveryMs = 10_000;
const mostSeries = 1_000;
/** What has not been written yet is kept longer: a burst of new objects must not push its own Events out. */
const mostUnwritten = 5_000;
const mostObjects = 2_000;
const eventsPerObject = 25;
const eventEveryMs = 300_000;
const noteLimitBytes = 1_024;
const closeTimeoutMs = 2_000;

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const recorder = new SeriesRecorder(options);
  return { record: (event) => recorder.record(event), close: () => recorder.close() };
}

class SeriesRecorder {
  readonly #options: EventRecorderOptions;
  /** The least recently told first. */
  readonly #series = new Map<string, Series>();
  readonly #budgets = new Map<string, TokenBucket>();
  /** Those whose turn it is. */
  readonly #due = new Set<Series>();
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  #isClosed = false;
  #isInTrouble = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(told: RecordedEvent): void {
    if (this.#isClosed) return;
    const now = performance.now();
    const object = `${told.regarding.kind} ${objectKey(told.regarding.metadata)} ${told.regarding.metadata.uid ?? ''}`;
    const id = [object, told.type, told.reason, told.action, told.note].join('\n');
    const known = this.#series.get(id);
    if (known !== undefined && now - known.lastAtMs < seriesEndsAfterMs) {
      known.count++;
      known.lastAtMs = now;
      this.#series.delete(id);
      this.#series.set(id, known);
      this.#markDirty(known);
      return;
    }
    if (known !== undefined) this.#forget(known);
    if (!this.#budget(object).tryTake(now)) return;
    const series: Series = { id, event: this.#eventOf(told), count: 1, lastAtMs: now, isWritten: false, isDirty: true, timer: undefined };
    this.#series.set(id, series);
    for (const oldest of this.#series.values()) {
      if (this.#series.size <= mostSeries) break;
      if (oldest.isWritten || this.#series.size > mostUnwritten) this.#forget(oldest);
    }
    this.#write(series);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const series of this.#series.values()) clearTimeout(series.timer);
    for (const series of this.#due) if (series.isWritten) this.#due.delete(series); // only a count
    const timer = Promise.withResolvers<undefined>();
    const late = setTimeout(() => timer.resolve(undefined), closeTimeoutMs);
    await Promise.race([this.#writing, timer.promise]);
    clearTimeout(late);
    this.#due.clear();
  }

  #budget(object: string): TokenBucket {
    const budget = this.#budgets.get(object) ?? new TokenBucket(1000 / eventEveryMs, eventsPerObject);
    this.#budgets.delete(object);
    this.#budgets.set(object, budget);
    for (const oldest of this.#budgets.keys()) {
      if (this.#budgets.size <= mostObjects) break;
      this.#budgets.delete(oldest);
    }
    return budget;
  }

  #markDirty(series: Series): void {
    if (series.isDirty) return;
    series.isDirty = true;
    series.timer = setTimeout(() => this.#write(series), writeEveryMs);
  }

  #forget(series: Series): void {
    clearTimeout(series.timer);
    this.#series.delete(series.id);
    this.#due.delete(series);
  }

  #write(series: Series): void {
    this.#due.add(series);
    if (!this.#isWriting) this.#writing = this.#writeDue();
  }

  async #writeDue(): Promise<void> {
    this.#isWriting = true;
    for (const series of this.#due) { // those that are added meanwhile too
      this.#due.delete(series);
      const { count } = series;
      try {
        await this.#send(series);
        this.#isInTrouble = false;
        series.isDirty = false;
        if (series.count > count) this.#markDirty(series);
      } catch (error) {
        this.#onFailure(series, error);
      }
    }
    this.#isWriting = false;
  }

  async #send(series: Series): Promise<void> {
    const { api } = this.#options;
    if (series.isWritten) {
      const patched = await api.mergePatch(resourceTypes.event, nameOf(series.event), { series: countOf(series) });
      if (patched !== undefined) return;
      series.isWritten = false; // it has expired, or somebody removed it: the same one again
    }
    try {
      await api.create(resourceTypes.event, series.count > 1 ? { ...series.event, series: countOf(series) } : series.event);
    } catch (error) {
      // Made by an attempt whose answer was lost.
      if (!(error instanceof Fault) || error.code !== 'KUBERNETES_CONFLICT') throw error;
    }
    series.isWritten = true;
  }

  #onFailure(series: Series, error: unknown): void {
    if (!this.#isInTrouble) this.#options.log.warn({ regarding: series.event['regarding'], reason: series.event['reason'], err: error }, 'event not recorded');
    this.#isInTrouble = true;
    const isWorthIt = error instanceof Fault && error.retriable && performance.now() - series.lastAtMs < seriesEndsAfterMs;
    if (!isWorthIt || this.#isClosed) return this.#forget(series);
    series.timer = setTimeout(() => this.#write(series), writeEveryMs);
  }

  #eventOf({ regarding, type, reason, note, action }: RecordedEvent): EventObject {
    const { name, namespace, uid, resourceVersion } = regarding.metadata;
    const now = Date.now();
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace: namespace ?? 'default', name: `${name.toLowerCase().replace(/[^a-z0-9.-]/g, '-').slice(0, 200).replace(/[^a-z0-9]+$/, '')}.${randomBytes(8).toString('hex')}` },
      eventTime: microTime(now),
      reportingController: this.#options.reportingController,
      reportingInstance: this.#options.reportingInstance.slice(0, 128),
      action,
      reason,
      regarding: { apiVersion: regarding.apiVersion, kind: regarding.kind, name, namespace, uid, resourceVersion },
      note: cut(note, noteLimitBytes),
      type,
    };
  }
}

function nameOf({ metadata: { namespace, name } }: KubernetesObject): { readonly namespace: string; readonly name: string } {
  return { namespace: namespace!, name };
}

function countOf({ count, lastAtMs }: Series): { readonly count: number; readonly lastObservedTime: string } {
  return { count, lastObservedTime: microTime(Date.now() - (performance.now() - lastAtMs)) };
}

/** The longest beginning that has at most so many bytes as UTF-8, and ends with a whole character. */
function cut(text: string, limitBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= limitBytes) return text;
  let end = limitBytes - 3;
  while ((bytes[end]! & 0xc0) === 0x80) end--;
  return `${bytes.subarray(0, end).toString()}...`;
}
