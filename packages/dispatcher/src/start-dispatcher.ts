/**
 * The dispatcher as one thing that starts and drains: what main.ts runs in a pod and standalone beside a receiver.
 */
import { defaultDelivery } from '@knative-kafka/common/core';
import type { KafkaClient, Logger, Registry, ResourceSource } from '@knative-kafka/common/io';
import type { DispatcherConfig } from './config.ts';
import { ConsumerGroup } from './consume.ts';
import { desiredConsumers } from './core/desired-consumers.ts';
import { createDispatcherMetrics, type ConsumerMetrics } from './io/dispatcher-metrics.ts';
import { sleep } from './io/sleep.ts';
import { createSubscriberClient } from './io/subscriber-client.ts';
import { RunningConsumers } from './reconcile-consumers.ts';

export type DispatcherOptions = Pick<
  DispatcherConfig,
  'channel' | 'sessionTimeoutMs' | 'commitIntervalMs' | 'queueLimitBytes' | 'partitionQueueBytes' | 'fetchBytes' | 'subscriberConnections' | 'drainTimeoutMs' | 'kafkaConnectTimeoutMs'
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
  readonly dropped: number;
  /** Why attempts fail; undefined while they do not. */
  readonly failing: string | undefined;
}

export interface RunningDispatcher {
  /** Why it is not ready; nothing when every wanted consumer group has its partitions. */
  notReady(): readonly string[];
  consumers(): readonly DispatcherState[];
  /** Finishes what is under way, commits, leaves its consumer groups. */
  stop(): Promise<void>;
}

/** However many partitions share the budget, each may queue this much. */
const smallestPartitionQueueBytes = 64 * 1024;

export function startDispatcher(options: DispatcherOptions, { resources, kafka, registry, log }: DispatcherParts): RunningDispatcher {
  const client = createSubscriberClient({ connectionsPerHost: options.subscriberConnections, connectTimeoutMs: options.kafkaConnectTimeoutMs });
  const admin = kafka.createAdmin();
  const metrics = createDispatcherMetrics(registry, () => running.values());
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
            kafka.createGroupMember({ groupId, topic, handlers, fetchBytesPerPartition: options.fetchBytes, sessionTimeoutMs: options.sessionTimeoutMs, revokeTimeoutMs: options.drainTimeoutMs }),
          dispatchIo: { send: (request) => client.send(request), sleep, random: Math.random },
          onLanes: (change) => {
            lanes += change;
          },
        },
        { commitIntervalMs: options.commitIntervalMs },
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
    const desired = desiredConsumers(resources.snapshot().channels, options.channel, defaultDelivery);
    running.reconcile(desired);
    client.retain([...desired.values()].map((consumer) => consumer.destination.subscriberUri));
  };
  const unsubscribe = resources.onChange(reconcile);
  if (resources.isSynced()) reconcile();

  return {
    notReady: () => {
      if (!resources.isSynced()) return ['the resources have not been read yet'];
      return [...running.values()].filter((consumer) => !consumer.isReady).map((consumer) => `consumer group ${consumer.desired.groupId} is not joined`);
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
      unsubscribe();
      await running.close();
      await Promise.allSettled([client.close(), admin.close()]);
    },
  };
}
