/**
 * Stores events in a topic at a fixed rate, one partition after the other, until SIGTERM, and notes when Kafka had each
 * of them. What is due leaves together, one request at a time.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeRecord, RecordBatch, type PartitionBatch } from '@knative-kafka/common/core';
import { eventRecord, sentAtHeader } from '../core/bench-event.ts';
import { childOptions, exitOnError, tell } from '../io/child.ts';
import { connectKafka } from '../io/kafka.ts';
import { machineMicroseconds } from '../io/machine-clock.ts';

export interface ProduceLoopOptions {
  readonly bootstrap: string;
  readonly topic: string;
  /** Events per second. */
  readonly rate: number;
}

export interface ProduceLoopResult {
  /** When the answer of Kafka was there, by the event's number, in microseconds of the machine's clock. */
  readonly acceptedAt: readonly number[];
}

async function run({ bootstrap, topic, rate }: ProduceLoopOptions): Promise<void> {
  const producer = connectKafka(bootstrap).createProducer();
  const { leaders } = await producer.topicMetadata(topic);
  const leader = leaders[0]!; // one broker leads all
  let isOver = false;
  process.once('SIGTERM', () => (isOver = true));
  const acceptedAt: number[] = [];
  const startedAt = performance.now();
  for (let next = 0; !isOver;) {
    const due = Math.floor(((performance.now() - startedAt) * rate) / 1000);
    if (due <= next) {
      await delay(startedAt + ((next + 1) * 1000) / rate - performance.now());
      continue;
    }
    const sentAt = machineMicroseconds().toFixed(0);
    const batches = leaders.map((_, partition): PartitionBatch => {
      const batch = new RecordBatch();
      const first = next + ((partition - next) % leaders.length + leaders.length) % leaders.length;
      for (let n = first; n < due; n += leaders.length) batch.append(encodeRecord(eventRecord(n, Date.now(), [sentAtHeader, sentAt])));
      return { topic, partition, batch };
    });
    for (const result of await producer.produce(leader, batches.filter(({ batch }) => batch.count > 0))) if ('fault' in result) throw result.fault;
    for (const now = Math.round(machineMicroseconds()); next < due; next++) acceptedAt[next] = now;
  }
  await producer.close();
  const result: ProduceLoopResult = { acceptedAt };
  tell('result', result);
}

exitOnError(run(childOptions() as ProduceLoopOptions));
