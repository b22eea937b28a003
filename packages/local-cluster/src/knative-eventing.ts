/**
 * Knative Eventing's own reconcilers of Subscription and Channel as a process beside a local API server.
 *
 * For tests of channels as Knative Eventing itself deals with them: built from its release, with the manifests of that
 * release (cache-folder.ts keeps both), as the ServiceAccount and under the roles that it has in a cluster. Its webhook
 * is left out: the CRDs concerned need no conversion.
 *
 * Always true: once started it holds the leases of its reconcilers; it ends with this process at the latest.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheRoot, ensureFolder } from './cache-folder.ts';
import { buildGoProgram, goModuleFolder, sourceHash } from './go-build.ts';
import type { KubernetesCluster } from './kubernetes.ts';
import { LoggedProcess } from './logged-process.ts';
import { lastLines } from './text-lines.ts';

/** As knative-eventing/go.mod has it. */
export const knativeEventingVersion = '0.50.0';

export const knativeEventingNamespace = 'knative-eventing';

const moduleFolder = fileURLToPath(new URL('../knative-eventing', import.meta.url));
const binary = 'controller';

type Clients = Pick<KubernetesCluster, 'kubectl' | 'kubeconfigFor'>;

export interface KnativeEventingOptions {
  /** With its controller manager, which brings together the roles that Knative aggregates. */
  readonly kubernetes: Clients;
  /** What the process prints is added to it. */
  readonly logFile: string;
  /** Called with one line of text whenever there is something new to say. */
  readonly onProgress?: ((text: string) => void) | undefined;
  /** Called when it ends and nobody stopped or killed it, with a sentence and the last lines of its log. */
  readonly onEnded?: ((text: string) => void) | undefined;
}

export interface KnativeEventing {
  readonly logFile: string;
  isRunning(): boolean;
  /** SIGTERM; resolves when it has ended. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it has ended. */
  kill(): Promise<void>;
  /** Starts it again; resolves when it holds its leases, which takes as long as those of a killed one last. */
  start(): Promise<void>;
}

/**
 * Builds the program once and brings the manifests.
 *
 * @returns the folder with the program `controller` and `config`, the release's manifests (its `config/core`)
 * @throws Error when Go is missing or too old (with how to get it) or fails (with the last useful lines it printed)
 */
export async function ensureKnativeEventing(onProgress?: (text: string) => void): Promise<string> {
  const fill = async (folder: string): Promise<void> => {
    const output = join(folder, binary);
    const name = `Knative Eventing ${knativeEventingVersion}`;
    await buildGoProgram({ name, module: moduleFolder, target: '.', output, variables: {}, onProgress });
    const source = await goModuleFolder(moduleFolder, 'knative.dev/eventing');
    await copyManifests(join(source, 'config', 'core'), join(folder, 'config'));
  };
  const folder = join(cacheRoot(), `knative-eventing-${knativeEventingVersion}-${await sourceHash(moduleFolder)}`);
  return ensureFolder({ folder, mark: binary, fill });
}

/** File by file, because Go's module cache is read-only and a copy of its folders would be so too. */
async function copyManifests(from: string, to: string): Promise<void> {
  for (const name of await readdir(from, { recursive: true })) {
    if (!name.endsWith('.yaml')) continue;
    await mkdir(dirname(join(to, name)), { recursive: true });
    await writeFile(join(to, name), await readFile(join(from, name)));
  }
}

/** Paths below `config` of what the two reconcilers need: CRDs, the ServiceAccount with its roles, settings. */
const neededManifests = [
  '100-namespace.yaml',
  '200-eventing-serviceaccount.yaml',
  'roles',
  'configmaps',
  'resources/channel.yaml',
  'resources/subscription.yaml',
  'resources/eventpolicy.yaml',
];

/**
 * Installs Knative Eventing's CRDs, roles and settings and starts its reconcilers.
 *
 * @throws Error with the words of kubectl, or with the last lines of the log when the process ends early
 */
export async function startKnativeEventing(options: KnativeEventingOptions): Promise<KnativeEventing> {
  const { kubernetes, logFile, onProgress, onEnded } = options;
  const folder = await ensureKnativeEventing(onProgress);
  const files = neededManifests.flatMap((path) => ['--filename', join(folder, 'config', path)]);
  await kubectl(kubernetes, ['apply', '--server-side', ...files]);
  const crds = ['channels', 'subscriptions'].map((plural) => `crd/${plural}.messaging.knative.dev`);
  await kubectl(kubernetes, ['wait', '--for=condition=Established', '--timeout=60s', ...crds, 'crd/eventpolicies.eventing.knative.dev']);

  const serviceAccount = 'eventing-controller';
  const kubeconfig = await kubernetes.kubeconfigFor({ namespace: knativeEventingNamespace, serviceAccount });
  const process = new LoggedProcess({
    name: `Knative Eventing ${knativeEventingVersion}`,
    command: join(folder, binary),
    args: [`--kubeconfig=${kubeconfig}`],
    env: {
      SYSTEM_NAMESPACE: knativeEventingNamespace,
      POD_NAME: serviceAccount,
      CONFIG_LOGGING_NAME: 'config-logging',
      CONFIG_OBSERVABILITY_NAME: 'config-observability',
      CONFIG_LEADERELECTION_NAME: 'config-leader-election',
    },
    logFile,
    onEnded,
  });
  const start = async (): Promise<void> => {
    const since = Date.now();
    await process.start(() => holdsLeases(kubernetes, since));
  };
  onProgress?.(`Knative Eventing ${knativeEventingVersion}: starting`);
  await start();
  return {
    logFile,
    isRunning: () => process.isRunning(),
    stop: () => process.stop(),
    kill: () => process.kill(),
    start,
  };
}

interface Lease {
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly holderIdentity?: string; readonly renewTime?: string };
}

/** Whether each of the two reconcilers holds a lease that was renewed since then. */
async function holdsLeases(kubernetes: Clients, since: number): Promise<boolean> {
  const text = await kubectl(kubernetes, ['get', 'leases', '--namespace', knativeEventingNamespace, '--output', 'json']);
  const { items } = JSON.parse(text) as { readonly items: readonly Lease[] };
  const isHeld = ({ spec }: Lease) => (spec?.holderIdentity ?? '') !== '' && Date.parse(spec?.renewTime ?? '') >= since;
  const held = items.filter(isHeld).map((lease) => lease.metadata.name);
  return ['channel', 'subscription'].every((reconciler) => held.some((name) => name.includes(`.${reconciler}.`)));
}

async function kubectl(kubernetes: Clients, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await kubernetes.kubectl(args);
  if (code !== 0) throw new Error(`kubectl ${args[0] ?? ''} failed: ${lastLines(stderr, 5)}`);
  return stdout;
}
