/**
 * What the pods of receivers and dispatchers have in common: a container that may do next to nothing, its Kafka Secret
 * as files, probes, and time to drain.
 */

/** Which images run, and where; from the controller's own settings. */
export interface Workloads {
  readonly systemNamespace: string;
  readonly clusterDomain: string;
  readonly receiverImage: string;
  readonly dispatcherImage: string;
  readonly imagePullPolicy: string;
  readonly receiverServiceAccount: string;
  readonly dispatcherServiceAccount: string;
  readonly logLevel: string;
}

/** Label of everything here, and of what it is. */
export const componentLabel = 'app.kubernetes.io/component';
export const managedBy = { 'app.kubernetes.io/managed-by': 'kafka-controller' } as const;

export function labelsOf(component: 'channel-receiver' | 'dispatcher'): Readonly<Record<string, string>> {
  return { 'app.kubernetes.io/name': 'knative-kafka', 'app.kubernetes.io/part-of': 'knative-kafka', [componentLabel]: component, ...managedBy };
}

const secretFolder = '/etc/knative-kafka/kafka-secret';
export const metricsPort = 9090;

/** Longer than a drain with everything around it may take. */
const terminationGracePeriodSeconds = 60;

export interface PodOptions {
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccountName: string;
  readonly container: string;
  readonly image: string;
  readonly imagePullPolicy: string;
  readonly env: Readonly<Record<string, string>>;
  /** Whether the pod is told its own name. */
  readonly hasPodName?: boolean;
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly kafkaSecret: string;
  readonly resources: { readonly requests: Readonly<Record<string, string>>; readonly limits: Readonly<Record<string, string>> };
}

/** `spec.template` of a Deployment. */
export function podTemplate(options: PodOptions): object {
  const env = { ...options.env, METRICS_PORT: String(metricsPort), KAFKA_SECRET_DIR: secretFolder, KAFKA_SECRET: options.kafkaSecret };
  return {
    metadata: { labels: options.labels },
    spec: {
      serviceAccountName: options.serviceAccountName,
      terminationGracePeriodSeconds,
      securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: options.container,
          image: options.image,
          imagePullPolicy: options.imagePullPolicy,
          env: [
            ...Object.entries(env).map(([name, value]) => ({ name, value })),
            ...(options.hasPodName === true ? [{ name: 'POD_NAME', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } }] : []),
          ],
          ports: [...options.ports, { name: 'metrics', containerPort: metricsPort }],
          readinessProbe: { httpGet: { path: '/readyz', port: 'metrics' }, periodSeconds: 5, failureThreshold: 2 },
          livenessProbe: { httpGet: { path: '/healthz', port: 'metrics' }, periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 5 },
          startupProbe: { httpGet: { path: '/healthz', port: 'metrics' }, periodSeconds: 1, failureThreshold: 60 },
          resources: options.resources,
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
          volumeMounts: [{ name: 'kafka-secret', mountPath: secretFolder, readOnly: true }],
        },
      ],
      volumes: [{ name: 'kafka-secret', secret: { secretName: options.kafkaSecret } }],
    },
  };
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

/**
 * How many replicas to ask for: none where there is nothing to do, else at least one, and what somebody else asked for
 * (an autoscaler, a person) is left alone.
 *
 * @param observed `spec.replicas` now; undefined while there is no Deployment
 */
export function desiredReplicas(isNeeded: boolean, observed: number | undefined): number {
  return isNeeded ? Math.max(1, observed ?? 1) : 0;
}
