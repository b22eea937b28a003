/**
 * The port on kafkajs: the other producer, the group member of the classic protocol, and the admin.
 *
 * Used the obvious way kafkajs loses and repeats acknowledged events. The rules that keep it safe stand beside the
 * lines that follow them (P1-P9, C1-C8; docs/adr/0004), and each has a test in port.integration.test.ts.
 */
import { connect, isIP, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { compressionsAlgorithms, ConnectionPool, findCoordinatorV6, offsetCommitV8 } from '@platformatic/kafka';
import kafkajs, { type Consumer, type EachBatchPayload, type ISocketFactoryArgs, type Kafka as KafkajsClient, type KafkaMessage, type logCreator, type Producer as KafkajsProducerClient, type RecordMetadata } from 'kafkajs';
import { Fault } from '../../core/fault.ts';
import type { IncomingRecord, OutgoingRecord, PartitionBatch, ProduceResult, TopicMetadata, TopicPartition } from '../../core/kafka-record.ts';
import { parseBroker } from './broker-address.ts';
import { brokerAnswer, faultOf, faultOfErrorCode } from './faults.ts';
import type { Admin, AssignedPartition, CommitOffset, GroupMember, GroupMemberOptions, KafkaConnection, PartitionLag, Producer, TopicDescription, TopicSpec } from './port.ts';

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, Partitioners, logLevel } = kafkajs;

// kafkajs brings gzip only, and a batch in another codec would end the consumer (rule C1): the other client's codecs serve.
for (const [type, name] of [[CompressionTypes.Snappy, 'snappy'], [CompressionTypes.LZ4, 'lz4'], [CompressionTypes.ZSTD, 'zstd']] as const) {
  const { compressSync, decompressSync } = compressionsAlgorithms[name];
  CompressionCodecs[type] = () => ({
    compress: (encoder: { readonly buffer: Buffer }) => Promise.resolve(compressSync(encoder.buffer)),
    decompress: (data: Buffer) => Promise.resolve(decompressSync(data)),
  });
}

/** What kafkajs logs, for the adapter to look at: its own levels are noise, some of its sentences are events. */
type OnLog = (message: string, fields: Readonly<Record<string, unknown>>) => void;

/** At most this many tries inside kafkajs; the pump, the reconcilers and the dispatcher do their own waiting (rule P5). */
const innerRetries = { retries: 0 };
/** Its first call on a new client finds no broker, learns the brokers, and works when it is repeated. */
const adminRetries = { initialRetryTime: 50, retries: 3 };
/** Few: a member whose coordinator is gone neither finds the new one nor can it commit until it joins anew (rule C1). */
const consumerRetries = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5, restartOnFailure: () => Promise.resolve(false) };

/**
 * Rotated by chance: kafkajs asks the first bootstrap server first, every time, and a client stays with one that accepts
 * connections and never answers (rule P9). The next client shall have better luck.
 */
function fromAnywhere(brokers: readonly string[]): string[] {
  const first = Math.floor(Math.random() * brokers.length);
  return [...brokers.slice(first), ...brokers.slice(0, first)];
}

/**
 * The connections of one client, to end it for good: kafkajs loses track of some when others break, and a client that is
 * closed while it still connects comes back to life with its next try.
 */
class Sockets {
  readonly #open = new Set<Socket>();
  #isEnded = false;

