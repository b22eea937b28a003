/**
 * KafkaSources from `kubectl apply` to Ready and away again: the controller on a real API server and a real Kafka. There
 * is no node: pods are objects that a test makes, and says of them what a kubelet would.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readSettings, type PodPlacement } from '@knative-kafka/common/core';
import { createKafkaClient, createKubernetesApi, Registry, resourceTypes, type Admin, type ClosableKubernetesApi, type GroupMember, type KubernetesObject, type Logger, type ResourceType } from '@knative-kafka/common/io';
import { freePort, startKubernetes, startSecuredKafka, waitFor, type KubernetesCluster, type SecuredKafka } from '@knative-kafka/local-cluster';
import { settings } from './config.ts';
import type { KafkaSourceObject, StatefulSetObject } from './core/objects.ts';
import { startController, type RunningController } from './start-controller.ts';

const systemNamespace = 'knative-eventing';
const timeoutMs = 60_000;
const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, setLevel: () => undefined };
const namespaceType: ResourceType = { group: '', version: 'v1', kind: 'Namespace', plural: 'namespaces', isNamespaced: false };
const serviceAccountType: ResourceType = { group: '', version: 'v1', kind: 'ServiceAccount', plural: 'serviceaccounts', isNamespaced: true };

interface Running {
  readonly controller: RunningController;
  readonly registry: Registry;
  stop(): Promise<void>;
}

let dataDir: string;
let cluster: KubernetesCluster;
let kafka: SecuredKafka;
let api: ClosableKubernetesApi;
let admin: Admin;
let running: Running;
let controllers = 0;
let namespaces = 0;
/** A new one for each test. */
let namespace: string;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-sources-'));
  [cluster, kafka] = await Promise.all([startKubernetes({ dataDir: join(dataDir, 'kubernetes'), controllerManager: false }), startSecuredKafka({ dataDir: join(dataDir, 'kafka') })]);
  api = connect('test');
  admin = client().createAdmin();
  await api.create(namespaceType, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: systemNamespace } });
  for (const name of ['default', 'kafka-source-dispatcher']) await api.create(serviceAccountType, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: systemNamespace } });
});

afterAll(async () => {
  await running.stop();
  await api.close();
  await Promise.all([cluster.stop(), kafka.stop()]);
  await rm(dataDir, { recursive: true, force: true });
});

