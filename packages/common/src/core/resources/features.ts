/**
 * Features of the whole installation, switched in the ConfigMap `config-kafka-features` as in eventing-kafka-broker.
 *
 * A switch holds `enabled` or `disabled`, in any case; absent or anything else is the default.
 */
import { defaultTopicTemplate } from '../kafka-names.ts';
import type { ConfigMap } from './core-objects.ts';

export const featuresConfigMap = 'config-kafka-features';

export interface Features {
  /** Events that no dead letter sink is there for are kept in a dead letter topic. */
  readonly isDeadLetterTopicEnabled: boolean;
  /** What the topics of new channels are called, see `topicName`. */
  readonly channelsTopicTemplate: string;
  /** KafkaSources send no faster than their vreplicas allow, see `eventsPerSecondPerVreplica`. */
  readonly isRateLimiterEnabled: boolean;
}

/** Its keys, for the page that lists them. */
export const featureKeys = {
  channelsTopicTemplate: {
    key: 'channels-topic-template',
    default: defaultTopicTemplate,
    about: 'name of the topic of a new KafkaChannel: a Go template with `.Namespace`, `.Name` and `.UID`, no more; a channel keeps the topic that it has',
  },
  deadLetterTopic: {
    key: 'dead-letter-topic',
    default: 'disabled',
    about: '`enabled` keeps events that cannot be delivered and have no dead letter sink in a topic beside the channel\'s; otherwise they are dropped, and counted',
  },
  rateLimiter: {
    key: 'dispatcher.rate-limiter',
    default: 'disabled',
    about: '`enabled` limits every KafkaSource to `max.poll.records` events a second for each of its vreplicas; `dispatcher-rate-limiter` means the same where this key is absent; the annotation `kafka.eventing.knative.dev/dispatcher.rate-limiter` of a KafkaSource wins',
  },
} as const;

/** Its name in the ConfigMap that eventing-kafka-broker installs. */
const rateLimiterAlias = 'dispatcher-rate-limiter';

/** @param namespace the system namespace; the ConfigMap counts there only */
export function readFeatures(configMaps: readonly ConfigMap[], namespace: string): Features {
  const data = configMaps.find(({ metadata }) => metadata.namespace === namespace && metadata.name === featuresConfigMap)?.data;
  const template = data?.[featureKeys.channelsTopicTemplate.key]?.trim();
  return {
    isDeadLetterTopicEnabled: isEnabled(data?.[featureKeys.deadLetterTopic.key]),
    channelsTopicTemplate: template === undefined || template === '' ? featureKeys.channelsTopicTemplate.default : template,
    isRateLimiterEnabled: isEnabled(data?.[featureKeys.rateLimiter.key] ?? data?.[rateLimiterAlias]),
  };
}

function isEnabled(value: string | undefined): boolean {
  return value?.trim().toLowerCase() === 'enabled';
}
