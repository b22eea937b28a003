/**
 * What waits for Kafka: a queue per partition, a round per broker.
 *
 * While a produce request is on its way to a broker, everything that arrives for that broker's partitions collects;
 * the next request carries all of it (docs/adr/0004). So heavy load makes few requests, and what comes now and then waits for
 * nothing. In between, where each request would carry an event or two, a round is put off for a moment (`lingerMs`).
 *
 * Always true, for each partition:
 * - never more than one batch in flight, so that records are stored in the order they were appended;
 * - a batch that failed goes first in the next round, whole and in order, until Kafka has it or its deadlines are over;
 * - every appended record is settled exactly once.
 *
 * How much may wait is the caller's to bound (ByteBudget): the pump itself refuses nothing but what is too late.
 */
import { ChunkPool } from './chunk-pool.ts';
import { describeError, Fault } from './fault.ts';
import type { OutgoingRecord, ProduceResult, TopicMetadata } from './kafka-record.ts';
import { PartitionQueue, type Settlement, type WaitingBatch } from './partition-queue.ts';
import { encodeRecord, type EncodedRecord, type PartitionBatch } from './record-batch.ts';

export type { Settlement } from './partition-queue.ts';

/** The world as the pump needs it: Kafka through the port, and time. */
export interface PumpIo {
  topicMetadata(topic: string): Promise<TopicMetadata>;
  /** One request; never rejects; results in the order of the batches. */
  produce(leader: number, batches: readonly PartitionBatch[]): Promise<readonly ProduceResult[]>;
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  after(delayMs: number, run: () => void): void;
  /** Runs after the events that have already arrived were appended: setImmediate. */
  defer(run: () => void): void;
}

export interface PumpLimits {
  /** The largest record batch, for topics whose own limit is not told by `limitBatches`. */
  readonly batchBytes: number;
  /** The most that one request carries. */
  readonly requestBytes: number;
  /**
   * The most that a round is put off after the one before it began, so that light load makes fewer requests; 0 for never.
   * What comes less often than this pays nothing.
   */
  readonly lingerMs: number;
  /** Wait before a failed batch is sent again; doubles with each failure up to the last. */
  readonly retryDelayMs: { readonly first: number; readonly last: number };
  /** After this long partitions and leaders are asked for anew, so that a topic that grew is noticed. */
  readonly metadataMaxAgeMs: number;
}

interface PartitionState {
  readonly topic: TopicState;
  readonly partition: number;
  readonly queue: PartitionQueue;
  leader: number;
  inFlight: boolean;
  /** Whether a broker's next round will look at this partition, or a timer will see to it. */
  scheduled: boolean;
  failures: number;
}

interface TopicState {
  readonly name: string;
  batchBytes: number;
  partitions: PartitionState[];
  metadataAt: number;
  refreshing: Promise<void> | undefined;
  /** Counts rounds that carried something of this topic: what sticky partitioning follows. */
  rounds: number;
}

interface BrokerState {
  readonly id: number;
  ready: PartitionState[];
  inFlight: boolean;
  deferred: boolean;
  /** When the last round began. */
  startedAt: number;
  /** Records that came per millisecond between the last two rounds. */
  recordsPerMs: number;
}

/** So many records make a request worth its cost: none of them waits for more. */
const enoughRecords = 16;
/** Where fewer are to be expected while a round is put off, such as of one sender that waits for each answer, nothing is. */
const worthRecords = 2;
/** How often waiting records are checked for their deadline. Not on any event's path. */
const expirySweepMs = 250;
/** Leaders are not asked for more often than this while a partition keeps failing. */
const metadataMinAgeMs = 100;

export class ProducePump {
  readonly #io: PumpIo;
  readonly #limits: PumpLimits;
  readonly #pool = new ChunkPool();
  readonly #topics = new Map<string, TopicState>();
  readonly #brokers = new Map<number, BrokerState>();
  #pending = 0;
  #sweeping = false;
  #idleWaiters: (() => void)[] = [];
  #requests = 0;
  #retries = 0;

  constructor(io: PumpIo, limits: PumpLimits) {
    this.#io = io;
    this.#limits = limits;
  }

  /** Records appended and not yet settled. */
  get pendingRecords(): number {
    return this.#pending;
  }

