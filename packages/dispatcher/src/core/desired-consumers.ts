/**
 * From resources to the consumer groups this process should run.
 */
import { consumerGroupId, effectiveDelivery, resourceKey, topicName, type Delivery, type KafkaChannel } from '@knative-kafka/common/core';

/** Where the events of one consumer group go. May change while the group runs. */
export interface Destination {
  readonly subscriberUri: string;
  readonly delivery: Delivery;
  /** `namespace` of the channel: told to subscribers as Kn-Namespace. */
  readonly namespace: string;
}

/** One consumer group: a KafkaChannel's subscriber. The first three never change for the same group. */
export interface DesiredConsumer {
  readonly groupId: string;
  readonly topic: string;
  /** `namespace/name` of the channel, and the Subscription's name: for metrics and logs. */
  readonly channel: string;
  readonly subscription: string;
  readonly destination: Destination;
}

/**
 * @param channel only this `namespace/name`, where given
 * @param defaults delivery options where neither Subscription nor KafkaChannel have any
 * @returns one per subscriber with a URI, by group id
 */
export function desiredConsumers(channels: readonly KafkaChannel[], channel: string | undefined, defaults: Delivery): ReadonlyMap<string, DesiredConsumer> {
  const desired = new Map<string, DesiredConsumer>();
  for (const candidate of channels) {
    const key = resourceKey(candidate.metadata);
    if (channel !== undefined && channel !== key) continue;
    const named = topicName(candidate.metadata);
    if ('problem' in named) continue; // it cannot have a topic, and its own condition says so
    for (const subscriber of candidate.spec.subscribers) {
      if (subscriber.subscriberUri === undefined) continue;
      const groupId = consumerGroupId(candidate.metadata, subscriber.uid);
      desired.set(groupId, {
        groupId,
        topic: named.topic,
        channel: key,
        subscription: subscriber.name ?? subscriber.uid,
        destination: {
          subscriberUri: subscriber.subscriberUri,
          namespace: candidate.metadata.namespace,
          delivery: effectiveDelivery(subscriber.delivery, candidate.spec.delivery, defaults),
        },
      });
    }
  }
  return desired;
}
