import { describe, expect, it } from 'vitest';
import { defaultRetentionMs, deliveryOrderAnnotation } from './kafka-channel.ts';
import { servedChannel, servedConfigMap, servedSubscription, type ServedObject } from './served-objects.ts';

const all = { kafkaSecret: undefined };
const topic = 'knative-messaging-kafka.shop.orders';

const channel = (change: Partial<Omit<ServedObject, 'metadata'>> & { readonly metadata?: object } = {}): ServedObject => ({
  apiVersion: 'messaging.knative.dev/v1',
  kind: 'KafkaChannel',
  spec: {
    numPartitions: 3,
    replicationFactor: 1,
    retentionDuration: 'PT1H',
    delivery: { retry: 2, deadLetterSink: { ref: { kind: 'Service', name: 'sink', apiVersion: 'v1' } } },
    subscribers: [{ uid: 'u-1', name: 'display', generation: 4, subscriberUri: 'http://a/', delivery: { backoffPolicy: 'linear', backoffDelay: 'PT1S', deadLetterSink: { uri: 'http://dead/' } } }],
  },
  status: { annotations: { 'default.topic': topic, 'kafka.eventing.knative.dev/kafka-secret': 'kafka-a' } },
  ...change,
  metadata: {
    name: 'orders',
    namespace: 'shop',
    uid: 'u',
    generation: 2,
    labels: { team: 'a' },
    annotations: { [deliveryOrderAnnotation]: 'unordered', 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
    ...change.metadata,
  },
});

describe('servedChannel', () => {
  it('keeps what decides where events go and how', () => {
    expect(servedChannel(channel(), all)).toEqual({
      kind: 'KafkaChannel',
      metadata: { name: 'orders', namespace: 'shop', uid: 'u', generation: 2, labels: {}, annotations: { [deliveryOrderAnnotation]: 'unordered' } },
      spec: {
        numPartitions: 3,
        replicationFactor: 1,
        retentionMs: 3_600_000,
        delivery: { retry: 2 },
        subscribers: [{ uid: 'u-1', name: 'display', generation: 4, subscriberUri: 'http://a/', delivery: { backoffPolicy: 'linear', backoffDelay: 'PT1S', deadLetterSink: { uri: 'http://dead/' } } }],
      },
      recorded: { topic, kafkaSecret: 'kafka-a' },
    });
  });

  it('is equal where only a controller has written about the state of things', () => {
    const busy = channel({
      status: { annotations: { 'default.topic': topic, 'kafka.eventing.knative.dev/kafka-secret': 'kafka-a', other: 'x' }, observedGeneration: 2, conditions: [{ type: 'Ready', status: 'True' }] },
      metadata: { resourceVersion: '17', finalizers: ['x'], labels: { team: 'b' }, managedFields: [] },
    });
    expect(servedChannel(busy, all)).toEqual(servedChannel(channel(), all));
  });

  it.each<[string, ServedObject, Parameters<typeof servedChannel>[1], boolean]>([
    ['of its Kafka Secret', channel(), { ...all, kafkaSecret: 'kafka-a' }, true],
    ['of another Kafka Secret', channel(), { ...all, kafkaSecret: 'kafka-b' }, false],
    ['that no controller has seen', channel({ status: undefined }), all, false],
    ['that no controller has made a topic for', channel({ status: { annotations: { 'kafka.eventing.knative.dev/kafka-secret': 'kafka-a' } } }), all, false],
    ['without a Kafka Secret on record, where one is asked for', channel({ status: { annotations: { 'default.topic': topic } } }), { ...all, kafkaSecret: 'kafka-a' }, false],
    ['that is being deleted', channel({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }), all, false],
  ])('serves a channel %s: %#', (_name, object, served, isServed) => {
    expect(servedChannel(object, served) !== undefined).toBe(isServed);
  });

  const status = channel().status;
  it.each<[string, unknown, object]>([
    ['no spec', undefined, { numPartitions: 1, replicationFactor: 1, retentionMs: defaultRetentionMs, subscribers: [] }],
    ['a spec that is a list', [], { subscribers: [] }],
    ['nulls', { numPartitions: null, retentionDuration: null, delivery: null, subscribers: null }, { numPartitions: 1, retentionMs: defaultRetentionMs, subscribers: [] }],
    ['other types', { numPartitions: '3', replicationFactor: -1, retentionDuration: 5, delivery: 'x', subscribers: {} }, { numPartitions: 1, replicationFactor: 1, retentionMs: defaultRetentionMs, subscribers: [] }],
    ['subscribers that are none', { subscribers: [null, 'x', [], {}, { uid: 7 }, { uid: 'u', subscriberUri: 7, generation: 'x', delivery: [] }] }, { subscribers: [{ uid: 'u', generation: 1, delivery: {} }] }],
    ['delivery of later versions', { delivery: { retry: 'x', backoffPolicy: 'random', timeout: 7, format: 'avro', hedging: true, deadLetterSink: 'x' } }, { delivery: {} }],
  ])('takes %s as absent', (_name, spec, expected) => {
    expect(servedChannel(channel({ spec, status }), all)?.spec).toMatchObject(expected);
  });

  it.each([[null], ['x'], [[]], [{ annotations: null }], [{ annotations: { 'default.topic': 7 } }]])('takes the status %j as one without a topic', (odd) => {
    expect(servedChannel(channel({ status: odd }), all)).toBeUndefined();
  });
});

describe('servedSubscription', () => {
  const subscription = (spec: unknown, annotations: object = { [deliveryOrderAnnotation]: 'key-ordered', other: 'x' }): ServedObject => ({
    apiVersion: 'messaging.knative.dev/v1',
    kind: 'Subscription',
    metadata: { name: 'display', namespace: 'shop', uid: 'u-1', generation: 3, annotations: annotations as Record<string, string> },
    spec,
  });
  const ref = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'orders' };

  it('keeps the channel and the order', () => {
    expect(servedSubscription(subscription({ channel: { ...ref, extra: 1 }, subscriber: { uri: 'http://a/' } }), undefined)).toEqual({
      kind: 'Subscription',
      metadata: { name: 'display', namespace: 'shop', uid: 'u-1', generation: 3, labels: {}, annotations: { [deliveryOrderAnnotation]: 'key-ordered' } },
      spec: { channel: ref },
    });
  });

  it.each<[string, unknown, string | undefined, boolean]>([
    ['of the channel', { channel: ref }, 'orders', true],
    ['of another channel', { channel: ref }, 'payments', false],
    ['without a channel', {}, undefined, false],
    ['without a spec', null, undefined, false],
  ])('%s: %#', (_name, spec, name, isServed) => {
    expect(servedSubscription(subscription(spec), name) !== undefined).toBe(isServed);
  });

  it('takes annotations that are no text as absent', () => {
    expect(servedSubscription(subscription({ channel: ref }, { [deliveryOrderAnnotation]: 7 }), undefined)?.metadata.annotations).toEqual({});
  });
});

describe('servedConfigMap', () => {
  const metadata = { name: 'config-kafka-features', namespace: 'knative-eventing', uid: 'u', generation: 1 };

  it('keeps the settings and not their documentation', () => {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { _example: 'long', 'dead-letter-topic': 'enabled', odd: 7 } };
    expect(servedConfigMap(object)).toEqual({ kind: 'ConfigMap', metadata: { ...metadata, labels: {}, annotations: {} }, data: { 'dead-letter-topic': 'enabled' } });
  });

  it('is empty without data', () => {
    expect(servedConfigMap({ apiVersion: 'v1', kind: 'ConfigMap', metadata }).data).toEqual({});
  });
});
