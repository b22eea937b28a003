/**
 * The Kafka port on a real broker: each rule of docs/adr/0004 that keeps the clients from losing or repeating events, by
 * its name. What needs several brokers is in producer-faults.integration.test.ts; what only the member of the new group
 * protocol does is in group-member.integration.test.ts.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runKafkaTool, startKafka, waitFor, type KafkaCluster } from '@knative-kafka/local-cluster';
import { ConnectionPool, deleteRecordsV2, describeGroupsV5, offsetCommitV8, offsetFetchV9, produceV9 } from '@platformatic/kafka';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Fault } from '../../core/fault.ts';
import type { OutgoingRecord } from '../../core/kafka-record.ts';
import { ProducePump, type PumpIo } from '../../core/produce-pump.ts';
import { RecordBatch, type PartitionBatch } from '../../core/record-batch.ts';
import { parseBroker } from './broker-address.ts';
import { createKafkaClient, type ConsumerClient, type ProducerClient } from './client.ts';
import { resultOf } from './kafkajs-producer.ts';
import { resultsOf } from './platformatic.ts';
import type { GroupMember, KafkaConnection, Producer } from './port.ts';
import { expectKeptWhereHeldBefore, expectUnbrokenWhileKept, groupOf, recordMember, type RecordedMember, type RecordedMemberOptions } from './recorded-member.ts';
import { readTopic, type StoredRecord } from './topic-reader.ts';
import { startWireProxy, type WireProxy } from './wire-proxy.ts';

const factTimeoutMs = 30_000;
const patientMs = 15_000;
const producerClients = ['platformatic', 'kafkajs'] as const satisfies readonly ProducerClient[];
const consumerClients = ['platformatic', 'kafkajs'] as const satisfies readonly ConsumerClient[];

let dataDir: string;
let proxy: WireProxy;
let cluster: KafkaCluster;
let brokerPort: number;
let topics = 0;
const members: GroupMember[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-port-'));
  proxy = await startWireProxy();
  // What the broker advertises is the proxy, so every connection of every client goes through it.
  const config = {
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${proxy.port}`,
    'group.min.session.timeout.ms': '1000',
    'group.consumer.min.session.timeout.ms': '1000',
    'group.consumer.min.heartbeat.interval.ms': '100',
    'group.consumer.heartbeat.interval.ms': '300',
  };
  cluster = await startKafka({ dataDir, config });
  brokerPort = cluster.brokers[0]!.port;
  proxy.forwardTo(brokerPort);
  // The first group makes the broker create the topic of committed offsets; until it is loaded, members are lost.
  const topic = await createTopic(1);
  const admin = createKafkaClient(connection()).createAdmin();
  for (let group = 0; group < 8; group++) {
    await waitFor('the group coordinator', () => admin.commitInitialOffsets(`warm-up-${group}`, topic, 'earliest'), { timeoutMs: factTimeoutMs });
  }
});

afterAll(async () => {
  await proxy.close();
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

beforeEach(() => proxy.forwardTo(brokerPort));

afterEach(async () => {
  for (const member of members.splice(0)) await member.close(); // a test that failed must not disturb the next one
});

function connection(change: Partial<KafkaConnection> = {}): KafkaConnection {
  return { brokers: [`127.0.0.1:${proxy.port}`], clientId: 'port-test', requestTimeoutMs: patientMs, connectTimeoutMs: 5_000, ...change };
}

function newTopicName(): string {
  return `topic-${++topics}`;
}

async function createTopic(partitions: number, config: Readonly<Record<string, string>> = {}, topic = newTopicName()): Promise<string> {
  const admin = createKafkaClient(connection()).createAdmin();
  expect(await admin.createTopic({ topic, partitions, replicationFactor: 1, config })).toBe('created');
  // Asked for their offsets, leaders answer only once they know that they lead.
  await waitFor('leaders of the new topic', async () => (await admin.groupLag(groupOf(topic), topic)).length === partitions, { timeoutMs: factTimeoutMs });
  return topic;
}

function record(value: string | null, change: Partial<OutgoingRecord> = {}): OutgoingRecord {
  return { key: null, value: value === null ? null : Buffer.from(value), headers: [], timestampMs: Date.now(), ...change };
}

function createPump(producer: Pick<Producer, 'topicMetadata' | 'produce'>): ProducePump {
  const io: PumpIo = {
    topicMetadata: (topic) => producer.topicMetadata(topic),
    produce: (leader, batches) => producer.produce(leader, batches),
    now: () => performance.now(),
    after: (delayMs, run) => void setTimeout(run, delayMs),
    defer: (run) => void setImmediate(run),
  };
  return new ProducePump(io, { batchBytes: 1_000_000, requestBytes: 8 * 1024 * 1024, lingerMs: 0, retryDelayMs: { first: 20, last: 200 }, metadataMaxAgeMs: 30_000 });
}

/** Resolves with nothing once the record is stored, else with why not. */
function append(pump: ProducePump, topic: string, partition: number, wanted: OutgoingRecord, timeoutMs = factTimeoutMs): Promise<Fault | undefined> {
  return new Promise((resolve) => pump.append(topic, partition, wanted, performance.now() + timeoutMs, { settled: resolve }));
}

function texts(records: readonly { readonly value: Buffer | null }[] | undefined): string[] {
  return (records ?? []).map((entry) => String(entry.value));
}

async function produceTexts(topic: string, partition: number, values: readonly string[]): Promise<void> {
  const producer = createKafkaClient(connection()).createProducer();
  const pump = createPump(producer);
  await pump.partitionCount(topic);
  const faults = await Promise.all(values.map((value) => append(pump, topic, partition, record(value))));
  expect(faults.filter((fault) => fault !== undefined)).toEqual([]);
  await producer.close();
}

function numbered(count: number, prefix = ''): string[] {
  return Array.from({ length: count }, (_, number) => `${prefix}${number}`);
}

