import { describe, expect, it } from 'vitest';
import { defaultDelivery, deliveryOrderAnnotation, type DeliverySpec, type KafkaChannel, type SubscriptionState } from '@knative-kafka/common/core';
import { desiredConsumers, isSameConsumer, type ConsumerDefaults, type DesiredConsumer } from './desired-consumers.ts';

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
const defaults: ConsumerDefaults = { delivery: defaultDelivery, keepsUndeliverable: false };

function only(channels: readonly KafkaChannel[], { wanted, subscriptions = [], given = defaults }: { readonly wanted?: string; readonly subscriptions?: readonly SubscriptionState[]; readonly given?: ConsumerDefaults } = {}): DesiredConsumer[] {
  return [...desiredConsumers({ channels, subscriptions }, wanted, given).values()];
}
const destinationOf = (entry: Subscribers[number], ...more: Parameters<typeof only> extends [unknown, ...infer Rest] ? Rest : never) => only([channel('orders', [entry])], ...more)[0]!.destination;

describe('desired consumers', () => {
  it('are one per subscriber, in the group and topic that other implementations use', () => {
    const channels = [channel('orders', [subscriber, { ...subscriber, uid: 'uid-2', name: 'log' }])];
    expect([...desiredConsumers({ channels, subscriptions: [] }, undefined, defaults)]).toEqual([
      ['kafka.shop.orders.uid-1', {
        groupId: 'kafka.shop.orders.uid-1', topic: 'knative-messaging-kafka.shop.orders', order: 'ordered', channel: 'shop/orders', subscription: 'mail',
        destination: { subscriber: { uri: 'http://mail/' }, reply: undefined, deadLetterSink: undefined, keepsUndeliverable: false, delivery: defaultDelivery, namespace: 'shop' },
      }],
      ['kafka.shop.orders.uid-2', expect.objectContaining({ subscription: 'log' })],
    ]);
  });

  it('are those of one channel where one was asked for', () => {
    const channels = [channel('orders', [subscriber]), channel('returns', [{ ...subscriber, uid: 'uid-2' }])];
    expect(only(channels, { wanted: 'shop/returns' }).map(({ channel: key }) => key)).toEqual(['shop/returns']);
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
    const given = { delivery: { ...defaultDelivery, retry: 3, timeoutMs: 1_234 }, keepsUndeliverable: false };
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
    expect(only([channel('orders', [{ uid, generation, subscriberUri }])])[0]!.subscription).toBe('uid-1');
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
    [true, 'name', { subscription: 'renamed' }],
    [false, 'group', { groupId: 'kafka.shop.orders.uid-2' }],
    [false, 'topic', { topic: 'other' }],
    [false, 'order', { order: 'unordered' }],
  ])('%s when it has another %s', (expected, _, change) => {
    expect(isSameConsumer(one, { ...one, ...change })).toBe(expected);
  });
});
