/**
 * The event path as real processes on real Kafka, for the tests beside this file: start and signal them, send events
 * as a careful sender does, and record what a subscriber gets.
 */
import { copyFileSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { consumerGroupId, topicName, type RecordHeaders } from '@knative-kafka/common/core';
import { createKafkaClient, type Admin, type KafkaClient } from '@knative-kafka/common/io';
import { freePort, startKafka, startProcess, waitFor, type ChildService, type KafkaCluster } from '@knative-kafka/local-cluster';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** How long a process or a group may take to come up on a busy machine; a limit for failing, never a time to wait. */
export const patienceMs = 60_000;

export interface Service {
  readonly process: ChildService;
  readonly metricsPort: number;
}
export interface Receiver extends Service {
  readonly url: (channel: string) => string;
  readonly httpPort: number;
}

export interface StoredRecord {
  readonly partition: number;
  readonly offset: bigint;
  readonly key: string | null;
  readonly value: Buffer | null;
  readonly headers: RecordHeaders;
}

export interface WorldOptions {
  /** Default 1. Topics have a replica on each. */
  readonly brokers?: 1 | 3;
  /** Laid over the broker's server.properties. */
  readonly config?: Readonly<Record<string, string>>;
  readonly onProgress?: (text: string) => void;
}

/** One Kafka, one folder of manifests, and the processes started on them. */
export class World {
  readonly kafka: KafkaCluster;
  readonly admin: Admin;
  readonly folder: string;
  readonly #client: KafkaClient;
  readonly #dataDir: string;
  readonly #services: Service[] = [];
  readonly #subscribers: Subscriber[] = [];
  #readers = 0;

  private constructor(kafka: KafkaCluster, dataDir: string) {
    this.kafka = kafka;
    this.#dataDir = dataDir;
    this.folder = mkdtempSync(join(tmpdir(), 'knative-kafka-manifests-'));
    this.#client = createKafkaClient({ brokers: kafka.bootstrap.split(','), clientId: 'e2e', requestTimeoutMs: 10_000, connectTimeoutMs: 3_000 });
    this.admin = this.#client.createAdmin();
  }

  static async start(options: WorldOptions = {}): Promise<World> {
    const dataDir = mkdtempSync(join(tmpdir(), 'knative-kafka-e2e-'));
    return new World(await startKafka({ dataDir, ...options }), dataDir);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#services.map(({ process }) => process.stop()));
    await Promise.all(this.#subscribers.map((subscriber) => subscriber.close()));
    await this.kafka.stop();
    rmSync(this.folder, { recursive: true, force: true });
    rmSync(this.#dataDir, { recursive: true, force: true });
  }

  /** A KafkaChannel `default/<name>` and its topic. */
  async channel(name: string, partitions: number, config: Readonly<Record<string, string>> = {}): Promise<void> {
    this.write(`channel-${name}.yaml`, { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', metadata: { name, namespace: 'default' }, spec: { numPartitions: partitions } });
    await this.admin.createTopic({ topic: topicOf(name), partitions, replicationFactor: this.kafka.brokers.length, config });
  }

  /** A Subscription `default/<name>`; its consumer group is `groupOf(channel, name)`. */
  subscription(name: string, channel: string, uri: string, delivery?: object, annotations: Readonly<Record<string, string>> = {}): void {
    this.write(`subscription-${name}.yaml`, {
      apiVersion: 'messaging.knative.dev/v1',
      kind: 'Subscription',
      metadata: { name, namespace: 'default', uid: uidOf(name), annotations },
      spec: { channel: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: channel }, subscriber: { uri }, ...(delivery === undefined ? {} : { delivery }) },
    });
  }

  /** Reads the records of a channel's topic from the beginning until there are `count`, by a consumer group of its own. */
  async stored(channel: string, count: number): Promise<readonly StoredRecord[]> {
    return this.storedIn(topicOf(channel), count);
  }

  /** The same of any topic, up to its end as it is now where no `count` is given. */
  async storedIn(topic: string, count?: number): Promise<readonly StoredRecord[]> {
    const groupId = `e2e-reader-${topic}-${this.#readers++}`;
    const found: StoredRecord[] = [];
    // A new cluster makes its topic of committed offsets first.
    await waitFor('offsets to read from', () => this.admin.commitInitialOffsets(groupId, topic, 'earliest'), { timeoutMs: patienceMs });
    const wanted = count ?? (await this.admin.groupLag(groupId, topic)).reduce((sum, { commitOffset, endOffset }) => sum + Number(endOffset - (commitOffset ?? 0n)), 0);
    if (wanted === 0) return found;
    const member = this.#client.createGroupMember({
      groupId,
      topics: [topic],
      fetchBytesPerPartition: 1024 * 1024,
      sessionTimeoutMs: 6_000,
      revokeTimeoutMs: 1_000,
      handlers: {
        rebalancing: () => undefined,
        revoking: () => Promise.resolve(),
        assigned: () => undefined,
        records: ({ partition }, records) => {
          for (const { offset, key, value, headers } of records) found.push({ partition, offset, key: key?.toString() ?? null, value, headers });
        },
        offsetReset: () => undefined,
        lost: () => undefined,
      },
    });
    try {
      await member.start();
      await waitFor(`${wanted} records in ${topic}`, () => found.length >= wanted, { timeoutMs: patienceMs });
    } finally {
      await member.close();
    }
    return found;
  }

  /** How many records of a channel a Subscription has no committed outcome for. */
  async lag(channel: string, subscription: string): Promise<number> {
    const partitions = await this.admin.groupLag(groupOf(channel, subscription), topicOf(channel));
    return partitions.reduce((sum, { commitOffset, endOffset }) => sum + Number(endOffset - (commitOffset ?? 0n)), 0);
  }

  write(file: string, content: object | string): void {
    writeFileSync(join(this.folder, file), typeof content === 'string' ? content : JSON.stringify(content));
  }

  remove(file: string): void {
    unlinkSync(join(this.folder, file));
  }

  async subscriber(options?: SubscriberOptions): Promise<Subscriber> {
    const subscriber = await Subscriber.start(options);
    this.#subscribers.push(subscriber);
    return subscriber;
  }

  /** A receiver process; ready unless told otherwise. */
  async receiver(options: { readonly env?: Record<string, string>; readonly awaitReady?: boolean; readonly httpPort?: number } = {}): Promise<Receiver> {
    const httpPort = options.httpPort ?? (await freePort());
    const service = await this.#service('channel-receiver', { HTTP_PORT: String(httpPort), ...options.env });
    if (options.awaitReady !== false) await untilReady(service);
    return { ...service, httpPort, url: (channel) => `http://127.0.0.1:${httpPort}/default/${channel}` };
  }

  /** A dispatcher process; ready (every consumer group joined) unless told otherwise. */
  async dispatcher(options: { readonly env?: Record<string, string>; readonly awaitReady?: boolean } = {}): Promise<Service> {
    const service = await this.#service('dispatcher', { SESSION_TIMEOUT: '6s', ...options.env });
    if (options.awaitReady !== false) await untilReady(service);
    return service;
  }

  async #service(name: string, env: Record<string, string>): Promise<Service> {
    const metricsPort = await freePort();
    const process = startProcess({
      name,
      command: globalThis.process.execPath,
      args: [join(root, 'packages', name, 'bundle', 'main.js')],
      env: { RESOURCES_DIR: this.folder, KAFKA_BROKERS: this.kafka.bootstrap, METRICS_PORT: String(metricsPort), ...env },
    });
    const service = { process, metricsPort };
    this.#services.push(service);
    return service;
  }

  /** What may tell why something went wrong: all logs, and the metrics of services that run. @returns the folder with them */
  async keepEvidence(): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), 'knative-kafka-evidence-'));
    for (const [number, { process, metricsPort }] of this.#services.entries()) {
      const name = join(folder, `${number}-${process.name}`);
      writeFileSync(`${name}.log`, process.output());
      if (!process.isRunning()) continue;
      const metrics = await fetch(`http://127.0.0.1:${metricsPort}/metrics`, { signal: AbortSignal.timeout(5_000) }).then((response) => response.text(), String);
      writeFileSync(`${name}.metrics`, metrics);
    }
    for (const { id, logFile } of this.kafka.brokers) copyFileSync(logFile, join(folder, `broker-${id}.log`));
    return folder;
  }
}

