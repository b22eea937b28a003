/**
 * The runtime as a whole on a real API server: informer, queue, loop, writes and the lead, over networks that fail.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKubernetesApi, Registry, resourceTypes, startInformer, type ClosableKubernetesApi, type KubernetesApi, type KubernetesObject, type Logger } from '@knative-kafka/common/io';
import { startKubernetes, waitFor, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SeededRandom } from '../../../common/src/core/cloudevents/seeded-random.ts';
import { startFaultyProxy, type FaultyProxy, type ProxyFault } from '../../../common/src/io/kubernetes/faulty-proxy.ts';
import { startControllerLoop } from './controller-loop.ts';
import { createEventRecorder } from './event-recorder.ts';
import { startLeaderElection, type LeaderElection, type LeaseObject } from './leader-election.ts';

interface ConfigMap extends KubernetesObject {
  readonly data?: Readonly<Record<string, string>>;
}

const factTimeoutMs = 90_000;
const type = resourceTypes.configMap;
const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, setLevel: () => undefined };

let dataDir: string;
let cluster: KubernetesCluster;
/** Past all proxies. */
let direct: ClosableKubernetesApi;
let files = 0;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-runtime-'));
  cluster = await startKubernetes({ dataDir: join(dataDir, 'cluster'), controllerManager: false });
  direct = createKubernetesApi({ kubeconfig: cluster.kubeconfig, userAgent: 'test', fieldManager: 'test', requestTimeoutMs: 30_000, requestsPerSecond: 1_000, burst: 1_000 });
});

afterAll(async () => {
  await direct.close();
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

function connect(kubeconfig: string): ClosableKubernetesApi {
  return createKubernetesApi({ kubeconfig, userAgent: 'test', fieldManager: 'test', requestTimeoutMs: 2_000, watchSilenceMs: 1_500, requestsPerSecond: 1_000, burst: 1_000 });
}

function startProxy(): Promise<FaultyProxy> {
  return startFaultyProxy(cluster.kubeconfig, join(dataDir, `proxy-${++files}.kubeconfig`));
}

async function makeNamespace(name: string): Promise<void> {
  await direct.create({ group: '', version: 'v1', kind: 'Namespace', plural: 'namespaces', isNamespaced: false }, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
}

/** Copies ConfigMaps from one namespace to another, over a proxy. */
async function startCopying(from: string, to: string) {
  await makeNamespace(from);
  await makeNamespace(to);
  const proxy = await startProxy();
  const api = connect(proxy.kubeconfig);
  const tuning = { backoff: { firstMs: 20, longestMs: 500 }, healthyAfterMs: 300, pageSize: 10 };
  const originals = startInformer<ConfigMap>(api, { type, namespace: from }, tuning);
  const copies = startInformer<ConfigMap>(api, { type, namespace: to }, tuning);
  const loop = startControllerLoop({
    name: 'copy',
    workers: 4,
    isLeading: () => true,
    log: silent,
    registry: new Registry(),
    queue: { backoff: { firstMs: 5, longestMs: 500 } },
    reconcile: async (name) => {
      const original = originals.get(`${from}/${name}`);
      if (original === undefined) {
        await api.delete(type, { namespace: to, name });
        return undefined;
      }
      if (copies.get(`${to}/${name}`)?.data?.['value'] !== original.data?.['value']) {
        await api.apply<ConfigMap>(type, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: to, name }, ...(original.data === undefined ? {} : { data: original.data }) });
      }
      // What is made here and removed by another before the informer saw it is no change to the informer.
      return { requeueAfterMs: 2_000 };
    },
  });
  await Promise.all([originals.synced(), copies.synced()]);
  for (const informer of [originals, copies]) informer.onChange(({ before, after }) => loop.enqueue((after ?? before)!.metadata.name));
  const close = async (): Promise<void> => {
    await loop.stop();
    for (const informer of [originals, copies]) informer.close();
    await api.close();
    await proxy.close();
  };
  return { proxy, close };
}

describe('a controller that copies ConfigMaps from one namespace to another', () => {
  it('makes a copy again that was removed before its informer ever saw it', async () => {
    const { proxy, close } = await startCopying('from-unseen', 'to-unseen');
    const name = { namespace: 'to-unseen', name: 'object' };
    // The informer of the copies is blind: it can neither list nor watch.
    proxy.onRequest = ({ method, path }) => (method === 'GET' && path.includes('/namespaces/to-unseen/configmaps?') ? { kind: 'answer', status: 503 } : undefined);
    proxy.breakWatches();
    await direct.apply<ConfigMap>(type, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'from-unseen', name: 'object' }, data: { value: '1' } });
    const first = await waitFor('the copy', () => direct.get(type, name), { timeoutMs: factTimeoutMs });
    await direct.delete(type, name);
    proxy.onRequest = () => undefined;
    await waitFor('another copy', async () => ((await direct.get(type, name))?.metadata.uid ?? first.metadata.uid) !== first.metadata.uid, { timeoutMs: factTimeoutMs });
    await close();
  });

  it.each([1, 2])('seed %i: ends with exact copies, whatever failed on the way', async (seed) => {
    const [from, to] = [`from-${seed}`, `to-${seed}`];
    const { proxy, close } = await startCopying(from, to);
    const random = new SeededRandom(seed);
    const isOneIn = (count: number): boolean => random.below(count) === 0;
    let faults = 0;
    proxy.onRequest = ({ isWatch }) => {
      if (!isOneIn(3)) return undefined;
      faults++;
      return random.pick<ProxyFault>([
        { kind: 'answer', status: random.pick([409, 410, 429, 500, 503]) },
        { kind: 'cut' },
        { kind: 'delay', ms: random.below(200) },
        { kind: 'break-after', bytes: random.below(2_000) },
        isWatch ? { kind: 'garbage-after', bytes: random.below(2_000) } : { kind: 'lose-answer' },
      ]);
    };
    for (let step = 0; step < 300 || faults < 50; step++) {
      expect(step).toBeLessThan(20_000);
      const name = `object-${random.below(30)}`;
      const namespace = isOneIn(10) ? to : from; // somebody meddles with the copies, too
      if (isOneIn(3)) await direct.delete(type, { namespace, name });
      else await direct.apply<ConfigMap>(type, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name }, data: { value: `${step}` } });
      if (isOneIn(20)) proxy.breakWatches();
    }
    proxy.onRequest = () => undefined;
    const valuesOf = async (namespace: string): Promise<unknown> => {
      const { items } = await direct.list<ConfigMap>(type, { namespace });
      return Object.fromEntries(items.filter(({ metadata }) => metadata.name.startsWith('object-')).map(({ metadata, data }) => [metadata.name, data?.['value']]));
    };
    await waitFor('the copies to be as the originals are', async () => {
      expect(await valuesOf(to)).toEqual(await valuesOf(from));
      return true;
    }, { timeoutMs: factTimeoutMs });
    await close();
  });
});

