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
import type { Destination, DestinationLookups, ResolvedDestination } from './destination.ts';
import { resolveDestination } from './destination.ts';
import type { KafkaChannel, Subscriber } from './kafka-channel.ts';
import { resourceId, resourceKey } from './metadata.ts';
import { addressFields, addressIn } from './resolved-address.ts';
import type { Subscription } from './subscription.ts';

/** `status.physicalSubscription`: what the destinations were resolved to. Empty while one of them is not. */
export interface PhysicalSubscription {
  readonly subscriberUri?: string;
  readonly subscriberCACerts?: string;
  readonly subscriberAudience?: string;
  readonly replyUri?: string;
  readonly replyCACerts?: string;
  readonly replyAudience?: string;
  readonly deadLetterSinkUri?: string;
  readonly deadLetterSinkCACerts?: string;
  readonly deadLetterSinkAudience?: string;
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
    const resolved = resolveSubscription(subscription, channelSink(found.channel, lookups), lookups);
    if ('error' in resolved) return notAdded(subscription, 'False', resolved.error.reason, resolved.error.message);
    const key = resourceKey(found.channel.metadata);
    const subscribers = subscribersByKey.get(key) ?? [];
    subscribers.push(subscriberEntry(subscription, found.channel.spec.delivery, resolved));
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

/** What the dead letter sink of a channel was resolved to; undefined where it has none. */
function channelSink({ metadata, spec }: KafkaChannel, lookups: DestinationLookups): ResolvedDestination | undefined {
  const sink = spec.delivery?.deadLetterSink;
  if (sink === undefined) return undefined;
  const resolved = resolveDestination(sink, 'deadLetterSink', metadata.namespace, lookups);
  if (!('error' in resolved)) return resolved;
  const where = `spec.delivery.deadLetterSink of ${resourceId('KafkaChannel', metadata)}`;
  return { error: { ...resolved.error, message: `${where}: ${resolved.error.message}` } };
}

/**
 * Resolves the subscriber, the reply and the dead letter sink of a Subscription, in this order.
 *
 * @param sinkOfChannel counts where the Subscription has no dead letter sink of its own
 * @returns the first one that cannot be resolved is the answer
 */
export function resolveSubscription(
  { metadata: { namespace }, spec: { subscriber, reply, delivery } }: Subscription,
  sinkOfChannel: ResolvedDestination | undefined,
  lookups: DestinationLookups,
): PhysicalSubscription | Extract<ResolvedDestination, { error: unknown }> {
  const wanted = [
    ['subscriber', reply === undefined ? (subscriber ?? {}) : subscriber, 'spec.subscriber'],
    ['reply', reply, 'spec.reply'],
    ['deadLetterSink', delivery?.deadLetterSink, 'spec.delivery.deadLetterSink'],
  ] as const;
  const physical: Partial<Record<keyof PhysicalSubscription, string>> = {};
  for (const [role, destination, where] of wanted) {
    const resolved =
      destination !== undefined ? resolveDestination(destination, role, namespace, lookups)
      : role === 'deadLetterSink' ? sinkOfChannel
      : undefined;
    if (resolved === undefined) continue;
    if ('error' in resolved) {
      if (destination === undefined) return resolved;
      return { error: { ...resolved.error, message: `${where}: ${resolved.error.message}` } };
    }
    Object.assign(physical, addressFields(role, resolved));
  }
  return physical;
}

/**
 * The entry of `spec.subscribers` for a Subscription.
 *
 * @param ofChannel `spec.delivery` of the channel
 */
export function subscriberEntry(
  { metadata: { uid, name, generation }, spec }: Subscription,
  ofChannel: DeliverySpec | undefined,
  physical: PhysicalSubscription,
): Subscriber {
  const delivery = mergedDelivery(spec.delivery, ofChannel, addressIn(physical, 'deadLetterSink'));
  const [subscriber, reply] = (['subscriber', 'reply'] as const).map((role) => addressFields(role, addressIn(physical, role)));
  return { uid, name, generation, ...subscriber, ...reply, ...(delivery === undefined ? {} : { delivery }) };
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
  deadLetterSink: Destination | undefined,
): DeliverySpec | undefined {
  const words = own ?? channel;
  if (words === undefined && deadLetterSink === undefined) return undefined;
  const merged: { -readonly [Field in keyof DeliverySpec]: DeliverySpec[Field] } = { ...words };
  const format = own?.format ?? channel?.format;
  if (format !== undefined) merged.format = format;
  if (deadLetterSink === undefined) delete merged.deadLetterSink;
  else merged.deadLetterSink = deadLetterSink;
  return merged;
}
