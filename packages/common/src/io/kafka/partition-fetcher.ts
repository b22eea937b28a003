/**
 * Reads the partitions of one group member, of whatever topics: long polls, one request per broker with all its wanted
 * partitions in it.
 *
 * A broker holds a fetch open until there is a record or the wait is over, and takes nothing else from that connection
 * meanwhile. So there are up to two connections per broker: what becomes wanted while one is held open (a partition that
 * was resumed or is new) goes over the other, and they join again when both have ended.
 *
 * Always true: a partition is in one request at a time; its records come in order and none twice; nothing comes of a
 * partition that is paused or was removed, and what was fetched of it then is fetched again after `resume`; a partition
 * that fails is tried again later and holds up no other one; requests go to the leader that was elected last, as far as is
 * known, and say so: any replica would answer, from a log that may have less.
 */
import { listOffsetsV7 } from '@platformatic/kafka';
import { Fault } from '../../core/fault.ts';
import type { IncomingRecord, TopicPartition } from '../../core/kafka-record.ts';
import type { Broker, ClusterConnections, PartitionLeader } from './cluster-connections.ts';
import { faultOf, faultOfErrorCode } from './faults.ts';
import { fetchRaw, type FetchedPartition, type FetchResponse } from './fetch-api.ts';
import type { LastingConnection } from './lasting-connection.ts';
import { PartitionMap } from './partition-map.ts';
import { readBatches } from './record-batches.ts';

export interface FetcherOptions {
  readonly cluster: ClusterConnections;
  readonly fetchBytesPerPartition: number;
  /** Asked before records are handed over: false while somebody else may have them. */
  mayHandOver(): boolean;
  onRecords(partition: TopicPartition, records: readonly IncomingRecord[], highWatermark: bigint): void;
  /** The offset lay outside the log; reading goes on at the oldest record, not paused. */
  onReset(partition: TopicPartition): void;
  /** A partition fails in a way that will not pass by itself, or for long; told once until it is read again. */
  onFailing(partition: TopicPartition, fault: Fault): void;
}

/** Of one name there may be partitions of one id at a time: a topic that was deleted and created again is another one. */
export interface NewPartition extends TopicPartition {
  readonly topicId: string;
  /** Undefined for the oldest record there is. */
  readonly nextOffset: bigint | undefined;
}

/** The longest a broker holds a fetch open. An idle member costs one request in this time. */
const longPollMs = 1_000;
/** The same for the second connection, so that what becomes wanted next does not wait long for it. */
const shortPollMs = 100;
/** A fetch that is about to end is waited for, and what it carries goes along. */
const aboutToEndMs = 25;
/** One response is at most this long, or one partition's share where that is more. */
const fetchBytes = 8 * 1024 * 1024;

const firstRetryMs = 100;
const lastRetryMs = 1_000;
/** Of a partition that fails in a way that will not pass by itself. */
const lastFailingRetryMs = 5_000;
/** Leaders move within seconds; what takes longer, some seven of them, is told. */
const toldAfterFailures = 10;

const readCommitted = 1;
const oldest = -2n;
const consumerReplica = -1;
const anyLeaderEpoch = -1;

const offsetOutOfRange = 1;
/** Leaders that moved, topics that are being created or deleted, replicas that are not ready: another leader or another moment helps. */
const passingErrors: ReadonlySet<number> = new Set([3, 5, 6, 9, 56, 74, 75, 78, 100, 103]);

/** A topic that partitions are read of. */
interface ReadTopic {
  readonly name: string;
  readonly id: string;
  leaders: ReadonlyMap<number, PartitionLeader>;
  isLookingForLeaders: boolean;
}

/** What is read of one partition. */
interface Reading {
  readonly topic: ReadTopic;
  /** As whoever it is handed over to knows it. */
  readonly of: TopicPartition;
  nextOffset: bigint | undefined;
  /** The search for the oldest record is because the offset lay outside the log. */
  isReset: boolean;
  isPaused: boolean;
  /** In a request. */
  isBusy: boolean;
  failures: number;
  isFailingTold: boolean;
  /** Not before this moment, of `performance.now()`. */
  notBefore: number;
}

/** One connection for fetches. */
interface Slot {
  connection: LastingConnection | undefined;
  isBusy: boolean;
  /** When the broker answers at the latest, as far as the wait goes. */
  endsAt: number;
}

