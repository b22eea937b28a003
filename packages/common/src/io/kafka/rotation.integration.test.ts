/**
 * Passwords and tokens that change while clients run, on a broker that asks for proof again and cuts off who fails it:
 * what was acknowledged is delivered, whatever happens in between.
 */
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { metadataV12, type Connection } from '@platformatic/kafka';
import { startSecuredKafka, waitFor, type SecuredKafka } from '@knative-kafka/local-cluster';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../core/fault.ts';
import type { KafkaAccess, SaslCredentials } from '../../core/kafka-secret.ts';
import { RecordBatch } from '../../core/record-batch.ts';
import { createLogger, type Logger } from '../logger.ts';
import { parseBroker } from './broker-address.ts';
import { createKafkaClient } from './client.ts';
import { watchKafka, type KafkaHealth } from './health.ts';
import { LastingConnection } from './lasting-connection.ts';
import { openConnectionSource, type OpenConnectionSource } from './mounted-secret.ts';
import type { KafkaClient, KafkaConnection, Producer } from './port.ts';
import { groupOf, recordMember, type RecordedMember } from './recorded-member.ts';

const timeoutMs = 60_000;
const timeouts = { requestTimeoutMs: 10_000, connectTimeoutMs: 5_000 };
const cutOff = /Authentication failed/;
let dataDir: string;
let kafka: SecuredKafka;
let secretDir: string;
let secret: OpenConnectionSource;
let versions = 0;
let topics = 0;
let logged: string[];
let log: Logger;
const opened: { close(): unknown }[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'rotation-test-'));
  kafka = await startSecuredKafka({ dataDir: join(dataDir, 'kafka'), sessionMs: 12_000 });
});

afterAll(async () => {
  await kafka.stop();
  await rm(dataDir, { recursive: true, force: true });
});

beforeEach(async () => {
  secretDir = await mkdtemp(join(dataDir, 'secret-'));
  logged = [];
  log = createLogger('rotation', 'info', (line) => logged.push(line));
});

afterEach(async () => {
  for (const client of opened.splice(0).reverse()) await client.close();
  secret.close();
});

/** Another version of the Secret, as Kubernetes puts it in place. */
async function mount(keys: Readonly<Record<string, string>>): Promise<void> {
  const version = `..version_${versions++}`;
  await mkdir(join(secretDir, version));
  for (const [name, value] of Object.entries(keys)) await writeFile(join(secretDir, version, name), value);
  await symlink(version, join(secretDir, '..data_tmp'));
  await rename(join(secretDir, '..data_tmp'), join(secretDir, '..data'));
}

function loginKeys(user: string, password: string): Readonly<Record<string, string>> {
  return { brokers: kafka.bootstrap.session, protocol: 'SASL_PLAINTEXT', 'sasl.mechanism': 'SCRAM-SHA-512', user, password };
}

async function openSecret(): Promise<void> {
  secret = await openConnectionSource({ brokers: undefined, secretDir, clientId: 'rotation-test', ...timeouts, lookEveryMs: 20, log });
}

/** The Secret changes, and the process has seen it. */
async function change(user: string, password: string): Promise<void> {
  await mount(loginKeys(user, password));
  await waitFor('the new version of the Secret', () => isDeepStrictEqual(secret.current().sasl, { mechanism: 'scram-sha-512', username: user, password }), { timeoutMs });
}

/** A client of its own, with a connection that is open: the wait is until the broker has cut that one off. */
async function openCanary(access: KafkaAccess): Promise<() => Promise<void>> {
  const canary = createKafkaClient({ ...access, clientId: 'canary', ...timeouts }).createProducer();
  opened.push(canary);
  await canary.ping();
  return async () => {
    await waitFor('the broker to cut off who cannot prove anew who it is', () => canary.ping().then(() => false, (error: unknown) => cutOff.test(String(error))), { timeoutMs });
  };
}

/** Events that go in and out all the while, with a new member where one is lost, as dispatchers do it. */
class Flow {
  readonly acknowledged = new Set<string>();
  readonly refused = new Set<string>();
  readonly members: RecordedMember[] = [];
  readonly health: KafkaHealth;
  readonly #client: KafkaClient;
  readonly #topic: string;
  readonly #producer: Producer;
  #sent = 0;
  #isOver = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(client: KafkaClient, topic: string) {
    this.#client = client;
    this.#topic = topic;
    this.#producer = client.createProducer();
    this.health = watchKafka(this.#producer, createLogger('health', 'error', () => undefined));
  }

  async start(): Promise<void> {
    await this.#join();
    this.#running = Promise.all([this.#send(), this.#keepMember()]);
  }

