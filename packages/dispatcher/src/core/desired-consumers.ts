/**
 * From resources to the consumer groups this process should run.
 */
import { channelTopic, consumerGroupId, deliveryOrderAnnotation, deliveryOrders, effectiveDelivery, resourceKey, type Delivery, type DeliveryOrder, type KafkaChannel, type Resources } from '@knative-kafka/common/core';

/** Where requests go. */
export interface Endpoint {
  /** As configured: nothing is added to it and nothing taken away. */
  readonly uri: string;
  /** PEM: certificates that are trusted beside those of the system. */
  readonly caCerts?: string | undefined;
}

/** Where the events of one consumer group go. May change while the group runs. */
export interface Destination {
  readonly subscriber: Endpoint;
  /** Where events go that the subscriber answers with. */
  readonly reply: Endpoint | undefined;
  readonly deadLetterSink: Endpoint | undefined;
  /** Whether events that would be dropped for want of a dead letter sink go to the dead letter topic. */
  readonly keepsUndeliverable: boolean;
  readonly delivery: Delivery;
  /** `namespace` of the channel: told to subscribers as Kn-Namespace. */
  readonly namespace: string;
}

/** One consumer group: a KafkaChannel's subscriber. */
export interface DesiredConsumer {
  readonly groupId: string;
  readonly topic: string;
  readonly order: DeliveryOrder;
  /** `namespace/name` of the channel, and the Subscription's name: for metrics and logs. */
  readonly channel: string;
  readonly subscription: string;
  readonly destination: Destination;
}

/** What holds for all consumer groups of a process. */
export interface ConsumerDefaults {
  /** Delivery options where neither Subscription nor KafkaChannel have any. */
  readonly delivery: Delivery;
  readonly keepsUndeliverable: boolean;
}

/** Whether another consumer has to be started for it: everything else takes effect while the group runs. */
export function isSameConsumer(one: DesiredConsumer, other: DesiredConsumer): boolean {
  return one.groupId === other.groupId && one.topic === other.topic && one.order === other.order;
}

/**
 * @param channel only this `namespace/name`, where given
 * @returns one per subscriber with a URI, by group id
 */
export function desiredConsumers({ channels, subscriptions }: Pick<Resources, 'channels' | 'subscriptions'>, channel: string | undefined, defaults: ConsumerDefaults): ReadonlyMap<string, DesiredConsumer> {
  const annotations = new Map(subscriptions.map(({ subscription: { metadata } }) => [metadata.uid, metadata.annotations]));
  const desired = new Map<string, DesiredConsumer>();
  for (const candidate of channels) {
    const key = resourceKey(candidate.metadata);
    if (channel !== undefined && channel !== key) continue;
    const named = channelTopic(candidate);
    if ('problem' in named) continue; // it cannot have a topic, and its own condition says so
    for (const subscriber of candidate.spec.subscribers) {
      const destination = destinationOf(candidate, subscriber, defaults);
      if (destination === undefined) continue;
      const groupId = consumerGroupId(candidate.metadata, subscriber.uid);
      desired.set(groupId, {
        groupId,
        topic: named.topic,
        order: orderOf(annotations.get(subscriber.uid)) ?? orderOf(candidate.metadata.annotations) ?? deliveryOrders[0],
        channel: key,
        subscription: subscriber.name ?? subscriber.uid,
        destination,
      });
    }
  }
  return desired;
}

/** An order that does not exist counts as none; the resource's problems say so. */
function orderOf(annotations: Readonly<Record<string, string>> | undefined): DeliveryOrder | undefined {
  const order = annotations?.[deliveryOrderAnnotation];
  return deliveryOrders.find((known) => known === order);
}

/** Without a subscriber the event itself is the reply, as in Knative. */
function destinationOf(channel: KafkaChannel, subscriber: KafkaChannel['spec']['subscribers'][number], defaults: ConsumerDefaults): Destination | undefined {
  const to = endpoint(subscriber.subscriberUri, subscriber.subscriberCACerts);
  const reply = endpoint(subscriber.replyUri, subscriber.replyCACerts);
  const first = to ?? reply;
  if (first === undefined) return undefined;
  const delivery = effectiveDelivery(subscriber.delivery, channel.spec.delivery, defaults.delivery);
  return {
    subscriber: first,
    reply: to === undefined ? undefined : reply,
    deadLetterSink: endpoint(delivery.deadLetterSink?.uri, delivery.deadLetterSink?.CACerts),
    keepsUndeliverable: defaults.keepsUndeliverable,
    delivery,
    namespace: channel.metadata.namespace,
  };
}

function endpoint(uri: string | undefined, caCerts: string | undefined): Endpoint | undefined {
  return uri === undefined ? undefined : { uri, caCerts };
}
