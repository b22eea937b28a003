/**
 * The producer on kafkajs, the other choice: one send for each partition, and a new client where one stays broken.
 */
import { performance } from 'node:perf_hooks';
import kafkajs, { type Producer as KafkajsProducerClient, type RecordMetadata } from 'kafkajs';
import { Fault } from '../../core/fault.ts';
import type { IncomingRecord, ProduceResult, TopicMetadata } from '../../core/kafka-record.ts';
import type { PartitionBatch } from '../../core/record-batch.ts';
import { crc32c } from './crc32c.ts';
import { brokerAnswer, faultOf, faultOfErrorCode } from './faults.ts';
import { createClient, endClient, innerRetries, Sockets, withAdmin, within } from './kafkajs-client.ts';
import type { ConnectionSource, KafkaConnection, Producer } from './port.ts';
import { readBatches } from './record-batches.ts';

const { Partitioners } = kafkajs;

/** A metadata answer is small; whoever needs it asks again, and then maybe another broker. */
const metadataTimeoutMs = 3_000;
/** No success for this long, and the client is given up for a new one (rule P9). */
const renewAfterMs = 15_000;

interface ProducerGeneration {
  /** The settings it was made by. */
  readonly of: KafkaConnection;
  readonly producer: KafkajsProducerClient;
  readonly sockets: Sockets;
  readonly ready: Promise<void>;
  readonly since: number;
  inFlight: number;
}

export function createKafkajsProducer(source: ConnectionSource): Producer {
  return new KafkajsProducer(source);
}

class KafkajsProducer implements Producer {
  readonly #source: ConnectionSource;
  #generation: ProducerGeneration | undefined;
  #lastSuccess = performance.now();
  #isClosed = false;

  constructor(source: ConnectionSource) {
    this.#source = source;
  }

