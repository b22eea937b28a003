/**
 * One consumer group: fetch, deliver in order, settle, commit.
 *
 * Each partition has a lane of its own, so that a slow one holds nobody up. Offsets are committed while things go on
 * (at most once per interval, never past an unsettled record), when a rebalance begins, and at the end. While the group
 * takes none nothing new is delivered: it would be delivered again. A member that died is built anew; a changed destination
 * takes effect without leaving the group.
 */
import { decodeKafkaEvent, describeError, type EventError, type Fault, type IncomingRecord, type StoredEvent, type TopicPartition } from '@knative-kafka/common/core';
import { commitMetadataLimitBytes, PartitionMap, type Admin, type AssignedPartition, type GroupMember, type GroupMemberHandlers, type Logger } from '@knative-kafka/common/io';
import { errorData, shownUri } from './core/dead-letter.ts';
import type { DeadLetter } from './core/dead-letter-record.ts';
import type { DesiredConsumer, Destination, SourceSettings } from './core/desired-consumers.ts';
import { InFlightLimit } from './core/in-flight-limit.ts';
import { recordHeaders } from './core/record-headers.ts';
import { answerReason, responseVerdict, type DeliveryAnswer } from './core/response-verdict.ts';
import { eventRecord, sourceEvent } from './core/source-event.ts';
import { startDispatch, type DispatchIo, type DispatchOutcome, type HeldRecord, type OutcomeReceiver, type Role, type Undeliverable } from './dispatch.ts';
import { PartitionLane, type LaneEntry } from './partition-lane.ts';
import type { ConsumerMetrics, PartitionLag } from './io/dispatcher-metrics.ts';
import { RateLeases } from './io/rate-leases.ts';

export interface ConsumeIo {
  readonly createGroupMember: (desired: DesiredConsumer, handlers: GroupMemberHandlers) => GroupMember;
  readonly admin: Pick<Admin, 'commitInitialOffsets'>;
  /** Resolves when it is known how to reach Kafka, or why that is not known yet. */
  readonly kafkaKnown?: Promise<void> | undefined;
  readonly dispatchIo: Omit<DispatchIo, 'readEvent' | 'plainHeaders' | 'onAttempt' | 'onReply' | 'keep' | 'rateLimit'>;
  /** Stores in the dead letter topic, however long that takes. @returns false when the signal ended it */
  readonly keep: (letter: DeadLetter, signal: AbortSignal) => Promise<boolean>;
  readonly metrics: ConsumerMetrics;
  readonly log: Logger;
  /** How much one partition may queue now, given all partitions of the process. */
  readonly partitionQueueBytes: () => number;
  readonly onLanes: (change: number) => void;
}

export interface ConsumeLimits {
  readonly commitIntervalMs: number;
  /** How long the group may take no commit before deliveries wait for it. */
  readonly commitPatienceMs: number;
  /** Deliveries under way at a time, of all partitions together. */
  readonly maxInFlight: number;
}

const firstRebuildDelayMs = 200;
const lastRebuildDelayMs = 3_000;
/** A refused commit is made again after this long, however short the interval is. */
const commitRetryDelayMs = 100;
/** How often the last commit is tried: what it does not take is delivered again by the next member. */
const lastCommitAttempts = 3;
/** A subscriber that fails for some events and not for others starts failing all the time: told once in this time. */
const failingToldAgainMs = 60_000;

/** What is told of the attempts to one place: that they begin to fail, and that they have recovered. */
class Failing {
  /** Of the last attempt, while it failed. */
  reason: string | undefined;
  #isTold = false;
  #toldAt = -Infinity;

