/**
 * The dispatcher as one thing that starts and drains: what main.ts runs in a pod and standalone beside a receiver.
 */
import { decodeKafkaEvent, defaultDelivery, readFeatures, type Delivery } from '@knative-kafka/common/core';
import { sleep, watchKafka, type KafkaClient, type Logger, type Registry, type ResourceSource } from '@knative-kafka/common/io';
import type { DispatcherConfig } from './config.ts';
import { ConsumerGroup } from './consume.ts';
import { desiredConsumers } from './core/desired-consumers.ts';
import { createDeadLetterTopics } from './io/dead-letter-topic.ts';
import { createDispatcherMetrics, type ConsumerMetrics } from './io/dispatcher-metrics.ts';
import { createSubscriberClient } from './io/subscriber-client.ts';
import { RunningConsumers } from './reconcile-consumers.ts';

export type DispatcherOptions = Pick<
  DispatcherConfig,
  | 'channel' | 'podName' | 'sessionTimeoutMs' | 'commitIntervalMs' | 'queueLimitBytes' | 'partitionQueueBytes' | 'fetchBytes' | 'maxInFlight' | 'drainTimeoutMs'
  | 'subscriberConnections' | 'subscriberConnectTimeoutMs' | 'replyLimitBytes' | 'deadLetterTopic' | 'deadLetterRetentionDays' | 'systemNamespace'
  | 'defaultRetry' | 'defaultBackoffPolicy' | 'defaultBackoffDelayMs' | 'defaultTimeoutMs' | 'longestBackoffMs'
>;

export interface DispatcherParts {
  readonly resources: ResourceSource;
  readonly kafka: KafkaClient;
  readonly registry: Registry;
  readonly log: Logger;
}

export interface DispatcherState {
  readonly groupId: string;
  readonly channel: string;
  readonly subscription: string;
  readonly isReady: boolean;
  readonly hasInitialOffsets: boolean;
  readonly lag: number;
  readonly delivered: number;
  readonly deadLettered: number;
  readonly kept: number;
  readonly dropped: number;
  /** Why attempts fail; undefined while they do not. */
  readonly failing: string | undefined;
}

export interface RunningDispatcher {
  /** Why it is not ready; nothing when the resources are read, Kafka answers and every wanted consumer group is joined. */
  notReady(): readonly string[];
  consumers(): readonly DispatcherState[];
  /** Finishes what is under way, commits, leaves its consumer groups. */
  stop(): Promise<void>;
}

const dayMs = 24 * 3_600_000;
/** However many partitions share the budget, each may queue this much. */
const smallestPartitionQueueBytes = 64 * 1024;

export function startDispatcher(options: DispatcherOptions, { resources, kafka, registry, log }: DispatcherParts): RunningDispatcher {
  const client = createSubscriberClient({
    connectionsPerDestination: options.subscriberConnections,
    connectTimeoutMs: options.subscriberConnectTimeoutMs,
    replyLimitBytes: options.replyLimitBytes,
  });
  const deadLetters = createDeadLetterTopics({ kafka, log, retentionMs: options.deadLetterRetentionDays * dayMs });
  const admin = kafka.createAdmin();
  // Consumer groups hold on for a while when Kafka is away or refuses new connections, and one without groups has no other sign.
  const probe = kafka.createProducer();
  const health = watchKafka(probe, log);
  const metrics = createDispatcherMetrics(registry, () => running.values(), { attemptsWaiting: () => client.waiting });
  const metricsOf = new Map<ConsumerGroup, ConsumerMetrics>();
  let lanes = 0;
  const partitionQueueBytes = (): number => Math.min(options.partitionQueueBytes, Math.max(smallestPartitionQueueBytes, options.queueLimitBytes / Math.max(1, lanes)));

  const running = new RunningConsumers({
    drainTimeoutMs: options.drainTimeoutMs,
    create: (desired) => {
      const consumerMetrics = metrics.forConsumer(desired);
      const consumer = new ConsumerGroup(
        desired,
        {
          admin,
          log,
          metrics: consumerMetrics,
          partitionQueueBytes,
          createGroupMember: (groupId, topic, handlers) =>
            kafka.createGroupMember({
              groupId, topic, handlers,
              memberId: options.podName,
              fetchBytesPerPartition: options.fetchBytes,
              sessionTimeoutMs: options.sessionTimeoutMs,
              revokeTimeoutMs: options.drainTimeoutMs,
            }),
          dispatchIo: {
            readEvent: ({ headers, value }) => decodeKafkaEvent(headers, value),
            send: (request) => client.send(request),
            sleep,
            random: Math.random,
            now: Date.now,
            longestDelayMs: options.longestBackoffMs,
          },
          keep: (letter, signal) => deadLetters.keep(letter, signal),
          onLanes: (change) => {
            lanes += change;
          },
        },
        { commitIntervalMs: options.commitIntervalMs, maxInFlight: options.maxInFlight },
      );
      metricsOf.set(consumer, consumerMetrics);
      return consumer;
    },
    onStopped: (consumer) => {
      metricsOf.get(consumer)?.remove();
      metricsOf.delete(consumer);
    },
  });

  const reconcile = (): void => {
    const found = resources.snapshot();
    const keepsUndeliverable = options.deadLetterTopic === 'enabled' || readFeatures(found.configMaps, options.systemNamespace).isDeadLetterTopicEnabled;
    const desired = desiredConsumers(found, options.channel, { delivery: defaultDeliveryOf(options), keepsUndeliverable });
    running.reconcile(desired);
    client.retain([...desired.values()].flatMap(({ destination: { subscriber, reply, deadLetterSink } }) => [subscriber, reply, deadLetterSink].filter((endpoint) => endpoint !== undefined)));
  };
  let isStopping = false;
  const unsubscribe = resources.onChange(reconcile);
  if (resources.isSynced()) reconcile();

  return {
    notReady: () => {
      const reasons: string[] = [];
      if (isStopping) reasons.push('shutting down');
      if (!resources.isSynced()) reasons.push('the resources have not been read yet');
      if (!health.isUp()) reasons.push(health.reason() ?? 'Kafka does not answer');
      for (const consumer of running.values()) if (!consumer.isReady) reasons.push(`consumer group ${consumer.desired.groupId} is not joined`);
      return reasons;
    },
    consumers: () =>
      [...running.values()].map((consumer) => ({
        groupId: consumer.desired.groupId,
        channel: consumer.desired.channel,
        subscription: consumer.desired.subscription,
        isReady: consumer.isReady,
        hasInitialOffsets: consumer.hasInitialOffsets,
        lag: [...consumer.lag().values()].reduce((sum, lag) => sum + lag, 0),
        ...consumer.results,
      })),
    stop: async () => {
      isStopping = true;
      unsubscribe();
      await running.close();
      health.close();
      await Promise.allSettled([client.close(), deadLetters.close(), admin.close(), probe.close()]);
    },
  };
}

/** What holds where neither Subscription nor KafkaChannel says anything about delivery. */
function defaultDeliveryOf(options: DispatcherOptions): Delivery {
  return {
    ...defaultDelivery,
    retry: options.defaultRetry,
    backoffPolicy: options.defaultBackoffPolicy,
    backoffDelayMs: options.defaultBackoffDelayMs,
    timeoutMs: options.defaultTimeoutMs,
  };
}
