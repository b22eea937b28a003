/** The controller's settings; the README's table is printed from it. */
import { count, durationMs, json, logLevels, oneOf, optional, port, text, type Config } from '@knative-kafka/common/core';
import { readPodSettings, readSourcePodSettings } from './core/pod-settings.ts';

const pod = { default: '{}', expects: 'a JSON object' };

export const settings = {
  metricsPort: port('METRICS_PORT', { default: 9090, about: 'metrics and probes' }),
  kubeconfig: optional('KUBECONFIG', { about: 'file that says how to reach the API server; the pod\'s own ServiceAccount when unset' }),
  systemNamespace: text('SYSTEM_NAMESPACE', { default: 'knative-eventing', about: 'namespace of Kafka Secrets, ConfigMaps, receivers and dispatchers' }),
  eventingNamespace: text('EVENTING_NAMESPACE', { default: 'knative-eventing', about: 'where Knative Eventing\'s own controllers are looked for; while they run, Subscriptions and Channels are theirs' }),
  clusterDomain: text('CLUSTER_DOMAIN', { default: 'cluster.local', about: 'DNS domain of the cluster, part of every address' }),
  podName: optional('POD_NAME', { about: 'names this process in the election of a leader; the host name when unset' }),
  receiverImage: text('RECEIVER_IMAGE', { default: 'knative-kafka/channel-receiver:0.1.0', about: 'image of the receivers' }),
  dispatcherImage: text('DISPATCHER_IMAGE', { default: 'knative-kafka/dispatcher:0.1.0', about: 'image of the dispatchers' }),
  imagePullPolicy: oneOf('IMAGE_PULL_POLICY', ['IfNotPresent', 'Always', 'Never'], { default: 'IfNotPresent', about: 'of both' }),
  receiverServiceAccount: text('RECEIVER_SERVICE_ACCOUNT', { default: 'kafka-channel-receiver', about: 'ServiceAccount of the receivers' }),
  dispatcherServiceAccount: text('DISPATCHER_SERVICE_ACCOUNT', { default: 'kafka-channel-dispatcher', about: 'ServiceAccount of the dispatchers' }),
  dataPlaneLogLevel: oneOf('DATA_PLANE_LOG_LEVEL', logLevels, { default: 'info', about: 'the LOG_LEVEL of receivers and dispatchers' }),
  receiverPod: json('RECEIVER_POD', { ...pod, about: 'of the pods of receivers: replicas, logLevel, resources, env, nodeSelector, tolerations, affinity, topologySpreadConstraints, priorityClassName, labels, annotations, imagePullSecrets' }, (value) => readPodSettings(value, logLevels)),
  dispatcherPod: json('DISPATCHER_POD', { ...pod, about: 'the same of the pods of dispatchers' }, (value) => readPodSettings(value, logLevels)),
  sourceDispatcherServiceAccount: text('SOURCE_DISPATCHER_SERVICE_ACCOUNT', { default: 'kafka-source-dispatcher', about: 'ServiceAccount of the dispatchers of KafkaSources' }),
  sourceDispatcherPod: json('SOURCE_DISPATCHER_POD', { ...pod, about: 'the same of the pods of source dispatchers, without replicas' }, (value) => readSourcePodSettings(value, logLevels)),
  podCapacity: count('POD_CAPACITY', { default: 20, max: 1000, about: 'vreplicas that one pod of the source dispatchers may hold, of all KafkaSources together' }),
  minReplicas: count('DISPATCHERS_MIN_REPLICAS', { default: 0, min: 0, max: 1000, about: 'pods over which vreplicas are spread although fewer could hold them, so that a source of several vreplicas goes on when a pod is lost; never more than there are vreplicas' }),
  shrinkDelayMs: durationMs('SHRINK_DELAY', { default: '60s', about: 'how long source dispatchers that are not needed stay, in case they are needed again' }),
  podPatienceMs: durationMs('POD_PATIENCE', { default: '60s', about: 'how long a source dispatcher that is not Ready any more, or gone, keeps its vreplicas before others take them' }),
  workers: count('WORKERS', { default: 8, max: 100, about: 'resources of a kind that are worked on at a time' }),
  requestsPerSecond: count('KUBERNETES_REQUESTS_PER_SECOND', { default: 100, about: 'the most that is asked of the API server over time; twice as many at once; Events have a fifth of it beside that' }),
  deletionPatienceMs: durationMs('DELETION_PATIENCE', { default: '2m', about: 'how long the deletion of a channel or a KafkaSource waits for Kafka, and that of a Subscription for a channel that cannot be written; what is left then is told in an Event' }),
  groupLingerMs: durationMs('GROUP_LINGER', { default: '30s', about: 'how long the consumer group of a subscriber that vanished is kept' }),
  topicRecheckMs: durationMs('TOPIC_RECHECK', { default: '5m', about: 'how often a topic that is as it should be is looked at again' }),
  kafkaRequestTimeoutMs: durationMs('KAFKA_REQUEST_TIMEOUT', { default: '10s', about: 'how long one request to a broker may take' }),
  kafkaConnectTimeoutMs: durationMs('KAFKA_CONNECT_TIMEOUT', { default: '3s', about: 'how long a connection to a broker may take' }),
  leaseDurationMs: durationMs('LEASE_DURATION', { default: '15s', about: 'after this long without a sign another controller leads' }),
  logLevel: oneOf('LOG_LEVEL', logLevels, { default: 'info', about: 'how much is logged, where the ConfigMap config-kafka-logging does not say' }),
};

export type ControllerConfig = Config<typeof settings>;
