/**
 * The dead letter topics of channels, as the dispatcher writes them and as the command reads them.
 *
 * Writing: an event ends here when neither its subscriber nor its dead letter sink took it. This is the last place, so
 * `keep` gives up for no reason but the caller's signal: Kafka away, a topic that may not be made, a record that is too
 * large for it are all tried again until somebody has mended them.
 *
 * Always true: `keep` says true only after Kafka's acknowledgement of that very record. Each call holds one record, so
 * what waits for Kafka is bounded by how many deliveries the callers have under way; there is no queue of its own.
 */
import { randomBytes } from 'node:crypto';
import { deadLetterTopicName, Fault, ProducePump, type IncomingRecord, type OutgoingRecord } from '@knative-kafka/common/core';
import { sleep, type Admin, type KafkaClient, type Logger, type Producer } from '@knative-kafka/common/io';
import { headerRoomBytes, toDeadLetterRecord, type DeadLetter } from '../core/dead-letter-record.ts';

export interface DeadLetterTopics {
  /**
   * Stores a dead letter, in the partition of its topic with the number it had in the channel's.
   *
   * @returns true once Kafka has it; false when the signal aborts, or after `close`. It may be stored even so, and is
   *          then stored twice, as everything here is at least once
   */
  keep(letter: DeadLetter, signal: AbortSignal): Promise<boolean>;
  /** What still waits gives up. */
  close(): Promise<void>;
}

export interface DeadLetterTopicsOptions {
  readonly kafka: KafkaClient;
  readonly log: Logger;
  /** Of topics made from now on; -1 keeps for ever. One that exists stays as it is. */
  readonly retentionMs: number;
  /** For metrics: a letter is stored, a try to store one has failed. */
  readonly onKept?: (letter: DeadLetter) => void;
  readonly onFailedAttempt?: (letter: DeadLetter, fault: unknown) => void;
}

export const defaultRetentionMs = 30 * 24 * 3_600_000;

const pumpLimits = {
  batchBytes: 1_000_000,
  requestBytes: 8 * 1024 * 1024,
  retryDelayMs: { first: 50, last: 1_000 },
  lingerMs: 0,
  metadataMaxAgeMs: 30_000,
};

/** After this long the topic is looked at anew: somebody may have deleted it. */
const appendTimeoutMs = 5_000;
const firstRetryDelayMs = 100;
const lastRetryDelayMs = 5_000;
/** A caller that gives up while a record is on its way waits this long for the answer, and spares the topic a duplicate. */
const lastAnswerMs = 1_000;
/** Brokers learn of a new topic one after the other. */
const newTopicTimeoutMs = 10_000;
const newTopicPollMs = 50;

export function createDeadLetterTopics(options: DeadLetterTopicsOptions): DeadLetterTopics {
  return new KeptTopics(options);
}

class KeptTopics implements DeadLetterTopics {
  readonly #options: DeadLetterTopicsOptions;
  /** Made with the first letter: most dispatchers never have one. */
  #writer: DeadLetterWriter | undefined;
  #admin: Admin | undefined;
  /** By dead letter topic: its number of partitions, asked for once by however many letters. */
  readonly #partitions = new Map<string, Promise<number>>();
  readonly #failing = new Set<string>();
  readonly #closed = new AbortController();

  constructor(options: DeadLetterTopicsOptions) {
    this.#options = options;
  }