  async #join(): Promise<void> {
    const recorded = recordMember(this.#client, this.#topic, { sessionTimeoutMs: 30_000 });
    await recorded.member.start();
    this.members.push(recorded);
  }

  async #keepMember(): Promise<void> {
    for (const tick of this.#ticks()) {
      await tick;
      if (this.members.at(-1)!.told.lost.length > 0) await this.#join().catch(() => undefined);
      else await this.members.at(-1)!.commit().catch(() => undefined);
    }
  }

  async #send(): Promise<void> {
    for (const tick of this.#ticks()) {
      await tick;
      const value = `event ${++this.#sent}`;
      const result = await this.#producer.topicMetadata(this.#topic).then(
        async ({ leaders }) => (await this.#producer.produce(leaders[0]!, [{ topic: this.#topic, partition: 0, batch: RecordBatch.of([{ key: null, value: Buffer.from(value), headers: [], timestampMs: Date.now() }]) }]))[0]!,
        (fault: unknown) => ({ fault: fault as Fault }),
      );
      if ('baseOffset' in result) this.acknowledged.add(value);
      else this.refused.add(result.fault.message);
    }
  }

  *#ticks(): Generator<Promise<unknown>> {
    while (!this.#isOver) yield new Promise((resolve) => setTimeout(resolve, 20));
  }

  delivered(): Set<string> {
    return new Set(this.members.flatMap(({ told }) => told.records.map(({ value }) => String(value))));
  }

  /** So many more, acknowledged and delivered. */
  async more(count: number): Promise<void> {
    const goal = this.acknowledged.size + count;
    await waitFor(`${count} more events`, () => this.acknowledged.size >= goal && this.#isDelivered(), { timeoutMs });
  }

  #isDelivered(): boolean {
    const delivered = this.delivered();
    return [...this.acknowledged].every((value) => delivered.has(value));
  }

  async close(): Promise<void> {
    this.#isOver = true;
    this.health.close();
    await this.#running;
    await this.members.at(-1)?.member.close();
    await this.#producer.close();
  }
}

async function startFlow(client: KafkaClient): Promise<Flow> {
  const topic = `topic-${++topics}`;
  const admin = createKafkaClient({ brokers: [kafka.bootstrap.plaintext], clientId: 'admin', ...timeouts }).createAdmin();
  await admin.createTopic({ topic, partitions: 1, replicationFactor: 1, config: {} });
  await waitFor('initial offsets', async () => (await admin.commitInitialOffsets(groupOf(topic), topic, 'earliest')).length === 1, { timeoutMs });
  const flow = new Flow(client, topic);
  opened.push(flow);
  await flow.start();
  await flow.more(10);
  return flow;
}

