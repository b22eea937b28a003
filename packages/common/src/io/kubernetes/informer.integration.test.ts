/**
 * Informers on a real API server that is reached over a network that fails: each fault once, then faults at random.
 *
 * What is promised: whatever happened, the copy is as the API server's state soon after it can be reached again, and
 * whoever listens was told of every difference.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startKubernetes, waitFor, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SeededRandom } from '../../core/cloudevents/seeded-random.ts';
import { createKubernetesApi, type ClosableKubernetesApi } from './client.ts';
import { startFaultyProxy, type FaultyProxy, type ProxiedRequest, type ProxyFault } from './faulty-proxy.ts';
import { startInformer, type InformerTuning } from './informer.ts';
import type { Informer, KubernetesObject } from './port.ts';
import { resourceTypes } from './types.ts';

interface ConfigMap extends KubernetesObject {
  readonly data?: Readonly<Record<string, string>>;
}

const factTimeoutMs = 60_000;
const tuning: InformerTuning = { pageSize: 5, backoff: { firstMs: 20, longestMs: 500 }, healthyAfterMs: 300 };

let dataDir: string;
let cluster: KubernetesCluster;
/** Past the proxy. */
let direct: ClosableKubernetesApi;
let namespaces = 0;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-informer-'));
  cluster = await startKubernetes({ dataDir, controllerManager: false });
  direct = createKubernetesApi({ kubeconfig: cluster.kubeconfig, userAgent: 'test', fieldManager: 'test', requestsPerSecond: 1_000, burst: 1_000 });
});