  /** `ssl` is null without TLS, which kafkajs's own type does not tell. */
  create({ host, port, ssl, onConnect }: Omit<ISocketFactoryArgs, 'ssl'> & { readonly ssl: ConnectionOptions | null }): Socket {
    if (this.#isEnded) throw new Error('the client has ended');
    const serverName = isIP(host) === 0 ? { servername: host } : {};
    const socket = ssl === null ? connect({ host, port }, onConnect) : connectTls({ host, port, ...serverName, ...ssl }, onConnect);
    socket.setKeepAlive(true, keepAliveMs);
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    return socket;
  }

  end(): void {
    this.#isEnded = true;
    // With an error, because kafkajs does not hear of a socket that merely closes, and keeps its timers.
    for (const socket of this.#open) socket.destroy(new Error('the client has ended'));
  }
}

const keepAliveMs = 60_000;

function createClient(options: KafkaConnection, sockets: Sockets, retry: object, onLog?: OnLog): KafkajsClient {
  const createLog: logCreator = () => ({ log }) => onLog?.(log.message, log);
  return new Kafka({
    clientId: options.clientId,
    brokers: fromAnywhere(options.brokers),
    socketFactory: (wanted) => sockets.create(wanted),
    connectionTimeout: options.connectTimeoutMs,
    requestTimeout: options.requestTimeoutMs,
    retry,
    logLevel: logLevel.INFO,
    logCreator: createLog,
  });
}

/** Closes a client for good, in order where that is still possible. */
async function end(client: { disconnect(): Promise<void> }, sockets: Sockets): Promise<void> {
  await client.disconnect().catch(() => undefined);
  sockets.end();
}

/** @throws Fault KAFKA_TIMEOUT when the work takes longer; it may go on for all that */
async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Fault('KAFKA_TIMEOUT', `no answer in ${timeoutMs} ms`, { retriable: true })), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

// --- producer --------------------------------------------------------------------------------------------------------

/** A metadata answer is small; whoever needs it asks again, and then maybe another broker. */
const metadataTimeoutMs = 3_000;
/** No success for this long, and the client is given up for a new one (rule P9). */
const renewAfterMs = 15_000;

interface ProducerGeneration {
  readonly producer: KafkajsProducerClient;
  readonly sockets: Sockets;
  readonly ready: Promise<void>;
  readonly since: number;
  inFlight: number;
}

export function createKafkajsProducer(options: KafkaConnection): Producer {
  return new KafkajsProducer(options);
}

class KafkajsProducer implements Producer {
  readonly #options: KafkaConnection;
  #generation: ProducerGeneration | undefined;
  #lastSuccess = performance.now();
  #isClosed = false;

  constructor(options: KafkaConnection) {
    this.#options = options;
  }

