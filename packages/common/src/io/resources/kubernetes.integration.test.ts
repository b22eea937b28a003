/**
 * Resources from a real API server, with our CustomResourceDefinitions and as our ServiceAccounts.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startKubernetes, waitFor, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Resources } from '../../core/resources/resources.ts';
import { readSourceDataPlane } from '../../core/resources/source-data-plane.ts';
import { createKubernetesApi, type ClosableKubernetesApi } from '../kubernetes/client.ts';
import type { KubernetesObject } from '../kubernetes/port.ts';
import { resourceTypes } from '../kubernetes/types.ts';
import { createLogger } from '../logger.ts';
import { watchKubernetes, type ServedResources } from './kubernetes.ts';
import type { ResourceSource } from './port.ts';

const timeoutMs = 60_000;
const helm = fileURLToPath(new URL('../../../../../helm', import.meta.url));
const systemNamespace = 'knative-eventing';
const forReceiver: ServedResources = { channel: undefined, kafkaSecret: undefined, withSubscriptions: false, configMaps: [] };
const forDispatcher: ServedResources = { ...forReceiver, withSubscriptions: true, configMaps: [{ namespace: systemNamespace, name: 'config-kafka-features' }] };

const forSourceDispatcher: ServedResources = {
  channel: undefined,
  kafkaSecret: undefined,
  withChannels: false,
  withSubscriptions: false,
  withSources: true,
  configMaps: ['config-kafka-features', 'config-kafka-source-data-plane'].map((name) => ({ namespace: systemNamespace, name })),
};

let dataDir: string;
let cluster: KubernetesCluster;
let admin: ClosableKubernetesApi;
let users: { readonly receiver: string; readonly dispatcher: string; readonly sourceDispatcher: string };
let namespaces = 0;
/** Each test has one of its own. */
let namespace: string;
let logged: { readonly level: string; readonly message: string; readonly reason?: string }[];
const opened: ResourceSource[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'kubernetes-resources-test-'));
  cluster = await startKubernetes({ dataDir, controllerManager: false });
  admin = createKubernetesApi({ kubeconfig: cluster.kubeconfig, userAgent: 'test', fieldManager: 'test', requestsPerSecond: 1_000, burst: 1_000 });
  await kubectl('create', 'namespace', systemNamespace);
  await kubectl('apply', '--server-side', '-f', join(helm, 'knative-kafka/files/crds'));
  await kubectl('wait', '--for=condition=Established', 'crd', '--all');
  const access = await cluster.helm(['template', 'test', join(helm, 'knative-kafka'), '--namespace', systemNamespace, '--show-only', 'templates/data-plane-access.yaml']);
  expect(access.code, access.stderr).toBe(0);
  expect((await cluster.kubectl(['apply', '-f', '-'], { input: access.stdout })).stderr).toBe('');
  users = {
    receiver: await cluster.kubeconfigFor({ namespace: systemNamespace, serviceAccount: 'kafka-channel-receiver' }),
    dispatcher: await cluster.kubeconfigFor({ namespace: systemNamespace, serviceAccount: 'kafka-channel-dispatcher' }),
    sourceDispatcher: await cluster.kubeconfigFor({ namespace: systemNamespace, serviceAccount: 'kafka-source-dispatcher' }),
  };
});

