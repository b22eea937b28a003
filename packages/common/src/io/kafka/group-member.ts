/**
 * The group member of Kafka's new protocol (KIP-848), on @platformatic/kafka's protocol layer.
 *
 * The coordinator decides who reads what and tells it with its answers to heartbeats, one partition at a time: a
 * partition goes to its next member only after the one who has it said that it let go. So a member may finish and commit
 * what moves, and what stays never stops. Reading is partition-fetcher.ts; docs/adr/0009 has the rules.
 *
 * Always true: a partition is handed over only while the group, as far as can be known, counts this member in; what
 * moves is let go of after `revoking` is done and before the group hears of it; a commit belongs to the membership in
 * which it was asked for; after `close` or `lost` nothing is called and nothing is left open.
 */
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { offsetCommitV9, offsetFetchV9, ProtocolError, type Connection, type consumerGroupHeartbeatV1 } from '@platformatic/kafka';
import { Fault } from '../../core/fault.ts';
import type { TopicPartition } from '../../core/kafka-record.ts';
import type { Logger } from '../logger.ts';
import { sleep } from '../sleep.ts';
import type { ClusterConnections, HeartbeatApi } from './cluster-connections.ts';
import { brokerAnswer, faultOf } from './faults.ts';
import { agreeOnSession } from './group-session.ts';
import { PartitionFetcher } from './partition-fetcher.ts';
import { PartitionMap } from './partition-map.ts';
import type { AssignedPartition, CommitOffset, ConnectionSource, GroupMember, GroupMemberOptions } from './port.ts';

/** What the members of one client have in common. */
export interface SharedByMembers {
  readonly source: ConnectionSource;
  readonly cluster: ClusterConnections;
  readonly log?: Logger | undefined;
}

export function createGroupMember(options: GroupMemberOptions, shared: SharedByMembers): GroupMember {
  return new Kip848GroupMember(options, shared);
}

/**
 * Whether a member could not start because its group is one of the classic protocol for the time being: the brokers do
 * not know the new one, have it switched off, or may not convert a group that members of the classic one are in.
 */
export function isClassicGroup(error: unknown): boolean {
  return classicGroupAnswers.has(brokerAnswer(error) ?? '');
}

const classicGroupAnswers: ReadonlySet<string> = new Set(['UNSUPPORTED_VERSION', 'GROUP_ID_NOT_FOUND', 'INCONSISTENT_GROUP_PROTOCOL']);
/** The group does not count this member in any more, or not in this life of it: others may have its partitions. */
const fencedAnswers: ReadonlySet<string> = new Set(['FENCED_MEMBER_EPOCH', 'UNKNOWN_MEMBER_ID', 'GROUP_ID_NOT_FOUND', 'ILLEGAL_GENERATION']);
/** The epoch that a heartbeat renewed while the request was under way. */
const staleEpoch = 'STALE_MEMBER_EPOCH';
/** Another broker coordinates, or this one not yet. */
const coordinatorAnswers: ReadonlySet<string> = new Set(['COORDINATOR_LOAD_IN_PROGRESS', 'COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR', 'REQUEST_TIMED_OUT', 'NETWORK_EXCEPTION']);

const joinEpoch = 0;
const leaveEpoch = -1;
const firstRetryMs = 100;
const lastRetryMs = 1_000;
/** How soon brokers are asked again for the names of topics that none of them could tell. */
const namesRetryMs = 500;
/** Until the first answer of the coordinator: a new cluster makes its topic of committed offsets first. */
const startTimeoutMs = 15_000;
/** A commit that was not taken for this long is given back to the caller. */
const commitTimeoutMs = 5_000;
const leaveTimeoutMs = 3_000;
/** How much longer than `revoking` may take the coordinator waits before it gives a member up: the heartbeat that says so may be late. */
const revokeMarginMs = 20_000;
/** So that a session outlasts heartbeats that get lost, whatever interval the broker names. */
const heartbeatsPerSession = 3;
/**
 * Heartbeats while the group changes, for as long as two usual ones take: a member hears only with an answer of its own
 * that another one has let go, and until then nobody reads what moves.
 */
const busyIntervalMs = 250;
const busyHeartbeats = 2;

interface OwnedPartition extends TopicPartition {
  readonly topicId: string;
  /** What was committed beside the offset at which it began. */
  readonly metadata: string | undefined;
  /** It has been told as assigned. */
  isTold: boolean;
}

