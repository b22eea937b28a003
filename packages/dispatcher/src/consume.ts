/**
 * One consumer group: fetch, deliver in order, settle, commit.
 *
 * Each partition has a lane of its own, so that a slow one holds nobody up. Offsets are committed while things go on
 * (at most once per interval, never past an unsettled record), when a rebalance begins, and at the end. A member that
 * died is built anew; a changed destination takes effect without leaving the group.
 */
import type { Fault, IncomingRecord, TopicPartition } from '@knative-kafka/common/core';
import type { Admin, AssignedPartition, GroupMember, GroupMemberHandlers, Logger } from '@knative-kafka/common/io';
import { OrderedQueue } from './core/delivery-order.ts';
import type { DesiredConsumer, Destination } from './core/desired-consumers.ts';
import { dispatch, type DispatchIo, type DispatchOutcome } from './dispatch.ts';
import { PartitionLane } from './partition-lane.ts';
import type { ConsumerMetrics } from './io/dispatcher-metrics.ts';

export interface ConsumeIo {
  readonly createGroupMember: (groupId: string, topic: string, handlers: GroupMemberHandlers) => GroupMember;
  readonly admin: Pick<Admin, 'commitInitialOffsets'>;
  readonly dispatchIo: Omit<DispatchIo, 'onFailedAttempt'>;
  readonly metrics: ConsumerMetrics;
  readonly log: Logger;
  /** How much one partition may queue now, given all partitions of the process. */
  readonly partitionQueueBytes: () => number;
  readonly onLanes: (change: number) => void;
}

export interface ConsumeLimits {
  readonly commitIntervalMs: number;
}

const firstRebuildDelayMs = 200;
const lastRebuildDelayMs = 3_000;
/** A refused commit is made again after this long, however short the interval is. */
const commitRetryDelayMs = 100;
/** A subscriber that fails for some events and not for others starts failing all the time: told once in this time. */
const failingToldAgainMs = 60_000;

export class ConsumerGroup {
  readonly desired: DesiredConsumer;
  #destination: Destination;
  readonly #io: ConsumeIo;
  readonly #limits: ConsumeLimits;
  #member: GroupMember | undefined;
  #lanes = new Map<number, PartitionLane>();
  #failures = 0;
  #isStopping = false;
  #hasInitialOffsets = false;
  #isJoined = false;
  #failingReason: string | undefined;
  #isFailingTold = false;
  #failingToldAt = -Infinity;
  #delivered = 0;
  #dropped = 0;
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

