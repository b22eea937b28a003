/**
 * The Deployment and the Service that take events for all KafkaChannels of one Kafka Secret.
 *
 * Both belong to the Secret, so that they go with it. The default Secret's are called `kafka-channel-receiver`, which is
 * what people look for; another Secret's have its name behind that.
 */
import { shortHash } from '@knative-kafka/common/core';
import { withAppliedHash, type DesiredObject } from './drift.ts';
import { desiredReplicas, labelsOf, podTemplate, replicasAnnotation, type DesiredDeployment, type ObservedDeployment, type Workloads } from './pod-template.ts';

/** Label: the Kafka Secret that a receiver belongs to, as a hash, because its name may be longer than a label. */
export const secretLabel = 'kafka.eventing.knative.dev/kafka-secret-hash';
/** Annotation: the same as a name. */
export const secretAnnotation = 'kafka.eventing.knative.dev/kafka-secret-name';

const base = 'kafka-channel-receiver';
const maxNameLength = 63;
const httpPort = 8080;

/** Deployment and Service; of a Secret with a long name cut, with a hash that keeps it unique. */
export function receiverName(secret: string, isDefault: boolean): string {
  if (isDefault) return base;
  const plain = `${base}-${secret}`;
  if (plain.length <= maxNameLength && !plain.includes('.')) return plain;
  const suffix = `-${shortHash(secret)}`;
  return plain.replaceAll('.', '-').slice(0, maxNameLength - suffix.length).replace(/-+$/, '') + suffix;
}

export interface DesiredReceiver {
  readonly deployment: DesiredDeployment;
  readonly service: DesiredObject;
}

/**
 * @param options.observed the Deployment as it is now; undefined while there is none
 */
export function desiredReceiver(secret: { readonly name: string; readonly uid: string }, options: { readonly isDefault: boolean; readonly observed: ObservedDeployment | undefined }, workloads: Workloads): DesiredReceiver {
  const name = receiverName(secret.name, options.isDefault);
  const settings = workloads.receiverPod;
  const wanted = settings.replicas ?? 1;
  const selector = { [secretLabel]: shortHash(secret.name) };
  const labels = { ...labelsOf('channel-receiver'), ...selector };
  const metadata = {
    name,
    namespace: workloads.systemNamespace,
    labels,
    annotations: { [secretAnnotation]: secret.name },
    ownerReferences: [{ apiVersion: 'v1', kind: 'Secret', name: secret.name, uid: secret.uid, controller: true, blockOwnerDeletion: false }],
  };
  const deployment: DesiredDeployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { ...metadata, annotations: { ...metadata.annotations, [replicasAnnotation]: String(wanted) } },
    spec: {
      replicas: desiredReplicas(true, wanted, options.observed),
      selector: { matchLabels: selector },
      template: podTemplate({
        labels,
        selector,
        serviceAccountName: workloads.receiverServiceAccount,
        container: 'channel-receiver',
        image: workloads.receiverImage,
        imagePullPolicy: workloads.imagePullPolicy,
        // Endpoints hear of a pod that ends at the time the pod does: it goes on for a moment.
        env: { HTTP_PORT: String(httpPort), CLUSTER_DOMAIN: workloads.clusterDomain, SYSTEM_NAMESPACE: workloads.systemNamespace, LOG_LEVEL: settings.logLevel ?? workloads.logLevel, SHUTDOWN_DELAY: '5s', DRAIN_TIMEOUT: '25s' },
        ports: [{ name: 'http', containerPort: httpPort }],
        kafkaSecret: secret.name,
        resources: { requests: { cpu: '100m', memory: '192Mi' }, limits: { memory: '1Gi' } },
        settings,
      }),
    },
  };
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { type: 'ClusterIP', selector, ports: [{ name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' }] },
  };
  return { deployment: withAppliedHash(deployment, ['replicas']), service: withAppliedHash(service) };
}
