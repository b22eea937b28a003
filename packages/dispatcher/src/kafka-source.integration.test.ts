/**
 * KafkaSources end to end: the dispatcher as a process on a real broker, with a subscriber on loopback.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RecordBatch, type OutgoingRecord } from '@knative-kafka/common/core';
import { createKafkaClient, type Admin, type KafkaClient, type Producer } from '@knative-kafka/common/io';
import { freePort, startKafka, startProcess, waitFor, type ChildService, type KafkaCluster } from '@knative-kafka/local-cluster';
import { LoopbackSubscriber, type ReceivedRequest } from './io/loopback-subscriber.ts';

const patienceMs = 60_000;
const main = join(dirname(fileURLToPath(import.meta.url)), 'main.ts');

let dataDir: string;
let cluster: KafkaCluster;
let kafka: KafkaClient;
let admin: Admin;
let producer: Producer;
let folder: string;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-sources-'));
  cluster = await startKafka({ dataDir: join(dataDir, 'kafka') });
  kafka = createKafkaClient({ brokers: cluster.bootstrap.split(','), clientId: 'sources-test', requestTimeoutMs: 10_000, connectTimeoutMs: 3_000 });
  admin = kafka.createAdmin();
  producer = kafka.createProducer();
});

beforeEach(async () => {
  folder = await mkdtemp(join(dataDir, 'manifests-'));
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

afterAll(async () => {
  await Promise.all([producer.close(), admin.close()]);
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

async function createTopic(topic: string, partitions: number): Promise<void> {
  await admin.createTopic({ topic, partitions, replicationFactor: 1, config: {} });
  await waitFor('leaders of the new topic', async () => (await admin.groupLag('nobody', topic)).length === partitions, { timeoutMs: patienceMs });
}

async function write(topic: string, partition: number, ...records: readonly Partial<Omit<OutgoingRecord, 'headers'> & { headers: Readonly<Record<string, string>> }>[]): Promise<void> {
  const { leaders } = await producer.topicMetadata(topic);
  const whole = records.map(({ key = null, value = null, headers = {}, timestampMs = Date.now() }) => ({ key, value, headers: Object.entries(headers), timestampMs }));
  const [result] = await producer.produce(leaders[partition]!, [{ topic, partition, batch: RecordBatch.of(whole) }]);
  if (result === undefined || 'fault' in result) throw result?.fault ?? new Error('no answer to a produce request');
}

async function committed(groupId: string, topic: string, partition: number): Promise<bigint | undefined> {
  return (await admin.groupLag(groupId, topic)).find((lag) => lag.partition === partition)?.commitOffset;
}

/** Written as JSON, which YAML is too. */
async function apply(name: string, uri: string, topics: readonly string[], { spec = {}, annotations = {} }: { readonly spec?: object; readonly annotations?: Readonly<Record<string, string>> } = {}): Promise<void> {
  const whole = { bootstrapServers: [cluster.bootstrap], topics, consumerGroup: name, initialOffset: 'earliest', sink: { uri }, ...spec };
  const manifest = { apiVersion: 'sources.knative.dev/v1', kind: 'KafkaSource', metadata: { namespace: 'shop', name, annotations }, spec: whole };
  await writeFile(join(folder, `${name}.yaml`), JSON.stringify(manifest));
}

async function startSubscriber(answers: Parameters<typeof LoopbackSubscriber.start>[0] = [200]): Promise<LoopbackSubscriber> {
  const subscriber = await LoopbackSubscriber.start(answers);
  closing.push(() => subscriber.close());
  return subscriber;
}

interface Dispatcher extends ChildService {
  readonly metricsPort: number;
}

async function startDispatcher(): Promise<Dispatcher> {
  const metricsPort = await freePort();
  const env = { SERVES: 'sources', POD_NAME: 'kafka-source-dispatcher-0', RESOURCES_DIR: folder, METRICS_PORT: String(metricsPort), KAFKA_BROKERS: undefined, SESSION_TIMEOUT: '6s' };
  const child = startProcess({ name: 'dispatcher', command: process.execPath, args: ['--disable-warning=TimeoutNegativeWarning', main], env });
  closing.push(() => child.stop());
  await child.waitForOutput('dispatcher started', patienceMs);
  return { ...child, metricsPort };
}

