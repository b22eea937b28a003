/**
 * What people see of channels and Subscriptions with kubectl: the controller on a real API server and a real Kafka.
 * Tests are named by the rows of Knative's contract that they prove.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { receiverSettings } from '@knative-kafka/channel-receiver';
import { readSettings, type SettingsTable } from '@knative-kafka/common/core';
import { controllerSettings } from '@knative-kafka/controller';
import { dispatcherSettings } from '@knative-kafka/dispatcher';
import { waitFor } from '@knative-kafka/local-cluster';
import { logged, metric, type Service } from '../local/harness.ts';
import { ClusterWorld, conditionOf, isReady, kafkaChannel, kafkaSecretName, patienceMs, subscription, systemNamespace, type ClusterObject, type ClusterSpec } from './cluster-world.ts';

let world: ClusterWorld;
let controller: Service;

beforeAll(async () => {
  world = await ClusterWorld.start();
  await world.apply({
    apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'sequences.flows.example.com' },
    spec: {
      group: 'flows.example.com', scope: 'Namespaced', names: { kind: 'Sequence', plural: 'sequences', singular: 'sequence' },
      versions: [{ name: 'v1', served: true, storage: true, subresources: {}, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } }],
    },
  });
  // What a kind with an address brings along, for Knative's controllers and ours alike.
  await world.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'sequences-addressable-resolver', labels: { 'duck.knative.dev/addressable': 'true' } },
    rules: [{ apiGroups: ['flows.example.com', 'late.example.com'], resources: ['sequences', 'arrivals'], verbs: ['get', 'list', 'watch'] }],
  });
  controller = await world.controller();
});

afterAll(() => world.stop());

const topicOf = (channel: string) => `knative-messaging-kafka.default.${channel}`;
const ready = (name: string) => world.untilReady('kafkachannel', name);
const service = (name: string): ClusterObject => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec: { ports: [{ port: 80 }] } });
const sequence = (name: string, address: { readonly url: string } | undefined): ClusterObject => ({ apiVersion: 'flows.example.com/v1', kind: 'Sequence', metadata: { name, namespace: 'default' }, status: address === undefined ? {} : { address } });
const refTo = (kind: string, name: string, apiVersion = 'v1') => ({ ref: { apiVersion, kind, name } });
const eventsOf = async (object: ClusterObject) => (await world.list('events.events.k8s.io', '-A')).filter((event) => (event['regarding'] as { uid?: string }).uid === object.metadata.uid);

describe('KafkaChannel', () => {
  it('CP-08 CP-09 CP-11 CP-12 CP-13: spec null becomes Ready, with a topic and an address', async () => {
    await world.apply(kafkaChannel('plain', null));
    const channel = await ready('plain');
    expect(channel.status).toMatchObject({
      observedGeneration: channel.metadata.generation,
      address: { url: 'http://plain-kn-channel.default.svc.cluster.local' },
      addresses: [{ name: 'http', url: 'http://plain-kn-channel.default.svc.cluster.local' }],
      annotations: { 'default.topic': topicOf('plain'), 'kafka.eventing.knative.dev/kafka-secret': kafkaSecretName },
      subscribers: [],
    });
    expect(conditionOf(channel, 'Addressable')).toMatchObject({ status: 'True' });
    expect(await world.admin.describeTopic(topicOf('plain'))).toMatchObject({ partitions: 1, replicationFactor: 1, retentionMs: 168 * 3_600_000 });
  });

  it('CP-07 CP-28: is marked as subscribable, and cannot go without its topic', async () => {
    await world.apply(kafkaChannel('marked'));
    const { metadata } = await ready('marked');
    expect(metadata.annotations).toMatchObject({ 'messaging.knative.dev/subscribable': 'v1' });
    expect(metadata.finalizers).toEqual(['kafkachannels.messaging.knative.dev']);
  });

  it('CP-22 CP-23: makes a topic as asked, grows it and changes how long it keeps events', async () => {
    await world.apply(kafkaChannel('grown', { numPartitions: 2, retentionDuration: 'PT1H' }));
    await ready('grown');
    expect(await world.admin.describeTopic(topicOf('grown'))).toMatchObject({ partitions: 2, retentionMs: 3_600_000 });
    await world.apply(kafkaChannel('grown', { numPartitions: 4, retentionDuration: 'PT2H' }));
    await waitFor('the topic as it is asked for now', async () => {
      const topic = await world.admin.describeTopic(topicOf('grown'));
      return topic?.partitions === 4 && topic.retentionMs === 7_200_000;
    }, { timeoutMs: patienceMs });
    await ready('grown');
  });

  it('CP-34: says in words what Kafka refuses, in a condition and as an Event, and recovers', async () => {
    await world.apply(kafkaChannel('too-safe', { replicationFactor: 3 }));
    const channel = await world.until('the refusal', 'kafkachannel', 'too-safe', (object) => conditionOf(object, 'Ready')?.status === 'False');
    expect(conditionOf(channel, 'TopicReady')).toMatchObject({ status: 'False', reason: 'TopicRejected', message: `topic ${topicOf('too-safe')}: 3 replicas asked, 1 broker available` });
    expect(conditionOf(channel, 'Ready')).toMatchObject({ reason: 'TopicRejected' });
    await waitFor('an Event that tells it', async () => (await eventsOf(channel)).some((event) => event['reason'] === 'TopicRejected' && event['type'] === 'Warning'), { timeoutMs: patienceMs });
    await world.admin.createTopic({ topic: topicOf('too-safe'), partitions: 1, replicationFactor: 1, config: {} });
    expect(conditionOf(await ready('too-safe'), 'TopicReady')?.message).toContain('1 replicas, 3 asked');
  });

  it('CP-10: lists its conditions once each, sorted, and moves the time of those alone that change', async () => {
    await world.apply(kafkaChannel('timed'));
    const before = await ready('timed');
    const timesOf = (object: ClusterObject) => new Map(object.status?.conditions?.map(({ type, lastTransitionTime = '' }) => [type, lastTransitionTime]));
    const latest = Math.max(...[...timesOf(before).values()].map((time) => Date.parse(time)));
    await waitFor('another second', () => Date.now() >= latest + 1_000, { timeoutMs: patienceMs });
    await world.apply(kafkaChannel('timed', { delivery: { deadLetterSink: refTo('Service', 'never-there') } }));
    const after = await world.until('the condition', 'kafkachannel', 'timed', (object) => conditionOf(object, 'Ready')?.status === 'False');
    const changed = [...timesOf(after)].filter(([type, time]) => time !== timesOf(before).get(type)).map(([type]) => type);
    expect(changed).toEqual(['DeadLetterSinkResolved', 'Ready']);
    expect(after.status?.observedGeneration).toBe(after.metadata.generation);
    for (const object of [before, after]) {
      const { conditions = [] } = object.status ?? {};
      const types = conditions.map(({ type }) => type);
      expect(types).toEqual([...new Set(types)].sort());
      const counting = conditions.filter(({ type, severity }) => type !== 'Ready' && severity === undefined).map(({ status }) => status);
      expect(conditionOf(object, 'Ready')?.status).toBe(counting.includes('False') ? 'False' : counting.includes('Unknown') ? 'Unknown' : 'True');
    }
  });

  it('CP-27: has a Service that belongs to it and points to the receiver, and comes back when it is changed or deleted', async () => {
    await world.apply(kafkaChannel('served'));
    const channel = await ready('served');
    const made = await world.until('the Service', 'service', 'served-kn-channel', () => true);
    expect(made.spec).toMatchObject({ type: 'ExternalName', externalName: `kafka-channel-receiver.${systemNamespace}.svc.cluster.local`, ports: [{ name: 'http', port: 80 }] });
    expect(made.metadata.ownerReferences).toMatchObject([{ kind: 'KafkaChannel', uid: channel.metadata.uid, controller: true }]);
    await world.kubectl(['patch', 'service', 'served-kn-channel', '--type=merge', '-p', '{"spec":{"externalName":"elsewhere.example.com"}}']);
    await world.until('the name that was changed', 'service', 'served-kn-channel', (object) => object.spec?.externalName?.startsWith('kafka-channel-receiver.') === true);
    await world.kubectl(['delete', 'service', 'served-kn-channel']);
    await world.until('a new Service', 'service', 'served-kn-channel', (object) => object.metadata.uid !== made.metadata.uid);
  });

  it('leaves a Service alone that has its name and belongs to somebody else', async () => {
    await world.apply(service('taken-kn-channel'), kafkaChannel('taken'));
    const channel = await world.until('the condition', 'kafkachannel', 'taken', (object) => conditionOf(object, 'Ready')?.status === 'False');
    expect(conditionOf(channel, 'ChannelServiceReady')).toMatchObject({ reason: 'ServiceNotOwned', message: expect.stringContaining('default/taken-kn-channel') as string });
    expect((await world.get('service', 'taken-kn-channel'))?.spec?.['type']).toBe('ClusterIP');
    await world.kubectl(['delete', 'service', 'taken-kn-channel']);
    await world.kubectl(['annotate', 'kafkachannel', 'taken', 'look=again']);
    await ready('taken');
  });

  it('CP-25: takes names of 63 characters, and keeps their Services apart', async () => {
    const [one, other] = [`${'x'.repeat(62)}1`, `${'x'.repeat(62)}2`];
    await world.apply(kafkaChannel(one), kafkaChannel(other));
    const urls = await Promise.all([one, other].map(async (name) => (await ready(name)).status!.address!.url));
    expect(new Set(urls).size).toBe(2);
    for (const url of urls) {
      const name = new URL(url).hostname.split('.')[0]!;
      expect(name.length).toBeLessThanOrEqual(63);
      expect(await world.get('service', name)).toBeDefined();
    }
  });

  it('CP-14 CP-15: resolves its dead letter sink, whatever it refers to, and heals when that appears later', async () => {
    await world.apply(service('dead'), sequence('dead-steps', { url: 'http://dead.example.com/steps' }));
    await world.apply(
      kafkaChannel('sink-uri', { delivery: { deadLetterSink: { uri: 'http://Sink.example.com' } } }),
      kafkaChannel('sink-service', { delivery: { deadLetterSink: { ...refTo('Service', 'dead'), uri: '/letters' } } }),
      kafkaChannel('sink-kind', { delivery: { deadLetterSink: refTo('Sequence', 'dead-steps', 'flows.example.com/v1') } }),
      kafkaChannel('sink-late', { delivery: { deadLetterSink: refTo('Service', 'dead-later') } }),
    );
    const uriOf = async (name: string) => (await ready(name)).status!.deadLetterSinkUri;
    expect(await uriOf('sink-uri')).toBe('http://Sink.example.com');
    expect(await uriOf('sink-service')).toBe('http://dead.default.svc.cluster.local/letters');
    expect(await uriOf('sink-kind')).toBe('http://dead.example.com/steps');
    const late = await world.until('the condition', 'kafkachannel', 'sink-late', (object) => conditionOf(object, 'Ready')?.status === 'False');
    expect(conditionOf(late, 'DeadLetterSinkResolved')).toMatchObject({ reason: 'DeadLetterSinkResolveFailed', message: 'spec.delivery.deadLetterSink: Service default/dead-later does not exist' });
    await world.apply(service('dead-later'));
    expect(await uriOf('sink-late')).toBe('http://dead-later.default.svc.cluster.local');
  });

  it('has a dispatcher only while somebody subscribes, in the system namespace', async () => {
    await world.apply(kafkaChannel('deployed'));
    await ready('deployed');
    const find = async () => (await world.list('deployments', '-n', systemNamespace)).find(({ metadata }) => metadata.annotations?.['kafka.eventing.knative.dev/channel'] === 'default/deployed');
    const replicas = async () => (await find())?.spec?.replicas;
    await waitFor('a dispatcher without pods', async () => (await replicas()) === 0, { timeoutMs: patienceMs });
    await world.apply(subscription('deployed', 'deployed', { uri: 'http://127.0.0.1:1/' }));
    await world.untilReady('subscription', 'deployed');
    await waitFor('a dispatcher with a pod', async () => (await replicas()) === 1, { timeoutMs: patienceMs });
    // What others ask for is left alone.
    const name = (await find())!.metadata.name;
    await world.kubectl(['scale', 'deployment', name, '-n', systemNamespace, '--replicas=3']);
    await world.kubectl(['annotate', 'kafkachannel', 'deployed', 'touched=yes']);
    await world.kubectl(['patch', 'deployment', name, '-n', systemNamespace, '--type=json', '-p', '[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"other:1"}]']);
    await waitFor('the image as it should be', async () => JSON.stringify((await find())?.spec).includes('knative-kafka/dispatcher'), { timeoutMs: patienceMs });
    expect(await replicas()).toBe(3);
    await world.kubectl(['delete', 'subscription', 'deployed']);
    await waitFor('a dispatcher without pods', async () => (await replicas()) === 0, { timeoutMs: patienceMs });
    await world.kubectl(['delete', 'kafkachannel', 'deployed']);
    await waitFor('no dispatcher', async () => (await find()) === undefined, { timeoutMs: patienceMs });
  });

  it('CP-28: takes its topic and its consumer groups with it', async () => {
    await world.apply(kafkaChannel('leaving'), subscription('leaving', 'leaving', { uri: 'http://127.0.0.1:1/' }));
    const { metadata } = await world.untilReady('subscription', 'leaving');
    expect((await world.admin.groupLag(`kafka.default.leaving.${metadata.uid}`, topicOf('leaving')))[0]?.commitOffset).toBe(0n);
    await world.kubectl(['delete', 'kafkachannel', 'leaving']);
    await world.untilTopicGone(topicOf('leaving'));
    expect(await world.admin.deleteGroup(`kafka.default.leaving.${metadata.uid}`)).toBe('absent');
    await world.untilGone('service', 'leaving-kn-channel');
  });

  it('uses the Kafka Secret that it names, and says what is wrong with it', async () => {
    await world.apply(kafkaChannel('elsewhere', {}, { annotations: { 'kafka.eventing.knative.dev/kafka-secret': 'second' } }));
    const missing = await world.until('the condition', 'kafkachannel', 'elsewhere', (object) => conditionOf(object, 'Ready')?.status === 'False');
    expect(conditionOf(missing, 'ConfigurationReady')).toMatchObject({ reason: 'KafkaSecretMissing', message: expect.stringContaining('"second"') as string });
    await world.kubectl(['annotate', 'secret', kafkaSecretName, '-n', systemNamespace, 'kafka.eventing.knative.dev/default-kafka-secret=true']);
    await world.kafkaSecret('second', { brokers: 'no port' });
    const invalid = await world.until('the condition', 'kafkachannel', 'elsewhere', (object) => conditionOf(object, 'ConfigurationReady')?.reason === 'KafkaSecretInvalid');
    expect(conditionOf(invalid, 'ConfigurationReady')?.message).toContain('data.brokers');
    await world.kafkaSecret('second', { brokers: world.kafka.bootstrap });
    await ready('elsewhere');
    // One receiver each.
    await world.until('its Service', 'service', 'elsewhere-kn-channel', (object) => object.spec?.externalName?.startsWith('kafka-channel-receiver-second.') === true);
    for (const name of ['kafka-channel-receiver', 'kafka-channel-receiver-second']) {
      const deployment = await world.until('a receiver', 'deployment', name, () => true, systemNamespace);
      expect(deployment.metadata.ownerReferences).toMatchObject([{ kind: 'Secret' }]);
      expect(await world.get('service', name, systemNamespace)).toBeDefined();
    }
    await world.kubectl(['delete', 'kafkachannel', 'elsewhere']);
    await world.kubectl(['delete', 'secret', 'second', '-n', systemNamespace]);
    await world.untilGone('deployment', 'kafka-channel-receiver-second', systemNamespace);
    await world.kubectl(['annotate', 'secret', kafkaSecretName, '-n', systemNamespace, 'kafka.eventing.knative.dev/default-kafka-secret-']);
  });
});

describe('Subscription', () => {
  beforeAll(async () => {
    await world.apply(service('target'), sequence('steps', { url: 'http://steps.example.com/in' }), sequence('new', undefined), sequence('odd', { url: 'http:///x' }));
    await world.apply(kafkaChannel('subscribed', { numPartitions: 2 }));
    await ready('subscribed');
  });
  const uidsOf = (entries: readonly { readonly uid: string }[] = []) => entries.map(({ uid }) => uid).sort().join(' ');
  const subscribersOf = async (channel: string) => (await world.get('kafkachannel', channel))?.spec?.subscribers ?? [];

  it('CP-16 CP-18 SU-02: is Ready once its consumer group has its offsets, which all its conditions say', async () => {
    await world.apply(subscription('first', 'subscribed', { uri: 'http://127.0.0.1:1/x' }));
    const found = await world.untilReady('subscription', 'first');
    for (const type of ['ReferencesResolved', 'AddedToChannel', 'ChannelReady', 'OIDCIdentityCreated']) expect(conditionOf(found, type)?.status, type).toBe('True');
    expect(found.status).toMatchObject({ physicalSubscription: { subscriberUri: 'http://127.0.0.1:1/x' } });
    expect(found.metadata.finalizers).toEqual(['subscriptions.messaging.knative.dev']);
    const channel = await world.get('kafkachannel', 'subscribed');
    expect(channel!.status).toMatchObject({ subscribers: [{ uid: found.metadata.uid, observedGeneration: found.metadata.generation, ready: 'True' }] });
    const offsets = await world.admin.groupLag(`kafka.default.subscribed.${found.metadata.uid}`, topicOf('subscribed'));
    expect(offsets.map(({ commitOffset }) => commitOffset)).toEqual([0n, 0n]);
  });

  it('SU-10: tells the channel of a subscriber that changed, and is Ready again for that', async () => {
    await world.apply(subscription('changing', 'subscribed', { uri: 'http://127.0.0.1:1/before' }));
    await world.untilReady('subscription', 'changing');
    await world.apply(subscription('changing', 'subscribed', { uri: 'http://127.0.0.1:1/after' }));
    const changed = await world.until('Ready with the new one', 'subscription', 'changing', (object) => isReady(object) && object.status?.physicalSubscription?.subscriberUri?.endsWith('/after') === true);
    expect((await subscribersOf('subscribed')).find(({ uid }) => uid === changed.metadata.uid)).toMatchObject({ subscriberUri: 'http://127.0.0.1:1/after', generation: changed.metadata.generation });
  });

  it('CP-17 SU-07: takes its own entry with it, no other, and then its consumer group', async () => {
    await world.apply(subscription('stays', 'subscribed', { uri: 'http://127.0.0.1:1/' }), subscription('goes', 'subscribed', { uri: 'http://127.0.0.1:1/' }));
    const stays = await world.untilReady('subscription', 'stays');
    const goes = await world.untilReady('subscription', 'goes');
    await world.kubectl(['delete', 'subscription', 'goes']);
    const uids = (await subscribersOf('subscribed')).map(({ uid }) => uid);
    expect(uids).toContain(stays.metadata.uid);
    expect(uids).not.toContain(goes.metadata.uid);
    await world.until('as many reported as wanted', 'kafkachannel', 'subscribed', ({ spec, status }) => uidsOf(spec?.subscribers) === uidsOf(status?.subscribers));
    await waitFor('the group to go', async () => (await world.admin.groupLag(`kafka.default.subscribed.${goes.metadata.uid}`, topicOf('subscribed')))[0]?.commitOffset === undefined, { timeoutMs: patienceMs });
    expect((await world.admin.groupLag(`kafka.default.subscribed.${stays.metadata.uid}`, topicOf('subscribed')))[0]?.commitOffset).toBe(0n);
  });

  it('CP-19: its consumer group outlives a moment in which its entry is missing', async () => {
    await world.apply(...['flickers', 'goes-after'].map((name) => subscription(name, 'subscribed', { uri: 'http://127.0.0.1:1/' })));
    const { metadata } = await world.untilReady('subscription', 'flickers');
    const after = (await world.untilReady('subscription', 'goes-after')).metadata.uid;
    const without = (await subscribersOf('subscribed')).filter(({ uid }) => uid !== metadata.uid);
    const patch = JSON.stringify({ spec: { subscribers: without } });
    // As an older writer would: the guard lets only controllers do this.
    await world.kubectl(['patch', 'kafkachannel', 'subscribed', '--type=merge', '-p', patch, '--as', `system:serviceaccount:${systemNamespace}:kafka-controller`]);
    await waitFor('the entry to be back', async () => (await subscribersOf('subscribed')).some(({ uid }) => uid === metadata.uid), { timeoutMs: patienceMs });
    await world.untilReady('subscription', 'flickers');
    const commitOffset = async (uid: string | undefined) => (await world.admin.groupLag(`kafka.default.subscribed.${uid}`, topicOf('subscribed')))[0]?.commitOffset;
    // As long as a group lingers: one that began to later is gone.
    await world.kubectl(['delete', 'subscription', 'goes-after']);
    await waitFor('the group of another to go', async () => (await commitOffset(after)) === undefined, { timeoutMs: patienceMs });
    expect(await commitOffset(metadata.uid)).toBe(0n);
  });

  it.each<[string, object, string | RegExp]>([
    ['a uri as it is written', { uri: 'http://HOST.example.com:8080/a/../b?c=d' }, 'http://HOST.example.com:8080/a/../b?c=d'],
    ['a Service', refTo('Service', 'target'), 'http://target.default.svc.cluster.local'],
    ['a Service in its own namespace by name', { ref: { apiVersion: 'v1', kind: 'Service', name: 'target', namespace: 'default' } }, 'http://target.default.svc.cluster.local'],
    ['a Service and a path', { ...refTo('Service', 'target'), uri: '/path' }, 'http://target.default.svc.cluster.local/path'],
    ['a Service and a relative path', { ...refTo('Service', 'target'), uri: 'path?x=1' }, 'http://target.default.svc.cluster.local/path?x=1'],
    ['a Service with certificates', { ...refTo('Service', 'target'), CACerts: 'PEM' }, 'https://target.default.svc.cluster.local'],
    ['a KafkaChannel', refTo('KafkaChannel', 'subscribed', 'messaging.knative.dev/v1'), 'http://subscribed-kn-channel.default.svc.cluster.local'],
    ['a KafkaChannel by the older version', refTo('KafkaChannel', 'subscribed', 'messaging.knative.dev/v1beta1'), 'http://subscribed-kn-channel.default.svc.cluster.local'],
    ['a KafkaChannel by the name of its address', { ref: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'subscribed', address: 'http' } }, 'http://subscribed-kn-channel.default.svc.cluster.local'],
    ['any kind with an address', refTo('Sequence', 'steps', 'flows.example.com/v1'), 'http://steps.example.com/in'],
    ['any kind and a path', { ...refTo('Sequence', 'steps', 'flows.example.com/v1'), uri: 'out' }, 'http://steps.example.com/out'],
    ['a Service that is not there', refTo('Service', 'nowhere'), /Service default\/nowhere does not exist/],
    ['an object of a kind that is not there', refTo('Thing', 'x', 'none.example.com/v1'), /the cluster has no kind Thing in none.example.com\/v1/],
    ['an object without an address', refTo('Sequence', 'new', 'flows.example.com/v1'), /Sequence default\/new has no address yet/],
    ['an object whose address has no host', refTo('Sequence', 'odd', 'flows.example.com/v1'), /not a valid URL/],
    ['SU-08 an object in another namespace', { ref: { apiVersion: 'v1', kind: 'Service', name: 'kubernetes', namespace: 'kube-system' } }, /another namespace/],
    ['an address that the channel has not', { ref: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'subscribed', address: 'https' } }, /no address named "https"/],
  ])('SU-03 SU-04 SU-09: resolves %s', async (_name, subscriber, expected) => {
    await world.apply(subscription('resolving', 'subscribed', subscriber));
    const isSettled = (object: ClusterObject) => object.status?.observedGeneration === object.metadata.generation && conditionOf(object, 'ReferencesResolved') !== undefined;
    const found = await world.until('the answer', 'subscription', 'resolving', (object) => isSettled(object) && (typeof expected === 'string' ? isReady(object) : conditionOf(object, 'Ready')?.status === 'False'));
    if (typeof expected === 'string') {
      expect(found.status).toMatchObject({ physicalSubscription: { subscriberUri: expected } });
    } else {
      expect(conditionOf(found, 'ReferencesResolved')).toMatchObject({ status: 'False', reason: 'SubscriberResolveFailed', message: expect.stringMatching(expected) as string });
      expect(found.status?.physicalSubscription ?? {}).toEqual({});
    }
  });

  it.each<[string, object]>([
    ['an absolute uri beside ref', { ...refTo('Service', 'target'), uri: 'http://other/' }],
    ['a relative uri alone', { uri: '/path' }],
    ['neither ref nor uri', {}],
  ])('SU-03: is refused with %s', async (_name, subscriber) => {
    await expect(world.apply(subscription('refused', 'subscribed', subscriber))).rejects.toThrow(/spec.subscriber/);
  });

  it('SU-05: may come before its channel, its subscriber, and the kind of its subscriber', async () => {
    await world.apply(subscription('early', 'comes-later', refTo('Arrival', 'late', 'late.example.com/v1')));
    const early = await world.until('the condition', 'subscription', 'early', (object) => conditionOf(object, 'Ready') !== undefined);
    expect(conditionOf(early, 'ReferencesResolved')).toMatchObject({ status: 'Unknown', reason: 'ChannelReferenceFailed', message: 'spec.channel: KafkaChannel default/comes-later does not exist' });
    await world.apply(kafkaChannel('comes-later'));
    await world.until('the next condition', 'subscription', 'early', (object) => conditionOf(object, 'ReferencesResolved')?.reason === 'SubscriberResolveFailed');
    await world.apply({
      apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'arrivals.late.example.com' },
      spec: {
        group: 'late.example.com', scope: 'Namespaced', names: { kind: 'Arrival', plural: 'arrivals', singular: 'arrival' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } }],
      },
    });
    await world.kubectl(['wait', '--for=condition=Established', 'crd/arrivals.late.example.com']);
    await world.until('the kind to be known', 'subscription', 'early', (object) => conditionOf(object, 'Ready')?.message?.includes('Arrival default/late does not exist') === true);
    await world.apply({ apiVersion: 'late.example.com/v1', kind: 'Arrival', metadata: { name: 'late', namespace: 'default' }, status: { address: { url: 'http://late.example.com' } } });
    expect((await world.untilReady('subscription', 'early')).status).toMatchObject({ physicalSubscription: { subscriberUri: 'http://late.example.com' } });
  });

  it('SU-05 SU-04: follows the address of its subscriber: when it comes, changes, goes and comes back', async () => {
    const uriOf = async () => (await subscribersOf('subscribed')).find(({ uid }) => uid === metadata.uid)?.subscriberUri;
    const resolvedTo = (uri: string) => world.until(`Ready with ${uri}`, 'subscription', 'follows', (object) => isReady(object) && object.status?.physicalSubscription?.subscriberUri === uri);
    const unresolved = (words: string) => world.until(words, 'subscription', 'follows', (object) => conditionOf(object, 'Ready')?.status === 'False' && conditionOf(object, 'ReferencesResolved')?.message?.includes(words) === true);
    await world.apply(sequence('moving', undefined), subscription('follows', 'subscribed', refTo('Sequence', 'moving', 'flows.example.com/v1')));
    const { metadata } = await unresolved('has no address yet');
    for (const url of ['http://here.example.com', 'http://there.example.com']) {
      await world.apply(sequence('moving', { url }));
      await resolvedTo(url);
      expect(await uriOf()).toBe(url);
    }
    await world.kubectl(['delete', 'sequence', 'moving']);
    expect((await unresolved('Sequence default/moving does not exist')).status?.physicalSubscription ?? {}).toEqual({});
    await world.apply(sequence('moving', { url: 'http://back.example.com' }));
    await resolvedTo('http://back.example.com');
    expect(await uriOf()).toBe('http://back.example.com');
  });

  const elsewhere = { ref: { apiVersion: 'v1', kind: 'Service', name: 'kubernetes', namespace: 'kube-system' } };
  it.each<[string, object, object]>([
    ['reply', { reply: elsewhere }, { status: 'False', reason: 'ReplyResolveFailed' }],
    ['dead letter sink', { delivery: { deadLetterSink: elsewhere } }, { status: 'False', reason: 'DeadLetterSinkResolveFailed' }],
    ['channel', { channel: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'subscribed', namespace: 'kube-system' } }, { status: 'Unknown', reason: 'ChannelReferenceFailed' }],
  ])('SU-08: has no %s in another namespace', async (what, rest, expected) => {
    const name = `abroad-${what.replaceAll(' ', '-')}`;
    await world.apply(subscription(name, 'subscribed', { uri: 'http://127.0.0.1:1/' }, rest));
    const found = await world.until('the condition', 'subscription', name, (object) => conditionOf(object, 'ReferencesResolved')?.reason !== undefined);
    expect(conditionOf(found, 'ReferencesResolved')).toMatchObject({ ...expected, message: expect.stringContaining('kube-system') as string });
    expect((await subscribersOf('subscribed')).map(({ uid }) => uid)).not.toContain(found.metadata.uid);
    await world.kubectl(['delete', 'subscription', name]);
  });

  it('SU-06: has the delivery of its own, else the channel\'s, and the channel\'s dead letter sink', async () => {
    await world.apply(kafkaChannel('with-delivery', { delivery: { retry: 7, deadLetterSink: { uri: 'http://dead.example.com' } } }));
    await world.apply(
      subscription('inherits', 'with-delivery', { uri: 'http://127.0.0.1:1/' }),
      subscription('differs', 'with-delivery', { uri: 'http://127.0.0.1:1/' }, { delivery: { retry: 1, backoffPolicy: 'linear' } }),
    );
    const uids = await Promise.all(['inherits', 'differs'].map(async (name) => (await world.untilReady('subscription', name)).metadata.uid));
    const entries = await subscribersOf('with-delivery');
    const sink = { uri: 'http://dead.example.com' };
    expect(uids.map((uid) => entries.find((entry) => entry.uid === uid)?.delivery)).toEqual([{ retry: 7, deadLetterSink: sink }, { retry: 1, backoffPolicy: 'linear', deadLetterSink: sink }]);
  });

  it('SU-07: can be deleted when its channel is gone, or never was', async () => {
    await world.apply(kafkaChannel('short-lived'), subscription('outlives', 'short-lived', { uri: 'http://127.0.0.1:1/' }), subscription('orphan', 'never-there', { uri: 'http://127.0.0.1:1/' }));
    await world.untilReady('subscription', 'outlives');
    await world.until('the finalizer', 'subscription', 'orphan', ({ metadata }) => metadata.finalizers?.length === 1);
    await world.kubectl(['delete', 'kafkachannel', 'short-lived']);
    await world.kubectl(['delete', 'subscription', 'outlives', 'orphan']);
    expect(await world.get('subscription', 'outlives')).toBeUndefined();
  });

  it('CP-20: nobody but a controller writes spec.subscribers', async () => {
    await expect(world.kubectl(['patch', 'kafkachannel', 'subscribed', '--type=merge', '-p', '{"spec":{"subscribers":[]}}'])).rejects.toThrow(/spec.subscribers is written by the controller/);
  });
});

describe('Channel', () => {
  const channel = (name: string, spec: ClusterSpec = {}): ClusterObject => ({ apiVersion: 'messaging.knative.dev/v1', kind: 'Channel', metadata: { name, namespace: 'default' }, spec });
  const template = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', spec: { numPartitions: 3 } };

  it('GC-04: says what is missing where there is no template and no default', async () => {
    await world.kubectl(['delete', 'configmap', 'default-ch-webhook', '-n', systemNamespace, '--ignore-not-found']);
    await world.apply(channel('undecided'));
    const found = await world.until('the condition', 'channels.messaging.knative.dev', 'undecided', (object) => conditionOf(object, 'Ready')?.status === 'False');
    expect(conditionOf(found, 'BackingChannelReady')).toMatchObject({ reason: 'ChannelTemplateMissing', message: expect.stringContaining('default-ch-webhook') as string });
  });

  it('GC-01: takes the default of its namespace before that of the cluster', async () => {
    await world.apply({
      apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'default-ch-webhook', namespace: systemNamespace },
      data: { 'default-ch-config': 'clusterDefault:\n  apiVersion: messaging.knative.dev/v1\n  kind: KafkaChannel\nnamespaceDefaults:\n  default:\n    apiVersion: messaging.knative.dev/v1\n    kind: KafkaChannel\n    spec:\n      numPartitions: 2\n' },
    });
    const found = await world.untilReady('channels.messaging.knative.dev', 'undecided');
    expect(found.spec).toMatchObject({ channelTemplate: { kind: 'KafkaChannel', spec: { numPartitions: 2 } } });
    expect((await ready('undecided')).spec).toMatchObject({ numPartitions: 2 });
    await world.kubectl(['create', 'namespace', 'by-default']);
    await world.apply({ ...channel('by-default'), metadata: { name: 'by-default', namespace: 'by-default' } });
    const ofCluster = await world.untilReady('channels.messaging.knative.dev', 'by-default', 'by-default');
    expect(ofCluster.spec).toEqual({ channelTemplate: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel' } });
  });

  it('GC-02 CP-29: makes the channel behind it once, with its delivery, and shows its status', async () => {
    await world.apply(channel('generic', { channelTemplate: template, delivery: { retry: 2 } }));
    const found = await world.untilReady('channels.messaging.knative.dev', 'generic');
    const behind = await ready('generic');
    expect(behind.metadata.ownerReferences).toMatchObject([{ kind: 'Channel', uid: found.metadata.uid, controller: true }]);
    expect(behind.spec).toMatchObject({ numPartitions: 3, delivery: { retry: 2 } });
    expect(found.status).toMatchObject({ address: behind.status!.address, channel: { kind: 'KafkaChannel', name: 'generic' } });
    await world.kubectl(['patch', 'kafkachannel', 'generic', '--type=merge', '-p', '{"spec":{"numPartitions":5}}']);
    await world.until('the topic to grow', 'kafkachannel', 'generic', isReady);
    expect((await world.get('kafkachannel', 'generic'))!.spec).toMatchObject({ numPartitions: 5 });
  });

  it('SU-02: is subscribed to as the channel behind it', async () => {
    await world.apply(subscription('to-generic', { kind: 'Channel', name: 'generic' }, { uri: 'http://127.0.0.1:1/' }));
    const found = await world.untilReady('subscription', 'to-generic');
    await world.until('the copy of its status', 'channels.messaging.knative.dev', 'generic', ({ status }) => status?.subscribers?.some(({ uid }) => uid === found.metadata.uid) === true);
    await world.kubectl(['delete', 'subscription', 'to-generic']);
    expect((await world.get('kafkachannel', 'generic'))!.spec?.subscribers).toEqual([]);
  });

  it('goes with the channel behind it, and a Subscription to one that never was ready can be deleted', async () => {
    await world.apply(channel('hopeless', { channelTemplate: { apiVersion: 'none.example.com/v1', kind: 'NoChannel' } }), subscription('to-hopeless', { kind: 'Channel', name: 'hopeless' }, { uri: 'http://127.0.0.1:1/' }));
    const waiting = await world.until('the condition', 'subscription', 'to-hopeless', (object) => conditionOf(object, 'ReferencesResolved') !== undefined);
    expect(conditionOf(waiting, 'ReferencesResolved')).toMatchObject({ status: 'Unknown', reason: 'ChannelReferenceFailed' });
    await world.kubectl(['delete', 'subscription', 'to-hopeless']);
    await world.kubectl(['delete', 'channels.messaging.knative.dev', 'hopeless', 'generic']);
    await world.untilGone('kafkachannel', 'generic');
    await world.untilTopicGone(topicOf('generic'));
  });
});

describe('what somebody has changed by hand', () => {
  const channel = 'mended';
  const patched = (kind: string, name: string, patch: object, ...args: readonly string[]) => world.kubectl(['patch', kind, name, '--type=merge', '-p', JSON.stringify(patch), ...args]);
  const nameOfDispatcher = async () => (await world.list('deployments', '-n', systemNamespace)).find(({ metadata }) => metadata.annotations?.['kafka.eventing.knative.dev/channel'] === `default/${channel}`)!.metadata.name;

  beforeAll(async () => {
    await world.apply(kafkaChannel(channel), subscription(channel, channel, { uri: 'http://127.0.0.1:1/mended' }));
    await world.untilReady('subscription', channel);
  });

  it.each<[string, string, object]>([
    ['the address of a channel', 'kafkachannel', { address: { url: 'http://elsewhere.example.com' } }],
    ['what a channel says of its subscribers', 'kafkachannel', { subscribers: [] }],
    ['the conditions of a channel', 'kafkachannel', { conditions: null }],
    ['the conditions of a Subscription', 'subscription', { conditions: null }],
    ['where a Subscription was resolved to', 'subscription', { physicalSubscription: { subscriberUri: 'http://elsewhere.example.com' } }],
  ])('is put right: %s', async (_what, kind, status) => {
    const before = await world.untilReady(kind, channel);
    await patched(kind, channel, { status }, '--subresource=status');
    const withoutTimes = (object: ClusterObject): unknown => JSON.parse(JSON.stringify(object.status, (key, value: unknown) => (key === 'lastTransitionTime' ? undefined : value)));
    await world.until('the status as it was', kind, channel, (object) => JSON.stringify(withoutTimes(object)) === JSON.stringify(withoutTimes(before)));
  });

  it.each(['kafkachannel', 'subscription'])('is put right: the finalizer of a %s, and its annotation', async (kind) => {
    const { metadata } = await world.untilReady(kind, channel);
    await patched(kind, channel, { metadata: { finalizers: null, annotations: { 'messaging.knative.dev/subscribable': null } } });
    await world.until('both again', kind, channel, ({ metadata: now }) => JSON.stringify(now.finalizers) === JSON.stringify(metadata.finalizers) && now.annotations?.['messaging.knative.dev/subscribable'] === metadata.annotations?.['messaging.knative.dev/subscribable']);
  });

  it('is put right: the entry of a Subscription in its channel', async () => {
    const { spec } = await ready(channel);
    const subscribers = spec!.subscribers!.map((entry) => ({ ...entry, subscriberUri: 'http://elsewhere.example.com' }));
    await patched('kafkachannel', channel, { spec: { subscribers } }, '--as', `system:serviceaccount:${systemNamespace}:kafka-controller`);
    await world.until('the entry as it was', 'kafkachannel', channel, (object) => JSON.stringify(object.spec?.subscribers) === JSON.stringify(spec!.subscribers));
  });

  it.each([
    ['deployment', 'kafka-channel-receiver'],
    ['service', 'kafka-channel-receiver'],
    ['deployment', 'dispatcher'],
  ])('is put right: the %s of the %s, which was deleted', async (kind, of) => {
    const name = of === 'dispatcher' ? await nameOfDispatcher() : of;
    const { uid } = (await world.get(kind, name, systemNamespace))!.metadata;
    await world.kubectl(['delete', kind, name, '-n', systemNamespace]);
    await world.until('another one', kind, name, ({ metadata }) => metadata.uid !== uid, systemNamespace);
  });

  it('is put right: a topic that was deleted; its consumer groups have offsets again', async () => {
    await controller.process.stop();
    controller = await world.controller({ env: { TOPIC_RECHECK: '1s' } });
    const { uid } = (await world.untilReady('subscription', channel)).metadata;
    await world.admin.deleteTopic(topicOf(channel));
    await waitFor('another topic, with offsets', async () => (await world.admin.listTopics()).includes(topicOf(channel)) && (await world.admin.groupLag(`kafka.default.${channel}.${uid}`, topicOf(channel)))[0]?.commitOffset === 0n, { timeoutMs: patienceMs });
    await world.untilReady('subscription', channel);
  });

  it('was not written by anybody else: one field manager', async () => {
    const managersOf = async (kind: string, name: string, namespace: string, subresource?: string): Promise<readonly string[]> => {
      const { metadata } = JSON.parse(await world.kubectl(['get', kind, name, '-n', namespace, '-o', 'json', '--show-managed-fields'])) as { metadata: { managedFields: readonly { manager: string; subresource?: string }[] } };
      return [...new Set(metadata.managedFields.filter((entry) => entry.subresource === subresource).map(({ manager }) => manager))];
    };
    await world.apply(kafkaChannel('untouched'), subscription('untouched', 'untouched', { uri: 'http://127.0.0.1:1/' }));
    await world.untilReady('subscription', 'untouched');
    for (const kind of ['kafkachannel', 'subscription']) expect(await managersOf(kind, 'untouched', 'default', 'status'), kind).toEqual(['kafka-controller']);
    expect(await managersOf('service', 'untouched-kn-channel', 'default')).toEqual(['kafka-controller']);
    expect(await managersOf('deployment', 'kafka-channel-receiver', systemNamespace)).toEqual(['kafka-controller']);
  });
});

describe('the controller', () => {
  it('CP-30: leaves Subscriptions alone while a Deployment eventing-controller wants pods, and takes them when it does not', async () => {
    const labels = { app: 'eventing-controller' };
    await world.apply({
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'eventing-controller', namespace: systemNamespace },
      spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: 'controller', image: 'somebody-elses:1' }] } } },
    });
    await logged(controller, { message: 'Subscriptions and Channels are left to Knative Eventing', reason: `Deployment ${systemNamespace}/eventing-controller is there` });
    await world.apply(subscription('not-ours', 'after-it', { uri: 'http://127.0.0.1:1/' }), kafkaChannel('after-it'));
    await ready('after-it');
    const { metadata, status } = (await world.get('subscription', 'not-ours'))!;
    expect([metadata.finalizers, status]).toEqual([undefined, undefined]);
    await world.kubectl(['scale', 'deployment', 'eventing-controller', '-n', systemNamespace, '--replicas=0']);
    await world.untilReady('subscription', 'not-ours');
    await world.kubectl(['delete', 'deployment', 'eventing-controller', '-n', systemNamespace]);
  });

  it('and its manifest start every process with settings that it knows and takes', async () => {
    const tables: Readonly<Record<string, SettingsTable>> = { 'kafka-controller': controllerSettings, 'channel-receiver': receiverSettings, dispatcher: dispatcherSettings };
    const seen = new Set<string>();
    for (const { metadata, spec } of await world.list('deployments', '-n', systemNamespace)) {
      const component = metadata.labels?.['app.kubernetes.io/component'] ?? '';
      const { template } = spec as unknown as { template: { spec: { containers: [{ env: { name: string; value?: string }[] }] } } };
      // The name of a pod or of its namespace, where the value comes from there.
      const env = Object.fromEntries(template.spec.containers[0].env.map(({ name, value = 'a-name' }) => [name, value]));
      const table = tables[component]!;
      const known = Object.values(table).map((setting) => setting.env);
      expect(Object.keys(env).filter((name) => !known.includes(name)), metadata.name).toEqual([]);
      expect(() => readSettings(table, env)).not.toThrow();
      seen.add(component);
    }
    expect([...seen].sort()).toEqual(Object.keys(tables).sort());
  });

  it('writes nothing when it starts again and all is as it should be', async () => {
    const versions = async () => (await Promise.all(['kafkachannels', 'subscriptions', 'channels.messaging.knative.dev', 'services', 'deployments'].map((kind) => world.list(kind, '-A'))))
      .flat().map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name} ${metadata.resourceVersion}`);
    await waitFor('an idle controller', async () => (await metric(controller, 'knative_kafka_workqueue_depth')) === 0, { timeoutMs: patienceMs });
    await controller.process.stop();
    const before = await versions();
    controller = await world.controller();
    await waitFor('everything to be looked at', async () => (await metric(controller, 'knative_kafka_reconcile_duration_seconds_count', { controller: 'kafka-channel' })) >= (await world.list('kafkachannels', '-A')).length, { timeoutMs: patienceMs });
    await waitFor('an idle controller', async () => (await metric(controller, 'knative_kafka_workqueue_depth')) === 0, { timeoutMs: patienceMs });
    expect(await versions()).toEqual(before);
  });

  it('makes pods as its settings say, and follows when they change, but not where somebody else has scaled', async () => {
    const spec = async (name: string) => (await world.get('deployment', name, systemNamespace))?.spec as unknown as { replicas: number; template: { spec: { nodeSelector?: object; containers: [{ resources: object }] } } };
    const receiver = 'kafka-channel-receiver';
    const settle = async (pod: object, check: (found: Awaited<ReturnType<typeof spec>>) => boolean) => {
      await controller.process.stop();
      controller = await world.controller({ env: { RECEIVER_POD: JSON.stringify(pod) } });
      await waitFor(`a receiver as ${JSON.stringify(pod)} says`, async () => check(await spec(receiver)), { timeoutMs: patienceMs, everyMs: 200 });
    };
    const pod = { replicas: 3, nodeSelector: { disk: 'fast' }, resources: { limits: { memory: '1024Mi' } } };
    await settle(pod, ({ replicas, template }) => replicas === 3 && JSON.stringify(template.spec.nodeSelector) === '{"disk":"fast"}');
    expect((await spec(receiver)).template.spec.containers[0].resources).toEqual({ limits: { memory: '1Gi' } });
    await world.kubectl(['scale', 'deployment', receiver, '-n', systemNamespace, '--replicas=5']);
    await settle({ replicas: 4 }, ({ template }) => template.spec.nodeSelector === undefined);
    expect((await spec(receiver)).replicas).toBe(5);
    await world.kubectl(['scale', 'deployment', receiver, '-n', systemNamespace, '--replicas=4']);
    await settle({}, ({ replicas }) => replicas === 1);
  });

  it('hands over to another one, which goes on', async () => {
    const second = await world.controller();
    await controller.process.stop();
    await world.apply(kafkaChannel('after-handover'));
    await ready('after-handover');
    controller = second;
  });

  it('CP-28: ends the deletion of a channel when its Kafka is gone for good, and tells what it left', async () => {
    await world.apply(kafkaChannel('abandoned'));
    const channel = await ready('abandoned');
    await world.kafka.brokers[0]!.kill();
    try {
      await world.kubectl(['delete', 'kafkachannel', 'abandoned', '--timeout=90s']);
      await waitFor('an Event that tells it', async () => (await eventsOf(channel)).some((event) => event['reason'] === 'KafkaObjectsLeft' && String(event['note']).includes(topicOf('abandoned'))), { timeoutMs: patienceMs });
    } finally {
      await world.kafka.brokers[0]!.start();
    }
  });
});
