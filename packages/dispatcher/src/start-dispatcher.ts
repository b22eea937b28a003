/**
 * The dispatcher as one thing that starts and drains: what main.ts runs in a pod and standalone beside a receiver.
 */
import { defaultDelivery, readFeatures, readSourceDataPlane, sourceDataPlaneConfigMap, type Delivery } from '@knative-kafka/common/core';
import { configMapProblemTeller, createKafkaClient, sleep, watchKafka, type KafkaClient, type Logger, type Registry, type ResourceSource } from '@knative-kafka/common/io';
import type { DispatcherConfig } from './config.ts';
import { ConsumerGroup } from './consume.ts';
import { shownUri } from './core/dead-letter.ts';
import { desiredConsumers, desiredSourceConsumers, type ConsumerOwner } from './core/desired-consumers.ts';
import { createDeadLetterTopics } from './io/dead-letter-topic.ts';
import { createDispatcherMetrics, type ConsumerMetrics } from './io/dispatcher-metrics.ts';
import { SourceKafkas } from './io/source-kafkas.ts';
import { createSubscriberClient } from './io/subscriber-client.ts';
import { RunningConsumers } from './reconcile-consumers.ts';

export type DispatcherOptions = Pick<
  DispatcherConfig,
  | 'channel' | 'podName' | 'sessionTimeoutMs' | 'commitIntervalMs' | 'queueLimitBytes' | 'partitionQueueBytes' | 'fetchBytes' | 'maxInFlight' | 'drainTimeoutMs'
  | 'subscriberClient' | 'subscriberConnections' | 'subscriberConnectTimeoutMs' | 'replyLimitBytes' | 'deadLetterTopic' | 'deadLetterRetentionDays' | 'systemNamespace'
  | 'consumerClient' | 'kafkaRequestTimeoutMs' | 'kafkaConnectTimeoutMs'
  | 'defaultRetry' | 'defaultBackoffPolicy' | 'defaultBackoffDelayMs' | 'defaultTimeoutMs' | 'longestBackoffMs'
>;

export interface DispatcherParts {
  readonly resources: ResourceSource;
  /** Of KafkaChannels; undefined where none are served. */
  readonly kafka: KafkaClient | undefined;
  /** Whether KafkaSources are served, each with its own Kafka. */
  readonly servesSources: boolean;
  readonly registry: Registry;
  readonly log: Logger;
}

export type DispatcherState = ConsumerOwner & {
  readonly groupId: string;
  readonly isReady: boolean;
  /** Why not, where that is known. */
  readonly trouble: string | undefined;
  readonly hasInitialOffsets: boolean;
  readonly lag: number;
  readonly delivered: number;
  readonly deadLettered: number;
  readonly kept: number;
  readonly dropped: number;
  /** Why attempts fail; undefined while they do not. */
  readonly failing: string | undefined;
};

export interface RunningDispatcher {
  /**
   * Why it is not ready; nothing when the resources are read, the Kafka of the channels answers and each of their
   * consumer groups is joined. A KafkaSource has a Kafka of its user: that it is away must not stop the other sources here.
   */
  notReady(): readonly string[];
  consumers(): readonly DispatcherState[];
  /** Finishes what is under way, commits, leaves its consumer groups. */
  stop(): Promise<void>;
}

const dayMs = 24 * 3_600_000;
/** Longer than a healthy Kafka takes for a commit, whatever the interval. */
const shortestCommitPatienceMs = 1_000;
/** However many partitions share the budget, each may queue this much. */
const smallestPartitionQueueBytes = 64 * 1024;