/** By topic id, as the coordinator names them: of a topic that was deleted and created again, the partitions are others. */
type Target = PartitionMap<true>;

interface CommittedOffset {
  readonly commitOffset: bigint;
  readonly metadata: string | undefined;
}

interface TargetPartition {
  readonly topicId: string;
  readonly partition: number;
}

class Kip848GroupMember implements GroupMember {
  readonly #options: GroupMemberOptions;
  readonly #cluster: ClusterConnections;
  readonly #log: Logger | undefined;
  readonly #fetcher: PartitionFetcher;
  #heartbeatApi: HeartbeatApi | undefined;
  /** From the first heartbeat on the group may know it. */
  #isKnown = false;
  #release: () => void = () => undefined;
  #memberId: string;
  #epoch = joinEpoch;
  /** One membership, from a join to the fence; aborted with it. */
  #life = new AbortController();
  #isOver = false;
  #closing: Promise<void> | undefined;

  /** By topic name, as everybody else names them. Of one name there is one id at a time: what leaves goes before what arrives. */
  #owned = new PartitionMap<OwnedPartition>();
  /** Names of topics by id, as far as they had to be looked up. */
  #names: ReadonlyMap<string, string> = new Map();
  #target: Target | undefined;
  #isReconciling = false;

  #sessionMs: number;
  #intervalMs = 1_000;
  /** Until when the group is taken to change, of `performance.now()`. */
  #isBusyUntil = -Infinity;
  /** When the last heartbeat that the group took was sent. */
  #lastBeatAt = -Infinity;
  #failures = 0;
  /** That a broker does not let it in; once until it does again. */
  #isRefusalTold = false;
  #mustTellAll = true;
  #mustTellOwned = true;
  #mustBeatNow = false;
  #endWait: () => void = () => undefined;
  #onceBeaten: (() => void)[] = [];
  #sessionTimer: NodeJS.Timeout | undefined;

