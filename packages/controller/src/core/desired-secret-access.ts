/**
 * What lets the dispatchers of KafkaSources read the Secrets that one source names, and nothing else: a Role and a
 * RoleBinding in the source's namespace, which belong to the source and go with it.
 */
import type { ObjectMeta } from '@knative-kafka/common/core';
import { withAppliedHash, type DesiredObject } from './drift.ts';
import { labelsOf, type Workloads } from './pod-template.ts';

/** Of both. Of the uid, because the name of a source may be as long as theirs may. */
export function secretAccessName({ uid }: Pick<ObjectMeta, 'uid'>): string {
  return `kafka-source-${uid}`;
}

/** @param secrets names, at least one */
export function desiredSecretAccess(source: ObjectMeta, secrets: readonly string[], workloads: Workloads): { readonly role: DesiredObject; readonly roleBinding: DesiredObject } {
  const name = secretAccessName(source);
  const metadata = {
    name,
    namespace: source.namespace,
    labels: labelsOf('source-dispatcher'),
    annotations: { 'kafka.eventing.knative.dev/source': source.name },
    ownerReferences: [{ apiVersion: 'sources.knative.dev/v1', kind: 'KafkaSource', name: source.name, uid: source.uid, controller: true, blockOwnerDeletion: false }],
  };
  const header = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata };
  return {
    role: withAppliedHash({ ...header, kind: 'Role', rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: [...secrets], verbs: ['get'] }] }),
    roleBinding: withAppliedHash({
      ...header,
      kind: 'RoleBinding',
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name: workloads.sourceDispatcherServiceAccount, namespace: workloads.systemNamespace }],
    }),
  };
}
