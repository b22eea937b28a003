import { describe, expect, it } from 'vitest';
import { fillSubscribers } from './channel-subscribers.ts';
import type { DeliverySpec } from './delivery.ts';
import type { DestinationLookups } from './destination.ts';
import type { KafkaChannel } from './kafka-channel.ts';
import type { Subscription, SubscriptionSpec } from './subscription.ts';

const lookups: DestinationLookups = {
  hasService: (namespace, name) => `${namespace}/${name}` === 'shop/display',
  addresses: ({ namespace, name }) => [{ name: 'http', url: `http://localhost:8080/${namespace}/${name}` }],
  clusterDomain: 'cluster.local',
};

function channel(name: string, delivery?: DeliverySpec): KafkaChannel {
  return {
    kind: 'KafkaChannel',
    metadata: { namespace: 'shop', name, uid: `uid-${name}`, generation: 1, labels: {}, annotations: {} },
    spec: {
      numPartitions: 1,
      replicationFactor: 1,
      retentionMs: 1,
      ...(delivery === undefined ? {} : { delivery }),
      subscribers: [{ uid: 'left over', generation: 1, subscriberUri: 'http://gone' }],
    },
  };
}

const to = (name: string): SubscriptionSpec['channel'] => ({ apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name });

function subscription(name: string, spec: Partial<SubscriptionSpec> = {}): Subscription {
  return {
    kind: 'Subscription',
    metadata: { namespace: 'shop', name, uid: `uid-${name}`, generation: 5, labels: {}, annotations: {} },
    spec: { channel: to('orders'), subscriber: { uri: 'http://subscriber' }, ...spec },
  };
}

