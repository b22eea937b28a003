/**
 * The group member on kafkajs: the classic protocol, which every broker speaks.
 *
 * A rebalance of that protocol moves any partition at any time and waits for nobody; where the broker speaks the new
 * one, group-member.ts does better (docs/adr/0009).
 */
import { performance } from 'node:perf_hooks';
import { compressionsAlgorithms } from '@platformatic/kafka';
import kafkajs, { type Consumer, type EachBatchPayload, type KafkaMessage } from 'kafkajs';
import { Fault } from '../../core/fault.ts';
import type { IncomingRecord, TopicPartition } from '../../core/kafka-record.ts';
import type { Logger } from '../logger.ts';
import { brokerAnswer, faultOf } from './faults.ts';
import type { SharedByMembers } from './group-member.ts';
import { accessFault, createClient, endClient, Sockets, withAdmin, within } from './kafkajs-client.ts';
import { PartitionMap } from './partition-map.ts';
import type { AssignedPartition, CommitOffset, ConnectionSource, GroupMember, GroupMemberOptions, KafkaConnection } from './port.ts';
import { roundRobinAssigner } from './round-robin-assigner.ts';
import { asTheyAre } from './security.ts';

const { CompressionCodecs, CompressionTypes } = kafkajs;

// kafkajs brings gzip only, and a batch in another codec would end the consumer (rule C1): the other client's codecs serve.
for (const [type, name] of [[CompressionTypes.Snappy, 'snappy'], [CompressionTypes.LZ4, 'lz4'], [CompressionTypes.ZSTD, 'zstd']] as const) {
  const { compressSync, decompressSync } = compressionsAlgorithms[name];
  CompressionCodecs[type] = () => ({
    compress: (encoder: { readonly buffer: Buffer }) => Promise.resolve(compressSync(encoder.buffer)),
    decompress: (data: Buffer) => Promise.resolve(decompressSync(data)),
  });
}

/** Few: a member whose coordinator is gone neither finds the new one nor can it commit until it joins anew (rule C1). */
const consumerRetries = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5, restartOnFailure: () => Promise.resolve(false) };
/** Heartbeat period and the longest an empty fetch is held open (rule C3). */
const fetchWaitMs = 200;

/**
 * kafkajs commits as of the last join that succeeded, and heartbeats as of the last one that was tried. So these answers
 * to a commit, or none, from a group that takes heartbeats for as long as this, last until another join (rule C9).
 */
const formerMembershipAnswers: ReadonlySet<string | undefined> = new Set([undefined, 'NOT_COORDINATOR_FOR_GROUP', 'ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID']);
const heartbeatsBetweenRefusals = 3;

/** How soon settings are tried again that opened no connection. */
const retryMs = 1_000;
/** How often topics are looked for that were not there when the member joined. */
const missingTopicsIntervalMs = 10_000;

export function createKafkajsGroupMember(options: GroupMemberOptions, { source, log }: SharedByMembers): GroupMember {
  return new KafkajsGroupMember(options, source, log);
}

class KafkajsGroupMember implements GroupMember {
  readonly #options: GroupMemberOptions;
  readonly #source: ConnectionSource;
  readonly #log: Logger | undefined;
  /** What connections are opened by: changed settings only once they have opened one. */
  #settings: KafkaConnection;
  /** Settings that have opened none, and when to try them again, by `performance.now()`. */
  #refused: { readonly of: KafkaConnection; readonly retryAt: number } | undefined;
  #isTrying = false;
  readonly #sockets = new Sockets();
  readonly #consumer: Consumer;
  /** Next offset to hand over, by partition: filters what comes again after a rebalance (rule C4). */
  readonly #nextOffset = new PartitionMap<bigint>();
  #assigned = new PartitionMap<true>();
  readonly #paused = new PartitionMap<true>();
  /**
   * Commits under the membership held now, and rejects where that fails. `consumer.commitOffsets` would try again under
   * later memberships, and does nothing without a word once the consumer has begun to stop (rule C5). Comes with a batch.
   */
  #commitNow: EachBatchPayload['commitOffsetsIfNecessary'] | undefined;
  /** Taken since the group first refused a commit by one of those answers; undefined while it takes commits. */
  #heartbeatsSinceRefusal: number | undefined;
  #memberId = '';
  /** From `rebalancing` to `assigned`. */
  #isRebalancing = false;
  #lastSign = performance.now();
  #watchdog: NodeJS.Timeout | undefined;
  /** Runs while topics are missing. */
  #missingTimer: NodeJS.Timeout | undefined;
  /** It leaves in order, and is lost then. */
  #isLeaving = false;
  #isOver = false;

