/** What the pods of the installation take over a time: looked at once a second, because the kernel keeps no highest mark of it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster } from './cluster.ts';
import type { ContainerUsage } from './container-groups.ts';
import { runningPods, type RunningPod } from './pod-changes.ts';
import type { Component } from './system-pods.ts';

const components: readonly Component[] = ['kafka-controller', 'channel-receiver', 'dispatcher', 'source-dispatcher'];
const everyMs = 1_000;

export interface Footprint {
  readonly pod: string;
  readonly component: Component;
  /** At most. */
  readonly workingSetBytes: number;
  /** At most. */
  readonly anonymousBytes: number;
  /** On average. */
  readonly cores: number;
  /** Of memory; infinite where there is none. */
  readonly limitBytes: number;
  /** Of its container, since there is the pod. */
  readonly restarts: number;
}

interface Watched {
  readonly pod: RunningPod;
  first: ContainerUsage;
  last: ContainerUsage;
  workingSetBytes: number;
  anonymousBytes: number;
}

export class Footprints {
  readonly #cluster: Cluster;
  readonly #pods: readonly Watched[];
  readonly #beganAt = performance.now();
  readonly #stopping = new AbortController();
  readonly #watching: Promise<void>;

  private constructor(cluster: Cluster, pods: readonly Watched[]) {
    this.#cluster = cluster;
    this.#pods = pods;
    this.#watching = this.#watch();
    this.#watching.catch(() => undefined); // told by end()
  }

  /** Begins with the pods that there are now. */
  static async of(cluster: Cluster): Promise<Footprints> {
    const pods = await podsOf(cluster);
    return new Footprints(cluster, await Promise.all(pods.map(async (pod) => {
      const usage = await cluster.control.usage(pod.containerId);
      return { pod, first: usage, last: usage, ...usage };
    })));
  }

  /** @returns what there was in between, by component and name @throws Error when a container is gone */
  async end(): Promise<readonly Footprint[]> {
    this.#stopping.abort();
    await this.#watching;
    await this.#look();
    const seconds = (performance.now() - this.#beganAt) / 1_000;
    const now = await podsOf(this.#cluster);
    return this.#pods.map(({ pod, first, last, workingSetBytes, anonymousBytes }) => ({
      pod: pod.name,
      component: pod.component,
      workingSetBytes,
      anonymousBytes,
      cores: (last.cpuMs - first.cpuMs) / 1_000 / seconds,
      limitBytes: pod.memoryLimitBytes,
      restarts: now.find(({ uid }) => uid === pod.uid)?.restarts ?? Number.NaN,
    }));
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#look();
      await delay(everyMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    await Promise.all(this.#pods.map(async (watched) => {
      const usage = await this.#cluster.control.usage(watched.pod.containerId);
      watched.last = usage;
      watched.workingSetBytes = Math.max(watched.workingSetBytes, usage.workingSetBytes);
      watched.anonymousBytes = Math.max(watched.anonymousBytes, usage.anonymousBytes);
    }));
  }
}

async function podsOf(cluster: Cluster): Promise<readonly RunningPod[]> {
  return (await Promise.all(components.map((component) => runningPods(cluster, component)))).flat();
}

/** For a terminal and for a page alike: a Markdown table with one line for each pod. @param measured by what went on meanwhile */
export function footprintTable(measured: ReadonlyMap<string, readonly Footprint[]>): string {
  const rows = [...measured].flatMap(([name, pods]) => [
    ...pods.map((pod) => [name, pod.component, megabytes(pod.workingSetBytes), megabytes(pod.anonymousBytes), megabytes(pod.limitBytes), `${((1 - pod.workingSetBytes / pod.limitBytes) * 100).toFixed(0)} %`, pod.cores.toFixed(3)]),
    [name, '_all_', megabytes(sumOf(pods, 'workingSetBytes')), megabytes(sumOf(pods, 'anonymousBytes')), '', '', sumOf(pods, 'cores').toFixed(3)],
  ]);
  const head = ['', 'pod of', 'memory, MB', 'of it heaps and stacks, MB', 'limit, MB', 'headroom', 'cores'];
  return [head, ['---', '---', '---:', '---:', '---:', '---:', '---:'], ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function sumOf(pods: readonly Footprint[], figure: 'workingSetBytes' | 'anonymousBytes' | 'cores'): number {
  return pods.reduce((sum, pod) => sum + pod[figure], 0);
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(0);
}