  /** @returns whether to tell people */
  fails(reason: string, nowMs: number): boolean {
    this.reason = reason;
    if (this.#isTold || nowMs - this.#toldAt < failingToldAgainMs) return false;
    this.#isTold = true;
    this.#toldAt = nowMs;
    return true;
  }

  /** @returns whether to tell people */
  recovers(): boolean {
    if (this.reason === undefined) return false;
    const wasTold = this.#isTold;
    this.reason = undefined;
    this.#isTold = false;
    return wasTold;
  }
}

export class ConsumerGroup {
  /** As it was started. */
  readonly desired: DesiredConsumer;
  /** As it is wanted now: `isSameConsumer` as `desired`. */
  #current: DesiredConsumer;
  /** Asked for every attempt. */
  readonly #currentDestination = (): Destination => this.#current.destination;
  /** Of a KafkaSource; undefined while there is no limit. */
  #rateLeases: RateLeases | undefined;
  readonly #inFlightLimit: InFlightLimit;
  readonly #io: ConsumeIo;
  readonly #limits: ConsumeLimits;
  #member: GroupMember | undefined;
  #lanes = new PartitionMap<PartitionLane>();
  #failures = 0;
  /** Why the group is not joined. */
  #trouble: string | undefined;
  #isStopping = false;
  #hasInitialOffsets: boolean;
  #isJoined = false;
  readonly #failing = { 'subscriber': new Failing(), 'reply': new Failing(), 'dead-letter-sink': new Failing() } satisfies Record<Role, Failing>;
  readonly #outcomes = { 'delivered': 0, 'dead-lettered': 0, 'kept': 0, 'dropped': 0 };
  #rebalancingSince: number | undefined;
  #commitTimer: NodeJS.Timeout | undefined;
  #committing: Promise<void> | undefined;
  #lastCommitAt = 0;
  #isCommitRefused = false;
  /** Runs while there is a commit that the group has not taken. */
  #patience: NodeJS.Timeout | undefined;
  /** Deliveries wait for commits. While they do a commit is under way, or soon will be. */
  #isHeld = false;
  readonly #ended = new AbortController();
  /** Of limits that are no more. */
  #rateLimitWaitedMs = 0;

  constructor(desired: DesiredConsumer, io: ConsumeIo, limits: ConsumeLimits) {
    this.desired = desired;
    this.#current = desired;
    this.#hasInitialOffsets = desired.initialOffset === undefined;
    this.#io = io;
    this.#limits = limits;
    this.#inFlightLimit = new InFlightLimit(limits.maxInFlight);
    this.#followRate();
  }

  /** Whether records are (or would be) delivered: offsets fixed, group joined. */
  get isReady(): boolean {
    return this.#isJoined;
  }

  /** Whether no event stored from now on can be missed. */
  get hasInitialOffsets(): boolean {
    return this.#hasInitialOffsets;
  }

  /** Why the group is not joined, where that has been tried; undefined while it is. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Of a KafkaSource, as it is wanted now. */
  get source(): SourceSettings | undefined {
    return this.#current.source;
  }

