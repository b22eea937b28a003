/**
 * One run of `redrive` over a dead letter topic: join, send, settle.
 *
 * It is a member of the consumer group `<topic>.redrive` and works only while that gives it every partition, so that
 * there is one at a time; whoever finds another one there leaves.
 */
import { decodeKafkaEvent, describeError, encodeHttpEvent, Fault, isEventError, type IncomingRecord } from '@knative-kafka/common/core';
import { sleep, type Admin, type AssignedPartition, type GroupMember, type KafkaClient } from '@knative-kafka/common/io';
import { foreignReason, lacksCredentials, readDeadLetter, toCopy, toDeadLetterRecord, toDeliveryNote, type StoredDeadLetter } from './core/dead-letter-record.ts';
import { TextHeaders } from './core/request-headers.ts';
import { answerReason, responseVerdict, type DeliveryAnswer } from './core/response-verdict.ts';
import type { RedriveCommand } from './dead-letter-command.ts';
import { openRanges, readerOptions, type DeadLetterWriter, type PartitionRange } from './io/dead-letter-topic.ts';
import type { SubscriberClient } from './io/subscriber-client.ts';

/** One after the first attempt each, in milliseconds. */
const retryDelaysMs = [500, 2_000];
const attemptTimeoutMs = 30_000;
/** A partition hands over no more than this before it is dealt with. */
const fetchBytes = 256 * 1024;
/** A newcomer that was given some partitions waits this long to be given all: the others may be leaving. */
const soleTimeoutMs = 2 * readerOptions.sessionTimeoutMs;

export interface CommandIo {
  readonly kafka: KafkaClient;
  readonly client: Pick<SubscriberClient, 'send'>;
  /** One line of what was asked for. */
  print(line: string): void;
  /** One line that says how far it is; the next one replaces it. */
  progress(line: string): void;
  /** One line that is worth knowing beside the result. */
  warn(line: string): void;
  /** Ends early and in order: what is under way is finished. */
  readonly signal: AbortSignal;
}

/** By partition and offset, what each open record amounts to; a partition's in the order stored. */
export type OpenRecords<T> = ReadonlyMap<number, ReadonlyMap<bigint, T>>;

interface Lane {
  readonly range: PartitionRange;
  /** By offset, whether an open record is to be sent; a record that is missing here is settled. */
  readonly open: ReadonlyMap<bigint, boolean>;
  queue: IncomingRecord[];
  /** The next record to queue, and the next one to deal with. */
  queuedTo: bigint;
  doneTo: bigint;
}

/**
 * One run over a topic.
 *
 * Always true: an event is sent only while the group gives its partition to this member, the record before it in the
 * partition is settled, and nothing is committed that is not.
 */
export class Redrive {
  readonly results = { delivered: 0, failed: new Map<string, number>(), leftOut: 0 };
  wasCut = false;
  readonly #command: RedriveCommand;
  readonly #admin: Admin;
  readonly #io: CommandIo;
  readonly #writer: DeadLetterWriter;
  #member: GroupMember | undefined;
  readonly #lanes = new Map<number, Lane>();
  #partitionCount = 0;
  #owned: ReadonlySet<number> = new Set();
  /** Once the group has given it every partition, it is the one that works; a newcomer leaves it alone. */
  #isSole = false;
  #isRebalancing = false;
  #fault: Fault | undefined;
  #waiters: (() => void)[] = [];
  #soleTimer: NodeJS.Timeout | undefined;
  #total = 0;
  readonly #onAbort = (): void => this.#wake();

