/**
 * What others write into a topic that a KafkaSource reads: CloudEvents, numbered within their partition, so that a
 * Subscriber knows what is missing and whether the order was kept.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { RecordBatch, type OutgoingRecord } from '@knative-kafka/common/core';
import type { Producer } from '@knative-kafka/common/io';

export interface WriteOptions {
  readonly topic: string;
  readonly perPartition: number;
  /** Of ids; another one for each writing, because numbers begin at 0. */
  readonly prefix: string;
  /** Records of one partition that are written at a time. */
  readonly batch?: number;
  /** Between two batches of a partition. */
  readonly pauseMs?: number;
  /** Ends it early. */
  readonly signal?: AbortSignal;
  readonly onWritten?: (records: number) => void;
}

/** @returns the ids, `<prefix><partition>-<number>`, of all that Kafka has acknowledged; what it had not is in none */
export async function writeEvents(producer: Producer, { topic, perPartition, prefix, batch = 100, pauseMs = 0, signal, onWritten }: WriteOptions): Promise<ReadonlySet<string>> {
  const { leaders } = await producer.topicMetadata(topic);
  const written = new Set<string>();
  await Promise.all(leaders.map(async (leader, partition) => {
    for (let first = 0; first < perPartition && signal?.aborted !== true; first += batch) {
      const ids = Array.from({ length: Math.min(batch, perPartition - first) }, (_, index) => `${prefix}${partition}-${first + index}`);
      const [result] = await producer.produce(leader, [{ topic, partition, batch: RecordBatch.of(ids.map(eventRecord)) }]);
      if (result !== undefined && 'fault' in result) throw result.fault;
      for (const id of ids) written.add(id);
      onWritten?.(written.size);
      if (pauseMs > 0) await delay(pauseMs);
    }
  }));
  return written;
}

function eventRecord(id: string): OutgoingRecord {
  const headers = [['ce_specversion', '1.0'], ['ce_id', id], ['ce_source', '/e2e'], ['ce_type', 'test'], ['content-type', 'application/json']] as const;
  return { key: Buffer.from(id.slice(0, id.lastIndexOf('-'))), value: Buffer.from(JSON.stringify({ id })), headers, timestampMs: Date.now() };
}