  constructor(options: GroupMemberOptions, { cluster, log }: SharedByMembers) {
    this.#options = options;
    this.#cluster = cluster;
    this.#log = log;
    this.#memberId = options.memberId ?? randomUUID();
    this.#sessionMs = options.sessionTimeoutMs;
    const { groupId, handlers } = options;
    this.#fetcher = new PartitionFetcher({
      cluster,
      fetchBytesPerPartition: options.fetchBytesPerPartition,
      mayHandOver: () => !this.#isOver && !this.#isFencedByTime(),
      onRecords: (partition, records, highWatermark) => this.#tell(() => handlers.records(partition, records, highWatermark)),
      onReset: (partition) => this.#tell(() => handlers.offsetReset(partition)),
      onFailing: (partition, fault) => log?.error({ groupId, ...partition, err: fault }, 'a partition cannot be read, trying again'),
    });
  }

  async start(): Promise<void> {
    const { groupId, sessionTimeoutMs } = this.#options;
    this.#release = this.#cluster.hold();
    try {
      this.#heartbeatApi = await this.#cluster.heartbeatApi();
      if (this.#heartbeatApi === undefined) throw new ProtocolError('UNSUPPORTED_VERSION');
      this.#sessionMs = await agreeOnSession(this.#cluster, groupId, sessionTimeoutMs, this.#log);
      await this.#join();
    } catch (error) {
      void this.#end();
      throw faultOf(error, `join of consumer group ${groupId}`);
    }
    if (!this.#isOver) void this.#heartbeats();
  }

  pause(partition: TopicPartition): void {
    this.#fetcher.pause(partition);
  }

  resume(partition: TopicPartition): void {
    this.#fetcher.resume(partition);
  }

  async close(): Promise<void> {
    await this.#end();
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  /** Nothing is called from now on. @returns resolves when the group has been told, or that took too long */
  #end(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    this.#isOver = true;
    this.#life.abort();
    this.#endWait();
    clearTimeout(this.#sessionTimer);
    this.#fetcher.close();
    this.#closing = this.#leave().finally(() => {
      this.#release();
      this.#wakeCommits();
    });
    return this.#closing;
  }

  /** Others get the partitions now and not after a session; where that fails, after a session. */
  async #leave(): Promise<void> {
    const { groupId } = this.#options;
    const heartbeat = this.#heartbeatApi;
    if (heartbeat === undefined || !this.#isKnown) return;
    const tooLate = new AbortController();
    const leave = async (): Promise<void> => {
      await this.#cluster.askCoordinator(groupId, (coordinator) => heartbeat.async(coordinator, groupId, this.#memberId, leaveEpoch, null, null, -1, null, null, null, null));
    };
    await Promise.race([leave().catch(() => undefined), sleep(leaveTimeoutMs, tooLate.signal)]);
    tooLate.abort();
  }

  #lose(error: unknown): void {
    if (this.#isOver) return;
    void this.#end();
    this.#options.handlers.lost(faultOf(error, `consumer group ${this.#options.groupId}`));
  }

  /** Calls a handler. One that throws is a bug, after which nothing is sure any more. */
  #tell(call: () => void): void {
    if (this.#isOver) return;
    try {
      call();
    } catch (error) {
      this.#lose(error);
    }
  }

  // --- heartbeats --------------------------------------------------------------------------------------------------

  async #join(): Promise<void> {
    for (const deadline = performance.now() + startTimeoutMs; ; ) {
      try {
        return await this.#beat();
      } catch (error) {
        const fault = faultOf(error, '');
        const answer = brokerAnswer(error);
        // Without an answer every broker has been tried: the caller may know better what to do meanwhile.
        if (this.#isOver || answer === undefined || !fault.retriable || classicGroupAnswers.has(answer) || performance.now() > deadline) throw error;
        this.#cluster.forgetCoordinator(this.#options.groupId);
        await sleep(this.#retryDelayMs(), this.#life.signal);
      }
    }
  }

  async #heartbeats(): Promise<void> {
    for (let waitMs = this.#beatIntervalMs(); ; ) {
      if (!this.#isOver) await this.#untilNextBeat(waitMs);
      if (this.#isOver) return;
      const life = this.#life;
      try {
        await this.#beat();
        waitMs = this.#beatIntervalMs();
      } catch (error) {
        if (this.#life === life) this.#onBeatFailed(error);
        waitMs = this.#retryDelayMs();
      }
      this.#wakeCommits();
    }
  }

  /** One heartbeat, with what the group does not know yet. @throws why the group did not take it */
  async #beat(): Promise<void> {
    const { signal } = this.#life;
    await this.#cluster.askCoordinator(this.#options.groupId, async (coordinator) => {
      if (!hasEnded(signal)) await this.#beatTo(coordinator, signal);
    });
  }

  async #beatTo(coordinator: Connection, signal: AbortSignal): Promise<void> {
    const { groupId, topics, revokeTimeoutMs } = this.#options;
    if (this.#heartbeatApi === undefined) return;
    const sentAt = performance.now();
    const isFull = this.#mustTellAll || this.#epoch === joinEpoch;
    const owned = isFull || this.#mustTellOwned ? partitionsByTopic(this.#owned.values()) : null;
    this.#mustTellAll = false;
    this.#mustTellOwned = false;
    this.#isKnown = true;
    let response: Awaited<ReturnType<typeof consumerGroupHeartbeatV1.api.async>>;
    try {
      response = await this.#heartbeatApi.async(coordinator, groupId, this.#memberId, this.#epoch, null, null, isFull ? revokeTimeoutMs + revokeMarginMs : -1, isFull ? [...topics] : null, null, null, owned);
    } catch (error) {
      this.#mustTellAll = true; // nobody knows what of it arrived
      throw error;
    }
    if (hasEnded(signal)) return; // it answers to a membership that was given up meanwhile
    this.#failures = 0;
    this.#isRefusalTold = false;
    this.#lastBeatAt = sentAt;
    if (this.#epoch === joinEpoch) this.#watchSession();
    const isNews = response.memberEpoch !== this.#epoch || response.assignment !== null;
    this.#epoch = response.memberEpoch;
    this.#memberId = response.memberId ?? this.#memberId; // version 0 may name the member itself
    this.#intervalMs = response.heartbeatIntervalMs;
    if (isNews) this.#isBusyUntil = sentAt + busyHeartbeats * this.#usualIntervalMs();
    if (response.assignment !== null) this.#onTarget(targetOf(response.assignment.topicPartitions));
  }

  #onBeatFailed(error: unknown): void {
    const { groupId } = this.#options;
    const answer = brokerAnswer(error) ?? '';
    const fault = faultOf(error, `heartbeat of consumer group ${groupId}`);
    if (this.#epoch !== joinEpoch && fencedAnswers.has(answer)) this.#fence(answer);
    else if (fault.retriable && !classicGroupAnswers.has(answer)) {
      if (fault.code === 'KAFKA_REFUSED' && !this.#isRefusalTold) this.#log?.error({ groupId, err: fault }, 'Kafka refuses a member of this consumer group, trying again');
      else this.#log?.debug({ groupId, err: error }, 'heartbeat failed, trying again');
      this.#isRefusalTold ||= fault.code === 'KAFKA_REFUSED';
      this.#cluster.forgetCoordinator(groupId);
    } else this.#lose(error);
  }

  #beatIntervalMs(): number {
    return performance.now() < this.#isBusyUntil ? Math.min(busyIntervalMs, this.#usualIntervalMs()) : this.#usualIntervalMs();
  }

  #usualIntervalMs(): number {
    return Math.min(this.#intervalMs, this.#sessionMs / heartbeatsPerSession);
  }

  #retryDelayMs(): number {
    return Math.min(lastRetryMs, firstRetryMs * 2 ** this.#failures++);
  }

  async #untilNextBeat(waitMs: number): Promise<void> {
    if (!this.#mustBeatNow) {
      const waited = new AbortController();
      this.#endWait = () => waited.abort();
      await sleep(waitMs, waited.signal);
    }
    this.#mustBeatNow = false;
  }

  #beatNow(): void {
    this.#mustBeatNow = true;
    this.#endWait();
  }

  // --- sessions ----------------------------------------------------------------------------------------------------

  /** Without a heartbeat that was taken, the group gives a member up after a session; so does the member itself. */
  #watchSession(): void {
    clearTimeout(this.#sessionTimer);
    this.#sessionTimer = setTimeout(() => {
      if (!this.#isFencedByTime()) this.#watchSession();
    }, Math.max(1, this.#lastBeatAt + this.#sessionMs - performance.now()));
  }

  /** Asked by the clock and not only by the timer: a process that stood still finds records in its sockets first. */
  #isFencedByTime(): boolean {
    if (this.#epoch === joinEpoch) return true;
    if (performance.now() - this.#lastBeatAt < this.#sessionMs) return false;
    this.#fence('no heartbeat for a session');
    return true;
  }

  /** Somebody else may have the partitions: nothing of them is handed over or committed any more. Joins anew. */
  #fence(reason: string): void {
    const { groupId } = this.#options;
    this.#log?.warn({ groupId, reason, partitions: [...this.#owned.values()].map(nameOf) }, 'consumer group gave this member up, joining again');
    this.#life.abort();
    this.#life = new AbortController();
    clearTimeout(this.#sessionTimer);
    this.#epoch = joinEpoch;
    this.#target = undefined;
    this.#fetcher.remove(this.#owned.values());
    const hadPartitions = this.#owned.size > 0;
    this.#owned = new PartitionMap();
    if (hadPartitions) this.#tellAssigned();
    this.#wakeCommits();
    this.#beatNow();
  }

  // --- partitions --------------------------------------------------------------------------------------------------

  #onTarget(target: Target): void {
    const isFirst = this.#target === undefined;
    // What the coordinator took back before it was taken up is acknowledged as well, so each new target is.
    if (!isFirst && isSame(this.#target!, target)) return;
    this.#target = target;
    if (isFirst && target.size === 0) this.#tellAssigned(); // it is joined, only that there is nothing for it yet
    void this.#reconcile();
  }

  /** What it has follows what it should have, one step after another. */
  async #reconcile(): Promise<void> {
    if (this.#isReconciling) return;
    this.#isReconciling = true;
    for (let settled: Target | undefined; !this.#isOver && this.#target !== undefined && this.#target !== settled; ) {
      const target = this.#target;
      const leaving = [...this.#owned.values()].filter(({ topicId, partition }) => !target.has(topicId, partition));
      const arriving = this.#missingOf(target);
      if (leaving.length > 0) await this.#giveUp(leaving);
      else if (arriving.length > 0) await this.#take(arriving);
      else {
        settled = target;
        this.#mustTellOwned = true;
        this.#beatNow();
      }
    }
    this.#isReconciling = false;
  }

  async #giveUp(leaving: readonly OwnedPartition[]): Promise<void> {
    const { handlers, revokeTimeoutMs, groupId } = this.#options;
    const { signal } = this.#life;
    this.#fetcher.remove(leaving);
    const done = new AbortController();
    try {
      const revoked = handlers.revoking(leaving.map(({ topic, partition }) => ({ topic, partition })));
      await Promise.race([revoked, sleep(revokeTimeoutMs, AbortSignal.any([done.signal, signal]))]);
    } catch (error) {
      this.#log?.error({ groupId, err: error }, 'handler of revoked partitions failed');
      return this.#lose(error);
    } finally {
      done.abort();
    }
    if (hasEnded(signal)) return;
    for (const { topic, partition } of leaving) this.#owned.delete(topic, partition);
    this.#tellAssigned();
    this.#mustTellOwned = true;
    this.#beatNow();
  }

  #missingOf(target: Target): readonly TargetPartition[] {
    const ids = new PartitionMap<true>();
    for (const { topicId, partition } of this.#owned.values()) ids.set(topicId, partition, true);
    const missing: TargetPartition[] = [];
    for (const [topicId, partition] of target.entries()) if (!ids.has(topicId, partition)) missing.push({ topicId, partition });
    return missing;
  }

  async #take(arriving: readonly TargetPartition[]): Promise<void> {
    const { signal } = this.#life;
    const target = this.#target;
    const named = await this.#withNames(arriving);
    if (hasEnded(signal)) return;
    if (named.length === 0) {
      // The coordinator knows a topic before other brokers do, and its end after them; it says so when it is over.
      await sleep(namesRetryMs, signal);
      return;
    }
    const committed = await this.#committedOffsets(named, signal);
    if (committed === undefined || hasEnded(signal)) return; // where the target has changed, the next round asks again
    const taken = this.#target === target ? named : named.filter(({ topicId, partition }) => this.#target?.has(topicId, partition));
    for (const partition of taken) this.#owned.set(partition.topic, partition.partition, { ...partition, metadata: committed.get(partition.topic, partition.partition)?.metadata, isTold: false });
    this.#fetcher.add(taken.map((partition) => ({ ...partition, nextOffset: committed.get(partition.topic, partition.partition)?.commitOffset })));
    if (taken.length > 0) this.#tellAssigned();
  }

  /** @returns without those of topics whose names no broker tells */
  async #withNames(partitions: readonly TargetPartition[]): Promise<readonly (TargetPartition & TopicPartition)[]> {
    const { topics } = this.#options;
    if (topics.length > 1 && partitions.some(({ topicId }) => !this.#names.has(topicId))) this.#names = await this.#cluster.topicNames(topics);
    return partitions.flatMap(({ topicId, partition }) => {
      const topic = topics.length > 1 ? this.#names.get(topicId) : topics[0];
      return topic === undefined ? [] : [{ topic, topicId, partition }];
    });
  }

  #tellAssigned(): void {
    const { handlers } = this.#options;
    const assigned: AssignedPartition[] = [];
    for (const entry of this.#owned.values()) {
      assigned.push({ topic: entry.topic, partition: entry.partition, kept: entry.isTold, metadata: entry.isTold ? undefined : entry.metadata });
      entry.isTold = true;
    }
    this.#tell(() => handlers.assigned(assigned));
  }

  /** Tries until it has them. @returns undefined when something else is wanted now; without the partitions that have none */
  async #committedOffsets(partitions: readonly TopicPartition[], life: AbortSignal): Promise<PartitionMap<CommittedOffset> | undefined> {
    const { groupId } = this.#options;
    const target = this.#target;
    const topics = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([name, of]) => ({ name, partitionIndexes: of.map(({ partition }) => partition) }));
    for (let failures = 0; ; failures++) {
      try {
        const answer = await this.#cluster.askCoordinator(groupId, async (coordinator) => {
          const request = { groupId, memberId: this.#memberId, memberEpoch: this.#epoch, topics };
          return hasEnded(life) ? undefined : offsetFetchV9.api.async(coordinator, [request], true);
        });
        if (answer === undefined) return undefined;
        const found = new PartitionMap<CommittedOffset>();
        for (const { name, partitions: answers } of answer.groups.flatMap((group) => group.topics)) {
          for (const { partitionIndex, committedOffset, metadata } of answers) {
            // A negative offset is none: reading begins at the oldest record, rather twice than not at all (rule C6).
            if (committedOffset >= 0n) found.set(name, partitionIndex, { commitOffset: committedOffset, metadata: metadata || undefined });
          }
        }
        return found;
      } catch (error) {
        if (hasEnded(life)) return undefined;
        this.#log?.debug({ groupId, partitions: partitions.map(nameOf), err: error }, 'committed offsets not read, trying again');
        // The next heartbeat tells whether the membership still holds; and it renews the epoch where that was the matter.
        if (isAboutMembership(error)) this.#beatNow();
        else this.#cluster.forgetCoordinator(groupId);
        await sleep(Math.min(lastRetryMs, firstRetryMs * 2 ** failures), life);
        if (hasEnded(life) || this.#target !== target) return undefined;
      }
    }
  }

  // --- commits -----------------------------------------------------------------------------------------------------

  async commit(offsets: readonly CommitOffset[]): Promise<void> {
    const { groupId } = this.#options;
    if (offsets.length === 0) return;
    const doing = `commit of consumer group ${groupId}`;
    const { signal } = this.#life;
    const topics = [...Map.groupBy(offsets, ({ topic }) => topic)].map(([name, of]) => ({
      name,
      partitions: of.map(({ partition, commitOffset, metadata = null }) => ({ partitionIndex: partition, committedOffset: commitOffset, committedLeaderEpoch: -1, committedMetadata: metadata })),
    }));
    const deadline = performance.now() + commitTimeoutMs;
    for (let failures = 0; ; failures++) {
      this.#refuseUnlessOwned(offsets, signal, doing);
      let epoch = this.#epoch;
      try {
        await this.#cluster.askCoordinator(groupId, async (coordinator) => {
          this.#refuseUnlessOwned(offsets, signal, doing);
          epoch = this.#epoch;
          await offsetCommitV9.api.async(coordinator, groupId, epoch, this.#memberId, null, topics);
        });
        return;
      } catch (error) {
        const fault = faultOf(error, doing);
        const answer = brokerAnswer(error);
        if (answer !== undefined && fencedAnswers.has(answer) && !hasEnded(signal)) this.#fence(answer);
        if (performance.now() > deadline) throw fault;
        if (answer === staleEpoch) await this.#epochAfter(epoch, deadline);
        else if (fault.code === 'CLOSED' || fault.code === 'KAFKA_REFUSED' || (answer !== undefined && !coordinatorAnswers.has(answer))) throw fault;
        else {
          this.#cluster.forgetCoordinator(groupId);
          await sleep(Math.min(lastRetryMs, firstRetryMs * 2 ** failures), signal);
        }
      }
    }
  }

  /** The broker takes a commit for any partition from any member; whose it is, only the member knows. */
  #refuseUnlessOwned(offsets: readonly CommitOffset[], life: AbortSignal, doing: string): void {
    if (this.#isOver) throw new Fault('CLOSED', `${doing}: the member has ended`, { retriable: false });
    if (this.#isFencedByTime() || hasEnded(life)) throw new Fault('KAFKA_REFUSED', `${doing}: the group gave this member up`, { retriable: true });
    const stranger = offsets.find(({ topic, partition }) => !this.#owned.has(topic, partition));
    if (stranger !== undefined) throw new Fault('KAFKA_REFUSED', `${doing}: ${nameOf(stranger)} is not this member's any more`, { retriable: true });
  }

  /** Waits for the heartbeat that renews an epoch, or for the end of the membership. */
  async #epochAfter(epoch: number, deadline: number): Promise<void> {
    this.#beatNow();
    while (this.#epoch === epoch && !this.#isOver && performance.now() < deadline) {
      await new Promise<void>((resolve) => this.#onceBeaten.push(resolve));
    }
  }

  #wakeCommits(): void {
    for (const resolve of this.#onceBeaten.splice(0)) resolve();
  }
}

function isAboutMembership(error: unknown): boolean {
  const answer = brokerAnswer(error) ?? '';
  return answer === staleEpoch || fencedAnswers.has(answer);
}

function partitionsByTopic(owned: Iterable<OwnedPartition>): { topicId: string; partitions: number[] }[] {
  const topics = new Map<string, number[]>();
  for (const { topicId, partition } of owned) topics.set(topicId, [...(topics.get(topicId) ?? []), partition]);
  return [...topics].map(([topicId, partitions]) => ({ topicId, partitions }));
}

function targetOf(topics: readonly { readonly topicId: string; readonly partitions: readonly number[] }[]): Target {
  const target: Target = new PartitionMap();
  for (const { topicId, partitions } of topics) for (const partition of partitions) target.set(topicId, partition, true);
  return target;
}

function isSame(one: Target, other: Target): boolean {
  return one.size === other.size && [...one.entries()].every(([topicId, partition]) => other.has(topicId, partition));
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

/** A membership may end during any await. */
function hasEnded(life: AbortSignal): boolean {
  return life.aborted;
}
