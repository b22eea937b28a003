/**
 * What the pods of receivers and dispatchers have in common: a container that may do next to nothing, its Kafka Secret
 * as files where it has one, probes, and time to drain.
 */

import type { EnvVar, PodSettings, Resources } from './pod-settings.ts';

/** Which images run, and where; from the controller's own settings. */
export interface Workloads {
  readonly systemNamespace: string;
  readonly clusterDomain: string;
  readonly receiverImage: string;
  readonly dispatcherImage: string;
  readonly imagePullPolicy: string;
  readonly receiverServiceAccount: string;
  readonly dispatcherServiceAccount: string;
  readonly sourceDispatcherServiceAccount: string;
  /** Where none of the next three says another one. */
  readonly logLevel: string;
  readonly receiverPod: PodSettings;
  readonly dispatcherPod: PodSettings;
  readonly sourceDispatcherPod: PodSettings;
}

/** Label of everything here, and of what it is. */
export const componentLabel = 'app.kubernetes.io/component';
export const managedBy = { 'app.kubernetes.io/managed-by': 'kafka-controller' } as const;

export function labelsOf(component: 'channel-receiver' | 'dispatcher' | 'source-dispatcher'): Readonly<Record<string, string>> {
  return { 'app.kubernetes.io/name': 'knative-kafka', 'app.kubernetes.io/part-of': 'knative-kafka', [componentLabel]: component, ...managedBy };
}

const secretFolder = '/etc/knative-kafka/kafka-secret';
export const metricsPort = 9090;

/** Longer than a drain with everything around it may take. */
const terminationGracePeriodSeconds = 60;

export interface PodOptions {
  readonly labels: Readonly<Record<string, string>>;
  /** Labels by which its Deployment, or its StatefulSet, finds its pods. */
  readonly selector: Readonly<Record<string, string>>;
  readonly serviceAccountName: string;
  readonly container: string;
  readonly image: string;
  readonly imagePullPolicy: string;
  readonly env: Readonly<Record<string, string>>;
  /** Whether the pod is told its own name. */
  readonly hasPodName?: boolean;
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  /** None where the pod reads its Secrets through the API server. */
  readonly kafkaSecret?: string;
  /** Where the settings say nothing. */
  readonly resources: Resources;
  /** What the installation wants. */
  readonly settings: PodSettings;
}

/** `spec.template` of a Deployment or a StatefulSet. */
export function podTemplate(options: PodOptions): object {
  const { settings, selector, kafkaSecret } = options;
  const env = { ...options.env, METRICS_PORT: String(metricsPort), ...(kafkaSecret === undefined ? {} : { KAFKA_SECRET_DIR: secretFolder, KAFKA_SECRET: kafkaSecret }) };
  const ownEnv = [
    ...Object.entries(env).map(([name, value]) => ({ name, value })),
    ...(options.hasPodName === true ? [{ name: 'POD_NAME', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } }] : []),
  ];
  return {
    metadata: { labels: { ...settings.labels, ...options.labels }, ...(settings.annotations === undefined ? {} : { annotations: settings.annotations }) },
    spec: {
      serviceAccountName: options.serviceAccountName,
      automountServiceAccountToken: true,
      ...placement(settings, selector),
      terminationGracePeriodSeconds,
      securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: options.container,
          image: options.image,
          imagePullPolicy: options.imagePullPolicy,
          env: mergedEnv(ownEnv, settings.env ?? []),
          ports: [...options.ports, { name: 'metrics', containerPort: metricsPort }],
          readinessProbe: { httpGet: { path: '/readyz', port: 'metrics' }, periodSeconds: 5, failureThreshold: 2 },
          livenessProbe: { httpGet: { path: '/healthz', port: 'metrics' }, periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 5 },
          startupProbe: { httpGet: { path: '/healthz', port: 'metrics' }, periodSeconds: 1, failureThreshold: 60 },
          resources: settings.resources ?? options.resources,
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
          ...(kafkaSecret === undefined ? {} : { volumeMounts: [{ name: 'kafka-secret', mountPath: secretFolder, readOnly: true }] }),
        },
      ],
      ...(kafkaSecret === undefined ? {} : { volumes: [{ name: 'kafka-secret', secret: { secretName: kafkaSecret } }] }),
    },
  };
}

/** On which nodes, how urgently, and with which rights to pull the image. */
function placement({ nodeSelector, tolerations, affinity, topologySpreadConstraints, priorityClassName, imagePullSecrets }: PodSettings, selector: Readonly<Record<string, string>>): object {
  return {
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
    ...(tolerations === undefined ? {} : { tolerations }),
    ...(affinity === undefined ? {} : { affinity }),
    ...(topologySpreadConstraints === undefined ? {} : { topologySpreadConstraints: topologySpreadConstraints.map((constraint) => ({ labelSelector: { matchLabels: selector }, ...constraint })) }),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
    ...(imagePullSecrets === undefined ? {} : { imagePullSecrets }),
  };
}

/** What an installation sets takes the place of ours. Empty texts are left out, as the API server does. */
function mergedEnv(own: readonly EnvVar[], further: readonly EnvVar[]): readonly EnvVar[] {
  const byName = new Map([...own, ...further].map((variable) => [variable.name, variable]));
  return [...byName.values()].map(({ name, value, valueFrom }) => ({ name, ...(value === undefined || value === '' ? {} : { value }), ...(valueFrom === undefined ? {} : { valueFrom }) }));
}

export interface DesiredDeployment {
  readonly apiVersion: 'apps/v1';
  readonly kind: 'Deployment';
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly object[];
  };
  readonly spec: { readonly replicas: number; readonly selector: object; readonly template: object };
}

/** Annotation of a Deployment: the replicas that the installation wanted when it was applied last. */
export const replicasAnnotation = 'kafka.eventing.knative.dev/replicas-wanted';

/** What counts of a Deployment as it is now. */
export interface ObservedDeployment {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: { readonly replicas?: number };
}

/**
 * How many replicas to ask for: none where there is nothing to do, else what the installation wants, unless somebody else
 * (an autoscaler, a person) has asked for another number since we did: that is left alone.
 *
 * @param wanted   by the installation, at least 1
 * @param observed the Deployment now; undefined while there is none
 */
export function desiredReplicas(isNeeded: boolean, wanted: number, observed: ObservedDeployment | undefined): number {
  if (!isNeeded) return 0;
  const current = observed?.spec?.replicas ?? 0;
  const isAsWeAsked = String(current) === observed?.metadata.annotations?.[replicasAnnotation];
  return current === 0 || isAsWeAsked ? wanted : current;
}