  /** Of the partitions that this member has, those whose end is known. */
  lag(): readonly PartitionLag[] {
    const lags: PartitionLag[] = [];
    for (const { topic, partition, lag } of this.#lanes.values()) if (lag !== undefined) lags.push({ topic, partition, lag });
    return lags;
  }

  get partitions(): number {
    return this.#lanes.size;
  }

  /** How long deliveries have waited for the rate limit, one beside the other. */
  get rateLimitWaitSeconds(): number {
    return this.#rateLimitWaitedMs / 1000 + (this.#rateLeases === undefined ? 0 : this.#rateLeases.waitedMs / 1000);
  }

  /** Deliveries that wait for the rate limit. */
  get rateLimitWaiting(): number {
    return this.#rateLeases?.waiting ?? 0;
  }

  /** Deliveries that have a place: an attempt is under way. */
  get inFlight(): number {
    return this.#inFlightLimit.taken;
  }

  /** Deliveries that wait for a retry. */
  get retriesWaiting(): number {
    let begun = 0;
    for (const lane of this.#lanes.values()) begun += lane.inFlight;
    return Math.max(0, begun - this.#inFlightLimit.taken); // lanes that are gone may still have places
  }

  get inFlightLimit(): number {
    return this.#inFlightLimit.limit;
  }

  get queuedBytes(): number {
    let bytes = 0;
    for (const lane of this.#lanes.values()) bytes += lane.queuedBytes;
    return bytes;
  }

  /** What became of records so far, and why the subscriber fails while it does. */
  get results(): { readonly delivered: number; readonly deadLettered: number; readonly kept: number; readonly dropped: number; readonly failing: string | undefined } {
    const { delivered, kept, dropped, 'dead-lettered': deadLettered } = this.#outcomes;
    return { delivered, deadLettered, kept, dropped, failing: this.#failing.subscriber.reason };
  }

  /**
   * Takes effect at the next attempt of each record.
   * @param wanted `isSameConsumer` as `desired`
   */
  update(wanted: DesiredConsumer): void {
    this.#current = wanted;
    this.#followRate();
  }

  #followRate(): void {
    const eventsPerSecond = this.#isStopping ? undefined : this.#current.source?.eventsPerSecond;
    if (eventsPerSecond !== undefined) {
      if (this.#rateLeases === undefined) this.#rateLeases = new RateLeases(eventsPerSecond);
      else this.#rateLeases.setRate(eventsPerSecond);
    } else if (this.#rateLeases !== undefined) {
      const leases = this.#rateLeases;
      this.#rateLeases = undefined;
      leases.close();
      this.#rateLimitWaitedMs += leases.waitedMs;
    }
  }

  /** Starts and keeps trying until `stop`; never rejects. */
  start(): void {
    void this.#build();
  }

  async #build(): Promise<void> {
    const { groupId, owner } = this.desired;
    let member: GroupMember | undefined;
    try {
      if (this.#io.kafkaKnown !== undefined) await this.#io.kafkaKnown;
      await this.#commitInitialOffsets();
      if (this.#isStopping) return;
      member = this.#io.createGroupMember(this.desired, {
        rebalancing: () => this.#onRebalancing(),
        revoking: (partitions) => this.#onRevoking(partitions),
        assigned: (partitions) => this.#onAssigned(partitions),
        records: ({ topic, partition }, records, highWatermark) => this.#lanes.get(topic, partition)?.add(records, highWatermark),
        offsetReset: (partition) => this.#onOffsetReset(partition),
        lost: (fault) => this.#onLost(fault),
      });
      this.#member = member;
      await member.start();
    } catch (error) {
      if (member !== undefined && this.#member !== member) return; // its loss was told before, and has been seen to
      this.#member = undefined;
      this.#trouble = describeError(error);
      await member?.close(); // before the next one, which may have its name
      if (this.#failures === 0 && !this.#isStopping) this.#io.log.warn({ ...owner, groupId, err: error }, 'consumer group not joined, trying again');
      this.#rebuildLater();
    }
  }

  async #commitInitialOffsets(): Promise<void> {
    const { groupId, topics, initialOffset } = this.desired;
    if (this.#hasInitialOffsets || initialOffset === undefined || this.#isStopping) return;
    for (const topic of topics) await this.#io.admin.commitInitialOffsets(groupId, topic, initialOffset);
    this.#hasInitialOffsets = true;
  }

  #rebuildLater(): void {
    if (this.#isStopping) return;
    const delayMs = Math.min(lastRebuildDelayMs, firstRebuildDelayMs * 2 ** this.#failures++);
    void this.#io.dispatchIo.sleep(delayMs, this.#ended.signal).then((mayGoOn) => (mayGoOn ? this.#build() : undefined));
  }

  // --- what the member tells ---------------------------------------------------------------------------------------

  #onRebalancing(): void {
    this.#startRebalance();
    for (const lane of this.#lanes.values()) lane.suspend();
    void this.#commit(); // the old membership may still commit; what is not committed now may be delivered twice
  }

  async #onRevoking(partitions: readonly TopicPartition[]): Promise<void> {
    this.#startRebalance();
    const lanes = partitions.map(({ topic, partition }) => this.#lanes.get(topic, partition)).filter((lane) => lane !== undefined);
    await Promise.all(lanes.map((lane) => lane.drain()));
    await this.#commit();
  }

  #startRebalance(): void {
    this.#io.metrics.rebalances.inc();
    this.#rebalancingSince ??= performance.now();
  }

  #onAssigned(partitions: readonly AssignedPartition[]): void {
    if (this.#rebalancingSince !== undefined) this.#io.metrics.rebalanceSeconds.observe((performance.now() - this.#rebalancingSince) / 1000);
    this.#rebalancingSince = undefined;
    this.#endPatience();
    const before = this.#lanes;
    this.#lanes = new PartitionMap();
    for (const assigned of partitions) {
      const { topic, partition, kept } = assigned;
      const lane = before.get(topic, partition);
      if (lane !== undefined && kept) {
        before.delete(topic, partition);
        this.#lanes.set(topic, partition, lane);
      } else if (!this.#isStopping) this.#lanes.set(topic, partition, this.#createLane(assigned)); // else it is the next member's
    }
    for (const lane of before.values()) this.#stopLane(lane);
    for (const lane of this.#lanes.values()) lane.proceed();
    this.#failures = 0;
    this.#trouble = undefined;
    this.#isJoined = true;
    this.#io.log.info({ ...this.desired.owner, partitions: this.#shownPartitions(partitions) }, 'partitions assigned');
  }

  /** Numbers, with their topics where there can be several. */
  #shownPartitions(partitions: readonly TopicPartition[]): readonly (number | string)[] {
    return partitions.map(({ topic, partition }) => (this.desired.source === undefined ? partition : `${topic}/${partition}`));
  }

  #onOffsetReset({ topic, partition }: TopicPartition): void {
    this.#io.metrics.offsetResets.inc();
    this.#io.log.error({ ...this.desired.owner, topic, partition }, 'committed offset is outside the log, going on with the oldest record');
    const lane = this.#lanes.get(topic, partition);
    if (lane !== undefined) this.#stopLane(lane);
    this.#lanes.delete(topic, partition);
    if (!this.#isStopping) this.#lanes.set(topic, partition, this.#createLane({ topic, partition }));
  }

  #onLost(fault: Fault): void {
    const member = this.#member;
    this.#member = undefined;
    this.#isJoined = false;
    this.#trouble = describeError(fault);
    this.#rebalancingSince = undefined;
    this.#endPatience();
    this.#io.log.warn({ ...this.desired.owner, err: fault }, 'consumer group membership lost, building a new one');
    for (const lane of this.#lanes.values()) this.#stopLane(lane);
    this.#lanes.clear();
    // The next member may have its name: what this one still tells the group must not be taken for the next one's.
    void (member?.close() ?? Promise.resolve()).finally(() => this.#rebuildLater());
  }

  // --- lanes -------------------------------------------------------------------------------------------------------

  #createLane({ topic, partition, metadata }: TopicPartition & Pick<AssignedPartition, 'metadata'>): PartitionLane {
    this.#io.onLanes(1);
    const { order, source } = this.desired;
    const place: TopicPartition = { topic, partition };
    const io: DispatchIo = {
      ...this.#io.dispatchIo,
      plainHeaders: source === undefined ? recordHeaders : undefined,
      readEvent: source === undefined ? readChannelEvent : (record) => this.#sourceEvent(record, place),
      rateLimit: source === undefined ? undefined : () => this.#rateLeases,
      sleep: (ms, signal) => this.#inFlightLimit.without(this.#io.dispatchIo.sleep(ms, signal), signal),
      keep: (undeliverable, signal) => this.#keep(undeliverable, place, signal),
      onAttempt: (role, answer, willRetry) => this.#onAttempt(role, answer, willRetry),
      onReply: (result) => this.#io.metrics.reply(result),
    };
    const ended = (entry: LaneEntry, outcome: DispatchOutcome): void => {
      this.#io.metrics.dispatchSeconds.observe((performance.now() - entry.startedAt) / 1000);
      lane.ended(entry, outcome);
    };
    const receiver: OutcomeReceiver<LaneEntry> = {
      ended,
      failed: (entry, error, signal) => void this.#keepAfterBug(entry, error, io, signal).then((outcome) => ended(entry, outcome)),
    };
    const lane: PartitionLane = new PartitionLane({ topic, partition, order, metadata, inFlightLimit: this.#inFlightLimit, metadataLimitBytes: commitMetadataLimitBytes }, {
      dispatch: (entry, signal) => {
        entry.startedAt = performance.now();
        startDispatch(entry, this.#currentDestination, io, signal, receiver);
      },
      pause: () => this.#member?.pause(place),
      resume: () => this.#member?.resume(place),
      onSettled: (outcome) => this.#onSettled(outcome),
      onSkipped: (records) => {
        this.#io.metrics.skipped.inc(records);
        this.#commitSoon();
      },
      onQueued: (bytes) => this.#io.metrics.queueBytes.inc(bytes),
      queueLimitBytes: this.#io.partitionQueueBytes,
    });
    return lane;
  }

  #sourceEvent(record: IncomingRecord, place: TopicPartition): StoredEvent {
    return sourceEvent(record, place, this.#current.source!.events);
  }

  #stopLane(lane: PartitionLane): void {
    lane.stop();
    this.#io.onLanes(-1);
  }

  /** A bug must not cost the event, nor the others of the partition theirs: it is kept for whoever mends the bug. */
  async #keepAfterBug(held: HeldRecord, error: unknown, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
    this.#io.log.error({ ...this.desired.owner, err: error }, 'delivery failed with a bug');
    const isKept = await io.keep({ record: held.record, attempts: held.failedAttempts ?? 0, failure: undefined, reason: 'internal-error' }, signal);
    return isKept ? { kind: 'kept', reason: 'internal-error' } : { kind: 'interrupted' };
  }

  #onAttempt(role: Role, answer: DeliveryAnswer, willRetry: boolean): void {
    this.#io.metrics.attempt(role, answer, willRetry);
    const told = this.#failing[role];
    const { owner } = this.desired;
    if (responseVerdict(answer) === 'delivered') {
      if (told.recovers()) this.#io.log.info({ ...owner, to: role }, 'delivery has recovered');
      return;
    }
    const reason = answerReason(answer);
    if (!told.fails(reason, performance.now())) return;
    const { subscriber, reply, deadLetterSink } = this.#current.destination;
    const uri = { 'subscriber': subscriber, 'reply': reply, 'dead-letter-sink': deadLetterSink }[role]?.uri;
    this.#io.log.warn({ ...owner, to: role, uri: uri === undefined ? undefined : shownUri(uri), reason }, 'delivery starts failing');
  }

  #keep({ record, attempts, failure, reason }: Undeliverable, place: TopicPartition, signal: AbortSignal): Promise<boolean> {
    const { groupId, owner, source } = this.desired;
    const subscriberUri = this.#current.destination.subscriber.uri;
    const answer = failure?.answer;
    return this.#io.keep({
      ...place, groupId, subscriberUri, reason, attempts,
      // Whoever sends it again knows of no KafkaSource. A bug may be one of reading the record.
      record: source === undefined || reason === 'internal-error' ? record : eventRecord(this.#sourceEvent(record, place), record),
      channel: owner.channel ?? owner.source,
      subscription: owner.subscription ?? source!.events.name,
      destination: failure?.uri ?? subscriberUri,
      code: answer !== undefined && 'status' in answer ? answer.status : undefined,
      data: answer === undefined ? undefined : errorData(answer),
      timeMs: this.#io.dispatchIo.now(),
    }, signal);
  }

  #onSettled(outcome: DispatchOutcome): void {
    this.#io.metrics.outcome(outcome);
    if (outcome.kind === 'interrupted') return;
    this.#outcomes[outcome.kind]++;
    this.#commitSoon();
  }

  // --- commits -----------------------------------------------------------------------------------------------------

  #commitSoon(): void {
    if (this.#commitTimer !== undefined || this.#committing !== undefined || this.#isStopping) return;
    const intervalMs = this.#isCommitRefused ? Math.max(commitRetryDelayMs, this.#limits.commitIntervalMs) : this.#limits.commitIntervalMs;
    const waitMs = intervalMs - (performance.now() - this.#lastCommitAt);
    if (waitMs <= 0) void this.#commit();
    else {
      this.#commitTimer = setTimeout(() => {
        this.#commitTimer = undefined;
        void this.#commit();
      }, waitMs);
    }
  }

  /** Never rejects: what was not taken is committed with the next one, or delivered again by whoever gets the partition. */
  async #commit(): Promise<void> {
    while (this.#committing !== undefined) await this.#committing;
    const member = this.#member;
    const moved = [...this.#lanes.values()].flatMap((lane) => {
      const commit = lane.commit();
      return commit === undefined ? [] : [{ lane, commit }];
    });
    if (moved.length === 0) this.#release();
    if (member === undefined || moved.length === 0) return;
    this.#lastCommitAt = performance.now();
    this.#bePatient();
    this.#committing = member
      .commit(moved.map(({ lane, commit: { commitOffset, metadata } }) => ({ topic: lane.topic, partition: lane.partition, commitOffset, metadata })))
      .then(
        () => {
          this.#isCommitRefused = false;
          for (const { lane, commit } of moved) lane.accepted(commit);
          this.#io.metrics.commits.inc();
          this.#release();
        },
        (error: unknown) => {
          this.#isCommitRefused = true;
          this.#io.metrics.commitFailures.inc();
          this.#io.log.debug({ groupId: this.desired.groupId, err: error }, 'offsets not committed');
        },
      )
      .finally(() => {
        this.#committing = undefined;
      });
    await this.#committing;
    if ([...this.#lanes.values()].some((lane) => lane.hasMoved)) this.#commitSoon();
  }

  #bePatient(): void {
    if (this.#patience !== undefined) return;
    // One turn later, when whatever has arrived is read: where it was this process that stood still, a commit may have been taken.
    const patience = setTimeout(() => setImmediate(() => {
      if (this.#patience === patience) this.#hold();
    }), this.#limits.commitPatienceMs);
    this.#patience = patience;
  }

  #hold(): void {
    if (this.#isStopping || this.#rebalancingSince !== undefined) return; // the end of either comes with a commit of its own
    this.#isHeld = true;
    this.#io.log.warn({ ...this.desired.owner, groupId: this.desired.groupId }, 'the group takes no commits, so nothing new is delivered until it does');
    for (const lane of this.#lanes.values()) lane.suspend();
  }

  #release(): void {
    const wasHeld = this.#isHeld;
    this.#endPatience();
    if (!wasHeld || this.#isStopping) return;
    this.#io.log.info({ ...this.desired.owner, groupId: this.desired.groupId }, 'the group takes commits again');
    if (this.#rebalancingSince !== undefined) return; // it tells what goes on
    for (const lane of this.#lanes.values()) lane.proceed();
  }

  #endPatience(): void {
    clearTimeout(this.#patience);
    this.#patience = undefined;
    this.#isHeld = false;
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  /**
   * Starts nothing new, waits for the attempts under way, commits and leaves the group.
   * @param drainTimeoutMs how long attempts may take; what is not settled then is delivered by the next member
   */
  async stop(drainTimeoutMs: number): Promise<void> {
    this.#isStopping = true;
    this.#ended.abort();
    clearTimeout(this.#commitTimer);
    this.#commitTimer = undefined;
    this.#endPatience();
    const waited = new AbortController();
    await Promise.race([
      Promise.all([...this.#lanes.values()].map((lane) => lane.drain())),
      this.#io.dispatchIo.sleep(drainTimeoutMs, waited.signal),
    ]);
    waited.abort();
    for (let attempt = 0; attempt < lastCommitAttempts && [...this.#lanes.values()].some((lane) => lane.hasMoved); attempt++) await this.#commit();
    const member = this.#member;
    this.#member = undefined;
    await member?.close();
    for (const lane of this.#lanes.values()) this.#stopLane(lane);
    this.#lanes.clear();
    this.#isJoined = false;
    this.#followRate();
  }
}

function readChannelEvent({ headers, value }: IncomingRecord): StoredEvent | EventError {
  return decodeKafkaEvent(headers, value);
}
