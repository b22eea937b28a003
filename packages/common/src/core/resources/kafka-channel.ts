/**
 * KafkaChannel: its type, its defaults and the rules that its schema cannot state.
 *
 * @see helm/knative-kafka/files/crds/kafka-channel.yaml, the source of truth for the shape
 */
import type { DeliverySpec } from './delivery.ts';
import { topicName } from '../kafka-names.ts';
import { deliveryProblems, durationProblem, parseDurationMs } from './delivery.ts';
import type { FieldProblem } from './field-problem.ts';
import type { Manifest, ObjectMeta } from './metadata.ts';
import { parseMetadata } from './metadata.ts';

/** On a Subscription, or on a KafkaChannel for all its Subscriptions: one of `deliveryOrders`. */
export const deliveryOrderAnnotation = 'kafka.eventing.knative.dev/delivery.order';
/** On a KafkaChannel: the name of the Kafka Secret to use. In its `status.annotations`: the one in use. */
export const kafkaSecretAnnotation = 'kafka.eventing.knative.dev/kafka-secret';

/** Values of `deliveryOrderAnnotation`; the first is the default. */
export const deliveryOrders = ['ordered', 'key-ordered', 'unordered'] as const;
export type DeliveryOrder = (typeof deliveryOrders)[number];

/** One entry of `spec.subscribers`: a Subscription with everything resolved. */
export interface Subscriber {
  /** `metadata.uid` of the Subscription; names the consumer group. */
  readonly uid: string;
  /** `metadata.name` of the Subscription; older controllers do not write it. */
  readonly name?: string;
  /** `metadata.generation` of the Subscription that the entry was made from. */
  readonly generation: number;
  /** Absent where replies are all that the Subscription wants. */
  readonly subscriberUri?: string;
  /** PEM; beside those of the system. The same for `replyCACerts`. */
  readonly subscriberCACerts?: string;
  /** OIDC. */
  readonly subscriberAudience?: string;
  readonly replyUri?: string;
  readonly replyCACerts?: string;
  readonly replyAudience?: string;
  /** Merged with the channel's; the dead letter sink is a `uri`. */
  readonly delivery?: DeliverySpec;
}

/** In `status.annotations`: the topic that was made. The name is eventing-kafka-broker's, whose topics are taken over. */
export const topicAnnotation = 'default.topic';

/** What a controller has settled about a KafkaChannel, whatever its settings say later. */
export interface RecordedChannel {
  /** The topic that has the events. */
  readonly topic?: string;
  /** Name of the Kafka Secret of the cluster that has the topic. */
  readonly kafkaSecret?: string;
}

/** A KafkaChannel as its schema lets it through, with the schema's defaults. */
export interface KafkaChannelManifest extends Manifest {
  readonly spec: {
    readonly numPartitions: number;
    readonly replicationFactor: number;
    readonly retentionDuration: string;
    readonly delivery?: DeliverySpec;
    readonly subscribers?: readonly (Omit<Subscriber, 'generation'> & { readonly generation?: number })[];
  };
  readonly status?: { readonly annotations?: Readonly<Record<string, string>> };
}

export interface KafkaChannel {
  readonly kind: 'KafkaChannel';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly numPartitions: number;
    readonly replicationFactor: number;
    readonly retentionMs: number;
    /** For Subscriptions without one of their own. */
    readonly delivery?: DeliverySpec;
    readonly subscribers: readonly Subscriber[];
  };
  /** Absent until a controller has seen the channel, and where there is none. */
  readonly recorded?: RecordedChannel;
}

/** `PT168H`, which is also the schema's default. */
export const defaultRetentionMs = 168 * 3_600_000;

/**
 * The typed form of a KafkaChannel, and what is wrong with it.
 *
 * The KafkaChannel is complete even if there are problems: a field in trouble has its default. Whoever writes manifests
 * is told and can be refused; on a cluster, where the object exists already, work can go on.
 *
 * @param manifest passed the schema, defaults applied
 */
export function parseKafkaChannel(manifest: KafkaChannelManifest): {
  channel: KafkaChannel;
  problems: readonly FieldProblem[];
} {
  const { numPartitions, replicationFactor, retentionDuration, delivery, subscribers = [] } = manifest.spec;
  const metadata = parseMetadata(manifest);
  const retentionProblem = durationProblem(retentionDuration);
  return {
    channel: {
      kind: 'KafkaChannel',
      metadata,
      spec: {
        numPartitions,
        replicationFactor,
        retentionMs: parseDurationMs(retentionDuration) ?? defaultRetentionMs,
        ...(delivery === undefined ? {} : { delivery }),
        subscribers: subscribers.map(parseSubscriber),
      },
      ...recordedOf(manifest.status?.annotations),
    },
    problems: [
      ...deliveryOrderProblems(metadata),
      ...(retentionProblem === undefined
        ? []
        : [{ path: ['spec', 'retentionDuration'], message: retentionProblem }]),
      ...deliveryProblems(delivery, ['spec', 'delivery']),
    ],
  };
}

function recordedOf(annotations: Readonly<Record<string, string>> | undefined): Pick<KafkaChannel, 'recorded'> {
  const topic = annotations?.[topicAnnotation];
  const kafkaSecret = annotations?.[kafkaSecretAnnotation];
  if (topic === undefined && kafkaSecret === undefined) return {};
  return { recorded: { ...(topic === undefined ? {} : { topic }), ...(kafkaSecret === undefined ? {} : { kafkaSecret }) } };
}

const endpointFields = ['subscriberUri', 'subscriberCACerts', 'subscriberAudience', 'replyUri', 'replyCACerts', 'replyAudience'] as const;

function parseSubscriber(entry: NonNullable<KafkaChannelManifest['spec']['subscribers']>[number]): Subscriber {
  const { uid, name, generation = 1, delivery } = entry;
  const endpoints: Partial<Record<(typeof endpointFields)[number], string>> = {};
  for (const field of endpointFields) if (entry[field] !== undefined) endpoints[field] = entry[field];
  return {
    uid,
    generation,
    ...(name === undefined ? {} : { name }),
    ...endpoints,
    ...(delivery === undefined ? {} : { delivery }),
  };
}

/**
 * The topic of a KafkaChannel: the recorded one, else the one that the template would make today.
 *
 * @returns the name, or what is wrong with it
 */
export function channelTopic({ metadata, recorded }: KafkaChannel): { topic: string } | { problem: string } {
  return recorded?.topic === undefined ? topicName(metadata) : { topic: recorded.topic };
}

/** A delivery order that does not exist: it would quietly become `ordered`. */
export function deliveryOrderProblems(metadata: ObjectMeta): readonly FieldProblem[] {
  const order = metadata.annotations[deliveryOrderAnnotation];
  if (order === undefined || deliveryOrders.some((known) => known === order)) return [];
  const message = `expected ${deliveryOrders.join(', ')}; found ${JSON.stringify(order)}`;
  return [{ path: ['metadata', 'annotations', deliveryOrderAnnotation], message }];
}
