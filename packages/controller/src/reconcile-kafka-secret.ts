/**
 * One receiver for each Kafka Secret: a Deployment and a Service, which belong to the Secret and go with it.
 */
import { shortHash } from '@knative-kafka/common/core';
import { resourceTypes, type KubernetesApi } from '@knative-kafka/common/io';
import type { Caches } from './caches.ts';
import { desiredReceiver, secretAnnotation, secretLabel } from './core/desired-receiver.ts';
import { candidatesOf, defaultKafkaSecret } from './core/kafka-secret-choice.ts';
import { isDeleting } from './core/objects.ts';
import type { Workloads } from './core/pod-template.ts';
import { applyDrifted } from './io/apply-drifted.ts';
import type { RecordEvent } from './io/event-recorder.ts';
import type { KafkaClusters } from './io/kafka-clusters.ts';

export interface KafkaSecretReconcilerParts {
  readonly api: KubernetesApi;
  readonly caches: Caches;
  readonly kafka: KafkaClusters;
  readonly workloads: Workloads;
  readonly record: RecordEvent;
}

/** @returns reconciles the Kafka Secret of a name */
export function createKafkaSecretReconciler({ api, caches, kafka, workloads, record }: KafkaSecretReconcilerParts): (name: string) => Promise<object | undefined> {
  const toldProblems = new Map<string, string>();
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
      { isDefault: defaultKafkaSecret(candidatesOf(secrets)) === name, replicas: deployments[0]?.spec?.replicas },
      workloads,
    );
    if (isGone) {
      kafka.forget(name);
      toldProblems.delete(name);
    } else {
      const admin = kafka.adminOf(secret);
      const problem = 'reason' in admin ? admin.message : undefined;
      if (problem !== undefined && toldProblems.get(name) !== problem) record({ regarding: secret, type: 'Warning', reason: 'KafkaSecretInvalid', note: problem, action: 'Reconcile' });
      if (problem === undefined) toldProblems.delete(name);
      else toldProblems.set(name, problem);
    }

    if (desired !== undefined) {
      await applyDrifted(api, resourceTypes.deployment, desired.deployment, deployments.find(({ metadata }) => metadata.name === desired.deployment.metadata.name));
      await applyDrifted(api, resourceTypes.service, desired.service, services.find(({ metadata }) => metadata.name === desired.service.metadata.name));
    }
    // Another name: the Secret has become the default one, or is it no more.
    for (const [type, objects, kept] of [[resourceTypes.deployment, deployments, desired?.deployment], [resourceTypes.service, services, desired?.service]] as const) {
      for (const { metadata } of objects) if (metadata.name !== kept?.metadata.name) await api.delete(type, { namespace: workloads.systemNamespace, name: metadata.name });
    }
    return isGone ? undefined : {};
  };
}