/** @returns the sum of a metric's values that have a text among their labels; undefined where there are none */
async function metric({ metricsPort }: Dispatcher, name: string, label: string): Promise<number | undefined> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) && line.includes(label));
  return lines.length === 0 ? undefined : lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** The attributes of an event's request, and its content type. */
function eventOf({ headers }: ReceivedRequest): Record<string, string> {
  const names = Object.keys(headers).filter((name) => name.startsWith('ce-') || name === 'content-type' || name === 'kn-namespace');
  return Object.fromEntries(names.map((name) => [name, headers[name]!]));
}

const numbersIn = (subscriber: LoopbackSubscriber): number[] => subscriber.received.map(({ body }) => Number(body.toString()));

describe('a KafkaSource', () => {
  it('sends the records of all its topics as events: plain ones, tombstones, and CloudEvents as they are', async () => {
    const subscriber = await startSubscriber();
    await createTopic('plain', 2);
    await createTopic('events', 1);
    const timestampMs = Date.UTC(2026, 0, 31, 12);
    await write('plain', 1, { key: Buffer.from('customer'), value: Buffer.from('{"n":1}'), headers: { 'content-type': 'Application/JSON', 'x-tenant': 'a' }, timestampMs });
    await write('plain', 1, { key: Buffer.from('customer'), value: null, timestampMs });
    await write('events', 0, { value: Buffer.from('hello'), headers: { ce_specversion: '1.0', ce_id: '7', ce_source: '/s', ce_type: 'greeting', 'content-type': 'text/plain' } });
    await apply('both', subscriber.url, ['plain', 'events'], { spec: { ceOverrides: { extensions: { team: 'north' } } } });
    await startDispatcher();
    await waitFor('three events', () => subscriber.received.length === 3, { timeoutMs: patienceMs });
    const plain = subscriber.received.filter(({ headers }) => headers['ce-type'] === 'dev.knative.kafka.event');
    const common = {
      'ce-specversion': '1.0', 'ce-type': 'dev.knative.kafka.event', 'ce-source': '/apis/v1/namespaces/shop/kafkasources/both#plain', 'ce-time': '2026-01-31T12:00:00.000Z',
      'ce-key': 'customer', 'ce-partitionkey': 'customer', 'ce-knativekafkapartition': '1', 'ce-team': 'north', 'kn-namespace': 'shop',
    };
    expect(plain.map((request) => [eventOf(request), request.body.toString()])).toEqual([
      [{ ...common, 'ce-id': 'partition:1/offset:0', 'ce-subject': 'partition:1#0', 'ce-knativekafkaoffset': '0', 'ce-kafkaheaderxtenant': 'a', 'content-type': 'application/json' }, '{"n":1}'],
      [{ ...common, 'ce-id': 'partition:1/offset:1', 'ce-subject': 'partition:1#1', 'ce-knativekafkaoffset': '1' }, ''],
    ]);
    const event = subscriber.received.find(({ headers }) => headers['ce-type'] === 'greeting')!;
    expect([eventOf(event), event.body.toString()]).toEqual([
      { 'ce-specversion': '1.0', 'ce-id': '7', 'ce-source': '/s', 'ce-type': 'greeting', 'content-type': 'text/plain', 'ce-knativekafkapartition': '0', 'ce-knativekafkaoffset': '0', 'ce-team': 'north', 'kn-namespace': 'shop' },
      'hello',
    ]);
    await waitFor('commits in both topics', async () => (await committed('both', 'plain', 1)) === 2n && (await committed('both', 'events', 0)) === 1n, { timeoutMs: patienceMs });
  });

  it('loses nothing to a kill, and changes its rate, its sink and its overrides without leaving its group', async () => {
    const [first, second] = [await startSubscriber(), await startSubscriber()];
    await createTopic('numbers', 1);
    const total = 600;
    await write('numbers', 0, ...Array.from({ length: total }, (_, n) => ({ value: Buffer.from(String(n)) })));
    const limited = { 'kafka.eventing.knative.dev/dispatcher.rate-limiter': 'enabled', 'kafka.eventing.knative.dev/max.poll.records': '50' };
    await apply('limited', first.url, ['numbers'], { annotations: limited, spec: { consumers: 2 } });
    const dispatcher = await startDispatcher();
    await waitFor('events', () => first.received.length > 50, { timeoutMs: patienceMs });
    expect(await metric(dispatcher, 'knative_kafka_source_rate_limit', 'source="shop/limited"')).toBe(100);
    expect(await metric(dispatcher, 'knative_kafka_source_vreplicas', 'source="shop/limited"')).toBe(2);
    expect(await metric(dispatcher, 'knative_kafka_source_rate_limit_wait_seconds_total', 'source="shop/limited"')).toBeGreaterThan(0);
    dispatcher.signal('SIGKILL');
    await dispatcher.exited;
    const killedAt = first.received.length;
    const again = await startDispatcher();
    await waitFor('events after the kill', () => first.received.length > killedAt + 20, { timeoutMs: patienceMs });
    const rebalances = await metric(again, 'knative_kafka_consumer_rebalances_total', 'source="shop/limited"');
    await apply('limited', second.url, ['numbers'], { spec: { ceOverrides: { extensions: { team: 'south' } } } });
    await waitFor('all events', () => new Set([...numbersIn(first), ...numbersIn(second)]).size === total, { timeoutMs: patienceMs });
    expect(await metric(again, 'knative_kafka_source_rate_limit', 'source="shop/limited"')).toBeUndefined();
    expect(await metric(again, 'knative_kafka_consumer_rebalances_total', 'source="shop/limited"')).toBe(rebalances);
    // In order; the one that was under way when the dispatcher was killed, and what it had not committed, came again.
    expect(numbersIn(second)).toEqual(Array.from({ length: second.received.length }, (_, n) => n + total - second.received.length));
    expect(numbersIn(first).slice(0, killedAt)).toEqual(Array.from({ length: killedAt }, (_, n) => n));
    expect(second.received.at(-1)!.headers['ce-team']).toBe('south');
    await again.stop();
    expect(await committed('limited', 'numbers', 0)).toBe(BigInt(total));
  });

  it('whose Secret is missing disturbs no other, and one whose sink and dead letter sink fail keeps its events in its own Kafka', async () => {
    const failing = await startSubscriber([400]);
    await createTopic('letters', 1);
    await write('letters', 0, { key: Buffer.from('k'), value: Buffer.from('lost?'), headers: { 'x-tenant': 'a' } });
    const login = (key: string): object => ({ secretKeyRef: { name: 'absent', key } });
    await apply('secured', failing.url, ['letters'], { spec: { net: { sasl: { enable: true, user: login('user'), password: login('password') } } } });
    await apply('kept', failing.url, ['letters'], { spec: { delivery: { retry: 0, deadLetterSink: { uri: failing.url } } } });
    const dispatcher = await startDispatcher();
    await waitFor('the event in the dead letter topic', async () => (await metric(dispatcher, 'knative_kafka_dispatch_events_total', 'outcome="kept"')) === 1, { timeoutMs: patienceMs });
    expect((await fetch(`http://127.0.0.1:${dispatcher.metricsPort}/readyz`)).status).toBe(200);
    expect(await metric(dispatcher, 'knative_kafka_consumer_joined', 'source="shop/secured"')).toBe(0);
    expect(await metric(dispatcher, 'knative_kafka_consumer_joined', 'source="shop/kept"')).toBe(1);
    expect(dispatcher.output()).toMatch(/Secret \\"absent\\" does not exist/);
  });
});