afterAll(async () => {
  await admin.close();
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

beforeEach(async () => {
  logged = [];
  namespace = `test-${++namespaces}`;
  await kubectl('create', 'namespace', namespace);
});

afterEach(async () => {
  for (const source of opened.splice(0)) await source.close();
  if (!cluster.apiServer.isRunning()) await cluster.apiServer.start();
  await kubectl('delete', 'kafkachannels', '--all', '--all-namespaces', '--wait=true');
  await kubectl('delete', 'kafkasources', '--all', '--all-namespaces', '--wait=true');
  await kubectl('delete', 'configmaps', '--all', '--namespace', systemNamespace);
});

async function kubectl(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await cluster.kubectl(args);
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
}

interface Opened {
  readonly source: ResourceSource;
  /** What listeners were told, from the first moment on. */
  readonly heard: Resources[];
}

function watchAs(kubeconfig: string, served: ServedResources): Opened {
  const log = createLogger('test', 'info', (line) => logged.push(JSON.parse(line) as (typeof logged)[number]));
  const source = watchKubernetes({ api: createKubernetesApi({ kubeconfig, userAgent: 'test', fieldManager: 'test' }), served, log });
  opened.push(source);
  const heard: Resources[] = [];
  source.onChange((resources) => heard.push(resources));
  return { source, heard };
}

async function openAs(kubeconfig: string, served: ServedResources): Promise<Opened> {
  const found = watchAs(kubeconfig, served);
  await synced(found);
  return found;
}

/** Synced, and the one call of its listeners that tells of it has been. */
async function synced({ source, heard }: Opened): Promise<void> {
  await waitFor('all resources to be read', () => source.isSynced() && heard.length > 0, { timeoutMs });
  heard.length = 0;
}

const channelNames = (source: ResourceSource): string[] => source.snapshot().channels.map(({ metadata }) => metadata.name);

async function createChannel(name: string, change: { readonly spec?: object; readonly metadata?: object } = {}): Promise<void> {
  await admin.create(resourceTypes.kafkaChannel, object('KafkaChannel', name, change));
}

function object(kind: string, name: string, { spec = {}, metadata = {} }: { readonly spec?: object; readonly metadata?: object } = {}): KubernetesObject {
  return { apiVersion: 'messaging.knative.dev/v1', kind, metadata: { name, namespace, ...metadata }, spec } as KubernetesObject;
}

/** What a controller writes once it has made the topic. */
async function record(name: string, kafkaSecret = 'kafka'): Promise<void> {
  await patchStatus(name, { annotations: { 'default.topic': `topic-of-${name}`, 'kafka.eventing.knative.dev/kafka-secret': kafkaSecret } });
}

async function patchStatus(name: string, status: object): Promise<void> {
  expect(await admin.mergePatch(resourceTypes.kafkaChannel, { namespace, name }, { status }, { subresource: 'status' })).toBeDefined();
}

async function patchChannel(name: string, patch: object): Promise<void> {
  expect(await admin.mergePatch(resourceTypes.kafkaChannel, { namespace, name }, patch)).toBeDefined();
}

async function createRecorded(name: string, kafkaSecret?: string): Promise<void> {
  await createChannel(name);
  await record(name, kafkaSecret);
}

describe('as the ServiceAccount of the receiver', () => {
  it('a KafkaChannel is served from the moment its topic is on record until its deletion is asked for', async () => {
    const { source } = await openAs(users.receiver, forReceiver);
    await createChannel('orders', { metadata: { finalizers: ['knative.dev/test'] }, spec: { numPartitions: 2 } });
    await createRecorded('zebra'); // told after it, and seen: so the first one was passed over
    await waitFor('the channel with a topic', () => channelNames(source).includes('zebra'), { timeoutMs });
    expect(channelNames(source)).toEqual(['zebra']);

    await record('orders');
    await waitFor('the channel', () => channelNames(source).includes('orders'), { timeoutMs });
    expect(source.snapshot().channels[0]).toMatchObject({ metadata: { namespace, name: 'orders' }, spec: { numPartitions: 2, replicationFactor: 1, subscribers: [] }, recorded: { topic: 'topic-of-orders', kafkaSecret: 'kafka' } });

    await patchChannel('orders', { spec: { subscribers: [{ uid: 'u-1', name: 'display', generation: 1, subscriberUri: 'http://display/' }] } });
    await waitFor('the subscriber', () => source.snapshot().channels[0]?.spec.subscribers.length === 1, { timeoutMs });

    await kubectl('delete', 'kafkachannel', 'orders', '--namespace', namespace, '--wait=false');
    await waitFor('the end of its service', () => !channelNames(source).includes('orders'), { timeoutMs });
    await patchChannel('orders', { metadata: { finalizers: null } });
  });

  it('only the channels of one Kafka Secret are served, where that is said', async () => {
    await createRecorded('one', 'kafka-a');
    await createRecorded('two', 'kafka-b');
    const { source } = await openAs(users.receiver, { ...forReceiver, kafkaSecret: 'kafka-a' });
    expect(channelNames(source)).toEqual(['one']);
    await record('two', 'kafka-a');
    await record('one', 'kafka-b');
    await waitFor('the other channel alone', () => channelNames(source).join() === 'two', { timeoutMs });
  });

  it('neither Subscriptions nor Secrets may be read, and who asks for them is never ready', async () => {
    const { source } = watchAs(users.receiver, { ...forReceiver, withSubscriptions: true });
    await waitFor('the refusal', () => logged.length > 0, { timeoutMs });
    expect(logged).toMatchObject([{ level: 'warn', message: 'resources cannot be read from Kubernetes yet', reason: expect.stringContaining('cannot list resource "subscriptions"') as string }]);
    expect(source.isSynced()).toBe(false);
    const api = createKubernetesApi({ kubeconfig: users.receiver, userAgent: 'test', fieldManager: 'test' });
    await expect(api.list(resourceTypes.secret, { namespace: systemNamespace })).rejects.toMatchObject({ code: 'KUBERNETES_REFUSED' });
    await api.close();
  });
});

describe('as the ServiceAccount of the dispatcher', () => {
  it('one KafkaChannel is served with its Subscriptions, until its deletion is asked for', async () => {
    for (const name of ['orders', 'payments']) {
      await createChannel(name, { metadata: { finalizers: ['knative.dev/test'] } });
      await record(name);
      const ref = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name };
      await admin.create(resourceTypes.subscription, object('Subscription', `display-${name}`, { spec: { channel: ref, subscriber: { uri: 'http://display/' } }, metadata: { annotations: { 'kafka.eventing.knative.dev/delivery.order': 'unordered' } } }));
    }
    const { source, heard } = await openAs(users.dispatcher, { ...forDispatcher, channel: { namespace, name: 'orders' } });
    expect(channelNames(source)).toEqual(['orders']);
    expect(source.snapshot().subscriptions.map(({ subscription: { metadata } }) => [metadata.name, metadata.annotations])).toEqual([['display-orders', { 'kafka.eventing.knative.dev/delivery.order': 'unordered' }]]);

    await kubectl('annotate', 'subscription', 'display-orders', '--namespace', namespace, '--overwrite', 'kafka.eventing.knative.dev/delivery.order=key-ordered');
    await waitFor('the annotation', () => heard.length === 1, { timeoutMs });
    expect(heard[0]?.subscriptions[0]?.subscription.metadata.annotations).toEqual({ 'kafka.eventing.knative.dev/delivery.order': 'key-ordered' });

    await kubectl('delete', 'kafkachannels', '--all', '--namespace', namespace, '--wait=false');
    await waitFor('its end', () => channelNames(source).length === 0, { timeoutMs });
    await patchChannel('orders', { metadata: { finalizers: null } });
    await patchChannel('payments', { metadata: { finalizers: null } });
  });

  it('features are followed, and no other ConfigMap is looked at', async () => {
    const { source, heard } = await openAs(users.dispatcher, forDispatcher);
    await kubectl('create', 'configmap', 'other', '--namespace', systemNamespace, '--from-literal=a=b');
    await kubectl('create', 'configmap', 'config-kafka-features', '--namespace', systemNamespace, '--from-literal=_example=long', '--from-literal=dead-letter-topic=enabled');
    await waitFor('the features', () => heard.length === 1, { timeoutMs });
    expect(source.snapshot().configMaps).toMatchObject([{ metadata: { namespace: systemNamespace, name: 'config-kafka-features' }, data: { 'dead-letter-topic': 'enabled' } }]);
    await kubectl('delete', 'configmap', 'config-kafka-features', '--namespace', systemNamespace);
    await waitFor('the features to be gone', () => source.snapshot().configMaps.length === 0, { timeoutMs });
  });
});

describe('as the ServiceAccount of the dispatchers of sources', () => {
  const sourceNames = (source: ResourceSource): string[] => source.snapshot().sources.map(({ source: { metadata } }) => metadata.name);
  const status = {
    sinkUri: 'http://sink/',
    annotations: { 'kafka.eventing.knative.dev/topics': 'orders', 'kafka.eventing.knative.dev/bootstrap-servers': 'kafka:9092' },
    placements: [{ podName: 'kafka-source-dispatcher-0', vreplicas: 2 }],
  };

  async function createSource(name: string, change: { readonly spec?: object; readonly metadata?: object } = {}): Promise<void> {
    await admin.create(resourceTypes.kafkaSource, {
      apiVersion: 'sources.knative.dev/v1',
      kind: 'KafkaSource',
      metadata: { name, namespace, ...change.metadata },
      spec: { bootstrapServers: ['kafka:9092'], topics: ['orders'], consumerGroup: 'mine', consumers: 2, sink: { ref: { apiVersion: 'v1', kind: 'Service', name: 'sink' } }, ...change.spec },
    } as KubernetesObject);
  }

  async function patchSource(name: string, patch: object, subresource?: 'status'): Promise<void> {
    expect(await admin.mergePatch(resourceTypes.kafkaSource, { namespace, name }, patch, subresource === undefined ? {} : { subresource })).toBeDefined();
  }

  it('a KafkaSource is served from the moment its controller has prepared it until its deletion is asked for', async () => {
    const { source, heard } = await openAs(users.sourceDispatcher, forSourceDispatcher);
    await createSource('orders', { metadata: { finalizers: ['knative.dev/test'], labels: { 'kafkasources.sources.knative.dev/key-type': 'int' } } });
    await createSource('zebra');
    await patchSource('zebra', { status }, 'status'); // told after the first, and seen: so the first one was passed over
    await waitFor('the source that is prepared', () => sourceNames(source).includes('zebra'), { timeoutMs });
    expect(sourceNames(source)).toEqual(['zebra']);

    await patchSource('orders', { status }, 'status');
    await waitFor('the source', () => sourceNames(source).includes('orders'), { timeoutMs });
    expect(source.snapshot().sources[0]).toMatchObject({
      source: { metadata: { namespace, name: 'orders' }, spec: { bootstrapServers: ['kafka:9092'], topics: ['orders'], consumerGroup: 'mine', keyType: 'int', ordering: 'ordered' } },
      sink: { uri: 'http://sink/' },
      placements: [{ podName: 'kafka-source-dispatcher-0', vreplicas: 2 }],
      needsInitialOffsets: false,
    });
    expect(source.snapshot()).toMatchObject({ channels: [], subscriptions: [] });

    // Nobody is told of conditions; of a new place everybody is.
    await waitFor('listeners to be told of both', () => heard.at(-1)?.sources.length === 2, { timeoutMs });
    const told = heard.length;
    await patchSource('orders', { status: { consumers: 2, conditions: [{ type: 'Ready', status: 'True' }] } }, 'status');
    await patchSource('orders', { status: { placements: [{ podName: 'kafka-source-dispatcher-1', vreplicas: 2 }] } }, 'status');
    await waitFor('the new place', () => source.snapshot().sources[0]?.placements?.[0]?.podName === 'kafka-source-dispatcher-1', { timeoutMs });
    await waitFor('listeners to be told', () => heard.length > told, { timeoutMs });
    expect(heard.slice(told).map(({ sources }) => sources[0]?.placements?.[0]?.podName)).toEqual(['kafka-source-dispatcher-1']);

    await patchSource('orders', { status: { sinkUri: null } }, 'status');
    await waitFor('the end of its service without a sink', () => !sourceNames(source).includes('orders'), { timeoutMs });
    await patchSource('orders', { status: { sinkUri: 'http://other/' } }, 'status');
    await waitFor('its service', () => source.snapshot().sources[0]?.sink.uri === 'http://other/', { timeoutMs });
    await kubectl('delete', 'kafkasource', 'orders', '--namespace', namespace, '--wait=false');
    await waitFor('the end of its service', () => !sourceNames(source).includes('orders'), { timeoutMs });
    await patchSource('orders', { metadata: { finalizers: null } });
  });

  it('the settings of all sources are followed', async () => {
    const { source } = await openAs(users.sourceDispatcher, forSourceDispatcher);
    await kubectl('create', 'configmap', 'config-kafka-source-data-plane', '--namespace', systemNamespace, '--from-literal=max.poll.records=20');
    await waitFor('the setting', () => readSourceDataPlane(source.snapshot().configMaps, systemNamespace).maxPollRecords === 20, { timeoutMs });
  });

  it('channels may not be read, and a Secret only where a Role says so, from that moment on', async () => {
    const { source } = await openAs(users.sourceDispatcher, forSourceDispatcher);
    const name = { namespace, name: 'kafka' };
    await kubectl('create', 'secret', 'generic', 'kafka', '--namespace', namespace, '--from-literal=password=one');
    await kubectl('create', 'secret', 'generic', 'other', '--namespace', namespace, '--from-literal=password=other');
    expect(await source.readSecret(name)).toBeUndefined();

    await kubectl('create', 'role', 'kafka', '--namespace', namespace, '--verb=get', '--resource=secrets', '--resource-name=kafka', '--resource-name=later');
    await kubectl('create', 'rolebinding', 'kafka', '--namespace', namespace, '--role=kafka', `--serviceaccount=${systemNamespace}:kafka-source-dispatcher`);
    await waitFor('the right to read it', async () => (await source.readSecret(name)) !== undefined, { timeoutMs });
    expect(await source.readSecret(name)).toEqual({ kind: 'Secret', metadata: expect.objectContaining(name) as object, data: { password: Buffer.from('one') } });
    expect(await source.readSecret({ namespace, name: 'other' })).toBeUndefined();
    expect(await source.readSecret({ namespace, name: 'later' })).toBeUndefined();

    await kubectl('patch', 'secret', 'kafka', '--namespace', namespace, '--patch', '{"stringData": {"password": "two"}}');
    expect((await source.readSecret(name))?.data['password']?.toString()).toBe('two');

    const channels = watchAs(users.sourceDispatcher, forReceiver);
    await waitFor('the refusal', () => logged.some(({ reason = '' }) => reason.includes('cannot list resource "kafkachannels"')), { timeoutMs });
    expect(channels.source.isSynced()).toBe(false);
  });

  it('a Secret that cannot be asked for is a fault, not one that is missing', async () => {
    const { source } = await openAs(users.sourceDispatcher, forSourceDispatcher);
    await cluster.apiServer.stop();
    await expect(source.readSecret({ namespace, name: 'kafka' })).rejects.toMatchObject({ code: 'KUBERNETES_UNAVAILABLE' });
  });
});

describe('listeners', () => {
  it('hear of everything once when it was read, in order, and of nothing that only controllers care about', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `channel-${String(index).padStart(3, '0')}`);
    const inTurn = async (call: (name: string) => Promise<void>): Promise<void> => {
      for (let from = 0; from < names.length; from += 50) await Promise.all(names.slice(from, from + 50).map(call));
    };
    await inTurn((name) => createRecorded(name));
    const opening = watchAs(users.receiver, forReceiver);
    const { source, heard } = opening;
    await waitFor('the first call', () => heard.length > 0, { timeoutMs });
    expect(heard).toHaveLength(1);
    expect(heard[0]?.channels.map(({ metadata }) => metadata.name)).toEqual(names);
    expect(source.snapshot()).toBe(heard[0]);

    await inTurn((name) => patchStatus(name, { observedGeneration: 1, conditions: [{ type: 'Ready', status: 'True' }] }));
    await inTurn((name) => patchChannel(name, { metadata: { labels: { team: 'a' }, annotations: { note: 'b' } } }));
    expect(source.snapshot()).toBe(heard[0]);
    await patchChannel('channel-007', { spec: { numPartitions: 7 } }); // what a watch brings comes in order: the rest was before
    await waitFor('the second call', () => heard.length > 1, { timeoutMs });
    expect(heard).toHaveLength(2);
    expect(heard[1]?.channels[7]?.spec.numPartitions).toBe(7);
  });

  it('hear nothing once they ended, or the source is closed', async () => {
    const first = await openAs(users.receiver, forReceiver);
    const second = await openAs(users.receiver, forReceiver);
    const ended: Resources[] = [];
    second.source.onChange((resources) => ended.push(resources))();
    await first.source.close();
    await createRecorded('orders');
    await waitFor('the change', () => second.heard.length === 1, { timeoutMs });
    expect([...first.heard, ...ended]).toEqual([]);
    await first.source.close(); // twice is fine
  });
});

