/**
 * What the benches share: one Kafka, one folder of manifests, the services of this repository from their bundles, and
 * the limits, each as a process of its own.
 *
 * Always true: `clear` ends every process that was started here and removes its channels, so that one bench leaves
 * nothing for the next; nothing outlives this process.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { consumerGroupId, deliveryOrderAnnotation, Fault, readSettings, RecordBatch, topicName, type DeliveryOrder, type PartitionBatch } from '@knative-kafka/common/core';
import type { Admin, Producer } from '@knative-kafka/common/io';
import { dispatcherSettings, type DispatcherConfig } from '@knative-kafka/dispatcher';
import { freePort, freePorts, startKafka, startProcess, waitFor, type ChildService, type KafkaCluster } from '@knative-kafka/local-cluster';
import type { Arrival } from '../core/arrivals.ts';
import { eventRecord } from '../core/bench-event.ts';
import type { ProduceLoopOptions, ProduceLoopResult } from '../processes/produce-loop.ts';
import type { MeasureOptions, MeasureResult, SubscriberOptions } from '../processes/subscriber.ts';
import { toldPattern } from './child.ts';
import { connectKafka } from './kafka.ts';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** How long anything may take to come up; a limit for failing, never a time to wait. */
const patienceMs = 60_000;
const namespace = 'default';
/** Large enough that the broker is not what is measured; the default of local-cluster is for tests. */
const kafkaHeapMb = 512;

export interface RunningServer {
  readonly process: ChildService;
  readonly port: number;
}

export interface RunningReceiver extends RunningServer {
  /** Where the events of a channel go. */
  readonly path: (channel: string) => string;
}

export interface RunningDispatcher {
  readonly process: ChildService;
  /** Resolves when each consumer group is joined. */
  readonly ready: () => Promise<void>;
  /** Those that it has of a Subscription, as its metrics tell: each from the first record on that it got of it. */
  readonly partitions: (subscription: string) => Promise<readonly number[]>;
}

export interface ServiceStart {
  /** Before the bundle, such as `--cpu-prof`. */
  readonly nodeFlags?: readonly string[];
  /** Settings other than the defaults. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface ReceiverStart extends ServiceStart {
  readonly isReadyAwaited?: boolean;
}

export interface DispatcherStart extends ServiceStart {
  /** Keeps its name in its consumer groups over a restart. */
  readonly podName?: string;
}

export interface SubscriptionSpec {
  readonly name: string;
  readonly channel: string;
  readonly topic: string;
  readonly subscriberPort: number;
  readonly order?: DeliveryOrder;
  /** Where a new consumer group begins; the oldest event of the channel unless told. */
  readonly from?: 'earliest' | 'latest';
}

/** Stores events at a fixed rate. */
export interface RunningSender {
  /** @returns when each event was accepted, by its number, in microseconds of the machine's clock */
  stop(): Promise<readonly number[]>;
}

export class BenchWorld {
  readonly kafka: KafkaCluster;
  readonly admin: Admin;
  readonly producer: Producer;
  readonly #folder: string;
  #processes: ChildService[] = [];
  #manifests = new Set<string>();
  #topics: string[] = [];

  private constructor(kafka: KafkaCluster, folder: string) {
    this.kafka = kafka;
    this.#folder = folder;
    const client = connectKafka(kafka.bootstrap);
    this.admin = client.createAdmin();
    this.producer = client.createProducer();
  }

  static async start(onProgress: (text: string) => void): Promise<BenchWorld> {
    const folder = mkdtempSync(join(tmpdir(), 'knative-kafka-bench-'));
    process.on('exit', () => {
      try {
        rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      } catch {
        // A process that was killed a moment ago wrote once more; the system clears its temporary files.
      }
    });
    // Logs are bounded by size, so they have to be looked at more often than every five minutes.
    const config = { 'log.retention.check.interval.ms': '5000', 'log.segment.delete.delay.ms': '1000' };
    return new BenchWorld(await startKafka({ dataDir: join(folder, 'kafka'), heapMb: kafkaHeapMb, config, onProgress }), folder);
  }

