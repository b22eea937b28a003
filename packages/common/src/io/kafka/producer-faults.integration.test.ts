/**
 * Both producers under load while a real cluster of three brokers fails: leaders moved by elections, a broker killed
 * and started again, a broker stopped with SIGSTOP and continued.
 *
 * What is promised: every acknowledged event is in the topic, in each partition in the order in which it was appended.
 * Events may be there twice (rule P6); how often is printed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startKafka, waitFor, type KafkaCluster } from '@knative-kafka/local-cluster';
import { murmur2 } from '@platformatic/kafka';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Fault } from '../../core/fault.ts';
import type { OutgoingRecord } from '../../core/kafka-record.ts';
import { ProducePump } from '../../core/produce-pump.ts';
import { RecordBatch } from '../../core/record-batch.ts';
import { createKafkaClient, type ProducerClient } from './client.ts';
import { ClusterObserver } from './cluster-observer.ts';
import type { KafkaClient, KafkaConnection, Producer } from './port.ts';
import { readTopic } from './topic-reader.ts';

const partitionCount = 6;
const outstandingEvents = 1_000;
/** How far the load goes on before, between and after the steps of a fault; together at least `leastEvents`. */
const stretch = 7_000;
const leastEvents = 20_000;
const factTimeoutMs = 60_000;
const clients = ['platformatic', 'kafkajs'] as const satisfies readonly ProducerClient[];

let dataDir: string;
let cluster: KafkaCluster;
let observer: ClusterObserver;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-faults-'));
  cluster = await startKafka({ dataDir, brokers: 3 });
  observer = new ClusterObserver(cluster);
});

