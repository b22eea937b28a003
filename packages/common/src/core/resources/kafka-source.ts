/**
 * KafkaSource: its type, its defaults and the rules that its schema cannot state.
 *
 * @see helm/knative-kafka/files/crds/kafka-source.yaml, the source of truth for the shape
 */
import { isTimestamp } from '../cloudevents/attribute-syntax.ts';
import { attributeError, requiredAttributes } from '../cloudevents/event.ts';
import { topicNameProblem } from '../kafka-names.ts';
import { parseBootstrapServers } from '../settings.ts';
import type { Delivery, DeliverySpec } from './delivery.ts';
import { defaultDelivery, deliveryProblems, effectiveDelivery } from './delivery.ts';
import type { Destination, ResolvedAddress } from './destination.ts';
import type { Features } from './features.ts';
import type { FieldPath, FieldProblem } from './field-problem.ts';
import type { DeliveryOrder } from './kafka-channel.ts';
import type { Manifest, ObjectMeta } from './metadata.ts';
import { parseMetadata } from './metadata.ts';
import type { SourceDataPlane } from './source-data-plane.ts';
import { eventsPerSecondProblem, readEventsPerSecond } from './source-data-plane.ts';

/** Label: how the keys of records are read, one of `keyTypes`. */
export const keyTypeLabel = 'kafkasources.sources.knative.dev/key-type';
/** Values of `keyTypeLabel`; the first is the default. */
export const keyTypes = ['string', 'int', 'float', 'byte-array'] as const;
export type KeyType = (typeof keyTypes)[number];

/** Annotation: `enabled` or `disabled`, for this source alone; else the feature `dispatcher.rate-limiter` counts. */
export const rateLimiterAnnotation = 'kafka.eventing.knative.dev/dispatcher.rate-limiter';
/** Annotation: events per second and vreplica, for this source alone; else `max.poll.records` of the data plane counts. */
export const maxPollRecordsAnnotation = 'kafka.eventing.knative.dev/max.poll.records';

/**
 * Where a group begins in a partition in which it has no committed offset: the oldest record, the end of the log as it
 * is when the source becomes ready, or the first record stored at a time or later.
 */
export type InitialOffset = 'earliest' | 'latest' | { readonly timestampMs: number };

export interface SecretKeyReference {
  readonly name: string;
  readonly key: string;
}

/** How to log in to Kafka; every text is in a Secret of the source's namespace. */
export interface KafkaSourceSasl {
  /** The mechanism; PLAIN where absent. */
  readonly type?: SecretKeyReference;
  readonly user?: SecretKeyReference;
  readonly password?: SecretKeyReference;
  /** Names a class of Java that makes tokens for a cloud's broker. Not served: `sourceAccess` says so. */
  readonly tokenProvider?: SecretKeyReference;
}

export interface KafkaSourceTls {
  readonly caCert?: SecretKeyReference;
  /** With `key`, or neither: one-way TLS needs none. */
  readonly cert?: SecretKeyReference;
  readonly key?: SecretKeyReference;
}

/** Parts that are not enabled are absent. */
export interface KafkaSourceNet {
  readonly sasl?: KafkaSourceSasl;
  readonly tls?: KafkaSourceTls;
}

export interface KafkaSource {
  readonly kind: 'KafkaSource';
  readonly metadata: ObjectMeta;
  readonly spec: {
    /** `host:port`, one each. */
    readonly bootstrapServers: readonly string[];
    readonly topics: readonly string[];
    /** Wanted vreplicas; 0 pauses. */
    readonly consumers: number;
    /** The spec's, else `generatedConsumerGroup` of its uid. */
    readonly consumerGroup: string;
    readonly initialOffset: InitialOffset;
    readonly ordering: DeliveryOrder;
    /** As written; where a field is absent the defaults of sources hold. */
    readonly delivery?: DeliverySpec;
    readonly sink: Destination;
    /** `spec.ceOverrides.extensions`. */
    readonly extensions: Readonly<Record<string, string>>;
    readonly keyType: KeyType;
    readonly net: KafkaSourceNet;
  };
}

