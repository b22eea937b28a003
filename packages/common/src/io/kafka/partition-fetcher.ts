/**
 * Reads the partitions of one group member: long polls, one request per broker with all its wanted partitions in it.
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
import type { IncomingRecord } from '../../core/kafka-record.ts';
import type { Broker, ClusterConnections, PartitionLeader } from './cluster-connections.ts';
import { faultOf, faultOfErrorCode } from './faults.ts';
import { fetchRaw, type FetchedPartition, type FetchResponse } from './fetch-api.ts';
import type { LastingConnection } from './lasting-connection.ts';
import { readBatches } from './record-batches.ts';

export interface FetcherOptions {
  readonly cluster: ClusterConnections;
  readonly topic: string;
  readonly fetchBytesPerPartition: number;
  /** Asked before records are handed over: false while somebody else may have them. */
  mayHandOver(): boolean;
  onRecords(partition: number, records: readonly IncomingRecord[], highWatermark: bigint): void;
  /** The offset lay outside the log; reading goes on at the oldest record, not paused. */
  onReset(partition: number): void;
  /** A partition fails in a way that will not pass by itself, or for long; told once until it is read again. */
  onFailing(partition: number, fault: Fault): void;
}

export interface NewPartition {
  readonly partition: number;
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

/** What is read of one partition. */
interface Reading {
  readonly partition: number;
  readonly topicId: string;
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

interface BrokerSlots {
  readonly broker: Broker;
  readonly slots: readonly [Slot, Slot];
}

export class PartitionFetcher {
  readonly #options: FetcherOptions;
  /** In the order in which they are asked for: whoever had records goes to the end, because a full response leaves out the last ones. */
  readonly #readings = new Map<number, Reading>();
  readonly #brokers = new Map<number, BrokerSlots>();
  #leaders: ReadonlyMap<number, PartitionLeader> = new Map();
  /** The bootstrap servers that `#leaders` were found by. */
  #foundBy: string | undefined;
  #isLookingForLeaders = false;
  #isWoken = false;
  #retry: { readonly at: number; readonly timer: NodeJS.Timeout } | undefined;
  #isClosed = false;

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  add(partitions: readonly NewPartition[]): void {
    for (const { partition, topicId, nextOffset } of partitions) {
      this.#readings.set(partition, { partition, topicId, nextOffset, isReset: false, isPaused: false, isBusy: false, failures: 0, isFailingTold: false, notBefore: 0 });
    }
    this.#wake();
  }

  /** Nothing more of them is handed over. */
  remove(partitions: Iterable<number>): void {
    for (const partition of partitions) this.#readings.delete(partition);
  }

  pause(partition: number): void {
    const reading = this.#readings.get(partition);
    if (reading !== undefined) reading.isPaused = true;
  }

  resume(partition: number): void {
    const reading = this.#readings.get(partition);
    if (reading === undefined || !reading.isPaused) return;
    reading.isPaused = false;
    this.#wake();
  }

