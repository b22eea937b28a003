import { describe, expect, it } from 'vitest';
import { defaultDelivery, type KafkaChannel } from '@knative-kafka/common/core';
import { desiredConsumers } from './desired-consumers.ts';

function channel(name: string, subscribers: KafkaChannel['spec']['subscribers'], delivery?: KafkaChannel['spec']['delivery']): KafkaChannel {
  return {
    kind: 'KafkaChannel',
    metadata: { namespace: 'shop', name, uid: 'u', generation: 1, labels: {}, annotations: {} },
    spec: { numPartitions: 1, replicationFactor: 1, retentionMs: 1, subscribers, ...(delivery === undefined ? {} : { delivery }) },
  };
}
const subscriber = { uid: 'uid-1', name: 'mail', generation: 1, subscriberUri: 'http://mail/' };
const only = (channels: readonly KafkaChannel[], wanted?: string) => [...desiredConsumers(channels, wanted, defaultDelivery).values()];

describe('desired consumers', () => {
  it('are one per subscriber, in the group and topic that other implementations use', () => {
    expect([...desiredConsumers([channel('orders', [subscriber, { ...subscriber, uid: 'uid-2', name: 'log' }])], undefined, defaultDelivery)]).toEqual([
      ['kafka.shop.orders.uid-1', { groupId: 'kafka.shop.orders.uid-1', topic: 'knative-messaging-kafka.shop.orders', channel: 'shop/orders', subscription: 'mail', destination: { subscriberUri: 'http://mail/', namespace: 'shop', delivery: defaultDelivery } }],
      ['kafka.shop.orders.uid-2', expect.objectContaining({ subscription: 'log' })],
    ]);
  });

  it('are those of one channel where one was asked for', () => {
    const channels = [channel('orders', [subscriber]), channel('returns', [{ ...subscriber, uid: 'uid-2' }])];
    expect(only(channels, 'shop/returns').map(({ channel: key }) => key)).toEqual(['shop/returns']);
    expect(only(channels, 'shop/other')).toEqual([]);
    expect(only(channels)).toHaveLength(2);
  });

  it.each<[string, Parameters<typeof channel>[2], KafkaChannel['spec']['subscribers'][number]['delivery'], object]>([
    ['nobody', undefined, undefined, { retry: 10, backoffDelayMs: 300 }],
    ['the channel', { retry: 2 }, undefined, { retry: 2, backoffDelayMs: 300 }],
    ['the Subscription', { retry: 2 }, { retry: 5, backoffPolicy: 'linear', backoffDelay: 'PT1S' }, { retry: 5, backoffPolicy: 'linear', backoffDelayMs: 1_000 }],
  ])('are delivered as %s says', (_, ofChannel, own, expected) => {
    const entry = own === undefined ? subscriber : { ...subscriber, delivery: own };
    expect(only([channel('orders', [entry], ofChannel)])[0]!.destination.delivery).toMatchObject(expected);
  });

  it('are called by the uid where an older controller wrote no name', () => {
    const { uid, generation, subscriberUri } = subscriber;
    expect(only([channel('orders', [{ uid, generation, subscriberUri }])])[0]!.subscription).toBe('uid-1');
  });

  it.each([
    ['an entry without a URI: it wants replies only', channel('orders', [{ uid: 'uid-1', generation: 1, replyUri: 'http://r/' }])],
    ['a channel whose topic Kafka could not name', channel('x'.repeat(250), [subscriber])],
    ['a channel without subscribers', channel('orders', [])],
  ])('leave out %s', (_, given) => {
    expect(only([given])).toEqual([]);
  });
});
