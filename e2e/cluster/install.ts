/**
 * The manifests of helm/ on a real API server, in the order that helm/README.md gives.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { kafkaChannel, PlainApi } from './plain-api.ts';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const systemNamespace = 'knative-eventing';
/** A limit for failing, never a time to wait. */
export const patienceMs = 60_000;

const crds = join(root, 'helm/knative-kafka/files/crds');
const manifests = join(root, 'helm/manifests');

/**
 * Applies all of it, and waits until it is in force.
 *
 * @param options.isBesideKnativeEventing leaves out what Knative Eventing brings itself
 */
export async function installManifests(cluster: KubernetesCluster, options: { readonly isBesideKnativeEventing?: boolean } = {}): Promise<void> {
  await kubectl(cluster, ['create', 'namespace', systemNamespace]);
  const sources = options.isBesideKnativeEventing === true ? [join(crds, 'kafka-channel.yaml')] : [crds, join(manifests, 'without-knative-eventing')];
  for (const source of [...sources, manifests]) await kubectl(cluster, ['apply', '-f', source]);
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
