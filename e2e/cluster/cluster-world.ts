/**
 * The whole of it without containers: a real API server with the chart of helm/, a real Kafka, and controller,
 * receiver and dispatcher as processes, each with a kubeconfig of its own ServiceAccount, so that RBAC is enforced.
 *
 * What a node would do is done here: a Kafka Secret is a folder, a dispatcher is started for a channel, and names of
 * Services are not resolved, so the receiver is reached at its port, with the channel's host name in the request.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKafkaClient, type Admin } from '@knative-kafka/common/io';
import { freePort, startKafka, startKubernetes, startProcess, waitFor, type KafkaCluster, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { Subscriber, untilReady, type Receiver, type Service, type SubscriberOptions } from '../local/harness.ts';
import { installChart, kubectl, patienceMs, root, systemNamespace } from './install.ts';

export { patienceMs, systemNamespace } from './install.ts';

export interface ClusterObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly resourceVersion?: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly finalizers?: readonly string[];
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string; readonly controller?: boolean }[];
  };
  readonly spec?: ClusterSpec | null;
  readonly status?: ClusterStatus;
  readonly [field: string]: unknown;
}

/** What tests look at, of whatever kind. */
export interface ClusterSpec {
  readonly subscribers?: readonly { readonly uid: string; readonly generation: number; readonly subscriberUri?: string; readonly delivery?: object }[];
  readonly replicas?: number;
  readonly externalName?: string;
  readonly [field: string]: unknown;
}

export interface ClusterStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  readonly subscribers?: readonly { readonly uid: string; readonly ready: string }[];
  readonly address?: { readonly url: string };
  readonly physicalSubscription?: { readonly subscriberUri?: string };
  readonly deadLetterSinkUri?: string;
  readonly [field: string]: unknown;
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly severity?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
}

export interface WorldOptions {
  readonly brokers?: 1 | 3;
  /** Laid over the broker's server.properties. */
  readonly kafkaConfig?: Readonly<Record<string, string>>;
  readonly isBesideKnativeEventing?: boolean;
  /** Nothing of ours is installed, and there is no Kafka Secret: the test brings them. */
  readonly isBare?: boolean;
  /** A Kafka that runs already, and stays when the world stops. */
  readonly kafka?: KafkaCluster;
  /** The keys of the Kafka Secret, where it is not the bootstrap servers alone. */
  readonly kafkaSecret?: Readonly<Record<string, string>>;
}

/** As the chart names its own. */
export const kafkaSecretName = 'kafka-cluster';

export class ClusterWorld {
  readonly kubernetes: KubernetesCluster;
  readonly kafka: KafkaCluster;
  readonly admin: Admin;
  readonly dataDir: string;
  readonly #isOwnKafka: boolean;
  /** Of Secrets that were mounted. */
  #versions = 0;
  readonly #kubeconfigs = new Map<string, string>();
  readonly #services: Service[] = [];
  readonly #subscribers: Subscriber[] = [];

  private constructor(kubernetes: KubernetesCluster, kafka: KafkaCluster, dataDir: string, isOwnKafka: boolean) {
    this.#isOwnKafka = isOwnKafka;
    this.kubernetes = kubernetes;
    this.kafka = kafka;
    this.dataDir = dataDir;
    this.admin = createKafkaClient({ brokers: kafka.bootstrap.split(','), clientId: 'e2e', requestTimeoutMs: 10_000, connectTimeoutMs: 3_000 }).createAdmin();
  }