/** What a leader does: it writes as often as it may, and every write is noted by one clock, when it began and when it was over. */
class Writer {
  readonly proxy: FaultyProxy;
  readonly api: ClosableKubernetesApi;
  readonly election: LeaderElection;
  readonly written: { readonly at: number; readonly until: number }[] = [];
  refused = 0;
  isLost = false;
  #isOver = false;
  readonly #running: Promise<void>;

  private constructor(proxy: FaultyProxy, namespace: string, identity: string) {
    this.proxy = proxy;
    this.api = connect(proxy.kubeconfig);
    this.election = startLeaderElection({ api: this.api, namespace, name: 'lead', identity, leaseDurationMs: 3_000, log: silent, onLost: () => (this.isLost = true) });
    this.#running = this.#write(this.election.guard(this.api), namespace, identity);
  }

  static async start(namespace: string, identity: string): Promise<Writer> {
    return new Writer(await startProxy(), namespace, identity);
  }

  async #write(guarded: KubernetesApi, namespace: string, identity: string): Promise<void> {
    for (let count = 0; !this.#isOver; count++) {
      const at = performance.now();
      try {
        await guarded.apply<ConfigMap>(type, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name: 'written' }, data: { by: identity, count: `${count}` } });
        this.written.push({ at, until: performance.now() });
      } catch {
        this.refused++;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.election.stop();
    await this.api.close();
    await this.#running;
    await this.proxy.close();
  }
}

