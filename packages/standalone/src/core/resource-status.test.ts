import { describe, expect, it } from 'vitest';
import type { KafkaChannel, SubscriptionState } from '@knative-kafka/common/core';
import { channelStatus, readyOf, readyText, subscriptionStatus } from './resource-status.ts';

const metadata = { namespace: 'shop', name: 'orders', uid: 'u', generation: 1, labels: {}, annotations: {} };
const channel: KafkaChannel = { kind: 'KafkaChannel', metadata, spec: { numPartitions: 1, replicationFactor: 1, retentionMs: 1, subscribers: [] } };
const reference = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'orders' };
const subscription = (conditions: SubscriptionState['conditions'], uri?: string): SubscriptionState => ({
  subscription: { kind: 'Subscription', metadata: { ...metadata, name: 'mail' }, spec: { channel: reference } },
  physicalSubscription: uri === undefined ? {} : { subscriberUri: uri },
  conditions,
});
const resolved = { type: 'ReferencesResolved', status: 'True' } as const;
const url = 'http://127.0.0.1:8080/shop/orders';
const noon = Date.UTC(2024, 0, 1, 12);

describe('a KafkaChannel', () => {
  it.each([
    ['waits while its topic has not been looked at', undefined, 'waiting: TopicPending, the topic has not been looked at yet'],
    ['is ready with its topic', { isReady: true } as const, 'Ready'],
    ['is not ready without it, and says why', { isReady: false, reason: 'TopicRejected', message: '3 replicas asked, 1 broker' } as const, 'not ready: TopicRejected, 3 replicas asked, 1 broker'],
  ])('%s', (_, topic, text) => {
    const status = channelStatus(channel, topic, url, undefined, noon);
    expect(readyText(status)).toBe(text);
    expect(status).toMatchObject({ kind: 'KafkaChannel', name: 'shop/orders', url });
  });

  it('keeps the time of what has not changed', () => {
    const before = channelStatus(channel, undefined, url, undefined, noon);
    const after = channelStatus(channel, { isReady: true }, url, before, noon + 60_000);
    const times = (status: typeof before) => Object.fromEntries(status.conditions.map(({ type, lastTransitionTime }) => [type, lastTransitionTime]));
    expect(times(before)).toEqual({ Addressable: '2024-01-01T12:00:00Z', Ready: '2024-01-01T12:00:00Z', TopicReady: '2024-01-01T12:00:00Z' });
    expect(times(after)).toEqual({ Addressable: '2024-01-01T12:00:00Z', Ready: '2024-01-01T12:01:00Z', TopicReady: '2024-01-01T12:01:00Z' });
  });
});

describe('a Subscription', () => {
  it.each([
    ['waits while nobody delivers for it', undefined, 'waiting: SubscriptionNotMarkedReadyByChannel, its consumer group has not joined yet'],
    ['waits while its consumer group joins', { isReady: false }, 'waiting: SubscriptionNotMarkedReadyByChannel, its consumer group has not joined yet'],
    ['is ready when records are delivered', { isReady: true }, 'Ready'],
  ])('%s', (_, consumer, text) => {
    const status = subscriptionStatus(subscription([resolved], 'http://mail/'), consumer, undefined, noon);
    expect(readyText(status)).toBe(text);
    expect(status).toMatchObject({ kind: 'Subscription', name: 'shop/mail', url: 'http://mail/' });
  });

  it('names what is wrong with its references before what follows from it', () => {
    const unresolved = { type: 'ReferencesResolved', status: 'False', reason: 'SubscriberResolveFailed', message: 'no such Service' } as const;
    const status = subscriptionStatus(subscription([unresolved]), undefined, undefined, noon);
    expect(readyText(status)).toBe('not ready: SubscriberResolveFailed, no such Service');
    expect(status.url).toBeUndefined();
  });
});

it('a status without any condition is one that nobody knows anything about', () => {
  expect(readyOf({ kind: 'Subscription', name: 'x', conditions: [], url: undefined })).toEqual({ type: 'Ready', status: 'Unknown' });
});
