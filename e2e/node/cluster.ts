/**
 * The cluster that the tests beside this file are about: a node of this machine or one of yours, all the same to them.
 *
 * They see it through kubectl and helm alone. What they send and receive goes through pods, which are spoken to by way of
 * the API server, so nothing of the cluster's network has to be reachable from here.
 *
 * Always true: when a test fails, what the cluster held at that moment is in a folder (diagnostics.ts), and the tests
 * after it in the same file fail at once, because each builds on the one before.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastLines, runCommand, type CommandResult, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { beforeEach } from 'vitest';
import { root } from '../images/service-images.ts';
import type { ClusterObject } from '../cluster/cluster-world.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import { collectDiagnostics } from './diagnostics.ts';
import { NodeControl } from './node-control.ts';

export const chart = join(root, 'helm', 'knative-kafka');
export const release = 'knative-kafka';
export const systemNamespace = 'knative-eventing';
/** A limit for failing, never a time to wait. */
export const patienceMs = 180_000;
const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' };

export interface Installation {
  /** Of the chart; today's unless told. */
  readonly folder?: string;
  /** Further words of helm's command line. */
  readonly values?: readonly string[];
}

export class Cluster {
  readonly facts: ClusterFacts;
  /** Whether the node is of this machine, so that there is `control`. */
  readonly isOurs: boolean;
  /** What only the node's machine can do to it. */
  readonly control: NodeControl;
  readonly #kubeconfigs = mkdtempSync(join(tmpdir(), 'knative-kafka-kubeconfigs-'));

  constructor() {
    this.facts = readFacts();
    this.isOurs = this.facts.control !== '';
    this.control = new NodeControl(this.facts.control);
    let failed: string | undefined;
    beforeEach(({ task, onTestFailed }) => {
      if (failed !== undefined) throw new Error(`not tried, because "${failed}" failed before`);
      onTestFailed(async () => {
        failed = task.name;
        await collectDiagnostics(this.facts, task.name);
      });
    });
  }

  /** Runs kubectl. @returns the exit and the text, whatever the exit code */
  tryKubectl(args: readonly string[], input?: string): Promise<CommandResult> {
    return runCommand(this.facts.kubectl, args, { input, env: { KUBECONFIG: this.facts.kubeconfig, KUBERC: 'off' } });
  }

  /** @returns what kubectl printed @throws Error with its words when it failed */
  async kubectl(args: readonly string[], input?: string): Promise<string> {
    return stdoutOf(`kubectl ${args.join(' ')}`, await this.tryKubectl(args, input));
  }

  /** Runs helm in the system namespace. @returns the exit and the text, whatever the exit code */
  tryHelm(args: readonly string[]): Promise<CommandResult> {
    return runCommand(this.facts.helm, [...args, '--namespace', systemNamespace], { env: { KUBECONFIG: this.facts.kubeconfig } });
  }

  /** @returns what helm printed @throws Error with its words when it failed */
  async helm(args: readonly string[]): Promise<string> {
    return stdoutOf(`helm ${args.join(' ')}`, await this.tryHelm(args));
  }

  /** What an installation on this cluster has to say beside the chart's defaults. */
  values(): string[] {
    const { kafka, registry } = this.facts;
    const brokers = kafka.replaceAll(',', '\\,');
    return ['--set-string', `kafka.brokers=${brokers}`, ...(registry === '' ? [] : ['--set-string', `image.registry=${registry}`])];
  }

  /** Installs the chart, with its defaults unless told, and waits until everything is ready. */
  async install({ folder = chart, values = [] }: Installation = {}): Promise<void> {
    await this.helm(['install', release, folder, ...this.values(), ...values, '--wait', '--timeout', '4m']);
  }