  get inFlight(): number {
    let inFlight = 0;
    for (const lane of this.#lanes.values()) inFlight += lane.inFlight;
    return inFlight;
  }

  get queuedBytes(): number {
    let bytes = 0;
    for (const lane of this.#lanes.values()) bytes += lane.queuedBytes;
    return bytes;
  }

  /** What became of records so far, and why the subscriber fails while it does. */
  get results(): { readonly delivered: number; readonly dropped: number; readonly failing: string | undefined } {
    return { delivered: this.#delivered, dropped: this.#dropped, failing: this.#failingReason };
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
      void member?.close();
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
    this.#io.metrics.rebalances.inc();
    for (const lane of this.#lanes.values()) lane.suspend();
    void this.#commit(); // the old membership may still commit; what is not committed now may be delivered twice
  }

  async #onRevoking(partitions: readonly TopicPartition[]): Promise<void> {
    this.#io.metrics.rebalances.inc();
    await Promise.all(partitions.map(({ partition }) => this.#lanes.get(partition)?.drain()));
    await this.#commit();
  }

  #onAssigned(partitions: readonly AssignedPartition[]): void {
    const { channel, subscription } = this.desired;
    const before = this.#lanes;
    this.#lanes = new Map();
    for (const { partition, kept } of partitions) {
      const lane = before.get(partition);
      if (lane !== undefined && kept) {
        before.delete(partition);
        this.#lanes.set(partition, lane);
      } else if (!this.#isStopping) this.#lanes.set(partition, this.#createLane(partition)); // else it is the next member's
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
    if (!this.#isStopping) this.#lanes.set(partition, this.#createLane(partition));
  }

  #onLost(fault: Fault): void {
    const { channel, subscription } = this.desired;
    this.#member = undefined;
    this.#isJoined = false;
    this.#io.log.warn({ channel, subscription, err: fault }, 'consumer group membership lost, building a new one');
    for (const lane of this.#lanes.values()) this.#stopLane(lane);
    this.#lanes.clear();
    this.#rebuildLater();
  }

  // --- lanes -------------------------------------------------------------------------------------------------------

  #createLane(partition: number): PartitionLane {
    this.#io.onLanes(1);
    const { topic } = this.desired;
    const io: DispatchIo = { ...this.#io.dispatchIo, onFailedAttempt: (reason, willRetry) => this.#onFailedAttempt(reason, willRetry) };
    const destination = (): Destination => this.#destination;
    return new PartitionLane(partition, new OrderedQueue<IncomingRecord>(), {
      dispatch: (record, signal) => this.#dispatch(record, destination, io, signal),
      pause: () => this.#member?.pause({ topic, partition }),
      resume: () => this.#member?.resume({ topic, partition }),
      onSettled: (outcome) => this.#onSettled(outcome),
      onQueued: (bytes) => this.#io.metrics.queueBytes.inc(bytes),
      queueLimitBytes: this.#io.partitionQueueBytes,
    });
  }

  #stopLane(lane: PartitionLane): void {
    lane.stop();
    this.#io.onLanes(-1);
  }

  async #dispatch(record: IncomingRecord, destination: () => Destination, io: DispatchIo, signal: AbortSignal): Promise<DispatchOutcome> {
    const startedAt = performance.now();
    try {
      return await dispatch(record, destination, io, signal);
    } catch (error) {
      // A bug must cost one event its delivery, counted and told, not all others of the partition theirs.
      this.#io.log.error({ channel: this.desired.channel, subscription: this.desired.subscription, err: error }, 'delivery failed with a bug');
      return { kind: 'dropped', reason: 'internal-error' };
    } finally {
      this.#io.metrics.dispatchSeconds.observe((performance.now() - startedAt) / 1000);
    }
  }

  #onFailedAttempt(reason: string, willRetry: boolean): void {
    if (willRetry) this.#io.metrics.retry(reason);
    this.#failingReason = reason;
    if (this.#isFailingTold || performance.now() - this.#failingToldAt < failingToldAgainMs) return;
    this.#isFailingTold = true;
    this.#failingToldAt = performance.now();
    const { channel, subscription } = this.desired;
    this.#io.log.warn({ channel, subscription, subscriber: this.#destination.subscriberUri, reason }, 'subscriber starts failing');
  }

  #onSettled(outcome: DispatchOutcome): void {
    this.#io.metrics.outcome(outcome);
    if (outcome.kind === 'interrupted') return;
    if (outcome.kind === 'delivered') this.#delivered++;
    else this.#dropped++;
    if (outcome.kind === 'delivered' && this.#failingReason !== undefined) {
      this.#failingReason = undefined;
      const { channel, subscription } = this.desired;
      if (this.#isFailingTold) this.#io.log.info({ channel, subscription }, 'subscriber has recovered');
      this.#isFailingTold = false;
    }
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
      const commitOffset = lane.commitOffset();
      return commitOffset === undefined ? [] : [{ lane, commitOffset }];
    });
    if (member === undefined || moved.length === 0) return;
    const { topic } = this.desired;
    this.#lastCommitAt = performance.now();
    this.#committing = member
      .commit(moved.map(({ lane, commitOffset }) => ({ topic, partition: lane.partition, commitOffset })))
      .then(
        () => {
          this.#isCommitRefused = false;
          for (const { lane, commitOffset } of moved) lane.committed = commitOffset;
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
    if ([...this.#lanes.values()].some((lane) => lane.commitOffset() !== undefined)) this.#commitSoon();
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
    await this.#commit();
    const member = this.#member;
    this.#member = undefined;
    await member?.close();
    for (const lane of this.#lanes.values()) this.#stopLane(lane);
    this.#lanes.clear();
    this.#isJoined = false;
  }
}
