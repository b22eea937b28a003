/**
 * The kinds that are watched or written, and where the API server serves them.
 */
import type { ResourceType } from './port.ts';

function namespaced(group: string, version: string, kind: string, plural: string): ResourceType {
  return { group, version, kind, plural, isNamespaced: true };
}

export const resourceTypes = {
  kafkaChannel: namespaced('messaging.knative.dev', 'v1', 'KafkaChannel', 'kafkachannels'),
  subscription: namespaced('messaging.knative.dev', 'v1', 'Subscription', 'subscriptions'),
  channel: namespaced('messaging.knative.dev', 'v1', 'Channel', 'channels'),
  kafkaSource: namespaced('sources.knative.dev', 'v1', 'KafkaSource', 'kafkasources'),
  secret: namespaced('', 'v1', 'Secret', 'secrets'),
  configMap: namespaced('', 'v1', 'ConfigMap', 'configmaps'),
  service: namespaced('', 'v1', 'Service', 'services'),
  deployment: namespaced('apps', 'v1', 'Deployment', 'deployments'),
  statefulSet: namespaced('apps', 'v1', 'StatefulSet', 'statefulsets'),
  pod: namespaced('', 'v1', 'Pod', 'pods'),
  role: namespaced('rbac.authorization.k8s.io', 'v1', 'Role', 'roles'),
  roleBinding: namespaced('rbac.authorization.k8s.io', 'v1', 'RoleBinding', 'rolebindings'),
  lease: namespaced('coordination.k8s.io', 'v1', 'Lease', 'leases'),
  event: namespaced('events.k8s.io', 'v1', 'Event', 'events'),
  customResourceDefinition: { group: 'apiextensions.k8s.io', version: 'v1', kind: 'CustomResourceDefinition', plural: 'customresourcedefinitions', isNamespaced: false },
} as const satisfies Record<string, ResourceType>;

/** `v1`, or `group/version`. */
export function apiVersionOf({ group, version }: ResourceType): string {
  return group === '' ? version : `${group}/${version}`;
}
