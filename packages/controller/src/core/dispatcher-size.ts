/**
 * How many replicas the StatefulSet of source dispatchers has: it grows at once, and shrinks calmly.
 *
 * Fewer pods make vreplicas move, which pauses partitions; and who scaled down often scales up again in a moment. So the
 * pods that are too many stay until that has been so for a while; then nothing is placed on them any more, and they go
 * once no source runs there.
 *
 * Always true: no pod goes that a source is still placed on; shrinking leaves no vreplica waiting that has a place now.
 */
import type { PodPlacement } from '@knative-kafka/common/core';
import { ordinalOf, placement, type DispatcherPod, type Placement, type SourceToPlace } from './placement.ts';

export interface SizeSettings {
  readonly podCapacity: number;
  readonly minReplicas: number;
  readonly shrinkDelayMs: number;
}

export interface SizedPlacement extends Pick<Placement, 'sources'> {
  /** For `spec.replicas`. */
  readonly replicas: number;
  /** Since when fewer would do, in milliseconds; undefined while they are all needed. For the next call. */
  readonly shrinkableSinceMs: number | undefined;
  /** When to call again although nothing changes, in milliseconds from now. */
  readonly againInMs: number | undefined;
}

/** Between two looks at whether pods that are not needed any more are empty. */
const lookAtEmptyMs = 1_000;

/**
 * @param size              replicas that the StatefulSet has now, 0 where there is none
 * @param shrinkableSinceMs as the last call left it
 * @param recorded          what the sources say where they run: `status.placements` of all of them
 * @param nowMs             of any clock that only goes forward
 */
export function sizedPlacement(sources: readonly SourceToPlace[], pods: readonly DispatcherPod[], size: number, shrinkableSinceMs: number | undefined, recorded: readonly PodPlacement[], nowMs: number, settings: SizeSettings): SizedPlacement {
  const { podCapacity, minReplicas, shrinkDelayMs } = settings;
  const all = placement(sources, pods, podCapacity, minReplicas);
  if (all.replicas >= size) return { sources: all.sources, replicas: all.replicas, shrinkableSinceMs: undefined, againInMs: undefined };
  const sinceMs = shrinkableSinceMs ?? nowMs;
  const leftMs = sinceMs + shrinkDelayMs - nowMs;
  if (leftMs > 0) return { sources: all.sources, replicas: size, shrinkableSinceMs: sinceMs, againInMs: leftMs };
  const kept = placement(sources, pods.filter(({ name }) => (ordinalOf(name) ?? Infinity) < all.replicas), podCapacity, minReplicas);
  if (waitingOf(kept) > waitingOf(all)) return { sources: all.sources, replicas: size, shrinkableSinceMs: sinceMs, againInMs: undefined };
  const recordedInUse = recorded.reduce((most, { podName }) => Math.max(most, (ordinalOf(podName) ?? -1) + 1), 0);
  const replicas = Math.max(all.replicas, Math.min(size, recordedInUse));
  return { sources: kept.sources, replicas, shrinkableSinceMs: sinceMs, againInMs: replicas > all.replicas ? lookAtEmptyMs : undefined };
}

function waitingOf({ sources }: Placement): number {
  return [...sources.values()].reduce((sum, { waiting }) => sum + waiting, 0);
}
