import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProcess, waitFor } from './child-process.ts';
import { freePort } from './free-port.ts';
import { startKubernetes, type ClientOptions, type KubernetesCluster } from './kubernetes.ts';

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'knative-kafka-kubernetes-'));
});

afterAll(async () => {
  await rm(root, { recursive: true });
});

const crateDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'crates.test.example' },
  spec: {
    group: 'test.example',
    scope: 'Namespaced',
    names: { kind: 'Crate', plural: 'crates', singular: 'crate' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                properties: { bottles: { type: 'integer' }, places: { type: 'integer' } },
                'x-kubernetes-validations': [{ rule: 'self.bottles <= self.places', message: 'more bottles than places' }],
              },
              status: { type: 'object', properties: { isFull: { type: 'boolean' } } },
            },
          },
        },
      },
    ],
  },
};

function crate(name: string, spec: { bottles: number; places: number }) {
  return { apiVersion: 'test.example/v1', kind: 'Crate', metadata: { name, namespace: 'default' }, spec };
}

function configMap(name: string, data: Record<string, string>, metadata: object = {}) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default', ...metadata }, data };
}

/** kubectl's standard output; an exit code other than 0 becomes an error with its words. */
async function kubectl(cluster: KubernetesCluster, args: string[], options?: ClientOptions): Promise<string> {
  const result = await cluster.kubectl(args, options);
  if (result.code !== 0) throw new Error(result.stderr);
  return result.stdout;
}

async function apply(cluster: KubernetesCluster, object: object, ...args: string[]): Promise<string> {
  return kubectl(cluster, ['apply', '-f', '-', ...args], { input: JSON.stringify(object) });
}

/** Command lines of living processes that name the folder. */
function processesOf(folder: string): string[] {
  const lines = execFileSync('ps', ['-A', '-ww', '-o', 'args='], { encoding: 'utf8' }).split('\n');
  return lines.filter((line) => line.includes(folder) && !line.startsWith('ps '));
}

