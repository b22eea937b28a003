/** The dispatcher's settings; the README's table is printed from it. */
import { bootstrapServers, bytes, count, durationMs, oneOf, optional, port, resourceName, text, type Config } from '@knative-kafka/common/core';
import { logLevels } from '@knative-kafka/common/io';

export const settings = {
  metricsPort: port('METRICS_PORT', { default: 9090, about: 'metrics and probes' }),
  kafkaBrokers: bootstrapServers('KAFKA_BROKERS', { about: 'bootstrap servers of Kafka' }),
  resourcesDir: optional('RESOURCES_DIR', { about: 'folder of manifests to serve; needed until the resources can be watched in Kubernetes' }),
  channel: resourceName('CHANNEL', { about: 'the one KafkaChannel to serve; all of them when unset' }),
  clusterDomain: text('CLUSTER_DOMAIN', { default: 'cluster.local', about: 'DNS domain of the cluster, part of Service addresses' }),
  kafkaRequestTimeoutMs: durationMs('KAFKA_REQUEST_TIMEOUT', { default: '10s', about: 'how long one request to a broker may take' }),
  kafkaConnectTimeoutMs: durationMs('KAFKA_CONNECT_TIMEOUT', { default: '3s', about: 'how long a connection to a broker may take' }),
  sessionTimeoutMs: durationMs('SESSION_TIMEOUT', { default: '10s', about: 'after this long without a sign a dispatcher has lost its partitions' }),
  commitIntervalMs: durationMs('COMMIT_INTERVAL', { default: '100ms', about: 'the shortest time between two commits of a consumer group' }),
  queueLimitBytes: bytes('QUEUE_LIMIT', { default: '64MiB', about: 'bytes of records in memory, shared by all partitions' }),
  partitionQueueBytes: bytes('PARTITION_QUEUE', { default: '4MiB', about: 'the most that one partition queues ahead' }),
  fetchBytes: bytes('FETCH_SIZE', { default: '512KiB', about: 'the most that one fetch brings of one partition' }),
  subscriberConnections: count('SUBSCRIBER_CONNECTIONS', { default: 256, about: 'connections to one subscriber host at a time' }),
  drainTimeoutMs: durationMs('DRAIN_TIMEOUT', { default: '8s', about: 'time that deliveries under way get after SIGTERM' }),
  logLevel: oneOf('LOG_LEVEL', logLevels, { default: 'info', about: 'how much is logged' }),
};

export type DispatcherConfig = Config<typeof settings>;