describe('fillSubscribers', () => {
  it('carries the certificates that each destination is checked against', () => {
    const { channels, subscriptions } = fillSubscribers(
      [channel('orders', { deadLetterSink: { uri: 'https://sink', CACerts: 'C' } })],
      [subscription('a', { subscriber: { uri: 'https://here', CACerts: 'A' }, reply: { uri: 'https://there', CACerts: 'B' } })],
      lookups,
    );
    expect(channels[0]?.spec.subscribers[0]).toMatchObject({
      subscriberUri: 'https://here', subscriberCACerts: 'A', replyUri: 'https://there', replyCACerts: 'B', delivery: { deadLetterSink: { uri: 'https://sink', CACerts: 'C' } },
    });
    expect(subscriptions[0]?.physicalSubscription).toMatchObject({ subscriberCACerts: 'A', replyCACerts: 'B', deadLetterSinkCACerts: 'C' });
  });

  it('adds each Subscription to its channel, in the order given', () => {
    const { channels, subscriptions } = fillSubscribers(
      [channel('orders'), channel('payments'), channel('unused')],
      [subscription('b'), subscription('a', { channel: to('payments') }), subscription('c', { reply: { ref: to('payments') } })],
      lookups,
    );
    expect(channels.map((each) => [each.metadata.name, each.spec.subscribers])).toEqual([
      [
        'orders',
        [
          { uid: 'uid-b', name: 'b', generation: 5, subscriberUri: 'http://subscriber' },
          { uid: 'uid-c', name: 'c', generation: 5, subscriberUri: 'http://subscriber', replyUri: 'http://localhost:8080/shop/payments' },
        ],
      ],
      ['payments', [{ uid: 'uid-a', name: 'a', generation: 5, subscriberUri: 'http://subscriber' }]],
      ['unused', []],
    ]);
    for (const state of subscriptions) {
      expect(state.conditions).toEqual([
        { type: 'ReferencesResolved', status: 'True' },
        { type: 'AddedToChannel', status: 'True' },
      ]);
    }
  });

  it.each<[string, Partial<SubscriptionSpec>, 'False' | 'Unknown', string, RegExp]>([
    ['a channel that does not exist', { channel: to('nope') }, 'Unknown', 'ChannelReferenceFailed', /KafkaChannel shop\/nope does not exist/],
    ['a channel of another kind', { channel: { ...to('orders'), kind: 'InMemoryChannel' } }, 'Unknown', 'ChannelReferenceFailed', /InMemoryChannel is no KafkaChannel/],
    ['a channel of another group', { channel: { ...to('orders'), apiVersion: 'v1' } }, 'Unknown', 'ChannelReferenceFailed', /v1 KafkaChannel is no KafkaChannel of/],
    ['a channel in another namespace', { channel: { ...to('orders'), namespace: 'bank' } }, 'Unknown', 'ChannelReferenceFailed', /cannot have a channel in bank/],
    ['a subscriber that says nothing', { subscriber: {} }, 'False', 'SubscriberResolveFailed', /^spec.subscriber: neither/],
    ['a subscriber that does not exist', { subscriber: { ref: { apiVersion: 'v1', kind: 'Service', name: 'x' } } }, 'False', 'SubscriberResolveFailed', /^spec.subscriber: Service shop\/x does not exist/],
    ['a reply that is no URL', { reply: { uri: 'x' } }, 'False', 'ReplyResolveFailed', /^spec.reply: /],
    ['a dead letter sink that is no URL', { delivery: { deadLetterSink: { uri: 'x' } } }, 'False', 'DeadLetterSinkResolveFailed', /^spec.delivery.deadLetterSink: /],
    ['the first of several', { reply: { uri: 'x' }, subscriber: { uri: 'y' } }, 'False', 'SubscriberResolveFailed', /"y"/],
  ])('does not add a Subscription with %s', (_name, spec, status, reason, message) => {
    const { channels, subscriptions } = fillSubscribers([channel('orders')], [subscription('bad', spec), subscription('good')], lookups);
    expect(channels[0]?.spec.subscribers.map((entry) => entry.name)).toEqual(['good']);
    expect(subscriptions[0]?.conditions).toEqual([
      { type: 'ReferencesResolved', status, reason, message: expect.stringMatching(message) as string },
      { type: 'AddedToChannel', status: 'Unknown' },
    ]);
    expect(subscriptions[0]?.physicalSubscription).toEqual({});
  });

  it('adds no Subscription without any destination, but one that only wants replies', () => {
    const only = (spec: Partial<SubscriptionSpec>): Subscription => ({ ...subscription('s'), spec: { channel: to('orders'), ...spec } });
    const add = (each: Subscription) => fillSubscribers([channel('orders')], [each], lookups).channels[0]?.spec.subscribers;
    expect(add(only({}))).toEqual([]);
    expect(add(only({ reply: { uri: 'http://r' } }))).toEqual([{ uid: 'uid-s', name: 's', generation: 5, replyUri: 'http://r' }]);
  });

  const sink = { deadLetterSink: { uri: 'http://channel-sink' } };
  it.each<[string, DeliverySpec | undefined, DeliverySpec | undefined, DeliverySpec | undefined]>([
    ['none anywhere', undefined, undefined, undefined],
    ["the channel's where there is no own", undefined, { retry: 1, backoffDelay: 'PT1S' }, { retry: 1, backoffDelay: 'PT1S' }],
    ["the own as a whole, not mixed with the channel's", { retry: 2 }, { retry: 1, timeout: 'PT1S' }, { retry: 2 }],
    ['an empty one of its own', {}, { retry: 1 }, {}],
    ["the channel's dead letter sink beside the own", { retry: 2 }, { retry: 1, ...sink }, { retry: 2, ...sink }],
    [
      'the own dead letter sink, resolved',
      { deadLetterSink: { ref: { apiVersion: 'v1', kind: 'Service', name: 'display' }, uri: '/dead', audience: 'x' } },
      sink,
      { deadLetterSink: { uri: 'http://display.shop.svc.cluster.local/dead', audience: 'x' } },
    ],
    ["the channel's format beside the own", { retry: 2 }, { format: 'json' }, { retry: 2, format: 'json' }],
  ])('merges delivery: %s', (_name, own, ofChannel, merged) => {
    const spec = own === undefined ? {} : { delivery: own };
    const { channels } = fillSubscribers([channel('orders', ofChannel)], [subscription('s', spec)], lookups);
    expect(channels[0]?.spec.subscribers[0]?.delivery).toEqual(merged);
  });

  it("names the channel when its dead letter sink is at fault, and spares Subscriptions that have their own", () => {
    const { subscriptions } = fillSubscribers(
      [channel('orders', { deadLetterSink: { uri: 'nowhere' } })],
      [subscription('heir'), subscription('own', { delivery: { deadLetterSink: { uri: 'http://mine' } } })],
      lookups,
    );
    expect(subscriptions[0]?.conditions[0]).toMatchObject({
      reason: 'DeadLetterSinkResolveFailed',
      message: expect.stringContaining('spec.delivery.deadLetterSink of KafkaChannel shop/orders') as string,
    });
    expect(subscriptions[1]).toMatchObject({ physicalSubscription: { subscriberUri: 'http://subscriber', deadLetterSinkUri: 'http://mine' } });
  });

  it('changes nothing that it was given', () => {
    const given = channel('orders', sink);
    const before = structuredClone(given);
    fillSubscribers([given], [subscription('s')], lookups);
    expect(given).toEqual(before);
  });
});