type FetchTopic = Parameters<typeof fetchRaw.async>[7][number];

type BrokerSlots = readonly [Slot, Slot];

export class PartitionFetcher {
  readonly #options: FetcherOptions;
  /** In the order in which they are asked for: whoever had records goes to the end, because a full response leaves out the last ones. */
  readonly #readings = new Set<Reading>();
  /** The same by topic id, which answers name. */
  readonly #byId = new PartitionMap<Reading>();
  /** By id. */
  readonly #topics = new Map<string, ReadTopic>();
  readonly #brokers = new Map<Broker, BrokerSlots>();
  /** The bootstrap servers that the leaders were found by. */
  #foundBy: string | undefined;
  #isWoken = false;
  #retry: { readonly at: number; readonly timer: NodeJS.Timeout } | undefined;
  #isClosed = false;

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  add(partitions: readonly NewPartition[]): void {
    for (const { topic: name, partition, topicId, nextOffset } of partitions) {
      let topic = this.#topics.get(topicId);
      if (topic === undefined) this.#topics.set(topicId, (topic = { name, id: topicId, leaders: new Map(), isLookingForLeaders: false }));
      const reading: Reading = { topic, of: { topic: name, partition }, nextOffset, isReset: false, isPaused: false, isBusy: false, failures: 0, isFailingTold: false, notBefore: 0 };
      this.#readings.add(reading);
      this.#byId.set(topicId, partition, reading);
    }
    this.#wake();
  }

