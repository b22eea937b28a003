/** Our produce requests, byte by byte against those that the library makes of the same records. */
import { produceV10, produceV11, produceV3, produceV7, produceV8, produceV9, type MessageRecord } from '@platformatic/kafka';
import { describe, expect, it } from 'vitest';
import type { OutgoingRecord } from '../../core/kafka-record.ts';
import { RecordBatch } from '../../core/record-batch.ts';
import { createProduceRequest, produceVersions } from './produce-api.ts';

const library = new Map([[3, produceV3], [7, produceV7], [8, produceV8], [9, produceV9], [10, produceV10], [11, produceV11]]);
/** As a producer without an id should have them; the library has other values where nothing is told. */
const noIds = { producerId: -1n, producerEpoch: -1, partitionLeaderEpoch: -1, sequences: { getWithDefault: () => -1 } };

interface Content { readonly topic: string; readonly partition: number; readonly records: readonly OutgoingRecord[] }

function record(value: string): OutgoingRecord {
  return { key: Buffer.from('key'), value: Buffer.from(value), headers: [['ce_id', value.slice(0, 10)], ['schlüssel', '']], timestampMs: 1_700_000_000_000 };
}

const tombstone: OutgoingRecord = { key: null, value: null, headers: [], timestampMs: 1_699_999_999_999 };
const large = 'large '.repeat(50_000);

function toMessages({ topic, partition, records }: Content): MessageRecord[] {
  return records.map(({ key, value, headers, timestampMs }) => {
    const pairs = headers.map(([name, text]) => [Buffer.from(name), Buffer.from(text)] as const);
    return { topic, partition, key, value, headers: new Map(pairs), timestamp: BigInt(timestampMs) } as MessageRecord;
  });
}

describe.each(produceVersions.map(({ version }) => version))('produce request, version %d:', (version) => {
  it.each<[string, readonly Content[]]>([
    ['one record', [{ topic: 'orders', partition: 0, records: [record('a')] }]],
    ['several partitions of a topic', [0, 1, 3].map((partition) => ({ topic: 'orders', partition, records: [record('a'), tombstone] }))],
    ['topics by turns', ['orders', 'bills', 'orders', 'bills'].map((topic, partition) => ({ topic, partition, records: [record(topic), record(topic)] }))],
    ['batches in many pieces', [
      { topic: 'bills', partition: 7, records: [record(large), record('c'), record(large)] },
      { topic: 'orders', partition: 2, records: Array.from({ length: 300 }, (_, index) => record(`value ${index}`.repeat(30))) },
    ]],
    ['a topic with a name beyond 127 bytes', [{ topic: 't'.repeat(200), partition: 1_000_000, records: [record('a')] }]],
  ])('%s', (_, content) => {
    const ours = createProduceRequest(version >= 9, 30_000, content.map(({ topic, partition, records }) => ({ topic, partition, batch: RecordBatch.of(records) })));
    const theirs = library.get(version)!.createRequest(-1, 30_000, content.flatMap(toMessages), noIds as never);
    expect(ours.buffer.equals(theirs.buffer)).toBe(true);
    expect(ours.context).toEqual(theirs.context); // waits for a response
  });
});