  /** Ends everything at once; long polls are not waited for. */
  close(): void {
    this.#isClosed = true;
    this.#readings.clear();
    clearTimeout(this.#retry?.timer);
    for (const { slots } of this.#brokers.values()) for (const slot of slots) disconnect(slot);
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
    const leaderless: Reading[] = [];
    for (const reading of this.#readings.values()) {
      if (reading.isBusy || reading.isPaused) continue;
      if (reading.notBefore > now) {
        this.#wakeAt(reading.notBefore);
        continue;
      }
      const broker = this.#leaders.get(reading.partition)?.broker;
      if (broker === undefined) leaderless.push(reading);
      else if (wanted.has(broker)) wanted.get(broker)!.push(reading);
      else wanted.set(broker, [reading]);
    }
    if (leaderless.length > 0) void this.#lookForLeaders();
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
    if (this.#foundBy !== undefined) this.#leaders = new Map();
    this.#foundBy = bootstrap;
  }

  // --- leaders -----------------------------------------------------------------------------------------------------

  async #lookForLeaders(): Promise<void> {
    if (this.#isLookingForLeaders) return;
    this.#isLookingForLeaders = true;
    const leaders = await this.#options.cluster.topicLeaders(this.#options.topic).catch(() => undefined);
    this.#isLookingForLeaders = false;
    if (this.#isClosed) return;
    if (leaders !== undefined) this.#setLeaders(leaders);
    for (const reading of this.#readings.values()) if (!reading.isBusy && !reading.isPaused && !this.#leaders.has(reading.partition)) this.#putOff(reading, new Fault('KAFKA_UNAVAILABLE', `${this.#options.topic}/${reading.partition} has no leader that is known`, { retriable: true }));
    this.#wake();
  }

  #setLeaders(leaders: ReadonlyMap<number, PartitionLeader>): void {
    this.#leaders = leaders;
    const byId = new Map([...leaders.values()].map(({ broker }) => [broker.id, broker]));
    for (const [id, { broker, slots }] of this.#brokers) {
      const current = byId.get(id);
      if (current?.host === broker.host && current.port === broker.port) continue;
      // It leads none of ours any more, or has moved: what it holds open would only be waited for.
      for (const slot of slots) disconnect(slot);
      this.#brokers.delete(id);
    }
  }

  // --- fetches -----------------------------------------------------------------------------------------------------

  #fetchFrom(broker: Broker, readings: readonly Reading[]): void {
    if (readings.length === 0) return;
    let of = this.#brokers.get(broker.id);
    if (of === undefined) {
      of = { broker, slots: [idleSlot(), idleSlot()] };
      this.#brokers.set(broker.id, of);
    }
    const [first, second] = of.slots;
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
    void this.#fetch(of, slot, readings, Math.ceil(waitMs));
  }

  async #fetch(of: BrokerSlots, slot: Slot, readings: readonly Reading[], waitMs: number): Promise<void> {
    const { topic } = this.#options;
    for (const reading of readings) reading.isBusy = true;
    slot.isBusy = true;
    slot.endsAt = performance.now() + waitMs;
    try {
      const { response, startedAt } = await this.#ask(of.broker, slot, readings, waitMs);
      this.#free(slot, readings);
      if (response.errorCode !== 0) throw faultOfErrorCode(response.errorCode, `fetch of topic ${topic}`);
      const isAnswered = this.#take(readings, response.partitions);
      // A broker that answers at once without an answer is not asked again at once.
      if (!isAnswered && performance.now() - startedAt < waitMs / 2) this.#putAllOff(readings, new Fault('KAFKA_PROTOCOL', `fetch of topic ${topic}: nothing in the response`, { retriable: true }));
    } catch (error) {
      this.#free(slot, readings);
      disconnect(slot);
      // A connection that was given up because the leaders moved is no failure.
      if (this.#brokers.get(of.broker.id) === of) {
        this.#putAllOff(readings, faultOf(error, `fetch of topic ${topic} from broker ${of.broker.id}`));
        void this.#lookForLeaders();
      }
    }
    this.#wake();
  }

  #topicsOf(readings: readonly Reading[]): FetchTopic[] {
    const topics = new Map<string, FetchTopic>();
    for (const { partition, topicId, nextOffset = 0n } of readings) {
      let topic = topics.get(topicId);
      if (topic === undefined) topics.set(topicId, (topic = { topicId, partitions: [] }));
      topic.partitions.push({ partition, currentLeaderEpoch: this.#leaderEpoch(partition), fetchOffset: nextOffset, lastFetchedEpoch: -1, partitionMaxBytes: this.#options.fetchBytesPerPartition });
    }
    return [...topics.values()];
  }

  #leaderEpoch(partition: number): number {
    return this.#leaders.get(partition)?.epoch ?? anyLeaderEpoch;
  }

  #ask(broker: Broker, slot: Slot, readings: readonly Reading[], waitMs: number): Promise<{ readonly response: FetchResponse; readonly startedAt: number }> {
    const { cluster, fetchBytesPerPartition } = this.#options;
    slot.connection ??= cluster.lasting(broker, ({ requestTimeoutMs }) => longPollMs + requestTimeoutMs);
    return slot.connection.use(async (connection) => {
      const startedAt = performance.now();
      slot.endsAt = startedAt + waitMs;
      const maxBytes = Math.max(fetchBytesPerPartition, Math.min(fetchBytes, fetchBytesPerPartition * readings.length));
      return { startedAt, response: await fetchRaw.async(connection, waitMs, 1, maxBytes, readCommitted, 0, -1, this.#topicsOf(readings), [], '') };
    });
  }

  #free(slot: Slot, readings: readonly Reading[]): void {
    slot.isBusy = false;
    for (const reading of readings) reading.isBusy = false;
  }

  /** @returns whether anything came of it: records, places in the log that hold none, or errors */
  #take(readings: readonly Reading[], answers: readonly FetchedPartition[]): boolean {
    const asked = new Map(readings.map((reading) => [reading.partition, reading]));
    let isAnswered = false;
    for (const answer of answers) {
      const reading = asked.get(answer.partition);
      // The map forgets a partition that was removed, and has another reading for one that came back since.
      if (reading?.topicId !== answer.topicId || this.#readings.get(answer.partition) !== reading || !this.#options.mayHandOver()) continue;
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
    const { partition, nextOffset: fetchOffset = 0n } = reading;
    const { records, nextOffset, error } = readBatches(bytes, fetchOffset, abortedTransactions);
    reading.nextOffset = nextOffset;
    if (nextOffset > fetchOffset) {
      setWell(reading);
      this.#readings.delete(partition);
      this.#readings.set(partition, reading);
    }
    if (error !== undefined) this.#onFailing(reading, new Fault('KAFKA_PROTOCOL', `records of ${this.#options.topic}/${partition} from offset ${String(nextOffset)} cannot be read`, { retriable: true, cause: error }));
    if (records.length > 0) this.#options.onRecords(partition, records, highWatermark);
    return nextOffset > fetchOffset || error !== undefined;
  }

  #onError(reading: Reading, errorCode: number): void {
    const doing = `fetch of ${this.#options.topic}/${reading.partition}`;
    if (errorCode === offsetOutOfRange) {
      reading.nextOffset = undefined;
      reading.isReset = true;
    } else if (passingErrors.has(errorCode)) {
      this.#putOff(reading, faultOfErrorCode(errorCode, doing));
      void this.#lookForLeaders();
    } else this.#onFailing(reading, faultOfErrorCode(errorCode, doing));
  }

  #onFailing(reading: Reading, fault: Fault): void {
    this.#putOff(reading, fault, lastFailingRetryMs);
    this.#tellFailing(reading, fault);
  }

  #putAllOff(readings: readonly Reading[], fault: Fault): void {
    for (const reading of readings) if (this.#readings.get(reading.partition) === reading) this.#putOff(reading, fault);
  }

  #putOff(reading: Reading, fault: Fault, lastMs = lastRetryMs): void {
    reading.notBefore = performance.now() + Math.min(lastMs, firstRetryMs * 2 ** reading.failures);
    reading.failures++;
    if (reading.failures > toldAfterFailures) this.#tellFailing(reading, fault);
  }

