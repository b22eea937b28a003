/**
 * Changing over from eventing-kafka-broker in place, and from knative-kafka with offsets carried over, by the commands of
 * docs/MIGRATING.md: beside the real controllers of Knative Eventing, with topics, consumer groups and objects as the
 * other leaves them.
 *
 * No node runs here, so what a StatefulSet's pods would do is done by a member of the same consumer group, of the same
 * (classic) protocol, and the objects that only have to be out of the way are shells with the right names.
 */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RecordBatch } from '@knative-kafka/common/core';
import { createKafkaClient, type KafkaClient } from '@knative-kafka/common/io';
import { ensureKafkaJars, startKnativeEventing, waitFor, type KnativeEventing } from '@knative-kafka/local-cluster';
import { sendEvents, type Subscriber } from '../local/harness.ts';
import { ClusterWorld, conditionOf, isReady, kafkaChannel, patienceMs, subscription, systemNamespace, type ClusterObject } from './cluster-world.ts';
import { root } from './install.ts';
import { PageCommands } from './page-commands.ts';

/** A topic of the other, and how many events it has stored, delivered and committed in each partition. */
interface Inheritance {
  readonly topic: string;
  readonly partitions: number;
  readonly stored: number;
  readonly delivered: number;
  /** How it names the content type of an event's data. */
  readonly contentTypeHeader: string;
}
const orders: Inheritance = { topic: 'knative-messaging-kafka.default.orders', partitions: 3, stored: 20, delivered: 8, contentTypeHeader: 'content-type' };
const legacy: Inheritance = { topic: 'default.legacy', partitions: 4, stored: 10, delivered: 3, contentTypeHeader: 'ce_datacontenttype' };
const secretName = 'kafka-auth';
const pageBrokers = 'my-cluster-kafka-bootstrap.kafka:9093';

let world: ClusterWorld;
let eventing: KnativeEventing;
let kafka: KafkaClient;
let page: PageCommands;
let group: string;
let subscriber: Subscriber;
/** Of receiver and dispatcher: the Kafka Secret as a node would mount it. */
let env: Readonly<Record<string, string>>;

beforeAll(async () => {
  world = await ClusterWorld.start({ isBare: true });
  const client = { brokers: world.kafka.bootstrap.split(','), clientId: 'eventing-kafka-broker', requestTimeoutMs: 10_000, connectTimeoutMs: 3_000 };
  kafka = createKafkaClient(client, 'kafkajs', 'kafkajs');
  eventing = await startKnativeEventing({ kubernetes: world.kubernetes, logFile: join(world.dataDir, 'knative-eventing.log'), onProgress: (text) => void process.stderr.write(`${text}\n`) });
  subscriber = await world.subscriber();
  symlinkSync(join(root, 'helm'), join(world.dataDir, 'helm'));
  page = new PageCommands('docs/MIGRATING.md', world.kubernetes, { folder: world.dataDir, replaced: { [pageBrokers]: world.kafka.bootstrap }, programs: [await bringKafkaTools()] });
  const folder = world.secretFolder(secretName);
  mkdirSync(folder, { recursive: true });
  for (const [key, value] of Object.entries({ protocol: 'PLAINTEXT', brokers: world.kafka.bootstrap })) writeFileSync(join(folder, key), value);
  env = { KAFKA_SECRET: secretName, KAFKA_SECRET_DIR: folder };
  await bringChannelOfPeer();
});

afterAll(async () => {
  await eventing.stop();
  await world.stop();
});

