/**
 * The dispatcher's metrics, with the children of one consumer group cached where events pass and removed with it.
 *
 * What happens with every event is a number here until somebody reads the metrics: prom-client puts a text together from
 * the labels for each step of a counter, which took a tenth of the time of an event outside of the kernel.
 *
 * A group's labels are the names of its owner: `channel` and `subscription`, or `source`.
 */
import type { TopicPartition } from '@knative-kafka/common/core';
import { Counter, Gauge, Histogram, latencyBuckets, LatencyHistogram, type Registry } from '@knative-kafka/common/io';
import type { ConsumerOwner, DesiredConsumer, SourceSettings } from '../core/desired-consumers.ts';
import { answerReason, responseVerdict, type DeliveryAnswer } from '../core/response-verdict.ts';
import type { DispatchOutcome, Role } from '../dispatch.ts';

/** Records of a partition that have no outcome yet. */
export interface PartitionLag extends TopicPartition {
  readonly lag: number;
}

export interface ConsumerMetrics {
  readonly dispatchSeconds: { observe(seconds: number): void };
  readonly queueBytes: { inc(bytes: number): void };
  readonly rebalances: { inc(): void };
  /** From the first word of a rebalance to the assignment that ends it. */
  readonly rebalanceSeconds: { observe(seconds: number): void };
  /** Records that had settled before this member got their partition. */
  readonly skipped: { inc(records: number): void };
  readonly offsetResets: { inc(): void };
  readonly commits: { inc(): void };
  readonly commitFailures: { inc(): void };
  outcome(outcome: DispatchOutcome): void;
  attempt(role: Role, answer: DeliveryAnswer, willRetry: boolean): void;
  reply(result: 'sent' | 'failed' | 'invalid'): void;
  remove(): void;
}

/** What is read at scrape time instead of counted. */
export interface ObservedConsumer {
  readonly desired: Pick<DesiredConsumer, 'owner'>;
  /** Undefined for a channel's. */
  readonly source: Pick<SourceSettings, 'vreplicas' | 'eventsPerSecond'> | undefined;
  readonly inFlight: number;
  readonly inFlightLimit: number;
  readonly retriesWaiting: number;
  readonly isReady: boolean;
  readonly partitions: number;
  readonly rateLimitWaiting: number;
  readonly rateLimitWaitSeconds: number;
  lag(): readonly PartitionLag[];
}

export interface DispatcherMetrics {
  forConsumer(owner: ConsumerOwner): ConsumerMetrics;
  /** An answer of a destination, whose client is another one for a while. */
  answerNotUnderstood(): void;
}

const labelNames = ['channel', 'subscription', 'source'] as const;
const sourceLabel = ['source'] as const;

