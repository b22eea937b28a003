/**
 * Events that flow all the while something happens to the cluster, and what became of them: a pod that sends and receives
 * (load-program.ts), led from here.
 *
 * Always true: a run has steady traffic before what happens begins and after it is over, and ends when all that was
 * acknowledged has been delivered, or not delivered in time.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '@knative-kafka/local-cluster';
import { patienceMs, systemNamespace, type Cluster } from './cluster.ts';
import { loadTable, tallyLoad, type LoadRun, type LoadTally } from './load-run.ts';
import type { LoadOrder, LoadProgress } from './load-program.ts';
import { applyUntilReady, kafkaChannel, orders, subscription } from './orders.ts';
import { startProgram } from './program-pod.ts';

/** How a load sends and takes. */
export interface LoadPace extends Pick<LoadOrder, 'keys' | 'everyMs' | 'answerMs' | 'bytes'> {
  /** Acknowledged events of one run, at least. */
  readonly fewest: number;
}

/** 1,000 events a second over 100 keys, as long as they are taken at once. A subscriber that takes a moment has deliveries under way at any time. */
export const usualPace: LoadPace = { keys: 100, everyMs: 100, answerMs: 20, bytes: 0, fewest: 50_000 };
/** Annotation of a Subscription that keeps pace with it: one event of each key at a time. */
const keyOrdered = { 'kafka.eventing.knative.dev/delivery.order': 'key-ordered' };
const most = 500_000;
/** Delivered before something happens, and again after it. */
const steady = 2_000;

export class Load {
  /** Where it takes events, for pods. */
  readonly url: string;
  readonly #cluster: Cluster;
  readonly #proxy: string;
  readonly #pace: LoadPace;
  /** By the name of the run; the pod knows them by their numbers. */
  readonly #numbers = new Map<string, number>();
  readonly #tallies = new Map<string, LoadTally>();

  private constructor(cluster: Cluster, namespace: string, proxy: string, pace: LoadPace) {
    this.#cluster = cluster;
    this.#pace = pace;
    this.url = `http://load.${namespace}.svc.cluster.local/events`;
    this.#proxy = proxy;
  }

  /** Starts its pod in the namespace, which holds no other, and waits until it answers. */
  static async start(cluster: Cluster, namespace: string, pace: LoadPace): Promise<Load> {
    const source = readFileSync(join(import.meta.dirname, 'load-program.ts'), 'utf8');
    // With a share of its own: where processors are short it would else be the first to stand still, and that is not what is measured.
    return new Load(cluster, namespace, await startProgram(cluster, { name: 'load', namespace, file: 'main.mts', source, cpu: '500m' }), pace);
  }

  /**
   * Sends at least `fewest` events of its pace to a channel while `happens` runs, and waits until all of them are delivered.
   *
   * @param name    of the run, as the table shows it; each its own
   * @param address of the channel
   * @param pace    its own unless told
   * @returns       what came of it also where events were lost: that is for the caller to judge
   */
  async during(name: string, address: string, happens: () => Promise<void>, { fewest, ...pace }: LoadPace = this.#pace): Promise<LoadTally> {
    const number = this.#numbers.size + 1;
    this.#numbers.set(name, number);
    const order: LoadOrder = { name: String(number), url: address, ...pace, most };
    await this.#post('/start', order);
    try {
      await this.#untilDelivered(steady);
      await happens();
      const { delivered } = await this.progress();
      await this.#untilDelivered(Math.max(fewest, delivered + steady));
    } finally {
      await this.#post('/stop', {});
    }
    await this.#until('every event to be acknowledged', ({ isDone }) => isDone);
    await this.#until('every acknowledged event to be delivered', ({ missing }) => missing === 0).catch(() => undefined);
    const tally = tallyLoad(await this.run(name));
    this.#tallies.set(name, tally);
    return tally;
  }

  /** How far the run is that is under way. */
  async progress(): Promise<LoadProgress> {
    return this.#get<LoadProgress>('/progress');
  }

  /** What is known of a run by now. */
  async run(name: string): Promise<LoadRun> {
    return this.#get<LoadRun>(`/runs/${this.#numbers.get(name)}`);
  }

  /** The tallies so far, each as it was at its end. */
  get tallies(): ReadonlyMap<string, LoadTally> {
    return this.#tallies;
  }

  /** For people: what was measured. */
  table(): string {
    return loadTable(this.#tallies);
  }

  async #untilDelivered(count: number): Promise<void> {
    await this.#until(`${count} events at the subscriber`, ({ delivered }) => delivered >= count);
  }

  async #until(what: string, isSo: (progress: LoadProgress) => boolean): Promise<void> {
    await waitFor(what, async () => {
      const progress = await this.progress();
      if (!isSo(progress)) throw new Error(`it is ${JSON.stringify(progress)}`); // told where it waits in vain
      return true;
    }, { timeoutMs: patienceMs, everyMs: 500 });
  }

  async #get<T>(path: string): Promise<T> {
    return JSON.parse(await this.#cluster.kubectl(['get', '--raw', `${this.#proxy}${path}`])) as T;
  }

  async #post(path: string, body: object): Promise<void> {
    await this.#cluster.kubectl(['create', '--raw', `${this.#proxy}${path}`, '--filename', '-'], JSON.stringify(body));
  }
}

/** Installs the chart, and what `startLoad` makes. */
export async function installUnderLoad(cluster: Cluster): Promise<Load> {
  await cluster.createNamespace(systemNamespace);
  await cluster.createNamespace(orders);
  await cluster.install();
  return startLoad(cluster);
}

/** A channel of six partitions whose one Subscription leads to the load, which is not running yet. */
export async function startLoad(cluster: Cluster): Promise<Load> {
  const load = await Load.start(cluster, orders, usualPace);
  await applyUntilReady(cluster, kafkaChannel(orders, { numPartitions: 6 }), subscription('all', orders, { subscriber: { uri: load.url } }, keyOrdered));
  // Ready of a channel does not wait for pods: without this the first run would measure their start.
  await cluster.kubectl(['wait', '--for=condition=DispatcherReady', `kafkachannel/${orders}`, '--namespace', orders, `--timeout=${patienceMs}ms`]);
  return load;
}

/** Waits until the channel of `startLoad` and its Subscription are Ready, with all that Ready of a channel does not wait for. */
export async function untilWell(cluster: Cluster): Promise<void> {
  for (const condition of ['Ready', 'ReceiverReady', 'DispatcherReady']) {
    await cluster.kubectl(['wait', `--for=condition=${condition}`, `kafkachannel/${orders}`, '--namespace', orders, `--timeout=${patienceMs}ms`]);
  }
  await cluster.untilReady('subscription/all', orders);
}