describe.each(producerClients)('the %s producer', (name) => {
  let producer: Producer;

  beforeEach(() => {
    producer = createKafkaClient(connection(), name).createProducer();
  });

  afterEach(() => producer.close());

  it('P1 stores every record in the partition it names', async () => {
    const topic = await createTopic(6);
    const pump = createPump(producer);
    await pump.partitionCount(topic);
    const settled = numbered(60).map((text, number) => append(pump, topic, number % 6, record(`${number % 6}:${text}`, { key: Buffer.from('the same') })));
    expect(await Promise.all(settled)).toEqual(settled.map(() => undefined));
    const stored = await readTopic(cluster.bootstrap, topic);
    for (const [partition, records] of stored.entries()) {
      expect(texts(records)).toEqual(numbered(10).map((_, turn) => `${partition}:${turn * 6 + partition}`));
    }
  });

  it('P2 a batch that fails takes no other batch of the request with it', async () => {
    const topic = await createTopic(2, { 'max.message.bytes': '1000' });
    const { leaders } = await producer.topicMetadata(topic);
    const batch = (partition: number, value: string): PartitionBatch => ({ topic, partition, batch: RecordBatch.of([record(value)]) });
    const before = proxy.produceRequests.length;
    const results = await producer.produce(leaders[0]!, [batch(0, 'first'), batch(1, 'large'.repeat(1000)), batch(7, 'nowhere')]);
    expect(results).toMatchObject([{ baseOffset: 0n }, { fault: { code: 'RECORD_TOO_LARGE', retriable: false } }, { fault: { retriable: true } }]);
    expect((await readTopic(cluster.bootstrap, topic)).map(texts)).toEqual([['first'], []]);
    // kafkajs loses records of a request over several partitions when a leader moves: one partition, one request.
    if (name === 'kafkajs') for (const request of proxy.produceRequests.slice(before)) expect(request.partitions).toHaveLength(1);
  });

  it('P3 never has two batches of a partition in flight, not even when a settled record appends the next one', async () => {
    const topic = await createTopic(2);
    const inFlight = new Map<number, number>();
    let most = 0;
    const pump = createPump({
      topicMetadata: (asked) => producer.topicMetadata(asked),
      produce: async (leader, batches) => {
        for (const { partition } of batches) {
          const now = (inFlight.get(partition) ?? 0) + 1;
          inFlight.set(partition, now);
          most = Math.max(most, now);
        }
        const results = await producer.produce(leader, batches);
        for (const { partition } of batches) inFlight.set(partition, inFlight.get(partition)! - 1);
        return results;
      },
    });
    await pump.partitionCount(topic);
    pump.limitBatches(topic, 1_000); // many small batches, so that something always waits
    let appended = 0;
    const appendNext = (): void => {
      if (appended === 3_000) return;
      const number = appended++;
      pump.append(topic, number % 2, record(String(number)), Infinity, {
        settled: (fault) => {
          expect(fault).toBeUndefined();
          appendNext();
        },
      });
    };
    for (let started = 0; started < 500; started++) appendNext();
    await waitFor('the last record to be settled', () => appended === 3_000 && pump.pendingRecords === 0, { timeoutMs: factTimeoutMs });
    expect(most).toBe(1);
    const stored = await readTopic(cluster.bootstrap, topic);
    for (const [partition, records] of stored.entries()) {
      expect(texts(records)).toEqual(numbered(1_500).map((_, turn) => String(turn * 2 + partition)));
    }
  });

  it('P5 a broker that does not answer costs an event its deadline, not its sender for ever', async () => {
    const topic = await createTopic(1);
    const impatient = createKafkaClient(connection({ requestTimeoutMs: 300, connectTimeoutMs: 300 }), name).createProducer();
    const pump = createPump(impatient);
    await waitFor('metadata', () => pump.partitionCount(topic), { timeoutMs: factTimeoutMs });
    proxy.freeze();
    expect(await append(pump, topic, 0, record('late'), 1_000)).toMatchObject({ code: 'DEADLINE_EXCEEDED', retriable: true });
    proxy.forwardTo(brokerPort);
    expect(await append(pump, topic, 0, record('in time'))).toBeUndefined();
    expect(texts((await readTopic(cluster.bootstrap, topic))[0])).toEqual(['in time']);
    await impatient.close();
  });

  it('P6 an event whose acknowledgement was lost is stored again rather than not at all; P10 no producer id is at stake', async () => {
    const topic = await createTopic(1);
    const pump = createPump(producer);
    await pump.partitionCount(topic);
    proxy.loseNextProduceResponse();
    const settled = [append(pump, topic, 0, record('a')), append(pump, topic, 0, record('b'))];
    await waitFor('the first produce request', () => pump.counters.requests > 0, { timeoutMs: factTimeoutMs });
    settled.push(append(pump, topic, 0, record('c')));
    expect(await Promise.all(settled)).toEqual([undefined, undefined, undefined]);
    const [stored] = await readTopic(cluster.bootstrap, topic);
    expect(texts(stored)).toEqual(['a', 'b', 'a', 'b', 'c']);
    expect(new Set(stored?.map((entry) => entry.producerId))).toEqual(new Set([-1n]));
  });

  it('P7 takes odd headers, keys and values and stores them as they are', async () => {
    const topic = await createTopic(1);
    const headers: OutgoingRecord['headers'] = [
      ['ce_id', 'plain'],
      ['ce_empty', ''],
      ['ce_none', Buffer.alloc(0)],
      ['ce_binary', Buffer.from([0, 0xff, 0xfe, 0x80])],
      ['ce_subject', 'Zürich ☃ 雪'],
      ['schlüssel', 'name beyond ASCII'],
      ['constructor', 'of objects'],
      ['__proto__', 'of objects, too'],
      ['ce_twice', 'first'],
      ['ce_twice', Buffer.from('second')],
      ['ce_twice', 'third'],
    ];
    const { leaders } = await producer.topicMetadata(topic);
    const records = [
      record('with headers', { key: Buffer.from([0, 0xff]), headers }),
      record(null, { key: Buffer.from('tombstone') }),
      record('', { key: Buffer.alloc(0), timestampMs: Date.now() - 86_400_000 }),
      record('no key'),
    ];
    expect(await producer.produce(leaders[0]!, [{ topic, partition: 0, batch: RecordBatch.of(records) }])).toEqual([{ baseOffset: 0n }]);
    const [stored] = await readTopic(cluster.bootstrap, topic);
    expect(stored?.map(({ key, value, timestampMs }) => ({ key, value, timestampMs }))).toEqual(records.map(({ key, value, timestampMs }) => ({ key, value, timestampMs })));
    expect(headerTexts(stored?.[0])).toEqual(headers.map(([header, value]) => [header, Buffer.from(value).toString('latin1')]));
    const { member, told } = await startAnyMember(topic);
    await waitFor('the records to be read', () => told.records.length === records.length, { timeoutMs: factTimeoutMs });
    const read = told.records[0]!.headers.map(([header, value]) => [header, value.toString('latin1')]);
    expect(read).toEqual(headers.map(([header, value]) => [header, Buffer.from(value).toString('latin1')]));
    expect(told.records.map(({ key, value, timestampMs }) => ({ key, value, timestampMs }))).toEqual(records.map(({ key, value, timestampMs }) => ({ key, value, timestampMs })));
    await member.close();
  });

  it('P8 sends what arrived together in one request for each broker or partition, not one for each event', async () => {
    const topic = await createTopic(3);
    const pump = createPump(producer);
    await pump.partitionCount(topic);
    const before = proxy.produceRequests.length;
    await Promise.all(numbered(900).map((text, number) => append(pump, topic, number % 3, record(text))));
    expect(pump.counters.requests).toBe(1);
    expect(proxy.produceRequests.length - before).toBe(name === 'kafkajs' ? 3 : 1);
  });

  it('P9 becomes usable after a start against a broker that accepts connections and never answers', async () => {
    const topic = await createTopic(1);
    proxy.freeze();
    const impatient = createKafkaClient(connection({ requestTimeoutMs: 500, connectTimeoutMs: 500 }), name).createProducer();
    const batch: PartitionBatch = { topic, partition: 0, batch: RecordBatch.of([record('first')]) };
    await expect(impatient.ping()).rejects.toMatchObject({ retriable: true });
    await expect(impatient.topicMetadata(topic)).rejects.toMatchObject({ retriable: true });
    expect(await impatient.produce(1, [batch])).toMatchObject([{ fault: { retriable: true } }]);
    proxy.forwardTo(brokerPort);
    await waitFor('an answer to a ping', () => impatient.ping().then(() => true), { timeoutMs: factTimeoutMs });
    const { leaders } = await waitFor('metadata', () => impatient.topicMetadata(topic), { timeoutMs: factTimeoutMs });
    await waitFor('a record to be stored', async () => 'baseOffset' in (await impatient.produce(leaders[0]!, [batch]))[0]!, { timeoutMs: factTimeoutMs });
    await impatient.close();
  });

  it('P11 asks for the acknowledgement of all in-sync replicas in every request', async () => {
    const topic = await createTopic(1);
    const before = proxy.produceRequests.length;
    const { leaders } = await producer.topicMetadata(topic);
    for (const value of ['a', 'b']) await producer.produce(leaders[0]!, [{ topic, partition: 0, batch: RecordBatch.of([record(value)]) }]);
    expect(proxy.produceRequests.slice(before)).toEqual([{ acks: -1, partitions: [`${topic}/0`] }, { acks: -1, partitions: [`${topic}/0`] }]);
  });

  it('finds the one record that is too large for the topic, and stores all others in their order', async () => {
    const topic = await createTopic(1, { 'max.message.bytes': '10000' });
    const pump = createPump(producer);
    await pump.partitionCount(topic);
    const values = numbered(40).map((text) => (text === '23' ? 'x'.repeat(20_000) : text.padEnd(1_000, '.')));
    const faults = await Promise.all(values.map((value) => append(pump, topic, 0, record(value))));
    expect(faults.map((fault) => fault?.code)).toEqual(values.map((_, number) => (number === 23 ? 'RECORD_TOO_LARGE' : undefined)));
    expect(texts((await readTopic(cluster.bootstrap, topic))[0])).toEqual(values.filter((_, number) => number !== 23));
  });

  it('says that a topic is missing, which it may not be for long', async () => {
    await expect(producer.topicMetadata('missing')).rejects.toMatchObject({ code: 'TOPIC_MISSING', retriable: true });
    expect(await producer.produce(1, [{ topic: 'missing', partition: 0, batch: RecordBatch.of([record('lost')]) }])).toMatchObject([{ fault: { retriable: true } }]);
  });

  it('closes its connections and takes nothing more', async () => {
    const topic = await createTopic(1);
    await waitFor('other connections to end', () => proxy.connections() === 0, { timeoutMs: factTimeoutMs });
    const { leaders } = await producer.topicMetadata(topic);
    const batch: PartitionBatch = { topic, partition: 0, batch: RecordBatch.of([record('last')]) };
    await producer.produce(leaders[0]!, [batch]);
    expect(proxy.connections()).toBeGreaterThan(0);
    await producer.close();
    await waitFor('its connections to end', () => proxy.connections() === 0, { timeoutMs: factTimeoutMs });
    expect(await producer.produce(leaders[0]!, [batch])).toMatchObject([{ fault: { code: 'CLOSED' } }]);
  });
});