  /** With the chart installed and a Kafka Secret; nothing of ours runs yet. */
  static async start(options: WorldOptions = {}): Promise<ClusterWorld> {
    const dataDir = mkdtempSync(join(tmpdir(), 'knative-kafka-cluster-'));
    const onProgress = (text: string): void => void process.stderr.write(`${text}\n`);
    const [kubernetes, kafka] = await Promise.all([
      startKubernetes({ dataDir: join(dataDir, 'kubernetes'), onProgress }),
      options.kafka ?? startKafka({ dataDir: join(dataDir, 'kafka'), brokers: options.brokers ?? 1, config: options.kafkaConfig ?? {}, onProgress }),
    ]);
    const world = new ClusterWorld(kubernetes, kafka, dataDir, options.kafka === undefined);
    if (options.isBare === true) return world;
    await installChart(kubernetes, { isBesideKnativeEventing: options.isBesideKnativeEventing ?? false });
    await world.kafkaSecret(kafkaSecretName, options.kafkaSecret ?? { brokers: kafka.bootstrap });
    return world;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#services.map(({ process }) => process.stop()));
    await Promise.all(this.#subscribers.map((subscriber) => subscriber.close()));
    await Promise.all([this.kubernetes.stop(), this.#isOwnKafka ? this.kafka.stop() : undefined]);
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  // --- objects -------------------------------------------------------------------------------------------------------

  /** @throws Error with kubectl's words */
  kubectl(args: readonly string[], input?: string): Promise<string> {
    return kubectl(this.kubernetes, args, input);
  }

  async apply(...objects: readonly ClusterObject[]): Promise<void> {
    await this.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  }

  /** @returns undefined when there is none */
  async get(kind: string, name: string, namespace = 'default'): Promise<ClusterObject | undefined> {
    const text = await this.kubectl(['get', kind, name, '-n', namespace, '-o', 'json', '--ignore-not-found']);
    return text === '' ? undefined : (JSON.parse(text) as ClusterObject);
  }

  async list(kind: string, ...args: readonly string[]): Promise<readonly ClusterObject[]> {
    return (JSON.parse(await this.kubectl(['get', kind, '-o', 'json', ...args])) as { items: ClusterObject[] }).items;
  }

  /** Waits until an object is as asked, and returns it. */
  async until(fact: string, kind: string, name: string, check: (object: ClusterObject) => boolean, namespace = 'default'): Promise<ClusterObject> {
    let last: ClusterObject | undefined;
    try {
      return await waitFor(fact, async () => {
        last = await this.get(kind, name, namespace);
        return last !== undefined && check(last) ? last : undefined;
      }, { timeoutMs: patienceMs, everyMs: 200 });
    } catch (error) {
      throw new Error(`${(error as Error).message}; ${kind} ${namespace}/${name} is ${JSON.stringify(last?.status ?? last)}\n${this.#lastLogs()}`, { cause: error });
    }
  }

  /** Waits for the condition Ready of the generation that the object has now. */
  async untilReady(kind: string, name: string, namespace = 'default'): Promise<ClusterObject> {
    return this.until(`${kind} ${name} Ready`, kind, name, (object) => isReady(object), namespace);
  }

  async untilGone(kind: string, name: string, namespace = 'default'): Promise<void> {
    await waitFor(`${kind} ${name} gone`, async () => (await this.get(kind, name, namespace)) === undefined, { timeoutMs: patienceMs, everyMs: 200 });
  }

  /** Brokers hear of a deletion a moment after whoever asked for it had his answer. */
  async untilTopicGone(topic: string): Promise<void> {
    await waitFor(`the topic ${topic} gone`, async () => !(await this.admin.listTopics()).includes(topic), { timeoutMs: patienceMs });
  }

  /** A Secret in the system namespace that tells how to reach a Kafka; also as the folder that a node would mount. */
  async kafkaSecret(name: string, data: Readonly<Record<string, string>>, annotations: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#mount(name, data);
    await this.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: systemNamespace, labels: { 'eventing-kafka.knative.dev/kafka-secret': 'true' }, annotations }, stringData: data });
  }

  /** As a node does it: a version in a folder of its own, a link to it that moves, and a link for each key. */
  #mount(name: string, data: Readonly<Record<string, string>>): void {
    const folder = this.secretFolder(name);
    const version = `..version_${this.#versions++}`;
    mkdirSync(join(folder, version), { recursive: true });
    for (const [key, value] of Object.entries(data)) writeFileSync(join(folder, version, key), value);
    symlinkSync(version, join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    for (const key of Object.keys(data)) if (!existsSync(join(folder, key))) symlinkSync(join('..data', key), join(folder, key));
  }

  secretFolder(name = kafkaSecretName): string {
    return join(this.dataDir, 'secrets', name);
  }

  /** The end of what each process has logged: why something does not happen is mostly there. */
  #lastLogs(): string {
    return this.#services.map(({ process }) => `${process.name}:\n${process.output().trimEnd().split('\n').slice(-8).join('\n')}`).join('\n');
  }

  // --- processes -----------------------------------------------------------------------------------------------------

