/**
 * What waits for Kafka: a queue per partition, a round per broker.
 *
 * While a produce request is on its way to a broker, everything that arrives for that broker's partitions collects;
 * the next request carries all of it. Light load pays one round trip, heavy load few requests, and no timer decides
 * (docs/adr/0004).
 *
 * Always true, for each partition:
 * - never more than one batch in flight, so that records are stored in the order they were appended;
 * - a batch that failed goes first in the next round, whole and in order, until Kafka has it or its deadlines are over;
 * - every appended record is settled exactly once.
 *
 * How much may wait is the caller's to bound (ByteBudget): the pump itself refuses nothing but what is too late.
 */
import { describeError, Fault } from './fault.ts';
import { batchBytes, recordBytes, type OutgoingRecord, type PartitionBatch, type ProduceResult, type TopicMetadata } from './kafka-record.ts';

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
  /** Wait before a failed batch is sent again; doubles with each failure up to the last. */
  readonly retryDelayMs: { readonly first: number; readonly last: number };
  /** After this long partitions and leaders are asked for anew, so that a topic that grew is noticed. */
  readonly metadataMaxAgeMs: number;
}

/** Called once per record: with nothing when Kafka has acknowledged it, with the reason when it will not be stored. May append. */
export type Settle = (fault?: Fault) => void;

interface Entry {
  readonly record: OutgoingRecord;
  readonly bytes: number;
  readonly deadline: number;
  readonly settle: Settle;
}

interface PartitionQueue {
  readonly topic: TopicState;
  readonly partition: number;
  leader: number;
  /** Entries from `head` on are waiting, oldest first; those before it are gone. */
  entries: Entry[];
  head: number;
  inFlight: boolean;
  /** Whether a broker's next round will look at this queue, or a timer will see to it. */
  scheduled: boolean;
  failures: number;
  /** After "batch too large": how many records the next batch may have. */
  maxRecords: number;
}

interface TopicState {
  readonly name: string;
  batchBytes: number;
  partitions: PartitionQueue[];
  metadataAt: number;
  refreshing: Promise<void> | undefined;
  /** Counts rounds that carried something of this topic: what sticky partitioning follows. */
  rounds: number;
}

interface BrokerState {
  readonly id: number;
  ready: PartitionQueue[];
  inFlight: boolean;
  deferred: boolean;
}

/** How often waiting records are checked for their deadline. Not on any event's path. */
const expirySweepMs = 250;
/** Leaders are not asked for more often than this while a partition keeps failing. */
const metadataMinAgeMs = 100;