export function startDispatcher(options: DispatcherOptions, { resources, kafka, servesSources, registry, log }: DispatcherParts): RunningDispatcher {
  const client = createSubscriberClient({
    connectionsPerDestination: options.subscriberConnections,
    connectTimeoutMs: options.subscriberConnectTimeoutMs,
    replyLimitBytes: options.replyLimitBytes,
    usesSockets: options.subscriberClient === 'auto',
    onNotUnderstood: (uri, problem) => {
      metrics.answerNotUnderstood();
      log.warn({ destination: shownUri(uri), problem }, 'an answer was not understood; for ten minutes undici is the client of this destination');
    },
  });
  const channelKafka = kafka === undefined ? undefined : openChannelKafka(kafka, options, log);
  const sourceKafkas = new SourceKafkas({
    resources,
    createClient: (connection) => createKafkaClient(connection, 'platformatic', options.consumerClient, log),
    connection: { clientId: 'knative-kafka-source', requestTimeoutMs: options.kafkaRequestTimeoutMs, connectTimeoutMs: options.kafkaConnectTimeoutMs },
    deadLetterRetentionMs: options.deadLetterRetentionDays * dayMs,
    log,
  });
  const metrics = createDispatcherMetrics(registry, () => running.values(), { attemptsWaiting: () => client.waiting });
  const metricsOf = new Map<ConsumerGroup, ConsumerMetrics>();
  let lanes = 0;
  const partitionQueueBytes = (): number => Math.min(options.partitionQueueBytes, Math.max(smallestPartitionQueueBytes, options.queueLimitBytes / Math.max(1, lanes)));

  const running = new RunningConsumers({
    drainTimeoutMs: options.drainTimeoutMs,
    create: (desired) => {
      const consumerMetrics = metrics.forConsumer(desired.owner);
      // Consumer groups of channels are wanted only where there is a Kafka for them.
      const own = desired.kafka === undefined ? channelKafka! : sourceKafkas.open(desired.kafka);
      const consumer = new ConsumerGroup(
        desired,
        {
          admin: own.admin,
          kafkaKnown: own.known,
          log,
          metrics: consumerMetrics,
          partitionQueueBytes,
          createGroupMember: ({ groupId, topics, memberId }, handlers) =>
            own.client.createGroupMember({
              groupId, topics, memberId, handlers,
              fetchBytesPerPartition: options.fetchBytes,
              sessionTimeoutMs: options.sessionTimeoutMs,
              revokeTimeoutMs: options.drainTimeoutMs,
            }),
          dispatchIo: {
            sendTo: (request, receiver) => client.sendTo(request, receiver),
            sleep,
            random: Math.random,
            now: Date.now,
            longestDelayMs: options.longestBackoffMs,
          },
          keep: (letter, signal) => own.deadLetters.keep(letter, signal),
          onLanes: (change) => {
            lanes += change;
          },
        },
        { commitIntervalMs: options.commitIntervalMs, commitPatienceMs: Math.max(shortestCommitPatienceMs, 10 * options.commitIntervalMs), maxInFlight: options.maxInFlight },
      );
      metricsOf.set(consumer, consumerMetrics);
      return consumer;
    },
    onStopped: (consumer) => {
      metricsOf.get(consumer)?.remove();
      metricsOf.delete(consumer);
      if (consumer.desired.kafka !== undefined) void sourceKafkas.release(consumer.desired.kafka);
    },
  });

  const tellProblems = configMapProblemTeller(sourceDataPlaneConfigMap, log);
  const reconcile = (): void => {
    const found = resources.snapshot();
    const { podName, systemNamespace } = options;
    const features = readFeatures(found.configMaps, systemNamespace);
    const dataPlane = readSourceDataPlane(found.configMaps, systemNamespace);
    const keepsUndeliverable = options.deadLetterTopic === 'enabled' || features.isDeadLetterTopicEnabled;
    const desired = new Map([
      ...(channelKafka === undefined ? [] : desiredConsumers(found, options.channel, { delivery: defaultDeliveryOf(options), keepsUndeliverable, podName })),
      ...(servesSources ? desiredSourceConsumers(found.sources, { keepsUndeliverable, podName, features, dataPlane }) : []),
    ]);
    if (servesSources) tellProblems(dataPlane.problems);
    log.debug({ groupIds: [...desired.values()].map(({ groupId }) => groupId) }, 'resources have changed, these consumer groups are wanted');
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
      if (channelKafka !== undefined && !channelKafka.health.isUp()) reasons.push(channelKafka.health.reason() ?? 'Kafka does not answer');
      for (const consumer of running.values()) if (consumer.desired.source === undefined && !consumer.isReady) reasons.push(`consumer group ${consumer.desired.groupId} is not joined`);
      return reasons;
    },
    consumers: () =>
      [...running.values()].map((consumer) => ({
        ...consumer.desired.owner,
        groupId: consumer.desired.groupId,
        isReady: consumer.isReady,
        trouble: consumer.trouble,
        hasInitialOffsets: consumer.hasInitialOffsets,
        lag: consumer.lag().reduce((sum, { lag }) => sum + lag, 0),
        ...consumer.results,
      })),
    stop: async () => {
      isStopping = true;
      unsubscribe();
      await running.close();
      await Promise.allSettled([client.close(), channelKafka?.close(), sourceKafkas.close()]);
    },
  };
}

/** What the consumer groups of channels share. */
function openChannelKafka(kafka: KafkaClient, options: DispatcherOptions, log: Logger) {
  const deadLetters = createDeadLetterTopics({ kafka, log, retentionMs: options.deadLetterRetentionDays * dayMs });
  const admin = kafka.createAdmin();
  // Consumer groups hold on for a while when Kafka is away or refuses new connections, and one without groups has no other sign.
  const probe = kafka.createProducer();
  const health = watchKafka(probe, log);
  return {
    client: kafka, admin, deadLetters, health, known: undefined,
    close: async (): Promise<void> => {
      health.close();
      await Promise.allSettled([deadLetters.close(), admin.close(), probe.close()]);
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