  async keep(letter: DeadLetter, signal: AbortSignal): Promise<boolean> {
    const topic = deadLetterTopicName(letter.topic);
    const record = toDeadLetterRecord(letter);
    for (let failures = 0; ; failures++) {
      if (this.#isOver(signal)) return false;
      try {
        const stored = await unlessAborted(this.#store(letter, topic, record), signal);
        if (stored === 'aborted') return false;
        this.#tellWorking(topic);
        this.#options.onKept?.(letter);
        return true;
      } catch (error) {
        if (this.#isOver(signal)) return false;
        this.#tellFailing(topic, error);
        this.#options.onFailedAttempt?.(letter, error);
      }
      if (!(await sleep(Math.min(lastRetryDelayMs, firstRetryDelayMs * 2 ** Math.min(failures, 10)), signal))) return false;
    }
  }

  #isOver(signal: AbortSignal): boolean {
    return signal.aborted || this.#closed.signal.aborted;
  }

  /** @throws whatever kept it from being stored, for the caller to try again */
  async #store(letter: DeadLetter, topic: string, record: OutgoingRecord): Promise<void> {
    const writer = (this.#writer ??= new DeadLetterWriter(this.#options.kafka.createProducer()));
    let partitions = this.#partitions.get(topic);
    if (partitions === undefined) {
      partitions = this.#openTopic(letter, topic, writer);
      this.#partitions.set(topic, partitions);
    }
    try {
      const count = await partitions;
      await writer.append(topic, letter.partition % count, record);
    } catch (error) {
      if (this.#partitions.get(topic) === partitions) this.#partitions.delete(topic);
      throw error;
    }
  }

  /** Makes the topic where it is missing. @returns how many partitions it has */
  async #openTopic(letter: DeadLetter, topic: string, writer: DeadLetterWriter): Promise<number> {
    if (await writer.hasTopic(topic)) return writer.partitionCount(topic);
    const admin = (this.#admin ??= this.#options.kafka.createAdmin());
    const source = await admin.describeTopic(letter.topic);
    const { retentionMs, log } = this.#options;
    // The channel's topic may be gone already; what was read from it is kept all the same, with the brokers' defaults.
    const partitions = source?.partitions ?? letter.partition + 1;
    const maxMessageBytes = source === undefined ? {} : { 'max.message.bytes': String(source.maxMessageBytes + headerRoomBytes) };
    const made = await admin.createTopic({
      topic,
      partitions,
      replicationFactor: source?.replicationFactor ?? -1,
      // Compaction, which brokers may have as their default, would keep one event per key.
      config: { 'cleanup.policy': 'delete', 'retention.ms': String(retentionMs), ...maxMessageBytes },
    });
    if (made === 'created') log.info({ topic, channel: letter.channel, partitions, retentionMs }, 'dead letter topic created');
    for (const deadline = performance.now() + newTopicTimeoutMs; performance.now() < deadline; ) {
      if (await writer.hasTopic(topic)) break;
      await sleep(newTopicPollMs, this.#closed.signal);
    }
    return writer.partitionCount(topic);
  }

  #tellFailing(topic: string, error: unknown): void {
    if (this.#failing.has(topic)) return;
    this.#failing.add(topic);
    this.#options.log.warn({ topic, err: error }, 'dead letter topic cannot be written, trying until it can');
  }

  #tellWorking(topic: string): void {
    if (this.#failing.delete(topic)) this.#options.log.info({ topic }, 'dead letter topic can be written again');
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.allSettled([this.#writer?.close(), this.#admin?.close()]);
  }
}

/** Waits for the work, or for the signal and then a moment longer. @throws what the work throws, but not after the signal */
async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<'done' | 'aborted'> {
  const late = Promise.withResolvers<'aborted'>();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => late.resolve('aborted'), lastAnswerMs);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work.then(() => 'done' as const), late.promise]);
  } catch (error) {
    if (signal.aborted) return 'aborted';
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
  }
}

/** Appends single records to dead letter topics; many at a time share requests. */
export class DeadLetterWriter {
  readonly #producer: Producer;
  readonly #pump: ProducePump;

  /** @param producer closed with this writer */
  constructor(producer: Producer) {
    this.#producer = producer;
    this.#pump = new ProducePump(
      {
        topicMetadata: (topic) => producer.topicMetadata(topic),
        produce: (leader, batches) => producer.produce(leader, batches),
        now: () => performance.now(),
        after: (delayMs, run) => void setTimeout(run, delayMs),
        defer: (run) => void setImmediate(run),
      },
      pumpLimits,
    );
  }

  /** Asks the cluster. @throws Fault of `topicMetadata` other than TOPIC_MISSING */
  async hasTopic(topic: string): Promise<boolean> {
    try {
      return (await this.#producer.topicMetadata(topic)).leaders.length > 0;
    } catch (error) {
      if (error instanceof Fault && error.code === 'TOPIC_MISSING') return false;
      throw error;
    }
  }

  /** @throws Fault of `topicMetadata` */
  async partitionCount(topic: string): Promise<number> {
    return this.#pump.partitionCount(topic);
  }

  /**
   * Resolves once Kafka has acknowledged the record.
   * @throws Fault; after DEADLINE_EXCEEDED it may be stored all the same
   */
  append(topic: string, partition: number, record: OutgoingRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pump.append(topic, partition, record, performance.now() + appendTimeoutMs, { settled: (fault) => (fault === undefined ? resolve() : reject(fault)) });
    });
  }

  async close(): Promise<void> {
    this.#pump.abandon(new Fault('CLOSED', 'the writer of dead letters is closed', { retriable: false }));
    await this.#pump.drained();
    await this.#producer.close();
  }
}

// --- reading ---------------------------------------------------------------------------------------------------------

/** The consumer group of those who send the events of a dead letter topic again. */
export function redriveGroupId(topic: string): string {
  return `${topic}.redrive`;
}