  async stop(): Promise<void> {
    await this.clear();
    await this.producer.close();
    await this.kafka.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async clear(): Promise<void> {
    await Promise.all(this.#processes.map((child) => child.stop()));
    this.#processes = [];
    for (const file of this.#manifests) this.#remove(file);
    const topics = this.#topics;
    this.#topics = [];
    for (const topic of topics) await this.admin.deleteTopic(topic);
  }

  // --- resources ---------------------------------------------------------------------------------------------------

  /** The dispatcher's settings as they are when nobody sets them. */
  get dispatcherDefaults(): DispatcherConfig {
    return readSettings(dispatcherSettings, { KAFKA_BROKERS: this.kafka.bootstrap });
  }

  /**
   * A topic whose leaders are known.
   * @param isBounded keeps the newest 128 MiB or so of each partition: for topics that nobody reads
   */
  async topic(topic: string, partitions: number, isBounded = false): Promise<void> {
    const config: Readonly<Record<string, string>> = isBounded ? { 'retention.bytes': String(128 * 1024 * 1024), 'segment.bytes': String(32 * 1024 * 1024), 'file.delete.delay.ms': '1000' } : {};
    await this.admin.createTopic({ topic, partitions, replicationFactor: 1, config });
    this.#topics.push(topic);
    await this.#leaders(topic, partitions);
  }

  /** A KafkaChannel and its topic. @returns the topic */
  async channel(name: string, partitions: number, isBounded = false): Promise<string> {
    const named = topicName({ namespace, name, uid: '' });
    if ('problem' in named) throw new Error(named.problem);
    await this.topic(named.topic, partitions, isBounded);
    this.#write(`channel-${name}.yaml`, { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', metadata: { name, namespace }, spec: { numPartitions: partitions } });
    return named.topic;
  }

  /** A Subscription and its consumer group, which begins where it is told to before anybody joins it. */
  async subscription({ name, channel, topic, subscriberPort, order, from = 'earliest' }: SubscriptionSpec): Promise<void> {
    const groupId = groupOf(channel, name);
    await untilDone(`offsets of ${groupId}`, () => this.admin.commitInitialOffsets(groupId, topic, from));
    this.#write(`subscription-${name}.yaml`, {
      apiVersion: 'messaging.knative.dev/v1',
      kind: 'Subscription',
      metadata: { name, namespace, uid: name, annotations: order === undefined ? {} : { [deliveryOrderAnnotation]: order } },
      spec: { channel: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: channel }, subscriber: { uri: `http://127.0.0.1:${subscriberPort}/` } },
    });
  }

  removeSubscription(name: string): void {
    this.#remove(`subscription-${name}.yaml`);
  }

  /** Resolves when nobody is left in the consumer group of a Subscription that was removed, and the group is gone, too. */
  async groupGone(name: string, channel: string): Promise<void> {
    const groupId = groupOf(channel, name);
    await untilDone(`the end of ${groupId}`, () => this.admin.deleteGroup(groupId));
  }

  /** Stores events as the receiver would, the same number in each partition, so that all of them end together. */
  async fill(topic: string, partitions: number, events: number): Promise<void> {
    const recordsPerBatch = 400;
    const leaders = await this.#leaders(topic, partitions);
    const timestampMs = Date.now();
    const perPartition = Math.ceil(events / partitions);
    for (let from = 0; from < perPartition; from += recordsPerBatch) {
      const batches: PartitionBatch[] = leaders.map((_, partition) => ({
        topic,
        partition,
        batch: RecordBatch.of(Array.from({ length: Math.min(recordsPerBatch, perPartition - from) }, (_item, index) => eventRecord((from + index) * partitions + partition, timestampMs))),
      }));
      await this.#store(leaders[0]!, batches); // one broker leads all
    }
  }

