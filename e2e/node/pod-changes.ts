/** Pods of the installation that go, as they should and as they should not, and others that come in their place. */
import { waitFor } from '@knative-kafka/local-cluster';
import type { ClusterObject } from '../cluster/cluster-world.ts';
import { patienceMs, systemNamespace, type Cluster } from './cluster.ts';
import type { Component } from './system-pods.ts';

export interface RunningPod {
  readonly component: Component;
  readonly name: string;
  /** Tells it from another of the same name. */
  readonly uid: string;
  /** Without the name of the container runtime. */
  readonly containerId: string;
  readonly restarts: number;
  /** Of its container; infinite where there is none. */
  readonly memoryLimitBytes: number;
  /** Why the container before this one ended, in Kubernetes' words; empty where there was none. */
  readonly lastEnd: string;
  /** And not about to end. */
  readonly isReady: boolean;
}

/** Those that are not gone, ending ones included. */
export async function runningPods(cluster: Cluster, component: Component): Promise<readonly RunningPod[]> {
  return (await cluster.list('pods', '--namespace', systemNamespace, '--selector', selectorOf(component))).map((pod) => asRunning(component, pod));
}

/** Begins a rolling update, and waits until no pod is left of those before. */
export async function rollOut(cluster: Cluster, component: Component): Promise<void> {
  await whileReplaced(cluster, [component], async () => {
    await cluster.kubectl(['rollout', 'restart', 'deployment', '--namespace', systemNamespace, '--selector', selectorOf(component)]);
  });
}

/** Does what replaces the pods of these, and waits until each is gone, and as many others are there and ready. */
export async function whileReplaced(cluster: Cluster, components: readonly Component[], replace: () => Promise<void>): Promise<void> {
  const before = await Promise.all(components.map((component) => runningPods(cluster, component)));
  await replace();
  for (const [index, component] of components.entries()) {
    const old = before[index] ?? [];
    await waitFor(`others in place of ${old.map(({ name }) => name).join(', ')}`, async () => {
      const now = await runningPods(cluster, component);
      return now.length >= old.length && now.every(({ uid, isReady }) => isReady && !old.some((pod) => pod.uid === uid));
    }, { timeoutMs: patienceMs, everyMs: 500 });
  }
}

/** The API server forgets the pod at once, as it is done where a machine does not come back. The kubelet ends it within seconds. */
export async function deleteByForce(cluster: Cluster, { name }: RunningPod): Promise<void> {
  await cluster.kubectl(['delete', 'pod', name, '--namespace', systemNamespace, '--grace-period=0', '--force']);
}

/** SIGKILL for the program of a pod; waits until it has been started again and is ready. */
export async function killProgram(cluster: Cluster, pod: RunningPod): Promise<void> {
  await cluster.control.killContainer(pod.containerId);
  await untilStartedAgain(cluster, pod);
}

/** The kernel ends the program of a pod for want of memory; waits until it has been started again and is ready. @returns the pod then */
export async function exhaustMemory(cluster: Cluster, pod: RunningPod): Promise<RunningPod> {
  await cluster.control.exhaustMemory(pod.containerId);
  return untilStartedAgain(cluster, pod);
}

async function untilStartedAgain(cluster: Cluster, { component, uid, name, restarts }: RunningPod): Promise<RunningPod> {
  return waitFor(`${name} to be ready again`, async () => {
    const now = (await runningPods(cluster, component)).find((pod) => pod.uid === uid);
    return now !== undefined && now.restarts > restarts && now.isReady && now;
  }, { timeoutMs: patienceMs, everyMs: 500 });
}

function selectorOf(component: Component): string {
  return `app.kubernetes.io/name=knative-kafka,app.kubernetes.io/component=${component}`;
}

function asRunning(component: Component, { metadata, spec, status }: ClusterObject): RunningPod {
  const [{ resources } = {}] = (spec?.['containers'] ?? []) as { resources?: { limits?: { memory?: string } } }[];
  const [container] = (status?.['containerStatuses'] ?? []) as { containerID?: string; restartCount: number; ready: boolean; lastState?: { terminated?: { reason?: string } } }[];
  return {
    component,
    name: metadata.name,
    uid: metadata.uid ?? '',
    containerId: (container?.containerID ?? '').replace(/^.*:\/\//, ''),
    restarts: container?.restartCount ?? 0,
    memoryLimitBytes: asBytes(resources?.limits?.memory),
    lastEnd: container?.lastState?.terminated?.reason ?? '',
    isReady: container?.ready === true && metadata.deletionTimestamp === undefined,
  };
}

/** @param quantity in Mi or Gi, as the chart has them */
function asBytes(quantity: string | undefined): number {
  if (quantity === undefined) return Number.POSITIVE_INFINITY;
  const [, count = '', unit = ''] = /^(\d+)(Mi|Gi)$/.exec(quantity) ?? [];
  return Number(count) * (unit === 'Gi' ? 2 ** 30 : 2 ** 20);
}