/** An entry of `status.placements`. */
export interface PodPlacement {
  readonly podName: string;
  readonly vreplicas: number;
}

/** A KafkaSource as a dispatcher needs it: with everything resolved that others resolve. */
export interface ServedSource {
  /**
   * On a cluster with the bootstrap servers and topics for which the controller has committed initial offsets, which
   * may not be those of the spec yet.
   */
  readonly source: KafkaSource;
  readonly sink: ResolvedAddress;
  /** Present whenever the spec names one. */
  readonly deadLetterSink: ResolvedAddress | undefined;
  /** Where its vreplicas run. Undefined where nobody places them (a folder of manifests): whoever reads it runs them all. */
  readonly placements: readonly PodPlacement[] | undefined;
  /** Whether whoever reads it has to commit the initial offsets before it joins the group; on a cluster the controller has. */
  readonly needsInitialOffsets: boolean;
}

/** What a controller records of a source in `status.annotations`, for its dispatchers: comma-separated lists. */
export const settledTopicsAnnotation = 'kafka.eventing.knative.dev/topics';
export const settledBootstrapServersAnnotation = 'kafka.eventing.knative.dev/bootstrap-servers';
/** Beside them: the consumer group that has the offsets, so that a spec that loses a generated name gets the same one back. */
export const settledConsumerGroupAnnotation = 'kafka.eventing.knative.dev/consumer-group';

/** On which servers and for which topics a consumer group has initial offsets. */
export interface SettledSource {
  readonly bootstrapServers: readonly string[];
  readonly topics: readonly string[];
}

/** @param annotations of the status */
export function settledSource(annotations: Readonly<Record<string, string>> | undefined): SettledSource | undefined {
  const topics = entriesOf(annotations?.[settledTopicsAnnotation]);
  const bootstrapServers = entriesOf(annotations?.[settledBootstrapServersAnnotation]);
  return topics.length === 0 || bootstrapServers.length === 0 ? undefined : { bootstrapServers, topics };
}

function entriesOf(text: string | undefined): readonly string[] {
  return (text ?? '').split(',').map((entry) => entry.trim()).filter((entry) => entry !== '');
}

/** A reference to a Secret as it may be written; eventing-kafka-broker stores `{}` where there is none. */
export interface SecretValueSource {
  readonly secretKeyRef?: SecretKeyReference;
}

/** A KafkaSource as its schema lets it through, with the schema's defaults. */
export interface KafkaSourceManifest extends Manifest {
  readonly spec: {
    /** `host:port`; one entry may hold several, separated by commas. */
    readonly bootstrapServers: readonly string[];
    readonly topics: readonly string[];
    readonly consumers?: number;
    readonly consumerGroup?: string;
    /** `earliest`, `latest` or a time of RFC 3339. */
    readonly initialOffset?: string;
    readonly ordering?: string;
    readonly delivery?: DeliverySpec;
    readonly sink: Destination;
    readonly ceOverrides?: { readonly extensions?: Readonly<Record<string, string>> };
    readonly net?: {
      readonly sasl?: { readonly enable?: boolean } & { readonly [Part in 'type' | 'user' | 'password' | 'tokenProvider' | 'roleARN']?: SecretValueSource };
      readonly tls?: { readonly enable?: boolean } & { readonly [Part in 'caCert' | 'cert' | 'key']?: SecretValueSource };
    };
  };
}

/** Values of `spec.ordering`; the first is the default. */
export const sourceOrders = ['ordered', 'unordered', 'key-ordered'] as const satisfies readonly DeliveryOrder[];

/** The consumer group of a KafkaSource that names none. @param uid of the KafkaSource */
export function generatedConsumerGroup(uid: string): string {
  return `knative-kafka-source-${uid}`;
}

