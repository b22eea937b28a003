/**
 * From KafkaChannels and Subscriptions to KafkaChannels that know their subscribers.
 *
 * This is what Knative's Subscription controller does on a cluster, as one pure function: the data plane reads
 * `spec.subscribers` of KafkaChannels and nothing else.
 *
 * Always true: a Subscription is in `spec.subscribers` of its channel if and only if its AddedToChannel is True; the
 * order of subscribers is that of the Subscriptions given; the same input gives the same output.
 *
 * @see Knative Eventing, pkg/reconciler/subscription
 */
import type { Condition } from './conditions.ts';
import type { DeliverySpec } from './delivery.ts';
import type { DestinationLookups, ResolvedDestination } from './destination.ts';
import { resolveDestination } from './destination.ts';
import type { KafkaChannel, Subscriber } from './kafka-channel.ts';
import { resourceId, resourceKey } from './metadata.ts';
import type { Subscription } from './subscription.ts';

/** `status.physicalSubscription`: what the destinations were resolved to. Empty while one of them is not. */
export interface PhysicalSubscription {
  readonly subscriberUri?: string;
  readonly subscriberCACerts?: string;
  readonly replyUri?: string;
  readonly replyCACerts?: string;
  readonly deadLetterSinkUri?: string;
  readonly deadLetterSinkCACerts?: string;
}

export interface SubscriptionState {
  readonly subscription: Subscription;
  readonly physicalSubscription: PhysicalSubscription;
  /**
   * ReferencesResolved and AddedToChannel, in this order, without times. ChannelReady, and with it Ready, belongs to
   * whoever runs the consumer group.
   */
  readonly conditions: readonly Condition[];
}

/** What channels and subscriptions became. */
export interface ChannelSubscribers {
  /** In the order given, `spec.subscribers` replaced. */
  readonly channels: readonly KafkaChannel[];
  /** In the order given. */
  readonly subscriptions: readonly SubscriptionState[];
}

/**
 * Fills `spec.subscribers` of every KafkaChannel.
 *
 * A Subscription whose channel is missing, or of which the subscriber, reply or dead letter sink cannot be resolved, is
 * not added; its conditions say why.
 *
 * @param channels      one per namespace and name
 * @param subscriptions with uids that differ
 */
export function fillSubscribers(
  channels: readonly KafkaChannel[],
  subscriptions: readonly Subscription[],
  lookups: DestinationLookups,
): ChannelSubscribers {
  const byKey = new Map(channels.map((channel) => [resourceKey(channel.metadata), channel]));
  const subscribersByKey = new Map<string, Subscriber[]>();
  const states = subscriptions.map((subscription): SubscriptionState => {
    const found = findChannel(subscription, byKey);
    if ('problem' in found) return notAdded(subscription, 'Unknown', 'ChannelReferenceFailed', found.problem);
    const resolved = resolveAll(subscription, found.channel, lookups);
    if ('error' in resolved) return notAdded(subscription, 'False', resolved.error.reason, resolved.error.message);
    const key = resourceKey(found.channel.metadata);
    const subscribers = subscribersByKey.get(key) ?? [];
    subscribers.push(toSubscriber(subscription, found.channel, resolved));
    subscribersByKey.set(key, subscribers);
    return {
      subscription,
      physicalSubscription: resolved,
      conditions: [
        { type: 'ReferencesResolved', status: 'True' },
        { type: 'AddedToChannel', status: 'True' },
      ],
    };
  });
  return {
    channels: channels.map((channel) => ({
      ...channel,
      spec: { ...channel.spec, subscribers: subscribersByKey.get(resourceKey(channel.metadata)) ?? [] },
    })),
    subscriptions: states,
  };
}

function notAdded(
  subscription: Subscription,
  status: 'False' | 'Unknown',
  reason: string,
  message: string,
): SubscriptionState {
  return {
    subscription,
    physicalSubscription: {},
    conditions: [
      { type: 'ReferencesResolved', status, reason, message },
      { type: 'AddedToChannel', status: 'Unknown' },
    ],
  };
}

