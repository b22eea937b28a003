/**
 * One receiver for each Kafka Secret: a Deployment and a Service, which belong to the Secret and go with it. And a look
 * at its Kafka, again and again, so that a password that is no longer right is told before anybody needs it.
 */
import { shortHash } from '@knative-kafka/common/core';
import { resourceTypes, type KubernetesApi } from '@knative-kafka/common/io';
import type { Caches } from './caches.ts';
import { desiredReceiver, secretAnnotation, secretLabel } from './core/desired-receiver.ts';
import { candidatesOf, defaultKafkaSecret } from './core/kafka-secret-choice.ts';
import type { Problem } from './core/channel-status.ts';
import { isSameTrouble } from './core/kafka-access.ts';
import { isDeleting, type SecretObject } from './core/objects.ts';
import type { Workloads } from './core/pod-template.ts';
import { applyDrifted } from './io/apply-drifted.ts';
import type { RecordEvent } from './io/event-recorder.ts';
import type { KafkaAccess, KafkaClusters } from './io/kafka-clusters.ts';

export interface KafkaSecretReconcilerParts {
  readonly api: KubernetesApi;
  readonly caches: Caches;
  readonly kafka: KafkaClusters;
  readonly workloads: Workloads;
  readonly record: RecordEvent;
}

/** Between two looks at a Kafka that lets us in, and at one that does not or says nothing. */
const lookEveryMs = 20_000;
const lookAgainMs = 5_000;

/** @returns reconciles the Kafka Secret of a name */
export function createKafkaSecretReconciler({ api, caches, kafka, workloads, record }: KafkaSecretReconcilerParts): (name: string) => Promise<{ readonly requeueAfterMs: number } | undefined> {
  const toldProblems = new Map<string, Problem>();
  const tell = (secret: SecretObject, access: KafkaAccess): void => {
    const { name } = secret.metadata;
    const [before, now] = [toldProblems.get(name), 'reason' in access ? access : undefined];
    if (isSameTrouble(before, now)) return;
    if (now === undefined) {
      toldProblems.delete(name);
      record({ regarding: secret, type: 'Normal', reason: 'KafkaReachable', note: 'Kafka lets us in again', action: 'Reconcile' });
    } else {
      toldProblems.set(name, now);
      record({ regarding: secret, type: 'Warning', reason: now.reason, note: now.message, action: 'Reconcile' });
    }
  };
  return async (name) => {
    const secrets = caches.kafkaSecrets();
    const secret = secrets.find(({ metadata }) => metadata.name === name);
    const isGone = secret === undefined || isDeleting(secret);
    const ofSecret = ({ metadata }: { readonly metadata: { readonly labels?: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> } }): boolean =>
      metadata.labels?.[secretLabel] === shortHash(name) && metadata.annotations?.[secretAnnotation] === name;
    const deployments = caches.deployments.list().filter(ofSecret);
    const services = caches.receiverServices.list().filter(ofSecret);

    const desired = isGone ? undefined : desiredReceiver(
      { name, uid: secret.metadata.uid ?? '' },
      { isDefault: defaultKafkaSecret(candidatesOf(secrets)) === name, observed: deployments[0] },
      workloads,
    );
    if (isGone) {
      kafka.forget(name);
      toldProblems.delete(name);
    }

    if (desired !== undefined) {
      await applyDrifted(api, resourceTypes.deployment, desired.deployment, deployments.find(({ metadata }) => metadata.name === desired.deployment.metadata.name));
      await applyDrifted(api, resourceTypes.service, desired.service, services.find(({ metadata }) => metadata.name === desired.service.metadata.name));
    }
    // Another name: the Secret has become the default one, or is it no more.
    for (const [type, objects, kept] of [[resourceTypes.deployment, deployments, desired?.deployment], [resourceTypes.service, services, desired?.service]] as const) {
      for (const { metadata } of objects) if (metadata.name !== kept?.metadata.name) await api.delete(type, { namespace: workloads.systemNamespace, name: metadata.name });
    }
    if (isGone) return undefined;
    // Last, because it takes its time where nobody answers.
    const access = await kafka.look(secret);
    tell(secret, access);
    return { requeueAfterMs: 'admin' in access && !access.isSilent ? lookEveryMs : lookAgainMs };
  };
}