export function createDispatcherMetrics(registry: Registry, consumers: () => Iterable<ObservedConsumer>, process: { readonly attemptsWaiting: () => number }): DispatcherMetrics {
  const registers = [registry];
  /** Of each consumer group: hands over what it has counted since it was asked last. */
  const tallies = new Set<() => void>();
  const collect = (): void => {
    for (const handOver of tallies) handOver();
  };
  const events = new Counter({ name: 'knative_kafka_dispatch_events_total', help: 'Records with an outcome: delivered, dead-lettered, kept or dropped, by reason.', labelNames: [...labelNames, 'outcome', 'reason'], registers, collect });
  const attempts = new Counter({ name: 'knative_kafka_dispatch_attempts_total', help: 'Requests sent, by whom to (subscriber, reply, dead-letter-sink) and result (ok, or why not).', labelNames: [...labelNames, 'to', 'result'], registers, collect });
  const retries = new Counter({ name: 'knative_kafka_dispatch_retries_total', help: 'Attempts after the first, by whom to and why the one before failed.', labelNames: [...labelNames, 'to', 'reason'], registers });
  const replies = new Counter({ name: 'knative_kafka_dispatch_replies_total', help: 'Events that the subscriber answered with: sent on, failed, or not valid and left.', labelNames: [...labelNames, 'result'], registers });
  const skipped = new Counter({ name: 'knative_kafka_dispatch_skipped_total', help: 'Records that had their outcome before this process got the partition.', labelNames, registers });
  const interrupted = new Counter({ name: 'knative_kafka_dispatch_interrupted_total', help: 'Deliveries given up because the partition moved or the process ended; delivered again elsewhere.', labelNames, registers });
  const latency = new LatencyHistogram({ name: 'knative_kafka_dispatch_seconds', help: 'From the start of a delivery to its outcome, retries included.', buckets: latencyBuckets, registry });
  const queueBytes = new Gauge({ name: 'knative_kafka_dispatch_queue_bytes', help: 'Bytes of records fetched and not yet settled.', labelNames, registers, collect });
  const rebalances = new Counter({ name: 'knative_kafka_consumer_rebalances_total', help: 'Rebalances of the consumer group.', labelNames, registers });
  const rebalanceSeconds = new Histogram({ name: 'knative_kafka_consumer_rebalance_seconds', help: 'From the start of a rebalance to the partitions that it ended with.', labelNames, buckets: latencyBuckets, registers });
  const offsetResets = new Counter({ name: 'knative_kafka_consumer_offset_resets_total', help: 'Committed offsets that lay outside the log.', labelNames, registers });
  const commits = new Counter({ name: 'knative_kafka_consumer_commits_total', help: 'Offset commits, by result.', labelNames: [...labelNames, 'result'], registers });
  const notUnderstood = new Counter({ name: 'knative_kafka_dispatch_answers_not_understood_total', help: 'Answers that were no HTTP as our own client reads it; the destination is undici’s for ten minutes then.', registers });
  observe('knative_kafka_dispatch_in_flight', 'Deliveries under way.', ({ inFlight }) => inFlight);
  observe('knative_kafka_dispatch_retries_waiting', 'Deliveries that wait for their next attempt.', ({ retriesWaiting }) => retriesWaiting);
  observe('knative_kafka_dispatch_in_flight_limit', 'The most deliveries that may be under way.', ({ inFlightLimit }) => inFlightLimit);
  observe('knative_kafka_consumer_joined', 'Whether the consumer group is joined: 1, or 0.', ({ isReady }) => (isReady ? 1 : 0));
  observe('knative_kafka_consumer_partitions', 'Partitions that this member of the consumer group has.', ({ partitions }) => partitions);
  observe('knative_kafka_source_vreplicas', 'Vreplicas of a KafkaSource that are placed on this pod.', ({ source }) => source?.vreplicas, sourceLabel);
  observe('knative_kafka_source_rate_limit', 'The most events per second that a KafkaSource may send from this pod; absent without a limit.', ({ source }) => source?.eventsPerSecond, sourceLabel);
  observe('knative_kafka_source_rate_limit_waiting', 'Deliveries of a KafkaSource that wait for its rate limit.', ({ source, rateLimitWaiting }) => (source?.eventsPerSecond === undefined ? undefined : rateLimitWaiting), sourceLabel);
  new Counter({
    name: 'knative_kafka_source_rate_limit_wait_seconds_total', help: 'Time that deliveries of a KafkaSource have waited for its rate limit, one beside the other.', labelNames: sourceLabel, registers,
    collect() {
      this.reset();
      for (const { desired: { owner }, rateLimitWaitSeconds } of consumers()) if (owner.source !== undefined) this.inc({ source: owner.source }, rateLimitWaitSeconds);
    },
  });
  new Gauge({
    name: 'knative_kafka_dispatch_attempts_waiting', help: 'Attempts that wait for a connection to their destination.', registers,
    collect() {
      this.set(process.attemptsWaiting());
    },
  });
  new Gauge({
    name: 'knative_kafka_consumer_lag', help: 'Records in the partition that have no outcome yet, as of the last fetch.', labelNames: [...labelNames, 'topic', 'partition'], registers,
    collect() {
      this.reset();
      for (const consumer of consumers()) {
        const { owner } = consumer.desired;
        // A channel has one topic, whose name its own gives away.
        for (const { topic, partition, lag } of consumer.lag()) this.set({ ...labelsOf(owner), ...(owner.source === undefined ? {} : { topic }), partition: String(partition) }, lag);
      }
    },
  });

  /** @param value asked at scrape time; undefined leaves the consumer out */
  function observe(name: string, help: string, value: (consumer: ObservedConsumer) => number | undefined, names: readonly string[] = labelNames): void {
    new Gauge({
      name, help, labelNames: names, registers,
      collect() {
        this.reset();
        for (const consumer of consumers()) {
          const observed = value(consumer);
          if (observed !== undefined) this.set(labelsOf(consumer.desired.owner), observed);
        }
      },
    });
  }

  return {
    answerNotUnderstood: () => notUnderstood.inc(),
    forConsumer: (owner) => {
      const labels = labelsOf(owner);
      const delivered = events.labels({ ...labels, outcome: 'delivered', reason: '' });
      const accepted = attempts.labels({ ...labels, to: 'subscriber', result: 'ok' });
      const queued = queueBytes.labels(labels);
      let since = { delivered: 0, accepted: 0, queueChanges: 0, queuedBytes: 0 };
      const handOver = (): void => {
        // What has not happened yet is no line of the metrics.
        if (since.delivered > 0) delivered.inc(since.delivered);
        if (since.accepted > 0) accepted.inc(since.accepted);
        if (since.queueChanges > 0) queued.inc(since.queuedBytes);
        since = { delivered: 0, accepted: 0, queueChanges: 0, queuedBytes: 0 };
      };
      tallies.add(handOver);
      return {
        dispatchSeconds: latency.labels(labels),
        queueBytes: {
          inc: (bytes) => {
            since.queueChanges++;
            since.queuedBytes += bytes;
          },
        },
        rebalances: rebalances.labels(labels),
        rebalanceSeconds: rebalanceSeconds.labels(labels),
        skipped: skipped.labels(labels),
        offsetResets: offsetResets.labels(labels),
        commits: commits.labels({ ...labels, result: 'ok' }),
        commitFailures: commits.labels({ ...labels, result: 'failed' }),
        outcome: (outcome) => {
          if (outcome.kind === 'delivered') since.delivered++;
          else if (outcome.kind === 'interrupted') interrupted.inc(labels);
          else events.inc({ ...labels, outcome: outcome.kind, reason: outcome.reason });
        },
        attempt: (to, answer, willRetry) => {
          const isAccepted = responseVerdict(answer) === 'delivered';
          if (isAccepted && to === 'subscriber') since.accepted++;
          else attempts.inc({ ...labels, to, result: isAccepted ? 'ok' : answerReason(answer) });
          if (willRetry) retries.inc({ ...labels, to, reason: answerReason(answer) });
        },
        reply: (result) => replies.inc({ ...labels, result }),
        remove: () => {
          tallies.delete(handOver);
          latency.remove(labels);
          const isOurs = (values: Readonly<Record<string, string | number>>) => labelNames.every((name) => values[name] === owner[name]);
          for (const metric of [events, attempts, retries, replies, skipped, interrupted, queueBytes, rebalances, rebalanceSeconds, offsetResets, commits]) removeChildren(metric, isOurs);
        },
      };
    },
  };
}

function labelsOf(owner: ConsumerOwner): Partial<Record<(typeof labelNames)[number], string>> {
  return owner.source === undefined ? { channel: owner.channel, subscription: owner.subscription } : { source: owner.source };
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