  /** @throws Fault SETTINGS_INVALID while it is not known how to reach the cluster */
  constructor(options: GroupMemberOptions, source: ConnectionSource, log: Logger | undefined) {
    this.#options = options;
    this.#source = source;
    this.#log = log;
    this.#settings = source();
    const client = createClient(asTheyAre(() => this.#settings), this.#sockets, consumerRetries, (message, fields) => this.#onLog(message, fields));
    this.#consumer = client.consumer({
      groupId: options.groupId,
      allowAutoTopicCreation: false,
      partitionAssigners: [roundRobinAssigner],
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
    consumer.on(events.GROUP_JOIN, ({ payload }) => this.#onJoin(payload.memberId, payload.memberAssignment));
    // Rule C1: a consumer that crashed is dead, whatever kafkajs would still try with it; the caller builds a new one.
    consumer.on(events.CRASH, ({ payload }) => this.#onLost(faultOf(payload.error, `consumer group ${this.#options.groupId}`)));
    for (const sign of [events.FETCH, events.HEARTBEAT] as const) consumer.on(sign, () => this.#onSign());
    consumer.on(events.HEARTBEAT, () => this.#onHeartbeat());
    let topics: readonly string[];
    try {
      await within(this.#settings.connectTimeoutMs, consumer.connect());
      topics = await this.#readableTopics();
      // The oldest record is where reading goes on when the committed offset is outside the log (rule C6): rather
      // twice than not at all. Where a new group starts is committed before it is joined.
      await consumer.subscribe({ topics: [...topics], fromBeginning: true });
      await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: (payload) => this.#onBatch(payload) });
    } catch (error) {
      throw accessFault(error, this.#settings, `join of consumer group ${this.#options.groupId}`);
    }
    if (this.#isOver) return;
    this.#lastSign = performance.now();
    this.#watchdog = setInterval(() => this.#checkSigns(), this.#options.sessionTimeoutMs / 2);
    this.#watchdog.unref();
    const missing = this.#options.topics.filter((topic) => !topics.includes(topic));
    if (missing.length > 0) this.#missingTimer = setInterval(() => void this.#lookFor(missing), missingTopicsIntervalMs).unref();
  }

  /**
   * A topic that is missing would end the consumer, and with it the reading of all others: of several topics, so, those
   * that exist are read. Where none does, or the only one does not, joining fails and says so.
   */
  async #readableTopics(): Promise<readonly string[]> {
    const { topics } = this.#options;
    if (topics.length === 1) return topics;
    const existing = await this.#existingTopics();
    return existing.length === 0 ? topics : existing;
  }

  async #existingTopics(): Promise<readonly string[]> {
    const { topics, groupId } = this.#options;
    const all = await withAdmin(this.#settings, `topics of consumer group ${groupId}`, (admin) => admin.listTopics());
    return topics.filter((topic) => all.includes(topic));
  }

  /** kafkajs cannot subscribe to more while it runs: the member ends in order, and the caller builds one that reads all. */
  async #lookFor(missing: readonly string[]): Promise<void> {
    const { groupId } = this.#options;
    const existing = await this.#existingTopics().catch((): readonly string[] => []); // asked again
    const found = missing.filter((topic) => existing.includes(topic));
    if (found.length === 0 || this.#missingTimer === undefined) return;
    await this.#leave(new Fault('KAFKA_UNAVAILABLE', `consumer group ${groupId}: a new member can read ${found.join(', ')} as well`, { retriable: true }));
  }

  /** Ends in order, for the caller to build another member: others have the partitions at once, and not after a session. */
  async #leave(fault: Fault): Promise<void> {
    if (this.#isLeaving || this.#isOver) return;
    this.#isLeaving = true;
    this.#clearTimers();
    this.#options.handlers.rebalancing();
    // A broker that does not answer holds it up; after a session the others have the partitions in any case.
    await within(this.#options.sessionTimeoutMs, this.#consumer.stop()).catch(() => undefined);
    this.#onLost(fault);
  }

  pause({ topic, partition }: TopicPartition): void {
    this.#paused.set(topic, partition, true);
    this.#whileRunning(() => this.#consumer.pause([{ topic, partitions: [partition] }]));
  }

  resume({ topic, partition }: TopicPartition): void {
    this.#paused.delete(topic, partition);
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
    const { groupId } = this.#options;
    if (offsets.length === 0) return;
    const entries = offsets.map(({ topic, partition, commitOffset, metadata = null }) => ({ topic, partition, offset: String(commitOffset), metadata }));
    if (this.#isOver) throw new Fault('CLOSED', `commit of consumer group ${groupId}: the member has ended`, { retriable: false });
    try {
      if (this.#commitNow !== undefined) await this.#commitNow({ topics: [...Map.groupBy(entries, ({ topic }) => topic)].map(([topic, partitions]) => ({ topic, partitions })) });
      else await this.#consumer.commitOffsets(entries);
      this.#heartbeatsSinceRefusal = undefined;
    } catch (error) {
      this.#onCommitFailed(error);
      throw faultOf(error, `commit of consumer group ${groupId}`);
    }
  }

  /**
   * Rule C9: where a coordinator moved and joining failed at the next one, kafkajs heartbeats there and commits at the
   * former one, without an end. Nothing but another join helps, and it has no call for that.
   */
  #onCommitFailed(error: unknown): void {
    if (!formerMembershipAnswers.has(brokerAnswer(error))) return;
    this.#heartbeatsSinceRefusal ??= 0;
    if (this.#heartbeatsSinceRefusal < heartbeatsBetweenRefusals) return;
    void this.#leave(new Fault('KAFKA_UNAVAILABLE', `consumer group ${this.#options.groupId}: it takes heartbeats and no commits`, { retriable: true, cause: error }));
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#clearTimers();
    // stop() leaves the group; disconnect() would wait for the same, but swallows what went wrong (rule C5).
    await this.#consumer.stop().catch(() => undefined);
    await endClient(this.#consumer, this.#sockets);
  }

  /** Rule C3: hands over and returns at once, so that one partition never stalls the others of its broker. */
  #onBatch(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const { topic, partition } = batch;
    this.#commitNow = (offsets) => payload.commitOffsetsIfNecessary(offsets);
    // A batch that is not resolved is fetched again: what was paused in the meantime comes after `resume`.
    if (this.#isOver || !this.#assigned.has(topic, partition) || this.#paused.has(topic, partition)) return Promise.resolve();
    const next = this.#nextOffset.get(topic, partition) ?? -1n;
    const records: IncomingRecord[] = [];
    for (const message of batch.messages) {
      const offset = BigInt(message.offset);
      if (offset >= next) records.push(toRecord(offset, message));
    }
    const last = records.at(-1);
    if (last !== undefined) {
      this.#nextOffset.set(topic, partition, last.offset + 1n);
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
    if (this.#heartbeatsSinceRefusal !== undefined) this.#heartbeatsSinceRefusal++;
    if (this.#isOver || !this.#isRebalancing) return;
    this.#isRebalancing = false;
    this.#options.handlers.assigned([...this.#assigned.entries()].map(([topic, partition]) => ({ topic, partition, kept: true })));
  }

  #onJoin(memberId: string, assignment: Readonly<Record<string, readonly number[]>>): void {
    if (this.#isOver) return;
    this.#isRebalancing = false;
    this.#heartbeatsSinceRefusal = undefined;
    // Another id means that the group had given this member up: somebody else may have read its partitions since.
    const before = memberId === this.#memberId ? this.#assigned : new PartitionMap<true>();
    this.#memberId = memberId;
    this.#assigned = new PartitionMap();
    for (const [topic, partitions] of Object.entries(assignment)) for (const partition of partitions) this.#assigned.set(topic, partition, true);
    const isKept = (topic: string, partition: number): boolean => this.#assigned.has(topic, partition) && before.has(topic, partition);
    for (const [topic, partition] of this.#nextOffset.entries()) if (!isKept(topic, partition)) this.#nextOffset.delete(topic, partition);
    // kafkajs remembers a pause while a partition is somebody else's; whoever gets it back knows nothing of that.
    for (const [topic, partition] of this.#paused.entries()) if (!isKept(topic, partition)) this.resume({ topic, partition });
    const assigned: AssignedPartition[] = [...this.#assigned.entries()].map(([topic, partition]) => ({ topic, partition, kept: before.has(topic, partition) }));
    for (const [topic, partition, offset] of this.#nextOffset.entries()) this.#consumer.seek({ topic, partition, offset: String(offset) });
    this.#options.handlers.assigned(assigned);
  }

  #onLog(message: string, fields: Readonly<Record<string, unknown>>): void {
    // The only way to learn of it: kafkajs has no event for an offset outside the log (rule C6).
    const { topic, partition } = fields;
    if (!message.startsWith('Offset out of range, resetting') || typeof topic !== 'string' || typeof partition !== 'number') return;
    this.#nextOffset.delete(topic, partition);
    this.resume({ topic, partition });
    this.#options.handlers.offsetReset({ topic, partition });
  }

  #onSign(): void {
    this.#lastSign = performance.now();
    let settings: KafkaConnection;
    try {
      settings = this.#source();
    } catch {
      return; // nobody knows at the moment; what was known goes on
    }
    if (settings !== this.#settings) void this.#follow(settings);
  }

  /**
   * Goes over to other settings. Those that open a connection are taken for all that come, and the open ones are cut:
   * kafkajs opens them anew and asks again, under the membership that it has. What cannot be changed in a client of
   * kafkajs ends this member, and the caller builds another one.
   */
  async #follow(settings: KafkaConnection): Promise<void> {
    const isTooSoon = this.#refused?.of === settings && performance.now() < this.#refused.retryAt;
    if (this.#hasEnded() || this.#isTrying || isTooSoon) return;
    const { groupId } = this.#options;
    this.#isTrying = true;
    try {
      await withAdmin(settings, 'connection to the cluster', () => Promise.resolve());
      if (this.#hasEnded()) return;
      const isAnother = isAnotherClient(settings, this.#settings);
      this.#settings = settings;
      if (isAnother) this.#onLost(new Fault('KAFKA_UNAVAILABLE', `consumer group ${groupId}: how to reach Kafka has changed`, { retriable: true }));
      else this.#sockets.cut();
    } catch (error) {
      if (this.#refused?.of !== settings) this.#log?.error({ groupId, err: error }, 'how to reach Kafka has changed, and it opens no connection; those that are open go on');
      this.#refused = { of: settings, retryAt: performance.now() + retryMs };
    } finally {
      this.#isTrying = false;
    }
  }

  #clearTimers(): void {
    clearInterval(this.#watchdog);
    clearInterval(this.#missingTimer);
    this.#missingTimer = undefined;
  }

  /** It may during any await. */
  #hasEnded(): boolean {
    return this.#isOver;
  }

  #checkSigns(): void {
    // Known to happen after rebalances: the consumer neither fetches nor fails. Three sessions without a sign is death.
    if (performance.now() - this.#lastSign < 3 * this.#options.sessionTimeoutMs) return;
    this.#onLost(new Fault('KAFKA_TIMEOUT', `consumer group ${this.#options.groupId}: the member neither fetches nor heartbeats`, { retriable: true }));
  }

  #onLost(fault: Fault): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#clearTimers();
    this.#sockets.end();
    void this.#consumer.disconnect().catch(() => undefined);
    this.#options.handlers.lost(fault);
  }
}

/** kafkajs keeps the bootstrap servers, and by what mechanism it logs in. */
function isAnotherClient(one: KafkaConnection, other: KafkaConnection): boolean {
  return one.brokers.join() !== other.brokers.join() || one.sasl?.mechanism !== other.sasl?.mechanism;
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