  /** Nothing more of them is handed over. */
  remove(partitions: Iterable<TopicPartition>): void {
    for (const partition of partitions) {
      const reading = this.#reading(partition);
      if (reading === undefined) continue;
      this.#readings.delete(reading);
      this.#byId.delete(reading.topic.id, partition.partition);
    }
    for (const id of this.#topics.keys()) if (!this.#byId.hasTopic(id)) this.#topics.delete(id);
  }

  pause(partition: TopicPartition): void {
    const reading = this.#reading(partition);
    if (reading !== undefined) reading.isPaused = true;
  }

  resume(partition: TopicPartition): void {
    const reading = this.#reading(partition);
    if (reading === undefined || !reading.isPaused) return;
    reading.isPaused = false;
    this.#wake();
  }

  /** By the topic's name. */
  #reading({ topic, partition }: TopicPartition): Reading | undefined {
    for (const { name, id } of this.#topics.values()) if (name === topic) return this.#byId.get(id, partition);
    return undefined;
  }

  /** Ends everything at once; long polls are not waited for. */
  close(): void {
    this.#isClosed = true;
    this.#readings.clear();
    this.#byId.clear();
    this.#topics.clear();
    clearTimeout(this.#retry?.timer);
    for (const slots of this.#brokers.values()) for (const slot of slots) disconnect(slot);
    this.#brokers.clear();
  }

  /** What becomes wanted at the same time goes in one request. */
  #wake(): void {
    if (this.#isWoken || this.#isClosed) return;
    this.#isWoken = true;
    setImmediate(() => {
      this.#isWoken = false;
      if (!this.#isClosed) this.#askForWanted();
    });
  }

  #wakeAt(at: number): void {
    if (this.#isClosed || (this.#retry !== undefined && this.#retry.at <= at)) return;
    clearTimeout(this.#retry?.timer);
    const timer = setTimeout(() => {
      this.#retry = undefined;
      this.#wake();
    }, at - performance.now());
    this.#retry = { at, timer };
  }

  #askForWanted(): void {
    this.#followBrokers();
    const now = performance.now();
    const wanted = new Map<Broker, Reading[]>();
    const leaderless = new Set<ReadTopic>();
    for (const reading of this.#readings) {
      if (reading.isBusy || reading.isPaused) continue;
      if (reading.notBefore > now) {
        this.#wakeAt(reading.notBefore);
        continue;
      }
      const broker = leaderOf(reading)?.broker;
      if (broker === undefined) leaderless.add(reading.topic);
      else if (wanted.has(broker)) wanted.get(broker)!.push(reading);
      else wanted.set(broker, [reading]);
    }
    this.#lookForLeaders(leaderless);
    for (const [broker, readings] of wanted) {
      const unplaced = readings.filter(({ nextOffset }) => nextOffset === undefined);
      if (unplaced.length > 0) void this.#findOldest(broker, unplaced);
      this.#fetchFrom(broker, readings.filter(({ nextOffset }) => nextOffset !== undefined));
    }
  }

  /** Other bootstrap servers may be another cluster, or other listeners: who leads is asked there. */
  #followBrokers(): void {
    const bootstrap = this.#options.cluster.bootstrap();
    if (bootstrap === undefined || bootstrap === this.#foundBy) return;
    if (this.#foundBy !== undefined) for (const topic of this.#topics.values()) topic.leaders = new Map();
    this.#foundBy = bootstrap;
  }

  // --- leaders -----------------------------------------------------------------------------------------------------

  /** Each topic is asked for by itself: one that is gone must not keep the leaders of the others away. */
  #lookForLeaders(topics: Iterable<ReadTopic>): void {
    for (const topic of topics) void this.#lookForLeadersOf(topic);
  }

  async #lookForLeadersOf(topic: ReadTopic): Promise<void> {
    if (topic.isLookingForLeaders) return;
    topic.isLookingForLeaders = true;
    const leaders = await this.#options.cluster.topicLeaders(topic.name).catch(() => undefined);
    topic.isLookingForLeaders = false;
    if (this.#isClosed) return;
    if (leaders !== undefined) {
      topic.leaders = leaders;
      this.#dropIdleBrokers();
    }
    for (const reading of this.#readings) {
      if (reading.topic !== topic || reading.isBusy || reading.isPaused || leaderOf(reading) !== undefined) continue;
      this.#putOff(reading, new Fault('KAFKA_UNAVAILABLE', `${nameOf(reading)} has no leader that is known`, { retriable: true }));
    }
    this.#wake();
  }

  /** Those that lead none of ours any more, or have moved: what they hold open would only be waited for. */
  #dropIdleBrokers(): void {
    const leading = new Set<Broker>();
    for (const { leaders } of this.#topics.values()) for (const { broker } of leaders.values()) leading.add(broker);
    for (const [broker, slots] of this.#brokers) {
      if (leading.has(broker)) continue;
      for (const slot of slots) disconnect(slot);
      this.#brokers.delete(broker);
    }
  }

  // --- fetches -----------------------------------------------------------------------------------------------------

  #fetchFrom(broker: Broker, readings: readonly Reading[]): void {
    if (readings.length === 0) return;
    let slots = this.#brokers.get(broker);
    if (slots === undefined) this.#brokers.set(broker, (slots = [idleSlot(), idleSlot()]));
    const [first, second] = slots;
    if (first.isBusy && second.isBusy) return; // whichever ends first takes them along
    const slot = first.isBusy ? second : first;
    const other = first.isBusy ? first : second;
    let waitMs = longPollMs;
    if (other.isBusy) {
      const leftMs = other.endsAt - performance.now();
      // Both end at the same time, so that they go on as one.
      if (Math.abs(leftMs) <= aboutToEndMs) return this.#wakeAt(performance.now() + 2 * aboutToEndMs); // unless that one is late
      waitMs = leftMs > 0 ? Math.min(shortPollMs, leftMs) : shortPollMs;
    }
    void this.#fetch(broker, slot, readings, Math.ceil(waitMs));
  }

  async #fetch(broker: Broker, slot: Slot, readings: readonly Reading[], waitMs: number): Promise<void> {
    for (const reading of readings) reading.isBusy = true;
    slot.isBusy = true;
    slot.endsAt = performance.now() + waitMs;
    try {
      const { response, startedAt } = await this.#ask(broker, slot, readings, waitMs);
      this.#free(slot, readings);
      if (response.errorCode !== 0) throw faultOfErrorCode(response.errorCode, fetchOf(readings));
      const isAnswered = this.#take(readings, response.partitions);
      // A broker that answers at once without an answer is not asked again at once.
      if (!isAnswered && performance.now() - startedAt < waitMs / 2) this.#putAllOff(readings, new Fault('KAFKA_PROTOCOL', `${fetchOf(readings)}: nothing in the response`, { retriable: true }));
    } catch (error) {
      this.#free(slot, readings);
      disconnect(slot);
      // A connection that was given up because the leaders moved is no failure.
      if (this.#brokers.get(broker)?.includes(slot) === true) {
        this.#putAllOff(readings, faultOf(error, `${fetchOf(readings)} from broker ${broker.id}`));
        this.#lookForLeaders(topicsOf(readings));
      }
    }
    this.#wake();
  }

  #ask(broker: Broker, slot: Slot, readings: readonly Reading[], waitMs: number): Promise<{ readonly response: FetchResponse; readonly startedAt: number }> {
    const { cluster, fetchBytesPerPartition } = this.#options;
    slot.connection ??= cluster.lasting(broker, ({ requestTimeoutMs }) => longPollMs + requestTimeoutMs);
    return slot.connection.use(async (connection) => {
      const startedAt = performance.now();
      slot.endsAt = startedAt + waitMs;
      const maxBytes = Math.max(fetchBytesPerPartition, Math.min(fetchBytes, fetchBytesPerPartition * readings.length));
      return { startedAt, response: await fetchRaw.async(connection, waitMs, 1, maxBytes, readCommitted, 0, -1, fetchTopics(readings, fetchBytesPerPartition), [], '') };
    });
  }

  #free(slot: Slot, readings: readonly Reading[]): void {
    slot.isBusy = false;
    for (const reading of readings) reading.isBusy = false;
  }