beforeEach(async () => {
  namespace = `shop-${++namespaces}`;
  await api.create(namespaceType, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
});

function client() {
  return createKafkaClient({ brokers: [kafka.bootstrap.plaintext], clientId: 'test', requestTimeoutMs: 10_000, connectTimeoutMs: 3_000 });
}

function connect(userAgent: string, fieldManager = userAgent): ClosableKubernetesApi {
  return createKubernetesApi({ kubeconfig: cluster.kubeconfig, userAgent, fieldManager, requestTimeoutMs: 30_000, requestsPerSecond: 1_000, burst: 1_000 });
}

async function kubectl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await cluster.kubectl(args);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

function start(env: Readonly<Record<string, string>> = {}): Running {
  const registry = new Registry();
  const [ownApi, leaseApi] = [connect('controller', 'kafka-controller'), connect('lease', 'kafka-controller')];
  const config = readSettings(settings, { POD_NAME: `controller-${++controllers}`, SHRINK_DELAY: '200ms', POD_PATIENCE: '2s', DELETION_PATIENCE: '4s', KAFKA_CONNECT_TIMEOUT: '1s', KAFKA_REQUEST_TIMEOUT: '3s', ...env });
  const controller = startController(config, { api: ownApi, leaseApi, eventApi: ownApi, registry, log: silent });
  return {
    controller,
    registry,
    stop: async () => {
      await controller.stop();
      await Promise.all([ownApi.close(), leaseApi.close()]);
    },
  };
}

/** Another controller in the place of the one that runs. */
async function restart(env: Readonly<Record<string, string>> = {}): Promise<void> {
  await running.stop();
  running = start(env);
}

interface SourceSpec {
  readonly [field: string]: unknown;
}

async function apply(name: string, spec: SourceSpec, metadata: Partial<KubernetesObject['metadata']> = {}): Promise<KafkaSourceObject> {
  const { sink = { uri: 'http://sink.example.com/' }, bootstrapServers = [kafka.bootstrap.plaintext], topics = [name], ...rest } = spec;
  return api.apply(resourceTypes.kafkaSource, { apiVersion: 'sources.knative.dev/v1', kind: 'KafkaSource', metadata: { name, namespace, ...metadata }, spec: { sink, bootstrapServers, topics, ...rest } } as KafkaSourceObject);
}

const createTopic = (topic: string, partitions = 2) => admin.createTopic({ topic, partitions, replicationFactor: 1, config: {} });
const get = (name: string) => api.get<KafkaSourceObject>(resourceTypes.kafkaSource, { namespace, name });
const conditionOf = (object: KafkaSourceObject | undefined, type: string) => object?.status?.conditions?.find((condition) => condition.type === type);
const isReady = (object: KafkaSourceObject): boolean => conditionOf(object, 'Ready')?.status === 'True' && object.status?.observedGeneration === object.metadata.generation;
const replicas = async () => (await api.get<StatefulSetObject>(resourceTypes.statefulSet, { namespace: systemNamespace, name: 'kafka-source-dispatcher' }))?.spec?.replicas;
const podName = (ordinal: number): string => `kafka-source-dispatcher-${ordinal}`;
const countsOf = (placements: readonly PodPlacement[] = []) => Object.fromEntries(placements.map(({ podName: name, vreplicas }) => [name.slice('kafka-source-dispatcher-'.length), vreplicas]));

async function until(fact: string, name: string, check: (object: KafkaSourceObject) => boolean): Promise<KafkaSourceObject> {
  let last: KafkaSourceObject | undefined;
  try {
    return await waitFor(fact, async () => {
      last = await get(name);
      return last !== undefined && check(last) ? last : undefined;
    }, { timeoutMs, everyMs: 50 });
  } catch (error) {
    throw new Error(`${(error as Error).message}: ${JSON.stringify(last?.status)}`, { cause: error });
  }
}

const untilReady = (name: string) => until('Ready', name, isReady);
const untilPlaced = (name: string, expected: Readonly<Record<number, number>>) => until(`to be on ${JSON.stringify(expected)}`, name, (object) => isReady(object) && JSON.stringify(countsOf(object.status?.placements)) === JSON.stringify(expected));
const untilReason = (name: string, type: string, reason: string) => until(`${type} ${reason}`, name, (object) => conditionOf(object, type)?.reason === reason);
const untilReplicas = (expected: number) => waitFor(`${expected} replicas`, async () => (await replicas()) === expected, { timeoutMs, everyMs: 50 });

async function untilGone(name: string): Promise<void> {
  await waitFor(`${name} to be gone`, async () => (await get(name)) === undefined, { timeoutMs, everyMs: 50 });
}

async function remove(...names: readonly string[]): Promise<void> {
  for (const name of names) await api.delete(resourceTypes.kafkaSource, { namespace, name });
  for (const name of names) await untilGone(name);
}

/** A pod of the StatefulSet, on a node, and Ready. */
async function makePod(ordinal: number): Promise<void> {
  const { spec } = (await api.get(resourceTypes.statefulSet, { namespace: systemNamespace, name: 'kafka-source-dispatcher' })) as unknown as { spec: { template: { metadata: { labels: Record<string, string> }; spec: object } } };
  const { metadata: { labels }, spec: podSpec } = spec.template;
  await api.create(resourceTypes.pod, { apiVersion: 'v1', kind: 'Pod', metadata: { name: podName(ordinal), namespace: systemNamespace, labels }, spec: { ...podSpec, nodeName: 'stand-in', automountServiceAccountToken: false } } as KubernetesObject);
  await sayReady(ordinal, true);
}

async function sayReady(ordinal: number, isPodReady: boolean): Promise<void> {
  await api.mergePatch(resourceTypes.pod, { namespace: systemNamespace, name: podName(ordinal) }, { status: { conditions: [{ type: 'Ready', status: isPodReady ? 'True' : 'False' }] } }, { subresource: 'status' });
}

const deletePod = (ordinal: number) => kubectl('delete', 'pod', podName(ordinal), '-n', systemNamespace, '--grace-period=0', '--force');

async function startMember(groupId: string, topics: readonly string[]): Promise<GroupMember> {
  const assigned = Promise.withResolvers<undefined>();
  const member = client().createGroupMember({
    groupId, topics, fetchBytesPerPartition: 1_000_000, sessionTimeoutMs: 10_000, revokeTimeoutMs: 1_000,
    handlers: {
      rebalancing: () => undefined, revoking: () => Promise.resolve(), records: () => undefined, offsetReset: () => undefined, lost: () => undefined,
      assigned: (partitions) => {
        if (partitions.length > 0) assigned.resolve(undefined);
      },
    },
  });
  await member.start();
  await assigned.promise;
  return member;
}

const commitOffsets = async (group: string, topic: string) => (await admin.groupLag(group, topic)).map(({ commitOffset }) => commitOffset);
const eventsOf = async ({ metadata: { uid } }: KubernetesObject) => (await api.list(resourceTypes.event, { namespace })).items.map((event) => event as unknown as { reason: string; note: string; regarding: { uid?: string } }).filter(({ regarding }) => regarding.uid === uid);

describe('a cluster that has no kind KafkaSource yet', () => {
  it('has a controller that is ready for channels, and takes sources once there is the kind', async () => {
    const folder = fileURLToPath(new URL('../../../helm/knative-kafka/files/crds', import.meta.url));
    for (const file of ['kafka-channel', 'subscription', 'channel']) await kubectl('apply', '-f', join(folder, `${file}.yaml`));
    running = start();
    await waitFor('caches of channels', () => running.controller.notReady().length === 0, { timeoutMs });
    await api.apply(resourceTypes.kafkaChannel, { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', metadata: { name: 'orders', namespace } });
    await waitFor('a channel that is looked after', async () => ((await api.get(resourceTypes.kafkaChannel, { namespace, name: 'orders' }))?.metadata.finalizers?.length ?? 0) > 0, { timeoutMs });
    expect(await replicas()).toBeUndefined();
    await kubectl('apply', '-f', join(folder, 'kafka-source.yaml'));
    await kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s');
    await waitFor('a StatefulSet without pods', async () => (await replicas()) === 0, { timeoutMs });
  });
});

describe('KafkaSource', () => {
  it('has its group named and its offsets committed, asks for a pod, and is Ready when there is one', async () => {
    await createTopic('first');
    await apply('first', { consumers: 3 });
    const waiting = await until('3 vreplicas that wait', 'first', (object) => conditionOf(object, 'Deployed')?.message === '3 of 3 vreplicas wait for a pod');
    const { uid = '', finalizers } = waiting.metadata;
    expect(finalizers).toEqual(['kafkasources.sources.knative.dev']);
    expect(waiting.spec?.consumerGroup).toBe(`knative-kafka-source-${uid}`);
    expect(conditionOf(waiting, 'Ready')).toMatchObject({ status: 'Unknown', reason: 'VreplicasWaiting' });
    expect(await commitOffsets(`knative-kafka-source-${uid}`, 'first')).toEqual([0n, 0n]);
    await untilReplicas(1);
    await makePod(0);
    const placed = await untilPlaced('first', { 0: 3 });
    expect(placed.status).toMatchObject({
      sinkUri: 'http://sink.example.com/',
      consumers: 3,
      selector: 'eventing.knative.dev/source=kafka-source-controller,eventing.knative.dev/sourceName=first',
      ceAttributes: [{ type: 'dev.knative.kafka.event', source: `/apis/v1/namespaces/${namespace}/kafkasources/first#first` }],
      annotations: { 'kafka.eventing.knative.dev/topics': 'first', 'kafka.eventing.knative.dev/bootstrap-servers': kafka.bootstrap.plaintext, 'kafka.eventing.knative.dev/consumer-group': `knative-kafka-source-${uid}` },
      placements: [{ podName: podName(0), vreplicas: 3 }],
    });
    expect(placed.status?.conditions?.map(({ type, status }) => `${type} ${status}`)).toEqual(['ConnectionEstablished True', 'Deployed True', 'InitialOffsetsCommitted True', 'Ready True', 'SinkProvided True']);
    await waitFor('an Event', async () => (await eventsOf(placed)).some(({ reason }) => reason === 'KafkaSourceReady'), { timeoutMs });
    await remove('first');
    expect(await admin.deleteGroup(`knative-kafka-source-${uid}`)).toBe('absent');
  });

  it('gives a spec that lost the generated name of its group the same one back', async () => {
    const group = 'knative-kafka-source-0f1e2d3c-4b5a-4678-9abc-def012345678'; // made up by whoever had the source before
    await createTopic('inherited');
    await apply('inherited', { consumerGroup: group });
    await until('offsets', 'inherited', ({ status }) => status?.annotations?.['kafka.eventing.knative.dev/consumer-group'] === group);
    const { metadata: { generation = 0 } } = (await api.mergePatch<KafkaSourceObject>(resourceTypes.kafkaSource, { namespace, name: 'inherited' }, { spec: { consumerGroup: null } }))!;
    const named = await until('a name again', 'inherited', ({ metadata, spec }) => metadata.generation === generation + 1 && spec?.consumerGroup !== undefined);
    expect(named.spec?.consumerGroup).toBe(group);
    await remove('inherited');
  });

  it('waits for its sink and for its dead letter sink, and is paused when one goes', async () => {
    await createTopic('sinks');
    const service = (name: string) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec: { ports: [{ port: 80 }] } });
    const ref = (name: string) => ({ ref: { apiVersion: 'v1', kind: 'Service', name } });
    await apply('sinks', { sink: ref('display'), delivery: { deadLetterSink: ref('dead') } });
    expect(conditionOf(await untilReason('sinks', 'SinkProvided', 'SinkResolveFailed'), 'Ready')).toMatchObject({ status: 'False', message: `spec.sink: Service ${namespace}/display does not exist` });
    await api.create(resourceTypes.service, service('display'));
    expect(conditionOf(await untilReason('sinks', 'SinkProvided', 'DeadLetterSinkResolveFailed'), 'InitialOffsetsCommitted')).toMatchObject({ status: 'Unknown', reason: 'SinkPending' });
    await api.create(resourceTypes.service, service('dead'));
    expect((await untilReady('sinks')).status).toMatchObject({ sinkUri: `http://display.${namespace}.svc.cluster.local`, deadLetterSinkUri: `http://dead.${namespace}.svc.cluster.local` });
    await api.delete(resourceTypes.service, { namespace, name: 'display' });
    const without = await untilReason('sinks', 'SinkProvided', 'SinkResolveFailed');
    expect(without.status?.sinkUri).toBeUndefined();
    expect(countsOf(without.status?.placements)).toEqual({ 0: 1 });
    await remove('sinks');
  });

  it('waits for its topic', async () => {
    await apply('late-topic', {});
    const missing = await untilReason('late-topic', 'InitialOffsetsCommitted', 'TopicMissing');
    expect(conditionOf(missing, 'Ready')).toMatchObject({ status: 'False', message: 'topic late-topic does not exist' });
    expect(missing.status?.placements).toEqual([]);
    await createTopic('late-topic');
    await untilReady('late-topic');
    await remove('late-topic');
  });

  it('waits for its Secret, which its dispatchers may read and no other', async () => {
    await createTopic('secured');
    const reference = (key: string) => ({ secretKeyRef: { name: 'login', key } });
    await apply('secured', { bootstrapServers: [kafka.bootstrap.password], net: { sasl: { enable: true, user: reference('user'), password: reference('password') } } });
    const missing = await untilReason('secured', 'ConnectionEstablished', 'KafkaAccessInvalid');
    expect(conditionOf(missing, 'Ready')?.message).toContain('Secret "login" does not exist');
    const name = { namespace, name: `kafka-source-${missing.metadata.uid ?? ''}` };
    expect(await api.get(resourceTypes.role, name)).toMatchObject({ rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['login'], verbs: ['get'] }], metadata: { ownerReferences: [{ kind: 'KafkaSource', name: 'secured' }] } });
    expect(await api.get(resourceTypes.roleBinding, name)).toMatchObject({ roleRef: { kind: 'Role', name: name.name }, subjects: [{ kind: 'ServiceAccount', name: 'kafka-source-dispatcher', namespace: systemNamespace }] });
    const secret = (password: string) => api.apply(resourceTypes.secret, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'login', namespace }, stringData: { user: 'ann', password } } as KubernetesObject);
    await secret('not-the-password');
    const refused = await untilReason('secured', 'ConnectionEstablished', 'KafkaAccessRefused');
    expect(JSON.stringify(refused)).not.toContain('not-the-password');
    await secret(kafka.users.ann);
    await untilReady('secured');
    // Without credentials nothing needs to be readable.
    await apply('secured', {});
    await waitFor('no Role', async () => (await api.get(resourceTypes.role, name)) === undefined && (await api.get(resourceTypes.roleBinding, name)) === undefined, { timeoutMs });
    await remove('secured');
  });

  it('reads a topic more once its members have left its group for a moment', async () => {
    await Promise.all(['grows', 'grows-more'].map((topic) => createTopic(topic)));
    await apply('grows', { consumerGroup: `named-${namespace}` });
    await untilPlaced('grows', { 0: 1 });
    const member = await startMember(`named-${namespace}`, ['grows']);
    await apply('grows', { consumerGroup: `named-${namespace}`, topics: ['grows', 'nowhere'] });
    // What is not there yet keeps nothing from being read.
    expect(countsOf((await untilReason('grows', 'InitialOffsetsCommitted', 'TopicMissing')).status?.placements)).toEqual({ 0: 1 });
    await apply('grows', { consumerGroup: `named-${namespace}`, topics: ['grows', 'grows-more'] });
    const leaving = await until('no pod', 'grows', (object) => conditionOf(object, 'InitialOffsetsCommitted')?.reason === 'MembersLeaveFirst' && object.status?.placements?.length === 0);
    expect(leaving.status?.annotations?.['kafka.eventing.knative.dev/topics']).toBe('grows');
    // It stands still for that alone: while something else is missing as well, what it has is read.
    await apply('grows', { consumerGroup: `named-${namespace}`, topics: ['grows', 'grows-more', 'nowhere'] });
    await until('its pod again', 'grows', (object) => conditionOf(object, 'InitialOffsetsCommitted')?.reason === 'TopicMissing' && object.status?.placements?.length === 1);
    await apply('grows', { consumerGroup: `named-${namespace}`, topics: ['grows', 'grows-more'] });
    await until('no pod', 'grows', (object) => conditionOf(object, 'InitialOffsetsCommitted')?.reason === 'MembersLeaveFirst' && object.status?.placements?.length === 0);
    await member.close();
    const grown = await untilPlaced('grows', { 0: 1 });
    expect(grown.status?.annotations?.['kafka.eventing.knative.dev/topics']).toBe('grows,grows-more');
    expect(await commitOffsets(`named-${namespace}`, 'grows-more')).toEqual([0n, 0n]);
    // One less is read at once.
    const other = await startMember(`named-${namespace}`, ['grows', 'grows-more']);
    await apply('grows', { consumerGroup: `named-${namespace}`, topics: ['grows-more'] });
    await until('the other topic alone', 'grows', (object) => object.status?.annotations?.['kafka.eventing.knative.dev/topics'] === 'grows-more' && isReady(object) && object.status.placements?.length === 1);
    await other.close();
    await remove('grows');
  });

  it('tells that its group is in use by others, where offsets are missing in it', async () => {
    await Promise.all(['shared', 'not-shared'].map((topic) => createTopic(topic)));
    const member = await startMember(`taken-${namespace}`, ['shared']);
    await apply('shared', { consumerGroup: `taken-${namespace}`, topics: ['not-shared'] });
    const inUse = await untilReason('shared', 'InitialOffsetsCommitted', 'GroupInUse');
    expect(conditionOf(inUse, 'Ready')).toMatchObject({ status: 'False' });
    await member.close();
    await untilReady('shared');
    await remove('shared');
  });

  it('with something wrong in it runs nowhere, and says what it is', async () => {
    await createTopic('keyed');
    const label = 'kafkasources.sources.knative.dev/key-type';
    await apply('keyed', {});
    await untilPlaced('keyed', { 0: 1 });
    await apply('keyed', {}, { labels: { [label]: 'integer' } });
    const invalid = await until('the reason, and no pod', 'keyed', (object) => conditionOf(object, 'Deployed')?.reason === 'SpecInvalid' && object.status?.placements?.length === 0);
    expect(conditionOf(invalid, 'Ready')).toMatchObject({ status: 'False', message: expect.stringContaining('expected string, int, float, byte-array; found "integer"') as string });
    await apply('keyed', {}, { labels: { [label]: 'int' } });
    await untilPlaced('keyed', { 0: 1 });
    await remove('keyed');
  });

  it('of a Kafka that is away keeps no other from becoming Ready, and can be deleted', async () => {
    await createTopic('beside');
    const nowhere = `127.0.0.1:${await freePort()}`;
    for (let index = 0; index < 12; index++) await apply(`away-${index}`, { bootstrapServers: [nowhere] });
    await apply('beside', {});
    await untilReady('beside');
    expect(conditionOf(await untilReason('away-0', 'ConnectionEstablished', 'KafkaUnavailable'), 'InitialOffsetsCommitted')?.status).toBe('Unknown');
    await remove('beside', ...Array.from({ length: 12 }, (_, index) => `away-${index}`));
  });

  it('goes although its Kafka has gone, and an Event says what is left', async () => {
    await createTopic('orphan');
    await apply('orphan', {});
    const orphan = await untilReady('orphan');
    await running.stop();
    const nowhere = `127.0.0.1:${await freePort()}`;
    await api.mergePatch(resourceTypes.kafkaSource, { namespace, name: 'orphan' }, { status: { annotations: { 'kafka.eventing.knative.dev/bootstrap-servers': nowhere } } }, { subresource: 'status' });
    await api.mergePatch(resourceTypes.kafkaSource, { namespace, name: 'orphan' }, { spec: { bootstrapServers: [nowhere] } });
    running = start();
    await remove('orphan');
    await waitFor('an Event', async () => (await eventsOf(orphan)).some(({ reason, note }) => reason === 'KafkaObjectsLeft' && note.includes(orphan.spec?.consumerGroup ?? '?')), { timeoutMs });
    expect(await commitOffsets(orphan.spec?.consumerGroup ?? '', 'orphan')).toEqual([0n, 0n]);
  });

  it('keeps a consumer group that somebody named, with its offsets', async () => {
    await createTopic('kept');
    await apply('kept', { consumerGroup: 'mine', initialOffset: 'earliest' });
    const source = await untilReady('kept');
    await remove('kept');
    expect(await commitOffsets('mine', 'kept')).toEqual([0n, 0n]);
    await waitFor('an Event', async () => (await eventsOf(source)).some(({ reason }) => reason === 'ConsumerGroupKept'), { timeoutMs });
  });

  it('is deleted only when its members have left its group', async () => {
    await createTopic('leaving');
    await apply('leaving', {});
    const group = (await untilReady('leaving')).spec?.consumerGroup ?? '';
    const member = await startMember(group, ['leaving']);
    await api.delete(resourceTypes.kafkaSource, { namespace, name: 'leaving' });
    await untilReplicas(0);
    expect(await get('leaving')).toBeDefined();
    await member.close();
    await untilGone('leaving');
    expect(await admin.deleteGroup(group)).toBe('absent');
  });
});