describe('an API server that is away', () => {
  it('takes nothing with it, is told once, and is followed when it is back', async () => {
    await createRecorded('orders');
    const { source, heard } = await openAs(users.dispatcher, forDispatcher);
    await cluster.apiServer.kill();
    await waitFor('the loss to be noticed', () => logged.length > 0, { timeoutMs });
    expect(logged).toMatchObject([{ level: 'warn', message: 'resources cannot be read from Kubernetes; what was read before stays in force' }]);
    expect(channelNames(source)).toEqual(['orders']);
    expect(source.isSynced()).toBe(true);

    await cluster.apiServer.start();
    await createRecorded('payments');
    await waitFor('the new channel', () => channelNames(source).length === 2, { timeoutMs });
    await waitFor('the end of the trouble', () => logged.length > 1, { timeoutMs });
    expect(logged.slice(1)).toMatchObject([{ level: 'info', message: 'resources are read from Kubernetes again' }]);
    expect(heard.at(-1)?.channels).toHaveLength(2);
  });

  it('may come later than we: nothing is there until it is, and then all of it', async () => {
    await createRecorded('orders');
    await cluster.apiServer.stop();
    const opening = watchAs(users.dispatcher, forDispatcher);
    await waitFor('the trouble', () => logged.length > 0, { timeoutMs });
    expect(logged).toMatchObject([{ message: 'resources cannot be read from Kubernetes yet' }]);
    expect(opening.source.isSynced()).toBe(false);
    expect(opening.heard).toEqual([]);
    await cluster.apiServer.start();
    await synced(opening);
    expect(channelNames(opening.source)).toEqual(['orders']);
  });
});
