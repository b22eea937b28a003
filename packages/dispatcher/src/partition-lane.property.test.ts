/**
 * The promises of a lane against chance: consumer groups of a few partitions that fetch, deliver, commit, hand over and
 * die in random order, with a ledger beside them of what became of each record.
 *
 * A partition's committed state is all that passes from one lane to the next. Attempts end when chance says so, those of
 * a few slow records seldom, so that much settles behind them.
 */
import { deliveryOrders, type DeliveryOrder, type IncomingRecord } from '@knative-kafka/common/core';
import { describe, expect, it } from 'vitest';
import { InFlightLimit } from './core/in-flight-limit.ts';
import { decodeSettled } from './core/settled-offsets.ts';
import type { DispatchOutcome } from './dispatch.ts';
import { PartitionLane, type LaneCommit } from './partition-lane.ts';
import { pick, randomOf, type Random } from './seeded-choices.ts';

/** Lets what was resolved be seen to. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A record of the log and what became of it so far, whoever delivered it. */
interface Line {
  readonly record: IncomingRecord;
  readonly key: string | undefined;
  readonly isSlow: boolean;
  isSettled: boolean;
  isUnderWay: boolean;
  /** It had settled when its lane was lost, no commit that was taken says so, and it has not settled again. */
  mayRepeat: boolean;
}

interface Attempt {
  readonly line: Line;
  readonly signal: AbortSignal;
  readonly end: (outcome: DispatchOutcome) => void;
}

interface Partition {
  readonly lines: readonly Line[];
  readonly logEnd: bigint;
  committed: { readonly commitOffset: bigint; readonly metadata: string | undefined };
  lane: PartitionLane;
  isPaused: boolean;
  fetched: number;
  attempts: Attempt[];
  /** Settled in this lane and in no commit yet. */
  settledSince: Set<Line>;
  /** Settled in this lane and in the commit that is on its way. */
  inCommit: Set<Line>;
}

interface Totals {
  repeated: number;
  skipped: number;
  interrupted: number;
  handedOver: number;
  crashed: number;
  overtaken: number;
  waited: number;
}

class Group {
  readonly partitions: Partition[];
  readonly totals: Totals;
  readonly #random: Random;
  readonly #order: DeliveryOrder;
  readonly #metadataLimitBytes: number;
  readonly #queueLimitBytes: number;
  #limit: InFlightLimit;
  #broken: unknown;
  #started = 0;
  /** Attempts that outlived their lane: they hold their places until they end. */
  #orphans: Attempt[] = [];
  #commit: { readonly lane: PartitionLane; readonly partition: Partition; readonly commit: LaneCommit }[] | undefined;

  constructor(order: DeliveryOrder, random: Random, totals: Totals) {
    this.totals = totals;
    this.#random = random;
    this.#order = order;
    this.#metadataLimitBytes = random(5) === 0 ? 8 + random(10) : 2048;
    this.#queueLimitBytes = pick(random, [3_000, 20_000, 1_000_000]);
    this.#limit = new InFlightLimit(1 + random(12));
    const keys = 1 + random(8);
    this.partitions = Array.from({ length: 1 + random(3) }, () => this.#createPartition(keys));
  }

  /** Whether metadata has room for all: otherwise what was left out may be repeated. */
  get #isRoomy(): boolean {
    return this.#metadataLimitBytes === 2048;
  }