  /** Produce requests made, and batches that had to be sent again, since the start. */
  get counters(): { readonly requests: number; readonly retries: number } {
    return { requests: this.#requests, retries: this.#retries };
  }

  /**
   * The number of partitions of a topic, from the cluster at the first call and from memory afterwards.
   * @returns a number where it is known, else a promise (so that the usual path does not wait a turn)
   * @throws Fault of `topicMetadata`
   */
  partitionCount(topic: string): number | Promise<number> {
    const state = this.#topic(topic);
    if (state.partitions.length > 0) {
      if (this.#io.now() - state.metadataAt > this.#limits.metadataMaxAgeMs) this.#refreshSoon(state);
      return state.partitions.length;
    }
    return this.#refresh(state).then(() => state.partitions.length);
  }

  /** Changes each time records of the topic were sent: a keyless event may then go to another partition. */
  rounds(topic: string): number {
    return this.#topics.get(topic)?.rounds ?? 0;
  }

  /** Partitions that have a leader, for events that may go anywhere. Empty while nothing is known. */
  ledPartitions(topic: string): readonly number[] {
    const state = this.#topics.get(topic);
    return state === undefined ? [] : state.partitions.filter(({ leader }) => leader >= 0).map(({ partition }) => partition);
  }

  /** The topic's `max.message.bytes`: no batch of several records will be longer. */
  limitBatches(topic: string, maxMessageBytes: number): void {
    this.#topic(topic).batchBytes = maxMessageBytes;
  }

  /**
   * Queues one record behind all others of its partition. The bytes of its value stay as they are until it is settled.
   *
   * @param partition below `partitionCount(topic)`, which has been awaited before
   * @param deadline  on the pump's clock; past it the record is settled with DEADLINE_EXCEEDED, unless it is in flight
   */
  append(topic: string, partition: number, record: OutgoingRecord, deadline: number, settlement: Settlement): void {
    this.appendEncoded(topic, partition, encodeRecord(record), deadline, settlement);
  }

  /** As `append`, for a record whose headers are bytes already. */
  appendEncoded(topic: string, partition: number, record: EncodedRecord, deadline: number, settlement: Settlement): void {
    const { partitions, batchBytes } = this.#topic(topic);
    const state = partitions[partition];
    if (state === undefined) throw new RangeError(`topic ${topic} has no partition ${partition}`);
    state.queue.append(record, deadline, settlement, batchBytes);
    this.#pending++;
    if (!state.inFlight && !state.scheduled) this.#schedule(state);
    this.#sweepLater();
  }

  /** Resolves when nothing is pending: all that was appended has been stored or given up. */
  async drained(): Promise<void> {
    while (this.#pending > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Settles everything that waits with the given fault; what is in flight settles with its own result. */
  abandon(fault: Fault): void {
    for (const topic of this.#topics.values()) {
      for (const { queue } of topic.partitions) this.#settle(queue.takeAll(), fault);
    }
  }

  #topic(name: string): TopicState {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = { name, batchBytes: this.#limits.batchBytes, partitions: [], metadataAt: -Infinity, refreshing: undefined, rounds: 0 };
      this.#topics.set(name, topic);
    }
    return topic;
  }

  // --- leaders -----------------------------------------------------------------------------------------------------

  #refresh(topic: TopicState): Promise<void> {
    topic.refreshing ??= this.#io
      .topicMetadata(topic.name)
      .then((metadata) => this.#applyLeaders(topic, metadata))
      .finally(() => {
        topic.refreshing = undefined;
      });
    return topic.refreshing;
  }

  #refreshSoon(topic: TopicState): void {
    // A failed refresh is no news: whoever needs the answer asks again, and records keep their deadlines.
    this.#refresh(topic).catch(() => undefined);
  }

  #applyLeaders(topic: TopicState, { leaders }: TopicMetadata): void {
    topic.metadataAt = this.#io.now();
    leaders.forEach((leader, partition) => {
      const state = topic.partitions[partition];
      if (state !== undefined) state.leader = leader;
      else topic.partitions.push({ topic, partition, queue: new PartitionQueue(this.#pool), leader, inFlight: false, scheduled: false, failures: 0 });
    });
  }

  // --- rounds ------------------------------------------------------------------------------------------------------

  #schedule(state: PartitionState): void {
    state.scheduled = true;
    if (state.leader < 0) {
      this.#reconsider(state);
      return;
    }
    const broker = this.#broker(state.leader);
    broker.ready.push(state);
    this.#startSoon(broker);
  }

  /** After settling, which may have appended to the queue, and then has scheduled it. */
  #scheduleWaiting(state: PartitionState): void {
    if (!state.queue.isEmpty && !state.scheduled) this.#schedule(state);
  }

  #broker(id: number): BrokerState {
    let broker = this.#brokers.get(id);
    if (broker === undefined) {
      broker = { id, ready: [], inFlight: false, deferred: false, startedAt: -Infinity, recordsPerMs: 0 };
      this.#brokers.set(id, broker);
    }
    return broker;
  }