/** Whether a consumer group was named by a controller and not by a person: such a group goes with its source. */
export function isGeneratedConsumerGroup(name: string): boolean {
  return /^knative-kafka-source-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name);
}

/** What holds for a KafkaSource where its `delivery` says nothing, field by field. */
export const defaultSourceDelivery: Delivery = { ...defaultDelivery, timeoutMs: 600_000 };

/**
 * The delivery options that hold for a KafkaSource.
 *
 * Unlike a Subscription's, whatever is absent from `delivery` has its default: a source that only names a dead letter
 * sink keeps its retries.
 */
export function sourceDelivery({ spec: { delivery } }: Pick<KafkaSource, 'spec'>): Delivery {
  return effectiveDelivery({ retry: defaultSourceDelivery.retry, ...delivery }, undefined, defaultSourceDelivery);
}

/**
 * How many events a second each vreplica may send.
 *
 * @returns undefined where the rate limiter is off for this source
 */
export function eventsPerSecondPerVreplica({ metadata: { annotations } }: Pick<KafkaSource, 'metadata'>, features: Features, dataPlane: SourceDataPlane): number | undefined {
  const own = annotations[rateLimiterAnnotation]?.trim().toLowerCase();
  const isOn = own === 'enabled' || own === 'disabled' ? own === 'enabled' : features.isRateLimiterEnabled;
  if (!isOn) return undefined;
  return readEventsPerSecond(annotations[maxPollRecordsAnnotation]) ?? dataPlane.maxPollRecords;
}

/**
 * The typed form of a KafkaSource, and what is wrong with it. The KafkaSource is complete even if there are problems,
 * see `parseKafkaChannel`: lists stay as they are, any other field in trouble has its default or is left out.
 *
 * @param manifest passed the schema, defaults applied
 */
export function parseKafkaSource(manifest: KafkaSourceManifest): { source: KafkaSource; problems: readonly FieldProblem[] } {
  const { bootstrapServers, topics, consumers = 1, consumerGroup, initialOffset = 'latest', ordering, delivery, sink, ceOverrides, net } = manifest.spec;
  const metadata = parseMetadata(manifest);
  const extensions = Object.entries(ceOverrides?.extensions ?? {});
  return {
    source: {
      kind: 'KafkaSource',
      metadata,
      spec: {
        bootstrapServers: bootstrapServers.flatMap((entry) => entry.split(',')).map((server) => server.trim()),
        topics,
        consumers,
        consumerGroup: consumerGroup ?? generatedConsumerGroup(metadata.uid),
        initialOffset: parseInitialOffset(initialOffset) ?? 'latest',
        ordering: sourceOrders.find((order) => order === ordering) ?? sourceOrders[0],
        ...(delivery === undefined ? {} : { delivery }),
        sink,
        extensions: Object.fromEntries(extensions.filter(([name]) => extensionProblem(name) === undefined)),
        keyType: keyTypes.find((type) => type === metadata.labels[keyTypeLabel]) ?? keyTypes[0],
        net: parseNet(net),
      },
    },
    problems: [
      ...metadataProblems(metadata),
      ...listProblems(bootstrapServers, ['spec', 'bootstrapServers'], serverProblem),
      ...listProblems(topics, ['spec', 'topics'], topicNameProblem),
      ...(parseInitialOffset(initialOffset) === undefined ? [{ path: ['spec', 'initialOffset'], message: `expected earliest, latest or a time from 1970 on such as 2024-01-31T23:59:59Z; found ${JSON.stringify(initialOffset)}` }] : []),
      ...deliveryProblems(delivery, ['spec', 'delivery']),
      ...extensions.flatMap(([name]) => {
        const message = extensionProblem(name);
        return message === undefined ? [] : [{ path: ['spec', 'ceOverrides', 'extensions', name], message }];
      }),
      ...clientCertificateProblems(net),
    ],
  };
}