/** The records of a partition that are looked at: from `start` up to and not including `end`. */
export interface PartitionRange {
  readonly partition: number;
  readonly start: bigint;
  readonly end: bigint;
}

export const readerOptions = { fetchBytesPerPartition: 1024 * 1024, sessionTimeoutMs: 10_000, revokeTimeoutMs: 10_000 };
/** How long a coordinator may take to be there: in a new cluster its topic is made first. */
const coordinatorTimeoutMs = 30_000;
const coordinatorPollMs = 250;

/** Does what the cluster refuses only for now, until it no longer does. @throws the last Fault */
export async function patiently<T>(act: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (const deadline = performance.now() + coordinatorTimeoutMs; ; ) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof Fault) || !error.retriable || performance.now() > deadline) throw error;
      if (!(await sleep(coordinatorPollMs, signal))) throw error;
    }
  }
}

/**
 * What of a dead letter topic is to be read: all that is stored now, but for what is known to be settled by the offsets
 * that were committed when it was last redriven.
 */
export async function openRanges(admin: Admin, topic: string, signal: AbortSignal): Promise<readonly PartitionRange[]> {
  return withOwnGroup(admin, topic, signal, async (groupId) => {
    const [stored, redriven] = [await admin.groupLag(groupId, topic), await admin.groupLag(redriveGroupId(topic), topic)];
    const committed = new Map(redriven.map((lag) => [lag.partition, lag.commitOffset ?? 0n]));
    return stored.map(({ partition, commitOffset: oldest = 0n, endOffset }) => {
      const settledUpTo = committed.get(partition) ?? 0n;
      // Beyond the end it belongs to an earlier topic of the name.
      const start = settledUpTo > oldest && settledUpTo <= endOffset ? settledUpTo : oldest;
      return { partition, start, end: endOffset };
    });
  });
}

/** Runs something with a consumer group that is nobody else's and begins at the oldest records. */
async function withOwnGroup<T>(admin: Admin, topic: string, signal: AbortSignal, act: (groupId: string) => Promise<T>): Promise<T> {
  const groupId = `${topic}.read-${randomBytes(6).toString('hex')}`;
  await patiently(() => admin.commitInitialOffsets(groupId, topic, 'earliest'), signal);
  try {
    return await act(groupId);
  } finally {
    // Left behind, its offsets would expire by themselves.
    await admin.deleteGroup(groupId).catch(() => undefined);
  }
}

/**
 * Reads ranges to their ends, without a trace in the cluster and beside anybody else who reads.
 *
 * @param onRecord called for each record, in the order of its partition
 * @throws Fault when the cluster does not go on
 */
export async function readRanges(kafka: KafkaClient, admin: Admin, topic: string, ranges: readonly PartitionRange[], signal: AbortSignal, onRecord: (partition: number, record: IncomingRecord) => void): Promise<void> {
  const open = new Map(ranges.filter(({ start, end }) => start < end).map((range) => [range.partition, range]));
  if (open.size === 0) return;
  await withOwnGroup(admin, topic, signal, async (groupId) => {
    const done = Promise.withResolvers<undefined>();
    const onAbort = (): void => done.reject(new Fault('CLOSED', 'reading was given up', { retriable: false }));
    signal.addEventListener('abort', onAbort, { once: true });
    const finish = (partition: number): void => {
      open.delete(partition);
      if (open.size === 0) done.resolve(undefined);
    };
    const member = kafka.createGroupMember({
      ...readerOptions,
      groupId,
      topics: [topic],
      handlers: {
        rebalancing: () => undefined,
        revoking: () => Promise.resolve(),
        assigned: () => undefined,
        records: ({ partition }, records) => {
          const range = open.get(partition);
          if (range === undefined) return;
          for (const record of records) {
            if (record.offset >= range.start && record.offset < range.end) onRecord(partition, record);
          }
          if ((records.at(-1)?.offset ?? -1n) + 1n >= range.end) finish(partition);
          // Where it goes on there is nothing that is wanted.
          if (!open.has(partition)) member.pause({ topic, partition });
        },
        // Retention has taken what was to be read; whether all of it, the oldest that is left tells.
        offsetReset: ({ partition }) => {
          void openRanges(admin, topic, signal).then((now) => {
            const end = open.get(partition)?.end;
            if (end !== undefined && (now.find((range) => range.partition === partition)?.start ?? 0n) >= end) finish(partition);
          }, done.reject);
        },
        lost: done.reject,
      },
    });
    try {
      await Promise.all([member.start(), done.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      await member.close();
    }
  });
}