describe('Kubernetes', () => {
  let cluster: KubernetesCluster;
  let dataDir: string;
  const deaths: string[] = [];

  beforeAll(async () => {
    dataDir = join(root, 'shared');
    // Generous, because it may be the first start on this machine, which builds everything.
    cluster = await startKubernetes({ dataDir, onProcessEnded: (text) => deaths.push(text) });
  }, 1_800_000);

  afterAll(async () => {
    await cluster.stop();
    await cluster.stop(); // harmless
    expect(processesOf(dataDir)).toEqual([]);
    expect(await readdir(root)).not.toContain('shared'); // not persistent: nothing is left
    expect(deaths).toEqual([]);
  });

  it('holds custom resources to the rules of their definition', async () => {
    await apply(cluster, crateDefinition);
    await kubectl(cluster, ['wait', '--for=condition=Established', 'crd/crates.test.example', '--timeout=60s']);
    await apply(cluster, crate('half-full', { bottles: 6, places: 12 }));
    await expect(apply(cluster, crate('too-full', { bottles: 13, places: 12 }))).rejects.toThrow('more bottles than places');
  });

  it('lets a ServiceAccount do what its roles allow, and nothing else', async () => {
    for (const command of [
      ['create', 'serviceaccount', 'reader'],
      ['create', 'role', 'read-configmaps', '--verb=get,list', '--resource=configmaps'],
      ['create', 'rolebinding', 'read-configmaps', '--role=read-configmaps', '--serviceaccount=default:reader'],
    ]) {
      await kubectl(cluster, [...command, '--namespace=default']);
    }
    const kubeconfig = await cluster.kubeconfigFor({ namespace: 'default', serviceAccount: 'reader' });
    expect(await kubectl(cluster, ['auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}'], { kubeconfig })).toBe(
      'system:serviceaccount:default:reader',
    );
    await waitFor('the role to count', () => kubectl(cluster, ['get', 'configmaps'], { kubeconfig }), { timeoutMs: 30_000 });
    await expect(kubectl(cluster, ['get', 'secrets'], { kubeconfig })).rejects.toThrow(
      /"system:serviceaccount:default:reader" cannot list resource "secrets"/,
    );
  });

  it('gives no token of a ServiceAccount that does not exist', async () => {
    await expect(cluster.kubeconfigFor({ namespace: 'default', serviceAccount: 'nobody' })).rejects.toThrow(
      'no token for ServiceAccount default/nobody: error: failed to create token: serviceaccounts "nobody" not found',
    );
  });

  it('keeps field managers apart in server-side apply', async () => {
    await apply(cluster, configMap('shared-fields', { colour: 'blue' }), '--server-side', '--field-manager=one');
    await apply(cluster, configMap('shared-fields', { size: 'large' }), '--server-side', '--field-manager=other');
    expect(await kubectl(cluster, ['get', 'configmap', 'shared-fields', '-o', 'jsonpath={.data}'])).toBe('{"colour":"blue","size":"large"}');
    await expect(
      apply(cluster, configMap('shared-fields', { colour: 'red' }), '--server-side', '--field-manager=other'),
    ).rejects.toThrow('conflict with "one": .data.colour');
  });

  it('collects what belonged to a deleted custom resource', async () => {
    await apply(cluster, crate('owner', { bottles: 0, places: 1 }));
    const uid = await kubectl(cluster, ['get', 'crate', 'owner', '-o', 'jsonpath={.metadata.uid}']);
    const ownerReferences = [{ apiVersion: 'test.example/v1', kind: 'Crate', name: 'owner', uid }];
    await apply(cluster, configMap('owned', {}, { ownerReferences }));
    await kubectl(cluster, ['delete', 'crate', 'owner']);
    const isGone = async () => !(await kubectl(cluster, ['get', 'configmaps', '-o', 'name'])).includes('configmap/owned');
    await waitFor('the owned ConfigMap to be collected', isGone, { timeoutMs: 120_000, everyMs: 500 });
  });

  it('rolls a Deployment out as far as the pods, which nobody runs', async () => {
    await kubectl(cluster, ['create', 'deployment', 'web', '--image=example.test/web', '--replicas=2']);
    const pods = () => kubectl(cluster, ['get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.phase}']);
    await waitFor('two pods', async () => (await pods()) === 'Pending Pending', { timeoutMs: 60_000 });
  });

  it('keeps its data when the API server is killed, and is found at the same address afterwards', async () => {
    const { url, apiServer } = cluster;
    await apply(cluster, configMap('kept', { since: 'before' }));
    const runs = () => processesOf(`--secure-port=${apiServer.port}`).length;
    expect(runs()).toBe(1);
    await apiServer.kill();
    expect(runs()).toBe(0);
    expect(apiServer.isRunning()).toBe(false);
    await expect(kubectl(cluster, ['get', 'configmap', 'kept'])).rejects.toThrow('was refused');
    await apiServer.start();
    expect(cluster.url).toBe(url);
    expect(await kubectl(cluster, ['get', 'configmap', 'kept', '-o', 'jsonpath={.data.since}'])).toBe('before');
    await expect(apiServer.start()).rejects.toThrow('kube-apiserver runs already');
  });

  it('stops in order, with a watch open', async () => {
    const { apiServer } = cluster;
    const watch = startProcess({
      name: 'watch',
      command: join(cluster.programs, 'kubectl'),
      args: ['get', 'configmaps', '--watch', '--kubeconfig', cluster.kubeconfig],
    });
    await watch.waitForOutput('kept', 30_000);
    await apiServer.stop();
    await watch.exited; // its stream was ended, not only cut off from what it waits for
    await apiServer.start();
    expect(await kubectl(cluster, ['get', '--raw=/readyz'])).toBe('ok');
  });

  it('answers nothing while it is frozen', async () => {
    cluster.apiServer.freeze();
    await expect(kubectl(cluster, ['get', 'namespaces', '--request-timeout=1s'])).rejects.toThrow(/timeout|deadline/i);
    cluster.apiServer.thaw();
    await waitFor('an answer', () => kubectl(cluster, ['get', 'namespaces']), { timeoutMs: 60_000 });
  });

  it('refuses a folder with data that would be removed', async () => {
    await expect(startKubernetes({ dataDir })).rejects.toThrow(`${dataDir} holds the data of another Kubernetes`);
    expect(await kubectl(cluster, ['get', '--raw=/readyz'])).toBe('ok');
  });
});

it('finds its data again where that is to stay, at a port of its own', async () => {
  const dataDir = join(root, 'persistent');
  const options = { dataDir, persistent: true, controllerManager: false };
  const first = await startKubernetes(options);
  await apply(first, configMap('kept', { since: 'the first start' }));
  await first.stop();
  expect(processesOf(dataDir)).toEqual([]);
  const second = await startKubernetes({ ...options, port: await freePort() });
  expect(await kubectl(second, ['get', 'configmap', 'kept', '-o', 'jsonpath={.data.since}'])).toBe('the first start');
  await second.stop();
  expect((await readFile(join(dataDir, 'log', 'kube-apiserver.log'), 'utf8')).length).toBeGreaterThan(0);
});

it('says that the wanted port is taken, and leaves nothing behind', async () => {
  const server = createServer();
  const port = await freePort();
  await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));
  const dataDir = join(root, 'no-port');
  try {
    await expect(startKubernetes({ dataDir, port })).rejects.toThrow(`Kubernetes needs the port ${port} of 127.0.0.1, and another program has it`);
  } finally {
    server.close();
  }
  expect(processesOf(dataDir)).toEqual([]);
  expect(await readdir(root)).not.toContain('no-port');
});

it('tells when one of its processes ends by itself', async () => {
  const ended = Promise.withResolvers<string>();
  const cluster = await startKubernetes({
    dataDir: join(root, 'death'),
    controllerManager: false,
    onProcessEnded: (text) => ended.resolve(text),
  });
  const etcd = execFileSync('pgrep', ['-f', join(root, 'death', 'etcd')], { encoding: 'utf8' }).trim().split('\n').map(Number)[0]!;
  process.kill(etcd, 'SIGKILL');
  expect(await ended.promise).toMatch(/^etcd ended with SIGKILL; the last lines of its log:/);
  await cluster.stop();
});
