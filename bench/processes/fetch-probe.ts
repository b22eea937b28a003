/**
 * The limit for a delay: one process that produces records one by one and reads them back through the same clients as
 * the services, with nothing in between.
 */
import { performance } from 'node:perf_hooks';
import { RecordBatch } from '@knative-kafka/common/core';
import { waitFor } from '@knative-kafka/local-cluster';
import { eventRecord } from '../core/bench-event.ts';
import { Histogram, type HistogramText } from '../core/histogram.ts';
import { childOptions, exitOnError, tell } from '../io/child.ts';
import { connectKafka, createReader, type ReaderOptions } from '../io/kafka.ts';

export interface FetchProbeOptions extends ReaderOptions {
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

async function run(options: FetchProbeOptions): Promise<void> {
  const { bootstrap, topic, rate, skip, records } = options;
  const kafka = connectKafka(bootstrap);
  const times = new Map<number, Times>();
  const refused = Promise.withResolvers<never>();
  let arrived = 0;
  const { member, assigned, lost } = createReader(kafka, options, (incoming) => {
    const now = performance.now();
    for (const { key } of incoming) {
      const entry = times.get(Number(key));
      if (entry === undefined) continue;
      entry.arrived = now;
      arrived++;
    }
  });
  const broken = Promise.race([lost, refused.promise]);
  const producer = kafka.createProducer();
  const { leaders } = await producer.topicMetadata(topic);
  await member.start();
  await Promise.race([broken, assigned]);

  const produce = async (n: number): Promise<void> => {
    const entry: Times = { produced: performance.now() };
    times.set(n, entry);
    const partition = n % leaders.length;
    const record = { ...eventRecord(n, Date.now()), key: Buffer.from(String(n)) };
    const [result] = await producer.produce(leaders[partition]!, [{ topic, partition, batch: RecordBatch.of([record]) }]);
    if (result === undefined || 'fault' in result) refused.reject(result?.fault ?? new Error('no answer to a produce request'));
    entry.acknowledged = performance.now();
  };
  const startedAt = performance.now();
  for (let n = 0; n < skip + records; n++) {
    const waitMs = startedAt + (n * 1000) / rate - performance.now();
    if (waitMs > 0) await Promise.race([broken, new Promise((resolve) => setTimeout(resolve, waitMs))]);
    void produce(n);
  }
  await Promise.race([broken, waitFor(`all records: ${arrived} of ${skip + records} arrived`, () => arrived === skip + records, { timeoutMs: patienceMs })]);
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

exitOnError(run(childOptions() as FetchProbeOptions));