  #createPartition(keys: number): Partition {
    const random = this.#random;
    const lines: Line[] = [];
    let offset = BigInt(random(5));
    for (let at = 0; at < 120; at++) {
      const key = random(6) === 0 ? undefined : `k${random(keys)}`;
      const record: IncomingRecord = { offset, key: key === undefined ? null : Buffer.from(key), value: Buffer.alloc(random(100)), headers: [], timestampMs: 0 };
      lines.push({ record, key, isSlow: random(15) === 0, isSettled: false, isUnderWay: false, mayRepeat: false });
      offset += random(6) === 0 ? BigInt(1 + random(4)) : 1n;
    }
    const partition = { lines, logEnd: offset, committed: { commitOffset: 0n, metadata: undefined } } as unknown as Partition;
    this.#beginLane(partition);
    return partition;
  }

  /** A lane where the committed state says, as a new owner makes it. */
  #beginLane(partition: Partition): void {
    const { lines, committed } = partition;
    partition.fetched = lines.findIndex(({ record }) => record.offset >= committed.commitOffset);
    if (partition.fetched < 0) partition.fetched = lines.length;
    partition.isPaused = false;
    partition.attempts = [];
    partition.settledSince = new Set();
    partition.inCommit = new Set();
    const lane: PartitionLane = new PartitionLane(
      { topic: 't', partition: 0, order: this.#order, inFlightLimit: this.#limit, metadata: committed.metadata, metadataLimitBytes: this.#metadataLimitBytes },
      {
        dispatch: (entry, signal) => {
          const { record } = entry;
          try {
            expect(partition.lane).toBe(lane);
            this.#checkStart(partition, record);
          } catch (error) {
            this.#broken ??= error; // thrown by the step that it happened in
          }
          void this.#onStarted(partition, record, signal).then((outcome) => lane.ended(entry, outcome));
        },
        pause: () => { partition.isPaused = true; },
        resume: () => { partition.isPaused = false; },
        onSettled: (outcome) => { if (outcome.kind === 'interrupted') this.totals.interrupted++; },
        onSkipped: (records) => { this.totals.skipped += records; },
        onQueued: () => undefined,
        queueLimitBytes: () => this.#queueLimitBytes,
      },
    );
    partition.lane = lane;
  }

  #checkStart({ lines }: Partition, record: IncomingRecord): void {
    const line = lines.find((one) => one.record === record)!;
    const sameScope = (other: Line): boolean =>
      this.#order === 'ordered' || (this.#order === 'key-ordered' && line.key !== undefined && other.key === line.key);
    expect(this.underWay, 'under way').toBeLessThan(this.#limit.limit);
    expect(line.isUnderWay, `${record.offset} is under way already`).toBe(false);
    const overtaken = lines.filter((other) => other !== line && sameScope(other) && (other.isUnderWay || (other.record.offset < record.offset && !other.isSettled)));
    expect(overtaken.map((other) => other.record.offset), `under way, or older and without an outcome, as ${record.offset} starts`).toEqual([]);
    if (line.isSettled && this.#isRoomy) expect(line.mayRepeat, `${record.offset} may be delivered again`).toBe(true);
  }

  #onStarted(partition: Partition, record: IncomingRecord, signal: AbortSignal): Promise<DispatchOutcome> {
    const line = partition.lines.find((one) => one.record === record)!;
    if (line.isSettled) this.totals.repeated++;
    this.#started++;
    line.isUnderWay = true;
    return new Promise((end) => partition.attempts.push({ line, signal, end }));
  }

  get underWay(): number {
    return this.partitions.reduce((sum, { attempts }) => sum + attempts.length, this.#orphans.length);
  }

  // --- what happens, each by chance --------------------------------------------------------------------------------

  fetch(partition: Partition): void {
    if (partition.isPaused && this.#random(10) > 0) return; // sometimes it was on its way already
    const records = partition.lines.slice(partition.fetched, partition.fetched + 1 + this.#random(25));
    partition.fetched += records.length;
    partition.lane.add(records.map(({ record }) => record), partition.logEnd);
  }

  async end(partition: Partition, attempt: Attempt = pick(this.#random, partition.attempts)): Promise<void> {
    partition.attempts.splice(partition.attempts.indexOf(attempt), 1);
    attempt.line.isUnderWay = false;
    if (attempt.signal.aborted && this.#random(2) === 0) {
      attempt.end({ kind: 'interrupted' });
    } else {
      attempt.line.isSettled = true;
      attempt.line.mayRepeat = false;
      partition.settledSince.add(attempt.line);
      attempt.end(this.#random(8) === 0 ? { kind: 'dropped', reason: 'status-400' } : { kind: 'delivered' });
    }
    await turn();
    if (partition.lines.some((line) => !line.isSettled && line.record.offset < attempt.line.record.offset)) this.totals.overtaken++;
  }

  async endOrphan(): Promise<void> {
    const [orphan] = this.#orphans.splice(this.#random(this.#orphans.length), 1);
    orphan?.end({ kind: 'delivered' });
    await turn();
  }

  beginCommit(): void {
    if (this.#commit !== undefined) return;
    this.#commit = this.partitions.flatMap((partition) => {
      const { lane } = partition;
      const commit = lane.commit();
      if (commit === undefined) return [];
      this.#checkCommit(partition, commit);
      partition.inCommit = partition.settledSince;
      partition.settledSince = new Set();
      return [{ lane, partition, commit }];
    });
  }

  #checkCommit({ lines, committed }: Partition, { commitOffset, metadata }: LaneCommit): void {
    expect(commitOffset).toBeGreaterThanOrEqual(committed.commitOffset);
    if (this.#order === 'ordered') expect(metadata).toBeUndefined();
    expect(metadata?.length ?? 0).toBeLessThanOrEqual(this.#metadataLimitBytes);
    const ranges = metadata === undefined ? [] : decodeSettled(metadata, commitOffset, 2n ** 62n)!;
    const isCommitted = ({ record: { offset } }: Line): boolean => offset < commitOffset || ranges.some(({ first, last }) => first <= offset && offset <= last);
    const lost = lines.filter((line) => isCommitted(line) && !line.isSettled);
    expect(lost.map(({ record }) => record.offset), 'committed and not settled').toEqual([]);
    const forgotten = lines.filter((line) => line.isSettled && !line.mayRepeat && !isCommitted(line));
    if (this.#isRoomy) expect(forgotten.map(({ record }) => record.offset), 'settled and not committed').toEqual([]);
  }

  /** `lost`: the group has taken it, and its answer never came. */
  endCommit(how: 'taken' | 'refused' | 'lost'): void {
    for (const { lane, partition, commit } of this.#commit ?? []) {
      if (partition.lane !== lane) continue; // it was of an earlier lane, which had it refused
      if (how === 'refused') for (const line of partition.inCommit) partition.settledSince.add(line);
      else partition.committed = commit;
      partition.inCommit = new Set();
      if (how === 'taken') lane.accepted(commit);
    }
    this.#commit = undefined;
  }

  commitNow(): void {
    this.endCommit('taken');
    this.beginCommit();
    this.endCommit('taken');
  }

  /** A lane is gone with what it had not committed. */
  #loseLane(partition: Partition): void {
    for (const line of [...partition.settledSince, ...partition.inCommit]) line.mayRepeat = true;
    for (const { line } of partition.attempts) line.isUnderWay = false;
  }

  /** As a member of the new protocol gives a partition up: nothing is repeated. */
  async handOver(partition: Partition): Promise<void> {
    this.totals.handedOver++;
    let isDrained = false;
    const drained = partition.lane.drain().then(() => { isDrained = true; });
    const underWay = partition.attempts.length;
    await turn();
    expect(isDrained).toBe(underWay === 0);
    if (this.#random(3) === 0) partition.lane.proceed(); // a rebalance that ends meanwhile
    let ended = 0;
    for (; partition.attempts.length > 0; ended++) await this.end(partition);
    await drained;
    expect(ended).toBe(underWay);
    this.commitNow();
    if (this.#isRoomy) expect([...partition.settledSince, ...partition.inCommit]).toEqual([]);
    this.#loseLane(partition);
    partition.lane.stop();
    this.#beginLane(partition);
  }

  /** As a rebalance of the classic protocol: commit, and whoever loses a partition loses it now. */
  async rebalance(): Promise<void> {
    for (const { lane } of this.partitions) lane.suspend();
    const before = this.#started;
    for (const partition of this.partitions) if (partition.attempts.length > 0 && this.#random(2) === 0) await this.end(partition);
    expect(this.#started).toBe(before);
    if (this.#random(4) > 0) this.commitNow();
    for (const partition of this.partitions) {
      if (this.#random(2) === 0) {
        partition.lane.proceed();
      } else {
        this.#loseLane(partition);
        this.#orphans.push(...partition.attempts);
        partition.lane.stop();
        this.#beginLane(partition);
      }
    }
  }

  /** kill -9, and another process in its place. */
  crash(): void {
    this.totals.crashed++;
    this.endCommit(this.#random(2) === 0 ? 'lost' : 'refused');
    this.#orphans = [];
    this.#limit = new InFlightLimit(this.#limit.limit);
    for (const partition of this.partitions) {
      this.#loseLane(partition);
      this.#beginLane(partition);
    }
  }

  async step(): Promise<void> {
    const random = this.#random;
    const partition = pick(random, this.partitions);
    const chance = random(200);
    if (chance < 60) {
      this.fetch(partition);
    } else if (chance < 170) {
      if (partition.attempts.length === 0) return;
      const attempt = pick(random, partition.attempts);
      if (!attempt.line.isSlow || random(30) === 0) await this.end(partition, attempt);
    } else if (chance < 182) {
      this.beginCommit();
    } else if (chance < 193) {
      this.endCommit(pick(random, ['taken', 'taken', 'taken', 'refused', 'lost']));
    } else if (chance < 195) {
      await this.endOrphan();
    } else if (chance < 197) {
      await this.handOver(partition);
    } else if (chance < 199) {
      await this.rebalance();
    } else {
      this.crash();
    }
    if (this.underWay >= this.#limit.limit) this.totals.waited++;
    this.#throwBroken();
  }

  #throwBroken(): void {
    if (this.#broken !== undefined) throw this.#broken as Error;
  }

  /** Without further trouble everything gets its outcome. */
  async finish(): Promise<void> {
    while (this.#orphans.length > 0) await this.endOrphan();
    for (let idle = 0; this.partitions.some(({ lines }) => lines.some(({ isSettled }) => !isSettled));) {
      const before = this.underWay;
      for (const partition of this.partitions) {
        if (!partition.isPaused && partition.fetched < partition.lines.length) this.fetch(partition);
        if (partition.attempts.length > 0) await this.end(partition);
      }
      idle = before === 0 && this.underWay === 0 ? idle + 1 : 0;
      if (idle > 200) throw new Error('stuck: something is unsettled, and nothing is under way');
    }
    // What was settled before may still have to be read again, and passed over or repeated.
    for (const partition of this.partitions) {
      while (partition.fetched < partition.lines.length || partition.attempts.length > 0) {
        if (partition.fetched < partition.lines.length) this.fetch(partition);
        for (const other of this.partitions) while (other.attempts.length > 0) await this.end(other);
      }
    }
    this.commitNow();
    for (const { lane, committed, lines } of this.partitions) {
      expect(committed).toMatchObject({ commitOffset: lines.at(-1)!.record.offset + 1n, metadata: undefined });
      expect([lane.queuedBytes, lane.inFlight, lane.hasMoved, lane.commit()]).toEqual([0, 0, false, undefined]);
    }
    expect(this.#limit.taken).toBe(0);
    this.#throwBroken();
  }
}

describe.each(deliveryOrders)('lanes of a group whose order is %s', (order) => {
  const totals: Totals = { repeated: 0, skipped: 0, interrupted: 0, handedOver: 0, crashed: 0, overtaken: 0, waited: 0 };

  it.each(Array.from({ length: 60 }, (_, at) => at + 1))('keep their promises whatever happens (seed %i)', async (seed) => {
    const random = randomOf(seed);
    const group = new Group(order, random, totals);
    for (let step = 0; step < 600; step++) await group.step();
    await group.finish();
  }, 60_000);

  it('and all of it did happen', () => {
    const { repeated, skipped, overtaken, ...always } = totals;
    for (const count of Object.values(always)) expect(count).toBeGreaterThan(50);
    expect(repeated).toBeGreaterThan(50);
    if (order === 'ordered') expect([skipped, overtaken]).toEqual([0, 0]);
    else for (const count of [skipped, overtaken]) expect(count).toBeGreaterThan(500);
  });
});