afterAll(async () => {
  await observer.close();
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

describe.each(clients)('the %s producer loses no acknowledged event and keeps the order', (name) => {
  it('while elections move the leaders', async () => {
    const { topic, load } = await startLoad(name, 'elections');
    const moves = 4;
    for (let move = 1; move <= moves; move++) {
      await load.reach((leastEvents / moves) * move - outstandingEvents);
      const before = await observer.leaders(topic);
      await observer.electOtherLeaders(topic);
      const after = await observer.leaders(topic);
      expect(after.filter((leader, partition) => leader !== before[partition])).toHaveLength(partitionCount);
    }
    await load.goOn(stretch);
    await expectAllStored(await load.stop(), `${name}, leaders moved`, topic);
  });

  it('while a broker is killed and comes back', async () => {
    const { topic, load } = await startLoad(name, 'kill');
    const victim = cluster.brokers[0]!; // the first bootstrap server, which clients would ask first
    await load.goOn(stretch);
    expect(await observer.leaders(topic)).toContain(victim.id);
    await victim.kill();
    await load.goOn(stretch);
    await victim.start();
    await observer.untilAllInSync(topic);
    await load.goOn(stretch);
    await expectAllStored(await load.stop(), `${name}, broker killed`, topic);
  });

  it('while a broker stands still and goes on', async () => {
    const { topic, kafka, load } = await startLoad(name, 'freeze');
    const victim = cluster.brokers[0]!;
    await load.goOn(stretch);
    expect(await observer.leaders(topic)).toContain(victim.id);
    victim.freeze();
    try {
      await waitFor('the leaders to move away from the broker that stands still', async () => !(await observer.leaders(topic, victim)).includes(victim.id), { timeoutMs: factTimeoutMs });
      await load.goOn(stretch);
      await expectUsable(kafka, topic);
    } finally {
      victim.thaw();
    }
    await observer.untilAllInSync(topic);
    await load.goOn(stretch);
    await expectAllStored(await load.stop(), `${name}, broker stood still`, topic);
  });
});

describe('while a broker is down', () => {
  const strictTopic = 'strict';
  const victim = () => cluster.brokers[0]!;

  beforeAll(async () => {
    const admin = createKafkaClient(connection()).createAdmin();
    await admin.createTopic({ topic: strictTopic, partitions: 1, replicationFactor: 3, config: { 'min.insync.replicas': '3' } });
    await admin.createTopic({ topic: 'single-replica', partitions: 3, replicationFactor: 1, config: {} });
    await observer.untilAllInSync(strictTopic);
    await victim().stop();
  });

  afterAll(async () => {
    if (!victim().isRunning()) await victim().start();
  });

  it.each(clients)('P9 a new %s client is not held up by the first bootstrap server, nor by a partition of another topic without a leader', async (name) => {
    expect(await observer.leaders('single-replica', victim())).toContain(-1);
    await expectUsable(createKafkaClient(connection(), name), strictTopic);
  });

  it.each(clients)('P11 the %s producer asks for all replicas, and is told when too few are in sync', async (name) => {
    const producer = createKafkaClient(connection(), name).createProducer();
    const { leaders } = await producer.topicMetadata(strictTopic);
    // A new client may find the stopped broker first; whatever it finds, nothing is acknowledged until the leader has said why.
    const told = await waitFor('the leader to refuse', async () => {
      const [result] = await producer.produce(leaders[0]!, [{ topic: strictTopic, partition: 0, batch: RecordBatch.of([record('refused', 'key')]) }]);
      expect(result).toMatchObject({ fault: { retriable: true } });
      return result !== undefined && 'fault' in result && result.fault.message.includes('NOT_ENOUGH_REPLICAS') && result.fault;
    }, { timeoutMs: factTimeoutMs });
    expect(told.code).toBe('KAFKA_UNAVAILABLE');
    await producer.close();
  });

  it('both producers store what was refused as soon as enough replicas are back', async () => {
    const producers = clients.map((name) => createKafkaClient(connection(), name).createProducer());
    const stored = await Promise.all(
      producers.map(async (producer, index) => {
        const pump = createPump(producer);
        await pump.partitionCount(strictTopic);
        const outcome = new Promise<Fault | undefined>((resolve) => {
          pump.append(strictTopic, 0, record(clients[index]!, 'key'), performance.now() + 2 * factTimeoutMs, { settled: resolve });
        });
        await waitFor('the event to be refused once', () => pump.counters.retries > 0, { timeoutMs: factTimeoutMs });
        return { outcome };
      }),
    );
    await victim().start();
    for (const { outcome } of stored) expect(await outcome).toBeUndefined();
    const [records] = await readTopic(cluster.bootstrap, strictTopic);
    expect(new Set(records?.map((entry) => String(entry.value)))).toEqual(new Set(clients));
    for (const producer of producers) await producer.close();
  });
});

// --- load ------------------------------------------------------------------------------------------------------------

interface LoadResult {
  /** By partition: how many events were appended; their values are `partition:sequence`, from 0. */
  readonly appended: readonly number[];
  readonly acknowledged: ReadonlySet<string>;
  readonly faults: readonly Fault[];
  readonly retries: number;
  readonly requests: number;
  readonly longestPauseMs: number;
  /** The most batches of one partition that were in flight at a time. */
  readonly mostInFlight: number;
}

async function startLoad(name: ProducerClient, fault: string): Promise<{ topic: string; kafka: KafkaClient; load: Load }> {
  const kafka = createKafkaClient(connection(), name);
  const topic = `${fault}-${name}`;
  await kafka.createAdmin().createTopic({ topic, partitions: partitionCount, replicationFactor: 3, config: { 'min.insync.replicas': '2' } });
  await observer.untilAllInSync(topic);
  const load = new Load(kafka.createProducer(), topic);
  await load.start();
  return { topic, kafka, load };
}

/** Keeps a bounded number of events on their way until it is stopped. */
class Load {
  readonly #topic: string;
  readonly #producer: Producer;
  readonly #pump: ProducePump;
  readonly #inFlight = new Map<number, number>();
  readonly #appended: number[] = Array.from({ length: partitionCount }, () => 0);
  readonly #acknowledged = new Set<string>();
  readonly #faults: Fault[] = [];
  #events = 0;
  #isStopping = false;
  #lastSettledAt = 0;
  #longestPauseMs = 0;
  #mostInFlight = 0;

  constructor(producer: Producer, topic: string) {
    this.#topic = topic;
    this.#producer = producer;
    this.#pump = createPump({
      topicMetadata: (asked) => producer.topicMetadata(asked),
      produce: async (leader, batches) => {
        for (const { partition } of batches) this.#count(partition, 1);
        const results = await producer.produce(leader, batches);
        for (const { partition } of batches) this.#count(partition, -1);
        return results;
      },
    });
  }

  #count(partition: number, change: number): void {
    const inFlight = (this.#inFlight.get(partition) ?? 0) + change;
    this.#inFlight.set(partition, inFlight);
    this.#mostInFlight = Math.max(this.#mostInFlight, inFlight);
  }

  async start(): Promise<void> {
    expect(await this.#pump.partitionCount(this.#topic)).toBe(partitionCount);
    this.#lastSettledAt = performance.now();
    for (let event = 0; event < outstandingEvents; event++) this.#appendNext();
  }

  #appendNext(): void {
    const key = `key-${this.#events++ % 997}`;
    const partition = (murmur2(key) & 0x7fffffff) % partitionCount;
    const value = `${partition}:${this.#appended[partition]!++}`;
    this.#pump.append(this.#topic, partition, record(value, key), performance.now() + 2 * factTimeoutMs, {
      settled: (fault) => {
        const now = performance.now();
        this.#longestPauseMs = Math.max(this.#longestPauseMs, now - this.#lastSettledAt);
        this.#lastSettledAt = now;
        if (fault === undefined) this.#acknowledged.add(value);
        else this.#faults.push(fault);
        if (!this.#isStopping) this.#appendNext();
      },
    });
  }

  /** Waits until this many events have been acknowledged since the start. */
  async reach(events: number): Promise<void> {
    await waitFor(`${events} acknowledged events`, () => this.#acknowledged.size >= events, { timeoutMs: factTimeoutMs });
  }

  /** Waits until this many more events have been acknowledged. */
  async goOn(events: number): Promise<void> {
    await this.reach(this.#acknowledged.size + events);
  }

  async stop(): Promise<LoadResult> {
    this.#isStopping = true;
    await this.#pump.drained();
    await this.#producer.close();
    return {
      appended: this.#appended,
      acknowledged: this.#acknowledged,
      faults: this.#faults,
      ...this.#pump.counters,
      longestPauseMs: this.#longestPauseMs,
      mostInFlight: this.#mostInFlight,
    };
  }
}

async function expectAllStored(result: LoadResult, run: string, topic: string): Promise<void> {
  const partitions = await readTopic(cluster.bootstrap, topic);
  const stored = partitions.map((records) => records.map((entry) => String(entry.value)));
  const distinct = new Set(stored.flat());
  const missing = [...result.acknowledged].filter((value) => !distinct.has(value));
  const duplicates = stored.flat().length - distinct.size;
  console.log(
    `${run}: ${result.acknowledged.size} acknowledged, ${missing.length} missing, ${duplicates} duplicates, ` +
      `${result.retries} retries in ${result.requests} requests, longest pause ${Math.round(result.longestPauseMs)} ms`,
  );
  expect(result.acknowledged.size).toBeGreaterThanOrEqual(leastEvents);
  expect(missing).toEqual([]);
  expect(result.faults).toEqual([]);
  expect(result.retries).toBeGreaterThan(0); // or else the fault was none
  expect(result.mostInFlight).toBe(1); // rule P3
  for (const [partition, values] of stored.entries()) {
    const expected = Array.from({ length: result.appended[partition]! }, (_, sequence) => `${partition}:${sequence}`);
    expect([...new Set(values)]).toEqual(expected); // rules P1, P2: each value where it belongs, first copies in order
    expect(partitions[partition]?.map((entry) => entry.offset)).toEqual(values.map((_, offset) => BigInt(offset)));
  }
}

function record(value: string, key: string): OutgoingRecord {
  return { key: Buffer.from(key), value: Buffer.from(value), headers: [['ce_id', value], ['ce_type', 'test.load']], timestampMs: Date.now() };
}

function connection(): KafkaConnection {
  return { brokers: cluster.bootstrap.split(','), clientId: 'producer-faults', requestTimeoutMs: 5_000, connectTimeoutMs: 3_000 };
}

function createPump(producer: Pick<Producer, 'topicMetadata' | 'produce'>): ProducePump {
  return new ProducePump(
    {
      topicMetadata: (topic) => producer.topicMetadata(topic),
      produce: (leader, batches) => producer.produce(leader, batches),
      now: () => performance.now(),
      after: (delayMs, run) => void setTimeout(run, delayMs),
      defer: (run) => void setImmediate(run),
    },
    { batchBytes: 1_000_000, requestBytes: 8 * 1024 * 1024, lingerMs: 1, retryDelayMs: { first: 50, last: 1_000 }, metadataMaxAgeMs: 30_000 },
  );
}

/** A client that starts now, with no memory of better times. */
async function expectUsable(kafka: KafkaClient, topic: string): Promise<void> {
  const producer = kafka.createProducer();
  await waitFor('the cluster to answer', () => producer.ping().then(() => true), { timeoutMs: factTimeoutMs });
  const { leaders } = await waitFor('metadata of the topic', () => producer.topicMetadata(topic), { timeoutMs: factTimeoutMs });
  expect(leaders).not.toContain(-1);
  await producer.close();
}