describe('P4 only an entry of the very partition, without an error, is an acknowledgement', () => {
  const batch = (partition: number): PartitionBatch => ({ topic: 'orders', partition, batch: RecordBatch.of([]) });
  const missing = { fault: { code: 'KAFKA_PROTOCOL', retriable: true } };
  const moved = { fault: { code: 'KAFKA_UNAVAILABLE', retriable: true } };
  const tooLarge = { fault: { code: 'RECORD_TOO_LARGE', retriable: false } };

  it('of platformatic', () => {
    const entry = (index: number, errorCode: number, baseOffset: bigint) =>
      ({ index, errorCode, baseOffset, logAppendTimeMs: -1n, logStartOffset: 0n, recordErrors: [], errorMessage: null });
    const responses = [{ name: 'orders', partitionResponses: [entry(0, 0, 7n), entry(1, 6, -1n), entry(2, 10, -1n), entry(3, 0, -1n)] }];
    const results = resultsOf([0, 1, 2, 3, 4].map(batch), { responses, throttleTimeMs: 0 }, 'test');
    expect(results).toMatchObject([{ baseOffset: 7n }, moved, tooLarge, missing, missing]);
    expect(resultsOf([{ ...batch(0), topic: 'others' }], { responses, throttleTimeMs: 0 }, 'test')).toMatchObject([missing]);
  });

  it('of kafkajs', () => {
    const answers = [
      { topicName: 'orders', partition: 0, errorCode: 0, baseOffset: '7' },
      { topicName: 'orders', partition: 1, errorCode: 6, baseOffset: '-1' },
      { topicName: 'orders', partition: 2, errorCode: 10, baseOffset: '-1' },
      { topicName: 'orders', partition: 3, errorCode: 0, baseOffset: '-1' },
      { topicName: 'others', partition: 4, errorCode: 0, baseOffset: '7' },
    ];
    expect([0, 1, 2, 3, 4].map((partition) => resultOf(batch(partition), answers, 'test'))).toMatchObject([{ baseOffset: 7n }, moved, tooLarge, missing, missing]);
  });
});

function headerTexts(stored: StoredRecord | undefined): (readonly [string, string | undefined])[] {
  return (stored?.headers ?? []).map(([name, value]) => [name.toString(), value?.toString('latin1')] as const);
}

// --- group member ----------------------------------------------------------------------------------------------------

type MemberChange = RecordedMemberOptions & { readonly consumerClient?: ConsumerClient; readonly connection?: Partial<KafkaConnection> };

async function startAnyMember(topic: string | readonly string[], change: MemberChange = {}): Promise<RecordedMember> {
  const { consumerClient = 'auto', connection: connectionChange, ...options } = change;
  const started = recordMember(createKafkaClient(connection(connectionChange), 'platformatic', consumerClient), topic, options);
  members.push(started.member);
  await started.member.start();
  return started;
}

function offsetsUpTo(end: number, from = 0): bigint[] {
  return Array.from({ length: end - from }, (_, number) => BigInt(from + number));
}

async function untilRead(count: number, ...members: readonly RecordedMember[]): Promise<void> {
  await waitFor(`${count} records to be read`, () => members.reduce((sum, { told }) => sum + told.records.length, 0) >= count, { timeoutMs: factTimeoutMs });
}

/** What Kafka allows and the port does not offer: to commit anything, and to cut off the beginning of a log. */
async function pastThePort<T>(call: (connection: Awaited<ReturnType<ConnectionPool['get']>>) => Promise<T>): Promise<T> {
  const pool = new ConnectionPool('port-test', { connectTimeout: 5_000, requestTimeout: patientMs });
  try {
    return await call(await pool.get(parseBroker(cluster.bootstrap)));
  } finally {
    await pool.close();
  }
}

async function commitFor(topic: string, offsets: readonly bigint[]): Promise<void> {
  const partitions = offsets.map((committedOffset, partitionIndex) => ({ partitionIndex, committedOffset, committedLeaderEpoch: -1, committedMetadata: null }));
  await pastThePort((broker) => offsetCommitV8.api.async(broker, groupOf(topic), -1, '', null, [{ name: topic, partitions }]));
}

async function deleteRecordsBefore(topic: string, partitionIndex: number, offset: bigint): Promise<void> {
  await pastThePort((broker) => deleteRecordsV2.api.async(broker, [{ name: topic, partitions: [{ partitionIndex, offset }] }], patientMs));
}

/** Offset and metadata as the group has them, in order. */
async function committedBy(groupId: string, topic: string): Promise<readonly (readonly [offset: bigint, metadata: string | null | undefined])[]> {
  const wanted = { groupId, memberId: null, memberEpoch: -1, topics: [{ name: topic, partitionIndexes: [0, 1, 2] }] };
  const { groups } = await pastThePort((broker) => offsetFetchV9.api.async(broker, [wanted], false));
  return (groups[0]?.topics[0]?.partitions ?? []).map(({ committedOffset, metadata }) => [committedOffset, metadata] as const);
}

