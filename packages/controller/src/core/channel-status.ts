/**
 * From what was observed of a KafkaChannel to its status.
 *
 * Ready depends on what an event needs: a Kafka to go to, a topic, an address, and, where the channel has one, a dead
 * letter sink that is known. Whether the pods of receiver and dispatcher run is told by two conditions of severity
 * Info: a pod that restarts loses no event, and must not make every Subscription of the channel unready (ADR 0013).
 * A bad subscriber shows in `status.subscribers` alone.
 */
import { addressFields, kafkaSecretAnnotation, topicAnnotation, withReady, type Condition, type KafkaChannel, type ResolvedDestination, type TopicState } from '@knative-kafka/common/core';
import type { ChannelStatus, SubscriberStatus } from './objects.ts';

/** Something that went wrong, for a condition. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
}

/** Pods of a Deployment; undefined while it is not there. */
export interface Replicas {
  readonly wanted: number;
  readonly available: number;
}

export interface ObservedChannel {
  /** Which Kafka, or why none. */
  readonly kafka: { readonly secret: string } | Problem;
  /** Undefined while the Kafka is not known. */
  readonly topic: { readonly name: string; readonly state: TopicState } | undefined;
  /** The Service's problem, if it has one; undefined while there is no Kafka Secret that says where it should point. */
  readonly service: 'ready' | Problem | undefined;
  readonly url: string;
  /** Undefined where the channel has none. */
  readonly deadLetterSink: ResolvedDestination | undefined;
  readonly subscribers: readonly SubscriberStatus[];
  readonly receiver: Replicas | undefined;
  readonly dispatcher: Replicas | undefined;
  /** Annotations of the status that others need later, beside topic and Kafka Secret. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** @param nowMs milliseconds since 1970 */
export function channelStatus(channel: KafkaChannel, observed: ObservedChannel, previous: ChannelStatus | undefined, nowMs: number): ChannelStatus {
  const isConfigured = 'secret' in observed.kafka;
  const topic = observed.topic;
  const isAddressable = observed.service === 'ready';
  const sink = observed.deadLetterSink;
  const conditions: readonly Condition[] = [
    'secret' in observed.kafka ? { type: 'ConfigurationReady', status: 'True' } : failed('ConfigurationReady', observed.kafka),
    topicCondition(topic, isConfigured),
    observed.service === 'ready' ? { type: 'ChannelServiceReady', status: 'True' }
      : observed.service === undefined ? waiting('ChannelServiceReady', 'ConfigurationNotReady', 'it points to the receiver of the Kafka Secret, which is not known')
      : failed('ChannelServiceReady', observed.service),
    isAddressable ? { type: 'Addressable', status: 'True' } : waiting('Addressable', 'ChannelServiceNotReady', 'the address is that of the Service'),
    deadLetterSinkCondition(sink),
    podsCondition('ReceiverReady', observed.receiver, 'the receiver'),
    podsCondition('DispatcherReady', observed.dispatcher, 'the dispatcher'),
  ];
  const address = { name: 'http', url: observed.url };
  const annotations = { ...recordedAnnotations(observed, previous?.annotations ?? {}), ...observed.annotations };
  return {
    observedGeneration: channel.metadata.generation,
    conditions: withReady(conditions, previous?.conditions ?? [], nowMs),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(isAddressable ? { address, addresses: [address] } : {}),
    subscribers: observed.subscribers,
    ...addressFields('deadLetterSink', sink),
  };
}

/**
 * Topic and Kafka Secret. Recorded once the topic is there: from then on the data plane serves the channel, and the name
 * is this one for good. It stays on record while a Secret is wrong, missing or in doubt: those who have connections go
 * on with them, and a receiver that forgot the channel would answer 404, after which nobody sends again.
 */
function recordedAnnotations({ kafka, topic }: ObservedChannel, previous: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { [topicAnnotation]: recordedTopic, [kafkaSecretAnnotation]: recordedSecret } = previous;
  const secret = 'secret' in kafka ? kafka.secret : recordedSecret;
  const isRecorded = topic === undefined ? secret === recordedSecret : topic.state.isReady || topic.name === recordedTopic;
  const name = topic?.name ?? recordedTopic;
  return {
    ...(isRecorded && name !== undefined ? { [topicAnnotation]: name } : {}),
    ...(secret === undefined ? {} : { [kafkaSecretAnnotation]: secret }),
  };
}

/** DeadLetterSinkResolved: True where there is none. */
export function deadLetterSinkCondition(sink: ResolvedDestination | undefined): Condition {
  const type = 'DeadLetterSinkResolved';
  if (sink === undefined) return { type, status: 'True', reason: 'DeadLetterSinkNotConfigured' };
  if ('error' in sink) return failed(type, { ...sink.error, message: `spec.delivery.deadLetterSink: ${sink.error.message}` });
  return { type, status: 'True' };
}

function topicCondition(topic: ObservedChannel['topic'], isConfigured: boolean): Condition {
  if (topic === undefined) {
    return isConfigured ? waiting('TopicReady', 'TopicPending', 'the topic has not been looked at yet') : waiting('TopicReady', 'ConfigurationNotReady', 'there is no Kafka to ask');
  }
  const { state } = topic;
  if (!state.isReady) return state.reason === 'TopicPending' ? waiting('TopicReady', state.reason, state.message) : failed('TopicReady', state);
  return { type: 'TopicReady', status: 'True', ...(state.message === undefined ? {} : { reason: 'TopicDiffers', message: state.message }) };
}

function podsCondition(type: string, replicas: Replicas | undefined, who: string): Condition {
  const condition = { type, severity: 'Info' } as const;
  if (replicas === undefined) return { ...condition, status: 'Unknown', reason: 'NoDeployment', message: `${who} has not been deployed yet` };
  if (replicas.wanted === 0) return { ...condition, status: 'True', reason: 'NoSubscribers', message: `${who} has nothing to do` };
  if (replicas.available > 0) return { ...condition, status: 'True' };
  return { ...condition, status: 'False', reason: 'NoPodsAvailable', message: `${who} has 0 of ${replicas.wanted} pods available` };
}

function failed(type: string, { reason, message }: Problem): Condition {
  return { type, status: 'False', reason, message };
}

function waiting(type: string, reason: string, message: string): Condition {
  return { type, status: 'Unknown', reason, message };
}
