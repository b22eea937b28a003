/**
 * The StatefulSet whose pods deliver the events of all KafkaSources: in the system namespace, as many pods as vreplicas
 * need, and none while there is nothing to place.
 *
 * A StatefulSet, because a pod that comes back has its old name: what is placed on it stays there, and a consumer group
 * gives its partitions back to the member of that name. All pods come and go at a time; none waits for another.
 */
import { withAppliedHash, type DesiredObject } from './drift.ts';
import { sourceDispatcher } from './placement.ts';
import { componentLabel, labelsOf, managedBy, podTemplate, type Workloads } from './pod-template.ts';

const selector = { [componentLabel]: 'source-dispatcher' } as const;

/** By which its pods are found, among all of the system namespace. */
export const sourceDispatcherLabels: Readonly<Record<string, string>> = { ...selector, ...managedBy };

/**
 * By default a pod may use twice the memory of a channel's dispatcher: it has a member for each source placed on it, up
 * to POD_CAPACITY of them, which share one limit for queued records and differ from one by their connections and fetch
 * buffers.
 */
const defaultResources = { requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '1Gi' } };

/** @param replicas ours alone: what somebody else asks for is put back */
export function desiredSourceDispatcher(replicas: number, workloads: Workloads): DesiredObject & { readonly spec: { readonly replicas: number; readonly template: object } } {
  const settings = workloads.sourceDispatcherPod;
  const labels = labelsOf('source-dispatcher');
  return withAppliedHash(
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: sourceDispatcher, namespace: workloads.systemNamespace, labels },
      spec: {
        replicas,
        // Required; no Service of this name is needed, because nobody calls these pods.
        serviceName: sourceDispatcher,
        podManagementPolicy: 'Parallel',
        updateStrategy: { type: 'RollingUpdate' },
        selector: { matchLabels: selector },
        template: podTemplate({
          labels,
          selector,
          serviceAccountName: workloads.sourceDispatcherServiceAccount,
          container: 'dispatcher',
          image: workloads.dispatcherImage,
          imagePullPolicy: workloads.imagePullPolicy,
          env: { SERVES: 'sources', SYSTEM_NAMESPACE: workloads.systemNamespace, LOG_LEVEL: settings.logLevel ?? workloads.logLevel, DRAIN_TIMEOUT: '30s' },
          hasPodName: true,
          ports: [],
          resources: defaultResources,
          settings,
        }),
      },
    },
    ['replicas'],
  );
}