  /** @returns whether anything came of it: records, places in the log that hold none, or errors */
  #take(readings: readonly Reading[], answers: readonly FetchedPartition[]): boolean {
    const asked = new Set(readings);
    let isAnswered = false;
    for (const answer of answers) {
      const reading = this.#byId.get(answer.topicId, answer.partition);
      // A partition that was removed is not there any more, and one that came back since was not asked for yet.
      if (reading === undefined || !asked.has(reading) || !this.#options.mayHandOver()) continue;
      if (answer.errorCode !== 0) {
        isAnswered = true;
        this.#onError(reading, answer.errorCode);
      } else if (!reading.isPaused && answer.bytes !== null && answer.bytes.length > 0) {
        isAnswered = this.#readRecords(reading, answer.bytes, answer) || isAnswered;
      } else if (!reading.isPaused) setWell(reading); // there is nothing yet
      else isAnswered = true; // thrown away, and fetched again after the pause
    }
    return isAnswered;
  }

  #readRecords(reading: Reading, bytes: Buffer, { highWatermark, abortedTransactions }: FetchedPartition): boolean {
    const { nextOffset: fetchOffset = 0n } = reading;
    const { records, nextOffset, error } = readBatches(bytes, fetchOffset, abortedTransactions);
    reading.nextOffset = nextOffset;
    if (nextOffset > fetchOffset) {
      setWell(reading);
      this.#readings.delete(reading);
      this.#readings.add(reading);
    }
    if (error !== undefined) this.#onFailing(reading, new Fault('KAFKA_PROTOCOL', `records of ${nameOf(reading)} from offset ${String(nextOffset)} cannot be read`, { retriable: true, cause: error }));
    if (records.length > 0) this.#options.onRecords(reading.of, records, highWatermark);
    return nextOffset > fetchOffset || error !== undefined;
  }

  #onError(reading: Reading, errorCode: number): void {
    const doing = `fetch of ${nameOf(reading)}`;
    if (errorCode === offsetOutOfRange) {
      reading.nextOffset = undefined;
      reading.isReset = true;
    } else if (passingErrors.has(errorCode)) {
      this.#putOff(reading, faultOfErrorCode(errorCode, doing));
      void this.#lookForLeadersOf(reading.topic);
    } else this.#onFailing(reading, faultOfErrorCode(errorCode, doing));
  }

  #onFailing(reading: Reading, fault: Fault): void {
    this.#putOff(reading, fault, lastFailingRetryMs);
    this.#tellFailing(reading, fault);
  }

  #putAllOff(readings: readonly Reading[], fault: Fault): void {
    for (const reading of readings) if (this.#readings.has(reading)) this.#putOff(reading, fault);
  }

  #putOff(reading: Reading, fault: Fault, lastMs = lastRetryMs): void {
    reading.notBefore = performance.now() + Math.min(lastMs, firstRetryMs * 2 ** reading.failures);
    reading.failures++;
    if (reading.failures > toldAfterFailures) this.#tellFailing(reading, fault);
  }

  #tellFailing(reading: Reading, fault: Fault): void {
    if (reading.isFailingTold) return;
    reading.isFailingTold = true;
    this.#options.onFailing(reading.of, fault);
  }

  // --- the oldest record -------------------------------------------------------------------------------------------

  async #findOldest(broker: Broker, readings: readonly Reading[]): Promise<void> {
    const { cluster } = this.#options;
    for (const reading of readings) reading.isBusy = true;
    try {
      const wanted = [...Map.groupBy(readings, ({ topic }) => topic)].map(([topic, of]) => ({
        name: topic.name,
        partitions: of.map((reading) => ({ partitionIndex: reading.of.partition, currentLeaderEpoch: leaderEpoch(reading), timestamp: oldest })),
      }));
      const { topics } = await cluster.ask(broker, (connection) => listOffsetsV7.api.async(connection, consumerReplica, readCommitted, wanted).catch(usableOffsets));
      const found = new PartitionMap<(typeof topics)[number]['partitions'][number]>();
      for (const { name, partitions } of topics) for (const entry of partitions) found.set(name, entry.partitionIndex, entry);
      for (const reading of readings) {
        reading.isBusy = false;
        const answer = found.get(reading.of.topic, reading.of.partition);
        if (answer?.errorCode === 0) this.#startAt(reading, answer.offset);
        else this.#onError(reading, answer?.errorCode ?? -1);
      }
    } catch (error) {
      for (const reading of readings) reading.isBusy = false;
      this.#putAllOff(readings, faultOf(error, `oldest records of ${namesOf(readings)}`));
      this.#lookForLeaders(topicsOf(readings));
    }
    this.#wake();
  }

  #startAt(reading: Reading, offset: bigint): void {
    const { isReset } = reading;
    reading.nextOffset = offset;
    reading.isReset = false;
    reading.failures = 0;
    if (!isReset || !this.#readings.has(reading) || !this.#options.mayHandOver()) return;
    reading.isPaused = false;
    this.#options.onReset(reading.of);
  }
}