  async ping(): Promise<void> {
    // A connection asks for the broker's versions, which is an answer. The cluster's metadata would be an answer about
    // all topics, and a failure while any partition of any topic has no leader.
    await withAdmin(this.#options, 'connection to the cluster', () => Promise.resolve());
  }

  async topicMetadata(topic: string): Promise<TopicMetadata> {
    const options = { ...this.#options, requestTimeoutMs: Math.min(this.#options.requestTimeoutMs, metadataTimeoutMs) };
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
    const { topic, partition, records } = batch;
    const doing = `produce to ${topic}/${partition}`;
    if (this.#isClosed) return { fault: new Fault('CLOSED', 'the producer is closed', { retriable: false }) };
    const generation = this.#current();
    generation.inFlight++;
    try {
      await generation.ready;
      const answers = await generation.producer.send({ topic, acks: -1, timeout: this.#options.requestTimeoutMs, messages: records.map((record) => toMessage(record, partition)) });
      const result = resultOf(batch, answers, doing);
      if ('baseOffset' in result) this.#lastSuccess = performance.now();
      return result;
    } catch (error) {
      const fault = faultOf(error, doing);
      if (fault.retriable && (isBroken(error) || performance.now() - Math.max(this.#lastSuccess, generation.since) > renewAfterMs)) this.#retire(generation);
      return { fault };
    } finally {
      generation.inFlight--;
      if (generation !== this.#generation && generation.inFlight === 0) void end(generation.producer, generation.sockets);
    }
  }

  #current(): ProducerGeneration {
    if (this.#generation === undefined) {
      const sockets = new Sockets();
      // With each retry of its connection, not of a send, a client goes on to the next bootstrap server.
      const client = createClient(this.#options, sockets, { initialRetryTime: 50, retries: this.#options.brokers.length - 1 });
      // Rule P6: not idempotent. Rule P1: every message names its partition, so the partitioner is never asked.
      const producer = client.producer({ allowAutoTopicCreation: false, idempotent: false, retry: innerRetries, createPartitioner: Partitioners.DefaultPartitioner });
      const generation: ProducerGeneration = { producer, sockets, ready: within(this.#options.connectTimeoutMs, producer.connect()), since: performance.now(), inFlight: 0 };
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
    if (generation?.inFlight === 0) await end(generation.producer, generation.sockets);
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

function toMessage(record: OutgoingRecord, partition: number) {
  // Without a prototype, because senders choose the names: "constructor" is one like any other. What an object cannot
  // keep is the place of a repeated name (rule P7): its values stay in order, and come where the first one was.
  const headers = Object.create(null) as Record<string, string | Buffer | (string | Buffer)[]>;
  for (const [name, value] of record.headers) {
    const earlier = headers[name];
    if (earlier === undefined) headers[name] = value;
    else headers[name] = Array.isArray(earlier) ? [...earlier, value] : [earlier, value];
  }
  return { key: record.key, value: record.value, headers, partition, timestamp: String(record.timestampMs) };
}

// --- group member ----------------------------------------------------------------------------------------------------

/** Heartbeat period and the longest an empty fetch is held open (rule C3). */
const fetchWaitMs = 200;

export function createKafkajsGroupMember(connection: KafkaConnection, options: GroupMemberOptions): GroupMember {
  return new KafkajsGroupMember(connection, options);
}

class KafkajsGroupMember implements GroupMember {
  readonly #options: GroupMemberOptions;
  readonly #connectTimeoutMs: number;
  readonly #sockets = new Sockets();
  readonly #consumer: Consumer;
  /** Next offset to hand over, by partition: filters what comes again after a rebalance (rule C4). */
  readonly #nextOffset = new Map<number, bigint>();
  #assigned: ReadonlySet<number> = new Set();
  readonly #paused = new Set<number>();
  /**
   * Commits under the membership held now, and rejects where that fails. `consumer.commitOffsets` would try again under
   * later memberships, and does nothing without a word once the consumer has begun to stop (rule C5). Comes with a batch.
   */
  #commitNow: EachBatchPayload['commitOffsetsIfNecessary'] | undefined;
  #memberId = '';
  /** From `rebalancing` to `assigned`. */
  #isRebalancing = false;
  #lastSign = performance.now();
  #watchdog: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(connection: KafkaConnection, options: GroupMemberOptions) {
    this.#options = options;
    this.#connectTimeoutMs = connection.connectTimeoutMs;
    const client = createClient(connection, this.#sockets, consumerRetries, (message, fields) => this.#onLog(message, fields));
    this.#consumer = client.consumer({
      groupId: options.groupId,
      allowAutoTopicCreation: false,
      sessionTimeout: options.sessionTimeoutMs,
      rebalanceTimeout: options.sessionTimeoutMs,
      heartbeatInterval: Math.floor(options.sessionTimeoutMs / 10),
      maxWaitTimeInMs: fetchWaitMs,
      minBytes: 1,
      maxBytesPerPartition: options.fetchBytesPerPartition,
      metadataMaxAge: 30_000,
      retry: consumerRetries,
    });
  }

  async start(): Promise<void> {
    const consumer = this.#consumer;
    const { events } = consumer;
    consumer.on(events.REBALANCING, () => this.#onRebalancing());
    consumer.on(events.GROUP_JOIN, ({ payload }) => this.#onJoin(payload.memberId, payload.memberAssignment[this.#options.topic] ?? []));
    // Rule C1: a consumer that crashed is dead, whatever kafkajs would still try with it; the caller builds a new one.
    consumer.on(events.CRASH, ({ payload }) => this.#onLost(faultOf(payload.error, `consumer group ${this.#options.groupId}`)));
    for (const sign of [events.FETCH, events.HEARTBEAT] as const) consumer.on(sign, () => { this.#lastSign = performance.now(); });
    consumer.on(events.HEARTBEAT, () => this.#onHeartbeat());
    try {
      await within(this.#connectTimeoutMs, consumer.connect());
      // The oldest record is where reading goes on when the committed offset is outside the log (rule C6): rather
      // twice than not at all. Where a new group starts is committed before it is joined.
      await consumer.subscribe({ topic: this.#options.topic, fromBeginning: true });
      await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: (payload) => this.#onBatch(payload) });
    } catch (error) {
      throw faultOf(error, `join of consumer group ${this.#options.groupId}`);
    }
    if (this.#isOver) return;
    this.#lastSign = performance.now();
    this.#watchdog = setInterval(() => this.#checkSigns(), this.#options.sessionTimeoutMs / 2);
    this.#watchdog.unref();
  }

  pause({ topic, partition }: TopicPartition): void {
    this.#paused.add(partition);
    this.#whileRunning(() => this.#consumer.pause([{ topic, partitions: [partition] }]));
  }

  resume({ topic, partition }: TopicPartition): void {
    this.#paused.delete(partition);
    this.#whileRunning(() => this.#consumer.resume([{ topic, partitions: [partition] }]));
  }

  #whileRunning(act: () => void): void {
    if (this.#isOver) return;
    try {
      act();
    } catch {
      // It has ended already, and says so in a moment; there is nothing left to pause or to resume.
    }
  }

  async commit(offsets: readonly CommitOffset[]): Promise<void> {
    const { topic, groupId } = this.#options;
    const partitions = offsets.map(({ partition, commitOffset, metadata = null }) => ({ partition, offset: String(commitOffset), metadata }));
    if (partitions.length === 0) return;
    if (this.#isOver) throw new Fault('CLOSED', `commit of consumer group ${groupId}: the member has ended`, { retriable: false });
    try {
      if (this.#commitNow !== undefined) await this.#commitNow({ topics: [{ topic, partitions }] });
      else await this.#consumer.commitOffsets(partitions.map((entry) => ({ topic, ...entry })));
    } catch (error) {
      throw faultOf(error, `commit of consumer group ${groupId}`);
    }
  }

  async close(): Promise<void> {
    this.#isOver = true;
    clearInterval(this.#watchdog);
    // stop() leaves the group; disconnect() would wait for the same, but swallows what went wrong (rule C5).
    await this.#consumer.stop().catch(() => undefined);
    await end(this.#consumer, this.#sockets);
  }

  /** Rule C3: hands over and returns at once, so that one partition never stalls the others of its broker. */
  #onBatch(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const { topic, partition } = batch;
    this.#commitNow = (offsets) => payload.commitOffsetsIfNecessary(offsets);
    // A batch that is not resolved is fetched again: what was paused in the meantime comes after `resume`.
    if (this.#isOver || !this.#assigned.has(partition) || this.#paused.has(partition)) return Promise.resolve();
    const next = this.#nextOffset.get(partition) ?? -1n;
    const records: IncomingRecord[] = [];
    for (const message of batch.messages) {
      const offset = BigInt(message.offset);
      if (offset >= next) records.push(toRecord(offset, message));
    }
    const last = records.at(-1);
    if (last !== undefined) {
      this.#nextOffset.set(partition, last.offset + 1n);
      this.#options.handlers.records({ topic, partition }, records, BigInt(batch.highWatermark));
    }
    const lastMessage = batch.messages.at(-1);
    if (lastMessage !== undefined) payload.resolveOffset(lastMessage.offset);
    return Promise.resolve();
  }

  #onRebalancing(): void {
    if (this.#isOver) return;
    this.#isRebalancing = true;
    this.#options.handlers.rebalancing();
  }

  /**
   * A heartbeat that the group took, after a rebalance that no join ended: the coordinator moved, joining failed while it
   * did, and the membership held before holds still. kafkajs then reads on without a word of it.
   */
  #onHeartbeat(): void {
    if (this.#isOver || !this.#isRebalancing) return;
    this.#isRebalancing = false;
    const { topic } = this.#options;
    this.#options.handlers.assigned([...this.#assigned].map((partition) => ({ topic, partition, kept: true })));
  }

  #onJoin(memberId: string, partitions: readonly number[]): void {
    if (this.#isOver) return;
    this.#isRebalancing = false;
    // Another id means that the group had given this member up: somebody else may have read its partitions since.
    const before: ReadonlySet<number> = memberId === this.#memberId ? this.#assigned : new Set();
    this.#memberId = memberId;
    this.#assigned = new Set(partitions);
    for (const partition of [...this.#nextOffset.keys()]) if (!this.#assigned.has(partition) || !before.has(partition)) this.#nextOffset.delete(partition);
    const { topic } = this.#options;
    // kafkajs remembers a pause while a partition is somebody else's; whoever gets it back knows nothing of that.
    for (const partition of [...this.#paused]) if (!this.#assigned.has(partition) || !before.has(partition)) this.resume({ topic, partition });
    const assigned: AssignedPartition[] = partitions.map((partition) => ({ topic, partition, kept: before.has(partition) }));
    for (const [partition, offset] of this.#nextOffset) this.#consumer.seek({ topic, partition, offset: String(offset) });
    this.#options.handlers.assigned(assigned);
  }

  #onLog(message: string, fields: Readonly<Record<string, unknown>>): void {
    // The only way to learn of it: kafkajs has no event for an offset outside the log (rule C6).
    if (!message.startsWith('Offset out of range, resetting') || typeof fields['partition'] !== 'number') return;
    const { partition } = fields as { readonly partition: number };
    const { topic } = this.#options;
    this.#nextOffset.delete(partition);
    this.resume({ topic, partition });
    this.#options.handlers.offsetReset({ topic, partition });
  }

  #checkSigns(): void {
    // Known to happen after rebalances: the consumer neither fetches nor fails. Three sessions without a sign is death.
    if (performance.now() - this.#lastSign < 3 * this.#options.sessionTimeoutMs) return;
    this.#onLost(new Fault('KAFKA_TIMEOUT', `consumer group ${this.#options.groupId}: the member neither fetches nor heartbeats`, { retriable: true }));
  }

  #onLost(fault: Fault): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#watchdog);
    this.#sockets.end();
    void this.#consumer.disconnect().catch(() => undefined);
    this.#options.handlers.lost(fault);
  }
}

function toRecord(offset: bigint, message: KafkaMessage): IncomingRecord {
  const headers: (readonly [string, Buffer])[] = [];
  for (const [name, values] of Object.entries(message.headers ?? {})) {
    // Other clients may write a header without a value, which is none to us; and where a name is one of every object's
    // own ("constructor"), kafkajs finds a value before the first.
    for (const value of Array.isArray(values) ? values : [values]) if (Buffer.isBuffer(value)) headers.push([name, value]);
  }
  return { offset, key: message.key, value: message.value, headers, timestampMs: Number(message.timestamp) };
}

// --- admin -----------------------------------------------------------------------------------------------------------

type KafkajsAdmin = ReturnType<KafkajsClient['admin']>;

/**
 * A new client per call: calls are rare, and a client that bootstrapped against a half-dead broker stays broken (rule
 * P9). Bootstrap servers that do not answer within `connectTimeoutMs` are passed over.
 */
async function withAdmin<T>(options: KafkaConnection, doing: string, call: (admin: KafkajsAdmin) => Promise<T>, retry: object = adminRetries): Promise<T> {
  const { admin, sockets } = await connectAdmin(options, doing, retry);
  try {
    return await call(admin);
  } catch (error) {
    throw faultOf(error, doing);
  } finally {
    void end(admin, sockets);
  }
}

async function connectAdmin(options: KafkaConnection, doing: string, retry: object): Promise<{ admin: KafkajsAdmin; sockets: Sockets }> {
  let fault: Fault | undefined;
  for (const broker of fromAnywhere(options.brokers)) {
    const sockets = new Sockets();
    const admin = createClient({ ...options, brokers: [broker] }, sockets, retry).admin({ retry });
    try {
      await within(options.connectTimeoutMs, admin.connect());
      return { admin, sockets };
    } catch (error) {
      fault = faultOf(error, `${doing}, from ${broker}`);
      sockets.end();
    }
  }
  throw fault ?? new Fault('KAFKA_UNAVAILABLE', `${doing}: no broker is known`, { retriable: true });
}

export function createKafkajsAdmin(options: KafkaConnection): Admin {
  return new KafkajsAdminAdapter(options);
}

class KafkajsAdminAdapter implements Admin {
  readonly #options: KafkaConnection;

  constructor(options: KafkaConnection) {
    this.#options = options;
  }

  #call<T>(doing: string, call: (admin: KafkajsAdmin) => Promise<T>): Promise<T> {
    return withAdmin(this.#options, doing, call);
  }

  async createTopic(spec: TopicSpec): Promise<'created' | 'exists'> {
    const doing = `topic ${spec.topic}`;
    return this.#call(doing, async (admin) => {
      try {
        // Waiting for leaders throws UNKNOWN_TOPIC right after creation; whoever needs the leaders asks for them.
        const isNew = await admin.createTopics({
          waitForLeaders: false,
          topics: [
            {
              topic: spec.topic,
              numPartitions: spec.partitions,
              replicationFactor: spec.replicationFactor,
              configEntries: Object.entries(spec.config).map(([name, value]) => ({ name, value })),
            },
          ],
        });
        return isNew ? 'created' : 'exists';
      } catch (error) {
        const fault = faultOf(error, doing);
        if (!fault.message.includes('INVALID_REPLICATION_FACTOR')) throw fault;
        const { brokers } = await admin.describeCluster();
        throw new Fault('TOPIC_REJECTED', `${doing}: ${spec.replicationFactor} replicas asked, ${brokers.length} brokers available`, { retriable: true, cause: error });
      }
    });
  }

  async deleteTopic(topic: string): Promise<'deleted' | 'absent'> {
    return this.#call(`deletion of topic ${topic}`, async (admin) => {
      const topics = await admin.listTopics(); // deleting a missing topic retries until it gives up
      if (!topics.includes(topic)) return 'absent';
      await admin.deleteTopics({ topics: [topic] });
      return 'deleted';
    });
  }

  async describeTopic(topic: string): Promise<TopicDescription | undefined> {
    return this.#call(`description of topic ${topic}`, async (admin) => {
      const topics = await admin.listTopics();
      if (!topics.includes(topic)) return undefined;
      const { topics: found } = await admin.fetchTopicMetadata({ topics: [topic] });
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['max.message.bytes', 'retention.ms'] }],
      });
      const config = new Map(resources[0]?.configEntries.map((entry) => [entry.configName, entry.configValue]));
      const partitions = found[0]?.partitions ?? [];
      return {
        partitions: partitions.length,
        replicationFactor: partitions[0]?.replicas.length ?? 0,
        maxMessageBytes: Number(config.get('max.message.bytes') ?? defaultMaxMessageBytes),
        retentionMs: config.has('retention.ms') ? Number(config.get('retention.ms')) : undefined,
      };
    });
  }

  async growTopic(topic: string, partitions: number): Promise<void> {
    await this.#call(`topic ${topic} to ${partitions} partitions`, (admin) => admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] }));
  }

  async commitInitialOffsets(groupId: string, topic: string, from: 'latest' | 'earliest'): Promise<readonly number[]> {
    const doing = `initial offsets of consumer group ${groupId}`;
    const read = () =>
      this.#call(doing, async (admin) => {
        const [committed, ends] = await Promise.all([admin.fetchOffsets({ groupId, topics: [topic] }), admin.fetchTopicOffsets(topic)]);
        const offsets = new Map(committed[0]?.partitions.map((entry) => [entry.partition, BigInt(entry.offset)]));
        const isNew = [...offsets.values()].every((offset) => offset === neverCommitted);
        return { isNew, missing: ends.filter((end) => (offsets.get(end.partition) ?? neverCommitted) < 0n) };
      });
    const { isNew, missing } = await read();
    if (missing.length === 0) return [];
    const offsets = missing.map((end) => ({ partition: end.partition, offset: BigInt(isNew && from === 'latest' ? end.high : end.low) }));
    try {
      await commitForEmptyGroup(this.#options, groupId, topic, offsets, doing);
    } catch (error) {
      if (!brokerAnswerIs(error, groupInUse)) throw error;
      // Somebody joined meanwhile, and whoever joins has committed before. A partition that is still missing is new
      // and read from its start by its member.
      if ((await read()).isNew) throw new Fault('KAFKA_REFUSED', `${doing}: the group is in use and has no offsets`, { retriable: true, cause: error });
      return [];
    }
    return missing.map(({ partition }) => partition);
  }

  async groupLag(groupId: string, topic: string): Promise<readonly PartitionLag[]> {
    return this.#call(`lag of consumer group ${groupId}`, async (admin) => {
      const [committed, ends] = await Promise.all([admin.fetchOffsets({ groupId, topics: [topic] }), admin.fetchTopicOffsets(topic)]);
      const offsets = new Map(committed[0]?.partitions.map((entry) => [entry.partition, BigInt(entry.offset)]));
      return ends.map((end) => {
        const offset = offsets.get(end.partition) ?? -1n;
        return { partition: end.partition, commitOffset: offset >= 0n ? offset : undefined, endOffset: BigInt(end.high) };
      });
    });
  }

  async deleteGroup(groupId: string): Promise<'deleted' | 'absent'> {
    try {
      await this.#call(`deletion of consumer group ${groupId}`, (admin) => admin.deleteGroups([groupId]));
      return 'deleted';
    } catch (error) {
      if (brokerAnswerIs(error, ['GROUP_ID_NOT_FOUND'])) return 'absent';
      throw error;
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** What a broker answers for a partition without a committed offset. -2 is another matter: a member was reset there (rule C6). */
const neverCommitted = -1n;

/** How a broker refuses a commit without membership while a group, of either protocol, has members. */
const groupInUse: readonly string[] = ['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'STALE_MEMBER_EPOCH', 'REBALANCE_IN_PROGRESS'];

function brokerAnswerIs(error: unknown, answers: readonly string[]): boolean {
  return answers.includes(brokerAnswer(error) ?? '');
}

/** Kafka's default for `max.message.bytes`, where the topic's own is hidden from us. */
const defaultMaxMessageBytes = 1_048_588;

/**
 * Commits offsets on behalf of a group that nobody is in. kafkajs would start a consumer for it, which takes seconds;
 * the protocol knows a commit without membership (generation -1), which the broker refuses while the group is in use.
 */
async function commitForEmptyGroup(options: KafkaConnection, groupId: string, topic: string, offsets: readonly { partition: number; offset: bigint }[], doing: string): Promise<void> {
  const pool = new ConnectionPool(options.clientId, { connectTimeout: options.connectTimeoutMs, requestTimeout: options.requestTimeoutMs });
  try {
    const bootstrap = await pool.getFirstAvailable(options.brokers.map(parseBroker));
    const { coordinators } = await findCoordinatorV6.api.async(bootstrap, 0, [groupId]);
    const coordinator = coordinators[0];
    if (coordinator === undefined || coordinator.errorCode !== 0) throw new Fault('KAFKA_UNAVAILABLE', `${doing}: no coordinator yet`, { retriable: true });
    const connection = await pool.get({ host: coordinator.host, port: coordinator.port });
    await offsetCommitV8.api.async(connection, groupId, -1, '', null, [
      { name: topic, partitions: offsets.map(({ partition, offset }) => ({ partitionIndex: partition, committedOffset: offset, committedLeaderEpoch: -1, committedMetadata: null })) },
    ]);
  } catch (error) {
    throw faultOf(error, doing);
  } finally {
    void pool.close().catch(() => undefined);
  }
}
