/**
 * A real Kubernetes API server beside the bench's Kafka, with the chart of helm/ installed, and controller, receiver
 * and dispatcher as processes, each with the rights of its own ServiceAccount.
 *
 * No pod runs, but etcd, API server and controller manager are Kubernetes' own, so a Deployment gets its ReplicaSet and
 * its pods, and all of that is work and changes beside ours.
 *
 * Always true: what is measured is seen through watches of this process, so figures begin when the API server has
 * answered a request and end when it has told of a change; `stop` ends every process that was started here.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Condition } from '@knative-kafka/common/core';
import { createKubernetesApi, objectKey, resourceTypes, startInformer, type ClosableKubernetesApi, type Informer, type KubernetesMeta, type KubernetesObject, type ResourceType } from '@knative-kafka/common/io';
import { freePort, freePorts, startKubernetes, startProcess, waitFor, type ChildService, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { samplesOf, sumOf } from '../core/metrics-text.ts';
import { root, untilReady } from './bench-world.ts';

/** A limit for failing, never a time to wait. */
const patienceMs = 60_000;
const systemNamespace = 'knative-eventing';
const namespace = 'default';
const secretName = 'kafka-cluster';

export type MessagingObject = KubernetesObject & {
  readonly status?: { readonly observedGeneration?: number; readonly conditions?: readonly Condition[]; readonly address?: { readonly url: string } };
};

export interface RunningController {
  readonly process: ChildService;
  metrics(): Promise<ControllerMetrics>;
}

export interface ControllerMetrics {
  /** To the API server, so far. */
  readonly requests: number;
  /** Objects that wait to be reconciled, of all kinds. */
  readonly depth: number;
  /** So far, by kind as metrics name it: how often, and for how long in all. */
  readonly reconciles: Readonly<Record<string, { readonly count: number; readonly seconds: number }>>;
}

/** What the controller may write, Leases apart. */
const written: readonly ResourceType[] = [resourceTypes.kafkaChannel, resourceTypes.subscription, resourceTypes.channel, resourceTypes.service, resourceTypes.deployment, resourceTypes.secret, resourceTypes.configMap, resourceTypes.event];
const writingVerbs: readonly string[] = ['APPLY', 'PATCH', 'POST', 'PUT', 'DELETE'];

export class ControlPlaneWorld {
  readonly api: ClosableKubernetesApi;
  readonly channels: Informer<MessagingObject>;
  readonly subscriptions: Informer<MessagingObject>;
  readonly #deployments: Informer<KubernetesObject>;
  readonly #kubernetes: KubernetesCluster;
  readonly #bootstrap: string;
  readonly #folder: string;
  readonly #listeners = new Set<() => void>();
  /** Kind and key of what is Ready, of its present generation. */
  readonly #ready = new Set<string>();
  readonly #kubeconfigs = new Map<string, string>();
  readonly #processes: ChildService[] = [];
  #changedAt = performance.now();

