/**
 * The chart of helm/ on a real API server, as README.md has it installed.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { kafkaChannel, PlainApi } from './plain-api.ts';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const chart = join(root, 'helm/knative-kafka');
export const systemNamespace = 'knative-eventing';
/** The name of the release. */
export const release = 'knative-kafka';
/** A limit for failing, never a time to wait. */
export const patienceMs = 60_000;

export interface InstallOptions {
  /** Leaves out what Knative Eventing brings itself, also where it is about to come. */
  readonly isBesideKnativeEventing?: boolean;
  /** Further arguments of helm. */
  readonly args?: readonly string[];
}

/** Installs all of it, and waits until it is in force. Nothing waits for pods: there is no node. */
export async function installChart(cluster: KubernetesCluster, { isBesideKnativeEventing, args = [] }: InstallOptions = {}): Promise<void> {
  const values = isBesideKnativeEventing === true ? ['--set', 'knativeEventing.installed=true'] : [];
  await helm(cluster, ['install', release, chart, '--namespace', systemNamespace, '--create-namespace', ...values, ...args]);
  await kubectl(cluster, ['wait', '--for=condition=Established', 'crd', '--all', `--timeout=${patienceMs}ms`]);
  const api = new PlainApi(cluster);
  try {
    const guarded = kafkaChannel('guarded', { subscribers: [{ uid: 'u', replyUri: 'http://a' }] });
    await waitFor('spec.subscribers being guarded', async () => (await api.create(guarded)).status === 403, { timeoutMs: patienceMs });
  } finally {
    await api.close();
  }
}

/** @returns what kubectl printed @throws Error with its words when it failed */
export async function kubectl(cluster: KubernetesCluster, args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await cluster.kubectl(args, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** @returns what helm printed @throws Error with its words when it failed */
export async function helm(cluster: KubernetesCluster, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await cluster.helm(args);
  if (code !== 0) throw new Error(`helm ${args.join(' ')}: ${stderr}`);
  return stdout;
}
