/**
 * The pods of an installation, as they run: who they are, what they say, and what can be seen from inside of them.
 */
import { systemNamespace, type Cluster } from './cluster.ts';

export type Component = 'kafka-controller' | 'channel-receiver' | 'dispatcher' | 'source-dispatcher';

export interface SystemPod {
  readonly name: string;
  readonly uid: string;
  /** Of its container. */
  readonly restarts: number;
  readonly serviceAccount: string;
}

/** Pods of the chart and of what its controller makes, without those that are being removed, by name. */
export async function systemPods(cluster: Cluster, component?: Component): Promise<readonly SystemPod[]> {
  const selector = ['app.kubernetes.io/name=knative-kafka', ...(component === undefined ? [] : [`app.kubernetes.io/component=${component}`])].join(',');
  const pods = (await cluster.list('pods', '--namespace', systemNamespace, '--selector', selector)).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  return pods
    .map(({ metadata: { name, uid = '' }, spec, status }) => {
      const containers = (status?.['containerStatuses'] ?? []) as readonly { readonly restartCount: number }[];
      return { name, uid, restarts: containers.reduce((sum, { restartCount }) => sum + restartCount, 0), serviceAccount: String(spec?.['serviceAccountName']) };
    })
    .sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** Lines that a pod has logged, oldest first. */
export async function logOf(cluster: Cluster, pod: SystemPod): Promise<readonly LogLine[]> {
  const text = await cluster.kubectl(['logs', pod.name, '--namespace', systemNamespace]);
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as LogLine);
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** Sum of the samples of a metric whose labels are these and any others. @returns undefined where there are none */
export async function metricOf(cluster: Cluster, pod: SystemPod, name: string, labels: Readonly<Record<string, string>>): Promise<number | undefined> {
  const text = await cluster.kubectl(['get', '--raw', `/api/v1/namespaces/${systemNamespace}/pods/${pod.name}:9090/proxy/metrics`]);
  const isMeant = (line: string): boolean => line.startsWith(`${name}{`) && Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`));
  const samples = text.split('\n').filter(isMeant).map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)));
  return samples.length === 0 ? undefined : samples.reduce((sum, value) => sum + value, 0);
}

/**
 * Runs a program in a pod's container, beside the service, with the Node that the service runs on.
 *
 * @param source a CommonJS program; it prints one JSON value
 */
export async function runInPod<T>(cluster: Cluster, pod: SystemPod, source: string): Promise<T> {
  // Images need not have Node in their PATH, but the first process of the container is one.
  return JSON.parse(await cluster.kubectl(['exec', pod.name, '--namespace', systemNamespace, '--', '/proc/1/exe', '--eval', source])) as T;
}
