import { describe, expect, it } from 'vitest';
import { parseKafkaChannel } from '@knative-kafka/common/core';
import { channelStatus, type ObservedChannel } from './channel-status.ts';

const { channel } = parseKafkaChannel({
  apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel',
  metadata: { name: 'orders', namespace: 'shop', uid: 'u', generation: 3 },
  spec: { numPartitions: 1, replicationFactor: 1, retentionDuration: 'PT168H' },
});
const well: ObservedChannel = {
  kafka: { secret: 'kafka' },
  topic: { name: 'knative-messaging-kafka.shop.orders', state: { isReady: true } },
  service: 'ready',
  url: 'http://orders-kn-channel.shop.svc.cluster.local',
  deadLetterSink: undefined,
  subscribers: [],
  receiver: { wanted: 1, available: 1 },
  dispatcher: { wanted: 0, available: 0 },
  annotations: {},
};
const statusOf = (observed: Partial<ObservedChannel>) => channelStatus(channel, { ...well, ...observed }, undefined, 0);
const conditionOf = (observed: Partial<ObservedChannel>, type: string) => statusOf(observed).conditions?.find((condition) => condition.type === type);

describe('the status of a KafkaChannel', () => {
  it('CP-09 CP-11 CP-12 CP-13: is Ready with an address when all is well, and speaks of the generation it has seen', () => {
    const status = statusOf({});
    expect(status).toMatchObject({
      observedGeneration: 3,
      address: { name: 'http', url: well.url },
      addresses: [{ name: 'http', url: well.url }],
      annotations: { 'default.topic': 'knative-messaging-kafka.shop.orders', 'kafka.eventing.knative.dev/kafka-secret': 'kafka' },
      subscribers: [],
    });
    expect(conditionOf({}, 'Ready')).toMatchObject({ status: 'True' });
    expect(conditionOf({}, 'Addressable')).toMatchObject({ status: 'True' });
  });

  it('CP-10: lists each condition once, sorted by type', () => {
    const types = statusOf({}).conditions!.map(({ type }) => type);
    expect(types).toEqual([...new Set(types)].sort());
  });

  const problem = { reason: 'Why', message: 'because' };
  it.each<[string, Partial<ObservedChannel>, object]>([
    ['no Kafka Secret', { kafka: problem, topic: undefined, service: undefined }, { status: 'False', reason: 'Why', message: 'because' }],
    ['a topic that was refused', { topic: { name: 't', state: { isReady: false, reason: 'TopicRejected', message: 'topic orders: 3 replicas asked, 1 broker available' } } }, { status: 'False', reason: 'TopicRejected', message: 'topic orders: 3 replicas asked, 1 broker available' }],
    ['a topic that is not known everywhere yet', { topic: { name: 't', state: { isReady: false, reason: 'TopicPending', message: 'wait' } } }, { status: 'Unknown', reason: 'TopicPending' }],
    ['a Service that was refused', { service: problem }, { status: 'False', reason: 'Why' }],
    ['CP-15 a dead letter sink that cannot be resolved', { deadLetterSink: { error: { reason: 'DeadLetterSinkResolveFailed', message: 'Service shop/dead does not exist' } } }, { status: 'False', reason: 'DeadLetterSinkResolveFailed', message: 'spec.delivery.deadLetterSink: Service shop/dead does not exist' }],
  ])('is not Ready with %s', (_name, observed, ready) => {
    expect(conditionOf(observed, 'Ready')).toMatchObject(ready);
  });

  it.each<[string, Partial<ObservedChannel>, string, object]>([
    ['a receiver without pods', { receiver: { wanted: 2, available: 0 } }, 'ReceiverReady', { status: 'False', severity: 'Info', message: 'the receiver has 0 of 2 pods available' }],
    ['a receiver that is not deployed', { receiver: undefined }, 'ReceiverReady', { status: 'Unknown', severity: 'Info' }],
    ['a dispatcher without pods', { dispatcher: { wanted: 1, available: 0 } }, 'DispatcherReady', { status: 'False', severity: 'Info', reason: 'NoPodsAvailable' }],
    ['a dispatcher with nothing to do', {}, 'DispatcherReady', { status: 'True', reason: 'NoSubscribers' }],
  ])('tells of %s, and stays Ready', (_name, observed, type, expected) => {
    expect(conditionOf(observed, type)).toMatchObject(expected);
    expect(conditionOf(observed, 'Ready')).toMatchObject({ status: 'True' });
  });

  it('records a topic once it is there, and keeps what is recorded', () => {
    const refused = { topic: { name: 't', state: { isReady: false, reason: 'TopicRejected', message: 'no' } } } as const;
    expect(statusOf(refused).annotations).not.toHaveProperty(['default.topic']);
    const before = statusOf({ topic: { name: 't', state: { isReady: true } } });
    expect(channelStatus(channel, { ...well, ...refused }, before, 0).annotations).toMatchObject({ 'default.topic': 't' });
  });

  it.each([
    ['invalid, missing or in doubt', { kafka: problem, topic: undefined }],
    ['of a Kafka that cannot be reached', { topic: { name: 'knative-messaging-kafka.shop.orders', state: { isReady: false, reason: 'KafkaUnavailable', message: 'no' } } }],
  ] satisfies [string, Partial<ObservedChannel>][])('keeps what is recorded while its Kafka Secret is %s: the data plane goes on with what it has', (_name, observed) => {
    const before = statusOf({});
    expect(channelStatus(channel, { ...well, ...observed }, before, 0).annotations).toEqual(before.annotations);
    expect(statusOf(observed).annotations ?? {}).not.toHaveProperty(['default.topic']);
  });

  it('keeps the topic that eventing-kafka-broker has recorded, also without a Kafka Secret', () => {
    const before = { annotations: { 'default.topic': 'theirs' } };
    expect(channelStatus(channel, { ...well, kafka: problem, topic: undefined }, before, 0).annotations).toEqual({ 'default.topic': 'theirs' });
  });

  it('has no address while its Service is not there', () => {
    expect(statusOf({ service: problem })).not.toHaveProperty('address');
  });

  it('keeps the times of conditions that did not change', () => {
    const before = channelStatus(channel, well, undefined, 0);
    expect(channelStatus(channel, well, before, 60_000)).toEqual(before);
  });

  it('CP-14: carries the dead letter sink', () => {
    const sink = { uri: 'http://dead.shop', CACerts: 'PEM', audience: 'dead' };
    const status = statusOf({ deadLetterSink: sink });
    expect(status).toMatchObject({ deadLetterSinkUri: 'http://dead.shop', deadLetterSinkCACerts: 'PEM', deadLetterSinkAudience: 'dead' });
  });
});
