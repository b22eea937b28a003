/**
 * From what was observed of a Subscription to its status, with the conditions and reasons of Knative's own controller.
 */
import { withReady, type Condition, type PhysicalSubscription } from '@knative-kafka/common/core';
import type { Problem } from './channel-status.ts';
import type { SubscriberStatus, SubscriptionObject, SubscriptionStatus } from './objects.ts';

/** How far the Subscription came; each step needs the one before. */
export type SubscriptionProgress =
  /** Its channel is not there, or is no channel, or not ready to be asked. */
  | { readonly step: 'channel'; readonly problem: Problem }
  /** A destination cannot be resolved. */
  | { readonly step: 'destinations'; readonly problem: Problem }
  /** The channel does not take it. */
  | { readonly step: 'channel update'; readonly physical: PhysicalSubscription; readonly problem: Problem }
  /** It is in `spec.subscribers`; the channel's own word about it, if there is one. */
  | { readonly step: 'added'; readonly physical: PhysicalSubscription; readonly subscriber: SubscriberStatus | undefined };

/**
 * What stands in `status.subscribers` of the channel counts for this very generation only.
 *
 * @param nowMs milliseconds since 1970
 */
export function subscriptionStatus({ metadata, status }: SubscriptionObject, progress: SubscriptionProgress, nowMs: number): SubscriptionStatus {
  const generation = metadata.generation ?? 1;
  // Left out rather than empty: of an object that loses its last field by server-side apply, null remains.
  const resolved = 'physical' in progress ? { physicalSubscription: progress.physical } : {};
  const conditions: readonly Condition[] = [
    referencesResolved(progress),
    addedToChannel(progress),
    channelReady(progress, generation),
    { type: 'OIDCIdentityCreated', status: 'True', reason: 'authentication-oidc feature disabled' },
  ];
  return { observedGeneration: generation, conditions: withReady(conditions, status?.conditions ?? [], nowMs), ...resolved };
}

function referencesResolved(progress: SubscriptionProgress): Condition {
  const type = 'ReferencesResolved';
  if (progress.step === 'channel') return unmet(type, 'Unknown', progress.problem);
  if (progress.step === 'destinations') return unmet(type, 'False', progress.problem);
  return { type, status: 'True' };
}

function addedToChannel(progress: SubscriptionProgress): Condition {
  const type = 'AddedToChannel';
  if (progress.step === 'added') return { type, status: 'True' };
  if (progress.step === 'channel update') return unmet(type, 'False', progress.problem);
  return { type, status: 'Unknown' };
}

function channelReady(progress: SubscriptionProgress, generation: number): Condition {
  const type = 'ChannelReady';
  const reason = 'SubscriptionNotMarkedReadyByChannel';
  if (progress.step !== 'added') return { type, status: 'Unknown' };
  const { subscriber } = progress;
  if (subscriber === undefined || subscriber.observedGeneration !== generation) return { type, status: 'Unknown', reason, message: 'the channel has not told about this Subscription yet' };
  if (subscriber.ready === 'True') return { type, status: 'True' };
  return { type, status: subscriber.ready, reason, message: subscriber.message ?? 'the channel does not say why' };
}

/** Nothing but reason and message: a field that the schema does not know would differ from what is stored for ever. */
function unmet(type: string, status: 'Unknown' | 'False', { reason, message }: Problem): Condition {
  return { type, status, reason, message };
}