describe('from eventing-kafka-broker to here and back', () => {
  it('is refused by the chart as long as nobody decides', async () => {
    const { code, stderr } = await world.kubernetes.helm(['install', 'knative-kafka', join(root, 'helm/knative-kafka'), '--namespace', systemNamespace]);
    expect(code).not.toBe(0);
    expect(stderr).toContain('eventing-kafka-broker');
  });

  it('goes on after the committed offsets, on the same topic and in the same group, and nothing comes twice', async () => {
    const before = await world.get('subscription', 'orders');
    for (const step of ['secret', 'stop', 'install']) await page.run(step);
    const controller = await world.controller();
    const receiver = await world.receiver({ env });
    const shown = await page.run('check');
    expect(shown).toContain(orders.topic);
    const channel = await world.untilReady('kafkachannel', 'orders');
    expect(channel.status?.['annotations']).toMatchObject({ 'default.topic': orders.topic, 'kafka.eventing.knative.dev/kafka-secret': secretName });
    expect(channel.status?.subscribers?.map(({ ready }) => ready)).toEqual(['True']);
    expect((await world.get('service', 'orders-kn-channel'))?.spec?.externalName).toBe('kafka-channel-receiver.knative-eventing.svc.cluster.local');
    expect((await world.list('events.events.k8s.io', '-A')).map((event) => event['reason'])).not.toContain('TopicCreated');

    const dispatcher = await world.dispatcher('default/orders', { env });
    const left = idsLeft(orders);
    await subscriber.untilAccepted(left);
    const { acknowledged } = await sendEvents({ urls: [receiver.url('orders')], count: 60, keys: 6 });
    await subscriber.untilAccepted(acknowledged);
    expect(new Set(subscriber.accepted.map(({ id }) => id))).toEqual(new Set([...left, ...acknowledged]));
    expect(subscriber.duplicates).toBe(0);
    const [first] = subscriber.accepted;
    expect(first?.headers).toMatchObject({ 'ce-type': 'order.placed', 'ce-source': '/peer', 'content-type': 'application/json' });
    expect(JSON.parse(first?.body.toString() ?? '')).toEqual({ id: first?.id });

    const after = await world.get('subscription', 'orders');
    expect(isReady(after!)).toBe(true);
    expect(conditionOf(after, 'Ready')).toMatchObject({ status: 'True' });
    expect(after?.metadata.uid).toBe(before?.metadata.uid);
    await waitFor('all of it committed', async () => (await world.admin.groupLag(group, orders.topic)).every(({ commitOffset, endOffset }) => commitOffset === endOffset), { timeoutMs: patienceMs });
    for (const { process: ended } of [dispatcher, receiver, controller]) await ended.stop();
  });

  it('leaves the group so that eventing-kafka-broker could go on where it ends', async () => {
    await page.run('back');
    expect(await world.get('kafkachannels.messaging.knative.dev', 'orders')).toBeDefined();
    expect(await world.get('subscription', 'orders')).toBeDefined();
    await store(orders);
    expect(await read(orders, group, orders.stored)).toBe(orders.partitions * orders.stored);
  });

  it('can be tidied up, whatever finalizers are left', async () => {
    await page.run('tidy');
    await waitFor('the definitions of ConsumerGroups and Consumers gone', async () => {
      const crds = (await world.list('crds')).map(({ metadata }) => metadata.name);
      return !crds.some((name) => name.endsWith('.internal.kafka.eventing.knative.dev')) && crds.includes('kafkachannels.messaging.knative.dev');
    }, { timeoutMs: patienceMs });
    expect(await world.get('kafkachannels.messaging.knative.dev', 'orders')).toBeDefined();
  });
});

describe('from knative-kafka', () => {
  it('carries offsets over to the group that the channel has here', async () => {
    const oldUid = 'e1a5f1c2-2020-0508-98fa-000000000001';
    await bringTopic(legacy, `kafka.${oldUid}`);
    await page.run('install-with-template');
    // ServiceAccounts of a new release: tokens of the old ones are worth nothing.
    const kubeconfigOf = (serviceAccount: string): Promise<string> => world.kubernetes.kubeconfigFor({ namespace: systemNamespace, serviceAccount });
    const kubeconfig = await kubeconfigOf('kafka-controller');
    let controller = await world.controller({ kubeconfig });
    await world.apply(kafkaChannel('legacy', { numPartitions: legacy.partitions }), subscription('legacy', 'legacy', { uri: subscriber.uri }));
    const channel = await world.untilReady('kafkachannel', 'legacy');
    expect(channel.status?.['annotations']).toMatchObject({ 'default.topic': legacy.topic });
    const { metadata: { uid: newUid = '' } } = await world.untilReady('subscription', 'legacy');
    await controller.process.stop();
    await page.run('stop-dispatchers');
    await page.run('copy-offsets', { KAFKA: world.kafka.bootstrap, OLD: oldUid, NEW: newUid, CHANNEL: legacy.topic });
    await page.run('start-controller');
    controller = await world.controller({ kubeconfig });
    await world.untilReady('subscription', 'legacy');
    const dispatchers = async (): Promise<readonly ClusterObject[]> => world.list('deployments', '-n', systemNamespace, '-l', 'app.kubernetes.io/component=dispatcher');
    await waitFor('the controller to start the dispatcher again', async () => (await dispatchers()).some(({ metadata: { name }, spec }) => name.startsWith('legacy-') && spec?.replicas === 1), { timeoutMs: patienceMs });

    subscriber.accepted.length = 0;
    const dispatcher = await world.dispatcher('default/legacy', { env: { ...env, KUBECONFIG: await kubeconfigOf('kafka-channel-dispatcher') } });
    const left = idsLeft(legacy);
    await subscriber.untilAccepted(left);
    await waitFor('all of it committed', async () => (await world.admin.groupLag(`kafka.default.legacy.${newUid}`, legacy.topic)).every(({ commitOffset, endOffset }) => commitOffset === endOffset), { timeoutMs: patienceMs });
    expect(new Set(subscriber.accepted.map(({ id }) => id))).toEqual(left);
    expect(subscriber.duplicates).toBe(0);
    expect(subscriber.accepted[0]?.headers['content-type']).toBe('application/json');
    for (const { process: ended } of [dispatcher, controller]) await ended.stop();
  });
});

