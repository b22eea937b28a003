/**
 * The status of every resource on this machine, as its controller would write it in a cluster.
 */
import { resourceKey, withReady, type Condition, type KafkaChannel, type ServedSource, type SubscriptionState, type TopicState } from '@knative-kafka/common/core';

export interface ResourceStatus {
  readonly kind: 'KafkaChannel' | 'Subscription' | 'KafkaSource';
  /** `namespace/name`. */
  readonly name: string;
  readonly conditions: readonly Condition[];
  /** Where events of a channel go, or where those of a Subscription or a KafkaSource are delivered. */
  readonly url: string | undefined;
}

export function channelStatus(channel: KafkaChannel, topic: TopicState | undefined, url: string, previous: ResourceStatus | undefined, nowMs: number): ResourceStatus {
  const topicReady: Condition =
    topic === undefined ? { type: 'TopicReady', status: 'Unknown', reason: 'TopicPending', message: 'the topic has not been looked at yet' }
    : topic.isReady ? { type: 'TopicReady', status: 'True' }
    : { type: 'TopicReady', status: 'False', reason: topic.reason, message: topic.message };
  return {
    kind: 'KafkaChannel',
    name: resourceKey(channel.metadata),
    conditions: withReady([topicReady, { type: 'Addressable', status: 'True' }], previous?.conditions ?? [], nowMs),
    url,
  };
}

/** @param consumer of the Subscription: undefined while the dispatcher does not run one */
export function subscriptionStatus(state: SubscriptionState, consumer: { readonly isReady: boolean } | undefined, previous: ResourceStatus | undefined, nowMs: number): ResourceStatus {
  const channelReady: Condition =
    consumer?.isReady === true
      ? { type: 'ChannelReady', status: 'True' }
      : { type: 'ChannelReady', status: 'Unknown', reason: 'SubscriptionNotMarkedReadyByChannel', message: 'its consumer group has not joined yet' };
  return {
    kind: 'Subscription',
    name: resourceKey(state.subscription.metadata),
    conditions: withReady([...state.conditions, channelReady], previous?.conditions ?? [], nowMs),
    url: state.physicalSubscription.subscriberUri,
  };
}

/** Why a KafkaSource is not ready: it has been tried to join its consumer group, and that failed. */
export const consumerGroupNotJoined = 'ConsumerGroupNotJoined';

/** @param consumer of the KafkaSource: undefined while the dispatcher does not run one */
export function sourceStatus({ source, sink }: ServedSource, consumer: { readonly isReady: boolean; readonly trouble: string | undefined } | undefined, previous: ResourceStatus | undefined, nowMs: number): ResourceStatus {
  const isPaused = source.spec.consumers === 0;
  const deployed: Condition =
    isPaused || consumer?.isReady === true ? { type: 'Deployed', status: 'True' }
    : consumer?.trouble === undefined ? { type: 'Deployed', status: 'Unknown', reason: 'ConsumerGroupJoining', message: 'its consumer group has not joined yet' }
    : { type: 'Deployed', status: 'Unknown', reason: consumerGroupNotJoined, message: consumer.trouble };
  return {
    kind: 'KafkaSource',
    name: resourceKey(source.metadata),
    conditions: withReady([{ type: 'SinkProvided', status: 'True' }, deployed], previous?.conditions ?? [], nowMs),
    url: sink.uri,
  };
}

export function readyOf(status: ResourceStatus): Condition {
  return status.conditions.find((condition) => condition.type === 'Ready') ?? { type: 'Ready', status: 'Unknown' };
}

/** One that people see: `Ready`, or why not. */
export function readyText(status: ResourceStatus): string {
  const ready = readyOf(status);
  if (ready.status === 'True') return 'Ready';
  return `${ready.status === 'False' ? 'not ready' : 'waiting'}: ${ready.reason ?? 'Unknown'}${ready.message === undefined ? '' : `, ${ready.message}`}`;
}
