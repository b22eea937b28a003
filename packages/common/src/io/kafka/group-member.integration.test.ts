/**
 * What only the member of the new group protocol does (docs/adr/0009), and at the end what both members promise when members,
 * brokers and coordinators come and go, on real brokers: partitions that move are waited
 * for and those that stay never stop; members that are killed, frozen or cut off; coordinators that move; transactions,
 * compaction, bytes that cannot be read; groups that change their protocol.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startKafka, waitFor, type KafkaBroker, type KafkaCluster } from '@knative-kafka/local-cluster';
import { Connection, consumerGroupDescribeV0, consumerGroupHeartbeatV1, describeConfigsV4, fetchV15, findCoordinatorV4, metadataV12, produceV9 } from '@platformatic/kafka';
import kafkajs from 'kafkajs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { Fault } from '../../core/fault.ts';
import { ProducePump } from '../../core/produce-pump.ts';
import { RecordBatch } from '../../core/record-batch.ts';
import type { Logger } from '../logger.ts';
import { parseBroker } from './broker-address.ts';
import { createKafkaClient, type ConsumerClient } from './client.ts';
import { ClusterObserver } from './cluster-observer.ts';
import type { MemberProcessEvent, MemberProcessOptions } from './member-process.ts';
import type { GroupMember, KafkaClient, KafkaConnection } from './port.ts';
import { expectKeptWhereHeldBefore, expectUnbrokenWhileKept, groupOf, recordMember, type RecordedMember, type RecordedMemberOptions } from './recorded-member.ts';
import { readTopic } from './topic-reader.ts';
import { startWireProxy, type WireProxy } from './wire-proxy.ts';

const factTimeoutMs = 30_000;
/** Where groups and their committed offsets are: whoever leads a partition of it coordinates. */
const groupOffsetsTopic = '__consumer_offsets';
/** Heartbeats are quick, so that tests do not wait for them; how short a session may be is the tests' own choice. */
const quickGroups = {
  'group.min.session.timeout.ms': '1000',
  'group.consumer.min.session.timeout.ms': '1000',
  'group.consumer.min.heartbeat.interval.ms': '100',
  'group.consumer.heartbeat.interval.ms': '300',
};

let topics = 0;
const members: GroupMember[] = [];

afterEach(async () => {
  for (const member of members.splice(0)) await member.close(); // a test that failed must not disturb the next one
});

function connectionTo(brokers: readonly string[], change: Partial<KafkaConnection> = {}): KafkaConnection {
  return { brokers, clientId: 'member-test', requestTimeoutMs: 15_000, connectTimeoutMs: 5_000, ...change };
}

async function createTopic(client: KafkaClient, partitions: number, replicationFactor = 1, config: Readonly<Record<string, string>> = {}): Promise<string> {
  const topic = `topic-${++topics}`;
  await makeTopic(client, topic, partitions, replicationFactor, config);
  return topic;
}

async function makeTopic(client: KafkaClient, topic: string, partitions: number, replicationFactor = 1, config: Readonly<Record<string, string>> = {}): Promise<void> {
  const admin = client.createAdmin();
  // While a topic of the same name is being deleted there is one.
  await waitFor('the topic to be created', async () => (await admin.createTopic({ topic, partitions, replicationFactor, config })) === 'created', { timeoutMs: factTimeoutMs });
  await waitFor('leaders of the new topic', async () => (await admin.groupLag(groupOf(topic), topic)).length === partitions, { timeoutMs: factTimeoutMs });
}

/** The first group makes the broker create the topic of committed offsets; kafkajs members do not survive that. */
async function warmUp(client: KafkaClient): Promise<void> {
  const topic = await createTopic(client, 1);
  for (let group = 0; group < 8; group++) {
    await waitFor('the group coordinator', () => client.createAdmin().commitInitialOffsets(`warm-up-${group}`, topic, 'earliest'), { timeoutMs: factTimeoutMs });
  }
}

async function startOf(client: KafkaClient, topic: string | readonly string[], change: RecordedMemberOptions = {}): Promise<RecordedMember> {
  const started = recordMember(client, topic, change);
  members.push(started.member);
  await started.member.start();
  return started;
}

/** Appends to partitions in turn until it is stopped. */
class Load {
  readonly #pump: ProducePump;
  readonly #topic: string;
  readonly #partitions: number;
  readonly #pauseMs: number;
  #appended = 0;
  #isOn = true;

  constructor(pump: ProducePump, topic: string, partitions: number, pauseMs: number) {
    this.#pauseMs = pauseMs;
    this.#pump = pump;
    this.#topic = topic;
    this.#partitions = partitions;
  }

  start(atOnce: number): this {
    for (let started = 0; started < atOnce; started++) this.#appendNext();
    return this;
  }

  #appendNext(): void {
    if (!this.#isOn) return;
    const record = { key: null, value: Buffer.from('load'), headers: [], timestampMs: Date.now() };
    this.#pump.append(this.#topic, this.#appended++ % this.#partitions, record, Infinity, { settled: () => this.#appendLater() });
  }

  #appendLater(): void {
    if (this.#pauseMs === 0) setImmediate(() => this.#appendNext());
    else setTimeout(() => this.#appendNext(), this.#pauseMs);
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await this.#pump.drained();
  }
}

/** @param pauseMs between two records of each of the twelve that append: for tests that take so long that all would be too much to look at */
async function startLoad(client: KafkaClient, topic: string, partitions: number, pauseMs = 0): Promise<Load> {
  const producer = client.createProducer();
  onTestFinished(() => producer.close());
  const pump = new ProducePump(
    {
      topicMetadata: (asked) => producer.topicMetadata(asked),
      produce: (leader, batches) => producer.produce(leader, batches),
      now: () => performance.now(),
      after: (delayMs, run) => void setTimeout(run, delayMs),
      defer: (run) => void setImmediate(run),
    },
    { batchBytes: 1_000_000, requestBytes: 8 * 1024 * 1024, lingerMs: 0, retryDelayMs: { first: 20, last: 200 }, metadataMaxAgeMs: 30_000 },
  );
  await pump.partitionCount(topic);
  return new Load(pump, topic, partitions, pauseMs).start(12);
}

async function produceTexts(client: KafkaClient, topic: string, partition: number, values: readonly string[]): Promise<void> {
  const producer = client.createProducer();
  const { leaders } = await producer.topicMetadata(topic);
  const records = values.map((value) => ({ key: null, value: Buffer.from(value), headers: [], timestampMs: Date.now() }));
  await waitFor('records to be stored', async () => 'baseOffset' in (await producer.produce(leaders[partition]!, [{ topic, partition, batch: RecordBatch.of(records) }]))[0]!, { timeoutMs: factTimeoutMs });
  await producer.close();
}

function texts({ told }: RecordedMember, partition?: number): string[] {
  return told.records.filter((entry) => partition === undefined || entry.partition === partition).map(({ value }) => String(value));
}

function isUpTo(count: number, { told }: RecordedMember): () => boolean {
  return () => told.records.length >= count;
}

async function until(fact: string, check: () => boolean | Promise<boolean>, timeoutMs = factTimeoutMs): Promise<void> {
  await waitFor(fact, check, { timeoutMs });
}

/** Goes on from now: so many more records of each of its partitions. */
async function goOn(count: number, ...recorded: readonly RecordedMember[]): Promise<void> {
  const before = recorded.map(({ told }) => told.records.length);
  await until('records for every member', () => recorded.every(({ told, partitions }, index) => {
    const fresh = told.records.slice(before[index]);
    return partitions().every((partition) => fresh.filter((entry) => entry.partition === partition).length >= count);
  }));
}

/** No record of the topic is missing in what the members were handed over. @returns how many came more than once */
async function expectAllRead(bootstrap: string, topic: string, ...recorded: readonly RecordedMember[]): Promise<number> {
  const stored = (await readTopic(bootstrap, topic)).map((records) => records.length);
  const read = (partition: number) => recorded.flatMap(({ offsets }) => offsets(partition));
  await until('every record to be read', () => stored.every((count, partition) => new Set(read(partition)).size === count));
  return stored.reduce((twice, count, partition) => twice + read(partition).length - count, 0);
}

/** One member after the other under one id, as a dispatcher has them: a new one when one is lost. */
class Successors {
  readonly all: RecordedMember[] = [];
  readonly #create: () => RecordedMember;