  constructor(command: RedriveCommand, admin: Admin, io: CommandIo, writer: DeadLetterWriter) {
    this.#command = command;
    this.#admin = admin;
    this.#io = io;
    this.#writer = writer;
    io.signal.addEventListener('abort', this.#onAbort);
  }

  /** Resolves once all partitions are this member's. @throws Fault when another redrive has them */
  async join(partitionCount: number, groupId: string): Promise<void> {
    this.#partitionCount = partitionCount;
    const { topic } = this.#command;
    this.#member = this.#io.kafka.createGroupMember({
      ...readerOptions,
      fetchBytesPerPartition: fetchBytes,
      groupId,
      topics: [topic],
      handlers: {
        rebalancing: () => {
          this.#isRebalancing = true;
        },
        revoking: () => Promise.resolve(),
        assigned: (partitions) => this.#onAssigned(partitions),
        records: ({ partition }, records) => this.#onRecords(partition, records),
        offsetReset: ({ partition }) => void this.#onOffsetReset(partition),
        lost: (fault) => this.#fail(fault),
      },
    });
    await this.#member.start();
    await this.#until(() => this.#isSole);
  }

  #onAssigned(partitions: readonly AssignedPartition[]): void {
    this.#isRebalancing = false;
    this.#owned = new Set(partitions.map(({ partition }) => partition));
    const hasAll = this.#owned.size === this.#partitionCount;
    clearTimeout(this.#soleTimer);
    if (!this.#isSole) {
      if (hasAll) this.#isSole = true;
      // Two that begin together must not both leave.
      else if (this.#owned.has(0)) this.#soleTimer = setTimeout(() => this.#fail(anotherOne()), soleTimeoutMs);
      else this.#fail(anotherOne());
    } else if (!partitions.some(({ kept }) => kept)) {
      // Out of the group for a while, or relieved by another one: what was read is no longer the truth.
      this.#fail(new Fault('KAFKA_REFUSED', 'the consumer group has given the topic to another redrive meanwhile; run it again for the rest', { retriable: true }));
    }
    for (const partition of this.#owned) this.#pauseOrResume(partition);
    this.#wake();
  }

  #onRecords(partition: number, records: readonly IncomingRecord[]): void {
    const lane = this.#lanes.get(partition);
    if (lane === undefined) return; // read again after `sendAll` has begun
    for (const record of records) {
      if (record.offset < lane.queuedTo || record.offset >= lane.range.end) continue;
      lane.queue.push(record);
      lane.queuedTo = record.offset + 1n;
    }
    const last = records.at(-1);
    // What is missing before the end of the range does not exist.
    if (last !== undefined && last.offset + 1n >= lane.range.end) lane.queuedTo = lane.range.end;
    this.#pauseOrResume(partition);
    this.#wake();
  }

  /** Retention has taken what was to be sent next, or the topic was made anew. Reading goes on with the oldest, if there is one left. */
  async #onOffsetReset(partition: number): Promise<void> {
    try {
      const ranges = await openRanges(this.#admin, this.#command.topic, this.#io.signal);
      const lane = this.#lanes.get(partition);
      const oldest = ranges.find((range) => range.partition === partition)?.start;
      if (lane !== undefined && oldest !== undefined && oldest >= lane.range.end) lane.queuedTo = lane.range.end;
      this.#wake();
    } catch (error) {
      this.#fail(asFault(error));
    }
  }

  #pauseOrResume(partition: number): void {
    const lane = this.#lanes.get(partition);
    const { topic } = this.#command;
    if (lane !== undefined && lane.queue.length === 0 && lane.queuedTo < lane.range.end) this.#member?.resume({ topic, partition });
    else this.#member?.pause({ topic, partition });
  }

  /**
   * Deals with all ranges, each in its order and beside the others.
   * @throws Fault when it cannot go on; what was settled until then is
   */
  async sendAll(ranges: readonly PartitionRange[], openRecords: OpenRecords<boolean>): Promise<void> {
    for (const range of ranges) {
      const open = openRecords.get(range.partition) ?? new Map<bigint, boolean>();
      for (const isWanted of open.values()) if (isWanted) this.#total++;
      this.#lanes.set(range.partition, { range, open, queue: [], queuedTo: range.start, doneTo: range.start });
    }
    this.#tellProgress();
    for (const partition of this.#owned) this.#pauseOrResume(partition);
    const ends = await Promise.allSettled([...this.#lanes.values()].map((lane) => this.#runLane(lane)));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  async #runLane(lane: Lane): Promise<void> {
    const { partition, end } = lane.range;
    while (lane.doneTo < end) {
      await this.#until(() => lane.queue.length > 0 || lane.queuedTo >= end);
      const copies: Promise<void>[] = [];
      try {
        for (let record = lane.queue.shift(); record !== undefined; record = lane.queue.shift()) await this.#settle(lane, record, copies);
      } finally {
        await Promise.allSettled(copies);
      }
      await Promise.all(copies);
      lane.doneTo = lane.queuedTo;
      await this.#commit(partition, lane.doneTo);
      this.#pauseOrResume(partition);
    }
  }

  /** Leaves the record settled, or throws. Copies are on their way when this returns; there may be many of them. */
  async #settle(lane: Lane, record: IncomingRecord, copies: Promise<void>[]): Promise<void> {
    const { partition } = lane.range;
    const isWanted = lane.open.get(record.offset);
    if (isWanted === undefined) return;
    await this.#until(() => !this.#isRebalancing && this.#owned.has(partition));
    const { topic } = this.#command;
    const putBack = (copy: ReturnType<typeof toCopy>): void => {
      const stored = this.#writer.append(topic, partition, copy);
      stored.catch((error: unknown) => this.#fail(asFault(error)));
      copies.push(stored);
    };
    if (!isWanted) {
      putBack(toCopy(record));
      this.results.leftOut++;
      return;
    }
    const letter = readDeadLetter(record);
    const failure = letter === undefined ? undefined : await this.#send(letter);
    if (letter === undefined) {
      putBack(toCopy(record));
      this.#countFailure(foreignReason);
    } else if (failure === undefined) {
      await this.#writer.append(topic, partition, toDeliveryNote(record.offset, Date.now()));
      this.results.delivered++;
    } else {
      const { attempts, ...why } = failure;
      putBack(toDeadLetterRecord({ ...letter, ...why, attempts: letter.attempts + attempts, timeMs: Date.now() }, { redrives: letter.redrives + 1, settles: record.offset }));
      this.#countFailure(failure.reason);
    }
    this.#tellProgress();
  }

  #countFailure(reason: string): void {
    const { failed } = this.results;
    failed.set(reason, (failed.get(reason) ?? 0) + 1);
  }

  /** @returns nothing when it was delivered, else what is new about the letter. @throws Fault when it was interrupted */
  async #send(letter: StoredDeadLetter): Promise<SendFailure | undefined> {
    const uri = this.#command.to ?? letter.subscriberUri;
    if (lacksCredentials(uri)) return { reason: 'credentials-not-kept', code: undefined, data: undefined, destination: uri, attempts: 0 };
    const event = decodeKafkaEvent(letter.record.headers, letter.record.value);
    if (isEventError(event)) return { reason: 'not-a-cloudevent', code: undefined, data: undefined, destination: uri, attempts: 0 };
    const { headers, body } = encodeHttpEvent(event);
    headers.push('prefer', 'reply', 'kn-namespace', letter.channel.slice(0, letter.channel.indexOf('/')));
    for (let retry = 0; ; retry++) {
      const answer = await this.#io.client.send({ uri, headers: new TextHeaders(headers), body, timeoutMs: attemptTimeoutMs, wantsReply: false });
      const verdict = responseVerdict(answer);
      if (verdict === 'delivered') return undefined;
      const delayMs = verdict === 'retry' ? retryDelaysMs[retry] : undefined;
      if (delayMs === undefined) return { ...failureOf(answer), destination: uri, attempts: retry + 1 };
      await sleep(delayMs, this.#io.signal);
      this.#throwIfOver();
    }
  }

  /** Only spares the next run some reading, so a commit that is refused is none to worry about. */
  async #commit(partition: number, commitOffset: bigint): Promise<void> {
    const { topic } = this.#command;
    await this.#member?.commit([{ topic, partition, commitOffset }]).catch(() => undefined);
  }

  #tellProgress(): void {
    const { delivered, failed } = this.results;
    const failures = [...failed.values()].reduce((sum, count) => sum + count, 0);
    this.#io.progress(`sent ${delivered + failures} of ${this.#total}${failures === 0 ? '' : `, ${failures} failed again`}`);
  }

  #fail(fault: Fault): void {
    this.#fault ??= fault;
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resume of waiters) resume();
  }

  #throwIfOver(): void {
    if (this.#fault !== undefined) throw this.#fault;
    if (this.#io.signal.aborted) throw new Fault('CLOSED', 'stopped', { retriable: false });
  }

  async #until(isTrue: () => boolean): Promise<void> {
    this.#throwIfOver();
    while (!isTrue()) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
      this.#throwIfOver();
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#soleTimer);
    this.#io.signal.removeEventListener('abort', this.#onAbort);
    await this.#member?.close();
  }
}

interface SendFailure {
  readonly reason: string;
  readonly code: number | undefined;
  readonly data: Buffer | undefined;
  readonly destination: string;
  readonly attempts: number;
}

function failureOf(answer: DeliveryAnswer): Pick<SendFailure, 'reason' | 'code' | 'data'> {
  const reason = answerReason(answer);
  return 'failure' in answer ? { reason, code: undefined, data: Buffer.from(answer.message) } : { reason, code: answer.status, data: answer.body };
}

function anotherOne(): Fault {
  return new Fault('KAFKA_REFUSED', 'another redrive of this topic is under way', { retriable: true });
}

function asFault(error: unknown): Fault {
  return error instanceof Fault ? error : new Fault('KAFKA_PROTOCOL', describeError(error), { retriable: false, cause: error });
}
