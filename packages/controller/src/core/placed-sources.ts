/**
 * What a KafkaSource asks for of the pods, and what it got.
 */
import { parseKafkaSource, settledSource, type KafkaSource, type KafkaSourceManifest, type PodPlacement } from '@knative-kafka/common/core';
import { isDeleting, type KafkaSourceObject } from './objects.ts';
import type { SourcePlacement } from './placement.ts';

export interface PlacedSource extends SourcePlacement {
  /** Vreplicas that it was placed for; fewer than `spec.consumers` while it is not to be served. */
  readonly wanted: number;
  /** Of those placed, how many are on pods that are Ready. */
  readonly ready: number;
}

/** What the schema's defaults fill in may be missing from an object that is older than they are. */
export function toKafkaSource({ apiVersion, kind, metadata, spec }: KafkaSourceObject): ReturnType<typeof parseKafkaSource> {
  const { bootstrapServers = [], topics = [], sink = {}, ...rest }: Partial<KafkaSourceManifest['spec']> = spec ?? {};
  return parseKafkaSource({ apiVersion, kind, metadata, spec: { bootstrapServers, topics, sink, ...rest } });
}

/**
 * How many vreplicas are to be placed: none while the source is being deleted, while something is wrong with its spec,
 * and before its consumer group has initial offsets.
 */
export function wantedVreplicas(object: KafkaSourceObject): number {
  if (isDeleting(object) || settledSource(object.status?.annotations) === undefined) return 0;
  const { source, problems } = toKafkaSource(object);
  return problems.length > 0 ? 0 : consumersOf(source);
}

/** The schema lets nothing else through, today. */
function consumersOf({ spec: { consumers } }: KafkaSource): number {
  return Number.isSafeInteger(consumers) && consumers > 0 ? consumers : 0;
}

/** Those of the placed vreplicas that are on one of these pods. */
export function vreplicasOn(pods: ReadonlySet<string>, placements: readonly PodPlacement[]): number {
  return placements.reduce((sum, { podName, vreplicas }) => sum + (pods.has(podName) ? vreplicas : 0), 0);
}
