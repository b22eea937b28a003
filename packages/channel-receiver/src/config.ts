/** The receiver's settings; the README's table is printed from it. */
import { bytes, count, durationMs, logLevels, oneOf, optional, optionalBootstrapServers, port, text, type Config } from '@knative-kafka/common/core';

export const settings = {
  httpPort: port('HTTP_PORT', { default: 8080, about: 'where CloudEvents arrive' }),
  metricsPort: port('METRICS_PORT', { default: 9090, about: 'metrics and probes' }),
  kafkaBrokers: optionalBootstrapServers('KAFKA_BROKERS', { about: 'bootstrap servers of Kafka, where it asks for no credentials; this or KAFKA_SECRET_DIR is required' }),
  kafkaSecretDir: optional('KAFKA_SECRET_DIR', { about: 'folder where the Kafka Secret is mounted, one file per key; followed when it changes' }),
  kafkaClient: oneOf('KAFKA_CLIENT', ['platformatic', 'kafkajs'], { default: 'platformatic', about: 'the library that produces' }),
  resourcesDir: optional('RESOURCES_DIR', { about: 'folder of manifests to serve; when unset, the resources of the Kubernetes cluster that this runs in, or that KUBECONFIG names' }),
  kafkaSecret: optional('KAFKA_SECRET', { about: 'name of the Kafka Secret whose KafkaChannels of the cluster to serve; all of them when unset' }),
  clusterDomain: text('CLUSTER_DOMAIN', { default: 'cluster.local', about: 'DNS domain of the cluster, part of long host names' }),
  systemNamespace: text('SYSTEM_NAMESPACE', { default: 'knative-eventing', about: 'namespace of the ConfigMap config-kafka-logging' }),
  produceDeadlineMs: durationMs('PRODUCE_DEADLINE', { default: '30s', about: 'how long an event may wait for Kafka before 503' }),
  produceLingerMs: durationMs('PRODUCE_LINGER', { default: '1ms', about: 'the most that a produce request is put off after the one before it, where thousands of events a second would each make one; 0 for never' }),
  kafkaRequestTimeoutMs: durationMs('KAFKA_REQUEST_TIMEOUT', { default: '10s', about: 'how long one request to a broker may take' }),
  kafkaConnectTimeoutMs: durationMs('KAFKA_CONNECT_TIMEOUT', { default: '3s', about: 'how long a connection to a broker may take' }),
  queueLimitBytes: bytes('QUEUE_LIMIT', { default: '64MiB', about: 'bytes of events in memory; beyond it senders get 429' }),
  batchBodyLimitBytes: bytes('BATCH_BODY_LIMIT', { default: '8MiB', about: 'the largest body of a batch of events' }),
  headerLimitBytes: bytes('HEADER_LIMIT', { default: '32KiB', about: 'the largest head of a request' }),
  fastLane: oneOf('FAST_LANE', ['on', 'off'], { default: 'on', about: 'on reads plain events from the bytes of their requests and leaves all others to Node\'s HTTP server; off leaves all to it' }),
  requestTimeoutMs: durationMs('REQUEST_TIMEOUT', { default: '30s', about: 'how long a sender may take to send a request' }),
  maxConnections: count('MAX_CONNECTIONS', { default: 20_000, about: 'connections open at a time' }),
  shutdownDelayMs: durationMs('SHUTDOWN_DELAY', { default: '0ms', about: 'time between "not ready" and closing the port, for endpoints to notice; with DRAIN_TIMEOUT and 5 s shorter than terminationGracePeriodSeconds' }),
  drainTimeoutMs: durationMs('DRAIN_TIMEOUT', { default: '25s', about: 'time that requests under way get after SIGTERM' }),
  logLevel: oneOf('LOG_LEVEL', logLevels, { default: 'info', about: 'how much is logged, where the ConfigMap config-kafka-logging does not say' }),
};

export type ReceiverConfig = Config<typeof settings>;