function findChannel(
  subscription: Subscription,
  channels: ReadonlyMap<string, KafkaChannel>,
): { channel: KafkaChannel } | { problem: string } {
  const { channel: ref } = subscription.spec;
  const { namespace } = subscription.metadata;
  if (ref.namespace !== undefined && ref.namespace !== namespace) {
    return { problem: `spec.channel: a Subscription in ${namespace} cannot have a channel in ${ref.namespace}` };
  }
  if (ref.kind !== 'KafkaChannel' || !ref.apiVersion.startsWith('messaging.knative.dev/')) {
    return { problem: `spec.channel: ${ref.apiVersion} ${ref.kind} is no KafkaChannel of messaging.knative.dev` };
  }
  const name = { namespace, name: ref.name };
  const channel = channels.get(resourceKey(name));
  return channel === undefined
    ? { problem: `spec.channel: ${resourceId('KafkaChannel', name)} does not exist` }
    : { channel };
}

/** Subscriber, reply, dead letter sink, in this order; the first that cannot be resolved is the answer. */
function resolveAll(
  subscription: Subscription,
  channel: KafkaChannel,
  lookups: DestinationLookups,
): PhysicalSubscription | Extract<ResolvedDestination, { error: unknown }> {
  const { subscriber, reply, delivery } = subscription.spec;
  const ownSink = delivery?.deadLetterSink;
  const sink = ownSink ?? channel.spec.delivery?.deadLetterSink;
  const ofChannel = ownSink === undefined ? ` of ${resourceId('KafkaChannel', channel.metadata)}` : '';
  const wanted = [
    ['subscriber', reply === undefined ? (subscriber ?? {}) : subscriber, 'spec.subscriber'],
    ['reply', reply, 'spec.reply'],
    ['deadLetterSink', sink, `spec.delivery.deadLetterSink${ofChannel}`],
  ] as const;
  const uris: Partial<Record<keyof PhysicalSubscription, string>> = {};
  for (const [role, destination, where] of wanted) {
    if (destination === undefined) continue;
    const resolved = resolveDestination(destination, role, subscription.metadata.namespace, lookups);
    if ('error' in resolved) return { error: { ...resolved.error, message: `${where}: ${resolved.error.message}` } };
    uris[`${role}Uri`] = resolved.uri;
    if (destination.CACerts !== undefined) uris[`${role}CACerts`] = destination.CACerts;
  }
  return uris;
}

function toSubscriber(subscription: Subscription, channel: KafkaChannel, uris: PhysicalSubscription): Subscriber {
  const { uid, name, generation } = subscription.metadata;
  const { subscriberUri, subscriberCACerts, replyUri, replyCACerts, deadLetterSinkUri, deadLetterSinkCACerts } = uris;
  const delivery = mergedDelivery(subscription.spec.delivery, channel.spec.delivery, deadLetterSinkUri, deadLetterSinkCACerts);
  return {
    uid,
    name,
    generation,
    ...(subscriberUri === undefined ? {} : { subscriberUri }),
    ...(subscriberCACerts === undefined ? {} : { subscriberCACerts }),
    ...(replyUri === undefined ? {} : { replyUri }),
    ...(replyCACerts === undefined ? {} : { replyCACerts }),
    ...(delivery === undefined ? {} : { delivery }),
  };
}

/**
 * The `delivery` of an entry: the Subscription's as a whole, else the channel's, with the dead letter sink resolved.
 *
 * One difference from Knative's controller, on purpose: it never copies `format`, which so can only be set on the
 * channel; here a Subscription that asks for a format gets it.
 */
function mergedDelivery(
  own: DeliverySpec | undefined,
  channel: DeliverySpec | undefined,
  deadLetterSinkUri: string | undefined,
  CACerts: string | undefined,
): DeliverySpec | undefined {
  const words = own ?? channel;
  if (words === undefined) return undefined;
  const format = own?.format ?? channel?.format;
  const merged: { -readonly [Field in keyof DeliverySpec]: DeliverySpec[Field] } = { ...words };
  if (format !== undefined) merged.format = format;
  if (deadLetterSinkUri === undefined) delete merged.deadLetterSink;
  else merged.deadLetterSink = CACerts === undefined ? { uri: deadLetterSinkUri } : { uri: deadLetterSinkUri, CACerts };
  return merged;
}
