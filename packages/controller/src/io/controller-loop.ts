/**
 * The edge of every reconciler: keys in, `reconcile` called for each, and what it throws translated once.
 *
 * A Fault is the world's failure: the key comes again, soon when the same may succeed later, slowly when somebody has to
 * change something first. Anything else is a bug: told with its stack, tried again slowly, and the other keys go on.
 *
 * Always true: nothing is reconciled while another may lead. A key that comes then is dropped, because whoever begins to
 * lead has to look at everything anyway; a failure is logged when it begins and when it is over, not in between.
 */
import { Fault } from '@knative-kafka/common/core';
import { Counter, Gauge, Histogram, latencyBuckets, type Logger, type Registry } from '@knative-kafka/common/io';
import { startWorkQueue, type WorkOutcome, type WorkQueue, type WorkQueueOptions } from './work-queue.ts';

export interface ControllerLoopOptions {
  /** In logs and metrics, such as `kafka-channel`. */
  readonly name: string;
  readonly workers: number;
  /**
   * `requeueAfterMs`: when to look again although nothing changed, and at the latest after `resyncMs`; undefined: never,
   * because there is nothing more to look at.
   */
  readonly reconcile: (key: string) => Promise<{ readonly requeueAfterMs?: number } | undefined>;
  readonly isLeading: () => boolean;
  /**
   * Everything is looked at again this often, give or take a fifth: a copy that comes and goes while a watch is broken
   * is a change that no cache tells of. 5 minutes unless given.
   */
  readonly resyncMs?: number;
  readonly log: Logger;
  readonly registry: Registry;
  /** Other waits than the usual ones, for tests. */
  readonly queue?: Pick<WorkQueueOptions, 'backoff' | 'retriesPerSecond' | 'retryBurst'>;
}

export interface ControllerLoop {
  enqueue(key: string): void;
  /** Begins nothing more, and waits for what is under way, for a bounded time. */
  stop(timeoutMs?: number): Promise<void>;
}

/** Between two attempts at what somebody has to change first, at least. */
const slowRetryMs = 30_000;
const stopTimeoutMs = 10_000;
const defaultResyncMs = 300_000;
const internalError = 'internal-error';
/** Of a key that met one conflict. */
const untold = '';

export function startControllerLoop({ name, workers, reconcile, isLeading, resyncMs = defaultResyncMs, log, registry, queue: queueOptions }: ControllerLoopOptions): ControllerLoop {
  const metrics = metricsOf(registry);
  const duration = metrics.duration.labels(name);
  /** Keys that fail, and with what. */
  const failing = new Map<string, string>();

  const succeeded = (key: string): void => {
    const reason = failing.get(key);
    failing.delete(key);
    log.debug({ controller: name, key }, 'reconciled');
    if (reason !== undefined && reason !== untold) log.info({ controller: name, key }, 'reconciled again');
  };
  const failed = (key: string, error: unknown): WorkOutcome => {
    const reason = error instanceof Fault ? error.code : internalError;
    metrics.errors.inc({ controller: name, reason });
    // A conflict is what reading again is for; only if it stays it is worth a line.
    if (reason === 'KUBERNETES_CONFLICT' && !failing.has(key)) {
      failing.set(key, untold);
      return { kind: 'failed' };
    }
    const isNews = failing.get(key) !== reason;
    failing.set(key, reason);
    if (error instanceof Fault) {
      if (isNews) log.warn({ controller: name, key, reason, err: error }, 'not reconciled, trying again');
      return error.retriable ? { kind: 'failed' } : { kind: 'failed', atLeastMs: slowRetryMs };
    }
    if (isNews) log.error({ controller: name, key, err: error, stack: error instanceof Error ? error.stack : undefined }, 'a bug in a reconciler, trying again slowly');
    return { kind: 'failed', atLeastMs: slowRetryMs };
  };

  const queue = startWorkQueue({
    ...queueOptions,
    workers,
    work: async (key) => {
      if (!isLeading()) {
        failing.delete(key);
        return { kind: 'done' };
      }
      const endTimer = duration.startTimer();
      try {
        const result = await reconcile(key);
        succeeded(key);
        if (result === undefined) return { kind: 'done' };
        return { kind: 'done', againAfterMs: Math.min(result.requeueAfterMs ?? Infinity, resyncMs * (0.8 + 0.4 * Math.random())) };
      } catch (error) {
        return failed(key, error);
      } finally {
        endTimer();
      }
    },
  });
  metrics.queues.set(name, queue);

  return {
    enqueue: (key) => {
      if (isLeading()) queue.add(key);
    },
    stop: async (timeoutMs = stopTimeoutMs) => {
      if (!(await queue.stop(timeoutMs))) log.warn({ controller: name }, 'stopped while something was still being reconciled');
      metrics.queues.delete(name);
    },
  };
}

interface LoopMetrics {
  readonly duration: Histogram<'controller'>;
  readonly errors: Counter<'controller' | 'reason'>;
  /** By controller; read when metrics are. */
  readonly queues: Map<string, WorkQueue>;
}

const metricsByRegistry = new WeakMap<Registry, LoopMetrics>();

/** One set for all loops of a process. */
function metricsOf(registry: Registry): LoopMetrics {
  const known = metricsByRegistry.get(registry);
  if (known !== undefined) return known;
  const registers = [registry];
  const queues = new Map<string, WorkQueue>();
  const metrics: LoopMetrics = {
    duration: new Histogram({ name: 'knative_kafka_reconcile_duration_seconds', help: 'One reconciliation of one object.', labelNames: ['controller'], buckets: latencyBuckets, registers }),
    errors: new Counter({ name: 'knative_kafka_reconcile_errors_total', help: 'Reconciliations that failed, by reason.', labelNames: ['controller', 'reason'], registers }),
    queues,
  };
  const gauge = (metric: string, help: string, valueOf: (queue: WorkQueue) => number): void => {
    new Gauge({
      name: metric, help, labelNames: ['controller'], registers,
      collect() {
        this.reset();
        for (const [controller, queue] of queues) this.set({ controller }, valueOf(queue));
      },
    });
  };
  gauge('knative_kafka_workqueue_depth', 'Objects that wait to be reconciled.', ({ depth }) => depth);
  gauge('knative_kafka_workqueue_oldest_seconds', 'How long the first of them waits.', ({ oldestMs }) => oldestMs / 1000);
  metricsByRegistry.set(registry, metrics);
  return metrics;
}
