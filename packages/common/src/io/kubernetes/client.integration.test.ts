/**
 * The port's promises on a real API server: outcomes, errors as Faults, time limits, credentials that change.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startKubernetes, waitFor, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKubernetesApi, type ClosableKubernetesApi, type KubernetesApiOptions } from './client.ts';
import { startFaultyProxy, type FaultyProxy } from './faulty-proxy.ts';
import type { KubernetesObject, WatchEvent } from './port.ts';
import { resourceTypes } from './types.ts';

interface ConfigMap extends KubernetesObject {
  readonly data?: Readonly<Record<string, string>>;
}

const type = resourceTypes.configMap;
let dataDir: string;
let cluster: KubernetesCluster;
let proxy: FaultyProxy;
let api: ClosableKubernetesApi;

function connect(more: Partial<KubernetesApiOptions> = {}): ClosableKubernetesApi {
  return createKubernetesApi({ kubeconfig: cluster.kubeconfig, userAgent: 'test', fieldManager: 'test', ...more });
}

function configMap(name: string, data: Record<string, string> = {}): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'default', name }, data };
}

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-api-'));
  cluster = await startKubernetes({ dataDir: join(dataDir, 'cluster'), controllerManager: false });
  proxy = await startFaultyProxy(cluster.kubeconfig, join(dataDir, 'proxy.kubeconfig'));
  // The tests beside this one can keep a new API server from its work for long; the limits have tests of their own.
  api = connect({ requestTimeoutMs: 60_000 });
});

afterAll(async () => {
  await api.close();
  await proxy.close();
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

describe('objects', () => {
  it('are made once, read, replaced only as they were read, and removed', async () => {
    const name = { namespace: 'default', name: 'made' };
    expect(await api.get(type, name)).toBeUndefined();
    const made = await api.create(type, configMap('made', { a: '1' }));
    await expect(api.create(type, configMap('made'))).rejects.toMatchObject({ code: 'KUBERNETES_CONFLICT' });
    expect(await api.replace(type, { ...made, data: { a: '2' } })).toMatchObject({ data: { a: '2' } });
    await expect(api.replace(type, { ...made, data: { a: '3' } })).rejects.toMatchObject({ code: 'KUBERNETES_CONFLICT' });
    expect(await api.get(type, name)).toMatchObject({ kind: 'ConfigMap', data: { a: '2' } });
    expect(await api.delete(type, name, { uid: 'of-another' })).toBe('absent');
    expect(await api.delete(type, name, { uid: made.metadata.uid! })).toBe('deleted');
    expect(await api.delete(type, name)).toBe('absent');
  });

  it('are applied by one owner: what is left out goes, what others set stays, what is the same is no write', async () => {
    const first = await api.apply(type, configMap('applied', { ours: '1', later: '1' }));
    await cluster.kubectl(['patch', 'configmap', 'applied', '--type=merge', '-p', '{"data":{"theirs":"1","ours":"taken"}}']);
    const second = await api.apply(type, configMap('applied', { ours: '2' }));
    expect(second.data).toEqual({ ours: '2', theirs: '1' });
    const third = await api.apply(type, configMap('applied', { ours: '2' }));
    expect(third.metadata.resourceVersion).toBe(second.metadata.resourceVersion);
    expect(third.metadata.uid).toBe(first.metadata.uid);
  });

  it('are patched where they are, and as they were read', async () => {
    await api.apply(type, configMap('patched', { a: '1', b: '1' }));
    const name = { namespace: 'default', name: 'patched' };
    expect(await api.mergePatch<ConfigMap>(type, name, { data: { a: null, c: '1' } })).toMatchObject({ data: { b: '1', c: '1' } });
    expect(await api.mergePatch(type, { ...name, name: 'none' }, { data: { a: '1' } })).toBeUndefined();
    await expect(api.mergePatch(type, name, { metadata: { resourceVersion: '1' }, data: { a: '1' } })).rejects.toMatchObject({ code: 'KUBERNETES_CONFLICT' });
  });

  it('are written in their status alone', async () => {
    const deployment = {
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'default', name: 'd' },
      spec: { replicas: 0, selector: { matchLabels: { app: 'd' } }, template: { metadata: { labels: { app: 'd' } }, spec: { containers: [{ name: 'c', image: 'i' }] } } },
    };
    await api.apply(resourceTypes.deployment, deployment);
    const { apiVersion, kind, metadata } = deployment;
    await api.apply<KubernetesObject & { readonly status: object }>(resourceTypes.deployment, { apiVersion, kind, metadata, status: { observedGeneration: 7 } }, { subresource: 'status' });
    expect(await api.mergePatch(resourceTypes.deployment, deployment.metadata, { spec: { replicas: 5 }, status: { replicas: 3 } }, { subresource: 'status' })).toMatchObject({ spec: { replicas: 0 }, status: { observedGeneration: 7, replicas: 3 } });
  });

  it('are listed page by page, with their kind', async () => {
    for (let index = 0; index < 5; index++) await api.apply(type, { ...configMap(`listed-${index}`), metadata: { namespace: 'default', name: `listed-${index}`, labels: { test: 'list' } } });
    const names: string[] = [];
    let next: string | undefined;
    let pages = 0;
    do {
      const page = await api.list<ConfigMap>(type, { namespace: 'default', labelSelector: 'test=list', limit: 2, next });
      for (const { kind, apiVersion, metadata } of page.items) {
        expect([kind, apiVersion]).toEqual(['ConfigMap', 'v1']);
        names.push(metadata.name);
      }
      next = page.next;
      pages++;
    } while (next !== undefined);
    expect(pages).toBe(3);
    expect(names).toEqual([0, 1, 2, 3, 4].map((index) => `listed-${index}`));
    expect((await api.list(type, { fieldSelector: 'metadata.name=listed-3' })).items).toHaveLength(1);
  });
});

describe('refusals', () => {
  it.each([
    ['an invalid name', () => api.create(type, configMap('Not_Valid')), /ConfigMap "Not_Valid" is invalid: metadata.name/],
    ['a namespace that is not there', () => api.create(type, { ...configMap('x'), metadata: { namespace: 'nowhere', name: 'x' } }), /^create ConfigMap nowhere\/x: namespaces "nowhere" not found/],
    ['a kind that is not served', () => api.list({ ...type, group: 'not.served', kind: 'Thing', plural: 'things' }, {}), /^list Thing: /],
  ])('say what the API server says: %s', async (_, call, message) => {
    await expect(call()).rejects.toMatchObject({ name: 'Fault', code: 'KUBERNETES_REFUSED', retriable: false, message: expect.stringMatching(message) });
  });

  it('of what is forbidden name who asked', async () => {
    await cluster.kubectl(['create', 'serviceaccount', 'nobody']);
    const nobody = connect({ kubeconfig: await cluster.kubeconfigFor({ namespace: 'default', serviceAccount: 'nobody' }) });
    await expect(nobody.get(type, { namespace: 'default', name: 'x' })).rejects.toMatchObject({ code: 'KUBERNETES_REFUSED', message: expect.stringContaining('system:serviceaccount:default:nobody') });
    await nobody.close();
  });

  it('of a kubeconfig are told by the call, which works once the file is there', async () => {
    const kubeconfig = join(dataDir, 'late.kubeconfig');
    const late = connect({ kubeconfig });
    await expect(late.discover('v1', 'Secret')).rejects.toMatchObject({ code: 'SETTINGS_INVALID', message: expect.stringContaining(kubeconfig) });
    await cluster.kubectl(['config', 'view', '--raw', '--flatten']).then(({ stdout }) => writeFile(kubeconfig, stdout));
    expect(await late.discover('v1', 'Secret')).toMatchObject({ plural: 'secrets' });
    await late.close();
  });
});

describe('discovery', () => {
  it('knows what is served, and learns what is served later', async () => {
    expect(await api.discover('apps/v1', 'Deployment')).toEqual({ group: 'apps', version: 'v1', kind: 'Deployment', plural: 'deployments', isNamespaced: true });
    expect(await api.discover('v1', 'Namespace')).toMatchObject({ group: '', isNamespaced: false });
    expect(await api.discover('late.example.com/v1', 'Late')).toBeUndefined();
    expect(await api.discover('not/an/apiVersion', 'X')).toBeUndefined();
    const before = api.requestCount();
    await api.discover('apps/v1', 'StatefulSet');
    expect(api.requestCount()).toBe(before); // one answer for a whole version
    await api.create(resourceTypes.customResourceDefinition, {
      apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'lates.late.example.com' },
      spec: { group: 'late.example.com', scope: 'Namespaced', names: { kind: 'Late', plural: 'lates' }, versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }] },
    } as KubernetesObject);
    await waitFor('the new kind to be served', async () => (await api.discover('late.example.com/v1', 'Late'))?.plural === 'lates', { timeoutMs: 30_000 });
  });
});

describe('a watch', () => {
  it('says that it stands, tells changes in order, and ends when it is given up', async () => {
    const { resourceVersion } = await api.list(type, { namespace: 'default' });
    const giveUp = new AbortController();
    const events: WatchEvent<ConfigMap>[] = [];
    const watch = api.watch<ConfigMap>(type, { namespace: 'default', fieldSelector: 'metadata.name=watched', resourceVersion, signal: giveUp.signal }, (event) => events.push(event));
    await waitFor('the watch to stand', () => events.length === 1, { timeoutMs: 30_000 });
    expect(events[0]).toMatchObject({ type: 'BOOKMARK', object: { metadata: { resourceVersion } } });
    await api.apply(type, configMap('watched', { large: 'ä'.repeat(400_000) }));
    await api.apply(type, configMap('watched', { large: 'small' }));
    await api.delete(type, { namespace: 'default', name: 'watched' });
    await waitFor('all changes', () => events.length === 4, { timeoutMs: 30_000 });
    expect(events.map((event) => event.type)).toEqual(['BOOKMARK', 'ADDED', 'MODIFIED', 'DELETED']);
    expect((events[1] as { object: ConfigMap }).object.data?.['large']).toBe('ä'.repeat(400_000));
    giveUp.abort();
    await expect(watch).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('of a kind that is not served is refused', async () => {
    await expect(api.watch({ ...type, group: 'not.served' }, { resourceVersion: '1' }, () => undefined)).rejects.toMatchObject({ code: 'KUBERNETES_REFUSED' });
  });
});

describe('limits', () => {
  it('end a call that is never answered, and one whose answer never ends', async () => {
    const hurried = connect({ kubeconfig: proxy.kubeconfig, requestTimeoutMs: 300 });
    proxy.onRequest = () => ({ kind: 'freeze' });
    await expect(hurried.get(type, { namespace: 'default', name: 'x' })).rejects.toMatchObject({ code: 'KUBERNETES_UNAVAILABLE', retriable: true, message: 'get ConfigMap default/x: no answer within 300 ms' });
    await expect(hurried.watch(type, { resourceVersion: '1' }, () => undefined)).rejects.toMatchObject({ code: 'KUBERNETES_UNAVAILABLE' });
    proxy.onRequest = () => undefined;
    expect(await hurried.get(type, { namespace: 'default', name: 'x' })).toBeUndefined();
    await hurried.close();
  });

  it('end a watch that is silent', async () => {
    const { resourceVersion } = await api.list(type, { namespace: 'default' });
    const impatient = connect({ watchSilenceMs: 500 });
    await expect(impatient.watch(type, { namespace: 'kube-public', resourceVersion }, () => undefined)).rejects.toMatchObject({ code: 'KUBERNETES_UNAVAILABLE', message: 'watch ConfigMap kube-public: silent for 500 ms' });
    await impatient.close();
  });

  it('are kept as the API server asks: 429 with Retry-After is waited for within the time limit', async () => {
    const patient = connect({ kubeconfig: proxy.kubeconfig, requestTimeoutMs: 5_000 });
    let refusals = 1;
    proxy.onRequest = () => (refusals-- > 0 ? { kind: 'answer', status: 429, retryAfterSeconds: 1 } : undefined);
    expect(await patient.apply(type, configMap('asked-twice', { a: '1' }))).toMatchObject({ data: { a: '1' } });
    proxy.onRequest = () => ({ kind: 'answer', status: 429, retryAfterSeconds: 60 });
    await expect(patient.apply(type, configMap('asked-once'))).rejects.toMatchObject({ code: 'KUBERNETES_UNAVAILABLE', retriable: true });
    proxy.onRequest = () => undefined;
    await patient.close();
  });

  it('hold back calls beyond the rate', async () => {
    const slow = connect({ requestsPerSecond: 0.001, burst: 5 });
    const calls = Array.from({ length: 8 }, () => slow.get(type, { namespace: 'default', name: 'x' }));
    expect(await Promise.all(calls.slice(0, 5))).toEqual(Array(5).fill(undefined));
    expect(slow.requestCount()).toBe(5);
    await slow.close();
    for (const call of calls.slice(5)) await expect(call).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('do not hold up an end: closing gives up what is under way', async () => {
    const closing = connect({ kubeconfig: proxy.kubeconfig });
    proxy.onRequest = () => ({ kind: 'freeze' });
    const call = closing.get(type, { namespace: 'default', name: 'x' });
    await waitFor('the call to be on its way', () => closing.requestCount() === 1, { timeoutMs: 30_000 });
    await closing.close();
    await expect(call).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(closing.get(type, { namespace: 'default', name: 'x' })).rejects.toMatchObject({ code: 'CLOSED' });
    proxy.onRequest = () => undefined;
  });
});

describe('credentials', () => {
  it('that are refused are read again, and the call is made with the new ones', async () => {
    const shown: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      shown.push(request.headers.authorization);
      response.writeHead(request.headers.authorization === 'Bearer new' ? 404 : 401, { 'content-type': 'application/json' });
      response.end('{"kind":"Status","message":"Unauthorized"}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const kubeconfig = join(dataDir, 'token.kubeconfig');
    const writeToken = (token: string): Promise<void> =>
      writeFile(kubeconfig, JSON.stringify({
        clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${(server.address() as { readonly port: number }).port}`, 'insecure-skip-tls-verify': true } }],
        users: [{ name: 'u', user: { token } }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      }));
    await writeToken('old');
    const renewing = connect({ kubeconfig });
    await expect(renewing.get(type, { namespace: 'default', name: 'x' })).rejects.toMatchObject({ code: 'KUBERNETES_REFUSED', message: 'get ConfigMap default/x: Unauthorized' });
    await writeToken('new');
    await waitFor('the new token to be shown', async () => (await renewing.get(type, { namespace: 'default', name: 'x' })) === undefined, { timeoutMs: 30_000, everyMs: 200 });
    expect(shown.at(-1)).toBe('Bearer new');
    await renewing.close();
    await new Promise((resolve) => server.close(resolve));
  });
});