  async #store(leader: number, batches: readonly PartitionBatch[]): Promise<void> {
    let left = batches;
    await untilDone('storing of events', async () => {
      const results = await this.producer.produce(leader, left);
      left = left.filter((_, index) => 'fault' in results[index]!);
      const failed = results.find((result) => 'fault' in result);
      if (failed !== undefined) throw failed.fault;
    });
  }

  async #leaders(topic: string, partitions: number): Promise<readonly number[]> {
    return waitFor(`leaders of topic ${topic}`, async () => {
      const { leaders } = await this.producer.topicMetadata(topic);
      return leaders.length === partitions && leaders.every((leader) => leader >= 0) ? leaders : undefined;
    }, { timeoutMs: patienceMs });
  }

  #write(file: string, content: object): void {
    writeFileSync(join(this.#folder, file), JSON.stringify(content));
    this.#manifests.add(file);
  }

  #remove(file: string): void {
    rmSync(join(this.#folder, file), { force: true });
    this.#manifests.delete(file);
  }

  // --- processes ---------------------------------------------------------------------------------------------------

  async receiver({ nodeFlags = [], isReadyAwaited = true, env = {} }: ReceiverStart = {}): Promise<RunningReceiver> {
    const [port, metricsPort] = (await freePorts(2)) as [number, number];
    const process = this.#service('channel-receiver', nodeFlags, { ...env, HTTP_PORT: String(port), METRICS_PORT: String(metricsPort) });
    if (isReadyAwaited) await untilReady(process, metricsPort);
    return { process, port, path: (channel) => `/${namespace}/${channel}` };
  }

  /** A dispatcher process, just started. */
  async dispatcher({ nodeFlags = [], podName, env = {} }: DispatcherStart = {}): Promise<RunningDispatcher> {
    const metricsPort = await freePort();
    const process = this.#service('dispatcher', nodeFlags, { ...env, METRICS_PORT: String(metricsPort), ...(podName === undefined ? {} : { POD_NAME: podName }) });
    return {
      process,
      ready: () => untilReady(process, metricsPort),
      partitions: async (subscription) => {
        const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
        const lags = metrics.matchAll(/^knative_kafka_consumer_lag\{(.*)\}/gm);
        return [...lags].flatMap(([, labels = '']) => (labels.includes(`subscription="${subscription}"`) ? [Number(/partition="(\d+)"/.exec(labels)?.[1])] : []));
      },
    };
  }

  #service(name: string, nodeFlags: readonly string[], env: Readonly<Record<string, string>>): ChildService {
    return this.#start(name, [...nodeFlags, join(root, 'packages', name, 'bundle', 'main.js')], { RESOURCES_DIR: this.#folder, KAFKA_BROKERS: this.kafka.bootstrap, ...env });
  }

  /** `node:http` that answers 202. */
  bareServer(isReadyAwaited = true): Promise<RunningServer> {
    return this.#server('bare-server.mjs', isReadyAwaited);
  }

  /** A plain socket that answers 202. */
  bareSocket(): Promise<RunningServer> {
    return this.#server('bare-socket.mjs', true);
  }

  async #server(file: string, isReadyAwaited: boolean): Promise<RunningServer> {
    const port = await freePort();
    const process = this.#child(file, { port });
    if (isReadyAwaited) await process.waitForOutput(toldPattern('ready'), patienceMs);
    return { process, port };
  }

  async subscriber({ delayMs = 0, ...more }: Partial<Pick<SubscriberOptions, 'delayMs' | 'hasJournal'>> = {}): Promise<Subscriber> {
    const [port, controlPort] = (await freePorts(2)) as [number, number];
    const options: SubscriberOptions = { port, controlPort, delayMs, ...more };
    const process = this.#child('subscriber.ts', options);
    await process.waitForOutput(toldPattern('ready'), patienceMs);
    return new Subscriber(process, port, controlPort);
  }

  sender(topic: string, rate: number): RunningSender {
    const options: ProduceLoopOptions = { bootstrap: this.kafka.bootstrap, topic, rate };
    const process = this.#child('produce-loop.ts', options);
    return {
      stop: async () => {
        process.signal('SIGTERM');
        const [, result = ''] = await process.waitForOutput(toldPattern('result'), patienceMs);
        await process.exited;
        return (JSON.parse(result) as ProduceLoopResult).acceptedAt;
      },
    };
  }

  /** Starts one of the limits without waiting for anything. */
  start(file: string, options: object): ChildService {
    return this.#child(file, options);
  }

  /** Runs one of the limits to its end. @returns what it told */
  async runToEnd(file: string, options: object, timeoutMs: number): Promise<unknown> {
    const child = this.#child(file, options);
    const [, result = ''] = await child.waitForOutput(toldPattern('result'), timeoutMs);
    await child.exited;
    return JSON.parse(result);
  }

  #child(file: string, options: object): ChildService {
    return this.#start(file, [join(root, 'bench', 'processes', file), JSON.stringify(options)], {});
  }

  #start(name: string, args: readonly string[], env: Readonly<Record<string, string>>): ChildService {
    const process = startProcess({ name, command: globalThis.process.execPath, args: ['--disable-warning=TimeoutNegativeWarning', ...args], env });
    this.#processes.push(process);
    return process;
  }
}

