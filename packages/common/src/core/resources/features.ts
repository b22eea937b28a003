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
}

/** @param namespace the system namespace; the ConfigMap counts there only */
export function readFeatures(configMaps: readonly ConfigMap[], namespace: string): Features {
  const data = configMaps.find(({ metadata }) => metadata.namespace === namespace && metadata.name === featuresConfigMap)?.data;
  const template = data?.['channels-topic-template']?.trim();
  return {
    isDeadLetterTopicEnabled: isEnabled(data?.['dead-letter-topic']),
    channelsTopicTemplate: template === undefined || template === '' ? defaultTopicTemplate : template,
  };
}

function isEnabled(value: string | undefined): boolean {
  return value?.trim().toLowerCase() === 'enabled';
}
