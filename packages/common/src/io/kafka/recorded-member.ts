/**
 * A group member that keeps what it tells, for tests of both members.
 */
import { expect } from 'vitest';
import type { Fault } from '../../core/fault.ts';
import type { IncomingRecord, TopicPartition } from '../../core/kafka-record.ts';
import { PartitionMap } from './partition-map.ts';
import type { AssignedPartition, GroupMember, GroupMemberOptions, KafkaClient } from './port.ts';

/** Everything a member has told, in the order in which it came. */
export interface Told {
  /** `assignments` is how many there had been when the record came. */
  readonly records: (IncomingRecord & TopicPartition & { readonly assignments: number })[];
  readonly assignments: (readonly AssignedPartition[])[];
  readonly revocations: (readonly number[])[];
  readonly offsetResets: number[];
  readonly lost: Fault[];
}

export interface RecordedMember {
  readonly member: GroupMember;
  readonly told: Told;
  /** Partitions it has now, in order. */
  readonly partitions: () => number[];
  /** The same as `topic/partition`. */
  readonly assigned: () => string[];
  /** Of the first topic, unless told. */
  readonly offsets: (partition: number, topic?: string) => bigint[];
  /** Commits all that was handed over of the partitions that it has, since it has them: others may have committed more before. */
  readonly commit: () => Promise<void>;
}

export type RecordedMemberOptions = Partial<Omit<GroupMemberOptions, 'handlers' | 'topics'>> & {
  readonly onRecords?: (partition: number, member: GroupMember) => void;
  readonly onRebalancing?: (recorded: RecordedMember) => void;
  readonly onRevoking?: (recorded: RecordedMember, partitions: readonly number[]) => Promise<void>;
  readonly onAssigned?: (partitions: readonly AssignedPartition[], member: GroupMember) => void;
};

export function groupOf(topic: string): string {
  return `group-of-${topic}`;
}

/**
 * @param wanted one topic, or several; the group is named for the first
 * @returns the member, not started
 */
export function recordMember(client: KafkaClient, wanted: string | readonly string[], change: RecordedMemberOptions = {}): RecordedMember {
  const topics = typeof wanted === 'string' ? [wanted] : wanted;
  const first = topics[0]!;
  const { onRecords, onRebalancing, onRevoking, onAssigned, ...options } = change;
  const told: Told = { records: [], assignments: [], revocations: [], offsetResets: [], lost: [] };
  const member: GroupMember = client.createGroupMember({
    groupId: groupOf(first),
    topics,
    fetchBytesPerPartition: 1024 * 1024,
    sessionTimeoutMs: 10_000,
    revokeTimeoutMs: 5_000,
    ...options,
    handlers: {
      rebalancing: () => onRebalancing?.(recorded),
      revoking: async (partitions) => {
        const numbers = partitions.map(({ partition }) => partition);
        told.revocations.push(numbers);
        await onRevoking?.(recorded, numbers);
      },
      assigned: (partitions) => {
        told.assignments.push(partitions);
        onAssigned?.(partitions, member);
      },
      records: ({ topic, partition }, records) => {
        for (const { offset, key, value, headers, timestampMs } of records) told.records.push({ offset, key, value, headers, timestampMs, topic, partition, assignments: told.assignments.length });
        onRecords?.(partition, member);
      },
      offsetReset: ({ partition }) => void told.offsetResets.push(partition),
      lost: (fault) => void told.lost.push(fault),
    },
  });
  const now = (): readonly AssignedPartition[] => told.assignments.at(-1) ?? [];
  const partitions = (): number[] => now().map((entry) => entry.partition).sort((a, b) => a - b);
  const assigned = (): string[] => now().map(({ topic, partition }) => `${topic}/${partition}`).sort();
  const of = (topic: string, partition: number) => told.records.filter((entry) => entry.topic === topic && entry.partition === partition);
  const offsets = (partition: number, topic = first): bigint[] => of(topic, partition).map((entry) => entry.offset);
  const commit = (): Promise<void> => {
    const next = now().map(({ topic, partition }) => {
      const assignmentsBefore = told.assignments.findLastIndex((assignment) => assignment.some((entry) => entry.topic === topic && entry.partition === partition && !entry.kept));
      const last = of(topic, partition).findLast(({ assignments }) => assignments > assignmentsBefore);
      return { topic, partition, commitOffset: (last?.offset ?? -1n) + 1n };
    });
    return member.commit(next.filter(({ commitOffset }) => commitOffset > 0n));
  };
  const recorded: RecordedMember = { member, told, partitions, assigned, offsets, commit };
  return recorded;
}

/** `kept` must be what the member itself had right before. */
export function expectKeptWhereHeldBefore({ assignments }: Told): void {
  for (const [index, assignment] of assignments.entries()) {
    const before = partitionsOf(assignments[index - 1] ?? []);
    for (const { topic, partition, kept } of assignment) expect(kept).toBe(before.has(topic, partition));
  }
}

/** No record of a partition twice, out of order or skipped for as long as the member keeps it. */
export function expectUnbrokenWhileKept({ assignments, records }: Told): void {
  const next = new PartitionMap<bigint>();
  let seen = 0;
  for (const { topic, partition, offset, assignments: assignmentsThen } of records) {
    for (; seen < assignmentsThen; seen++) {
      const kept = partitionsOf(assignments[seen]!.filter((entry) => entry.kept));
      for (const [knownTopic, known] of next.entries()) if (!kept.has(knownTopic, known)) next.delete(knownTopic, known);
    }
    expect(partitionsOf(assignments[seen - 1] ?? []).has(topic, partition)).toBe(true);
    expect(offset).toBe(next.get(topic, partition) ?? offset);
    next.set(topic, partition, offset + 1n);
  }
}

function partitionsOf(assigned: readonly AssignedPartition[]): PartitionMap<true> {
  const found = new PartitionMap<true>();
  for (const { topic, partition } of assigned) found.set(topic, partition, true);
  return found;
}
