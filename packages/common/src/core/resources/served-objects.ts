/**
 * What receivers and dispatchers keep of the objects that an API server gives them.
 *
 * The API server has checked them by the schema of its day, which may be older or newer than ours; so what is not as
 * expected counts as absent. Of each object only that is kept which changes what a process does, so that thousands fit,
 * and so that two versions are equal where nobody has to look.
 *
 * Always true: nothing here throws, whatever is in an object.
 */
import type { ConfigMap } from './core-objects.ts';
import { deliveryOrderAnnotation, parseKafkaChannel, type KafkaChannel, type KafkaChannelManifest } from './kafka-channel.ts';
import { keyTypeLabel, maxPollRecordsAnnotation, parseKafkaSource, rateLimiterAnnotation, settledSource, type KafkaSourceManifest, type PodPlacement, type ServedSource } from './kafka-source.ts';
import { parseMetadata, type ManifestMeta } from './metadata.ts';
import type { DeliverySpec } from './delivery.ts';
import { addressIn } from './resolved-address.ts';
import { parseSubscription, type Subscription } from './subscription.ts';

/** An object as an API server gives it. */
export interface ServedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ManifestMeta & { readonly deletionTimestamp?: string };
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly data?: unknown;
}

export interface ServedChannels {
  /** Only the channels of this Kafka Secret; all where undefined. */
  readonly kafkaSecret: string | undefined;
}

/** @returns undefined when it is not served: not (yet) by this Kafka Secret, without a topic, or being deleted */
export function servedChannel(object: ServedObject, { kafkaSecret }: ServedChannels): KafkaChannel | undefined {
  // Its controller waits for its consumer groups to be empty before it deletes them and the topic.
  if (object.metadata.deletionTimestamp !== undefined) return undefined;
  const spec = fields(object.spec);
  const { channel } = parseKafkaChannel({
    ...header(object),
    spec: {
      numPartitions: positive(spec['numPartitions']),
      replicationFactor: positive(spec['replicationFactor']),
      retentionDuration: typeof spec['retentionDuration'] === 'string' ? spec['retentionDuration'] : 'PT168H',
      ...deliveryOf(spec),
      subscribers: list(spec['subscribers']).flatMap(subscriberOf),
    },
    status: { annotations: texts(fields(object.status)['annotations']) },
  });
  if (channel.recorded?.topic === undefined) return undefined;
  return kafkaSecret === undefined || channel.recorded.kafkaSecret === kafkaSecret ? channel : undefined;
}

/**
 * A Subscription as far as the data plane asks: which channel it belongs to, and what its annotations say. Where its
 * events go stands in the `spec.subscribers` of the KafkaChannel.
 *
 * @param channel only those of this KafkaChannel, by name; all where undefined
 */
export function servedSubscription(object: ServedObject, channel: string | undefined): Subscription | undefined {
  const { apiVersion, kind, name } = fields(fields(object.spec)['channel']);
  if (typeof apiVersion !== 'string' || typeof kind !== 'string' || typeof name !== 'string') return undefined;
  if (channel !== undefined && name !== channel) return undefined;
  return parseSubscription({ ...header(object), spec: { channel: { apiVersion, kind, name } } }).subscription;
}

/**
 * A KafkaSource as far as the data plane asks. Which topics it reads, on which servers, and where its events go stands in
 * its status.
 *
 * @returns undefined when it is not served: not (yet) prepared by its controller, or being deleted
 */
export function servedSource(object: ServedObject): ServedSource | undefined {
  if (object.metadata.deletionTimestamp !== undefined) return undefined;
  const spec = fields(object.spec);
  const status = fields(object.status);
  const settled = settledSource(texts(status['annotations']));
  const consumerGroup = spec['consumerGroup'];
  const sink = addressIn(status, 'sink');
  const deadLetterSink = addressIn(status, 'deadLetterSink');
  const needsDeadLetterSink = fields(spec['delivery'])['deadLetterSink'] !== undefined;
  if (sink === undefined || (needsDeadLetterSink && deadLetterSink === undefined)) return undefined;
  if (settled === undefined || typeof consumerGroup !== 'string' || consumerGroup === '') return undefined;
  const consumers = spec['consumers'];
  const { source } = parseKafkaSource({
    ...header(object),
    spec: {
      ...settled,
      consumerGroup,
      ...(typeof consumers === 'number' ? { consumers } : {}),
      ...textsOf(spec, ['initialOffset', 'ordering']),
      ...deliveryOf(spec),
      // What it was resolved to is beside the source.
      sink: {},
      ceOverrides: { extensions: texts(fields(spec['ceOverrides'])['extensions']) },
      net: { sasl: netPart(spec, 'sasl', ['type', 'user', 'password', 'tokenProvider']), tls: netPart(spec, 'tls', ['caCert', 'cert', 'key']) },
    },
  });
  return {
    source,
    sink,
    deadLetterSink: needsDeadLetterSink ? deadLetterSink : undefined,
    placements: list(status['placements']).flatMap(placementOf),
    needsInitialOffsets: false,
  };
}

