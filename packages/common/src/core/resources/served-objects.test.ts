import { describe, expect, it } from 'vitest';
import { defaultRetentionMs, deliveryOrderAnnotation } from './kafka-channel.ts';
import { keyTypeLabel, maxPollRecordsAnnotation, rateLimiterAnnotation } from './kafka-source.ts';
import { servedChannel, servedConfigMap, servedSource, servedSubscription, type ServedObject } from './served-objects.ts';

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

describe('servedSource', () => {
  const group = 'knative-kafka-source-0c9f2f4e-7f3c-4a53-9d0a-5c6c51e3b1aa';
  const settled = { 'kafka.eventing.knative.dev/topics': 'orders,returns', 'kafka.eventing.knative.dev/bootstrap-servers': 'kafka-0:9092,kafka-1:9092' };
  const spec = {
    bootstrapServers: ['elsewhere:9092'],
    topics: ['orders', 'returns', 'new'],
    consumers: 4,
    consumerGroup: group,
    initialOffset: 'earliest',
    ordering: 'key-ordered',
    delivery: { retry: 2, deadLetterSink: { ref: { kind: 'Service', name: 'dead', apiVersion: 'v1' } } },
    sink: { ref: { kind: 'Service', name: 'sink', apiVersion: 'v1' } },
    ceOverrides: { extensions: { team: 'a' } },
    net: { sasl: { enable: true, user: { secretKeyRef: { name: 'kafka', key: 'user', optional: true } }, password: {} }, tls: { enable: false, caCert: { secretKeyRef: { name: 'kafka', key: 'ca.crt' } } } },
  };
  const status = {
    annotations: settled,
    sinkUri: 'http://sink.shop.svc.cluster.local',
    sinkCACerts: 'PEM',
    deadLetterSinkUri: 'http://dead.shop.svc.cluster.local',
    deadLetterSinkAudience: 'dead',
    placements: [{ podName: 'kafka-source-dispatcher-0', vreplicas: 3, zone: 'a' }, { podName: 'kafka-source-dispatcher-1', vreplicas: 1 }],
  };
  const source = (change: { readonly spec?: unknown; readonly status?: unknown; readonly metadata?: object } = {}): ServedObject => ({
    apiVersion: 'sources.knative.dev/v1',
    kind: 'KafkaSource',
    spec,
    status,
    ...change,
    metadata: {
      name: 'orders',
      namespace: 'shop',
      uid: 'u',
      generation: 2,
      labels: { [keyTypeLabel]: 'int', team: 'a' },
      annotations: { [rateLimiterAnnotation]: 'enabled', [maxPollRecordsAnnotation]: '20', 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
      ...change.metadata,
    },
  });

  it('keeps what decides what is read and where it goes: topics, servers and sinks as its controller settled them', () => {
    expect(servedSource(source())).toEqual({
      source: {
        kind: 'KafkaSource',
        metadata: { name: 'orders', namespace: 'shop', uid: 'u', generation: 2, labels: { [keyTypeLabel]: 'int' }, annotations: { [rateLimiterAnnotation]: 'enabled', [maxPollRecordsAnnotation]: '20' } },
        spec: {
          bootstrapServers: ['kafka-0:9092', 'kafka-1:9092'],
          topics: ['orders', 'returns'],
          consumers: 4,
          consumerGroup: group,
          initialOffset: 'earliest',
          ordering: 'key-ordered',
          delivery: { retry: 2 },
          sink: {},
          extensions: { team: 'a' },
          keyType: 'int',
          net: { sasl: { user: { name: 'kafka', key: 'user' } } },
        },
      },
      sink: { uri: 'http://sink.shop.svc.cluster.local', CACerts: 'PEM' },
      deadLetterSink: { uri: 'http://dead.shop.svc.cluster.local', audience: 'dead' },
      placements: [{ podName: 'kafka-source-dispatcher-0', vreplicas: 3 }, { podName: 'kafka-source-dispatcher-1', vreplicas: 1 }],
      needsInitialOffsets: false,
    });
  });

  it('is equal where only the state of things was written', () => {
    const busy = source({
      spec: { ...spec, topics: ['other'], sink: { uri: 'http://other' } },
      status: { ...status, consumers: 4, observedGeneration: 2, conditions: [{ type: 'Ready', status: 'True' }], annotations: { ...settled, other: 'x' } },
      metadata: { resourceVersion: '17', finalizers: ['x'], labels: { [keyTypeLabel]: 'int', team: 'b' } },
    });
    expect(servedSource(busy)).toEqual(servedSource(source()));
  });

  it.each<[string, Parameters<typeof source>[0], boolean]>([
    ['that is prepared', {}, true],
    ['without a place for its vreplicas yet', { status: { ...status, placements: undefined } }, true],
    ['without a dead letter sink, where none is wanted', { spec: { ...spec, delivery: { retry: 1 } }, status: { ...status, deadLetterSinkUri: undefined } }, true],
    ['whose dead letter sink is not known', { status: { ...status, deadLetterSinkUri: undefined } }, false],
    ['whose sink is not known', { status: { ...status, sinkUri: undefined } }, false],
    ['whose sink is empty', { status: { ...status, sinkUri: '' } }, false],
    ['without topics on record', { status: { ...status, annotations: { ...settled, 'kafka.eventing.knative.dev/topics': ' , ' } } }, false],
    ['without servers on record', { status: { ...status, annotations: { 'kafka.eventing.knative.dev/topics': 'orders' } } }, false],
    ['without a consumer group', { spec: { ...spec, consumerGroup: undefined } }, false],
    ['that no controller has seen', { status: undefined }, false],
    ['that is being deleted', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }, false],
    ['of nothing', { spec: null, status: [] }, false],
  ])('serves a source %s: %#', (_name, change, isServed) => {
    expect(servedSource(source(change)) !== undefined).toBe(isServed);
  });

  it('sends nothing to a dead letter sink that is not wanted any more', () => {
    expect(servedSource(source({ spec: { ...spec, delivery: {} } }))?.deadLetterSink).toBeUndefined();
  });

  it('takes what is not as expected as absent', () => {
    const odd = servedSource(source({
      spec: { consumerGroup: group, consumers: '3', initialOffset: 7, ordering: 'random', delivery: 'x', ceOverrides: [], net: { sasl: 'x', tls: { enable: 'yes', caCert: { secretKeyRef: { name: 7 } } } } },
      status: { ...status, placements: [null, 'x', {}, { podName: 'a' }, { podName: 'b', vreplicas: 0 }, { podName: 'c', vreplicas: 1.5 }, { podName: 'd', vreplicas: '2' }, { podName: 'e', vreplicas: 2 }] },
      metadata: { labels: null, annotations: { [rateLimiterAnnotation]: 7 } },
    }));
    expect(odd?.placements).toEqual([{ podName: 'e', vreplicas: 2 }]);
    expect(odd?.source.metadata).toMatchObject({ labels: {}, annotations: {} });
    expect(odd?.source.spec).toMatchObject({ consumers: 1, initialOffset: 'latest', ordering: 'ordered', extensions: {}, keyType: 'string', net: {} });
    expect(servedSource(source({ status: { ...status, placements: 'x' } }))?.placements).toEqual([]);
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
