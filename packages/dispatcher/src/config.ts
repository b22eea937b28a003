/** The dispatcher's settings; the README's table is printed from it. */
import { bytes, count, defaultDelivery, durationMs, Fault, logLevels, oneOf, optional, optionalBootstrapServers, port, readSettings, resourceName, text, type Config } from '@knative-kafka/common/core';

export const settings = {
  serves: oneOf('SERVES', ['channels', 'sources'], { default: 'channels', about: 'what this process delivers for: KafkaChannels, or the KafkaSources that are placed on POD_NAME' }),
  metricsPort: port('METRICS_PORT', { default: 9090, about: 'metrics and probes' }),
  kafkaBrokers: optionalBootstrapServers('KAFKA_BROKERS', { about: 'bootstrap servers of Kafka, where it asks for no credentials; this or KAFKA_SECRET_DIR is required to serve KafkaChannels' }),
  kafkaSecretDir: optional('KAFKA_SECRET_DIR', { about: 'folder where the Kafka Secret is mounted, one file per key; followed when it changes' }),
  resourcesDir: optional('RESOURCES_DIR', { about: 'folder of manifests to serve; when unset, the resources of the Kubernetes cluster that this runs in, or that KUBECONFIG names' }),
  kafkaSecret: optional('KAFKA_SECRET', { about: 'name of the Kafka Secret whose KafkaChannels of the cluster to serve; all of them when unset' }),
  channel: resourceName('CHANNEL', { about: 'the one KafkaChannel to serve; all of them when unset' }),
  clusterDomain: text('CLUSTER_DOMAIN', { default: 'cluster.local', about: 'DNS domain of the cluster, part of Service addresses' }),
  kafkaRequestTimeoutMs: durationMs('KAFKA_REQUEST_TIMEOUT', { default: '10s', about: 'how long one request to a broker may take' }),
  kafkaConnectTimeoutMs: durationMs('KAFKA_CONNECT_TIMEOUT', { default: '3s', about: 'how long a connection to a broker may take' }),
  consumerClient: oneOf('CONSUMER_CLIENT', ['auto', 'platformatic', 'kafkajs'], { default: 'auto', about: 'client for consumer groups; auto takes the new group protocol (KIP-848) where the brokers speak it' }),
  podName: optional('POD_NAME', { about: 'names this process in its consumer groups, so that a restart takes its partitions back at once; unique among dispatchers that run; required to serve KafkaSources' }),
  sessionTimeoutMs: durationMs('SESSION_TIMEOUT', { default: '10s', about: 'after this long without a sign a dispatcher has lost its partitions' }),
  commitIntervalMs: durationMs('COMMIT_INTERVAL', { default: '100ms', about: 'the shortest time between two commits of a consumer group' }),
  queueLimitBytes: bytes('QUEUE_LIMIT', { default: '64MiB', about: 'bytes of records in memory, shared by all partitions' }),
  partitionQueueBytes: bytes('PARTITION_QUEUE', { default: '4MiB', about: 'the most that one partition queues ahead' }),
  fetchBytes: bytes('FETCH_SIZE', { default: '512KiB', about: 'the most that one fetch brings of one partition' }),
  maxInFlight: count('MAX_IN_FLIGHT', { default: 100, max: 10_000, about: 'deliveries of one consumer group under way at a time' }),
  subscriberConnections: count('SUBSCRIBER_CONNECTIONS', { default: 256, max: 10_000, about: 'connections to one destination at a time' }),
  subscriberClient: oneOf('SUBSCRIBER_CLIENT', ['auto', 'undici'], { default: 'auto', about: 'HTTP client towards destinations; auto has plain http over sockets of its own and the rest over undici' }),
  subscriberConnectTimeoutMs: durationMs('SUBSCRIBER_CONNECT_TIMEOUT', { default: '3s', about: 'how long a connection to a destination may take' }),
  replyLimitBytes: bytes('REPLY_LIMIT', { default: '1MiB', about: 'a larger reply of a subscriber counts as failed' }),
  defaultRetry: count('DEFAULT_RETRY', { default: defaultDelivery.retry, min: 0, about: 'retries where no delivery is given; as the three that follow not for KafkaSources' }),
  defaultBackoffPolicy: oneOf('DEFAULT_BACKOFF_POLICY', ['exponential', 'linear'], { default: defaultDelivery.backoffPolicy, about: 'how waits grow where nothing else is said' }),
  defaultBackoffDelayMs: durationMs('DEFAULT_BACKOFF_DELAY', { default: '300ms', about: 'backoff delay where nothing else is said' }),
  defaultTimeoutMs: durationMs('DEFAULT_TIMEOUT', { default: '60s', about: 'time of one attempt where nothing else is said' }),
  longestBackoffMs: durationMs('BACKOFF_MAX', { default: '5m', about: 'no backoff is longer, however many retries there are' }),
  deadLetterTopic: oneOf('DEAD_LETTER_TOPIC', ['disabled', 'enabled'], { default: 'disabled', about: 'enabled keeps what would be dropped for want of a dead letter sink; so does dead-letter-topic in the ConfigMap config-kafka-features' }),
  deadLetterRetentionDays: count('DEAD_LETTER_RETENTION_DAYS', { default: 30, max: 36_500, about: 'how many days a dead letter topic keeps events, fixed when it is created' }),
  systemNamespace: text('SYSTEM_NAMESPACE', { default: 'knative-eventing', about: 'namespace of the ConfigMaps config-kafka-features, config-kafka-source-data-plane and config-kafka-logging' }),
  drainTimeoutMs: durationMs('DRAIN_TIMEOUT', { default: '8s', about: 'time that deliveries under way get after SIGTERM; with 5 s shorter than terminationGracePeriodSeconds' }),
  logLevel: oneOf('LOG_LEVEL', logLevels, { default: 'info', about: 'how much is logged, where the ConfigMap config-kafka-logging does not say' }),
};

export type DispatcherConfig = Config<typeof settings>;

/** @throws Fault SETTINGS_INVALID that names all that is wrong, or does not go together */
export function readDispatcherSettings(env: Readonly<Record<string, string | undefined>>): DispatcherConfig {
  const config = readSettings(settings, env);
  if (config.serves !== 'sources') return config;
  const problems = [];
  if (config.podName === undefined) problems.push('POD_NAME is required to serve KafkaSources: they are placed on it');
  for (const name of ['kafkaBrokers', 'kafkaSecretDir', 'kafkaSecret', 'channel'] as const) {
    if (config[name] !== undefined) problems.push(`${settings[name].env} is for KafkaChannels, and SERVES=sources serves none: each KafkaSource says where its Kafka is`);
  }
  if (problems.length > 0) throw new Fault('SETTINGS_INVALID', problems.join('\n'), { retriable: false });
  return config;
}
