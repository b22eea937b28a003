import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Fault, type KafkaChannel, type KafkaSource, type Resources, type ServedSource, type SubscriptionState } from '@knative-kafka/common/core';
import type { Logger, ResourceSource } from '@knative-kafka/common/io';
import type { ConsumerOwner } from '@knative-kafka/dispatcher';
import { readyText, type ResourceStatus } from './core/resource-status.ts';
import { LocalReconciler } from './reconcile-locally.ts';

function metadata(name: string) {
  return { namespace: 'shop', name, uid: `uid-${name}`, generation: 1, labels: {}, annotations: {} };
}
function channel(name: string, spec: Partial<KafkaChannel['spec']> = {}): KafkaChannel {
  return { kind: 'KafkaChannel', metadata: metadata(name), spec: { numPartitions: 3, replicationFactor: 1, retentionMs: 60_000, subscribers: [], ...spec } };
}
function subscription(name: string, of: string): SubscriptionState {
  const reference = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: of };
  return {
    subscription: { kind: 'Subscription', metadata: metadata(name), spec: { channel: reference } },
    physicalSubscription: { subscriberUri: `http://${name}/` },
    conditions: [{ type: 'ReferencesResolved', status: 'True' }],
  };
}
function source(name: string, spec: Partial<KafkaSource['spec']> = {}): ServedSource {
  const whole: KafkaSource['spec'] = {
    bootstrapServers: ['kafka:9092'], topics: ['orders'], consumers: 1, consumerGroup: name, initialOffset: 'latest', ordering: 'ordered', sink: { uri: `http://${name}/` }, extensions: {}, keyType: 'string', net: {}, ...spec,
  };
  return { source: { kind: 'KafkaSource', metadata: metadata(name), spec: whole }, sink: { uri: `http://${name}/` }, deadLetterSink: undefined, placements: undefined, needsInitialOffsets: true };
}
const topicOf = (name: string): string => `knative-messaging-kafka.shop.${name}`;

/** Kafka as a map of topics to partitions, and a folder under the test's control. */
function setUp(channels: readonly KafkaChannel[], subscriptions: readonly SubscriptionState[] = []) {
  let resources: Resources = { channels, subscriptions, sources: [], secrets: [], configMaps: [], problems: [] };
  let tell: ((resources: Resources) => void) | undefined;
  const topics = new Map<string, number>();
  const asked: string[] = [];
  const faults: Fault[] = [];
  const consumers: (ConsumerOwner & { isReady: boolean; trouble: string | undefined })[] = [];
  let reports = 0;
  const source: ResourceSource = {
    snapshot: () => resources,
    onChange: (listener) => { tell = listener; return () => { tell = undefined; }; },
    isSynced: () => true,
    readSecret: () => Promise.resolve(undefined),
    close: () => Promise.resolve(),
  };
  const ask = (what: string): void => {
    asked.push(what);
    const fault = faults.shift();
    if (fault !== undefined) throw fault;
  };
  const reconciler = new LocalReconciler({
    resources: source,
    admin: {
      createTopic: async ({ topic, partitions, replicationFactor, config }) => {
        await Promise.resolve();
        ask(`create ${topic} ${partitions} ${replicationFactor} ${JSON.stringify(config)}`);
        if (topics.has(topic)) return 'exists';
        topics.set(topic, partitions);
        return 'created';
      },
      describeTopic: async (topic) => {
        await Promise.resolve();
        ask(`describe ${topic}`);
        if (!topics.has(topic)) return undefined;
        return { partitions: topics.get(topic)!, replicationFactor: 1, maxMessageBytes: 1, retentionMs: undefined };
      },
      growTopic: async (topic, partitions) => {
        await Promise.resolve();
        ask(`grow ${topic} ${partitions}`);
        topics.set(topic, partitions);
      },
      setRetention: async (topic, retentionMs) => {
        await Promise.resolve();
        ask(`retain ${topic} ${retentionMs}`);
      },
    },
    consumers: () => consumers,
    channelUrl: ({ namespace, name }) => `http://here/${namespace}/${name}`,
    onStatus: () => { reports++; },
    log: { info: () => undefined } as unknown as Logger,
  });
  const texts = (): Record<string, string> => Object.fromEntries(reconciler.statuses.map((status: ResourceStatus) => [`${status.kind} ${status.name}`, readyText(status)]));
  return {
    reconciler, topics, asked, faults, consumers, texts,
    reports: () => reports,
    settle: () => vi.advanceTimersByTimeAsync(0),
    change: async (next: readonly KafkaChannel[], nextSubscriptions: readonly SubscriptionState[] = []) => {
      resources = { ...resources, channels: next, subscriptions: nextSubscriptions };
      tell?.(resources);
      await vi.advanceTimersByTimeAsync(0);
    },
    changeSources: async (sources: readonly ServedSource[]) => {
      resources = { ...resources, sources };
      tell?.(resources);
      await vi.advanceTimersByTimeAsync(0);
    },
    isListening: () => tell !== undefined,
  };
}

