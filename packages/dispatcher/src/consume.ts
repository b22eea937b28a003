/**
 * One consumer group: fetch, deliver in order, settle, commit.
 *
 * Each partition has a lane of its own, so that a slow one holds nobody up. Offsets are committed while things go on
 * (at most once per interval, never past an unsettled record), when a rebalance begins, and at the end. A member that
 * died is built anew; a changed destination takes effect without leaving the group.
 */
import type { Fault, TopicPartition } from '@knative-kafka/common/core';
import { commitMetadataLimitBytes, type Admin, type AssignedPartition, type GroupMember, type GroupMemberHandlers, type Logger } from '@knative-kafka/common/io';
import { errorData, shownUri } from './core/dead-letter.ts';
import type { DeadLetter } from './core/dead-letter-record.ts';
import type { DesiredConsumer, Destination } from './core/desired-consumers.ts';
import { InFlightLimit } from './core/in-flight-limit.ts';
import { answerReason, responseVerdict, type DeliveryAnswer } from './core/response-verdict.ts';
import { dispatch, type DispatchIo, type DispatchOutcome, type HeldRecord, type Role, type Undeliverable } from './dispatch.ts';
import { PartitionLane } from './partition-lane.ts';
import type { ConsumerMetrics } from './io/dispatcher-metrics.ts';

export interface ConsumeIo {
  readonly createGroupMember: (groupId: string, topic: string, handlers: GroupMemberHandlers) => GroupMember;
  readonly admin: Pick<Admin, 'commitInitialOffsets'>;
  readonly dispatchIo: Omit<DispatchIo, 'onAttempt' | 'onReply' | 'keep'>;
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
  readonly desired: DesiredConsumer;
  #destination: Destination;
  /** Asked for every attempt. */
  readonly #currentDestination = (): Destination => this.#destination;
  readonly #inFlightLimit: InFlightLimit;
  readonly #io: ConsumeIo;
  readonly #limits: ConsumeLimits;
  #member: GroupMember | undefined;
  #lanes = new Map<number, PartitionLane>();
  #failures = 0;
  #isStopping = false;
  #hasInitialOffsets = false;
  #isJoined = false;
  readonly #failing = { 'subscriber': new Failing(), 'reply': new Failing(), 'dead-letter-sink': new Failing() } satisfies Record<Role, Failing>;
  readonly #outcomes = { 'delivered': 0, 'dead-lettered': 0, 'kept': 0, 'dropped': 0 };
  #rebalancingSince: number | undefined;
  #commitTimer: NodeJS.Timeout | undefined;
  #committing: Promise<void> | undefined;
  #lastCommitAt = 0;
  #isCommitRefused = false;
  readonly #ended = new AbortController();

  constructor(desired: DesiredConsumer, io: ConsumeIo, limits: ConsumeLimits) {
    this.desired = desired;
    this.#destination = desired.destination;
    this.#io = io;
    this.#limits = limits;
    this.#inFlightLimit = new InFlightLimit(limits.maxInFlight);
  }

  /** Whether records are (or would be) delivered: offsets fixed, group joined. */
  get isReady(): boolean {
    return this.#isJoined;
  }

  /** Whether no event stored from now on can be missed. */
  get hasInitialOffsets(): boolean {
    return this.#hasInitialOffsets;
  }