  /** In the shape of local-cluster, for what it starts beside a cluster. */
  clients(): Pick<KubernetesCluster, 'kubectl' | 'kubeconfigFor'> {
    return { kubectl: (args, options) => this.tryKubectl(args, options?.input), kubeconfigFor: (user) => this.#kubeconfigFor(user) };
  }

  async #kubeconfigFor({ namespace, serviceAccount }: { readonly namespace: string; readonly serviceAccount: string }): Promise<string> {
    const token = (await this.kubectl(['create', 'token', serviceAccount, '--namespace', namespace, '--duration', '24h'])).trim();
    const config = JSON.parse(await this.kubectl(['config', 'view', '--raw', '--minify', '--flatten', '--output', 'json'])) as { users: { user: object }[] };
    for (const entry of config.users) entry.user = { token };
    const file = join(this.#kubeconfigs, `${namespace}.${serviceAccount}`);
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    return file;
  }

  /** Removes the release, our kinds with all that is left of them, and these namespaces: the next file finds nothing. */
  async cleanUp(namespaces: readonly string[]): Promise<void> {
    // First with the controller, which deletes their topics and groups: the next file may want others of the same name.
    await this.tryKubectl(['delete', 'kafkasources,kafkachannels', '--all', '--all-namespaces', '--timeout=30s']);
    await this.tryHelm(['uninstall', release, '--wait', '--ignore-not-found']);
    const crds = (await this.kubectl(['get', 'crds', '--output', 'name'])).split('\n').filter((name) => name.endsWith('.knative.dev'));
    // Nobody is left who would take the finalizers off.
    for (const kind of crds.filter((name) => /\.(messaging|sources)\.knative\.dev$/.test(name)).map((name) => name.slice(name.indexOf('/') + 1))) {
      for (const { metadata } of await this.list(kind, '--all-namespaces')) {
        await this.kubectl(['patch', kind, metadata.name, '--namespace', metadata.namespace ?? '', '--type=merge', '--patch', '{"metadata":{"finalizers":null}}']);
      }
    }
    const remains = ['addressable-resolver', 'channel-addressable-resolver', 'channelable-manipulator', 'service-addressable-resolver'].map((name) => `clusterrole/${name}`);
    await this.kubectl(['delete', ...crds, ...remains, '--ignore-not-found', '--timeout=2m']);
    await this.kubectl(['delete', ...namespaces.map((name) => `namespace/${name}`), '--ignore-not-found', '--timeout=3m']);
    rmSync(this.#kubeconfigs, { recursive: true, force: true });
  }

  async apply(...objects: readonly object[]): Promise<void> {
    await this.kubectl(['apply', '--server-side', '--filename', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  }

  /** Pods in it have to keep to the strictest rules that Kubernetes has. */
  async createNamespace(name: string): Promise<void> {
    await this.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: restricted } });
    // Kubernetes puts these into every namespace, a moment later.
    await this.kubectl(['wait', '--for=create', 'serviceaccount/default', 'configmap/kube-root-ca.crt', '--namespace', name, '--timeout=1m']);
  }

  /** @returns undefined when there is none */
  async get(kind: string, name: string, namespace: string): Promise<ClusterObject | undefined> {
    const text = await this.kubectl(['get', kind, name, '--namespace', namespace, '--output', 'json', '--ignore-not-found']);
    return text === '' ? undefined : (JSON.parse(text) as ClusterObject);
  }

  async list(kind: string, ...args: readonly string[]): Promise<readonly ClusterObject[]> {
    return (JSON.parse(await this.kubectl(['get', kind, '--output', 'json', ...args])) as { items: ClusterObject[] }).items;
  }

  async untilReady(what: string, namespace: string): Promise<void> {
    await this.kubectl(['wait', '--for=condition=Ready', what, '--namespace', namespace, `--timeout=${patienceMs}ms`]);
  }

  /** Everything that can be listed and is made by somebody rather than derived, as `kind namespace/name`. */
  async inventory(): Promise<Set<string>> {
    const kinds = (await this.kubectl(['api-resources', '--verbs=list', '--output', 'name'])).trim().split('\n');
    const lasting = kinds.filter((kind) => !derivedKinds.has(kind));
    const columns = 'custom-columns=A:.kind,B:.metadata.namespace,C:.metadata.name';
    const text = await this.kubectl(['get', lasting.join(','), '--all-namespaces', '--no-headers', '--ignore-not-found', '--output', columns]);
    const objects = text.split('\n').filter((line) => line !== '').map((line) => line.split(/\s+/));
    return new Set(
      objects
        .filter(([, namespace]) => namespace !== 'kube-node-lease') // a node's heartbeat, first written whenever it gets to it
        .map(([kind = '', namespace = '', name = '']) => (namespace === '<none>' ? `${kind} ${name}` : `${kind} ${namespace}/${name}`)),
    );
  }
}

/** @throws Error in a sentence for people where there is no cluster */
export function readFacts(): ClusterFacts {
  const file = process.env['E2E_CLUSTER'];
  if (file === undefined) throw new Error('these tests need a cluster: npm run e2e brings one');
  return JSON.parse(readFileSync(file, 'utf8')) as ClusterFacts;
}

/** Made from other objects by controllers of Kubernetes, and gone with them. */
const derivedKinds = new Set([
  'apiservices.apiregistration.k8s.io',
  'componentstatuses',
  'controllerrevisions.apps',
  'endpoints',
  'endpointslices.discovery.k8s.io',
  'events',
  'events.events.k8s.io',
  'ipaddresses.networking.k8s.io',
  'nodes',
  'pods',
  'replicasets.apps',
]);

function stdoutOf(what: string, { code, signal, stdout, stderr }: CommandResult): string {
  if (code !== 0) throw new Error(`${what} ended with ${signal ?? `code ${code ?? '?'}`}: ${lastLines(`${stdout}\n${stderr}`, 30)}`);
  return stdout;
}