// --- eventing-kafka-broker -------------------------------------------------------------------------------------------

/** A channel with a Subscription, and events of which its dispatcher has delivered and committed a part. */
async function bringChannelOfPeer(): Promise<void> {
  await world.apply(...installationOfPeer());
  await world.kubectl(['wait', '--for=condition=Established', 'crd', '--all', `--timeout=${patienceMs}ms`]);
  await world.apply({ apiVersion: 'internal.kafka.eventing.knative.dev/v1alpha1', kind: 'ConsumerGroup', metadata: { name: 'of-orders', namespace: 'default', finalizers: ['consumergroups.internal.kafka.eventing.knative.dev'] } });
  await world.apply({
    apiVersion: 'messaging.knative.dev/v1beta1', kind: 'KafkaChannel',
    metadata: { name: 'orders', namespace: 'default', annotations: { 'messaging.knative.dev/subscribable': 'v1' }, finalizers: ['kafkachannels.messaging.knative.dev'] },
    spec: { numPartitions: orders.partitions, replicationFactor: 1, retentionDuration: 'PT168H' },
  });
  const { metadata: { uid = '' } } = await channelOfPeer();
  const owner = { apiVersion: 'messaging.knative.dev/v1beta1', kind: 'KafkaChannel', name: 'orders', uid, controller: true, blockOwnerDeletion: true };
  await world.apply({
    apiVersion: 'v1', kind: 'Service',
    metadata: { name: 'orders-kn-channel', namespace: 'default', labels: { 'messaging.knative.dev/role': 'kafka-channel' }, ownerReferences: [owner] },
    spec: { type: 'ExternalName', externalName: 'kafka-channel-ingress.knative-eventing.svc.cluster.local', ports: [{ name: 'http', port: 80, targetPort: 80 }] },
  });
  await tellStatusOfPeer([]);
  // By the version that is stored: there is nobody who converts.
  await world.apply(subscription('orders', { apiVersion: 'messaging.knative.dev/v1beta1', kind: 'KafkaChannel', name: 'orders' }, { uri: subscriber.uri }));
  const entries = await waitFor('Knative Eventing to enter the subscriber', async () => (await channelOfPeer()).spec?.subscribers, { timeoutMs: patienceMs });
  await tellStatusOfPeer(entries.map((entry) => ({ uid: entry.uid, observedGeneration: entry.generation, ready: 'True' })));
  const { metadata } = await world.untilReady('subscription', 'orders');
  group = `kafka.default.orders.${metadata.uid ?? ''}`;

  await bringTopic(orders, group);
}

/** The channel by the version that is stored, which can be read without its webhook. */
async function channelOfPeer(): Promise<ClusterObject> {
  return JSON.parse(await world.kubectl(['get', 'kafkachannels.v1beta1.messaging.knative.dev', 'orders', '-n', 'default', '-o', 'json'])) as ClusterObject;
}

/** Its status, with its conditions, its reasons and the facts that it keeps. */
async function tellStatusOfPeer(subscribers: readonly object[]): Promise<void> {
  const { metadata: { generation } } = await channelOfPeer();
  const address = { name: 'http', url: 'http://orders-kn-channel.default.svc.cluster.local' };
  const conditions = [
    ...['Addressable', 'ConfigParsed', 'ConfigMapUpdated', 'ProbeSucceeded', 'Ready', 'Subscribers'].map((type) => ({ type, status: 'True' })),
    { type: 'TopicReady', status: 'True', reason: `Topic ${orders.topic} created` },
  ];
  const annotations = { 'default.topic': orders.topic, 'bootstrap.servers': world.kafka.bootstrap, 'default.topic.partitions': '3' };
  const status = { observedGeneration: generation, address, addresses: [address], annotations, conditions, subscribers };
  await world.kubectl(['patch', 'kafkachannels.v1beta1.messaging.knative.dev', 'orders', '-n', 'default', '--subresource=status', '--type=merge', '-p', JSON.stringify({ status })]);
}

