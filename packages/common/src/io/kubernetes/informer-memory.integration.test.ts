/**
 * Watches that end at once, thousands of times, on a server of the test's own: what an informer keeps does not grow with
 * their number.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { waitFor } from '@knative-kafka/local-cluster';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createKubernetesApi, type ClosableKubernetesApi } from './client.ts';
import { startInformer } from './informer.ts';
import type { KubernetesObject } from './port.ts';
import { resourceTypes } from './types.ts';

const objects = 20;
/** So large that a copy for each watch would be seen. */
const data = { text: 'x'.repeat(20_000) };
const [warmUp, measured] = [300, 1_000];

let folder: string;
let server: Server;
let api: ClosableKubernetesApi;
let watches = 0;

const configMap = (version: number): object => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'a', name: `object-${version % objects}`, uid: `${version % objects}`, resourceVersion: `${version}` }, data });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'knative-kafka-informer-memory-'));
  server = createServer(({ url = '' }, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    if (url.includes('watch=true')) response.end(`${JSON.stringify({ type: 'MODIFIED', object: configMap(objects + ++watches) })}\n`);
    else response.end(JSON.stringify({ metadata: { resourceVersion: `${objects + watches}` }, items: Array.from({ length: objects }, (_, index) => configMap(index)) }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, JSON.stringify({
    clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'insecure-skip-tls-verify': true } }], users: [{ name: 'u', user: {} }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }], 'current-context': 'x',
  }));
  api = createKubernetesApi({ kubeconfig, userAgent: 'test', fieldManager: 'test', requestsPerSecond: 1e6, burst: 1e6 });
});

afterAll(async () => {
  await api.close();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

it('keeps what there is, not what there was, however often its watch ends', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const informer = startInformer<KubernetesObject>(api, { type: resourceTypes.configMap }, { backoff: { firstMs: 1, longestMs: 1 } });
  const bytesAfter = async (count: number): Promise<number> => {
    await waitFor(`${count} watches`, () => watches >= count, { timeoutMs: 60_000 });
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = await bytesAfter(warmUp);
  const after = await bytesAfter(warmUp + measured);
  informer.close();
  expect(informer.list()).toHaveLength(objects);
  // A copy of each object that came would be 20 MB.
  expect(after - before).toBeLessThan(2e6);
}, 120_000);