  #startSoon(broker: BrokerState): void {
    if (broker.inFlight || broker.deferred) return;
    broker.deferred = true;
    const start = (): void => {
      broker.deferred = false;
      this.#startRound(broker);
    };
    const waitMs = this.#collectMs(broker);
    if (waitMs > 0) this.#io.after(waitMs, start);
    else this.#io.defer(start);
  }

  /** How long the next round is put off, so that more comes along. */
  #collectMs(broker: BrokerState): number {
    const { lingerMs } = this.#limits;
    if (lingerMs === 0 || this.#pending >= enoughRecords || broker.recordsPerMs * lingerMs < worthRecords) return 0;
    return Math.max(0, broker.startedAt + lingerMs - this.#io.now());
  }

  #startRound(broker: BrokerState): void {
    if (broker.inFlight || broker.ready.length === 0) return;
    const states: PartitionState[] = [];
    const sent: WaitingBatch[] = [];
    const batches: PartitionBatch[] = [];
    const left: PartitionState[] = [];
    const now = this.#io.now();
    let requestBytes = 0;
    for (const state of broker.ready) {
      this.#expire(state, now);
      if (state.queue.isEmpty) {
        state.scheduled = false;
      } else if (state.leader !== broker.id) {
        this.#schedule(state); // its leader moved since
      } else if (requestBytes >= this.#limits.requestBytes) {
        left.push(state);
      } else {
        const batch = state.queue.take(state.topic.batchBytes)!;
        batch.attempts++;
        requestBytes += batch.records.bytes;
        state.inFlight = true;
        state.scheduled = false;
        state.topic.rounds++;
        states.push(state);
        sent.push(batch);
        batches.push({ topic: state.topic.name, partition: state.partition, batch: batch.records });
      }
    }
    broker.ready = left; // first in the next round
    if (batches.length === 0) return;
    broker.inFlight = true;
    broker.recordsPerMs = sent.reduce((records, batch) => records + batch.records.count, 0) / (now - broker.startedAt);
    broker.startedAt = now;
    this.#requests++;
    void this.#io.produce(broker.id, batches).then(
      (results) => this.#finishRound(broker, states, sent, results),
      (error: unknown) => {
        // A bug in the adapter must cost these records a retry, not the process.
        const fault = new Fault('KAFKA_PROTOCOL', `produce: ${describeError(error)}`, { retriable: true, cause: error });
        this.#finishRound(broker, states, sent, sent.map(() => ({ fault })));
      },
    );
  }

  #finishRound(broker: BrokerState, states: readonly PartitionState[], sent: readonly WaitingBatch[], results: readonly ProduceResult[]): void {
    broker.inFlight = false;
    states.forEach((state, index) => {
      const batch = sent[index]!;
      const result = results[index] ?? { fault: new Fault('KAFKA_PROTOCOL', 'no result for the partition', { retriable: true }) };
      state.inFlight = false;
      if ('fault' in result) this.#onFailure(state, batch, result.fault);
      else this.#onStored(state, batch);
    });
    if (broker.ready.length > 0) this.#startSoon(broker);
  }

  #onStored(state: PartitionState, batch: WaitingBatch): void {
    state.failures = 0;
    state.queue.liftMaxRecords();
    // Of a batch that was sent before nobody knows whether a request that was given up still holds on to its bytes.
    if (batch.attempts === 1) batch.records.recycle();
    this.#settle(batch.settlements);
    this.#scheduleWaiting(state);
  }

  #onFailure(state: PartitionState, batch: WaitingBatch, fault: Fault): void {
    if (fault.code === 'RECORD_TOO_LARGE' && batch.records.count > 1) {
      // Smaller batches of the same records, in the same order, find the one that is too large.
      state.queue.putBack(batch);
      state.queue.limitRecords(Math.ceil(batch.records.count / 2));
      this.#schedule(state);
      return;
    }
    if (!fault.retriable) {
      state.queue.liftMaxRecords();
      this.#settle(batch.settlements, fault);
      this.#scheduleWaiting(state);
      return;
    }
    this.#retries++;
    state.failures++;
    state.scheduled = true; // before anything is settled, which may append
    state.queue.putBack(batch);
    this.#expire(state, this.#io.now(), fault);
    this.#reconsider(state);
  }

  /** Asks who leads the partition now, waits a little, and lets the queue take part in rounds again. */
  #reconsider(state: PartitionState): void {
    const { first, last } = this.#limits.retryDelayMs;
    const delayMs = Math.min(last, first * 2 ** Math.min(20, Math.max(0, state.failures - 1)));
    if (this.#io.now() - state.topic.metadataAt >= metadataMinAgeMs) this.#refreshSoon(state.topic);
    this.#io.after(delayMs, () => {
      this.#expire(state, this.#io.now());
      if (state.queue.isEmpty) state.scheduled = false;
      else if (state.leader < 0) {
        state.failures++;
        this.#reconsider(state);
      } else this.#schedule(state);
    });
  }

  // --- deadlines and settling --------------------------------------------------------------------------------------

  #expire(state: PartitionState, now: number, cause?: Fault): void {
    const expired = state.queue.takeExpired(now);
    if (expired.length === 0) return;
    const where = `topic ${state.topic.name}, partition ${state.partition}`;
    this.#settle(expired, new Fault('DEADLINE_EXCEEDED', `${where}: Kafka has not acknowledged the event in time`, { retriable: true, cause }));
  }

  #sweepLater(): void {
    if (this.#sweeping) return;
    this.#sweeping = true;
    this.#io.after(expirySweepMs, () => {
      this.#sweeping = false;
      const now = this.#io.now();
      for (const topic of this.#topics.values()) for (const state of topic.partitions) this.#expire(state, now);
      if (this.#pending > 0) this.#sweepLater();
    });
  }

  #settle(settlements: readonly Settlement[], fault?: Fault): void {
    this.#pending -= settlements.length;
    for (const settlement of settlements) settlement.settled(fault);
    if (this.#pending === 0 && this.#idleWaiters.length > 0) {
      const waiters = this.#idleWaiters;
      this.#idleWaiters = [];
      for (const resume of waiters) resume();
    }
  }
}