/** The counting subscriber, from outside. */
export class Subscriber {
  readonly process: ChildService;
  readonly port: number;
  readonly #controlPort: number;

  constructor(process: ChildService, port: number, controlPort: number) {
    this.process = process;
    this.port = port;
    this.#controlPort = controlPort;
  }

  /** Counts from 0 again. Before whatever sends is started. */
  async reset(): Promise<void> {
    await this.#ask('/reset', {}, patienceMs);
  }

  async arrived(): Promise<number> {
    return ((await this.#ask('/arrived', {}, patienceMs)) as { arrived: number }).arrived;
  }

  /** What has arrived since this was asked last, of a subscriber with a journal. */
  async arrivals(): Promise<readonly Arrival[]> {
    return (await this.#ask('/arrivals', {}, patienceMs)) as readonly Arrival[];
  }

  /** Resolves when all that is to count has arrived. @throws Error with how much did, when the time is up */
  async measure(options: MeasureOptions, timeoutMs: number): Promise<MeasureResult> {
    try {
      return (await this.#ask('/measure', options, timeoutMs)) as MeasureResult;
    } catch (error) {
      throw new Error(`${await this.arrived()} events arrived at the subscriber, ${options.skip + options.events} were expected`, { cause: error });
    }
  }

  #ask(path: string, body: object, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port: this.#controlPort, path, method: 'POST', agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve(JSON.parse(text)));
        response.on('error', reject);
      });
      asked.on('error', reject);
      asked.end(JSON.stringify(body));
    });
  }
}

function groupOf(channel: string, subscription: string): string {
  return consumerGroupId({ namespace, name: channel }, subscription);
}

/** Tries again while Kafka says "not yet", as it does for moments after a topic or the first group is created. */
async function untilDone(what: string, work: () => Promise<unknown>): Promise<void> {
  const outcome = await waitFor(what, async () => {
    try {
      await work();
      return 'done';
    } catch (error) {
      if (error instanceof Fault && !error.retriable) return error;
      throw error;
    }
  }, { timeoutMs: patienceMs });
  if (outcome !== 'done') throw outcome;
}

/** Resolves when a service says so itself. */
export async function untilReady(process: ChildService, metricsPort: number): Promise<void> {
  await waitFor(`${process.name} ready`, async () => {
    if (!process.isRunning()) throw new Error(`it has ended:\n${process.output()}`);
    return (await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).ok;
  }, { timeoutMs: patienceMs });
}
