/**
 * Features of the whole installation, switched in the ConfigMap `config-kafka-features` as in eventing-kafka-broker.
 *
 * Each key holds `enabled` or `disabled`, in any case; absent or anything else is the default.
 */
import type { ConfigMap } from './core-objects.ts';

export const featuresConfigMap = 'config-kafka-features';

export interface Features {
  /** Events that no dead letter sink is there for are kept in a dead letter topic. */
  readonly isDeadLetterTopicEnabled: boolean;
}

/** @param namespace the system namespace; the ConfigMap counts there only */
export function readFeatures(configMaps: readonly ConfigMap[], namespace: string): Features {
  const data = configMaps.find(({ metadata }) => metadata.namespace === namespace && metadata.name === featuresConfigMap)?.data;
  return { isDeadLetterTopicEnabled: isEnabled(data?.['dead-letter-topic']) };
}

function isEnabled(value: string | undefined): boolean {
  return value?.trim().toLowerCase() === 'enabled';
}