export function topicOf(channel: string): string {
  const named = topicName({ namespace: 'default', name: channel, uid: '' });
  if ('problem' in named) throw new Error(named.problem);
  return named.topic;
}

function uidOf(subscription: string): string {
  return `uid-${subscription}`;
}

/** The consumer group of a Subscription of `World.subscription`. */
export function groupOf(channel: string, subscription: string): string {
  return consumerGroupId({ namespace: 'default', name: channel }, uidOf(subscription));
}

export async function untilReady(service: Service): Promise<void> {
  const { process, metricsPort } = service;
  await Promise.race([
    waitFor(`${process.name} ready`, async () => (await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).ok, { timeoutMs: patienceMs }),
    process.exited.then(() => { throw new Error(`${process.name} ended before it was ready:\n${process.output()}`); }),
  ]);
}

/** Waits for a line of a service's log with these fields, and returns all of it. */
export async function logged(service: Service, fields: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>> {
  return waitFor(`a log line of ${service.process.name} with ${JSON.stringify(fields)}`, () => {
    const lines = service.process.output().split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    const parsed = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
    return parsed.find((line) => Object.entries(fields).every(([name, value]) => line[name] === value));
  }, { timeoutMs: patienceMs });
}

/** A metric's samples whose labels include the given ones, summed up. */
export async function metric(service: Service, name: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${service.metricsPort}/metrics`)).text();
  let sum = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    if (Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`))) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}

