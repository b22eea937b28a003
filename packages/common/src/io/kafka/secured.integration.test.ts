/**
 * Clients of a broker that asks who they are, with credentials from a mounted Secret that changes while they run.
 */
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { startKafka, waitFor, type KafkaCluster } from '@knative-kafka/local-cluster';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../core/fault.ts';
import type { ProduceResult } from '../../core/kafka-record.ts';
import { RecordBatch } from '../../core/record-batch.ts';
import { createLogger } from '../logger.ts';
import { createKafkaClient, type ConsumerClient, type ProducerClient } from './client.ts';
import { watchKafka } from './health.ts';
import { openConnectionSource, type OpenConnectionSource } from './mounted-secret.ts';
import type { KafkaClient, Producer } from './port.ts';
import { groupOf, recordMember } from './recorded-member.ts';

const timeoutMs = 60_000;
const users = { ann: 'password-of-ann', bob: 'password-of-bob' } as const;
const refused = /Authentication failed: Invalid username or password/;

let dataDir: string;
let cluster: KafkaCluster;
let topics = 0;
let versions = 0;
let secretDir: string;
let secret: OpenConnectionSource;
let logged: string[];
const opened: { close(): unknown }[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'secured-test-'));
  const jaas = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`);
  cluster = await startKafka({
    dataDir: join(dataDir, 'kafka'),
    listeners: { LOGIN: 'SASL_PLAINTEXT' },
    config: {
      'listener.name.login.sasl.enabled.mechanisms': 'PLAIN',
      'listener.name.login.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required ${jaas.join(' ')};`,
    },
  });
});

afterAll(async () => {
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

beforeEach(async () => {
  secretDir = await mkdtemp(join(dataDir, 'secret-'));
  await mount('ann', users.ann);
  logged = [];
  const log = createLogger('secret', 'info', (line) => logged.push(line));
  secret = await openConnectionSource({ brokers: undefined, secretDir, clientId: 'secured-test', requestTimeoutMs: 10_000, connectTimeoutMs: 5_000, lookEveryMs: 20, log });
});

afterEach(async () => {
  for (const client of opened.splice(0)) await client.close();
  secret.close();
});

/** Another version of the Secret, as Kubernetes puts it in place. */
async function mount(username: string, password: string): Promise<void> {
  const version = `..version_${versions++}`;
  await mkdir(join(secretDir, version));
  const keys = { brokers: `127.0.0.1:${cluster.brokers[0]!.listenerPorts['LOGIN']}`, protocol: 'SASL_PLAINTEXT', username, password };
  for (const [name, value] of Object.entries(keys)) await writeFile(join(secretDir, version, name), value);
  await symlink(version, join(secretDir, '..data_tmp'));
  await rename(join(secretDir, '..data_tmp'), join(secretDir, '..data'));
}

/** The Secret changes, and the process has seen it. */
async function change(username: string, password: string): Promise<void> {
  await mount(username, password);
  await waitFor('the new version of the Secret', () => isDeepStrictEqual(secret.current().sasl, { mechanism: 'plain', username, password }), { timeoutMs });
}

async function createTopic(client: KafkaClient): Promise<string> {
  const topic = `topic-${++topics}`;
  const admin = client.createAdmin();
  expect(await admin.createTopic({ topic, partitions: 1, replicationFactor: 1, config: {} })).toBe('created');
  await waitFor('initial offsets', async () => (await admin.commitInitialOffsets(groupOf(topic), topic, 'earliest')).length === 1, { timeoutMs });
  return topic;
}

async function produce(producer: Producer, topic: string, value: string): Promise<ProduceResult> {
  const { leaders } = await producer.topicMetadata(topic);
  const [result] = await producer.produce(leaders[0]!, [{ topic, partition: 0, batch: RecordBatch.of([{ key: null, value: Buffer.from(value), headers: [], timestampMs: Date.now() }]) }]);
  return result!;
}

/** However often it takes: a broker that closed a connection is met once more before another one is opened. */
function store(producer: Producer, topic: string, value: string): Promise<boolean> {
  return waitFor(`${value} in ${topic}`, async () => 'baseOffset' in (await produce(producer, topic, value)), { timeoutMs });
}

function createProducer(client: KafkaClient): Producer {
  const producer = client.createProducer();
  opened.push(producer);
  return producer;
}

async function faultOfCall(call: Promise<unknown>): Promise<Fault> {
  return call.then(
    () => expect.fail('it was let in'),
    (fault: unknown) => fault as Fault,
  );
}

describe.each<[ProducerClient, ConsumerClient]>([
  ['platformatic', 'platformatic'],
  ['kafkajs', 'kafkajs'],
])('%s, on a broker that asks for a password', (producerClient, consumerClient) => {
  const createClient = (): KafkaClient => createKafkaClient(secret.current, producerClient, consumerClient);

  it('produces, consumes and administrates', async () => {
    const client = createClient();
    const topic = await createTopic(client);
    const { member, told } = recordMember(client, topic);
    opened.push(member);
    await member.start();
    await store(createProducer(client), topic, 'one');
    await waitFor('the record', () => told.records.length === 1, { timeoutMs });
    await member.commit([{ topic, partition: 0, commitOffset: 1n }]);
    expect(await client.createAdmin().groupLag(groupOf(topic), topic)).toEqual([{ partition: 0, commitOffset: 1n, endOffset: 1n }]);
    expect(logged).toEqual([]); // the Secret is the same all the while, whatever clients do with what they were given
  });

  it('goes on without a restart when the Secret names another user', async () => {
    const client = createClient();
    const topic = await createTopic(client);
    const producer = createProducer(client);
    const { member, told } = recordMember(client, topic);
    opened.push(member);
    await member.start();
    await store(producer, topic, 'by ann');
    await change('bob', users.bob);
    await store(producer, topic, 'by bob');
    await waitFor('both records', () => new Set(told.records.map(({ value }) => String(value))).size === 2, { timeoutMs });
    expect(told.lost).toEqual([]);
    expect(await client.createAdmin().describeTopic(topic)).toMatchObject({ partitions: 1 });
  });

  it('is refused in words with a wrong password, and recovers when it is right', async () => {
    const client = createClient();
    const topic = await createTopic(client);
    const producer = createProducer(client);
    await store(producer, topic, 'one');
    const health = watchKafka(producer, createLogger('health', 'error', () => undefined));
    opened.push(health);
    await waitFor('Kafka to answer', () => health.isUp(), { timeoutMs });

    await change('ann', 'wrong');
    const faults = [await faultOfCall(producer.ping()), await faultOfCall(producer.topicMetadata(topic)), await faultOfCall(client.createAdmin().listTopics())];
    const { member } = recordMember(client, topic);
    opened.push(member);
    faults.push(await faultOfCall(member.start()));
    for (const fault of faults) {
      expect(fault).toMatchObject({ code: 'KAFKA_REFUSED', retriable: true });
      expect(fault.message).toMatch(refused);
      expect(fault.message).not.toContain('wrong');
    }
    await waitFor('not ready', () => !health.isUp(), { timeoutMs });
    expect(health.reason()).toMatch(refused);
    const [result] = await producer.produce(1, [{ topic, partition: 0, batch: RecordBatch.of([{ key: null, value: Buffer.from('x'), headers: [], timestampMs: Date.now() }]) }]);
    expect(result).toMatchObject({ fault: { retriable: true } });

    await change('ann', users.ann);
    await waitFor('Kafka to answer again', () => health.isUp(), { timeoutMs });
    await store(producer, topic, 'two');
    expect(logged.join('\n')).not.toMatch(/password-of|wrong/);
  });
});
