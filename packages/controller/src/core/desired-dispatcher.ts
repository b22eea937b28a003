/**
 * The Deployment that delivers the events of one KafkaChannel: in the system namespace, so that users' namespaces need
 * no credentials for Kafka, and without pods while nobody subscribes.
 */
import { resourceKey, shortHash, type ResourceName } from '@knative-kafka/common/core';
import { withAppliedHash } from './drift.ts';
import { desiredReplicas, labelsOf, podTemplate, replicasAnnotation, type DesiredDeployment, type ObservedDeployment, type Workloads } from './pod-template.ts';

/** Label: which channel a dispatcher serves, as a hash, because the names of both do not fit. */
export const channelLabel = 'kafka.eventing.knative.dev/channel-hash';
/** Annotation: the same as `namespace/name`. */
export const channelAnnotation = 'kafka.eventing.knative.dev/channel';

const maxNameLength = 63;

/**
 * `<channel>-<namespace>-<hash>-dispatcher`; the first two are cut where they are too long for a label of DNS.
 */
export function dispatcherName(channel: ResourceName): string {
  const suffix = `-${shortHash(resourceKey(channel))}-dispatcher`;
  const head = `${channel.name}-${channel.namespace}`.replaceAll('.', '-').slice(0, maxNameLength - suffix.length);
  return head.replace(/-+$/, '') + suffix;
}

/**
 * @param options.observed the Deployment as it is now; undefined while there is none
 */
export function desiredDispatcher(channel: ResourceName, options: { readonly kafkaSecret: string; readonly hasSubscribers: boolean; readonly observed: ObservedDeployment | undefined }, workloads: Workloads): DesiredDeployment {
  const settings = workloads.dispatcherPod;
  const wanted = settings.replicas ?? 1;
  const selector = { [channelLabel]: shortHash(resourceKey(channel)) };
  const labels = { ...labelsOf('dispatcher'), ...selector };
  return withAppliedHash(
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: dispatcherName(channel), namespace: workloads.systemNamespace, labels, annotations: { [channelAnnotation]: resourceKey(channel), [replicasAnnotation]: String(wanted) } },
      spec: {
        replicas: desiredReplicas(options.hasSubscribers, wanted, options.observed),
        selector: { matchLabels: selector },
        template: podTemplate({
          labels,
          selector,
          serviceAccountName: workloads.dispatcherServiceAccount,
          container: 'dispatcher',
          image: workloads.dispatcherImage,
          imagePullPolicy: workloads.imagePullPolicy,
          env: { CHANNEL: resourceKey(channel), SYSTEM_NAMESPACE: workloads.systemNamespace, LOG_LEVEL: settings.logLevel ?? workloads.logLevel, DRAIN_TIMEOUT: '30s' },
          hasPodName: true,
          ports: [],
          kafkaSecret: options.kafkaSecret,
          resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '512Mi' } },
          settings,
        }),
      },
    },
    ['replicas'],
  );
}
