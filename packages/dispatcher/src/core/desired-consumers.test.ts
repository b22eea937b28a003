import { describe, expect, it } from 'vitest';
import { defaultDelivery, deliveryOrderAnnotation, maxPollRecordsAnnotation, rateLimiterAnnotation, readFeatures, readSourceDataPlane, type DeliverySpec, type KafkaChannel, type KafkaSource, type ServedSource, type SubscriptionState } from '@knative-kafka/common/core';
import { desiredConsumers, desiredSourceConsumers, isSameConsumer, type ConsumerDefaults, type DesiredConsumer, type SourceDefaults } from './desired-consumers.ts';

type Subscribers = KafkaChannel['spec']['subscribers'];

function channel(name: string, subscribers: Subscribers, { delivery, order }: { readonly delivery?: DeliverySpec; readonly order?: string } = {}): KafkaChannel {
  return {
    kind: 'KafkaChannel',
    metadata: { namespace: 'shop', name, uid: 'u', generation: 1, labels: {}, annotations: order === undefined ? {} : { [deliveryOrderAnnotation]: order } },
    spec: { numPartitions: 1, replicationFactor: 1, retentionMs: 1, subscribers, ...(delivery === undefined ? {} : { delivery }) },
  };
}
function subscription(uid: string, order: string): SubscriptionState {
  return {
    subscription: {
      kind: 'Subscription',
      metadata: { namespace: 'shop', name: 'mail', uid, generation: 1, labels: {}, annotations: { [deliveryOrderAnnotation]: order } },
      spec: { channel: { apiVersion: 'messaging.knative.dev/v1', kind: 'Channel', name: 'orders' } },
    },
    physicalSubscription: {},
    conditions: [],
  };
}
const subscriber = { uid: 'uid-1', name: 'mail', generation: 1, subscriberUri: 'http://mail/' };
const defaults: ConsumerDefaults = { delivery: defaultDelivery, keepsUndeliverable: false, podName: 'pod-0' };

function only(channels: readonly KafkaChannel[], { wanted, subscriptions = [], given = defaults }: { readonly wanted?: string; readonly subscriptions?: readonly SubscriptionState[]; readonly given?: ConsumerDefaults } = {}): DesiredConsumer[] {
  return [...desiredConsumers({ channels, subscriptions }, wanted, given).values()];
}
const destinationOf = (entry: Subscribers[number], ...more: Parameters<typeof only> extends [unknown, ...infer Rest] ? Rest : never) => only([channel('orders', [entry])], ...more)[0]!.destination;

