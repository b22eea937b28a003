/**
 * Which pods of the StatefulSet take vreplicas, from what is known of the pods.
 *
 * A container that starts again, a rolling update and a pod that is deleted and comes back all look like a pod that is
 * gone, and none of them is worth handing its partitions to others and back. So a pod that was Ready keeps what it has
 * for a while, which begins when it is first seen not to be. It is remembered by its name, because a pod of a
 * StatefulSet comes back under it.
 *
 * Always true: a pod that the StatefulSet will not have any more takes nothing, and one that never was Ready neither.
 */
import { isDeleting, type PodObject } from './objects.ts';
import { ordinalOf, type DispatcherPod } from './placement.ts';

/** On a pod, `"true"`: it is not to have vreplicas. The name is Knative's. */
export const unschedulableAnnotation = 'eventing.knative.dev/unschedulable';

/** Pods that were Ready, by name, and since when they are not (milliseconds); undefined while they are. */
export type KnownPods = ReadonlyMap<string, number | undefined>;

export interface ObservedPods {
  readonly pods: readonly PodObject[];
  /** `spec.replicas` of the StatefulSet: pods from that ordinal on are on their way out. */
  readonly replicas: number;
}

export interface PodStates {
  /** For `placement`; pods of which nothing is known are left out. */
  readonly pods: readonly DispatcherPod[];
  /** Names of those that are Ready now. */
  readonly ready: ReadonlySet<string>;
  readonly known: KnownPods;
  /** When the patience with the first of them runs out, in milliseconds from now. */
  readonly againInMs: number | undefined;
}

/**
 * @param known      as the last call left it; at the start those that have vreplicas, because they were Ready once
 * @param nowMs      of any clock that only goes forward
 * @param patienceMs how long a pod that was Ready keeps what it has
 */
export function podStates({ pods, replicas }: ObservedPods, known: KnownPods, nowMs: number, patienceMs: number): PodStates {
  const byName = new Map(pods.map((pod) => [pod.metadata.name, pod]));
  const names = [...new Set([...byName.keys(), ...known.keys()])].filter((name) => (ordinalOf(name) ?? Infinity) < replicas).sort();
  const states: DispatcherPod[] = [];
  const ready = new Set<string>();
  const stillKnown = new Map<string, number | undefined>();
  let againInMs: number | undefined;
  for (const name of names) {
    const pod = byName.get(name);
    if (pod !== undefined && isReadyPod(pod)) {
      ready.add(name);
      stillKnown.set(name, undefined);
    } else if (known.has(name)) {
      const sinceMs = known.get(name) ?? nowMs;
      const leftMs = sinceMs + patienceMs - nowMs;
      if (leftMs > 0) {
        stillKnown.set(name, sinceMs);
        againInMs = Math.min(againInMs ?? Infinity, leftMs);
      }
    }
    if (pod?.metadata.annotations?.[unschedulableAnnotation] === 'true') states.push({ name, state: 'unschedulable' });
    else if (stillKnown.has(name)) states.push({ name, state: 'schedulable' });
    else if (pod !== undefined) states.push({ name, state: 'pending' });
  }
  return { pods: states, ready, known: stillKnown, againInMs };
}

function isReadyPod(pod: PodObject): boolean {
  return pod.spec?.nodeName !== undefined && !isDeleting(pod) && pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}