  private constructor(kubernetes: KubernetesCluster, bootstrap: string, folder: string) {
    this.#kubernetes = kubernetes;
    this.#bootstrap = bootstrap;
    this.#folder = folder;
    // No rate limit: the API server is to be the only one who makes the bench wait.
    this.api = createKubernetesApi({ kubeconfig: kubernetes.kubeconfig, userAgent: 'bench', fieldManager: 'bench', requestsPerSecond: 100_000, burst: 100_000 });
    this.channels = startInformer<MessagingObject>(this.api, { type: resourceTypes.kafkaChannel });
    this.subscriptions = startInformer<MessagingObject>(this.api, { type: resourceTypes.subscription });
    this.#deployments = startInformer(this.api, { type: resourceTypes.deployment });
    for (const informer of [this.channels, this.subscriptions]) informer.onChange(({ before, after }) => this.#note((after ?? before)!, after));
    this.#deployments.onChange(() => (this.#changedAt = performance.now()));
  }

  /** With a Kafka Secret for the Kafka at `bootstrap`; nothing of ours runs yet. */
  static async start(bootstrap: string, onProgress: (text: string) => void): Promise<ControlPlaneWorld> {
    const folder = mkdtempSync(join(tmpdir(), 'knative-kafka-bench-kubernetes-'));
    const kubernetes = await startKubernetes({ dataDir: join(folder, 'kubernetes'), onProgress });
    const kubectl = async (args: readonly string[], input?: string): Promise<void> => {
      const { code, stderr } = await kubernetes.kubectl(args, input === undefined ? {} : { input });
      if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
    };
    onProgress('control-plane: installing the chart');
    const { code, stderr } = await kubernetes.helm(['install', 'knative-kafka', join(root, 'helm/knative-kafka'), '--namespace', systemNamespace, '--create-namespace']);
    if (code !== 0) throw new Error(`helm install: ${stderr}`);
    await kubectl(['wait', '--for=condition=Established', 'crd', '--all', `--timeout=${patienceMs}ms`]);
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: secretName, namespace: systemNamespace, labels: { 'eventing-kafka.knative.dev/kafka-secret': 'true' } }, stringData: { brokers: bootstrap } };
    await kubectl(['apply', '-f', '-'], JSON.stringify(secret));
    const world = new ControlPlaneWorld(kubernetes, bootstrap, folder);
    await Promise.all([world.channels.synced(), world.subscriptions.synced(), world.#deployments.synced()]);
    return world;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.stop()));
    for (const informer of [this.channels, this.subscriptions, this.#deployments]) informer.close();
    await this.api.close();
    await this.#kubernetes.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  // --- objects -----------------------------------------------------------------------------------------------------

  createChannel(name: string): Promise<KubernetesObject> {
    const channel: KubernetesObject & { spec: object } = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', metadata: { name, namespace }, spec: {} };
    return this.api.create(resourceTypes.kafkaChannel, channel);
  }

  createSubscription(name: string, channel: string, subscriberUri: string): Promise<KubernetesObject> {
    const subscription: KubernetesObject & { spec: object } = {
      apiVersion: 'messaging.knative.dev/v1', kind: 'Subscription', metadata: { name, namespace },
      spec: { channel: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: channel }, subscriber: { uri: subscriberUri } },
    };
    return this.api.create(resourceTypes.subscription, subscription);
  }

  async delete(type: ResourceType, name: string): Promise<void> {
    await this.api.delete(type, { namespace, name });
  }

  channel(name: string): MessagingObject | undefined {
    return this.channels.get(`${namespace}/${name}`);
  }

  isReady(kind: 'KafkaChannel' | 'Subscription', name: string): boolean {
    return this.#ready.has(`${kind} ${namespace}/${name}`);
  }

  /** KafkaChannels and Subscriptions that are Ready. */
  readyCount(): number {
    return this.#ready.size;
  }

  /** Resolves with the time at which a change made a fact true. @param check is called after every change */
  async becomes(fact: string, check: () => boolean, timeoutMs = patienceMs): Promise<number> {
    const done = Promise.withResolvers<number>();
    const look = (): void => {
      if (check()) done.resolve(performance.now());
    };
    this.#listeners.add(look);
    const timer = setTimeout(() => done.reject(new Error(`waited in vain for ${fact}: ${this.#ready.size} of ${this.channels.list().length} channels and ${this.subscriptions.list().length} Subscriptions are Ready\n${this.#lastLogs()}`)), timeoutMs);
    timer.unref(); // a bench that failed elsewhere does not wait for it
    try {
      look();
      return await done.promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(look);
    }
  }

  /** Resolves when a controller has nothing left to do and nobody has changed anything for a while. */
  async quiet(controller: RunningController, quietMs: number): Promise<void> {
    let reconciled = -1;
    let since = performance.now();
    await waitFor('the control plane to come to rest', async () => {
      const { depth, reconciles } = await controller.metrics();
      const count = Object.values(reconciles).reduce((sum, each) => sum + each.count, 0);
      if (count !== reconciled || depth > 0) since = performance.now();
      reconciled = count;
      return performance.now() - Math.max(since, this.#changedAt) >= quietMs;
    }, { timeoutMs: 2 * patienceMs, everyMs: 500 });
  }

  /** Versions of everything the controller may write, by kind and name. */
  async versions(): Promise<ReadonlyMap<string, string>> {
    const versions = new Map<string, string>();
    for (const type of written) {
      let next: string | undefined;
      do {
        const page = await this.api.list(type, { limit: 500, next });
        for (const { metadata } of page.items) versions.set(`${type.kind} ${objectKey(metadata)}`, metadata.resourceVersion ?? '');
        next = page.next;
      } while (next !== undefined);
    }
    return versions;
  }

  /**
   * Writes of those kinds that the API server has answered so far, whoever sent them, also those that changed nothing.
   * @returns how many, by `verb resource`, with the code where one was refused
   */
  async writeRequests(): Promise<ReadonlyMap<string, number>> {
    const { code, stdout, stderr } = await this.#kubernetes.kubectl(['get', '--raw', '/metrics']);
    if (code !== 0) throw new Error(`metrics of the API server: ${stderr}`);
    const counts = new Map<string, number>();
    const kinds = new Set(written.map(({ group, plural }) => `${group}/${plural}`));
    for (const { labels, value } of samplesOf(stdout, 'apiserver_request_total')) {
      const { verb = '', group = '', resource = '', subresource = '', code: status = '' } = labels;
      if (!writingVerbs.includes(verb) || !kinds.has(`${group}/${resource}`)) continue;
      const name = `${verb} ${resource}${subresource === '' ? '' : `/${subresource}`}${status.startsWith('2') ? '' : ` (${status})`}`;
      counts.set(name, (counts.get(name) ?? 0) + value);
    }
    return counts;
  }

  // --- processes ---------------------------------------------------------------------------------------------------

  /** A controller process, just started. */
  async startController(): Promise<RunningController> {
    const metricsPort = await freePort();
    const process = this.#service('controller', { KUBECONFIG: await this.#kubeconfigOf('kafka-controller'), METRICS_PORT: String(metricsPort) });
    return { process, metrics: async () => readControllerMetrics(await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()) };
  }

  /** A controller that leads, with warm caches. */
  async controller(): Promise<RunningController> {
    const controller = await this.startController();
    for (const fact of ['caches are warm', 'leading', 'are reconciled here']) await controller.process.waitForOutput(fact, patienceMs);
    return controller;
  }

  /** A receiver of every channel, that is ready. */
  async receiver(): Promise<{ readonly process: ChildService; readonly port: number; path(channel: string): string }> {
    const [port, metricsPort] = (await freePorts(2)) as [number, number];
    const process = this.#service('channel-receiver', { KUBECONFIG: await this.#kubeconfigOf('kafka-channel-receiver'), KAFKA_BROKERS: this.#bootstrap, HTTP_PORT: String(port), METRICS_PORT: String(metricsPort) });
    await untilReady(process, metricsPort);
    return { process, port, path: (channel) => `/${namespace}/${channel}` };
  }

  /** A dispatcher of every channel, that is ready. */
  async dispatcher(): Promise<ChildService> {
    const metricsPort = await freePort();
    const process = this.#service('dispatcher', { KUBECONFIG: await this.#kubeconfigOf('kafka-channel-dispatcher'), KAFKA_BROKERS: this.#bootstrap, METRICS_PORT: String(metricsPort) });
    await untilReady(process, metricsPort);
    return process;
  }

  #service(name: string, env: Readonly<Record<string, string>>): ChildService {
    const process = startProcess({ name, command: globalThis.process.execPath, args: ['--disable-warning=TimeoutNegativeWarning', join(root, 'packages', name, 'bundle', 'main.js')], env });
    this.#processes.push(process);
    return process;
  }

  async #kubeconfigOf(serviceAccount: string): Promise<string> {
    const known = this.#kubeconfigs.get(serviceAccount) ?? (await this.#kubernetes.kubeconfigFor({ namespace: systemNamespace, serviceAccount }));
    this.#kubeconfigs.set(serviceAccount, known);
    return known;
  }