export class ProducePump {
  readonly #io: PumpIo;
  readonly #limits: PumpLimits;
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
    return state === undefined ? [] : state.partitions.filter((queue) => queue.leader >= 0).map((queue) => queue.partition);
  }

  /** The topic's `max.message.bytes`: no batch of several records will be longer. */
  limitBatches(topic: string, maxMessageBytes: number): void {
    this.#topic(topic).batchBytes = maxMessageBytes;
  }

  /**
   * Queues one record behind all others of its partition.
   *
   * @param partition below `partitionCount(topic)`, which has been awaited before
   * @param deadline  on the pump's clock; past it the record is settled with DEADLINE_EXCEEDED, unless it is in flight
   */
  append(topic: string, partition: number, record: OutgoingRecord, deadline: number, settle: Settle): void {
    const queue = this.#topic(topic).partitions[partition];
    if (queue === undefined) throw new RangeError(`topic ${topic} has no partition ${partition}`);
    this.#pending++;
    queue.entries.push({ record, bytes: recordBytes(record), deadline, settle });
    if (!queue.inFlight && !queue.scheduled) this.#schedule(queue);
    this.#sweepLater();
  }

  /** Resolves when nothing is pending: all that was appended has been stored or given up. */
  async drained(): Promise<void> {
    while (this.#pending > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Settles everything that waits with the given fault; what is in flight settles with its own result. */
  abandon(fault: Fault): void {
    for (const topic of this.#topics.values()) {
      for (const queue of topic.partitions) this.#settle(takeWaiting(queue), fault);
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
      const queue = topic.partitions[partition];
      if (queue === undefined) {
        topic.partitions.push({ topic, partition, leader, entries: [], head: 0, inFlight: false, scheduled: false, failures: 0, maxRecords: Infinity });
      } else queue.leader = leader;
    });
  }

  // --- rounds ------------------------------------------------------------------------------------------------------

  #schedule(queue: PartitionQueue): void {
    queue.scheduled = true;
    if (queue.leader < 0) {
      this.#reconsider(queue);
      return;
    }
    const broker = this.#broker(queue.leader);
    broker.ready.push(queue);
    this.#startSoon(broker);
  }

  /** After settling, which may have appended to the queue, and then has scheduled it. */
  #scheduleWaiting(queue: PartitionQueue): void {
    if (queue.head < queue.entries.length && !queue.scheduled) this.#schedule(queue);
  }

  #broker(id: number): BrokerState {
    let broker = this.#brokers.get(id);
    if (broker === undefined) {
      broker = { id, ready: [], inFlight: false, deferred: false };
      this.#brokers.set(id, broker);
    }
    return broker;
  }

  #startSoon(broker: BrokerState): void {
    if (broker.inFlight || broker.deferred) return;
    broker.deferred = true;
    this.#io.defer(() => {
      broker.deferred = false;
      this.#startRound(broker);
    });
  }

  #startRound(broker: BrokerState): void {
    if (broker.inFlight || broker.ready.length === 0) return;
    const queues: PartitionQueue[] = [];
    const sent: (readonly Entry[])[] = [];
    const batches: PartitionBatch[] = [];
    const left: PartitionQueue[] = [];
    const now = this.#io.now();
    let requestBytes = 0;
    for (const queue of broker.ready) {
      this.#expire(queue, now);
      if (queue.head === queue.entries.length) {
        queue.scheduled = false;
      } else if (queue.leader !== broker.id) {
        this.#schedule(queue); // its leader moved since
      } else if (requestBytes >= this.#limits.requestBytes) {
        left.push(queue);
      } else {
        const entries = takeBatch(queue);
        for (const entry of entries) requestBytes += entry.bytes;
        queue.inFlight = true;
        queue.scheduled = false;
        queue.topic.rounds++;
        queues.push(queue);
        sent.push(entries);
        batches.push({ topic: queue.topic.name, partition: queue.partition, records: entries.map((entry) => entry.record) });
      }
    }
    broker.ready = left; // first in the next round
    if (batches.length === 0) return;
    broker.inFlight = true;
    this.#requests++;
    void this.#io.produce(broker.id, batches).then(
      (results) => this.#finishRound(broker, queues, sent, results),
      (error: unknown) => {
        // A bug in the adapter must cost these records a retry, not the process.
        const fault = new Fault('KAFKA_PROTOCOL', `produce: ${describeError(error)}`, { retriable: true, cause: error });
        this.#finishRound(broker, queues, sent, sent.map(() => ({ fault })));
      },
    );
  }

  #finishRound(broker: BrokerState, queues: readonly PartitionQueue[], sent: readonly (readonly Entry[])[], results: readonly ProduceResult[]): void {
    broker.inFlight = false;
    queues.forEach((queue, index) => {
      const entries = sent[index] ?? [];
      const result = results[index] ?? { fault: new Fault('KAFKA_PROTOCOL', 'no result for the partition', { retriable: true }) };
      queue.inFlight = false;
      if ('fault' in result) this.#onFailure(queue, entries, result.fault);
      else {
        queue.failures = 0;
        queue.maxRecords = Infinity;
        this.#settle(entries);
        this.#scheduleWaiting(queue);
      }
    });
    if (broker.ready.length > 0) this.#startSoon(broker);
  }

  #onFailure(queue: PartitionQueue, entries: readonly Entry[], fault: Fault): void {
    if (fault.code === 'RECORD_TOO_LARGE' && entries.length > 1) {
      // Smaller batches of the same records, in the same order, find the one that is too large.
      putBack(queue, entries);
      queue.maxRecords = Math.ceil(entries.length / 2);
      this.#schedule(queue);
      return;
    }
    if (!fault.retriable) {
      queue.maxRecords = Infinity;
      this.#settle(entries, fault);
      this.#scheduleWaiting(queue);
      return;
    }
    this.#retries++;
    queue.failures++;
    queue.scheduled = true; // before anything is settled, which may append
    putBack(queue, entries);
    this.#expire(queue, this.#io.now(), fault);
    this.#reconsider(queue);
  }

  /** Asks who leads the partition now, waits a little, and lets the queue take part in rounds again. */
  #reconsider(queue: PartitionQueue): void {
    const { first, last } = this.#limits.retryDelayMs;
    const delayMs = Math.min(last, first * 2 ** Math.min(20, Math.max(0, queue.failures - 1)));
    if (this.#io.now() - queue.topic.metadataAt >= metadataMinAgeMs) this.#refreshSoon(queue.topic);
    this.#io.after(delayMs, () => {
      this.#expire(queue, this.#io.now());
      if (queue.head === queue.entries.length) queue.scheduled = false;
      else if (queue.leader < 0) {
        queue.failures++;
        this.#reconsider(queue);
      } else this.#schedule(queue);
    });
  }

  // --- deadlines and settling --------------------------------------------------------------------------------------

  #expire(queue: PartitionQueue, now: number, cause?: Fault): void {
    while (queue.head < queue.entries.length) {
      const entry = queue.entries[queue.head]!;
      if (entry.deadline > now) return;
      queue.head++;
      const where = `topic ${queue.topic.name}, partition ${queue.partition}`;
      this.#settle([entry], new Fault('DEADLINE_EXCEEDED', `${where}: Kafka has not acknowledged the event in time`, { retriable: true, cause }));
    }
    compact(queue);
  }

  #sweepLater(): void {
    if (this.#sweeping) return;
    this.#sweeping = true;
    this.#io.after(expirySweepMs, () => {
      this.#sweeping = false;
      const now = this.#io.now();
      for (const topic of this.#topics.values()) for (const queue of topic.partitions) this.#expire(queue, now);
      if (this.#pending > 0) this.#sweepLater();
    });
  }

  #settle(entries: readonly Entry[], fault?: Fault): void {
    this.#pending -= entries.length;
    for (const entry of entries) entry.settle(fault);
    if (this.#pending === 0 && this.#idleWaiters.length > 0) {
      const waiters = this.#idleWaiters;
      this.#idleWaiters = [];
      for (const resume of waiters) resume();
    }
  }
}

function takeBatch(queue: PartitionQueue): readonly Entry[] {
  const { entries, head } = queue;
  let end = head;
  let bytes = 0;
  while (end < entries.length && end - head < queue.maxRecords) {
    bytes += entries[end]!.bytes;
    if (end > head && batchBytes(bytes) > queue.topic.batchBytes) break;
    end++;
  }
  const taken = entries.slice(head, end);
  queue.head = end;
  compact(queue);
  return taken;
}

function takeWaiting(queue: PartitionQueue): readonly Entry[] {
  const waiting = queue.entries.slice(queue.head);
  queue.entries = [];
  queue.head = 0;
  return waiting;
}

function putBack(queue: PartitionQueue, entries: readonly Entry[]): void {
  queue.entries = [...entries, ...queue.entries.slice(queue.head)];
  queue.head = 0;
}

/** Lets go of what was taken; in steps, so that a long queue is not copied for each batch. */
function compact(queue: PartitionQueue): void {
  if (queue.head === queue.entries.length) {
    queue.entries = [];
    queue.head = 0;
  } else if (queue.head > 1024 && queue.head * 2 > queue.entries.length) {
    queue.entries = queue.entries.slice(queue.head);
    queue.head = 0;
  }
}