  async ping(): Promise<void> {
    // A connection asks for the broker's versions, which is an answer. The cluster's metadata would be an answer about
    // all topics, and a failure while any partition of any topic has no leader.
    await withAdmin(this.#source(), 'connection to the cluster', () => Promise.resolve());
  }

  async topicMetadata(topic: string): Promise<TopicMetadata> {
    const settings = this.#source();
    const options = { ...settings, requestTimeoutMs: Math.min(settings.requestTimeoutMs, metadataTimeoutMs) };
    const { topics } = await withAdmin(options, `metadata of topic ${topic}`, (admin) => admin.fetchTopicMetadata({ topics: [topic] }), innerRetries);
    const found = topics.find((candidate) => candidate.name === topic);
    if (found === undefined) throw new Fault('KAFKA_PROTOCOL', `metadata of topic ${topic}: not in the answer`, { retriable: true });
    const leaders: number[] = Array.from({ length: found.partitions.length }, () => -1);
    for (const partition of found.partitions) leaders[partition.partitionId] = partition.leader;
    return { leaders };
  }

  produce(_leader: number, batches: readonly PartitionBatch[]): Promise<readonly ProduceResult[]> {
    // Rule P2: one send, one partition. A send over several is what loses records when a leader moves.
    return Promise.all(batches.map((batch) => this.#send(batch)));
  }

  async #send(batch: PartitionBatch): Promise<ProduceResult> {
    const { topic, partition } = batch;
    const doing = `produce to ${topic}/${partition}`;
    if (this.#isClosed) return { fault: new Fault('CLOSED', 'the producer is closed', { retriable: false }) };
    let generation: ProducerGeneration;
    try {
      generation = this.#current();
    } catch (error) {
      return { fault: faultOf(error, doing) };
    }
    generation.inFlight++;
    try {
      await generation.ready;
      const answers = await generation.producer.send({ topic, acks: -1, timeout: generation.of.requestTimeoutMs, messages: messagesOf(batch) });
      const result = resultOf(batch, answers, doing);
      if ('baseOffset' in result) this.#lastSuccess = performance.now();
      return result;
    } catch (error) {
      const fault = faultOf(error, doing);
      if (fault.retriable && (isBroken(error) || performance.now() - Math.max(this.#lastSuccess, generation.since) > renewAfterMs)) this.#retire(generation);
      return { fault };
    } finally {
      generation.inFlight--;
      if (generation !== this.#generation && generation.inFlight === 0) void endClient(generation.producer, generation.sockets);
    }
  }

  #current(): ProducerGeneration {
    const of = this.#source();
    if (this.#generation !== undefined && this.#generation.of !== of) {
      const { producer, sockets, inFlight } = this.#generation;
      this.#generation = undefined;
      if (inFlight === 0) void endClient(producer, sockets); // else by the last send
    }
    if (this.#generation === undefined) {
      const sockets = new Sockets();
      // With each retry of its connection, not of a send, a client goes on to the next bootstrap server.
      const client = createClient(of, sockets, { initialRetryTime: 50, retries: of.brokers.length - 1 });
      // Rule P6: not idempotent. Rule P1: every message names its partition, so the partitioner is never asked.
      const producer = client.producer({ allowAutoTopicCreation: false, idempotent: false, retry: innerRetries, createPartitioner: Partitioners.DefaultPartitioner });
      const generation: ProducerGeneration = { of, producer, sockets, ready: within(of.connectTimeoutMs, producer.connect()), since: performance.now(), inFlight: 0 };
      generation.ready.catch(() => this.#retire(generation));
      this.#generation = generation;
    }
    return this.#generation;
  }

  #retire(generation: ProducerGeneration): void {
    if (this.#generation === generation) this.#generation = undefined;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const generation = this.#generation;
    this.#generation = undefined;
    if (generation?.inFlight === 0) await endClient(generation.producer, generation.sockets);
  }
}

/**
 * Whether a failure has left the client broken (rule P9). Those that are not of kafkajs's own kinds do so for good. And
 * after a request without an answer kafkajs goes on with the connection, and may ask the silent broker for metadata.
 */
function isBroken(error: unknown): boolean {
  const isForeign = error instanceof Error && !error.name.startsWith('KafkaJS');
  return isForeign || (brokerAnswer(error) === undefined && faultOf(error, '').code === 'KAFKA_TIMEOUT');
}

/** What the response says of the batch (rule P4): a resolved promise is not an acknowledgement, the partition's own entry is. */
export function resultOf({ topic, partition }: PartitionBatch, answers: readonly RecordMetadata[], doing: string): ProduceResult {
  const answer = answers.find((entry) => entry.topicName === topic && entry.partition === partition);
  if (answer !== undefined && answer.errorCode !== 0) return { fault: faultOfErrorCode(answer.errorCode, doing) };
  const baseOffset = BigInt(answer?.baseOffset ?? -1);
  if (baseOffset >= 0n) return { baseOffset };
  return { fault: new Fault('KAFKA_PROTOCOL', `${doing}: missing in the response`, { retriable: true }) };
}

/** kafkajs encodes messages by itself, so they are taken out of the batch again. */
function messagesOf({ partition, batch }: PartitionBatch) {
  const { records, error } = readBatches(Buffer.concat(batch.finish(crc32c)), 0n, []);
  if (error !== undefined) throw new Error('a batch of ours cannot be read', { cause: error });
  return records.map((record) => toMessage(record, partition));
}

function toMessage(record: IncomingRecord, partition: number) {
  // Without a prototype, because senders choose the names: "constructor" is one like any other. What an object cannot
  // keep is the place of a repeated name (rule P7): its values stay in order, and come where the first one was.
  const headers = Object.create(null) as Record<string, Buffer | Buffer[]>;
  for (const [name, value] of record.headers) {
    const earlier = headers[name];
    if (earlier === undefined) headers[name] = value;
    else headers[name] = Array.isArray(earlier) ? [...earlier, value] : [earlier, value];
  }
  return { key: record.key, value: record.value, headers, partition, timestamp: String(record.timestampMs) };
}