afterAll(async () => {
  await direct.close();
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

let scene: Scene | undefined;
afterEach(async () => {
  await scene?.close();
  scene = undefined;
});

/** A namespace with ConfigMaps, a proxy before the API server, and an informer behind it. */
class Scene {
  readonly proxy: FaultyProxy;
  readonly api: ClosableKubernetesApi;
  readonly informer: Informer<ConfigMap>;
  readonly troubles: string[] = [];
  /** What a listener knows that believes every change it is told of. */
  readonly told = new Map<string, ConfigMap>();
  readonly namespace: string;

  private constructor(proxy: FaultyProxy, namespace: string, more: InformerTuning & { readonly watchSilenceMs?: number }) {
    this.proxy = proxy;
    this.namespace = namespace;
    const { watchSilenceMs = 90_000, ...moreTuning } = more;
    this.api = createKubernetesApi({ kubeconfig: proxy.kubeconfig, userAgent: 'test', fieldManager: 'test', requestTimeoutMs: 2_000, watchSilenceMs, requestsPerSecond: 1_000, burst: 1_000 });
    this.informer = startInformer<ConfigMap>(this.api, { type: resourceTypes.configMap, namespace, onTrouble: (trouble) => this.troubles.push('isOver' in trouble ? 'over' : trouble.reason) }, { ...tuning, ...moreTuning });
    this.informer.onChange(({ key, before, after }) => {
      expect(this.told.get(key)?.metadata.resourceVersion).toBe(before?.metadata.resourceVersion); // no change was left out
      if (after === undefined) this.told.delete(key);
      else this.told.set(key, after);
    });
  }

  static async open(more: InformerTuning & { readonly watchSilenceMs?: number } = {}): Promise<Scene> {
    const namespace = `scene-${++namespaces}`;
    await direct.create({ group: '', version: 'v1', kind: 'Namespace', plural: 'namespaces', isNamespaced: false }, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    const proxy = await startFaultyProxy(cluster.kubeconfig, join(dataDir, `${namespace}.kubeconfig`));
    for (let index = 0; index < 12; index++) await put(namespace, `start-${index}`, '0');
    const opened = (scene = new Scene(proxy, namespace, more));
    await opened.informer.synced();
    await opened.untilTheSame();
    await opened.untilHealthy();
    return opened;
  }

  async put(name: string, value: string): Promise<void> {
    await put(this.namespace, name, value);
  }

  async remove(name: string): Promise<void> {
    await direct.delete(resourceTypes.configMap, { namespace: this.namespace, name });
  }

  /** One of each kind of change. */
  async change(label: string): Promise<void> {
    await this.put(`new-${label}`, label);
    await this.put('start-0', label);
    await this.remove('start-1');
    await this.remove('start-2'); // and again under the same name
    await this.put('start-2', label);
  }

  async untilTheSame(): Promise<void> {
    await waitFor('the copy to be as the state is, and the listener to know all of it', async () => {
      const { items } = await direct.list<ConfigMap>(resourceTypes.configMap, { namespace: this.namespace });
      const state = Object.fromEntries(items.map(({ metadata, data }) => [`${metadata.namespace}/${metadata.name}`, `${metadata.uid} ${metadata.resourceVersion} ${data?.['value']}`]));
      const text = (objects: Iterable<ConfigMap>): unknown => Object.fromEntries([...objects].map(({ metadata, data }) => [`${metadata.namespace}/${metadata.name}`, `${metadata.uid} ${metadata.resourceVersion} ${data?.['value']}`]));
      expect(text(this.informer.list())).toEqual(state);
      expect(text(this.told.values())).toEqual(state);
      return true;
    }, { timeoutMs: factTimeoutMs });
  }

  /** Until a watch stands that has to do with nothing before. */
  async untilHealthy(): Promise<void> {
    await waitFor('a watch to stand and trouble to be over', () => this.proxy.watches() === 1 && this.troubles.length % 2 === 0, { timeoutMs: factTimeoutMs });
  }

  /** Each outage is told once, and that it is over. */
  expectTroubles(count: number): void {
    expect(this.troubles).toHaveLength(2 * count);
    for (const [index, trouble] of this.troubles.entries()) expect(trouble === 'over').toBe(index % 2 === 1);
  }

  async close(): Promise<void> {
    this.informer.close();
    await this.api.close();
    await this.proxy.close();
  }
}

describe('an informer', () => {
  it('reads in pages and follows changes', async () => {
    const { proxy, scene: opened } = await openWith();
    expect(proxy.requests.filter(({ path }) => path.includes('continue='))).toHaveLength(2); // 12 objects in pages of 5
    await opened.change('a');
    await opened.untilTheSame();
    opened.expectTroubles(0);
    expect(opened.informer.list().every((object) => !('managedFields' in object.metadata))).toBe(true);
  });

  it('goes on after a broken connection, from where it was', async () => {
    const { proxy, scene: opened } = await openWith();
    await opened.change('a');
    await opened.untilTheSame();
    const lists = listsOf(proxy);
    expect(proxy.breakWatches()).toBe(1);
    await opened.change('b');
    await opened.untilTheSame();
    await opened.untilHealthy();
    expect(listsOf(proxy)).toBe(lists);
    opened.expectTroubles(1);
  });

  it.each<[string, (request: ProxiedRequest) => ProxyFault | undefined]>([
    ['410 for a watch', ({ isWatch }) => (isWatch ? { kind: 'answer', status: 410 } : undefined)],
    ['429 for everything', () => ({ kind: 'answer', status: 429, retryAfterSeconds: 1 })],
    ['500 for a watch', ({ isWatch }) => (isWatch ? { kind: 'answer', status: 500 } : undefined)],
    ['503 for everything', () => ({ kind: 'answer', status: 503 })],
    ['403 for everything', () => ({ kind: 'answer', status: 403 })],
    ['410 for the second page of a list', ({ path, isWatch }) => (isWatch ? { kind: 'answer', status: 410 } : path.includes('continue=') ? { kind: 'answer', status: 410 } : undefined)],
    ['lists that break in the middle', ({ isWatch }) => (isWatch ? { kind: 'answer', status: 410 } : { kind: 'break-after', bytes: 500 })],
    ['connections that break at once', () => ({ kind: 'cut' })],
    ['requests that are never answered', () => ({ kind: 'freeze' })],
    ['watches that break in the middle of a line', ({ isWatch }) => (isWatch ? { kind: 'break-after', bytes: 700 } : undefined)],
    ['watches that end in the middle of a line', ({ isWatch }) => (isWatch ? { kind: 'end-after', bytes: 700 } : undefined)],
    ['watches that turn into garbage', ({ isWatch }) => (isWatch ? { kind: 'garbage-after', bytes: 700 } : undefined)],
  ])('comes back after %s', async (_, fault) => {
    const { proxy, scene: opened } = await openWith();
    let faults = 0;
    proxy.onRequest = (request) => {
      const what = fault(request);
      if (what !== undefined) faults++;
      return what;
    };
    proxy.breakWatches();
    // Watches break only when there is something to tell.
    for (let round = 0; faults < 3; round++) {
      await opened.change(`round-${round}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(round).toBeLessThan(1_000);
    }
    proxy.onRequest = () => undefined;
    proxy.breakWatches();
    await opened.change('last');
    await opened.untilTheSame();
    await opened.untilHealthy();
    expect(opened.troubles.filter((trouble) => trouble !== 'over').length).toBeGreaterThanOrEqual(1);
    expect(opened.troubles.at(-1)).toBe('over');
  });

  it('notices that a connection is silent, and lists again', async () => {
    const { proxy, scene: opened } = await openWith({ watchSilenceMs: 1_500 });
    proxy.freeze();
    await opened.change('a');
    await waitFor('an outage to be told', () => opened.troubles.some((trouble) => trouble.includes('silent') || trouble.includes('no answer')), { timeoutMs: factTimeoutMs });
    proxy.heal();
    await opened.untilTheSame();
  });

  it('survives the API server: stopped, killed, standing still', async () => {
    const { scene: opened } = await openWith({ watchSilenceMs: 3_000 });
    await cluster.apiServer.stop();
    await cluster.apiServer.start();
    await opened.change('stopped');
    await opened.untilTheSame();
    await cluster.apiServer.kill();
    await cluster.apiServer.start();
    await opened.change('killed');
    await opened.untilTheSame();
    cluster.apiServer.freeze();
    const before = opened.troubles.length;
    await waitFor('an outage to be told', () => opened.troubles.length > before, { timeoutMs: factTimeoutMs });
    cluster.apiServer.thaw();
    await opened.change('frozen');
    await opened.untilTheSame();
  });

  it('lists again now and then, though nothing seems to be missing', async () => {
    const { proxy, scene: opened } = await openWith({ relistAfterMs: 0 });
    const lists = listsOf(proxy);
    proxy.breakWatches();
    await opened.untilHealthy();
    await waitFor('a new list', () => listsOf(proxy) > lists, { timeoutMs: factTimeoutMs });
    await opened.untilTheSame();
  });

  it('asks nothing and tells nothing once it is closed', async () => {
    const { proxy, scene: opened } = await openWith();
    opened.informer.close();
    await waitFor('the watch to end', () => proxy.watches() === 0, { timeoutMs: factTimeoutMs });
    const requests = proxy.requests.length;
    const told = new Map(opened.told);
    await opened.change('after');
    proxy.breakWatches();
    await new Promise((resolve) => setTimeout(resolve, 1_000)); // nothing to wait for: the fact is that nothing happens
    expect(proxy.requests).toHaveLength(requests);
    expect(opened.told).toEqual(told);
  });
});

describe('convergence under faults at random', () => {
  it.each([1, 2, 3])('seed %i: the copy is the state', async (seed) => {
    const { proxy, scene: opened } = await openWith({ watchSilenceMs: 1_000 });
    const random = new SeededRandom(seed);
    const isOneIn = (count: number): boolean => random.below(count) === 0;
    let faults = 0;
    proxy.onRequest = ({ isWatch }) => {
      if (isOneIn(3)) return undefined;
      faults++;
      const bytes = random.below(3_000);
      return random.pick<ProxyFault>([
        { kind: 'answer', status: random.pick([410, 429, 500, 503, 504]) },
        { kind: 'cut' },
        { kind: 'delay', ms: random.below(300) },
        { kind: 'break-after', bytes },
        { kind: 'garbage-after', bytes },
        isWatch ? { kind: 'end-after', bytes } : { kind: 'lose-answer' },
        ...(isOneIn(10) ? [{ kind: 'freeze' as const }] : []),
      ]);
    };
    // Changes until there were faults enough; how many come while one lasts depends on the machine.
    for (let step = 0; step < 400 || faults < 25; step++) {
      expect(step).toBeLessThan(20_000);
      const name = `object-${random.below(40)}`;
      if (isOneIn(3)) await opened.remove(name);
      else await opened.put(name, `${step}`);
      if (isOneIn(20)) proxy.breakWatches();
    }
    proxy.onRequest = () => undefined;
    await opened.untilTheSame();
  });
});

async function put(namespace: string, name: string, value: string): Promise<void> {
  await direct.apply<ConfigMap>(resourceTypes.configMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name }, data: { value } });
}

async function openWith(more: Parameters<typeof Scene.open>[0] = {}): Promise<{ readonly scene: Scene; readonly proxy: FaultyProxy }> {
  const opened = await Scene.open(more);
  return { scene: opened, proxy: opened.proxy };
}

/** First pages. */
function listsOf(proxy: FaultyProxy): number {
  return proxy.requests.filter(({ isWatch, path }) => !isWatch && !path.includes('continue=')).length;
}
