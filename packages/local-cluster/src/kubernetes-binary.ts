/**
 * Kubernetes, etcd, kubectl and helm, built from source once per user and kept in the cache (cache-folder.ts).
 *
 * From source, because that takes Go and nothing else: no container engine, and for every processor the same way. The
 * module kubernetes/ says which versions.
 *
 * Always true: the folder either does not exist or is whole; a change of the module or of the flags makes another one.
 */
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheRoot, ensureFolder, isCached } from './cache-folder.ts';
import { buildGoProgram, sourceHash } from './go-build.ts';

/** As go.mod has them; the programs learn their versions only from here, and helm compares them with its charts'. */
export const kubernetesVersion = '1.34.10';
const helmVersion = '4.0.5';

/** What the one binary can be, each to be called by its name in the folder. */
export const kubernetesPrograms = [
  'certificates',
  'etcd',
  'helm',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-proxy',
  'kube-scheduler',
  'kubectl',
  'kubelet',
] as const;
export type KubernetesProgram = (typeof kubernetesPrograms)[number];

export interface KubernetesBinaryOptions {
  /** Called with one line of text whenever there is something new to say, every few seconds during a build. */
  readonly onProgress?: ((text: string) => void) | undefined;
}

const moduleFolder = fileURLToPath(new URL('../kubernetes', import.meta.url));
const binary = 'kubernetes';

/** Whether `ensureKubernetes` would return at once, without Go and without the network. */
export async function kubernetesCached(): Promise<boolean> {
  return isCached({ folder: await binaryFolder(), mark: binary });
}

/**
 * Makes sure the programs are in the cache. Without Go's caches a build takes about nine minutes on two cores.
 *
 * @returns the folder they are in, each under its name
 * @throws Error when Go is missing or too old (with how to get it) or fails (with the last useful lines it printed)
 */
export async function ensureKubernetes({ onProgress }: KubernetesBinaryOptions = {}): Promise<string> {
  const fill = async (folder: string): Promise<void> => {
    await buildGoProgram({
      name: `Kubernetes ${kubernetesVersion}`,
      module: moduleFolder,
      target: '.',
      output: join(folder, binary),
      variables: versionVariables(),
      onProgress,
    });
    for (const program of kubernetesPrograms) await symlink(binary, join(folder, program));
  };
  return ensureFolder({ folder: await binaryFolder(), mark: binary, fill });
}

async function binaryFolder(): Promise<string> {
  return join(cacheRoot(), `kubernetes-${kubernetesVersion}-${await sourceHash(moduleFolder, versionVariables())}`);
}

function versionVariables(): Record<string, string> {
  const [major = '', minor = ''] = kubernetesVersion.split('.');
  const variables: Record<string, string> = { 'helm.sh/helm/v4/internal/version.version': `v${helmVersion}` };
  for (const path of ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']) {
    variables[`${path}.gitVersion`] = `v${kubernetesVersion}`;
    variables[`${path}.gitMajor`] = major;
    variables[`${path}.gitMinor`] = minor;
    variables[`${path}.gitTreeState`] = 'clean';
    variables[`${path}.gitCommit`] = '0'.repeat(40);
    variables[`${path}.buildDate`] = '1970-01-01T00:00:00Z';
  }
  // What helm takes for the version of the cluster where it has none to ask.
  for (const prefix of [
    'helm.sh/helm/v4/internal/version.kubeClientVersion',
    'helm.sh/helm/v4/pkg/chart/common.k8sVersion',
    'helm.sh/helm/v4/pkg/chart/v2/lint/rules.k8sVersion',
  ]) {
    variables[`${prefix}Major`] = major;
    variables[`${prefix}Minor`] = minor;
  }
  return variables;
}