/** One member after the other, as the dispatcher does it: a new one when one is lost. */
class Successors {
  readonly all: RecordedMember[] = [];
  readonly #start: () => Promise<RecordedMember>;

  constructor(start: () => Promise<RecordedMember>) {
    this.#start = start;
  }

  /** @param fact of the records of each topic that any of them read, once each */
  async until(description: string, fact: (read: (topic: string) => readonly string[]) => boolean): Promise<void> {
    const read = (topic: string): string[] => [...new Set(this.all.flatMap(({ told }) => told.records.filter((entry) => entry.topic === topic).map(({ value }) => String(value))))];
    const check = async (): Promise<boolean> => {
      const last = this.all.at(-1);
      if (last === undefined || last.told.lost.length > 0) this.all.push(await this.#start());
      return fact(read);
    };
    await waitFor(description, check, { timeoutMs: patientMs + factTimeoutMs });
  }

  close(): Promise<void> {
    return this.all.at(-1)!.member.close();
  }
}

describe.each(consumerClients)('the %s group member', (name) => {
  const admin = () => createKafkaClient(connection()).createAdmin();
  const startMember = (topic: string | readonly string[], change: MemberChange = {}) => startAnyMember(topic, { consumerClient: name, ...change });

  it('C1 says that it is lost when a handler throws', async () => {
    const topic = await createTopic(1);
    const onRecords = (): void => {
      throw new TypeError('a bug');
    };
    const started = await startMember(topic, { onRecords });
    await produceTexts(topic, 0, ['poison']);
    await waitFor('the loss to be told', () => started.told.lost.length > 0, { timeoutMs: factTimeoutMs });
    expect(started.told.lost[0]?.message).toContain('a bug');
    expect(started.told.records).toHaveLength(1);
    await started.member.close();
  });

  it('C2 C3 a paused partition holds up no other one, and loses and repeats nothing when it goes on', async () => {
    const topic = await createTopic(3);
    const paused = { topic, partition: 0 };
    for (const partition of [0, 1, 2]) await produceTexts(topic, partition, numbered(5));
    const started = await startMember(topic);
    await untilRead(15, started);
    started.member.pause(paused);
    for (let turn = 1; turn <= 4; turn++) {
      for (const partition of [0, 1, 2]) await produceTexts(topic, partition, numbered(5));
      await waitFor('the others to go on', () => started.offsets(1).length + started.offsets(2).length === 10 + turn * 10, { timeoutMs: factTimeoutMs });
    }
    expect(started.offsets(0)).toEqual(offsetsUpTo(5));
    started.member.resume(paused);
    await untilRead(75, started);
    for (const partition of [0, 1, 2]) expect(started.offsets(partition)).toEqual(offsetsUpTo(25));
    await started.member.close();
  });

  it('C3 a pause holds for records of the same fetch that were not handed over yet', async () => {
    const topic = await createTopic(3);
    for (const partition of [0, 1, 2]) await produceTexts(topic, partition, numbered(5));
    const others = (partition: number) => [0, 1, 2].filter((other) => other !== partition).map((other) => ({ topic, partition: other }));
    let firstPartition = -1;
    const onRecords = (partition: number, member: GroupMember): void => {
      if (firstPartition >= 0) return;
      firstPartition = partition;
      for (const other of others(partition)) member.pause(other);
    };
    const started = await startMember(topic, { onRecords });
    await untilRead(5, started);
    await produceTexts(topic, firstPartition, ['one more']);
    await untilRead(6, started);
    expect(new Set(started.told.records.map((entry) => entry.partition))).toEqual(new Set([firstPartition]));
    for (const other of others(firstPartition)) started.member.resume(other);
    await untilRead(16, started);
    for (const other of others(firstPartition)) expect(started.offsets(other.partition)).toEqual(offsetsUpTo(5));
    await started.member.close();
  });

  it('C4 keeps a partition through members that come and go: no record of it twice, none out of order, none missing', async () => {
    const topic = await createTopic(6);
    const producer = createKafkaClient(connection()).createProducer();
    const pump = createPump(producer);
    await pump.partitionCount(topic);
    let produced = 0;
    let isLoading = true;
    const appendNext = (): void => {
      if (isLoading) pump.append(topic, produced++ % 6, record('load'), Infinity, { settled: () => setImmediate(appendNext) });
    };
    for (let started = 0; started < 12; started++) appendNext();

    const joined: RecordedMember[] = [];
    const join = async (): Promise<RecordedMember> => {
      // Commits as the dispatcher does: when a rebalance begins or partitions are revoked, and before it leaves.
      const started = await startMember(topic, {
        onRebalancing: ({ commit }) => void commit().catch(() => undefined),
        onRevoking: ({ commit }) => commit(),
      });
      joined.push(started);
      return started;
    };
    const goOn = async (...still: readonly RecordedMember[]): Promise<void> => {
      const counts = still.map(({ told }) => told.records.length);
      await waitFor('records for every member', () => still.every(({ told }, index) => told.records.length > counts[index]! + 200), { timeoutMs: factTimeoutMs });
    };
    const stayer = await join();
    await goOn(stayer);
    for (let turn = 0; turn < 2; turn++) {
      const guest = await join();
      await waitFor('a share for both', () => stayer.partitions().length === 3 && guest.partitions().length === 3, { timeoutMs: factTimeoutMs });
      await goOn(stayer, guest);
      await guest.commit();
      await guest.member.close();
      await waitFor('all partitions back at the first member', () => stayer.partitions().length === 6, { timeoutMs: factTimeoutMs });
      await goOn(stayer);
    }
    isLoading = false;
    await pump.drained();
    const offsetsRead = (partition: number) => new Set(joined.flatMap(({ offsets }) => offsets(partition)));
    const stored = (await readTopic(cluster.bootstrap, topic)).map((records) => records.length);
    await waitFor('every record to be read', () => stored.every((count, partition) => offsetsRead(partition).size === count), { timeoutMs: factTimeoutMs });
    for (const { told } of joined) {
      expectKeptWhereHeldBefore(told);
      expectUnbrokenWhileKept(told);
      expect(told.lost).toEqual([]);
    }
    expect(stayer.told.assignments.flat().some(({ kept }) => kept)).toBe(true);
    await stayer.member.close();
    await producer.close();
  });

  it('C4 a partition that comes back later is not paused because it once was', async () => {
    const topic = await createTopic(2);
    const stayer = await startMember(topic);
    await waitFor('both partitions', () => stayer.partitions().length === 2, { timeoutMs: factTimeoutMs });
    for (const partition of [0, 1]) stayer.member.pause({ topic, partition });
    const guest = await startMember(topic);
    await waitFor('a share for both', () => stayer.partitions().length === 1 && guest.partitions().length === 1, { timeoutMs: factTimeoutMs });
    const [keptPartition] = stayer.partitions();
    const [backPartition] = guest.partitions();
    await guest.member.close();
    await waitFor('both partitions again', () => stayer.partitions().length === 2, { timeoutMs: factTimeoutMs });
    for (const partition of [0, 1]) await produceTexts(topic, partition, ['fresh']);
    await untilRead(1, stayer);
    expect(stayer.told.records.map((entry) => entry.partition)).toEqual([backPartition]);
    stayer.member.resume({ topic, partition: keptPartition! });
    await untilRead(2, stayer);
    await stayer.member.close();
  });

  it('C5 what was committed before it closes is where the next member starts, and later commits are refused aloud', async () => {
    const topic = await createTopic(2);
    for (const partition of [0, 1]) await produceTexts(topic, partition, numbered(10));
    const first = await startMember(topic);
    await untilRead(20, first);
    await first.member.commit([{ topic, partition: 0, commitOffset: 4n }, { topic, partition: 1, commitOffset: 10n }]);
    await first.member.close();
    await expect(first.member.commit([{ topic, partition: 0, commitOffset: 9n }])).rejects.toMatchObject({ code: 'CLOSED' });
    const second = await startMember(topic);
    await untilRead(6, second);
    await produceTexts(topic, 1, ['last']);
    await untilRead(7, second);
    expect(second.offsets(0)).toEqual(offsetsUpTo(10, 4));
    expect(second.offsets(1)).toEqual([10n]);
    await second.member.close();
  });

  it('C5 a commit that the group did not take is a failure', async () => {
    const topic = await createTopic(1);
    await produceTexts(topic, 0, numbered(3));
    const started = await startMember(topic);
    await untilRead(3, started);
    proxy.cut();
    await expect(started.commit()).rejects.toBeInstanceOf(Fault);
    proxy.forwardTo(brokerPort);
    expect((await admin().groupLag(groupOf(topic), topic))[0]?.commitOffset).toBeUndefined();
    await started.member.close();
  });

  it('C6 tells of a committed offset before the log, and goes on at the oldest record', async () => {
    const topic = await createTopic(2);
    for (const partition of [0, 1]) await produceTexts(topic, partition, numbered(10));
    await commitFor(topic, [2n, 2n]);
    await deleteRecordsBefore(topic, 0, 6n);
    const started = await startMember(topic);
    await untilRead(12, started);
    expect(started.told.offsetResets).toEqual([0]);
    expect(started.offsets(0)).toEqual(offsetsUpTo(10, 6));
    expect(started.offsets(1)).toEqual(offsetsUpTo(10, 2));
    await started.member.close();
  });

  it('C6 tells of a committed offset beyond the log, and goes on at the oldest record, even if it ends right after', async () => {
    const topic = await createTopic(1);
    await produceTexts(topic, 0, numbered(10));
    await commitFor(topic, [25n]);
    const first = await startMember(topic);
    await untilRead(10, first);
    expect(first.told.offsetResets).toEqual([0]);
    expect(first.offsets(0)).toEqual(offsetsUpTo(10));
    await first.member.close();
    await admin().commitInitialOffsets(groupOf(topic), topic, 'latest');
    const second = await startMember(topic);
    await untilRead(10, second);
    expect(second.offsets(0)).toEqual(offsetsUpTo(10));
    await second.member.close();
  });

  it('reads batches of Java clients in each codec', async () => {
    const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
    const topic = await createTopic(1);
    for (const codec of codecs) {
      const amount = ['--num-records', '50', '--record-size', '2000', '--throughput', '-1'];
      const properties = [`bootstrap.servers=${cluster.bootstrap}`, `compression.type=${codec}`, 'linger.ms=100', 'batch.size=200000'];
      await runKafkaTool('org.apache.kafka.tools.ProducerPerformance', ['--topic', topic, ...amount, '--command-property', ...properties]);
    }
    const started = await startMember(topic);
    await untilRead(50 * codecs.length, started);
    expect(started.told.lost).toEqual([]);
    expect(new Set(started.told.records.map((entry) => entry.value?.length))).toEqual(new Set([2000]));
    await started.member.close();
  });

  it('leaves out headers without a value, which only other clients write', async () => {
    const topic = await createTopic(1);
    const headers = new Map<Buffer, Buffer | null>([[Buffer.from('ce_null'), null], [Buffer.from('ce_id'), Buffer.from('1')]]);
    await pastThePort((broker) => produceV9.api.async(broker, -1, patientMs, [{ topic, partition: 0, value: Buffer.from('x'), headers } as never], {}));
    const started = await startMember(topic);
    await untilRead(1, started);
    expect(started.told.records[0]?.headers).toEqual([['ce_id', Buffer.from('1')]]);
    await started.member.close();
  });
});

describe.each(consumerClients)('the %s group member of several topics', (name) => {
  const startMember = (of: readonly string[], change: MemberChange = {}) => startAnyMember(of, { consumerClient: name, ...change });
  // As the dispatcher does, and gives up what the group does not take: offsets of a topic that is gone.
  const commits: MemberChange = { onRebalancing: ({ commit }) => void commit().catch(() => undefined), onRevoking: ({ commit }) => commit().catch(() => undefined) };
  const createTopics = async (...partitions: readonly number[]): Promise<string[]> => {
    const created: string[] = [];
    for (const count of partitions) created.push(await createTopic(count));
    return created;
  };

  it('reads each in its order, and commits offsets and what goes with them for each', async () => {
    const [orders, payments] = await createTopics(2, 1);
    for (const partition of [0, 1]) await produceTexts(orders!, partition, numbered(10));
    await produceTexts(payments!, 0, numbered(20));
    const first = await startMember([orders!, payments!]);
    await untilRead(40, first);
    expect(first.assigned()).toEqual([`${orders}/0`, `${orders}/1`, `${payments}/0`]);
    for (const partition of [0, 1]) expect(first.offsets(partition, orders)).toEqual(offsetsUpTo(10));
    expect(first.offsets(0, payments)).toEqual(offsetsUpTo(20));
    expect(texts(first.told.records.filter(({ topic }) => topic === payments))).toEqual(numbered(20));
    await first.member.commit([
      { topic: orders!, partition: 0, commitOffset: 4n, metadata: 'of orders' },
      { topic: payments!, partition: 0, commitOffset: 17n, metadata: 'of payments' },
      { topic: orders!, partition: 1, commitOffset: 10n },
    ]);
    expect((await committedBy(groupOf(orders!), orders!)).slice(0, 2)).toEqual([[4n, 'of orders'], [10n, '']]);
    expect((await committedBy(groupOf(orders!), payments!)).slice(0, 1)).toEqual([[17n, 'of payments']]);
    await first.member.close();
    const second = await startMember([orders!, payments!]);
    await untilRead(9, second);
    expect([second.offsets(0, orders), second.offsets(1, orders), second.offsets(0, payments)]).toEqual([offsetsUpTo(10, 4), [], offsetsUpTo(20, 17)]);
    if (name === 'platformatic') {
      const begun = second.told.assignments.flat().filter(({ kept }) => !kept);
      expect(begun.find(({ topic, partition }) => topic === orders && partition === 0)?.metadata).toBe('of orders');
      expect(begun.find(({ topic }) => topic === payments)?.metadata).toBe('of payments');
    }
    await second.member.close();
  });

  it('a pause is of one partition of one topic, and so is what goes on', async () => {
    const [orders, payments] = await createTopics(1, 1);
    const started = await startMember([orders!, payments!]);
    for (const topic of [orders!, payments!]) await produceTexts(topic, 0, numbered(3));
    await untilRead(6, started);
    started.member.pause({ topic: orders!, partition: 0 });
    for (let turn = 1; turn <= 3; turn++) {
      for (const topic of [orders!, payments!]) await produceTexts(topic, 0, numbered(3));
      await waitFor('the other topic to go on', () => started.offsets(0, payments).length === 3 + turn * 3, { timeoutMs: factTimeoutMs });
    }
    started.member.resume({ topic: payments!, partition: 0 }); // was not paused
    expect(started.offsets(0, orders)).toEqual(offsetsUpTo(3));
    started.member.resume({ topic: orders!, partition: 0 });
    await untilRead(24, started);
    for (const topic of [orders, payments]) expect(started.offsets(0, topic)).toEqual(offsetsUpTo(12));
    await started.member.close();
  });

  it('tells of an offset outside the log for that partition of that topic alone', async () => {
    const [orders, payments] = await createTopics(1, 1);
    for (const topic of [orders!, payments!]) await produceTexts(topic, 0, numbered(10));
    for (const topic of [orders!, payments!]) await pastThePort((broker) => offsetCommitV8.api.async(broker, groupOf(orders!), -1, '', null, [{ name: topic, partitions: [{ partitionIndex: 0, committedOffset: 2n, committedLeaderEpoch: -1, committedMetadata: null }] }]));
    await deleteRecordsBefore(payments!, 0, 6n);
    const started = await startMember([orders!, payments!]);
    await untilRead(12, started);
    expect(started.told.offsetResets).toEqual([0]);
    expect([started.offsets(0, orders), started.offsets(0, payments)]).toEqual([offsetsUpTo(10, 2), offsetsUpTo(10, 6)]);
    await started.member.close();
  });

  it('two of them share the partitions of all topics, and the one takes over when the other leaves', async () => {
    const [orders, payments] = await createTopics(3, 2);
    const all = [...[0, 1, 2].map((partition) => `${orders}/${partition}`), ...[0, 1].map((partition) => `${payments}/${partition}`)];
    const produceAll = async (value: string): Promise<void> => {
      for (const [topic, count] of [[orders!, 3], [payments!, 2]] as const) for (let partition = 0; partition < count; partition++) await produceTexts(topic, partition, [value]);
    };
    const two = [await startMember([orders!, payments!], commits), await startMember([payments!, orders!], { groupId: groupOf(orders!), ...commits })];
    await waitFor('a share for both', () => two.every(({ assigned }) => [2, 3].includes(assigned().length)), { timeoutMs: factTimeoutMs });
    await waitFor('all partitions with one of them', () => two.flatMap(({ assigned }) => assigned()).sort().join() === all.join(), { timeoutMs: factTimeoutMs });
    await produceAll('for both');
    await untilRead(5, ...two);
    await two[1]!.commit();
    await two[1]!.member.close();
    await waitFor('all partitions with the one that stays', () => two[0]!.assigned().join() === all.join(), { timeoutMs: factTimeoutMs });
    await produceAll('for one');
    await untilRead(10, ...two);
    for (const entry of all) {
      const [topic, partition] = entry.split('/');
      const read = two.flatMap(({ told }) => told.records.filter((record) => record.topic === topic && record.partition === Number(partition)));
      expect(texts(read).sort()).toEqual(['for both', 'for one']);
    }
    for (const { told } of two) {
      expectKeptWhereHeldBefore(told);
      expectUnbrokenWhileKept(told);
      expect(told.lost).toEqual([]);
    }
    await two[0]!.member.close();
  });

  it('a topic that is not there yet keeps no other from being read, and is read once it is there', async () => {
    const [orders] = await createTopics(1);
    const later = newTopicName();
    const successors = new Successors(() => startMember([later, orders!], { groupId: groupOf(orders!), ...commits }));
    await produceTexts(orders!, 0, ['before']);
    await successors.until('the topic that is there', (read) => read(orders!).includes('before'));
    await createTopic(2, {}, later);
    await produceTexts(later, 1, ['new']);
    await produceTexts(orders!, 0, ['after']);
    await successors.until('both topics', (read) => read(later).includes('new') && read(orders!).includes('after'));
    // kafkajs takes up a topic at a join alone, before which it commits and leaves.
    expect(successors.all).toHaveLength(name === 'kafkajs' ? 2 : 1);
    expect(successors.all.flatMap(({ told }) => texts(told.records)).filter((text) => text === 'before')).toHaveLength(1);
    await successors.close();
  });

  it('a topic that is deleted keeps no other from being read', async () => {
    const [orders, payments] = await createTopics(1, 1);
    const successors = new Successors(() => startMember([orders!, payments!], commits));
    for (const topic of [orders!, payments!]) await produceTexts(topic, 0, ['before']);
    await successors.until('both topics', (read) => read(orders!).length + read(payments!).length === 2);
    await createKafkaClient(connection()).createAdmin().deleteTopic(payments!);
    await successors.until('the end of the deleted one', () => successors.all.at(-1)!.assigned().join() === `${orders}/0`);
    await produceTexts(orders!, 0, ['after']);
    await successors.until('the topic that is left', (read) => read(orders!).includes('after'));
    if (name === 'platformatic') expect(successors.all.flatMap(({ told }) => told.lost)).toEqual([]);
    await successors.close();
  });

  it('where not all members have the same topics yet, each partition has one reader who wants it, and nothing is read twice', async () => {
    const [orders, payments, refunds] = await createTopics(2, 2, 1);
    const of = (topic: string | undefined, count: number) => Array.from({ length: count }, (_, partition) => `${topic}/${partition}`);
    const readBy = (...who: readonly RecordedMember[]) => who.flatMap(({ assigned }) => assigned()).sort().join();
    const groupId = groupOf('changing topics');
    // The member that leads the group knows the former topics only.
    const former = await startMember([orders!, payments!], { groupId: `${groupId}-${name}`, ...commits });
    const fresh = await startMember([payments!, refunds!], { groupId: `${groupId}-${name}`, ...commits });
    const all = [...of(orders, 2), ...of(payments, 2), ...of(refunds, 1)];
    await waitFor('a reader for every partition', () => readBy(former, fresh) === all.join(), { timeoutMs: factTimeoutMs });
    expect(former.assigned()).toEqual(expect.arrayContaining(of(orders, 2)));
    expect(fresh.assigned()).toEqual(expect.arrayContaining(of(refunds, 1)));
    for (const topic of [orders!, payments!]) for (const partition of [0, 1]) await produceTexts(topic, partition, ['one']);
    await produceTexts(refunds!, 0, ['one']);
    await untilRead(5, former, fresh);
    await former.commit();
    await former.member.close();
    const last = await startMember([payments!, refunds!], { groupId: `${groupId}-${name}`, ...commits });
    await waitFor('a reader for all that is read', () => readBy(fresh, last) === [...of(payments, 2), ...of(refunds, 1)].join() && last.assigned().length > 0, { timeoutMs: factTimeoutMs });
    for (const partition of [0, 1]) await produceTexts(payments!, partition, ['two']);
    await produceTexts(refunds!, 0, ['two']);
    await untilRead(8, former, fresh, last);
    for (const entry of [...of(payments, 2), ...of(refunds, 1)]) {
      const read = [former, fresh, last].flatMap(({ told }) => told.records.filter(({ topic, partition }) => `${topic}/${partition}` === entry));
      expect(texts(read).sort()).toEqual(['one', 'two']);
    }
    for (const { told } of [former, fresh, last]) expect(told.lost).toEqual([]);
    await fresh.member.close();
    await last.member.close();
  });
});

describe('the kafkajs group member alone', () => {
  const startMember = (topic: string | readonly string[], change: MemberChange = {}) => startAnyMember(topic, { consumerClient: 'kafkajs', ...change });

  it('C1 says once that it is lost when its broker is gone, and a new one goes on at the commit', async () => {
    const topic = await createTopic(1);
    await produceTexts(topic, 0, numbered(10));
    const first = await startMember(topic, { sessionTimeoutMs: 2_000 });
    await untilRead(10, first);
    await first.commit();
    proxy.cut();
    await waitFor('the loss to be told', () => first.told.lost.length > 0, { timeoutMs: factTimeoutMs });
    proxy.forwardTo(brokerPort);
    await produceTexts(topic, 0, ['later']);
    const second = await startMember(topic);
    await untilRead(1, second);
    expect(second.offsets(0)).toEqual([10n]);
    expect(first.told.lost).toMatchObject([{ code: 'KAFKA_UNAVAILABLE', retriable: true }]);
    expect(first.offsets(0)).toEqual(offsetsUpTo(10));
    await first.member.close();
    await second.member.close();
  });

  it('C1 says once that it is lost when its broker stays silent', async () => {
    const topic = await createTopic(1);
    const started = await startMember(topic, { sessionTimeoutMs: 1_000, connection: { requestTimeoutMs: 400, connectTimeoutMs: 400 } });
    await waitFor('partitions', () => started.partitions().length === 1, { timeoutMs: factTimeoutMs });
    proxy.freeze();
    await waitFor('the loss to be told', () => started.told.lost.length > 0, { timeoutMs: factTimeoutMs });
    await started.member.close();
    expect(started.told.lost).toHaveLength(1);
  });

  it('C7 joins by the classic protocol with round-robin assignment: every change of members is a rebalance for all', async () => {
    const topic = await createTopic(2);
    const started = await startMember(topic);
    await waitFor('both partitions', () => started.partitions().length === 2, { timeoutMs: factTimeoutMs });
    const { groups } = await pastThePort((broker) => describeGroupsV5.api.async(broker, [groupOf(topic)], false));
    expect(groups).toMatchObject([{ groupState: 'Stable', protocolType: 'consumer', protocolData: 'RoundRobinAssigner', members: [{ groupInstanceId: null }] }]);
    await started.member.close();
  });

  it('says that a topic is missing where none of several is there', async () => {
    await expect(startMember([newTopicName(), newTopicName()])).rejects.toMatchObject({ code: 'TOPIC_MISSING', retriable: true });
  });

  it('C8 has two connections of its own to a broker, and leaves none behind', async () => {
    const topic = await createTopic(1);
    await waitFor('other connections to end', () => proxy.connections() === 0, { timeoutMs: factTimeoutMs });
    const started = [await startMember(topic, { groupId: 'first' }), await startMember(topic, { groupId: 'second' })];
    await produceTexts(topic, 0, ['for both']);
    await untilRead(2, ...started);
    await waitFor('connections of nobody else', () => proxy.connections() === 4, { timeoutMs: factTimeoutMs });
    for (const { member } of started) await member.close();
    await waitFor('its connections to end', () => proxy.connections() === 0, { timeoutMs: factTimeoutMs });
  });

  it('C9 says that it is lost when the group takes its heartbeats and no commits, and the next one has the partition at once', async () => {
    const topic = await createTopic(1);
    await produceTexts(topic, 0, numbered(3));
    // With a session so long the next one would have to wait for it, had this one not left.
    const first = await startMember(topic, { sessionTimeoutMs: 10_000, connection: { requestTimeoutMs: 500 } });
    await untilRead(3, first);
    const letCommitsPass = proxy.swallowCommits();
    try {
      await waitFor('the loss to be told', () => first.commit().then(() => false, () => first.told.lost.length > 0), { timeoutMs: factTimeoutMs });
    } finally {
      letCommitsPass();
    }
    expect(first.told.lost).toMatchObject([{ code: 'KAFKA_UNAVAILABLE', retriable: true, message: expect.stringContaining('heartbeats and no commits') as string }]);
    await waitFor('nobody in the group', async () => (await pastThePort((broker) => describeGroupsV5.api.async(broker, [groupOf(topic)], false))).groups[0]?.groupState === 'Empty', { timeoutMs: 5_000 });
    const second = await startMember(topic);
    await untilRead(3, second);
    await second.commit();
    expect((await committedBy(groupOf(topic), topic))[0]?.[0]).toBe(3n);
    for (const { member } of [first, second]) await member.close();
  });
});

// --- admin -----------------------------------------------------------------------------------------------------------

describe('the admin', () => {
  const admin = () => createKafkaClient(connection()).createAdmin();
  const lag = async (topic: string) => (await admin().groupLag(groupOf(topic), topic)).toSorted((a, b) => a.partition - b.partition);

  it('creates a topic once', async () => {
    const spec = { topic: 'orders', partitions: 2, replicationFactor: 1, config: { 'retention.ms': '86400000', 'max.message.bytes': '2000000' } };
    expect(await admin().createTopic(spec)).toBe('created');
    expect(await admin().createTopic({ ...spec, partitions: 5 })).toBe('exists');
    expect(await admin().describeTopic('orders')).toEqual({ partitions: 2, replicationFactor: 1, maxMessageBytes: 2_000_000, retentionMs: 86_400_000 });
  });

  it('says how many replicas were asked for, and how many brokers there are', async () => {
    const asked = admin().createTopic({ topic: 'too-many', partitions: 1, replicationFactor: 3, config: {} });
    await expect(asked).rejects.toMatchObject({ code: 'TOPIC_REJECTED', message: expect.stringContaining('3 replicas asked, 1 broker available') as string });
    expect(await admin().describeTopic('too-many')).toBeUndefined();
  });

  it('rejects a topic that cannot be, and a configuration that is none', async () => {
    const spec = { topic: 'refused', partitions: 1, replicationFactor: 1, config: {} };
    await expect(admin().createTopic({ ...spec, topic: 'not/a/name' })).rejects.toMatchObject({ code: 'TOPIC_REJECTED', retriable: false });
    await expect(admin().createTopic({ ...spec, config: { 'retention.ms': 'soon' } })).rejects.toMatchObject({ code: 'TOPIC_REJECTED', retriable: false });
  });

  it('grows a topic, and never shrinks it', async () => {
    const topic = await createTopic(2);
    await admin().growTopic(topic, 4);
    await waitFor('the new partitions', async () => (await admin().describeTopic(topic))?.partitions === 4, { timeoutMs: factTimeoutMs });
    await expect(admin().growTopic(topic, 3)).rejects.toMatchObject({ code: 'TOPIC_REJECTED', retriable: false });
  });

  it('changes the retention of a topic, and nothing else of it', async () => {
    const topic = await createTopic(1, { 'retention.ms': '60000', 'max.message.bytes': '2000' });
    await admin().setRetention(topic, 120_000);
    await waitFor('the new retention', async () => (await admin().describeTopic(topic))?.retentionMs === 120_000, { timeoutMs: factTimeoutMs });
    expect(await admin().describeTopic(topic)).toMatchObject({ maxMessageBytes: 2000 });
    await expect(admin().setRetention('never-there', 1)).rejects.toMatchObject({ name: 'Fault' });
  });

  it('deletes a topic, and says so when there is none', async () => {
    const topic = await createTopic(1);
    expect(await admin().deleteTopic(topic)).toBe('deleted');
    await waitFor('the topic to be gone', async () => (await admin().describeTopic(topic)) === undefined, { timeoutMs: factTimeoutMs });
    expect(await admin().deleteTopic(topic)).toBe('absent');
    expect(await admin().deleteTopic('never-there')).toBe('absent');
  });

  it('starts a new group at the end of the log, or at its beginning', async () => {
    const topic = await createTopic(2);
    await produceTexts(topic, 0, numbered(5));
    expect([...(await admin().commitInitialOffsets(groupOf(topic), topic, 'latest'))].sort()).toEqual([0, 1]);
    expect(await lag(topic)).toEqual([{ partition: 0, commitOffset: 5n, endOffset: 5n }, { partition: 1, commitOffset: 0n, endOffset: 0n }]);
    await admin().commitInitialOffsets('early', topic, 'earliest');
    expect((await admin().groupLag('early', topic)).find((entry) => entry.partition === 0)).toEqual({ partition: 0, commitOffset: 0n, endOffset: 5n });
  });

  it('leaves a group that has offsets as it is', async () => {
    const topic = await createTopic(1);
    await produceTexts(topic, 0, numbered(5));
    await commitFor(topic, [2n]);
    expect(await admin().commitInitialOffsets(groupOf(topic), topic, 'latest')).toEqual([]);
    expect(await lag(topic)).toEqual([{ partition: 0, commitOffset: 2n, endOffset: 5n }]);
  });

  it('starts a partition that was added later at its beginning', async () => {
    const topic = await createTopic(1);
    await admin().commitInitialOffsets(groupOf(topic), topic, 'latest');
    await admin().growTopic(topic, 2);
    await waitFor('the new partition', async () => (await admin().describeTopic(topic))?.partitions === 2, { timeoutMs: factTimeoutMs });
    await produceTexts(topic, 1, numbered(3));
    expect(await admin().commitInitialOffsets(groupOf(topic), topic, 'latest')).toEqual([1]);
    expect((await lag(topic))[1]).toEqual({ partition: 1, commitOffset: 0n, endOffset: 3n });
  });

  it('starts a new group at the first record stored at a time or later, and at the end of the log where there is none', async () => {
    const topic = await createTopic(4);
    const producer = createKafkaClient(connection()).createProducer();
    const { leaders } = await producer.topicMetadata(topic);
    const store = async (partition: number, ...timestamps: readonly number[]): Promise<void> => {
      const records = timestamps.map((timestampMs) => record(String(timestampMs), { timestampMs }));
      expect(await producer.produce(leaders[partition]!, [{ topic, partition, batch: RecordBatch.of(records) }])).toEqual([{ baseOffset: 0n }]);
    };
    const time = Date.now() - 60_000;
    await store(0, time - 2, time - 1, time, time + 1);
    await store(1, time - 2, time - 1);
    await store(2, time + 5, time + 6);
    await producer.close();
    const from = { timestampMs: time };
    expect([...(await admin().commitInitialOffsets(groupOf(topic), topic, from))].sort()).toEqual([0, 1, 2, 3]);
    expect((await lag(topic)).map(({ commitOffset }) => commitOffset)).toEqual([2n, 2n, 0n, 0n]);
    expect(await admin().commitInitialOffsets(groupOf(topic), topic, { timestampMs: time + 100 })).toEqual([]);
    await admin().growTopic(topic, 5);
    await waitFor('the new partition', async () => (await admin().describeTopic(topic))?.partitions === 5, { timeoutMs: factTimeoutMs });
    await produceTexts(topic, 4, numbered(3));
    expect(await admin().commitInitialOffsets(groupOf(topic), topic, { timestampMs: Date.now() + 3_600_000 })).toEqual([4]);
    expect((await lag(topic))[4]?.commitOffset).toBe(0n);
    await admin().commitInitialOffsets('before all time', topic, { timestampMs: -1 });
    expect((await admin().groupLag('before all time', topic)).map(({ commitOffset }) => commitOffset)).toEqual([0n, 0n, 0n, 0n, 0n]);
  });

  it('adds a topic to a group that knows others, and only while nobody is in it', async () => {
    const [known, added] = [await createTopic(1), await createTopic(1)];
    for (const topic of [known, added]) await produceTexts(topic, 0, numbered(3));
    await admin().commitInitialOffsets(groupOf(known), known, 'earliest');
    const started = await startAnyMember(known);
    await untilRead(3, started);
    await expect(admin().commitInitialOffsets(groupOf(known), added, 'latest')).rejects.toMatchObject({ code: 'KAFKA_REFUSED', retriable: true });
    await started.member.close();
    expect(await admin().commitInitialOffsets(groupOf(known), added, 'latest')).toEqual([0]);
    expect((await admin().groupLag(groupOf(known), added))[0]?.commitOffset).toBe(3n);
  });

  it('says that there is no topic to begin in', async () => {
    for (const from of ['latest', 'earliest', { timestampMs: 0 }] as const) {
      await expect(admin().commitInitialOffsets('nowhere', 'never-there', from)).rejects.toMatchObject({ code: 'TOPIC_MISSING', retriable: true });
    }
  });

  it('changes nothing of a group that is in use', async () => {
    const topic = await createTopic(1);
    await produceTexts(topic, 0, numbered(3));
    const started = await startAnyMember(topic);
    await untilRead(3, started);
    await expect(admin().commitInitialOffsets(groupOf(topic), topic, 'latest')).rejects.toMatchObject({ code: 'KAFKA_REFUSED', retriable: true });
    expect((await lag(topic))[0]?.commitOffset).toBeUndefined();
    await started.commit();
    expect(await admin().commitInitialOffsets(groupOf(topic), topic, 'latest')).toEqual([]);
    await started.member.close();
  });

  it('deletes a group when nobody is in it, and says so when there is none', async () => {
    const topic = await createTopic(1);
    await produceTexts(topic, 0, ['one']);
    const started = await startAnyMember(topic);
    await untilRead(1, started);
    await started.commit();
    await expect(admin().deleteGroup(groupOf(topic))).rejects.toMatchObject({ retriable: true, message: expect.stringContaining('NON_EMPTY_GROUP') as string });
    await started.member.close();
    expect(await admin().deleteGroup(groupOf(topic))).toBe('deleted');
    expect(await admin().deleteGroup(groupOf(topic))).toBe('absent');
    expect((await lag(topic))[0]?.commitOffset).toBeUndefined();
  });

  it('looks at one topic, and deletes one, without being told of all others', async () => {
    const topics = await Promise.all([createTopic(1), createTopic(1)]);
    const others = async (): Promise<void> => {
      for (let index = 0; index < 30; index++) await admin().createTopic({ topic: newTopicName(), partitions: 1, replicationFactor: 1, config: {} });
    };
    const answered = async (call: () => Promise<unknown>): Promise<number> => {
      await waitFor('connections of nobody else', () => proxy.connections() === 0, { timeoutMs: factTimeoutMs });
      const before = proxy.answeredBytes();
      await call();
      return proxy.answeredBytes() - before;
    };
    const few = [await answered(() => admin().describeTopic(topics[0])), await answered(() => admin().deleteTopic(topics[0]))];
    await others();
    const many = [await answered(() => admin().describeTopic(topics[1])), await answered(() => admin().deleteTopic(topics[1]))];
    expect(Math.max(...few.map((bytes, index) => Math.abs(bytes - many[index]!)))).toBeLessThan(30);
  });

  it('leaves no connections behind', async () => {
    await admin().describeTopic('orders');
    await waitFor('its connections to end', () => proxy.connections() === 0, { timeoutMs: factTimeoutMs });
  });
});