  /** The controller, with caches that are warm. */
  async controller(options: { readonly env?: Readonly<Record<string, string>>; readonly kubeconfig?: string } = {}): Promise<Service> {
    const kubeconfig = options.kubeconfig ?? (await this.kubeconfigOf('kafka-controller'));
    const service = await this.#service('controller', { KUBECONFIG: kubeconfig, GROUP_LINGER: '1s', DELETION_PATIENCE: '20s', ...options.env });
    await untilReady(service);
    return service;
  }

  /** A receiver of the Kafka Secret; `url(channel)` is a path on its port, for channels of namespace default. */
  async receiver(options: { readonly env?: Readonly<Record<string, string>> } = {}): Promise<Receiver> {
    const httpPort = await freePort();
    const service = await this.#service('channel-receiver', {
      KUBECONFIG: await this.kubeconfigOf('kafka-channel-receiver'), KAFKA_SECRET_DIR: this.secretFolder(), KAFKA_SECRET: kafkaSecretName, HTTP_PORT: String(httpPort), ...options.env,
    });
    await untilReady(service);
    return { ...service, httpPort, url: (channel) => `http://127.0.0.1:${httpPort}/default/${channel}` };
  }

  /** The dispatcher of one channel, as its Deployment describes it. */
  async dispatcher(channel: string, options: { readonly env?: Readonly<Record<string, string>>; readonly awaitReady?: boolean } = {}): Promise<Service> {
    const service = await this.#service('dispatcher', {
      KUBECONFIG: await this.kubeconfigOf('kafka-channel-dispatcher'), KAFKA_SECRET_DIR: this.secretFolder(), KAFKA_SECRET: kafkaSecretName, CHANNEL: channel, SESSION_TIMEOUT: '6s', ...options.env,
    });
    if (options.awaitReady !== false) await untilReady(service);
    return service;
  }

  /** A dispatcher of KafkaSources, ready, with the environment of its pod. */
  async sourceDispatcher(env: Readonly<Record<string, string>>): Promise<Service> {
    const service = await this.#service('dispatcher', { KUBECONFIG: await this.kubeconfigOf('kafka-source-dispatcher'), SESSION_TIMEOUT: '6s', ...env });
    await untilReady(service);
    return service;
  }

  async subscriber(options?: SubscriberOptions): Promise<Subscriber> {
    const subscriber = await Subscriber.start(options);
    this.#subscribers.push(subscriber);
    return subscriber;
  }

  async kubeconfigOf(serviceAccount: string): Promise<string> {
    const known = this.#kubeconfigs.get(serviceAccount) ?? (await this.kubernetes.kubeconfigFor({ namespace: systemNamespace, serviceAccount }));
    this.#kubeconfigs.set(serviceAccount, known);
    return known;
  }

  async #service(name: string, env: Readonly<Record<string, string>>): Promise<Service> {
    const metricsPort = await freePort();
    const process = startProcess({
      name,
      command: globalThis.process.execPath,
      args: [join(root, 'packages', name, 'bundle', 'main.js')],
      env: { METRICS_PORT: String(metricsPort), ...env },
    });
    const service = { process, metricsPort };
    this.#services.push(service);
    return service;
  }
}

/** Ready, and of this very generation. */
export function isReady(object: ClusterObject): boolean {
  return conditionOf(object, 'Ready')?.status === 'True' && object.status?.observedGeneration === object.metadata.generation;
}

export function conditionOf(object: ClusterObject | undefined, type: string): Condition | undefined {
  return object?.status?.conditions?.find((condition) => condition.type === type);
}

export function kafkaChannel(name: string, spec: ClusterSpec | null = {}, metadata: Partial<ClusterObject['metadata']> = {}): ClusterObject {
  return { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', metadata: { name, namespace: 'default', ...metadata }, spec };
}

/** Reads from the start unless told otherwise. */
export function kafkaSource(name: string, spec: ClusterSpec): ClusterObject {
  return { apiVersion: 'sources.knative.dev/v1', kind: 'KafkaSource', metadata: { name, namespace: 'default' }, spec: { initialOffset: 'earliest', ...spec } };
}

export function subscription(name: string, channel: string | { readonly apiVersion?: string; readonly kind: string; readonly name: string }, subscriber: object, rest: object = {}): ClusterObject {
  const ref = typeof channel === 'string' ? { kind: 'KafkaChannel', name: channel } : channel;
  return {
    apiVersion: 'messaging.knative.dev/v1', kind: 'Subscription', metadata: { name, namespace: 'default' },
    spec: { channel: { apiVersion: 'messaging.knative.dev/v1', ...ref }, subscriber, ...rest },
  };
}