function leaderOf({ topic, of }: Pick<Reading, 'topic' | 'of'>): PartitionLeader | undefined {
  return topic.leaders.get(of.partition);
}

function leaderEpoch(reading: Pick<Reading, 'topic' | 'of'>): number {
  return leaderOf(reading)?.epoch ?? anyLeaderEpoch;
}

/**
 * The partitions in their order: a topic that others come between is named again, because those at the end go without
 * where a response is full, and must not be the same ones each time.
 */
export function fetchTopics(readings: readonly Pick<Reading, 'topic' | 'of' | 'nextOffset'>[], partitionMaxBytes: number): FetchTopic[] {
  const topics: FetchTopic[] = [];
  for (const reading of readings) {
    const topicId = reading.topic.id;
    let topic = topics.at(-1);
    if (topic?.topicId !== topicId) topics.push((topic = { topicId, partitions: [] }));
    topic.partitions.push({ partition: reading.of.partition, currentLeaderEpoch: leaderEpoch(reading), fetchOffset: reading.nextOffset ?? 0n, lastFetchedEpoch: -1, partitionMaxBytes });
  }
  return topics;
}

function topicsOf(readings: readonly Reading[]): ReadonlySet<ReadTopic> {
  return new Set(readings.map(({ topic }) => topic));
}

function nameOf({ of }: Reading): string {
  return `${of.topic}/${of.partition}`;
}

/** "topic orders" */
function namesOf(readings: readonly Reading[]): string {
  const names = [...topicsOf(readings)].map(({ name }) => name);
  return `${names.length === 1 ? 'topic' : 'topics'} ${names.join(', ')}`;
}

function fetchOf(readings: readonly Reading[]): string {
  return `fetch of ${namesOf(readings)}`;
}

function setWell(reading: Reading): void {
  reading.failures = 0;
  reading.isFailingTold = false;
}

function idleSlot(): Slot {
  return { connection: undefined, isBusy: false, endsAt: 0 };
}

function disconnect(slot: Slot): void {
  slot.connection?.close();
  slot.connection = undefined;
}

/** One partition that failed makes the library reject; the response inside still tells the others' offsets. */
function usableOffsets(error: unknown): Awaited<ReturnType<typeof listOffsetsV7.api.async>> {
  const { response } = error as { readonly response?: Awaited<ReturnType<typeof listOffsetsV7.api.async>> };
  if (response !== undefined) return response;
  throw error;
}
