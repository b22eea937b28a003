/**
 * Kafka's own word on our record batches: its tool that dumps a log reads every record that our producer wrote, through
 * each version of the produce request, and finds nothing wrong. The broker has checked the checksums when it took them,
 * and the tool does so again.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runKafkaTool, startKafka, waitFor, type KafkaCluster } from '@knative-kafka/local-cluster';
import { Connection } from '@platformatic/kafka';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SeededRandom } from '../../core/cloudevents/seeded-random.ts';
import type { OutgoingRecord } from '../../core/kafka-record.ts';
import { encodeRecord, RecordBatch } from '../../core/record-batch.ts';
import { parseBroker } from './broker-address.ts';
import { createKafkaClient } from './client.ts';
import type { Producer } from './port.ts';
import { produceVersions } from './produce-api.ts';

const topic = 'dumped';
const factTimeoutMs = 30_000;
let dataDir: string;
let cluster: KafkaCluster;
let producer: Producer;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-dump-'));
  cluster = await startKafka({ dataDir });
  const kafka = createKafkaClient({ brokers: cluster.bootstrap.split(','), clientId: 'dump-test', requestTimeoutMs: 15_000, connectTimeoutMs: 5_000 });
  const admin = kafka.createAdmin();
  const partitions = 1 + produceVersions.length;
  await admin.createTopic({ topic, partitions, replicationFactor: 1, config: { 'retention.ms': '-1', 'segment.ms': String(2n ** 63n - 1n) } }); // one file, whatever times records have
  // Asked for their offsets, leaders answer only once they know that they lead.
  await waitFor('leaders of the topic', async () => (await admin.groupLag('none', topic)).length === partitions, { timeoutMs: factTimeoutMs });
  producer = kafka.createProducer();
  await producer.topicMetadata(topic);
});

afterAll(async () => {
  await producer.close();
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

/** What the tool says of a record, for text without line breaks or spaces. */
interface DumpedRecord {
  readonly offset: number;
  readonly time: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly headerNames: string;
  readonly text: string;
}

async function dump(partition: number): Promise<{ readonly batches: readonly string[]; readonly records: readonly DumpedRecord[] }> {
  const folder = (await readdir(dataDir, { recursive: true })).find((path) => path.endsWith(`/${topic}-${partition}`))!;
  const { stdout } = await runKafkaTool('org.apache.kafka.tools.DumpLogSegments', ['--files', join(dataDir, folder, '00000000000000000000.log'), '--print-data-log', '--deep-iteration']);
  const lines = stdout.split('\n');
  const records = lines.flatMap((line): DumpedRecord[] => {
    const found = /^\| offset: (\d+) CreateTime: (-?\d+) keySize: (-?\d+) valueSize: (-?\d+) sequence: -1 headerKeys: \[(.*?)\](.*)$/.exec(line);
    if (found === null) return [];
    const [, offset, time, keySize, valueSize, headerNames, text] = found;
    return [{ offset: Number(offset), time: Number(time), keySize: Number(keySize), valueSize: Number(valueSize), headerNames: headerNames!, text: text!.trim() }];
  });
  return { batches: lines.filter((line) => line.startsWith('baseOffset:')), records };
}

function asDumped({ key, value, headers, timestampMs }: OutgoingRecord, offset: number): DumpedRecord {
  const texts = [key === null ? [] : [`key: ${key.toString()}`], value === null ? [] : [`payload: ${value.toString()}`]].flat();
  return { offset, time: timestampMs, keySize: key?.length ?? -1, valueSize: value?.length ?? -1, headerNames: headers.map(([name]) => name).join(','), text: texts.join(' ') };
}

function randomRecord(random: SeededRandom): OutgoingRecord {
  const text = (longest: number): string => random.text(['a', 'Z', '0', '-', 'ü', '雪', 'x'.repeat(50)], longest) || 'empty';
  return {
    key: random.below(3) === 0 ? null : Buffer.from(text(3)),
    value: random.below(8) === 0 ? null : Buffer.from(random.below(20) === 0 ? 'large'.repeat(8_000) : text(40)),
    headers: Array.from({ length: random.below(8) }, () => [text(3), text(5)] as const),
    timestampMs: Date.now() - random.pick([0, 0, 1, 60_000, 30 * 86_400_000]),
  };
}

async function expectDumped(partition: number, batches: readonly (readonly OutgoingRecord[])[]): Promise<void> {
  const dumped = await dump(partition);
  expect(dumped.records).toEqual(batches.flat().map(asDumped));
  expect(dumped.batches).toHaveLength(batches.length);
  let next = 0;
  for (const [number, { length }] of batches.entries()) {
    const found = dumped.batches[number];
    expect(found).toContain(`baseOffset: ${next} lastOffset: ${(next += length) - 1} count: ${length} baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 `);
    expect(found).toMatch(/ isTransactional: false isControl: false .* magic: 2 compresscodec: none .* isvalid: true$/);
  }
}

describe('what Kafka reads in its log', () => {
  it('is every record, as it was appended', async () => {
    const random = new SeededRandom(4);
    const batches = Array.from({ length: 40 }, (_, number) => Array.from({ length: 1 + (number % 5) * 20 }, () => randomRecord(random)));
    for (const records of batches) {
      const batch = new RecordBatch();
      for (const record of records) batch.append({ ...encodeRecord(record), isValueKept: random.below(2) === 0 });
      expect(await producer.produce(1, [{ topic, partition: 0, batch }])).toMatchObject([{ baseOffset: expect.any(BigInt) }]);
    }
    await expectDumped(0, batches);
  });

  it.each(produceVersions.map((api, index) => [api.version, api, index + 1] as const))('is what came by version %d of the produce request', async (_, api, partition) => {
    const random = new SeededRandom(partition);
    const batches = [1, 50].map((count) => Array.from({ length: count }, () => randomRecord(random)));
    const connection = new Connection('dump-test');
    const { host, port } = parseBroker(cluster.bootstrap);
    await connection.connect(host, port);
    for (const records of batches) {
      const response = await api.async(connection, 10_000, [{ topic, partition, batch: RecordBatch.of(records) }]);
      expect(response.responses).toMatchObject([{ name: topic, partitionResponses: [{ index: partition, errorCode: 0 }] }]);
    }
    await connection.close();
    await expectDumped(partition, batches);
  });
});
