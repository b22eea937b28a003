/**
 * What a cluster holds, as files for whoever wants to know why a test failed.
 *
 * Always true: nothing is changed, what cannot be had is left out with a sentence that says why, and of Secrets there is
 * nothing but their names.
 */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { runCommand } from '@knative-kafka/local-cluster';
import type { ClusterFacts } from './cluster-facts.ts';

const timeoutMs = 60_000;
const eventColumns = 'TIME:.lastTimestamp,NAMESPACE:.metadata.namespace,KIND:.involvedObject.kind,NAME:.involvedObject.name,TYPE:.type,REASON:.reason,COUNT:.count,MESSAGE:.message';

/** @param about what failed: the name of the folder below `facts.failures` */
export async function collectDiagnostics(facts: ClusterFacts, about: string): Promise<string> {
  const folder = join(facts.failures, about.replaceAll(/[^\w.-]+/g, '-').slice(0, 80));
  const kubectl = async (args: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await runCommand(facts.kubectl, args, { timeoutMs, env: { KUBECONFIG: facts.kubeconfig } });
    return stdout + stderr;
  };
  const write = async (file: string, args: readonly string[]): Promise<void> => {
    const text = await kubectl(args).catch((error: unknown) => String(error));
    await writeFile(join(folder, file), text);
  };
  await mkdir(join(folder, 'logs'), { recursive: true });
  const kinds = (await kubectl(['api-resources', '--verbs=list', '--output', 'name'])).trim().split('\n').filter((kind) => !/^(secrets|events|events\.events\.k8s\.io)$/.test(kind));
  await Promise.all([
    write('overview.txt', ['get', `${ourKinds(kinds)}pods,deployments,replicasets,services,jobs,nodes`, '--all-namespaces', '--output', 'wide']),
    write('events.txt', ['get', 'events', '--all-namespaces', '--sort-by=.metadata.creationTimestamp', '--output', `custom-columns=${eventColumns}`]),
    write('secrets.txt', ['get', 'secrets', '--all-namespaces']),
  ]);
  await write('resources.yaml', ['get', kinds.join(','), '--all-namespaces', '--output', 'yaml']);
  await write('describe.txt', ['describe', `${ourKinds(kinds)}pods,deployments,services`, '--all-namespaces']);
  const pods = (await kubectl(['get', 'pods', '--all-namespaces', '--no-headers', '--output', 'custom-columns=A:.metadata.namespace,B:.metadata.name'])).trim().split('\n');
  for (const [namespace = '', name = ''] of pods.map((line) => line.split(/\s+/))) {
    const logs = ['logs', name, '--namespace', namespace, '--all-containers', '--timestamps'];
    await write(join('logs', `${namespace}.${name}.log`), logs);
    await write(join('logs', `${namespace}.${name}.previous.log`), [...logs, '--previous']);
  }
  for (const path of facts.logs) await cp(path, join(folder, 'logs', 'node', basename(path)), { recursive: true }).catch(() => undefined);
  return folder;
}

function ourKinds(kinds: readonly string[]): string {
  return kinds.filter((kind) => /\.(messaging|sources)\.knative\.dev$/.test(kind)).map((kind) => `${kind},`).join('');
}
