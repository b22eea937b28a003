/**
 * A Kubernetes node beside a local API server (kubernetes.ts): containerd, kubelet, kube-proxy and the cluster's DNS, so
 * that pods run, Services lead to them by name, probes decide what is Ready, and `helm install --wait` means something.
 *
 * It runs in an isolated tree (isolation.ts) and nowhere else: outside of one it would take over the machine.
 *
 * Always true: a started node is Ready and its DNS answers; images are those that were imported, and nothing is ever
 * pulled; outside `dataDir` nothing is written that outlives the tree.
 */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { waitFor } from './child-process.ts';
import { isIsolated, nodeNetwork } from './isolation.ts';
import type { KubernetesCluster } from './kubernetes.ts';
import { LoggedProcess } from './logged-process.ts';
import { clusterDns, cniFolders, containerdConfig, healthPorts, kubeletConfig, kubeProxyConfig, nodeName, podNetwork } from './node-config.ts';
import { runCommand } from './run-command.ts';
import { lastLines } from './text-lines.ts';

export interface NodeOptions {
  /** Started with `nodeAddress`. */
  readonly kubernetes: KubernetesCluster;
  /** Created where it is missing; whoever made it removes it, once the tree has ended. */
  readonly dataDir: string;
  /** Control group that exists and is the node's alone (control-groups.ts). */
  readonly controlGroup: string;
  /** Archives in the form of `docker save`: those of ensureNodeImages, and what the pods are to run. */
  readonly images: readonly string[];
  /** Called with one line of text whenever there is something new to say. */
  readonly onProgress?: ((text: string) => void) | undefined;
  /** Called when one of the processes ends that nobody stopped, with a sentence and the last lines of its log. */
  readonly onProcessEnded?: ((text: string) => void) | undefined;
}

export interface LocalNode {
  /** Folder of the programs' logs. */
  readonly logs: string;
  /** @throws Error with containerd's words */
  importImage(archive: string): Promise<void>;
  /**
   * SIGKILL for a container's first process, as when its machine runs out of memory.
   *
   * @param id of containerd, as the pod's status has it behind `containerd://`
   * @throws Error with containerd's words
   */
  killContainer(id: string): Promise<void>;
}

const readyTimeoutMs = 180_000;
const answerTimeoutMs = 5_000;
const socket = '/run/containerd/containerd.sock';

/**
 * Starts a node and waits until it is Ready and the cluster's DNS serves.
 *
 * @throws Error in sentences for people, or with the last lines of the log of a process which ended early
 */
export async function startNode({ kubernetes, dataDir, controlGroup, images, onProgress, onProcessEnded }: NodeOptions): Promise<LocalNode> {
  if (!isIsolated()) throw new Error('a node may only be started in an isolated tree: elsewhere it would change the whole machine');
  const paths = nodePaths(resolve(dataDir));
  const part = (name: string, command: string, args: readonly string[]): LoggedProcess =>
    new LoggedProcess({ name, command, args, logFile: join(paths.logs, `${name}.log`), onEnded: onProcessEnded });

  onProgress?.('Kubernetes node: starting containerd');
  await writeConfig(paths);
  const containerd = part('containerd', 'containerd', ['--config', paths.containerdConfig]);
  await containerd.start(async () => (await runCommand('ctr', ['--address', socket, 'version'])).code === 0);
  for (const archive of images) {
    onProgress?.(`Kubernetes node: importing ${archive.slice(archive.lastIndexOf('/') + 1)}`);
    await importImage(archive);
  }

  onProgress?.('Kubernetes node: starting kubelet and kube-proxy');
  const kubelet = await kubernetes.issue({
    name: 'kubelet',
    commonName: `system:node:${nodeName}`,
    organizations: ['system:nodes'],
    dnsNames: [nodeName, 'localhost'],
    ipAddresses: ['127.0.0.1', nodeNetwork.nodeAddress],
  });
  const proxy = await kubernetes.issue({ name: 'kube-proxy', commonName: 'system:kube-proxy' });
  await writeJson(
    paths.kubeletConfig,
    kubeletConfig({
      authority: kubernetes.caFile,
      certificate: kubelet.certificate,
      key: kubelet.key,
      containerdSocket: socket,
      resolvConf: paths.resolvConf,
      podLogs: paths.podLogs,
      controlGroup: `/${controlGroup}`,
    }),
  );
  await writeJson(paths.kubeProxyConfig, kubeProxyConfig(proxy.kubeconfig));
  await apply(kubernetes, [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'kube-proxy' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:node-proxier' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'system:kube-proxy' }],
    },
    ...clusterDns(),
  ]);
  await part('kubelet', join(kubernetes.programs, 'kubelet'), [
    `--config=${paths.kubeletConfig}`,
    `--kubeconfig=${kubelet.kubeconfig}`,
    `--root-dir=${paths.kubelet}`,
    `--cert-dir=${join(paths.kubelet, 'pki')}`,
    `--hostname-override=${nodeName}`,
    `--node-ip=${nodeNetwork.nodeAddress}`,
  ]).start(() => isHealthy(healthPorts.kubelet));
  await part('kube-proxy', join(kubernetes.programs, 'kube-proxy'), [`--config=${paths.kubeProxyConfig}`]).start(() => isHealthy(healthPorts.kubeProxy));
  await waitFor('the node to be Ready', () => isTrue(kubernetes, ['wait', '--for=condition=Ready', `node/${nodeName}`]), { timeoutMs: readyTimeoutMs });
  onProgress?.('Kubernetes node: waiting for DNS');
  await waitFor('the DNS of the cluster', () => isTrue(kubernetes, ['rollout', 'status', 'deployment/coredns', '--namespace', 'kube-system']), {
    timeoutMs: readyTimeoutMs,
  });
  onProgress?.('Kubernetes node: ready');
  return { logs: paths.logs, importImage, killContainer };
}