// --- subscriber ------------------------------------------------------------------------------------------------------

export interface SubscriberOptions {
  /** The status for an event, decided anew each time; 200 unless told. A promise makes the subscriber slow. */
  readonly answer?: (event: ReceivedEvent) => number | Promise<number>;
}

export interface ReceivedEvent {
  /** Of a binary event. */
  readonly id: string;
  readonly headers: IncomingMessage['headers'];
  /** As they came: name, value, name, value … */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

/** An HTTP server that records every event it is sent, in the order of arrival. */
export class Subscriber {
  /** Answered with 2xx. */
  readonly accepted: ReceivedEvent[] = [];
  /** All of them. */
  readonly received: ReceivedEvent[] = [];
  answer: NonNullable<SubscriberOptions['answer']>;
  readonly #server: Server;

  private constructor(options: SubscriberOptions) {
    this.answer = options.answer ?? (() => 200);
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        void (async () => {
          const event = { id: String(request.headers['ce-id']), headers: request.headers, rawHeaders: request.rawHeaders, body: Buffer.concat(chunks) };
          this.received.push(event);
          const status = await this.answer(event);
          if (status >= 200 && status < 300) this.accepted.push(event);
          response.writeHead(status).end();
        })();
      });
    });
  }

  static async start(options: SubscriberOptions = {}): Promise<Subscriber> {
    const subscriber = new Subscriber(options);
    await new Promise<void>((resolve) => subscriber.#server.listen(0, '127.0.0.1', resolve));
    return subscriber;
  }

  get uri(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  /** Waits until every id has been accepted at least once. */
  async untilAccepted(ids: ReadonlySet<string>, timeoutMs = patienceMs): Promise<void> {
    const missing = new Set(ids);
    let seen = 0;
    await waitFor('delivery of every acknowledged event', () => {
      for (; seen < this.accepted.length; seen++) missing.delete(this.accepted[seen]!.id);
      if (missing.size > 0) throw new Error(`${missing.size} of ${ids.size} not delivered, among them ${[...missing].slice(0, 3).join(', ')}`);
      return true;
    }, { timeoutMs });
  }

  /** Deliveries beyond the first of each event. */
  get duplicates(): number {
    return this.accepted.length - new Set(this.accepted.map((event) => event.id)).size;
  }

  /**
   * Where the order of a key was broken: an event that came for the first time before its predecessor. A redelivery
   * repeats what came before and is none. Ids are `<key>-<number from 0>`.
   */
  orderBreaks(): readonly string[] {
    const last = new Map<string, number>();
    const breaks: string[] = [];
    for (const { id } of this.accepted) {
      const dash = id.lastIndexOf('-');
      const key = id.slice(0, dash);
      const n = Number(id.slice(dash + 1));
      const latest = last.get(key) ?? -1;
      if (n > latest + 1) breaks.push(`${id} came when ${key}-${latest} was the latest`);
      if (n > latest) last.set(key, n);
    }
    return breaks;
  }
}

// --- sender ----------------------------------------------------------------------------------------------------------

export interface SendOptions {
  /** Where to send; tried in turn. */
  readonly urls: readonly string[];
  readonly count: number;
  readonly keys: number;
  readonly keyPrefix?: string;
  /** Between two events of a key, for a steady stream rather than a load. */
  readonly pauseMs?: number;
  /** Ends it early: what is under way is finished. */
  readonly signal?: AbortSignal;
  /** Told after each acknowledgement how many there are, and of which event. */
  readonly onAcknowledged?: (acknowledged: number, id: string) => void;
  /** Told of each answer that is none, as it comes. */
  readonly onRefused?: (status: number, retryAfter: string | undefined) => void;
}

export interface SendResult {
  readonly acknowledged: ReadonlySet<string>;
  /** Answers that made the sender send again, by status; 0 for a connection that failed. */
  readonly refusals: ReadonlyMap<number, number>;
}

/** Tries that one event gets; with the waits between them far longer than any fault of these tests. */
const sendAttempts = 300;

export interface SenderOptions {
  /** Where to send; tried in turn. */
  readonly urls: readonly string[];
  /** To each of them. */
  readonly connections: number;
  readonly onRefused?: ((status: number, retryAfter: string | undefined) => void) | undefined;
}

/** Sends single events as Knative's senders do: 429, 5xx and lost connections are tried again. */
export class Sender {
  readonly #targets: readonly { readonly pool: Pool; readonly path: string }[];
  readonly #onRefused: SenderOptions['onRefused'];
  #turn = 0;

  constructor({ urls, connections, onRefused }: SenderOptions) {
    this.#targets = urls.map((url) => ({ pool: new Pool(new URL(url).origin, { connections, connectTimeout: 2_000 }), path: new URL(url).pathname }));
    this.#onRefused = onRefused;
  }

  /** Resolves once the event is acknowledged. @throws Error when it is refused for good, or never taken */
  async send(id: string, key: string): Promise<void> {
    for (let attempt = 1; attempt <= sendAttempts; attempt++) {
      const { pool, path } = this.#targets[this.#turn++ % this.#targets.length]!;
      const [status, retryAfter] = await pool.request({
        method: 'POST',
        path,
        headers: { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/e2e', 'ce-type': 'test', 'ce-subject': key, 'content-type': 'application/json' },
        body: JSON.stringify({ id, padding: 'x'.repeat(200) }),
      }).then(
        async (response) => {
          await response.body.dump();
          return [response.statusCode, String(response.headers['retry-after'] ?? '')] as const;
        },
        () => [0, ''] as const,
      );
      if (status === 202) return;
      this.#onRefused?.(status, retryAfter === '' ? undefined : retryAfter);
      if (status !== 0 && status !== 429 && status < 500) throw new Error(`${id} was refused with ${status}`);
      await delay(Math.min(500, 20 * attempt));
    }
    throw new Error(`${id} was not acknowledged in ${sendAttempts} attempts`);
  }

  async close(): Promise<void> {
    await Promise.all(this.#targets.map(({ pool }) => pool.destroy()));
  }
}

/** Sends many. The events of a key go one after the other, so that their order is known; the keys go side by side. */
export async function sendEvents({ urls, count, keys, keyPrefix = 'key', pauseMs = 0, signal, onAcknowledged, onRefused }: SendOptions): Promise<SendResult> {
  const acknowledged = new Set<string>();
  const refusals = new Map<number, number>();
  const sender = new Sender({
    urls,
    connections: keys,
    onRefused: (status, retryAfter) => {
      refusals.set(status, (refusals.get(status) ?? 0) + 1);
      onRefused?.(status, retryAfter);
    },
  });
  try {
    await Promise.all(
      Array.from({ length: keys }, async (_, k) => {
        const key = `${keyPrefix}${k}`;
        const share = Math.floor(count / keys) + (k < count % keys ? 1 : 0);
        for (let n = 0; n < share && signal?.aborted !== true; n++) {
          const id = `${key}-${n}`;
          await sender.send(id, key);
          acknowledged.add(id);
          onAcknowledged?.(acknowledged.size, id);
          if (pauseMs > 0) await delay(pauseMs);
        }
      }),
    );
  } finally {
    await sender.close();
  }
  return { acknowledged, refusals };
}
