/**
 * From what was observed of a KafkaSource to its status.
 *
 * Ready means that events flow, or would: a sink that is known, a Kafka that lets us in, initial offsets for every topic,
 * and vreplicas on pods. A pod that starts again is no reason not to be, as long as another one of the source runs; how
 * many vreplicas are on pods that are Ready is told by `consumers`.
 */
import { addressFields, settledConsumerGroupAnnotation, shortHash, withReady, type Condition, type KafkaSource, type ResolvedDestination, type SettledSource } from '@knative-kafka/common/core';
import type { Problem } from './channel-status.ts';
import type { KafkaSourceStatus } from './objects.ts';
import type { PlacedSource } from './placed-sources.ts';
import { settledAnnotations } from './settled-source.ts';

/** In `status.annotations`: the Secrets that the dispatchers were given access to for this source. */
export const grantedSecretsAnnotation = 'kafka.eventing.knative.dev/granted-secrets';

/** What has not happened yet, and may without anybody's help. */
export interface Pending extends Problem {
  readonly isPending: true;
}

export interface ObservedSource {
  /** What is wrong with the spec, if anything: then nothing is placed, and events wait. */
  readonly invalid: string | undefined;
  readonly sink: ResolvedDestination;
  /** Undefined where the source has none. */
  readonly deadLetterSink: ResolvedDestination | undefined;
  /** Undefined while nobody knows: nothing has changed, then. */
  readonly kafka: 'ready' | Problem | undefined;
  /** Undefined while nothing is. */
  readonly settled: SettledSource | undefined;
  /** `ready`: everything in the spec is settled. Undefined while nobody can tell, because there is no Kafka to ask. */
  readonly offsets: 'ready' | Problem | Pending | undefined;
  /** Undefined until it has been decided where the source runs. */
  readonly placed: PlacedSource | undefined;
  /** Why there are no pods, where the StatefulSet is refused. */
  readonly podsProblem: Problem | undefined;
  readonly grantedSecrets: readonly string[];
}

/** @param nowMs milliseconds since 1970 */
export function sourceStatus(source: KafkaSource, observed: ObservedSource, previous: KafkaSourceStatus | undefined, nowMs: number): KafkaSourceStatus {
  const { metadata: { namespace, name, generation }, spec: { consumerGroup, topics } } = source;
  const { sink, deadLetterSink, settled, placed, grantedSecrets } = observed;
  const annotations = {
    ...settledAnnotations(settled),
    ...(settled === undefined ? {} : { [settledConsumerGroupAnnotation]: consumerGroup }),
    ...(grantedSecrets.length === 0 ? {} : { [grantedSecretsAnnotation]: grantedSecrets.join(',') }),
  };
  // Until it is decided anew, what was decided before holds.
  const placements = placed?.placements ?? previous?.placements ?? [];
  return {
    observedGeneration: generation,
    conditions: withReady([sinkProvided(sink, deadLetterSink), connectionEstablished(observed, previous), initialOffsetsCommitted(observed, previous), deployed(source, observed)], previous?.conditions ?? [], nowMs),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...addressFields('sink', sink),
    ...addressFields('deadLetterSink', deadLetterSink),
    ceAttributes: topics.map((topic) => ({ type: 'dev.knative.kafka.event', source: `/apis/v1/namespaces/${namespace}/kafkasources/${name}#${topic}` })),
    consumers: placed?.ready ?? previous?.consumers ?? 0,
    selector: `eventing.knative.dev/source=kafka-source-controller,eventing.knative.dev/sourceName=${labelValue(name)}`,
    placements,
  };
}

/** Of both sinks: a source without the one that it names for what cannot be delivered is not served either. */
function sinkProvided(sink: ResolvedDestination, deadLetterSink: ResolvedDestination | undefined): Condition {
  const type = 'SinkProvided';
  if ('error' in sink) return { type, status: 'False', reason: sink.error.reason, message: `spec.sink: ${sink.error.message}` };
  if (deadLetterSink !== undefined && 'error' in deadLetterSink) return { type, status: 'False', reason: deadLetterSink.error.reason, message: `spec.delivery.deadLetterSink: ${deadLetterSink.error.message}` };
  return { type, status: 'True' };
}

/** A controller that has just begun to lead has not looked at any Kafka yet: what the last one found still counts. */
function connectionEstablished({ kafka }: ObservedSource, previous: KafkaSourceStatus | undefined): Condition {
  const type = 'ConnectionEstablished';
  return stateOf(type, kafka) ?? previousOf(type, previous) ?? { type, status: 'Unknown', reason: 'KafkaPending', message: 'Kafka has not answered yet' };
}

/** The same; but that all was committed does not count for what is new. */
function initialOffsetsCommitted({ offsets }: ObservedSource, previous: KafkaSourceStatus | undefined): Condition {
  const type = 'InitialOffsetsCommitted';
  const before = previousOf(type, previous);
  return stateOf(type, offsets) ?? (before?.status === 'False' ? before : { type, status: 'Unknown', reason: 'ConnectionPending', message: 'there is no Kafka to ask' });
}

function stateOf(type: string, state: 'ready' | Problem | Pending | undefined): Condition | undefined {
  if (state === undefined) return undefined;
  if (state === 'ready') return { type, status: 'True' };
  const { reason, message } = state;
  return { type, status: 'isPending' in state ? 'Unknown' : 'False', reason, message };
}

function previousOf(type: string, previous: KafkaSourceStatus | undefined): Condition | undefined {
  return previous?.conditions?.find((condition) => condition.type === type);
}

function deployed({ spec: { consumers } }: KafkaSource, { invalid, settled, placed, podsProblem, offsets }: ObservedSource): Condition {
  const type = 'Deployed';
  const waiting = (reason: string, message: string): Condition => ({ type, status: 'Unknown', reason, message });
  if (invalid !== undefined) return { type, status: 'False', reason: 'SpecInvalid', message: `${invalid}; events wait in Kafka` };
  if (consumers === 0) return { type, status: 'True', reason: 'Paused', message: 'spec.consumers is 0: events wait in Kafka' };
  if (settled === undefined || (offsets !== 'ready' && placed?.wanted === 0)) return waiting('OffsetsPending', 'vreplicas are placed once the initial offsets are committed');
  if (placed === undefined || placed.wanted !== consumers) return waiting('PlacementPending', 'it is being decided where the vreplicas run');
  if (placed.waiting > 0 && podsProblem !== undefined) return { type, status: 'False', reason: podsProblem.reason, message: podsProblem.message };
  if (placed.waiting > 0) return waiting('VreplicasWaiting', `${placed.waiting} of ${consumers} vreplicas wait for a pod`);
  if (placed.ready === 0) return waiting('PodsNotReady', `none of the ${placed.placements.length} pods that have the vreplicas is ready`);
  return { type, status: 'True' };
}

const maxLabelLength = 63;

/** Names may be longer than values of labels may. */
function labelValue(name: string): string {
  if (name.length <= maxLabelLength) return name;
  return `${name.slice(0, maxLabelLength - 11)}-${shortHash(name)}`;
}
