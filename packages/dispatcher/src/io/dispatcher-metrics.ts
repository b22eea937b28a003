/**
 * The dispatcher's metrics, with the children of one consumer group cached where events pass and removed with it.
 */
import { Counter, Gauge, Histogram, latencyBuckets, type Registry } from '@knative-kafka/common/io';
import type { DesiredConsumer } from '../core/desired-consumers.ts';
import type { DispatchOutcome } from '../dispatch.ts';

export interface ConsumerMetrics {
  readonly dispatchSeconds: { observe(seconds: number): void };
  readonly queueBytes: { inc(bytes: number): void };
  readonly rebalances: { inc(): void };
  readonly offsetResets: { inc(): void };
  readonly commits: { inc(): void };
  readonly commitFailures: { inc(): void };
  outcome(outcome: DispatchOutcome): void;
  retry(reason: string): void;
  remove(): void;
}

/** What is read at scrape time instead of counted. */
export interface ObservedConsumer {
  readonly desired: DesiredConsumer;
  readonly inFlight: number;
  lag(): ReadonlyMap<number, number>;
}

export interface DispatcherMetrics {
  forConsumer(desired: DesiredConsumer): ConsumerMetrics;
}

const labelNames = ['channel', 'subscription'] as const;

export function createDispatcherMetrics(registry: Registry, consumers: () => Iterable<ObservedConsumer>): DispatcherMetrics {
  const registers = [registry];
  const events = new Counter({ name: 'knative_kafka_dispatch_events_total', help: 'Records with an outcome: delivered or dropped, by reason.', labelNames: [...labelNames, 'outcome', 'reason'], registers });
  const retries = new Counter({ name: 'knative_kafka_dispatch_retries_total', help: 'Attempts after the first, by why the one before failed.', labelNames: [...labelNames, 'reason'], registers });
  const interrupted = new Counter({ name: 'knative_kafka_dispatch_interrupted_total', help: 'Deliveries given up because the partition moved or the process ended; delivered again elsewhere.', labelNames, registers });
  const latency = new Histogram({ name: 'knative_kafka_dispatch_seconds', help: 'From the start of a delivery to its outcome, retries included.', labelNames, buckets: latencyBuckets, registers });
  const queueBytes = new Gauge({ name: 'knative_kafka_dispatch_queue_bytes', help: 'Bytes of records fetched and not yet settled.', labelNames, registers });
  const rebalances = new Counter({ name: 'knative_kafka_consumer_rebalances_total', help: 'Rebalances of the consumer group.', labelNames, registers });
  const offsetResets = new Counter({ name: 'knative_kafka_consumer_offset_resets_total', help: 'Committed offsets that lay outside the log.', labelNames, registers });
  const commits = new Counter({ name: 'knative_kafka_consumer_commits_total', help: 'Offset commits, by result.', labelNames: [...labelNames, 'result'], registers });
  new Gauge({
    name: 'knative_kafka_dispatch_in_flight', help: 'Deliveries under way.', labelNames, registers,
    collect() {
      this.reset();
      for (const { desired, inFlight } of consumers()) this.set({ channel: desired.channel, subscription: desired.subscription }, inFlight);
    },
  });
  new Gauge({
    name: 'knative_kafka_consumer_lag', help: 'Records in the partition that have no outcome yet, as of the last fetch.', labelNames: [...labelNames, 'partition'], registers,
    collect() {
      this.reset();
      for (const consumer of consumers()) {
        const { channel, subscription } = consumer.desired;
        for (const [partition, lag] of consumer.lag()) this.set({ channel, subscription, partition: String(partition) }, lag);
      }
    },
  });

  return {
    forConsumer: ({ channel, subscription }) => {
      const labels = { channel, subscription };
      const outcomes = new Map<string, { inc(): void }>();
      const child = (outcome: 'delivered' | 'dropped', reason: string): { inc(): void } => {
        const key = `${outcome} ${reason}`;
        let found = outcomes.get(key);
        if (found === undefined) {
          found = events.labels({ ...labels, outcome, reason });
          outcomes.set(key, found);
        }
        return found;
      };
      const delivered = child('delivered', '');
      return {
        dispatchSeconds: latency.labels(labels),
        queueBytes: queueBytes.labels(labels),
        rebalances: rebalances.labels(labels),
        offsetResets: offsetResets.labels(labels),
        commits: commits.labels({ ...labels, result: 'ok' }),
        commitFailures: commits.labels({ ...labels, result: 'failed' }),
        outcome: (outcome) => {
          if (outcome.kind === 'delivered') delivered.inc();
          else if (outcome.kind === 'dropped') child('dropped', outcome.reason).inc();
          else interrupted.inc(labels);
        },
        retry: (reason) => retries.inc({ ...labels, reason }),
        remove: () => {
          const isOurs = (values: Readonly<Record<string, string | number>>) => values['channel'] === channel && values['subscription'] === subscription;
          for (const metric of [events, retries, interrupted, latency, queueBytes, rebalances, offsetResets, commits]) removeChildren(metric, isOurs);
        },
      };
    },
  };
}

interface Labelled {
  get(): Promise<{ values: readonly { labels: object }[] }>;
  remove(labels: never): void;
}

/** prom-client removes by the full set of labels only, so the children are looked up. */
function removeChildren(metric: Labelled, isOurs: (labels: Readonly<Record<string, string | number>>) => boolean): void {
  void metric.get().then(({ values }) => {
    for (const { labels } of values) {
      // A histogram lists its buckets, whose label `le` is none of the child's own.
      const own = Object.fromEntries(Object.entries(labels as Record<string, string | number>).filter(([name]) => name !== 'le'));
      if (isOurs(own)) metric.remove(own as never);
    }
  });
}
