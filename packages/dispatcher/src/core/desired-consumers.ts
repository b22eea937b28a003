/**
 * From resources to the consumer groups this process should run.
 */
import {
  channelTopic, consumerGroupId, deliveryOrderAnnotation, deliveryOrders, effectiveDelivery, eventsPerSecondPerVreplica, resourceKey, sourceDelivery,
  type Delivery, type DeliveryOrder, type Features, type InitialOffset, type KafkaChannel, type KafkaSource, type Resources, type ServedSource, type SourceDataPlane,
} from '@knative-kafka/common/core';
import { overridingExtensions, type EventSource } from './source-event.ts';

/** Where requests go. */
export interface Endpoint {
  /** As configured: nothing is added to it and nothing taken away. */
  readonly uri: string;
  /** PEM: certificates that are trusted beside those of the system. */
  readonly caCerts?: string | undefined;
}

/** Where the events of one consumer group go. May change while the group runs. */
export interface Destination {
  /** Of a KafkaSource: its sink. */
  readonly subscriber: Endpoint;
  /** Where events go that the subscriber answers with. */
  readonly reply: Endpoint | undefined;
  readonly deadLetterSink: Endpoint | undefined;
  /** Whether events that would be dropped for want of a dead letter sink go to the dead letter topic. */
  readonly keepsUndeliverable: boolean;
  readonly delivery: Delivery;
  /** `namespace` of the channel or KafkaSource: told to subscribers as Kn-Namespace. */
  readonly namespace: string;
}

/** Whose consumer group it is, by the names that logs and metrics have: `namespace/name` of a KafkaChannel and the Subscription's name, or `namespace/name` of a KafkaSource. */
export type ConsumerOwner =
  | { readonly channel: string; readonly subscription: string; readonly source?: undefined }
  | { readonly source: string; readonly channel?: undefined; readonly subscription?: undefined };

/** What a consumer group of a KafkaSource has and one of a channel has not. May change while the group runs. */
export interface SourceSettings {
  /** How its records become events. */
  readonly events: EventSource;
  /** That are placed on this pod: at least 1. */
  readonly vreplicas: number;
  /** The most attempts per second of all its vreplicas here together; undefined for no limit. */
  readonly eventsPerSecond: number | undefined;
}

/** One consumer group: a KafkaChannel's subscriber, or a KafkaSource. */
export interface DesiredConsumer {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly order: DeliveryOrder;
  readonly owner: ConsumerOwner;
  /** Where the group begins in topics that are new to it, to be committed before it is joined; undefined where somebody else has. */
  readonly initialOffset: InitialOffset | undefined;
  /** Names this process in the group, see `GroupMemberOptions.memberId`. */
  readonly memberId: string | undefined;
  /** The KafkaSource that says which Kafka it is, and how to reach it. Undefined: the Kafka that this process was started with. */
  readonly kafka: KafkaSource | undefined;
  readonly destination: Destination;
  /** Undefined for a channel's. */
  readonly source: SourceSettings | undefined;
}

/** What holds for all consumer groups of a process. */
export interface ConsumerDefaults {
  /** Delivery options where neither Subscription nor KafkaChannel have any. */
  readonly delivery: Delivery;
  readonly keepsUndeliverable: boolean;
  /** Unique among dispatchers that run; undefined where nobody gave one. */
  readonly podName: string | undefined;
}

/** Whether another consumer has to be started for it: everything else takes effect while the group runs. */
export function isSameConsumer(one: DesiredConsumer, other: DesiredConsumer): boolean {
  return one.groupId === other.groupId && one.order === other.order && isSameSet(one.topics, other.topics) && sourceKafkaKey(one.kafka) === sourceKafkaKey(other.kafka);
}

function isSameSet(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((text) => others.includes(text));
}

/** The same for the same Kafka that is reached in the same way. */
export function sourceKafkaKey(source: KafkaSource | undefined): string {
  if (source === undefined) return '';
  const { metadata: { namespace }, spec: { bootstrapServers, net } } = source;
  const hasNames = net.sasl !== undefined || net.tls !== undefined; // that mean something in that namespace alone
  return JSON.stringify([hasNames ? namespace : undefined, [...bootstrapServers].sort(), net]);
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
        topics: [named.topic],
        order: orderOf(annotations.get(subscriber.uid)) ?? orderOf(candidate.metadata.annotations) ?? deliveryOrders[0],
        owner: { channel: key, subscription: subscriber.name ?? subscriber.uid },
        initialOffset: 'latest',
        memberId: defaults.podName,
        kafka: undefined,
        destination,
        source: undefined,
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

/** What holds for all KafkaSources of a process. */
export interface SourceDefaults {
  readonly keepsUndeliverable: boolean;
  /** Where this runs; undefined for one process alone, which has no placements. */
  readonly podName: string | undefined;
  readonly features: Features;
  readonly dataPlane: SourceDataPlane;
}

/**
 * One for each KafkaSource that has vreplicas on this pod, whatever their number: they are a share of the rate, not
 * members of the group.
 *
 * @returns by `namespace/name`: two sources may be in groups of the same name, in different clusters or even in one
 */
export function desiredSourceConsumers(sources: readonly ServedSource[], defaults: SourceDefaults): ReadonlyMap<string, DesiredConsumer> {
  const desired = new Map<string, DesiredConsumer>();
  for (const served of sources) {
    const vreplicas = vreplicasHere(served, defaults.podName);
    if (vreplicas === 0) continue;
    const { source, sink, deadLetterSink, needsInitialOffsets } = served;
    const { metadata: { namespace, name }, spec } = source;
    const key = resourceKey(source.metadata);
    const perVreplica = eventsPerSecondPerVreplica(source, defaults.features, defaults.dataPlane);
    desired.set(key, {
      groupId: spec.consumerGroup,
      topics: [...new Set(spec.topics)],
      order: spec.ordering,
      owner: { source: key },
      initialOffset: needsInitialOffsets ? spec.initialOffset : undefined,
      // A second source in the same group has a member of its own here.
      memberId: defaults.podName === undefined ? undefined : `${defaults.podName}/${key}`,
      kafka: source,
      destination: {
        subscriber: { uri: sink.uri, caCerts: sink.CACerts },
        reply: undefined,
        deadLetterSink: endpoint(deadLetterSink?.uri, deadLetterSink?.CACerts),
        keepsUndeliverable: defaults.keepsUndeliverable,
        delivery: sourceDelivery(source),
        namespace,
      },
      source: {
        events: { namespace, name, keyType: spec.keyType, extensions: overridingExtensions(spec.extensions) },
        vreplicas,
        eventsPerSecond: perVreplica === undefined ? undefined : perVreplica * vreplicas,
      },
    });
  }
  return desired;
}

function vreplicasHere({ source, placements }: ServedSource, podName: string | undefined): number {
  if (placements === undefined) return source.spec.consumers;
  return placements.reduce((sum, placement) => (placement.podName === podName ? sum + placement.vreplicas : sum), 0);
}