  constructor(create: () => RecordedMember) {
    this.#create = create;
  }

  get last(): RecordedMember {
    return this.all.at(-1)!;
  }

  /** @throws Fault when a new one is due and cannot join: the next call tries again */
  async follow(): Promise<void> {
    const last = this.all.at(-1);
    if (last !== undefined && last.told.lost.length === 0) return;
    await last?.member.close();
    const next = this.#create();
    try {
      await next.member.start();
    } catch (error) {
      await next.member.close();
      throw error;
    }
    members.push(next.member);
    this.all.push(next);
  }
}

async function askBroker<T>(broker: string, call: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = new Connection('member-test', { connectTimeout: 5_000, requestTimeout: 15_000 });
  const { host, port } = parseBroker(broker);
  await connection.connect(host, port);
  try {
    return await call(connection);
  } finally {
    await connection.close();
  }
}

describe('one broker', () => {
  let dataDir: string;
  let proxy: WireProxy;
  let cluster: KafkaCluster;
  let client: KafkaClient;
  const logged: { readonly level: string; readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[] = [];

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-member-'));
    proxy = await startWireProxy();
    const config = { ...quickGroups, 'advertised.listeners': `PLAINTEXT://127.0.0.1:${proxy.port}`, 'log.cleaner.backoff.ms': '200', 'log.initial.task.delay.ms': '100' };
    cluster = await startKafka({ dataDir, config });
    proxy.forwardTo(cluster.brokers[0]!.port);
    client = createClient();
    await warmUp(client);
  });

  afterAll(async () => {
    await proxy.close();
    await cluster.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  beforeEach(() => {
    proxy.forwardTo(cluster.brokers[0]!.port);
    logged.length = 0;
  });

  const log: Logger = {
    error: (fields, message) => void logged.push({ level: 'error', message, fields }),
    warn: (fields, message) => void logged.push({ level: 'warn', message, fields }),
    info: (fields, message) => void logged.push({ level: 'info', message, fields }),
    debug: (fields, message) => void logged.push({ level: 'debug', message, fields }),
    setLevel: () => undefined,
  };
  const createClient = (consumerClient: ConsumerClient = 'platformatic', change: Partial<KafkaConnection> = {}): KafkaClient =>
    createKafkaClient(connectionTo([`127.0.0.1:${proxy.port}`], change), 'platformatic', consumerClient, log);
  const start = (topic: string | readonly string[], change: RecordedMemberOptions = {}): Promise<RecordedMember> => startOf(client, topic, change);
  const committedOffset = async (topic: string, partition: number): Promise<bigint | undefined> =>
    (await client.createAdmin().groupLag(groupOf(topic), topic)).find((entry) => entry.partition === partition)?.commitOffset;
  const startProcess = (options: Omit<MemberProcessOptions, 'broker'>): MemberProcess => new MemberProcess({ broker: `127.0.0.1:${proxy.port}`, ...options });
  /** Anyone may say for a member that it leaves. */
  const sayGoodbye = (topic: string, memberId: string) =>
    askBroker(cluster.bootstrap, (broker) => consumerGroupHeartbeatV1.api.async(broker, groupOf(topic), memberId, -1, null, null, -1, null, null, null, null));

  describe('what it uses', () => {
    it('has a connection of its own for fetches and shares those to the coordinator, and leaves none behind', async () => {
      const topic = await createTopic(client, 1);
      await until('other connections to end', () => proxy.connections() === 0);
      const groups = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth'];
      const started = await Promise.all(groups.map((groupId) => start(topic, { groupId })));
      await produceTexts(client, topic, 0, ['for all']);
      await until('the record', () => started.every(({ told }) => told.records.length === 1));
      // One for each to fetch with, and at most four for all that they ask their coordinator.
      await until('connections of nobody else', () => proxy.connections() > groups.length && proxy.connections() <= groups.length + 4);
      for (const { member } of started) await member.close();
      await until('its connections to end', () => proxy.connections() === 0);
    });

    const groupSetting = async (groupId: string, name: string): Promise<string | null | undefined> => {
      const resource = { resourceType: 32 as const, resourceName: groupId, configurationKeys: [name] };
      const { results } = await askBroker(cluster.bootstrap, (broker) => describeConfigsV4.api.async(broker, [resource], false, false));
      return results[0]?.configs[0]?.value;
    };

    it('sets the session timeout of its group where the broker allows it', async () => {
      const topic = await createTopic(client, 1);
      await start(topic, { groupId: 'allowed', sessionTimeoutMs: 12_000 });
      expect(await groupSetting('allowed', 'consumer.session.timeout.ms')).toBe('12000');
      const refused = await start(topic, { groupId: 'refused', sessionTimeoutMs: 500 });
      expect(await groupSetting('refused', 'consumer.session.timeout.ms')).toBe('45000');
      await until('its partition', () => refused.partitions().length === 1);
      expect(logged.filter(({ level }) => level !== 'debug')).toEqual([]);
    });

    it('has its group assign partitions at once, whatever session the broker allows', async () => {
      const topic = await createTopic(client, 1);
      await start(topic, { groupId: 'refused-and-at-once', sessionTimeoutMs: 500 });
      expect(await groupSetting('refused-and-at-once', 'consumer.assignment.interval.ms')).toBe('0');
    });
  });

  describe('partitions that move', () => {
    it('are waited for, while those that stay go on and the next member gets what was committed with them', async () => {
      const topic = await createTopic(client, 4);
      let letGo = (): void => undefined;
      const gate = new Promise<void>((resolve) => {
        letGo = resolve;
      });
      // The session is shorter than the wait: heartbeats go on meanwhile, or the group would give the member up.
      const stayer = await start(topic, {
        sessionTimeoutMs: 2_000,
        revokeTimeoutMs: 60_000,
        onRevoking: async ({ member, partitions }, moving) => {
          await gate;
          expect(partitions()).toEqual([0, 1, 2, 3]);
          await member.commit(moving.map((partition) => ({ topic, partition, commitOffset: 1n, metadata: `state of ${partition}` })));
        },
      });
      await until('all partitions', () => stayer.partitions().length === 4);
      for (const partition of [0, 1, 2, 3]) await produceTexts(client, topic, partition, ['early']);
      await until('the early records', isUpTo(4, stayer));
      const guest = await start(topic);
      await until('the revocation', () => stayer.told.revocations.length > 0);
      const [moving = []] = stayer.told.revocations;
      const staying = [0, 1, 2, 3].filter((partition) => !moving.includes(partition));
      expect(moving).toHaveLength(2);
      // For longer than a session, records of what stays come, and those of what moves do not.
      const sessionEnd = Date.now() + 4_000;
      for (let turn = 1; Date.now() < sessionEnd; turn++) {
        for (const partition of [0, 1, 2, 3]) await produceTexts(client, topic, partition, ['late']);
        await until('records of what stays', isUpTo(4 + turn * staying.length, stayer));
      }
      expect(guest.partitions()).toEqual([]);
      for (const partition of moving) expect(texts(stayer, partition)).toEqual(['early']);
      letGo();
      await until('the share of the guest', () => guest.partitions().length === 2);
      expect(guest.told.assignments.at(-1)).toEqual(moving.map((partition) => ({ topic, partition, kept: false, metadata: `state of ${partition}` })));
      await until('the records that waited', () => moving.every((partition) => guest.offsets(partition)[0] === 1n));
      expect(stayer.told.assignments.at(-1)).toEqual(staying.map((partition) => ({ topic, partition, kept: true, metadata: undefined })));
      expect(stayer.told.assignments).toHaveLength(2);
      for (const told of [stayer.told, guest.told]) expectUnbrokenWhileKept(told);
      expect(stayer.told.lost).toEqual([]);
    });

    it('are not waited for longer than agreed', async () => {
      const topic = await createTopic(client, 2);
      const stayer = await start(topic, { revokeTimeoutMs: 300, onRevoking: () => new Promise(() => undefined) });
      await until('both partitions', () => stayer.partitions().length === 2);
      const guest = await start(topic);
      await until('a share for both', () => stayer.partitions().length === 1 && guest.partitions().length === 1);
      // What is not this member's any more it does not commit, although the broker would take it.
      const [moved] = guest.partitions();
      await expect(stayer.member.commit([{ topic, partition: moved!, commitOffset: 1n }])).rejects.toMatchObject({ code: 'KAFKA_REFUSED', retriable: true });
    });

    it('cost nothing: no record missing and none twice while members join and leave under load', async () => {
      const topic = await createTopic(client, 6);
      const load = await startLoad(client, topic, 6);
      const joined: RecordedMember[] = [];
      const join = async (): Promise<RecordedMember> => {
        const recorded = await start(topic, { onRevoking: ({ commit }) => commit() });
        joined.push(recorded);
        return recorded;
      };
      const stayer = await join();
      await until('all partitions', () => stayer.partitions().length === 6);
      await goOn(50, stayer);
      for (let turn = 0; turn < 3; turn++) {
        const guests = [await join(), await join()];
        await until('a share for all', () => [stayer, ...guests].every(({ partitions }) => partitions().length === 2));
        await goOn(50, stayer, ...guests);
        for (const guest of guests) {
          // As the dispatcher leaves: nothing new is taken, what is under way is finished and committed.
          for (const partition of guest.partitions()) guest.member.pause({ topic, partition });
          await guest.commit();
          await guest.member.close();
        }
        await until('all partitions back', () => stayer.partitions().length === 6);
        await goOn(50, stayer);
      }
      await load.stop();
      expect(await expectAllRead(cluster.bootstrap, topic, ...joined)).toBe(0);
      for (const { told } of joined) {
        expectKeptWhereHeldBefore(told);
        expectUnbrokenWhileKept(told);
        expect(told.lost).toEqual([]);
      }
    });
  });

  describe('members that are killed, stand still or are cut off', () => {
    it('killed and started again under its id, a member has its partitions before its session is over', async () => {
      const topic = await createTopic(client, 4);
      const options = { topic, memberId: 'pod-0', sessionTimeoutMs: 45_000 };
      const first = startProcess(options);
      await first.until('all partitions', () => first.partitions().length === 4);
      for (const partition of [0, 1, 2, 3]) await produceTexts(client, topic, partition, ['one']);
      await until('the commits', async () => (await committedOffset(topic, 0)) === 1n && (await committedOffset(topic, 3)) === 1n);
      await first.kill();
      const second = startProcess(options);
      await second.until('all partitions', () => second.partitions().length === 4);
      expect(second.events.filter(({ event }) => event === 'records')).toEqual([]);
    });

    it('killed for good, its partitions go to the others after a session, from its last commit', async () => {
      const topic = await createTopic(client, 4);
      const stayer = await start(topic, { sessionTimeoutMs: 2_000 });
      const victim = startProcess({ topic, memberId: 'victim', sessionTimeoutMs: 2_000 });
      await until('a share for both', () => stayer.partitions().length === 2 && victim.partitions().length === 2);
      const [partition] = victim.partitions();
      await produceTexts(client, topic, partition!, ['one', 'two']);
      await until('the commit', async () => (await committedOffset(topic, partition!)) === 2n);
      await victim.kill();
      await produceTexts(client, topic, partition!, ['three']);
      await until('all partitions', () => stayer.partitions().length === 4);
      await until('what nobody had', () => texts(stayer, partition).length > 0);
      expect(texts(stayer, partition)).toEqual(['three']);
      expect(stayer.told.assignments.at(-1)?.filter(({ kept }) => kept)).toHaveLength(2);
    });

    it('stopped for longer than its session, it knows so before anything else, commits nothing of then, and joins anew', async () => {
      const topic = await createTopic(client, 2);
      const sleeper = startProcess({ topic, memberId: 'sleeper', sessionTimeoutMs: 2_000 });
      await sleeper.until('both partitions', () => sleeper.partitions().length === 2);
      for (const partition of [0, 1]) await produceTexts(client, topic, partition, ['one', 'two']);
      await until('the commits', async () => (await committedOffset(topic, 0)) === 2n && (await committedOffset(topic, 1)) === 2n);
      const other = await start(topic, { sessionTimeoutMs: 2_000 });
      await until('a share for both', () => sleeper.partitions().length === 1 && other.partitions().length === 1);
      const [lost] = sleeper.partitions();
      sleeper.freeze();
      for (const partition of [0, 1]) await produceTexts(client, topic, partition, ['three']);
      await until('the partition of the one that stands still', () => other.partitions().length === 2);
      await until('its record', () => texts(other, lost).includes('three'));
      await other.commit();
      // Its sockets hold a record, and its next commit says what it had read before.
      const before = sleeper.events.length;
      sleeper.thaw();
      await sleeper.until('it to let go and to have a share again', () => {
        const assignments = sleeper.events.slice(before).filter(({ event }) => event === 'assigned');
        return assignments.length >= 2 && sleeper.partitions().length === 1;
      });
      const after = sleeper.events.slice(before);
      const told = after.filter((event) => event.event === 'assigned');
      expect(told[0]?.partitions).toEqual([]);
      expect(told.at(-1)?.partitions).toMatchObject([{ kept: false }]);
      const letGo = after.findIndex(({ event }) => event === 'assigned');
      expect(after.slice(0, letGo).filter(({ event }) => event === 'records')).toEqual([]);
      // The group may have taken one while it still counted the member in, and the answer waited.
      expect(after.slice(0, letGo).filter(({ event }) => event === 'committed').length).toBeLessThanOrEqual(1);
      expect(await committedOffset(topic, lost!)).toBe(3n);
    });

    it('goes on where it was when Kafka is away for less than a session', async () => {
      const topic = await createTopic(client, 2);
      const recorded = await start(topic, { sessionTimeoutMs: 60_000 });
      await until('both partitions', () => recorded.partitions().length === 2);
      proxy.cut();
      await until('failed heartbeats', () => logged.filter(({ message }) => message === 'heartbeat failed, trying again').length > 1);
      proxy.forwardTo(cluster.brokers[0]!.port);
      for (const partition of [0, 1]) await produceTexts(client, topic, partition, ['later']);
      await until('the records', isUpTo(2, recorded));
      await recorded.commit();
      expect(await committedOffset(topic, 1)).toBe(1n);
      expect(recorded.told.assignments).toHaveLength(1);
    });

    it('gives up what it has when Kafka is away for a session, and goes on from the commit when it is back', async () => {
      const topic = await createTopic(client, 2);
      for (const partition of [0, 1]) await produceTexts(client, topic, partition, ['committed', 'not committed']);
      const recorded = await start(topic, { sessionTimeoutMs: 1_500 });
      await until('the records', isUpTo(4, recorded));
      await recorded.member.commit([{ topic, partition: 0, commitOffset: 1n }, { topic, partition: 1, commitOffset: 1n }]);
      recorded.member.pause({ topic, partition: 0 });
      proxy.freeze();
      await until('it to give up', () => recorded.told.assignments.length === 2);
      expect(recorded.told.assignments.at(-1)).toEqual([]);
      await expect(recorded.commit()).resolves.toBeUndefined(); // there is nothing of its own to commit
      await expect(recorded.member.commit([{ topic, partition: 0, commitOffset: 2n }])).rejects.toMatchObject({ code: 'KAFKA_REFUSED', retriable: true });
      proxy.cut();
      proxy.forwardTo(cluster.brokers[0]!.port);
      await until('both partitions again', () => recorded.partitions().length === 2);
      expect(recorded.told.assignments.at(-1)?.every(({ kept }) => !kept)).toBe(true);
      await until('what was not committed', isUpTo(6, recorded));
      for (const partition of [0, 1]) expect(texts(recorded, partition)).toEqual(['committed', 'not committed', 'not committed']);
      expect(recorded.told.lost).toEqual([]);
    });

    it('fenced by the group, it lets go of everything at once and joins anew under its id', async () => {
      const topic = await createTopic(client, 2);
      for (const partition of [0, 1]) await produceTexts(client, topic, partition, ['one']);
      const recorded = await start(topic, { memberId: 'fenced' });
      await until('the records', isUpTo(2, recorded));
      await sayGoodbye(topic, 'fenced');
      await until('both partitions again', () => recorded.told.assignments.length >= 3 && recorded.partitions().length === 2);
      expect(recorded.told.assignments[1]).toEqual([]);
      expect(recorded.told.assignments.at(-1)?.every(({ kept }) => !kept)).toBe(true);
      await until('what was never committed', isUpTo(4, recorded));
      const { groups } = await askBroker(cluster.bootstrap, (broker) => consumerGroupDescribeV0.api.async(broker, [groupOf(topic)], false));
      expect(groups[0]?.members.map(({ memberId }) => memberId)).toEqual(['fenced']);
      expect(recorded.told.revocations).toEqual([]);
      expect(recorded.told.lost).toEqual([]);
    });

    it('a commit that finds out that the group gave the member up fails, and says so to the member', async () => {
      const topic = await createTopic(client, 1);
      await produceTexts(client, topic, 0, ['one']);
      const recorded = await start(topic, { memberId: 'given-up', sessionTimeoutMs: 45_000 });
      await until('the record', isUpTo(1, recorded));
      await sayGoodbye(topic, 'given-up');
      await expect(recorded.commit()).rejects.toBeInstanceOf(Fault);
      expect(await committedOffset(topic, 0)).toBeUndefined();
      await until('the partition again', isUpTo(2, recorded));
      await recorded.commit();
      expect(await committedOffset(topic, 0)).toBe(1n);
    });

    it('survives the restart of its broker with all that it has', async () => {
      const topic = await createTopic(client, 2);
      const recorded = await start(topic, { sessionTimeoutMs: 60_000 });
      await produceTexts(client, topic, 0, ['before']);
      await until('the record', isUpTo(1, recorded));
      await cluster.brokers[0]!.kill();
      await cluster.brokers[0]!.start();
      proxy.forwardTo(cluster.brokers[0]!.port);
      for (const partition of [0, 1]) await produceTexts(client, topic, partition, ['after']);
      await until('the records', isUpTo(3, recorded));
      await waitFor('a commit', () => recorded.commit().then(() => true), { timeoutMs: factTimeoutMs });
      expect(texts(recorded, 0)).toEqual(['before', 'after']);
      expect(recorded.told.assignments).toHaveLength(1);
      expect(recorded.told.lost).toEqual([]);
    });

    it('says that it is refused, and leaves nothing behind', async () => {
      const topic = await createTopic(client, 1);
      const refused = recordMember(createClient(), topic, { groupId: '' });
      await expect(refused.member.start()).rejects.toMatchObject({ code: 'KAFKA_REFUSED', retriable: false });
      await until('its connections to end', () => proxy.connections() === 0);
      expect(refused.told.lost).toEqual([]);
    });
  });

  describe('reading', () => {
    it('what is resumed does not wait for a fetch that the broker holds open', async () => {
      const topic = await createTopic(client, 3);
      const recorded = await start(topic);
      await until('all partitions', () => recorded.partitions().length === 3);
      for (const partition of [1, 2]) recorded.member.pause({ topic, partition });
      await produceTexts(client, topic, 0, ['one']);
      await until('the record', isUpTo(1, recorded));
      // Whatever is fetched over the connections of now is never answered; partition 0 is being fetched over one of them.
      const release = proxy.holdFetches();
      await produceTexts(client, topic, 1, ['two']);
      recorded.member.resume({ topic, partition: 1 });
      await until('the record of the resumed partition', () => texts(recorded, 1).length === 1);
      await produceTexts(client, topic, 1, ['three']);
      await until('its next record', () => texts(recorded, 1).length === 2);
      // Both connections are there by now, and what is wanted next joins the one that still answers.
      await produceTexts(client, topic, 2, ['four']);
      recorded.member.resume({ topic, partition: 2 });
      await until('the record of the other one', () => texts(recorded, 2).length === 1);
      expect(texts(recorded, 0)).toEqual(['one']);
      await produceTexts(client, topic, 0, ['five']);
      release();
      await until('all records', isUpTo(5, recorded));
      for (const partition of [0, 1, 2]) await produceTexts(client, topic, partition, ['last']);
      await until('all records', isUpTo(8, recorded));
      expectUnbrokenWhileKept(recorded.told);
    });

    it('leaves out aborted transactions and waits for open ones', async () => {
      const topic = await createTopic(client, 1);
      const kafka = new kafkajs.Kafka({ clientId: 'transactions', brokers: [cluster.bootstrap], logLevel: kafkajs.logLevel.NOTHING });
      const producer = kafka.producer({ transactionalId: `of-${topic}`, idempotent: true, maxInFlightRequests: 1, createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
      await producer.connect();
      const begin = async (...values: string[]) => {
        const transaction = await producer.transaction();
        await transaction.send({ topic, messages: values.map((value) => ({ value, partition: 0 })) });
        return transaction;
      };
      const recorded = await start(topic);
      await produceTexts(client, topic, 0, ['plain']);
      await (await begin('aborted', 'aborted, too')).abort();
      await (await begin('committed')).commit();
      await (await begin('aborted at the end')).abort();
      await until('what counts', isUpTo(2, recorded));
      const open = await begin('in time');
      await produceTexts(client, topic, 0, ['behind it']);
      await open.commit();
      await until('what counts', isUpTo(4, recorded));
      expect(texts(recorded)).toEqual(['plain', 'committed', 'in time', 'behind it']);
      await producer.disconnect();
      // A member that begins within them finds its way as well.
      await recorded.member.commit([{ topic, partition: 0, commitOffset: 2n }]);
      await recorded.member.close();
      const next = await start(topic);
      await until('what counts', isUpTo(3, next));
      expect(texts(next)).toEqual(['committed', 'in time', 'behind it']);
    });

    it('reads what compaction left of a topic', async () => {
      const config = { 'cleanup.policy': 'compact', 'segment.ms': '100', 'min.cleanable.dirty.ratio': '0.01', 'max.compaction.lag.ms': '200' };
      const topic = await createTopic(client, 1, 1, config);
      // A segment is cleaned once a later record has begun the next one.
      let written = 0;
      const write = () => askBroker(cluster.bootstrap, (broker) => produceV9.api.async(broker, -1, 10_000, [{ topic, partition: 0, key: Buffer.from(`key ${written % 3}`), value: Buffer.from(String(written++)) }], {}));
      const left = async () => (await readTopic(cluster.bootstrap, topic))[0]?.map(({ offset }) => offset) ?? [];
      await until('the log to be cleaned', async () => {
        await write();
        return written > 20 && (await left()).length < written / 2;
      }, 60_000);
      const recorded = await start(topic);
      await until('all that is left', () => recorded.offsets(0).at(-1) === BigInt(written - 1));
      expect(recorded.offsets(0).length).toBeLessThan(written);
      expect(recorded.offsets(0)).toEqual(expect.arrayContaining(await left()));
      expect(recorded.told.offsetResets).toEqual([]);
    });

    it('bytes that cannot be read hold up their own partition only, which goes on when they can be', async () => {
      const topic = await createTopic(client, 2);
      const produce = (value: string) => askBroker(cluster.bootstrap, (broker) => produceV9.api.async(broker, -1, 10_000, [{ topic, partition: 0, value: Buffer.from(value) }], { compression: 'gzip' }));
      await produce('good');
      await produce('to be spoilt '.repeat(100));
      await produce('behind it');
      const segment = join(dataDir, 'broker-1', 'data', `${topic}-0`, '00000000000000000000.log');
      const file = await open(segment, 'r+');
      onTestFinished(() => file.close());
      const bytes = await readFile(segment);
      const second = 12 + bytes.readInt32BE(8);
      const payloadAt = second + 61;
      await file.write(Buffer.alloc(20), 0, 20, payloadAt);
      const recorded = await start(topic);
      await until('the failure to be told', () => logged.some(({ level, message }) => level === 'error' && message === 'a partition cannot be read, trying again'));
      for (let turn = 1; turn <= 3; turn++) {
        await produceTexts(client, topic, 1, ['of the other one']);
        await until('records of the other partition', () => texts(recorded, 1).length === turn);
      }
      expect(texts(recorded, 0)).toEqual(['good']);
      await file.write(bytes, payloadAt, 20, payloadAt);
      await until('the rest of the partition', () => texts(recorded, 0).length === 3);
      expect(recorded.offsets(0)).toEqual([0n, 1n, 2n]);
      expect(logged.filter(({ level }) => level === 'error')).toMatchObject([{ fields: { partition: 0 } }]);
      expect(recorded.told.lost).toEqual([]);
    });

    it('a topic that is deleted takes its partitions with it, and one of the same name is read from its beginning', async () => {
      const topic = await createTopic(client, 2);
      for (const partition of [0, 1]) await produceTexts(client, topic, partition, ['old', 'old']);
      const recorded = await start(topic, { onRevoking: ({ commit }) => commit().catch(() => undefined) });
      await until('the records', isUpTo(4, recorded));
      await recorded.commit();
      await client.createAdmin().deleteTopic(topic);
      await until('the partitions to be gone', () => recorded.partitions().length === 0);
      await makeTopic(client, topic, 3);
      for (const partition of [0, 1, 2]) await produceTexts(client, topic, partition, ['new']);
      await until('the new partitions', () => recorded.partitions().length === 3);
      await until('the new records', isUpTo(7, recorded));
      expect(texts(recorded).slice(4)).toEqual(['new', 'new', 'new']);
      await recorded.commit();
      expect(await committedOffset(topic, 2)).toBe(1n);
      expect(recorded.told.lost).toEqual([]);
    });

    it('of several topics, one that is deleted and created again is read from its beginning, and the others go on where they are', async () => {
      const topic = await createTopic(client, 2);
      const other = await createTopic(client, 2);
      const recorded = await start([topic, other], { onRevoking: ({ commit }) => commit().catch(() => undefined) });
      for (const partition of [0, 1]) for (const of of [topic, other]) await produceTexts(client, of, partition, ['old', 'old']);
      await until('the records', isUpTo(8, recorded));
      await recorded.commit();
      const othersAt = recorded.told.assignments.length;
      await client.createAdmin().deleteTopic(topic);
      await until('the partitions to be gone', () => recorded.assigned().join() === `${other}/0,${other}/1`);
      await makeTopic(client, topic, 3);
      for (const partition of [0, 1, 2]) await produceTexts(client, topic, partition, ['new']);
      for (const partition of [0, 1]) await produceTexts(client, other, partition, ['next']);
      await until('the new records', isUpTo(13, recorded));
      expect(recorded.told.records.slice(8).filter((entry) => entry.topic === topic).map(({ value }) => String(value))).toEqual(['new', 'new', 'new']);
      for (const partition of [0, 1]) expect(recorded.offsets(partition, other)).toEqual([0n, 1n, 2n]);
      for (const assignment of recorded.told.assignments.slice(othersAt)) expect(assignment.filter((entry) => entry.topic === other && entry.kept)).toHaveLength(2);
      await recorded.commit();
      expect(await committedOffset(topic, 2)).toBe(1n);
      expect(recorded.told.lost).toEqual([]);
    });

    it('of several topics, each record comes once whatever the order in which their partitions had records', async () => {
      const [orders, payments] = [await createTopic(client, 3), await createTopic(client, 2)];
      const all = [...[0, 1, 2].map((partition) => ({ topic: orders, partition })), ...[0, 1].map((partition) => ({ topic: payments, partition }))];
      const recorded = await start([orders, payments]);
      await until('all partitions', () => recorded.assigned().length === 5);
      // Whoever had records is asked for last: now the partitions of each topic stand between those of the other.
      for (const at of [3, 0, 4, 2, 1]) {
        const { topic, partition } = all[at]!;
        const before = recorded.told.records.length;
        await produceTexts(client, topic, partition, ['alone']);
        await until('the record', isUpTo(before + 1, recorded));
      }
      for (let turn = 0; turn < 5; turn++) await Promise.all(all.map(({ topic, partition }) => produceTexts(client, topic, partition, ['a', 'b'])));
      await until('all records', isUpTo(55, recorded));
      for (const { topic, partition } of all) expect(recorded.offsets(partition, topic)).toEqual(Array.from({ length: 11 }, (_, offset) => BigInt(offset)));
      expectUnbrokenWhileKept(recorded.told);
    });

    it('reads partitions that a topic grows by', async () => {
      const topic = await createTopic(client, 1);
      const recorded = await start(topic);
      await until('the partition', () => recorded.partitions().length === 1);
      await client.createAdmin().growTopic(topic, 3);
      await until('the new ones', () => recorded.partitions().length === 3);
      for (const partition of [0, 1, 2]) await produceTexts(client, topic, partition, ['one']);
      await until('a record of each', isUpTo(3, recorded));
      expect(recorded.told.assignments.at(-1)?.find(({ partition }) => partition === 0)?.kept).toBe(true);
    });
  });

  describe('auto', () => {
    it('rolls a group over from kafkajs under load: it ends with ours, and nothing is missing', async () => {
      const topic = await createTopic(client, 4);
      const auto = createClient('auto');
      const classic = createClient('kafkajs');
      const load = await startLoad(client, topic, 4);
      const commits = { onRebalancing: ({ commit }: RecordedMember) => void commit().catch(() => undefined), onRevoking: ({ commit }: RecordedMember) => commit() };
      const old = [await startOf(classic, topic, commits), await startOf(classic, topic, commits)];
      await until('a share for both', () => old.every(({ partitions }) => partitions().length === 2));
      await goOn(20, ...old);
      const fresh: RecordedMember[] = [];
      for (const leaving of old) {
        fresh.push(await startOf(auto, topic, commits));
        await until('a share for the new one', () => fresh.at(-1)!.partitions().length > 0);
        await goOn(20, fresh.at(-1)!);
        await leaving.commit().catch(() => undefined);
        await leaving.member.close();
      }
      await until('a share for both', () => fresh.every(({ partitions }) => partitions().length === 2));
      await goOn(20, ...fresh);
      await load.stop();
      await expectAllRead(cluster.bootstrap, topic, ...old, ...fresh);
      const { groups } = await askBroker(cluster.bootstrap, (broker) => consumerGroupDescribeV0.api.async(broker, [groupOf(topic)], false));
      expect(groups[0]?.members).toHaveLength(2);
      for (const { told } of [...old, ...fresh]) expect(told.lost).toEqual([]);
      for (const { told } of fresh) expectUnbrokenWhileKept(told);
    });

    it('rolls back to kafkajs as well', async () => {
      const topic = await createTopic(client, 2);
      const ours = await startOf(createClient('auto'), topic);
      await until('both partitions', () => ours.partitions().length === 2);
      const classic = await startOf(createClient('kafkajs'), topic);
      await until('a share for both', () => ours.partitions().length === 1 && classic.partitions().length === 1);
      for (const partition of [0, 1]) await produceTexts(client, topic, partition, ['one']);
      await until('both records', () => ours.told.records.length + classic.told.records.length === 2);
      await ours.commit();
      await ours.member.close();
      await until('both partitions', () => classic.partitions().length === 2);
      for (const partition of [0, 1]) await produceTexts(client, topic, partition, ['two']);
      await until('its records', isUpTo(3, classic));
    });
  });
});

describe('a broker on which groups are not converted', () => {
  it('auto joins with kafkajs while such members are in the group, and with ours once it was empty', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-member-'));
    const cluster = await startKafka({ dataDir, config: { ...quickGroups, 'group.consumer.migration.policy': 'disabled' } });
    try {
      const createClient = (consumerClient: ConsumerClient) => createKafkaClient(connectionTo([cluster.bootstrap]), 'platformatic', consumerClient);
      await warmUp(createClient('auto'));
      const topic = await createTopic(createClient('auto'), 2);
      const isOfNewProtocol = async () => {
        const { groups } = await askBroker(cluster.bootstrap, (broker) => consumerGroupDescribeV0.api.async(broker, [groupOf(topic)], false));
        return (groups[0]?.members.length ?? 0) > 0;
      };
      const classic = await startOf(createClient('kafkajs'), topic);
      const second = await startOf(createClient('auto'), topic);
      await until('a share for both', () => classic.partitions().length === 1 && second.partitions().length === 1);
      await expect(isOfNewProtocol()).rejects.toMatchObject({ errors: [{ apiId: 'GROUP_ID_NOT_FOUND' }] });
      await produceTexts(createClient('auto'), topic, second.partitions()[0]!, ['one']);
      await until('the record', isUpTo(1, second));
      await second.commit();
      for (const { member } of [second, classic]) await member.close();
      const third = await startOf(createClient('auto'), topic);
      await until('both partitions', () => third.partitions().length === 2);
      expect(await isOfNewProtocol()).toBe(true);
      expect(third.told.records).toEqual([]);
      await third.member.close();
    } finally {
      await cluster.stop();
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});

describe('a broker without the new protocol', () => {
  it('auto joins with kafkajs, and ours says why it does not', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-member-'));
    const cluster = await startKafka({ dataDir, config: quickGroups, formatArgs: ['--feature', 'group.version=0'] });
    try {
      const createClient = (consumerClient: ConsumerClient) => createKafkaClient(connectionTo([cluster.bootstrap]), 'platformatic', consumerClient);
      await warmUp(createClient('auto'));
      const topic = await createTopic(createClient('auto'), 2);
      const refused = recordMember(createClient('platformatic'), topic);
      await expect(refused.member.start()).rejects.toMatchObject({ code: 'KAFKA_REFUSED', retriable: false, message: expect.stringContaining('UNSUPPORTED_VERSION') as string });
      const recorded = await startOf(createClient('auto'), topic);
      await until('both partitions', () => recorded.partitions().length === 2);
      await produceTexts(createClient('auto'), topic, 1, ['one']);
      await until('the record', isUpTo(1, recorded));
      await recorded.commit();
      await recorded.member.close();
    } finally {
      await cluster.stop();
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});

describe('three brokers', () => {
  let dataDir: string;
  let cluster: KafkaCluster;
  let observer: ClusterObserver;
  let client: KafkaClient;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-member-'));
    cluster = await startKafka({ dataDir, brokers: 3, config: quickGroups });
    observer = new ClusterObserver(cluster);
    client = createKafkaClient(connectionTo(cluster.bootstrap.split(','), { requestTimeoutMs: 3_000, connectTimeoutMs: 2_000 }), 'platformatic', 'platformatic');
    await warmUp(client);
  });

  afterAll(async () => {
    await observer.close();
    await cluster.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  it.each(['killed', 'frozen'] as const)('goes on with all that it has when the coordinator is %s, which leads partitions as well', async (how) => {
    const topic = await createTopic(client, 6, 3);
    const { coordinators } = await askBroker(cluster.bootstrap.split(',')[0]!, (broker) => findCoordinatorV4.api.async(broker, 0, [groupOf(topic)]));
    const victim = cluster.brokers.find(({ id }) => id === coordinators[0]?.nodeId)!;
    const load = await startLoad(client, topic, 6);
    const recorded = await startOf(client, topic, { sessionTimeoutMs: 60_000 });
    await until('all partitions', () => recorded.partitions().length === 6);
    await goOn(20, recorded);
    if (how === 'killed') await victim.kill();
    else victim.freeze();
    try {
      await goOn(20, recorded);
      await waitFor('a commit', () => recorded.commit().then(() => true), { timeoutMs: factTimeoutMs });
      await goOn(20, recorded);
    } finally {
      if (how === 'killed') await victim.start();
      else victim.thaw();
    }
    await load.stop();
    await observer.untilAllInSync(topic, groupOffsetsTopic); // one that stood still tells what it had then, until it has caught up
    await expectAllRead(cluster.bootstrap, topic, recorded);
    expect(recorded.told.assignments).toHaveLength(1);
    expectUnbrokenWhileKept(recorded.told);
    expect(recorded.told.lost).toEqual([]);
    await recorded.commit();
    const lag = await client.createAdmin().groupLag(groupOf(topic), topic);
    expect(lag.every(({ commitOffset, endOffset }) => commitOffset === endOffset)).toBe(true);
  });

  describe.each(['platformatic', 'kafkajs'] as const)('two members of %s, each followed by another when it is lost,', (name) => {
    const partitions = 6;
    /** Long enough for kafkajs, whose group waits for a session before it goes on without a member. */
    const recoveryMs = 90_000;
    let bothClients: KafkaClient;
    let topic: string;
    let load: Load;
    let lines: readonly Successors[];

    beforeEach(async () => {
      bothClients = createKafkaClient(connectionTo(cluster.bootstrap.split(','), { requestTimeoutMs: 1_000, connectTimeoutMs: 1_000 }), 'platformatic', name);
      topic = await createTopic(client, partitions, 3);
      load = await startLoad(client, topic, partitions, 200);
      lines = ['pod-0', 'pod-1'].map((memberId) => new Successors(() => recordMember(bothClients, topic, {
        memberId,
        sessionTimeoutMs: 3_000,
        onRebalancing: ({ commit }) => void commit().catch(() => undefined),
        onRevoking: ({ commit }) => commit().catch(() => undefined),
      })));
      await untilFollowed('a share for both', () => lines.every(({ last }) => last.partitions().length === partitions / 2));
      await allGoOn();
    });

    const untilFollowed = (fact: string, check: () => boolean | Promise<boolean>): Promise<void> =>
      until(fact, async () => {
        for (const line of lines) await line.follow();
        return check();
      }, recoveryMs);
    const read = (partition: number): bigint[] => lines.flatMap(({ all }) => all.flatMap(({ offsets }) => offsets(partition)));
    const newest = (partition: number): bigint => read(partition).reduce((most, offset) => (offset > most ? offset : most), -1n);
    const allGoOn = async (): Promise<void> => {
      const before = Array.from({ length: partitions }, (_, partition) => newest(partition));
      await untilFollowed('new records of every partition', () => before.every((offset, partition) => newest(partition) >= offset + 3n));
    };
    const coordinator = async (): Promise<KafkaBroker> => {
      const { coordinators } = await askBroker(cluster.bootstrap.split(',')[0]!, (broker) => findCoordinatorV4.api.async(broker, 0, [groupOf(topic)]));
      return cluster.brokers.find(({ id }) => id === coordinators[0]?.nodeId)!;
    };
    const expectNothingMissing = async (): Promise<void> => {
      await load.stop();
      await observer.untilAllInSync(topic, groupOffsetsTopic);
      const ends = (await readTopic(cluster.bootstrap, topic)).map((records) => records.length);
      const missing = (): string[] => ends.flatMap((end, partition) => {
        const found = new Set(read(partition));
        return Array.from({ length: end }, (_, offset) => BigInt(offset)).filter((offset) => !found.has(offset)).map((offset) => `${partition}/${offset}`);
      });
      await untilFollowed('every record to be read', () => missing().length === 0);
      const admin = client.createAdmin();
      await untilFollowed('all to be committed', async () => {
        for (const { last } of lines) await last.commit();
        return (await admin.groupLag(groupOf(topic), topic)).every(({ commitOffset, endOffset }) => commitOffset === endOffset);
      });
      for (const { told } of lines.flatMap(({ all }) => all)) expectUnbrokenWhileKept(told);
    };

    it.each(['killed', 'frozen'] as const)('miss nothing when their coordinator is %s and comes back', async (how) => {
      const victim = await coordinator();
      if (how === 'killed') await victim.kill();
      else victim.freeze();
      try {
        await allGoOn();
      } finally {
        if (how === 'killed') await victim.start();
        else victim.thaw();
      }
      await allGoOn();
      await expectNothingMissing();
    });
  });

  it('reads from the leader when that moves between brokers which are all well', async () => {
    const topic = await createTopic(client, 1, 3);
    await observer.untilAllInSync(topic);
    const recorded = await startOf(client, topic);
    await produceTexts(client, topic, 0, ['before']);
    await until('the record', isUpTo(1, recorded));
    await observer.electOtherLeaders(topic);
    const [leader] = await observer.leaders(topic);
    // The broker that led before has every record as well, and would answer.
    const fetches = countAnswers(fetchV15.api.key, cluster.brokers.find(({ id }) => id === leader)!);
    await until('an answer of the new leader', () => fetches() > 0);
    await produceTexts(client, topic, 0, ['after']);
    await until('the next record', isUpTo(2, recorded));
    expect(texts(recorded)).toEqual(['before', 'after']);
    expect(recorded.told).toMatchObject({ offsetResets: [], lost: [] });
  });

  it('of several topics, follows the leaders of the one and goes on with those of the others', async () => {
    const [topic, other] = [await createTopic(client, 2, 3), await createTopic(client, 3, 3)];
    const partitions = [...[0, 1].map((partition) => ({ of: topic, partition })), ...[0, 1, 2].map((partition) => ({ of: other, partition }))];
    await observer.untilAllInSync(topic, other);
    const recorded = await startOf(client, [topic, other]);
    await until('all partitions', () => recorded.assigned().length === 5);
    for (const value of ['before', 'after']) {
      if (value === 'after') await observer.electOtherLeaders(topic);
      for (const { of, partition } of partitions) await produceTexts(client, of, partition, [value]);
      await until('the records', isUpTo(value === 'after' ? 10 : 5, recorded));
    }
    for (const { of, partition } of partitions) expect(recorded.offsets(partition, of)).toEqual([0n, 1n]);
    expect(recorded.told).toMatchObject({ offsetResets: [], lost: [] });
    expect(recorded.told.assignments).toHaveLength(1);
  });

  it('does not believe a broker that tells the leaders of before, itself among them', async () => {
    const topic = await createTopic(client, 1, 3);
    await observer.untilAllInSync(topic, groupOffsetsTopic);
    const [leader] = await observer.leaders(topic);
    const former = cluster.brokers.find(({ id }) => id === leader)!;
    const others = cluster.brokers.filter((broker) => broker !== former);
    const recorded = await startOf(client, topic, { sessionTimeoutMs: 60_000 });
    await produceTexts(client, topic, 0, ['in every log']);
    await until('the record', isUpTo(1, recorded));
    former.freeze();
    try {
      await until('another leader', async () => (await observer.leaders(topic, former)).every((id) => id >= 0 && id !== former.id));
      await produceTexts(client, topic, 0, ['not in that one']);
      await until('the record of the next leader', isUpTo(2, recorded));
      // Alone among brokers that stand still, it does not hear what it missed for as long as it is asked.
      for (const broker of others) broker.freeze();
      former.thaw();
      const answers = countAnswers(metadataV12.api.key, former);
      await until('the member to be told, and to ask again', () => answers() >= 2 || recorded.told.offsetResets.length > 0, 2 * factTimeoutMs);
    } finally {
      for (const broker of cluster.brokers) broker.thaw();
    }
    await observer.untilAllInSync(topic, groupOffsetsTopic);
    await produceTexts(client, topic, 0, ['in every log again']);
    await until('the last record', isUpTo(3, recorded));
    expect(texts(recorded)).toEqual(['in every log', 'not in that one', 'in every log again']);
    expect(recorded.told.assignments).toHaveLength(1);
    expect(recorded.told).toMatchObject({ offsetResets: [], lost: [] });
  });
});

/** Counts, until the test is over, what a broker answers to this process. */
function countAnswers(wantedKey: number, broker: KafkaBroker): () => number {
  let count = 0;
  const onAnswer = (message: unknown): void => {
    const { apiKey, connection, result } = message as { readonly apiKey: number; readonly connection: Connection; readonly result?: unknown };
    if (apiKey === wantedKey && connection.port === broker.port && result !== undefined) count++;
  };
  const channel = 'tracing:plt:kafka:connections:api:asyncEnd';
  subscribe(channel, onAnswer);
  onTestFinished(() => void unsubscribe(channel, onAnswer));
  return () => count;
}

/** member-process.ts, seen from outside. */
class MemberProcess {
  readonly events: MemberProcessEvent[] = [];
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(options: MemberProcessOptions) {
    const script = fileURLToPath(new URL('./member-process.ts', import.meta.url));
    this.#process = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#ended = new Promise((resolve) => this.#process.once('exit', () => resolve()));
    createInterface({ input: this.#process.stdout! }).on('line', (line) => this.events.push(JSON.parse(line) as MemberProcessEvent));
    onTestFinished(() => this.kill());
  }

  partitions(): number[] {
    const assigned = this.events.findLast((event) => event.event === 'assigned');
    return (assigned?.partitions ?? []).map(({ partition }) => partition);
  }

  async until(fact: string, check: () => boolean): Promise<void> {
    await until(fact, check);
  }

  freeze(): void {
    this.#process.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }
}