describe('desired consumers', () => {
  it('are one per subscriber, in the group and topic that other implementations use', () => {
    const channels = [channel('orders', [subscriber, { ...subscriber, uid: 'uid-2', name: 'log' }])];
    expect([...desiredConsumers({ channels, subscriptions: [] }, undefined, defaults)]).toEqual([
      ['kafka.shop.orders.uid-1', {
        groupId: 'kafka.shop.orders.uid-1', topics: ['knative-messaging-kafka.shop.orders'], order: 'ordered', owner: { channel: 'shop/orders', subscription: 'mail' },
        initialOffset: 'latest', memberId: 'pod-0', kafka: undefined, source: undefined,
        destination: { subscriber: { uri: 'http://mail/' }, reply: undefined, deadLetterSink: undefined, keepsUndeliverable: false, delivery: defaultDelivery, namespace: 'shop' },
      }],
      ['kafka.shop.orders.uid-2', expect.objectContaining({ owner: { channel: 'shop/orders', subscription: 'log' } })],
    ]);
  });

  it('are those of one channel where one was asked for', () => {
    const channels = [channel('orders', [subscriber]), channel('returns', [{ ...subscriber, uid: 'uid-2' }])];
    expect(only(channels, { wanted: 'shop/returns' }).map(({ owner }) => owner.channel)).toEqual(['shop/returns']);
    expect(only(channels, { wanted: 'shop/other' })).toEqual([]);
    expect(only(channels)).toHaveLength(2);
  });

  it.each<[string, DeliverySpec | undefined, DeliverySpec | undefined, object]>([
    ['nobody', undefined, undefined, { retry: 10, backoffDelayMs: 300 }],
    ['the channel', { retry: 2 }, undefined, { retry: 2, backoffDelayMs: 300 }],
    ['the Subscription', { retry: 2 }, { retry: 5, backoffPolicy: 'linear', backoffDelay: 'PT1S' }, { retry: 5, backoffPolicy: 'linear', backoffDelayMs: 1_000 }],
  ])('are delivered as %s says', (_, delivery, own, expected) => {
    const entry = own === undefined ? subscriber : { ...subscriber, delivery: own };
    expect(only([channel('orders', [entry], delivery === undefined ? {} : { delivery })])[0]!.destination.delivery).toMatchObject(expected);
  });

  it('are delivered by the defaults of the process where nobody says anything', () => {
    const given = { ...defaults, delivery: { ...defaultDelivery, retry: 3, timeoutMs: 1_234 } };
    expect(destinationOf(subscriber, { given }).delivery).toMatchObject({ retry: 3, timeoutMs: 1_234 });
  });

  it('have their destinations as written, each with its own certificates', () => {
    const entry = {
      ...subscriber, subscriberUri: 'HTTPS://mail', subscriberCACerts: 'PEM 1', replyUri: 'https://replies/../a', replyCACerts: 'PEM 2',
      delivery: { deadLetterSink: { uri: 'https://letters?x', CACerts: 'PEM 3' } },
    };
    expect(destinationOf(entry)).toMatchObject({
      subscriber: { uri: 'HTTPS://mail', caCerts: 'PEM 1' },
      reply: { uri: 'https://replies/../a', caCerts: 'PEM 2' },
      deadLetterSink: { uri: 'https://letters?x', caCerts: 'PEM 3' },
    });
  });

  it('take the dead letter sink of the channel where the Subscription has none', () => {
    const own = { ...subscriber, delivery: { retry: 1 } };
    expect(only([channel('orders', [own], { delivery: { deadLetterSink: { uri: 'http://letters/' } } })])[0]!.destination).toMatchObject({ deadLetterSink: { uri: 'http://letters/' }, delivery: { retry: 1 } });
  });

  it('have no dead letter sink while it is a reference that nobody resolved', () => {
    const own = { ...subscriber, delivery: { deadLetterSink: { ref: { apiVersion: 'v1', kind: 'Service', name: 'letters' } } } };
    expect(destinationOf(own).deadLetterSink).toBeUndefined();
  });

  it.each([true, false])('keep what nobody takes: %s, as the process says', (keepsUndeliverable) => {
    expect(destinationOf(subscriber, { given: { ...defaults, keepsUndeliverable } }).keepsUndeliverable).toBe(keepsUndeliverable);
  });

  it('send the event itself as the reply where there is no subscriber, and expect no answer to it', () => {
    const entry = { uid: 'uid-1', generation: 1, replyUri: 'https://replies/', replyCACerts: 'PEM' };
    expect(destinationOf(entry)).toMatchObject({ subscriber: { uri: 'https://replies/', caCerts: 'PEM' }, reply: undefined });
  });

  it.each<[string, string | undefined, string | undefined, string]>([
    ['in order where nobody says anything', undefined, undefined, 'ordered'],
    ['as the KafkaChannel says', 'unordered', undefined, 'unordered'],
    ['as the Subscription says', undefined, 'key-ordered', 'key-ordered'],
    ['as the Subscription says, whatever the KafkaChannel says', 'unordered', 'key-ordered', 'key-ordered'],
    ['in order again, where the Subscription says so', 'unordered', 'ordered', 'ordered'],
    ['as the KafkaChannel says where the Subscription’s word is none', 'unordered', 'sorted', 'unordered'],
    ['in order where all words are none', 'Unordered', 'sorted', 'ordered'],
  ])('are delivered %s', (_, ofChannel, ofSubscription, order) => {
    const channels = [channel('orders', [subscriber], ofChannel === undefined ? {} : { order: ofChannel })];
    const subscriptions = ofSubscription === undefined ? [] : [subscription('uid-1', ofSubscription)];
    expect(only(channels, { subscriptions })[0]!.order).toBe(order);
  });

  it('take no order from the Subscription of another subscriber', () => {
    expect(only([channel('orders', [subscriber])], { subscriptions: [subscription('uid-2', 'unordered')] })[0]!.order).toBe('ordered');
  });

  it('are called by the uid where an older controller wrote no name', () => {
    const { uid, generation, subscriberUri } = subscriber;
    expect(only([channel('orders', [{ uid, generation, subscriberUri }])])[0]!.owner.subscription).toBe('uid-1');
  });

  it.each([
    ['an entry without any URI', channel('orders', [{ uid: 'uid-1', generation: 1 }])],
    ['a channel whose topic Kafka could not name', channel('x'.repeat(250), [subscriber])],
    ['a channel without subscribers', channel('orders', [])],
  ])('leave out %s', (_, given) => {
    expect(only([given])).toEqual([]);
  });
});

