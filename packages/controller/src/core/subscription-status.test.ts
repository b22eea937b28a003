import { describe, expect, it } from 'vitest';
import { subscriptionStatus, type SubscriptionProgress } from './subscription-status.ts';
import type { SubscriptionObject } from './objects.ts';

const subscription: SubscriptionObject = {
  apiVersion: 'messaging.knative.dev/v1', kind: 'Subscription',
  metadata: { name: 'display', namespace: 'shop', uid: 'u', generation: 4 },
  spec: { channel: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'orders' }, subscriber: { uri: 'http://display' } },
};
const problem = { reason: 'Why', message: 'because' };
const physical = { subscriberUri: 'http://display' };
const subscriber = { uid: 'u', observedGeneration: 4, ready: 'True' } as const;

const statesOf = (progress: SubscriptionProgress) =>
  Object.fromEntries(subscriptionStatus(subscription, progress, 0).conditions!.map(({ type, status, reason }) => [type, reason === undefined ? status : `${status} ${reason}`]));

describe('SU-02: the status of a Subscription', () => {
  const oidc = { OIDCIdentityCreated: 'True authentication-oidc feature disabled' };
  it.each<[string, SubscriptionProgress, Readonly<Record<string, string>>]>([
    ['its channel is not there', { step: 'channel', problem: { ...problem, reason: 'ChannelReferenceFailed' } },
      { ReferencesResolved: 'Unknown ChannelReferenceFailed', AddedToChannel: 'Unknown', ChannelReady: 'Unknown', Ready: 'Unknown ChannelReferenceFailed' }],
    ['a destination cannot be resolved', { step: 'destinations', problem: { ...problem, reason: 'SubscriberResolveFailed' } },
      { ReferencesResolved: 'False SubscriberResolveFailed', AddedToChannel: 'Unknown', ChannelReady: 'Unknown', Ready: 'False SubscriberResolveFailed' }],
    ['the channel does not take it', { step: 'channel update', physical, problem: { ...problem, reason: 'PhysicalChannelSyncFailed' } },
      { ReferencesResolved: 'True', AddedToChannel: 'False PhysicalChannelSyncFailed', ChannelReady: 'Unknown', Ready: 'False PhysicalChannelSyncFailed' }],
    ['the channel has not told yet', { step: 'added', physical, subscriber: undefined },
      { ReferencesResolved: 'True', AddedToChannel: 'True', ChannelReady: 'Unknown SubscriptionNotMarkedReadyByChannel', Ready: 'Unknown SubscriptionNotMarkedReadyByChannel' }],
    ['SU-10 the channel tells of an older generation', { step: 'added', physical, subscriber: { ...subscriber, observedGeneration: 3 } },
      { ReferencesResolved: 'True', AddedToChannel: 'True', ChannelReady: 'Unknown SubscriptionNotMarkedReadyByChannel', Ready: 'Unknown SubscriptionNotMarkedReadyByChannel' }],
    ['the channel says no', { step: 'added', physical, subscriber: { ...subscriber, ready: 'False', message: 'no Kafka' } },
      { ReferencesResolved: 'True', AddedToChannel: 'True', ChannelReady: 'False SubscriptionNotMarkedReadyByChannel', Ready: 'False SubscriptionNotMarkedReadyByChannel' }],
    ['the channel says yes', { step: 'added', physical, subscriber },
      { ReferencesResolved: 'True', AddedToChannel: 'True', ChannelReady: 'True', Ready: 'True' }],
  ])('when %s', (_name, progress, expected) => {
    expect(statesOf(progress)).toEqual({ ...expected, ...oidc });
  });

  it('SU-04: has no resolved destinations while one of them is not', () => {
    expect(subscriptionStatus(subscription, { step: 'destinations', problem }, 0)).not.toHaveProperty('physicalSubscription');
    expect(subscriptionStatus(subscription, { step: 'added', physical, subscriber }, 0)).toMatchObject({ physicalSubscription: physical, observedGeneration: 4 });
  });

  it('has nothing in a condition that its schema does not know', () => {
    const more = { ...problem, isGone: true };
    for (const progress of [{ step: 'channel', problem: more }, { step: 'destinations', problem: more }, { step: 'channel update', physical, problem: more }] as const) {
      for (const condition of subscriptionStatus(subscription, progress, 0).conditions!) expect(['type', 'status', 'reason', 'message', 'lastTransitionTime']).toEqual(expect.arrayContaining(Object.keys(condition)));
    }
  });
});