/** Without the documentation that such ConfigMaps carry. */
export function servedConfigMap(object: ServedObject): ConfigMap {
  const data = { ...texts(object.data) };
  delete data['_example'];
  return { kind: 'ConfigMap', metadata: parseMetadata(header(object)), data };
}

/** The labels and annotations that mean something here; the rest is nobody's business. */
const keptLabels = [keyTypeLabel] as const;
const keptAnnotations = [deliveryOrderAnnotation, rateLimiterAnnotation, maxPollRecordsAnnotation] as const;

function header({ apiVersion, kind, metadata: { name, namespace, uid, generation, labels, annotations } }: ServedObject): Pick<KafkaChannelManifest, 'apiVersion' | 'kind' | 'metadata'> {
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(generation === undefined ? {} : { generation }),
      labels: textsOf(fields(labels), keptLabels),
      annotations: textsOf(fields(annotations), keptAnnotations),
    },
  };
}

type SubscriberManifest = NonNullable<KafkaChannelManifest['spec']['subscribers']>[number];

const endpointTexts = ['name', 'subscriberUri', 'subscriberCACerts', 'subscriberAudience', 'replyUri', 'replyCACerts', 'replyAudience'] as const;

/** Without a uid there is no consumer group for it. */
function subscriberOf(entry: unknown): readonly SubscriberManifest[] {
  const found = fields(entry);
  const { uid, generation } = found;
  if (typeof uid !== 'string') return [];
  return [{ uid, ...(typeof generation === 'number' ? { generation } : {}), ...textsOf(found, endpointTexts), ...deliveryOf(found) }];
}

const deliveryTexts = ['backoffDelay', 'timeout', 'retryAfterMax'] as const;
const sinkTexts = ['uri', 'CACerts', 'audience'] as const;

function deliveryOf(holder: Readonly<Record<string, unknown>>): { readonly delivery?: DeliverySpec } {
  const found = holder['delivery'];
  if (typeof found !== 'object' || found === null) return {};
  const { retry, backoffPolicy, format, deadLetterSink } = found as Readonly<Record<string, unknown>>;
  const sink = fields(deadLetterSink);
  return {
    delivery: {
      ...(typeof retry === 'number' ? { retry } : {}),
      ...(backoffPolicy === 'linear' || backoffPolicy === 'exponential' ? { backoffPolicy } : {}),
      ...(format === 'json' || format === 'binary' ? { format } : {}),
      ...textsOf(found as Readonly<Record<string, unknown>>, deliveryTexts),
      // A reference is for the controller, which puts the URI in its place.
      ...(typeof sink['uri'] === 'string' ? { deadLetterSink: textsOf(sink, sinkTexts) } : {}),
    },
  };
}

function placementOf(entry: unknown): readonly PodPlacement[] {
  const { podName, vreplicas } = fields(entry);
  const isPlaced = typeof podName === 'string' && typeof vreplicas === 'number' && Number.isInteger(vreplicas) && vreplicas >= 1;
  return isPlaced ? [{ podName, vreplicas }] : [];
}

/** A part of `spec.net` with the references that are whole. */
function netPart<Name extends string>(spec: Readonly<Record<string, unknown>>, part: 'sasl' | 'tls', names: readonly Name[]): { readonly enable: boolean } & { readonly [N in Name]?: SecretReferences } {
  const found = fields(fields(spec['net'])[part]);
  const references: { [N in Name]?: SecretReferences } = {};
  for (const each of names) {
    const { name, key } = fields(fields(found[each])['secretKeyRef']);
    if (typeof name === 'string' && typeof key === 'string') references[each] = { secretKeyRef: { name, key } };
  }
  return { enable: found['enable'] === true, ...references };
}

type SecretReferences = NonNullable<NonNullable<NonNullable<KafkaSourceManifest['spec']['net']>['sasl']>['type']>;

/** The entries of a comma-separated list. */
function textsOf<Name extends string>(found: Readonly<Record<string, unknown>>, names: readonly Name[]): Partial<Record<Name, string>> {
  const result: Partial<Record<Name, string>> = {};
  for (const name of names) {
    const text = found[name];
    if (typeof text === 'string') result[name] = text;
  }
  return result;
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function texts(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(fields(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

function positive(value: unknown): number {
  return typeof value === 'number' && value >= 1 ? value : 1;
}