describe('a consumer is the same', () => {
  const one = only([channel('orders', [subscriber])])[0]!;

  it.each<[boolean, string, Partial<DesiredConsumer>]>([
    [true, 'destination', { destination: { ...one.destination, subscriber: { uri: 'http://there/' }, keepsUndeliverable: true } }],
    [true, 'name', { owner: { channel: 'shop/orders', subscription: 'renamed' } }],
    [false, 'group', { groupId: 'kafka.shop.orders.uid-2' }],
    [false, 'topic', { topics: ['other'] }],
    [false, 'order', { order: 'unordered' }],
  ])('%s when it has another %s', (expected, _, change) => {
    expect(isSameConsumer(one, { ...one, ...change })).toBe(expected);
  });
});

interface SourceChange {
  readonly spec?: Partial<KafkaSource['spec']>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly namespace?: string;
  readonly served?: Partial<ServedSource>;
}
function servedSource(name: string, { spec = {}, annotations = {}, namespace = 'shop', served = {} }: SourceChange = {}): ServedSource {
  const whole: KafkaSource['spec'] = {
    bootstrapServers: ['kafka-a:9092', 'kafka-b:9092'], topics: ['orders', 'returns'], consumers: 4, consumerGroup: `group-of-${name}`, initialOffset: 'earliest',
    ordering: 'ordered', sink: { uri: 'http://sink/' }, extensions: {}, keyType: 'string', net: {}, ...spec,
  };
  const source: KafkaSource = { kind: 'KafkaSource', metadata: { namespace, name, uid: `uid-${name}`, generation: 1, labels: {}, annotations }, spec: whole };
  return { source, sink: { uri: 'http://sink/' }, deadLetterSink: undefined, placements: [{ podName: 'pod-0', vreplicas: 3 }, { podName: 'pod-1', vreplicas: 1 }], needsInitialOffsets: false, ...served };
}
const sourceDefaults: SourceDefaults = { keepsUndeliverable: false, podName: 'pod-0', features: readFeatures([], 'system'), dataPlane: readSourceDataPlane([], 'system') };
const limited = { ...sourceDefaults, features: { ...sourceDefaults.features, isRateLimiterEnabled: true } };
const desiredOf = (served: ServedSource, given: SourceDefaults = sourceDefaults): DesiredConsumer => [...desiredSourceConsumers([served], given).values()][0]!;