describe.each(['platformatic', 'kafkajs'] as const)('%s', (library) => {
  it('goes over to another login while the one before is good, without leaving its group', async () => {
    await kafka.setScramPassword('ann', kafka.users.ann);
    await mount(loginKeys('ann', kafka.users.ann));
    await openSecret();
    const flow = await startFlow(createKafkaClient(secret.current, library, library, log));
    await change('bob', kafka.users.bob);
    await flow.more(100);
    const untilCutOff = await openCanary({ brokers: [kafka.bootstrap.session], sasl: { mechanism: 'scram-sha-512', username: 'ann', password: kafka.users.ann } });
    await kafka.setScramPassword('ann', 'another-password');
    await untilCutOff();
    await flow.more(100);
    expect([...flow.refused]).toEqual([]);
    expect(flow.members).toHaveLength(1);
    expect(flow.members[0]!.told).toMatchObject({ lost: [], assignments: { length: 1 } });
    expect(logged.filter((line) => !line.includes('Kafka Secret has changed'))).toEqual([]);
  });

  it('stays while the Secret is wrong and its login is good, and says so', async () => {
    await kafka.setScramPassword('ann', kafka.users.ann);
    await mount(loginKeys('ann', kafka.users.ann));
    await openSecret();
    const flow = await startFlow(createKafkaClient(secret.current, library, library, log));
    await change('ann', 'mistyped');
    await waitFor('a word about it', () => logged.some((line) => line.includes('it opens no connection')), { timeoutMs });
    await waitFor('not ready', () => !flow.health.isUp() && cutOff.test(flow.health.reason() ?? ''), { timeoutMs });
    await change('ann', kafka.users.ann);
    await waitFor('ready', () => flow.health.isUp(), { timeoutMs });
    await flow.more(50);
    expect(flow.members).toHaveLength(1);
    expect(flow.members[0]!.told).toMatchObject({ lost: [], assignments: { length: 1 } });
    expect(logged.filter((line) => line.includes('it opens no connection'))).toHaveLength(1);
    expect(logged.join('\n')).not.toMatch(/password-of|mistyped/);
  });

  it('loses nothing when the broker cuts it off before the Secret is right', async () => {
    await kafka.setScramPassword('ann', kafka.users.ann);
    await mount(loginKeys('ann', kafka.users.ann));
    await openSecret();
    const flow = await startFlow(createKafkaClient(secret.current, library, library, log));
    await kafka.setScramPassword('ann', 'next-password');
    await waitFor('the cut', () => [...flow.refused].some((message) => cutOff.test(message)), { timeoutMs });
    await waitFor('not ready', () => !flow.health.isUp() && cutOff.test(flow.health.reason() ?? ''), { timeoutMs });
    await change('ann', 'mistyped');
    await change('ann', 'next-password');
    await waitFor('ready', () => flow.health.isUp(), { timeoutMs });
    await flow.more(100);
    // Members of the new protocol outlast it; those of kafkajs are built anew.
    if (library === 'platformatic') expect(flow.members[0]!.told).toMatchObject({ lost: [], assignments: { length: 1 } });
    expect([...flow.refused, ...logged].join('\n')).not.toMatch(/password-of|next-password|mistyped/);
  });

  it('takes up a token file that is renewed', async () => {
    const lifetimeSeconds = 15;
    const path = join(secretDir, 'token');
    const first = kafka.tokens.createToken({ lifetimeSeconds });
    await writeFile(path, first);
    const sasl: SaslCredentials = { mechanism: 'oauthbearer', token: { kind: 'file', path } };
    const settings: KafkaConnection = { brokers: [kafka.bootstrap.token], sasl, clientId: 'rotation-test', ...timeouts };
    secret = { current: () => settings, close: () => undefined };
    const flow = await startFlow(createKafkaClient(secret.current, library, library, log));
    const untilCutOff = await openCanary({ brokers: settings.brokers, sasl: { mechanism: 'oauthbearer', token: { kind: 'fixed', token: first } } });
    await writeFile(`${path}.new`, kafka.tokens.createToken());
    await rename(`${path}.new`, path);
    await untilCutOff();
    await flow.more(100);
    expect([...flow.refused]).toEqual([]);
    expect(flow.members).toHaveLength(1);
    expect(flow.members[0]!.told).toMatchObject({ lost: [], assignments: { length: 1 } });
  });
});

describe('a connection that lasts', () => {
  const settingsOf = (username: string, password: string): KafkaConnection => ({ brokers: [kafka.bootstrap.password], sasl: { mechanism: 'scram-sha-256', username, password }, clientId: 'lasting', ...timeouts });
  const askAnything = async (connection: Connection): Promise<Connection> => {
    await metadataV12.api.async(connection, [], false, false);
    return connection;
  };

  it('is followed by another one once what is under way has ended, and never has both at work', async () => {
    let settings = settingsOf('ann', kafka.users.ann);
    secret = { current: () => settings, close: () => undefined };
    const refusals: string[] = [];
    const lasting = new LastingConnection({ source: secret.current, address: parseBroker(kafka.bootstrap.password), requestTimeoutMs: () => 5_000, onRefused: ({ message }) => refusals.push(message) });
    opened.push(lasting);
    const before = await lasting.use(askAnything);

    settings = settingsOf('ann', 'nonsense');
    expect(await lasting.use(askAnything)).toBe(before);
    await waitFor('the refusal', () => refusals.length > 0, { timeoutMs });
    expect(await lasting.use(askAnything)).toBe(before);
    expect(refusals).toEqual([expect.stringMatching(cutOff)]);

    settings = settingsOf('bob', kafka.users.bob);
    const underWay = Promise.withResolvers<undefined>();
    const long = lasting.use(() => underWay.promise);
    const order: string[] = [];
    let after: Promise<Connection> | undefined;
    await waitFor('a call that waits for the other connection', async () => {
      after = lasting.use(async (connection) => {
        order.push('after');
        return askAnything(connection);
      });
      const waits = await Promise.race([after.then(() => false), new Promise<true>((resolve) => setTimeout(() => resolve(true), 200))]);
      if (!waits) order.length = 0;
      return waits;
    }, { timeoutMs });
    order.push('the long one ends');
    underWay.resolve(undefined);
    await long;
    expect(await after).not.toBe(before);
    expect(order).toEqual(['the long one ends', 'after']);
    await waitFor('the first one to be closed', () => !before.isConnected(), { timeoutMs });
  });
});