  #note(named: MessagingObject, now: MessagingObject | undefined): void {
    this.#changedAt = performance.now();
    const name = `${named.kind} ${objectKey(named.metadata)}`;
    if (now !== undefined && isReady(now)) this.#ready.add(name);
    else this.#ready.delete(name);
    for (const listener of this.#listeners) listener();
  }

  /** The end of what each process has logged: why something does not happen is mostly there. */
  #lastLogs(): string {
    return this.#processes.filter((process) => process.isRunning()).map((process) => `${process.name}:\n${process.output().trimEnd().split('\n').slice(-8).join('\n')}`).join('\n');
  }
}

/** Ready, and of this very generation. */
function isReady({ metadata: { generation }, status }: MessagingObject & { readonly metadata: KubernetesMeta }): boolean {
  return status?.observedGeneration === generation && status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
}

function readControllerMetrics(text: string): ControllerMetrics {
  const duration = 'knative_kafka_reconcile_duration_seconds';
  const counts = samplesOf(text, `${duration}_count`);
  return {
    requests: sumOf(text, 'knative_kafka_kubernetes_requests_total'),
    depth: sumOf(text, 'knative_kafka_workqueue_depth'),
    reconciles: Object.fromEntries(counts.map(({ labels: { controller = '' }, value }) => [controller, { count: value, seconds: sumOf(text, `${duration}_sum`, { controller }) }])),
  };
}
