/**
 * The limit for a delay: one process that produces records one by one and reads them back through the same clients as
 * the services, with nothing in between.
 */
import { performance } from 'node:perf_hooks';
import { createKafkaClient } from '@knative-kafka/common/io';
import { waitFor } from '@knative-kafka/local-cluster';
import { eventBody, eventHeaders } from '../core/bench-event.ts';
import { Histogram, type HistogramText } from '../core/histogram.ts';
import { childOptions, exitOnError, tell } from '../io/child.ts';

export interface FetchProbeOptions {
  readonly bootstrap: string;
  readonly topic: string;
  readonly groupId: string;
  readonly fetchBytes: number;
  /** Records per second. */
  readonly rate: number;
  readonly skip: number;
  readonly records: number;
}

export interface FetchProbeResult {
  /** From the call that produces. */
  readonly produceToArrival: HistogramText;
  readonly produceToAck: HistogramText;
  /** 0 where the record arrived first. */
  readonly ackToArrival: HistogramText;
}

interface Times {
  readonly produced: number;
  acknowledged?: number;
  arrived?: number;
}

const patienceMs = 15_000;

async function run({ bootstrap, topic, groupId, fetchBytes, rate, skip, records }: FetchProbeOptions): Promise<void> {
  const kafka = createKafkaClient({ brokers: bootstrap.split(','), clientId: 'bench-fetch-probe', requestTimeoutMs: 10_000, connectTimeoutMs: 3_000 });
  const times = new Map<number, Times>();
  const broken = Promise.withResolvers<never>();
  let isAssigned = false;
  let arrived = 0;
  const member = kafka.createGroupMember({
    groupId,
    topic,
    fetchBytesPerPartition: fetchBytes,
    sessionTimeoutMs: 10_000,
    revokeTimeoutMs: 1_000,
    handlers: {
      rebalancing: () => undefined,
      revoking: () => Promise.resolve(),
      assigned: () => (isAssigned = true),
      offsetReset: () => undefined,
      lost: (fault) => broken.reject(fault),
      records: (_partition, incoming) => {
        const now = performance.now();
        for (const { key } of incoming) {
          const entry = times.get(Number(key));
          if (entry === undefined) continue;
          entry.arrived = now;
          arrived++;
        }
      },
    },
  });
  const producer = kafka.createProducer();
  const { leaders } = await producer.topicMetadata(topic);
  await member.start();
  await Promise.race([broken.promise, waitFor('an assignment of partitions', () => isAssigned, { timeoutMs: patienceMs })]);

  const headers = named(eventHeaders(0));
  const produce = async (n: number): Promise<void> => {
    const entry: Times = { produced: performance.now() };
    times.set(n, entry);
    const partition = n % leaders.length;
    const record = { key: Buffer.from(String(n)), value: eventBody(), headers, timestampMs: Date.now() };
    const [result] = await producer.produce(leaders[partition]!, [{ topic, partition, records: [record] }]);
    if (result === undefined || 'fault' in result) broken.reject(result?.fault ?? new Error('no answer to a produce request'));
    entry.acknowledged = performance.now();
  };
  const startedAt = performance.now();
  for (let n = 0; n < skip + records; n++) {
    const waitMs = startedAt + (n * 1000) / rate - performance.now();
    if (waitMs > 0) await Promise.race([broken.promise, new Promise((resolve) => setTimeout(resolve, waitMs))]);
    void produce(n);
  }
  await Promise.race([broken.promise, waitFor(`all records: ${arrived} of ${skip + records} arrived`, () => arrived === skip + records, { timeoutMs: patienceMs })]);
  await Promise.all([member.close(), producer.close()]);

  const [produceToArrival, produceToAck, ackToArrival] = [new Histogram(), new Histogram(), new Histogram()];
  for (const [n, { produced, acknowledged, arrived: at }] of times) {
    if (n < skip || acknowledged === undefined || at === undefined) continue;
    produceToArrival.record((at - produced) * 1000);
    produceToAck.record((acknowledged - produced) * 1000);
    ackToArrival.record((at - acknowledged) * 1000);
  }
  const result: FetchProbeResult = { produceToArrival: produceToArrival.toJSON(), produceToAck: produceToAck.toJSON(), ackToArrival: ackToArrival.toJSON() };
  tell('result', result);
}

function named(flat: readonly string[]): readonly (readonly [string, string])[] {
  return Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index]!.replace(/^ce-/, 'ce_'), flat[2 * index + 1]!] as const);
}

exitOnError(run(childOptions() as FetchProbeOptions));