  lag(): ReadonlyMap<number, number> {
    const lag = new Map<number, number>();
    for (const lane of this.#lanes.values()) if (lane.lag !== undefined) lag.set(lane.partition, lane.lag);
    return lag;
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

  /** Takes effect at the next attempt of each record. */
  setDestination(destination: Destination): void {
    this.#destination = destination;
  }

  /** Starts and keeps trying until `stop`; never rejects. */
  start(): void {
    void this.#build();
  }

  async #build(): Promise<void> {
    const { groupId, topic, subscription, channel } = this.desired;
    let member: GroupMember | undefined;
    try {
      if (!this.#hasInitialOffsets) {
        await this.#io.admin.commitInitialOffsets(groupId, topic, 'latest');
        this.#hasInitialOffsets = true;
      }
      if (this.#isStopping) return;
      member = this.#io.createGroupMember(groupId, topic, {
        rebalancing: () => this.#onRebalancing(),
        revoking: (partitions) => this.#onRevoking(partitions),
        assigned: (partitions) => this.#onAssigned(partitions),
        records: ({ partition }, records, highWatermark) => this.#lanes.get(partition)?.add(records, highWatermark),
        offsetReset: ({ partition }) => this.#onOffsetReset(partition),
        lost: (fault) => this.#onLost(fault),
      });
      this.#member = member;
      await member.start();
    } catch (error) {
      if (member !== undefined && this.#member !== member) return; // its loss was told before, and has been seen to
      this.#member = undefined;
      await member?.close(); // before the next one, which may have its name
      if (this.#failures === 0 && !this.#isStopping) this.#io.log.warn({ channel, subscription, groupId, err: error }, 'consumer group not joined, trying again');
      this.#rebuildLater();
    }
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
    const lanes = partitions.map(({ partition }) => this.#lanes.get(partition)).filter((lane) => lane !== undefined);
    await Promise.all(lanes.map((lane) => lane.drain()));
    await this.#commit();
  }

  #startRebalance(): void {
    this.#io.metrics.rebalances.inc();
    this.#rebalancingSince ??= performance.now();
  }

  #onAssigned(partitions: readonly AssignedPartition[]): void {
    const { channel, subscription } = this.desired;
    if (this.#rebalancingSince !== undefined) this.#io.metrics.rebalanceSeconds.observe((performance.now() - this.#rebalancingSince) / 1000);
    this.#rebalancingSince = undefined;
    const before = this.#lanes;
    this.#lanes = new Map();
    for (const { partition, kept, metadata } of partitions) {
      const lane = before.get(partition);
      if (lane !== undefined && kept) {
        before.delete(partition);
        this.#lanes.set(partition, lane);
      } else if (!this.#isStopping) this.#lanes.set(partition, this.#createLane({ partition, metadata })); // else it is the next member's
    }
    for (const lane of before.values()) this.#stopLane(lane);
    for (const lane of this.#lanes.values()) lane.proceed();
    this.#failures = 0;
    this.#isJoined = true;
    this.#io.log.info({ channel, subscription, partitions: partitions.map((entry) => entry.partition) }, 'partitions assigned');
  }

  #onOffsetReset(partition: number): void {
    const { channel, subscription } = this.desired;
    this.#io.metrics.offsetResets.inc();
    this.#io.log.error({ channel, subscription, partition }, 'committed offset is outside the log, going on with the oldest record');
    const lane = this.#lanes.get(partition);
    if (lane !== undefined) this.#stopLane(lane);
    this.#lanes.delete(partition);
    if (!this.#isStopping) this.#lanes.set(partition, this.#createLane({ partition }));
  }

  #onLost(fault: Fault): void {
    const { channel, subscription } = this.desired;
    const member = this.#member;
    this.#member = undefined;
    this.#isJoined = false;
    this.#rebalancingSince = undefined;
    this.#io.log.warn({ channel, subscription, err: fault }, 'consumer group membership lost, building a new one');
    for (const lane of this.#lanes.values()) this.#stopLane(lane);
    this.#lanes.clear();
    // The next member may have its name: what this one still tells the group must not be taken for the next one's.
    void (member?.close() ?? Promise.resolve()).finally(() => this.#rebuildLater());
  }

  // --- lanes -------------------------------------------------------------------------------------------------------

  #createLane({ partition, metadata }: Pick<AssignedPartition, 'partition' | 'metadata'>): PartitionLane {
    this.#io.onLanes(1);
    const { topic, order } = this.desired;
    const io: DispatchIo = {
      ...this.#io.dispatchIo,
      sleep: (ms, signal) => this.#inFlightLimit.without(this.#io.dispatchIo.sleep(ms, signal), signal),
      keep: (undeliverable, signal) => this.#keep(undeliverable, partition, signal),
      onAttempt: (role, answer, willRetry) => this.#onAttempt(role, answer, willRetry),
      onReply: (result) => this.#io.metrics.reply(result),
    };
    return new PartitionLane({ partition, order, metadata, inFlightLimit: this.#inFlightLimit, metadataLimitBytes: commitMetadataLimitBytes }, {
      dispatch: (held, signal) => this.#dispatch(held, io, signal),
      pause: () => this.#member?.pause({ topic, partition }),
      resume: () => this.#member?.resume({ topic, partition }),
      onSettled: (outcome) => this.#onSettled(outcome),
      onSkipped: (records) => {
        this.#io.metrics.skipped.inc(records);
        this.#commitSoon();
      },
      onQueued: (bytes) => this.#io.metrics.queueBytes.inc(bytes),
      queueLimitBytes: this.#io.partitionQueueBytes,
    });
  }

  #stopLane(lane: PartitionLane): void {
    lane.stop();
    this.#io.onLanes(-1);
  }

  async #dispatch(held: HeldRecord, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
    const startedAt = performance.now();
    try {
      return await dispatch(held, this.#currentDestination, io, signal);
    } catch (error) {
      // A bug must not cost the event, nor the others of the partition theirs: it is kept for whoever mends the bug.
      this.#io.log.error({ channel: this.desired.channel, subscription: this.desired.subscription, err: error }, 'delivery failed with a bug');
      const isKept = await io.keep({ record: held.record, attempts: held.failedAttempts ?? 0, failure: undefined, reason: 'internal-error' }, signal);
      return isKept ? { kind: 'kept', reason: 'internal-error' } : { kind: 'interrupted' };
    } finally {
      this.#io.metrics.dispatchSeconds.observe((performance.now() - startedAt) / 1000);
    }
  }

  #onAttempt(role: Role, answer: DeliveryAnswer, willRetry: boolean): void {
    this.#io.metrics.attempt(role, answer, willRetry);
    const told = this.#failing[role];
    const { channel, subscription } = this.desired;
    if (responseVerdict(answer) === 'delivered') {
      if (told.recovers()) this.#io.log.info({ channel, subscription, to: role }, 'delivery has recovered');
      return;
    }
    const reason = answerReason(answer);
    if (!told.fails(reason, performance.now())) return;
    const { subscriber, reply, deadLetterSink } = this.#destination;
    const uri = { 'subscriber': subscriber, 'reply': reply, 'dead-letter-sink': deadLetterSink }[role]?.uri;
    this.#io.log.warn({ channel, subscription, to: role, uri: uri === undefined ? undefined : shownUri(uri), reason }, 'delivery starts failing');
  }

  #keep({ record, attempts, failure, reason }: Undeliverable, partition: number, signal: AbortSignal): Promise<boolean> {
    const { topic, groupId, channel, subscription } = this.desired;
    const subscriberUri = this.#destination.subscriber.uri;
    const answer = failure?.answer;
    return this.#io.keep({
      record, topic, partition, groupId, channel, subscription, subscriberUri, reason, attempts,
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
    if (member === undefined || moved.length === 0) return;
    const { topic } = this.desired;
    this.#lastCommitAt = performance.now();
    this.#committing = member
      .commit(moved.map(({ lane, commit: { commitOffset, metadata } }) => ({ topic, partition: lane.partition, commitOffset, metadata })))
      .then(
        () => {
          this.#isCommitRefused = false;
          for (const { lane, commit } of moved) lane.accepted(commit);
          this.#io.metrics.commits.inc();
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
  }
}