// --- Kafka, as the other uses it ---------------------------------------------------------------------------------------

function idsOf({ topic, partitions, stored }: Inheritance): readonly { readonly id: string; readonly partition: number; readonly offset: number }[] {
  return Array.from({ length: partitions * stored }, (_, n) => ({ id: `${topic}-${n}`, partition: n % partitions, offset: Math.floor(n / partitions) }));
}

/** Those that nobody has delivered yet. */
function idsLeft(inheritance: Inheritance): ReadonlySet<string> {
  return new Set(idsOf(inheritance).filter(({ offset }) => offset >= inheritance.delivered).map(({ id }) => id));
}

/** The topic with its events, and a consumer group that has delivered and committed a part of them. */
async function bringTopic(inheritance: Inheritance, groupId: string): Promise<void> {
  const { topic, partitions, stored, delivered } = inheritance;
  await world.admin.createTopic({ topic, partitions, replicationFactor: 1, config: { 'retention.ms': '604800000' } });
  await store(inheritance);
  // It began before the events came.
  await waitFor('offsets to read from', () => world.admin.commitInitialOffsets(groupId, topic, 'earliest'), { timeoutMs: patienceMs });
  expect(await read(inheritance, groupId, delivered)).toBe(partitions * stored);
}

/** `stored` more events in each partition. */
async function store(inheritance: Inheritance): Promise<void> {
  const { topic, partitions, contentTypeHeader } = inheritance;
  const producer = kafka.createProducer();
  const leaders = await waitFor('the topic to have leaders', async () => {
    const found = (await producer.topicMetadata(topic)).leaders;
    return found.length === partitions && found.every((leader) => leader >= 0) ? found : undefined;
  }, { timeoutMs: patienceMs });
  for (const [partition, leader] of leaders.entries()) {
    const records = idsOf(inheritance).filter((event) => event.partition === partition).map(({ id }) => ({
      key: null,
      value: Buffer.from(JSON.stringify({ id })),
      headers: Object.entries({ [contentTypeHeader]: 'application/json', ce_specversion: '1.0', ce_id: id, ce_source: '/peer', ce_type: 'order.placed' }),
      timestampMs: Date.now(),
    }));
    // A leader that has just been chosen may not know it yet, and says that nothing was stored.
    await waitFor('its events to be stored', async () => {
      const [result] = await producer.produce(leader, [{ topic, partition, batch: RecordBatch.of(records) }]);
      if (result !== undefined && 'fault' in result) throw result.fault;
      return true;
    }, { timeoutMs: patienceMs });
  }
  await producer.close();
}

/**
 * Reads to the end by the classic group protocol, and commits what it would have delivered.
 *
 * @param count of the records that come, of each partition, to commit
 * @returns how many records came
 */
async function read({ topic, partitions, stored }: Inheritance, groupId: string, count: number): Promise<number> {
  const came = new Map<number, bigint[]>();
  const total = (): number => [...came.values()].reduce((sum, { length }) => sum + length, 0);
  const member = kafka.createGroupMember({
    groupId,
    topics: [topic],
    fetchBytesPerPartition: 1024 * 1024,
    sessionTimeoutMs: 6_000,
    revokeTimeoutMs: 1_000,
    handlers: {
      rebalancing: () => undefined,
      revoking: () => Promise.resolve(),
      assigned: () => undefined,
      records: ({ partition }, records) => came.set(partition, [...(came.get(partition) ?? []), ...records.map(({ offset }) => offset)]),
      offsetReset: () => undefined,
      lost: () => undefined,
    },
  });
  await member.start();
  await waitFor('every record', () => total() >= partitions * stored, { timeoutMs: patienceMs });
  await member.commit([...came].map(([partition, offsets]) => ({ topic, partition, commitOffset: offsets[count - 1]! + 1n })));
  await member.close();
  return total();
}