type NodePaths = ReturnType<typeof nodePaths>;

function nodePaths(dataDir: string) {
  const inside = (...names: string[]): string => join(dataDir, ...names);
  return {
    logs: inside('log'),
    containerd: inside('containerd'),
    containerdConfig: inside('containerd.toml'),
    cniConfig: inside('cni'),
    kubelet: inside('kubelet'),
    kubeletConfig: inside('kubelet.json'),
    kubeProxyConfig: inside('kube-proxy.json'),
    podLogs: inside('pod-logs'),
    resolvConf: inside('resolv.conf'),
  };
}

async function writeConfig(paths: NodePaths): Promise<void> {
  const cniPrograms = cniFolders.find((folder) => existsSync(join(folder, 'bridge')));
  if (cniPrograms === undefined) throw new Error(`the network's programs (CNI plugins) are in none of ${cniFolders.join(', ')}`);
  for (const folder of [paths.logs, paths.cniConfig]) await mkdir(folder, { recursive: true });
  const config = { root: paths.containerd, state: '/run/containerd', socket, cniConfig: paths.cniConfig, cniPrograms };
  await writeFile(paths.containerdConfig, containerdConfig(config));
  await writeJson(join(paths.cniConfig, '10-pods.conflist'), podNetwork());
  await writeFile(paths.resolvConf, ''); // there is nobody outside to ask
}

async function importImage(archive: string): Promise<void> {
  const { code, stderr } = await runCommand('ctr', ['--address', socket, '--namespace', 'k8s.io', 'images', 'import', archive]);
  if (code !== 0) throw new Error(`${archive} could not be imported: ${lastLines(stderr, 3)}`);
}

async function killContainer(id: string): Promise<void> {
  const { code, stderr } = await runCommand('ctr', ['--address', socket, '--namespace', 'k8s.io', 'tasks', 'kill', '--signal', 'SIGKILL', id]);
  if (code !== 0) throw new Error(`container ${id} could not be killed: ${lastLines(stderr, 3)}`);
}

async function apply(kubernetes: KubernetesCluster, objects: readonly object[]): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects };
  const { code, stderr } = await kubernetes.kubectl(['apply', '--server-side', '--filename', '-'], { input: JSON.stringify(list) });
  if (code !== 0) throw new Error(`kubectl apply failed: ${lastLines(stderr, 5)}`);
}

async function isHealthy(port: number): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(answerTimeoutMs) })).ok;
}

/** @returns whether kubectl says so within a second */
async function isTrue(kubernetes: KubernetesCluster, args: readonly string[]): Promise<boolean> {
  const { code, stderr } = await kubernetes.kubectl([...args, '--timeout=1s']);
  if (code !== 0) throw new Error(lastLines(stderr, 3));
  return true;
}

async function writeJson(file: string, content: object): Promise<void> {
  await writeFile(file, `${JSON.stringify(content, undefined, 2)}\n`);
}