  #tellFailing(reading: Reading, fault: Fault): void {
    if (reading.isFailingTold) return;
    reading.isFailingTold = true;
    this.#options.onFailing(reading.partition, fault);
  }

  // --- the oldest record -------------------------------------------------------------------------------------------

  async #findOldest(broker: Broker, readings: readonly Reading[]): Promise<void> {
    const { cluster, topic } = this.#options;
    for (const reading of readings) reading.isBusy = true;
    try {
      const partitions = readings.map(({ partition }) => ({ partitionIndex: partition, currentLeaderEpoch: this.#leaderEpoch(partition), timestamp: oldest }));
      const { topics } = await cluster.ask(broker, (connection) => listOffsetsV7.api.async(connection, consumerReplica, readCommitted, [{ name: topic, partitions }]).catch(usableOffsets));
      const found = new Map(topics.flatMap((entry) => entry.partitions).map((entry) => [entry.partitionIndex, entry]));
      for (const reading of readings) {
        reading.isBusy = false;
        const answer = found.get(reading.partition);
        if (answer?.errorCode === 0) this.#startAt(reading, answer.offset);
        else this.#onError(reading, answer?.errorCode ?? -1);
      }
    } catch (error) {
      for (const reading of readings) reading.isBusy = false;
      this.#putAllOff(readings, faultOf(error, `oldest records of topic ${topic}`));
      void this.#lookForLeaders();
    }
    this.#wake();
  }

  #startAt(reading: Reading, offset: bigint): void {
    const { isReset, partition } = reading;
    reading.nextOffset = offset;
    reading.isReset = false;
    reading.failures = 0;
    if (!isReset || this.#readings.get(partition) !== reading || !this.#options.mayHandOver()) return;
    reading.isPaused = false;
    this.#options.onReset(partition);
  }
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