/**
 * Times are cut to the millisecond, which is how precise Kafka is: rather one record too many than one too few.
 *
 * @returns undefined when it is none; nothing before 1970 is one, because negative times mean something else to Kafka
 */
export function parseInitialOffset(text: string): InitialOffset | undefined {
  if (text === 'earliest' || text === 'latest') return text;
  // A leap second is a second that Kafka's clock does not have.
  if (!isTimestamp(text) || /:60/.test(text)) return undefined;
  const timestampMs = Date.parse(text);
  return timestampMs >= 0 ? { timestampMs } : undefined;
}

function parseNet(net: KafkaSourceManifest['spec']['net']): KafkaSourceNet {
  const { sasl, tls } = net ?? {};
  return {
    ...(sasl?.enable === true ? { sasl: referencesOf(sasl, ['type', 'user', 'password', 'tokenProvider']) } : {}),
    ...(tls?.enable === true ? { tls: referencesOf(tls, ['caCert', 'cert', 'key']) } : {}),
  };
}

function referencesOf<Part extends string>(found: { readonly [Name in Part]?: SecretValueSource }, parts: readonly Part[]): { readonly [Name in Part]?: SecretKeyReference } {
  const references: { [Name in Part]?: SecretKeyReference } = {};
  for (const part of parts) {
    const reference = found[part]?.secretKeyRef;
    if (reference !== undefined) references[part] = { name: reference.name, key: reference.key };
  }
  return references;
}

/** A wrong value would quietly become the default. */
function metadataProblems({ labels, annotations }: ObjectMeta): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const keyType = labels[keyTypeLabel];
  if (keyType !== undefined && !keyTypes.some((known) => known === keyType)) {
    problems.push({ path: ['metadata', 'labels', keyTypeLabel], message: `expected ${keyTypes.join(', ')}; found ${JSON.stringify(keyType)}` });
  }
  const limiter = annotations[rateLimiterAnnotation];
  if (limiter !== undefined && !/^\s*(?:enabled|disabled)\s*$/i.test(limiter)) {
    problems.push({ path: ['metadata', 'annotations', rateLimiterAnnotation], message: `expected enabled or disabled; found ${JSON.stringify(limiter)}` });
  }
  const limit = eventsPerSecondProblem(annotations[maxPollRecordsAnnotation]);
  if (limit !== undefined) problems.push({ path: ['metadata', 'annotations', maxPollRecordsAnnotation], message: limit });
  return problems;
}

function serverProblem(text: string): string | undefined {
  return parseBootstrapServers(text) === undefined ? `expected host:port, several separated by commas; found ${JSON.stringify(text)}` : undefined;
}

function listProblems(list: readonly string[], path: FieldPath, problemOf: (text: string) => string | undefined): readonly FieldProblem[] {
  return list.flatMap((text, index) => {
    const message = problemOf(text) ?? (list.indexOf(text) < index ? `${JSON.stringify(text)} stands here twice` : undefined);
    return message === undefined ? [] : [{ path: [...path, index], message }];
  });
}

/** What an event is made of; an override would make another event of it, or none. */
const coreAttributes: readonly string[] = [...requiredAttributes, 'subject', 'time', 'datacontenttype', 'dataschema', 'data'];

function extensionProblem(name: string): string | undefined {
  if (coreAttributes.includes(name)) return 'is an attribute that every event has for itself and cannot be an extension';
  return attributeError(name, '', '1.0') === undefined ? undefined : 'the name of an extension is of letters a-z and digits, at most 256';
}

function clientCertificateProblems(net: KafkaSourceManifest['spec']['net']): readonly FieldProblem[] {
  const { cert, key } = parseNet(net).tls ?? {};
  if ((cert === undefined) === (key === undefined)) return [];
  const [missing, present] = cert === undefined ? ['cert', 'key'] : ['key', 'cert'];
  return [{ path: ['spec', 'net', 'tls', missing], message: `is required beside ${present}: a certificate and its private key go together` }];
}