/** @returns a folder with `kafka-consumer-groups.sh`, as Kafka's own archive has it */
async function bringKafkaTools(): Promise<string> {
  const folder = join(world.dataDir, 'kafka-tools');
  const jars = await ensureKafkaJars({ tools: true });
  mkdirSync(folder);
  const script = `#!/bin/sh\nexec java -Xmx256m -cp '${jars}/*' org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "$@"\n`;
  writeFileSync(join(folder, 'kafka-consumer-groups.sh'), script, { mode: 0o755 });
  return folder;
}

// --- its objects -----------------------------------------------------------------------------------------------------

/** What stands in the way of another installation, as far as names go; images never run here. */
function installationOfPeer(): readonly ClusterObject[] {
  const inNamespace = (kind: string, apiVersion: string, name: string, rest: object = {}): ClusterObject => ({ apiVersion, kind, metadata: { name, namespace: systemNamespace }, ...rest });
  const workload = (kind: string, name: string): ClusterObject => inNamespace(kind, 'apps/v1', name, {
    spec: { replicas: 0, ...(kind === 'StatefulSet' ? { serviceName: name } : {}), selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'peer' }] } } },
  });
  const webhook = (kind: string, name: string): ClusterObject => ({
    apiVersion: 'admissionregistration.k8s.io/v1', kind, metadata: { name },
    webhooks: [{ name, admissionReviewVersions: ['v1'], sideEffects: 'None', failurePolicy: 'Fail', clientConfig: { service: { name: 'kafka-webhook-eventing', namespace: systemNamespace } } }],
  });
  const definition = (group: string, kind: string, versions: readonly string[], rest: object = {}): ClusterObject => ({
    apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition',
    metadata: { name: `${kind.toLowerCase()}s.${group}`, labels: { 'knative.dev/crd-install': 'true', 'messaging.knative.dev/subscribable': 'true', 'duck.knative.dev/addressable': 'true' } },
    spec: {
      group, scope: 'Namespaced', names: { kind, plural: `${kind.toLowerCase()}s`, singular: kind.toLowerCase() },
      versions: versions.map((name, index) => ({ name, served: true, storage: index === 0, subresources: { status: {} }, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } })),
      ...rest,
    },
  });
  const internal = 'internal.kafka.eventing.knative.dev';
  const conversion = { strategy: 'Webhook', webhook: { conversionReviewVersions: ['v1'], clientConfig: { service: { name: 'kafka-webhook-eventing', namespace: systemNamespace, path: '/resource-conversion' } } } };
  const port = { ports: [{ port: 80 }] };
  return [
    definition('messaging.knative.dev', 'KafkaChannel', ['v1beta1', 'v1'], { conversion }),
    definition(internal, 'ConsumerGroup', ['v1alpha1']),
    definition(internal, 'Consumer', ['v1alpha1']),
    inNamespace('ServiceAccount', 'v1', 'kafka-controller'),
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'kafka-channelable-manipulator', labels: { 'duck.knative.dev/channelable': 'true' } }, rules: [{ apiGroups: ['messaging.knative.dev'], resources: ['kafkachannels', 'kafkachannels/status'], verbs: ['create', 'get', 'list', 'watch', 'update', 'patch'] }] },
    ...['kafka-controller', 'kafka-webhook-eventing', 'kafka-channel-receiver'].map((name) => workload('Deployment', name)),
    workload('StatefulSet', 'kafka-channel-dispatcher'),
    webhook('MutatingWebhookConfiguration', 'defaulting.webhook.kafka.eventing.knative.dev'),
    webhook('MutatingWebhookConfiguration', 'pods.defaulting.webhook.kafka.eventing.knative.dev'),
    webhook('ValidatingWebhookConfiguration', 'validation.webhook.kafka.eventing.knative.dev'),
    ...['kafka-channel-ingress', 'kafka-webhook-eventing'].map((name) => inNamespace('Service', 'v1', name, { spec: port })),
    inNamespace('ConfigMap', 'v1', 'config-kafka-features', { data: { 'dispatcher-rate-limiter': 'disabled' } }),
    inNamespace('ConfigMap', 'v1', 'config-kafka-channel-data-plane', { data: {} }),
    inNamespace('ConfigMap', 'v1', 'kafka-channel-config', { data: { 'bootstrap.servers': pageBrokers, 'auth.secret.ref.name': secretName, 'auth.secret.ref.namespace': systemNamespace } }),
    inNamespace('Secret', 'v1', secretName, { stringData: { protocol: 'PLAINTEXT' } }),
  ];
}
