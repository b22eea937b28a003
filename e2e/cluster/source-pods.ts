/**
 * A node for the pods of the StatefulSet kafka-source-dispatcher, without containers: each pod that the StatefulSet
 * controller makes gets a dispatcher process under its name and with its environment.
 *
 * What a scheduler and a kubelet would do is done here, as they do it: a new pod gets a node and is Ready once its process
 * says so; one that is being deleted gets SIGTERM and the time to drain, and is gone when its process is.
 */
import { createKubernetesApi, resourceTypes, startInformer, type ClosableKubernetesApi, type Informer, type KubernetesObject } from '@knative-kafka/common/io';
import { waitFor } from '@knative-kafka/local-cluster';
import type { Service } from '../local/harness.ts';
import { patienceMs, type ClusterWorld } from './cluster-world.ts';
import { systemNamespace } from './install.ts';

export const sourceDispatchers = 'kafka-source-dispatcher';
const nodeName = 'stand-in';
/** As long as a kubelet would wait after SIGTERM. */
const drainMs = 60_000;

interface Pod extends KubernetesObject {
  readonly spec: { readonly containers: readonly [{ readonly env: readonly { readonly name: string; readonly value?: string }[] }] };
}

export class SourcePods {
  readonly #world: ClusterWorld;
  readonly #api: ClosableKubernetesApi;
  readonly #informer: Informer<Pod>;
  /** What runs, by the pod's name. */
  readonly #services = new Map<string, Service>();
  /** Pods that were begun with, by uid. */
  readonly #begun = new Set<string>();
  /** What is being done for each pod, one step after the other. */
  readonly #steps = new Map<string, Promise<void>>();
  readonly #failures: unknown[] = [];

  constructor(world: ClusterWorld) {
    this.#world = world;
    this.#api = createKubernetesApi({ kubeconfig: world.kubernetes.kubeconfig, userAgent: 'node', fieldManager: 'node' });
    this.#informer = startInformer<Pod>(this.#api, { type: resourceTypes.pod, namespace: systemNamespace, labelSelector: 'app.kubernetes.io/component=source-dispatcher' });
    this.#informer.onChange(({ before, after }) => {
      const pod = after ?? before;
      if (pod !== undefined) void this.#next(pod.metadata.name, () => this.#follow(pod.metadata.name));
    });
  }

  async stop(): Promise<void> {
    this.#informer.close();
    await Promise.all(this.#steps.values());
    await this.#api.close();
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  /** Names of the pods whose process runs, by ordinal. */
  names(): readonly string[] {
    return [...this.#services.keys()].sort((a, b) => ordinalOf(a) - ordinalOf(b));
  }

  service(name: string): Service {
    const service = this.#services.get(name);
    if (service === undefined) throw new Error(`there is no pod ${name}; there are ${this.names().join(', ')}`);
    return service;
  }

  async untilNumber(pods: number): Promise<void> {
    await waitFor(`${pods} pods of ${sourceDispatchers}`, () => this.#services.size === pods, { timeoutMs: patienceMs });
  }

  /** Kills the process of a pod; another one is started in its place, as a kubelet does with a container. */
  kill(name: string): Promise<void> {
    return this.#next(name, async () => {
      const { process } = this.service(name);
      process.signal('SIGKILL');
      await process.exited;
      await this.#sayReady(name, false);
      await this.#run(this.#podOf(name)!);
    });
  }

  #next(name: string, step: () => Promise<void>): Promise<void> {
    const done = (this.#steps.get(name) ?? Promise.resolve()).then(step).catch((error: unknown) => void this.#failures.push(error));
    this.#steps.set(name, done);
    return done;
  }

  #podOf(name: string): Pod | undefined {
    return this.#informer.get(`${systemNamespace}/${name}`);
  }

  async #follow(name: string): Promise<void> {
    const pod = this.#podOf(name);
    if (pod === undefined) return this.#end(name);
    const { uid = '', deletionTimestamp } = pod.metadata;
    if (deletionTimestamp !== undefined) {
      await this.#end(name);
      if (this.#podOf(name)?.metadata.uid === uid) await this.#world.kubectl(['delete', 'pod', name, '-n', systemNamespace, '--grace-period=0', '--force', '--ignore-not-found']);
    } else if (!this.#begun.has(uid)) {
      this.#begun.add(uid);
      await this.#end(name); // of an earlier pod of this name
      const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name, namespace: systemNamespace }, target: { apiVersion: 'v1', kind: 'Node', name: nodeName } };
      await this.#world.kubectl(['create', '--raw', `/api/v1/namespaces/${systemNamespace}/pods/${name}/binding`, '-f', '-'], JSON.stringify(binding));
      await this.#run(pod);
    }
  }

  async #run({ metadata: { name }, spec }: Pod): Promise<void> {
    const env = Object.fromEntries(spec.containers[0].env.flatMap(({ name: variable, value }) => (value === undefined || variable === 'METRICS_PORT' ? [] : [[variable, value]])));
    this.#services.set(name, await this.#world.sourceDispatcher({ ...env, POD_NAME: name }));
    await this.#sayReady(name, true);
  }

  async #end(name: string): Promise<void> {
    await this.#services.get(name)?.process.stop(drainMs);
    this.#services.delete(name);
  }

  async #sayReady(name: string, isReady: boolean): Promise<void> {
    const status = isReady ? 'True' : 'False';
    const conditions = ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({ type, status, lastTransitionTime: new Date().toISOString() }));
    await this.#api.mergePatch(resourceTypes.pod, { namespace: systemNamespace, name }, { status: { phase: 'Running', conditions } }, { subresource: 'status' });
  }
}

function ordinalOf(podName: string): number {
  return Number(podName.slice(podName.lastIndexOf('-') + 1));
}