describe('two candidates for the lead', () => {
  it.each<[string, (proxy: FaultyProxy) => void]>([
    ['is cut off', (proxy) => proxy.cut()],
    ['meets a network that stands still', (proxy) => proxy.freeze()],
    ['cannot write its Lease any more', (proxy) => (proxy.onRequest = ({ path }) => (path.includes('/leases') ? { kind: 'answer', status: 500 } : undefined))],
    ['gets no answers for what it wrote', (proxy) => (proxy.onRequest = ({ path, method }) => (path.includes('/leases') && method === 'PUT' ? { kind: 'lose-answer' } : undefined))],
  ])('never lead together, and the other takes over when the leader %s', async (label, fail) => {
    const namespace = `lead-${label.replace(/[^a-z]/g, '')}`;
    await makeNamespace(namespace);
    const first = await Writer.start(namespace, 'first');
    await waitFor('the first to lead', () => first.election.isLeading(), { timeoutMs: factTimeoutMs });
    const second = await Writer.start(namespace, 'second');
    await waitFor('the first to write and the second to be refused', () => first.written.length > 20 && second.refused > 20, { timeoutMs: factTimeoutMs });
    expect(second.written).toHaveLength(0);

    // Asked all the time: both at once would be the bug.
    let moments = 0;
    let together = 0;
    const watching = setInterval(() => {
      moments++;
      if (first.election.isLeading() && second.election.isLeading()) together++;
    }, 1);
    fail(first.proxy);
    if (label.startsWith('gets no answers')) await waitFor('the first to be lost', () => first.isLost, { timeoutMs: factTimeoutMs }).then(() => first.proxy.cut());
    await waitFor('the second to write', () => second.written.length > 20, { timeoutMs: factTimeoutMs });
    clearInterval(watching);

    expect(moments).toBeGreaterThan(100);
    expect(together).toBe(0);
    expect(first.isLost).toBe(true);
    expect(first.written.at(-1)!.until).toBeLessThan(second.written[0]!.at);
    expect((await direct.get<LeaseObject>(resourceTypes.lease, { namespace, name: 'lead' }))?.spec).toMatchObject({ holderIdentity: 'second', leaseTransitions: 1 });
    first.proxy.heal();
    first.proxy.onRequest = () => undefined;
    const refused = first.refused;
    await waitFor('the first to be refused though it is back', () => first.refused > refused + 20, { timeoutMs: factTimeoutMs });
    expect(first.election.isLeading()).toBe(false);
    await second.close();
    await first.close();
    expect((await direct.get<LeaseObject>(resourceTypes.lease, { namespace, name: 'lead' }))?.spec).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 });
  });

  it('is lost by the clock when the API server is away, and another begins when it is back', async () => {
    await makeNamespace('lead-restart');
    const only = await Writer.start('lead-restart', 'only');
    await waitFor('it to write', () => only.written.length > 20, { timeoutMs: factTimeoutMs });
    await cluster.apiServer.kill();
    await waitFor('the lead to be lost by the clock', () => only.isLost && !only.election.isLeading(), { timeoutMs: factTimeoutMs });
    await cluster.apiServer.start();
    const next = await Writer.start('lead-restart', 'next');
    await waitFor('another to write', () => next.written.length > 20, { timeoutMs: factTimeoutMs });
    await next.close();
    await only.close();
  });
});

describe('the event recorder', () => {
  it('writes Events that the API server takes, and counts what is told again', async () => {
    await makeNamespace('told');
    const object = await direct.apply<ConfigMap>(type, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'told', name: 'about' } });
    const recorder = createEventRecorder({ api: direct, reportingController: 'kafka-controller', reportingInstance: 'kafka-controller-0', log: silent });
    const tell = (): void => recorder.record({ regarding: object, type: 'Warning', reason: 'TopicRejected', note: `no such replicas ${'€'.repeat(1_000)}`, action: 'Reconcile' });
    const told = async (): Promise<readonly unknown[]> => (await direct.list(resourceTypes.event, { namespace: 'told' })).items;
    tell();
    await waitFor('the Event', async () => (await told()).length === 1, { timeoutMs: factTimeoutMs });
    tell();
    tell();
    await waitFor('the Event to count', async () => ((await told())[0] as { readonly series?: { readonly count: number } }).series?.count === 3, { timeoutMs: factTimeoutMs });
    const { stdout } = await cluster.kubectl(['describe', 'configmap', 'about', '-n', 'told']);
    expect(stdout).toMatch(/Warning\s+TopicRejected\s.*x3.*kafka-controller/);
    recorder.record({ regarding: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'told' } }, type: 'Normal', reason: 'Told', note: 'of the cluster', action: 'Reconcile' });
    await waitFor('the Event about what has no namespace', async () => (await direct.list(resourceTypes.event, { namespace: 'default', fieldSelector: 'reason=Told' })).items.length === 1, { timeoutMs: factTimeoutMs });
    await recorder.close();
  });
});
