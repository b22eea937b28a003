/**
 * Which Kafka Secret a KafkaChannel uses: the one its annotation names, else the default one, else the only one.
 */
import { kafkaSecretAnnotation, type KubernetesObject } from '@knative-kafka/common/core';

/** On a Secret in the system namespace, either with the value "true": it tells how to reach a Kafka cluster. The second is knative-kafka's. */
export const kafkaSecretLabels = ['eventing-kafka.knative.dev/kafka-secret', 'knativekafka.kyma-project.io/kafka-secret'] as const;

/** On a Kafka Secret, with the value "true": it serves the KafkaChannels that name none. */
export const defaultSecretAnnotation = 'kafka.eventing.knative.dev/default-kafka-secret';

export interface KafkaSecretCandidate {
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Kafka Secrets as candidates. */
export function candidatesOf(secrets: readonly KubernetesObject[]): readonly KafkaSecretCandidate[] {
  return secrets.map(({ metadata: { name, annotations = {} } }) => ({ name, annotations }));
}

export type KafkaSecretChoice =
  | { readonly name: string; readonly isDefault: boolean }
  | { readonly reason: string; readonly message: string };

/** The name of the default Kafka Secret: of several that are marked the first by name, without any mark the only one. */
export function defaultKafkaSecret(secrets: readonly KafkaSecretCandidate[]): string | undefined {
  const marked = secrets.filter(({ annotations }) => annotations[defaultSecretAnnotation] === 'true').map(({ name }) => name);
  if (marked.length > 0) return marked.sort()[0];
  return secrets.length === 1 ? secrets[0]?.name : undefined;
}

/**
 * @param annotations of the KafkaChannel
 * @param namespace   the system namespace, for the messages
 */
export function chooseKafkaSecret(annotations: Readonly<Record<string, string>>, secrets: readonly KafkaSecretCandidate[], namespace: string): KafkaSecretChoice {
  const asked = annotations[kafkaSecretAnnotation];
  const preferred = defaultKafkaSecret(secrets);
  if (asked !== undefined) {
    if (secrets.some(({ name }) => name === asked)) return { name: asked, isDefault: asked === preferred };
    return { reason: 'KafkaSecretMissing', message: `annotation ${kafkaSecretAnnotation} asks for ${JSON.stringify(asked)}: there is no such Secret with the label ${kafkaSecretLabels[0]}="true" in namespace ${namespace}` };
  }
  if (preferred !== undefined) return { name: preferred, isDefault: true };
  if (secrets.length === 0) return { reason: 'KafkaSecretMissing', message: `there is no Kafka Secret: none in namespace ${namespace} has the label ${kafkaSecretLabels[0]}="true"` };
  const names = secrets.map(({ name }) => name).sort().join(', ');
  return { reason: 'KafkaSecretAmbiguous', message: `there are several Kafka Secrets (${names}) and no default one: annotate the KafkaChannel with ${kafkaSecretAnnotation}, or one Secret with ${defaultSecretAnnotation}="true"` };
}