describe('desired consumers of KafkaSources', () => {
  it('are one for each source with vreplicas here, a member of its group in all of its topics', () => {
    const served = servedSource('numbers', { spec: { keyType: 'int', extensions: { team: 'a' }, ordering: 'key-ordered' } });
    expect([...desiredSourceConsumers([served], sourceDefaults)]).toEqual([['shop/numbers', {
      groupId: 'group-of-numbers', topics: ['orders', 'returns'], order: 'key-ordered', owner: { source: 'shop/numbers' }, initialOffset: undefined, memberId: 'pod-0/shop/numbers', kafka: served.source,
      destination: { subscriber: { uri: 'http://sink/' }, reply: undefined, deadLetterSink: undefined, keepsUndeliverable: false, namespace: 'shop', delivery: { ...defaultDelivery, timeoutMs: 600_000 } },
      source: { events: { namespace: 'shop', name: 'numbers', keyType: 'int', extensions: [['team', 'a']] }, vreplicas: 3, eventsPerSecond: undefined },
    }]]);
  });

  it.each<[string, ServedSource['placements'], number, number | undefined]>([
    ['those placed on this pod', [{ podName: 'pod-0', vreplicas: 1 }, { podName: 'pod-1', vreplicas: 3 }], 4, 1],
    ['those placed on this pod, however many the source asks for', [{ podName: 'pod-0', vreplicas: 13 }], 25, 13],
    ['none that are placed elsewhere', [{ podName: 'pod-1', vreplicas: 4 }], 4, undefined],
    ['none before any is placed', [], 4, undefined],
    ['all of them where nobody places', undefined, 4, 4],
    ['none of a source that is paused', undefined, 0, undefined],
  ])('run %s', (_, placements, consumers, vreplicas) => {
    const found = [...desiredSourceConsumers([servedSource('numbers', { spec: { consumers }, served: { placements } })], sourceDefaults).values()];
    expect(found.map(({ source }) => source!.vreplicas)).toEqual(vreplicas === undefined ? [] : [vreplicas]);
  });

  it('are members under a name of their own, also of one group', () => {
    const shared = { consumerGroup: 'shared' };
    const found = desiredSourceConsumers([servedSource('a', { spec: shared }), servedSource('b', { spec: shared }), servedSource('a', { spec: shared, namespace: 'other' })], sourceDefaults);
    expect([...found.values()].map(({ groupId, memberId }) => [groupId, memberId])).toEqual([['shared', 'pod-0/shop/a'], ['shared', 'pod-0/shop/b'], ['shared', 'pod-0/other/a']]);
    expect(desiredOf(servedSource('a', { served: { placements: undefined } }), { ...sourceDefaults, podName: undefined }).memberId).toBeUndefined();
  });

  it('begin where the source says only where nobody has fixed it', () => {
    expect(desiredOf(servedSource('a', { served: { needsInitialOffsets: true }, spec: { initialOffset: { timestampMs: 7 } } })).initialOffset).toEqual({ timestampMs: 7 });
  });

  it('read a topic that is named twice once', () => {
    expect(desiredOf(servedSource('a', { spec: { topics: ['x', 'y', 'x'] } })).topics).toEqual(['x', 'y']);
  });

  it('deliver as the source says, and by the defaults of sources where it says nothing', () => {
    const served = servedSource('a', { spec: { delivery: { backoffPolicy: 'linear', deadLetterSink: { uri: 'http://letters/' } } }, served: { sink: { uri: 'https://sink/', CACerts: 'PEM 1' }, deadLetterSink: { uri: 'https://letters/', CACerts: 'PEM 2' } } });
    const { destination } = desiredOf(served, { ...sourceDefaults, keepsUndeliverable: true });
    expect(destination).toMatchObject({ subscriber: { uri: 'https://sink/', caCerts: 'PEM 1' }, deadLetterSink: { uri: 'https://letters/', caCerts: 'PEM 2' }, keepsUndeliverable: true });
    expect(destination.delivery).toMatchObject({ retry: 10, backoffPolicy: 'linear', backoffDelayMs: 300, timeoutMs: 600_000 });
  });

  it.each<[string, Readonly<Record<string, string>>, SourceDefaults, number | undefined]>([
    ['no limit', {}, sourceDefaults, undefined],
    ['50 for each vreplica here', {}, limited, 150],
    ['its own number', { [maxPollRecordsAnnotation]: '7' }, limited, 21],
    ['a limit of its own', { [rateLimiterAnnotation]: 'enabled' }, sourceDefaults, 150],
    ['none of its own', { [rateLimiterAnnotation]: 'disabled' }, limited, undefined],
  ])('have %s', (_, annotations, given, eventsPerSecond) => {
    expect(desiredOf(servedSource('a', { annotations }), given).source!.eventsPerSecond).toBe(eventsPerSecond);
  });
});

describe('a consumer of a KafkaSource is the same', () => {
  const login = { sasl: { user: { name: 'login', key: 'user' } } };
  const one = desiredOf(servedSource('a', { spec: { net: login } }));
  const other = (change: SourceChange, given?: SourceDefaults) => desiredOf(servedSource('a', { ...change, spec: { net: login, ...change.spec } }), given);

  it.each<[boolean, string, DesiredConsumer]>([
    [true, 'sink, delivery, overrides and key type', other({ spec: { delivery: { retry: 1 }, extensions: { a: 'b' }, keyType: 'int' }, served: { sink: { uri: 'http://there/' } } })],
    [true, 'number of vreplicas and rate', other({ served: { placements: [{ podName: 'pod-0', vreplicas: 1 }] } }, limited)],
    [true, 'order of topics and brokers', other({ spec: { topics: ['returns', 'orders'], bootstrapServers: ['kafka-b:9092', 'kafka-a:9092'] } })],
    [false, 'topic more', other({ spec: { topics: ['orders', 'returns', 'more'] } })],
    [false, 'topic', other({ spec: { topics: ['orders', 'more'] } })],
    [false, 'group', other({ spec: { consumerGroup: 'another' } })],
    [false, 'broker', other({ spec: { bootstrapServers: ['kafka-c:9092'] } })],
    [false, 'Secret', other({ spec: { net: { sasl: { user: { name: 'new-login', key: 'user' } } } } })],
    [false, 'namespace, whose Secret it is', other({ namespace: 'other' })],
    [false, 'order', other({ spec: { ordering: 'unordered' } })],
  ])('%s when it has another %s', (expected, _, changed) => {
    expect(isSameConsumer(one, changed)).toBe(expected);
  });
});
