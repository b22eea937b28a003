/**
 * Reads a whole topic back, for tests: what Kafka has, past both adapters and without a consumer group.
 */
import { ConnectionPool, fetchV12, metadataV12 } from '@platformatic/kafka';
import { parseBroker } from './broker-address.ts';

export interface StoredRecord {
  readonly offset: bigint;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [name: Buffer, value: Buffer | null])[];
  readonly timestampMs: number;
  /** -1 where the producer was not idempotent. */
  readonly producerId: bigint;
}

const fetchBytes = 4 * 1024 * 1024;

/**
 * @param bootstrap `host:port`, joined by commas
 * @returns         all records by partition number, in the order stored
 */
export async function readTopic(bootstrap: string, topic: string): Promise<readonly (readonly StoredRecord[])[]> {
  const pool = new ConnectionPool('topic-reader', { connectTimeout: 5_000, requestTimeout: 30_000 });
  try {
    const first = await pool.getFirstAvailable(bootstrap.split(',').map(parseBroker));
    const { brokers, topics } = await metadataV12.api.async(first, [topic], false, false);
    const leaders = new Map(topics[0]?.partitions.map((entry) => [entry.partitionIndex, entry.leaderId]));
    return await Promise.all(
      Array.from({ length: leaders.size }, (_, partition) => {
        const leader = brokers.find((broker) => broker.nodeId === leaders.get(partition));
        if (leader === undefined) throw new Error(`topic ${topic}, partition ${partition} has no leader to read from`);
        return readPartition(pool, leader, topic, partition);
      }),
    );
  } finally {
    await pool.close();
  }
}

async function readPartition(pool: ConnectionPool, leader: { host: string; port: number }, topic: string, partition: number): Promise<readonly StoredRecord[]> {
  const connection = await pool.get(leader);
  const records: StoredRecord[] = [];
  for (let fetchOffset = 0n; ; ) {
    const wanted = { partition, currentLeaderEpoch: -1, fetchOffset, lastFetchedEpoch: -1, partitionMaxBytes: fetchBytes };
    const { responses } = await fetchV12.api.async(connection, 100, 1, fetchBytes, 0, 0, -1, [{ topicId: topic, partitions: [wanted] }], [], '');
    const answer = responses[0]?.partitions[0];
    if (answer === undefined) throw new Error(`topic ${topic}, partition ${partition}: nothing in the response`);
    for (const batch of answer.records ?? []) {
      for (const { offsetDelta, timestampDelta, key, value, headers } of batch.records) {
        const offset = batch.firstOffset + BigInt(offsetDelta);
        if (offset < fetchOffset) continue; // batches come whole
        const timestampMs = Number(batch.firstTimestamp + timestampDelta);
        records.push({ offset, key, value, headers: headers as StoredRecord['headers'], timestampMs, producerId: batch.producerId });
      }
    }
    fetchOffset = (records.at(-1)?.offset ?? -1n) + 1n;
    if (fetchOffset >= answer.highWatermark) return records;
  }
}