describe('reconciling on one machine', () => {
  beforeEach(() => { vi.useFakeTimers(); });
  afterEach(() => { vi.useRealTimers(); });

  it('makes the topic that a KafkaChannel asks for, and says where its events go', async () => {
    const { reconciler, asked, settle, texts } = setUp([channel('orders')]);
    await settle();
    expect(asked).toEqual([`describe ${topicOf('orders')}`, `create ${topicOf('orders')} 3 1 {"retention.ms":"60000"}`]);
    expect(texts()).toEqual({ 'KafkaChannel shop/orders': 'Ready' });
    expect(reconciler.statuses[0]!.url).toBe('http://here/shop/orders');
  });

  it('asks Kafka nothing more while nothing changes', async () => {
    const { asked, settle } = setUp([channel('orders')]);
    await settle();
    asked.length = 0;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toEqual([]);
  });

  it('grows a topic that has too few partitions', async () => {
    const { asked, topics, settle, change, texts } = setUp([channel('orders')]);
    await settle();
    asked.length = 0;
    await change([channel('orders', { numPartitions: 6 })]);
    expect(asked).toEqual([`describe ${topicOf('orders')}`, `grow ${topicOf('orders')} 6`]);
    expect(topics.get(topicOf('orders'))).toBe(6);
    expect(texts()['KafkaChannel shop/orders']).toBe('Ready');
  });

  it('leaves a topic alone that has more partitions, and says that it cannot shrink', async () => {
    const { topics, settle, change, texts } = setUp([channel('orders')]);
    await settle();
    await change([channel('orders', { numPartitions: 1 })]);
    expect(topics.get(topicOf('orders'))).toBe(3);
    expect(texts()['KafkaChannel shop/orders']).toBe(`not ready: TopicCannotShrink, topic ${topicOf('orders')} has 3 partitions, 1 asked: Kafka cannot take partitions away`);
  });

  it('takes no topic away with its manifest, and finds it again', async () => {
    const { topics, settle, change, texts } = setUp([channel('orders')]);
    await settle();
    await change([]);
    expect(texts()).toEqual({});
    expect(topics.has(topicOf('orders'))).toBe(true);
    await change([channel('orders')]);
    expect(texts()).toEqual({ 'KafkaChannel shop/orders': 'Ready' });
  });

  it('looks anew at the topic of a manifest that comes back: somebody may have taken it away meanwhile', async () => {
    const { topics, settle, change } = setUp([channel('orders')]);
    await settle();
    await change([]);
    topics.clear();
    await change([channel('orders')]);
    expect(topics.get(topicOf('orders'))).toBe(3);
  });

  it.each([
    [new Fault('TOPIC_REJECTED', '3 replicas asked, 1 broker', { retriable: true }), 'not ready: TopicRejected, 3 replicas asked, 1 broker'],
    [new Fault('KAFKA_UNAVAILABLE', 'no broker answers', { retriable: true }), 'not ready: KafkaUnavailable, no broker answers'],
  ])('says why there is no topic, and tries again: %s', async (fault, text) => {
    const { faults, settle, texts } = setUp([channel('orders')]);
    faults.push(fault);
    await settle();
    expect(texts()['KafkaChannel shop/orders']).toBe(text);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(texts()['KafkaChannel shop/orders']).toBe('Ready');
  });

  it('lets no channel hold up another one', async () => {
    const { faults, settle, texts } = setUp([channel('first'), channel('x'.repeat(250)), channel('third')]);
    faults.push(new Fault('TOPIC_REJECTED', 'no', { retriable: true }));
    await settle();
    expect(Object.values(texts())).toEqual(['not ready: TopicRejected, no', expect.stringContaining('TopicNameInvalid'), 'Ready']);
  });

  it('counts a Subscription as ready once its own consumer group has joined', async () => {
    const { consumers, settle, texts } = setUp([channel('orders')], [subscription('mail', 'orders'), subscription('log', 'orders')]);
    const of = (channel: string, name: string, isReady: boolean) => ({ channel, subscription: name, isReady, trouble: undefined });
    consumers.push(of('other/orders', 'mail', true), of('shop/orders', 'mail', false), of('shop/orders', 'log', true));
    await settle();
    expect([texts()['Subscription shop/log'], texts()['Subscription shop/mail']]).toEqual(['Ready', expect.stringContaining('waiting')]);
    consumers[1]!.isReady = true;
    await vi.advanceTimersByTimeAsync(250);
    expect(texts()['Subscription shop/mail']).toBe('Ready');
  });

  it('says of each KafkaSource whether its consumer group has joined, and why not, and asks Kafka for nothing', async () => {
    const { asked, consumers, settle, changeSources, texts, reconciler } = setUp([]);
    await changeSources([source('joined'), source('joining'), source('stuck'), source('paused', { consumers: 0 }), source('unknown')]);
    consumers.push(
      { source: 'shop/joined', isReady: true, trouble: undefined }, { source: 'shop/joining', isReady: false, trouble: undefined },
      { source: 'shop/stuck', isReady: false, trouble: 'no broker answers' },
    );
    await settle();
    await vi.advanceTimersByTimeAsync(250);
    expect(texts()).toEqual({
      'KafkaSource shop/joined': 'Ready',
      'KafkaSource shop/joining': 'waiting: ConsumerGroupJoining, its consumer group has not joined yet',
      'KafkaSource shop/stuck': 'waiting: ConsumerGroupNotJoined, no broker answers',
      'KafkaSource shop/paused': 'Ready',
      'KafkaSource shop/unknown': 'waiting: ConsumerGroupJoining, its consumer group has not joined yet',
    });
    expect(reconciler.statuses[0]!.url).toBe('http://joined/');
    expect(asked).toEqual([]);
  });

  it('works on one thing at a time: changes meanwhile are seen to afterwards, all of them at once', async () => {
    const { asked, change, settle } = setUp([channel('first')]);
    await Promise.all([change([channel('first'), channel('second')]), change([channel('first'), channel('second'), channel('third')])]);
    await settle();
    expect(asked.filter((what) => what.startsWith('create')).map((what) => what.split(' ')[1])).toEqual([topicOf('first'), topicOf('second'), topicOf('third')]);
  });

  it('does nothing more once it is closed', async () => {
    const { reconciler, asked, settle, isListening, reports } = setUp([channel('orders')]);
    await settle();
    reconciler.close();
    const [askedBefore, reportsBefore] = [asked.length, reports()];
    expect(isListening()).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect([asked.length, reports()]).toEqual([askedBefore, reportsBefore]);
  });
});