describe('vreplicas', () => {
  beforeAll(async () => {
    await createTopic('scaled', 4);
    namespace = 'scaling';
    await api.create(namespaceType, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    await apply('scaled', { consumers: 25 });
  });
  beforeEach(() => {
    namespace = 'scaling';
  });
  const scale = (consumers: number) => kubectl('scale', 'kafkasource', 'scaled', '-n', namespace, `--replicas=${consumers}`);

  it('are 13 and 12 on two pods at a capacity of 20', async () => {
    await untilReplicas(2);
    await makePod(1);
    await untilPlaced('scaled', { 0: 13, 1: 12 });
    const metrics = (await running.registry.metrics()).split('\n');
    expect(metrics).toEqual(expect.arrayContaining(['knative_kafka_sources{ready="True"} 1', 'knative_kafka_sources_vreplicas{state="placed"} 25', 'knative_kafka_sources_vreplicas{state="waiting"} 0', 'knative_kafka_source_dispatcher_pods{state="schedulable"} 2']));
  });

  it('stay where they are when another controller leads, which writes nothing', async () => {
    const versions = async () => {
      const objects = [await get('scaled'), await api.get(resourceTypes.statefulSet, { namespace: systemNamespace, name: 'kafka-source-dispatcher' })];
      return objects.map((object) => object?.metadata.resourceVersion);
    };
    const before = await versions();
    await restart();
    const reconciled = async () => (await running.registry.metrics()).split('\n').some((line) => /^knative_kafka_reconcile_duration_seconds_count\{controller="kafka-source"\} [1-9]/.test(line));
    await waitFor('a look at the sources', reconciled, { timeoutMs });
    // Kafka was looked at, too: the next change is seen to its end.
    await api.mergePatch(resourceTypes.kafkaSource, { namespace, name: 'scaled' }, { metadata: { annotations: { touched: 'yes' } } });
    const touched = (await get('scaled'))?.metadata.resourceVersion;
    await createTopic('after');
    await apply('after', {});
    await untilReady('after');
    expect(await versions()).toEqual([touched, before[1]]);
    await remove('after');
  });

  it('keep their pod while it starts again, and move when it does not come back', async () => {
    await sayReady(1, false);
    const partly = await until('fewer that are ready', 'scaled', ({ status }) => status?.consumers === 13);
    expect(countsOf(partly.status?.placements)).toEqual({ 0: 13, 1: 12 });
    expect(isReady(partly)).toBe(true);
    await sayReady(1, true);
    await until('all of them ready', 'scaled', ({ status }) => status?.consumers === 25);
    await deletePod(1);
    const moved = await until('5 that wait', 'scaled', (object) => conditionOf(object, 'Deployed')?.message === '5 of 25 vreplicas wait for a pod');
    expect(countsOf(moved.status?.placements)).toEqual({ 0: 20 });
    await makePod(1);
    await untilPlaced('scaled', { 0: 13, 1: 12 });
  });

  it('leave a pod that is not to have any, for one more', async () => {
    await kubectl('annotate', 'pod', podName(0), '-n', systemNamespace, 'eventing.knative.dev/unschedulable=true');
    await untilReplicas(3);
    await makePod(2);
    await untilPlaced('scaled', { 1: 13, 2: 12 });
    await kubectl('annotate', 'pod', podName(0), '-n', systemNamespace, 'eventing.knative.dev/unschedulable-');
    // It is needed no more than the last one, which goes: its ordinal is lower.
    await untilPlaced('scaled', { 0: 13, 1: 12 });
    await untilReplicas(2);
    await deletePod(2);
  });

  it('spread over more pods when each may hold fewer, and come together again', async () => {
    await scale(4);
    await untilPlaced('scaled', { 0: 4 });
    await untilReplicas(1);
    await deletePod(1);
    await restart({ POD_CAPACITY: '1' });
    await untilReplicas(4);
    await until('one at least', 'scaled', (object) => conditionOf(object, 'Deployed')?.message === '3 of 4 vreplicas wait for a pod');
    for (const ordinal of [1, 2, 3]) await makePod(ordinal);
    await untilPlaced('scaled', { 0: 1, 1: 1, 2: 1, 3: 1 });
    await restart();
    await untilPlaced('scaled', { 0: 4 });
    await untilReplicas(1);
    for (const ordinal of [1, 2, 3]) await deletePod(ordinal);
  });

  it('are none of a source that is paused, which needs no pod', async () => {
    await scale(0);
    const paused = await untilPlaced('scaled', {});
    expect(conditionOf(paused, 'Deployed')).toMatchObject({ status: 'True', reason: 'Paused' });
    expect(paused.status?.consumers).toBe(0);
    await untilReplicas(0);
    await remove('scaled');
  });

  it('have a StatefulSet that is as the controller wants it, whoever scales it', async () => {
    await kubectl('scale', 'statefulset', 'kafka-source-dispatcher', '-n', systemNamespace, '--replicas=3');
    await untilReplicas(0);
    const name = { namespace: systemNamespace, name: 'kafka-source-dispatcher' };
    const { uid } = (await api.get(resourceTypes.statefulSet, name))!.metadata;
    await api.delete(resourceTypes.statefulSet, name, { propagation: 'Background' });
    await waitFor('another one', async () => ((await api.get(resourceTypes.statefulSet, name))?.metadata.uid ?? uid) !== uid, { timeoutMs });
  });
});
