/**
 * A group member that keeps what it tells, for tests of both members.
 */
import { expect } from 'vitest';
import type { Fault } from '../../core/fault.ts';
import type { IncomingRecord } from '../../core/kafka-record.ts';
import type { AssignedPartition, GroupMember, GroupMemberOptions, KafkaClient } from './port.ts';

/** Everything a member has told, in the order in which it came. */
export interface Told {
  /** `assignments` is how many there had been when the record came. */
  readonly records: (IncomingRecord & { readonly partition: number; readonly assignments: number })[];
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
  readonly offsets: (partition: number) => bigint[];
  /** Commits all that was handed over of the partitions that it has. */
  readonly commit: () => Promise<void>;
}

export type RecordedMemberOptions = Partial<Omit<GroupMemberOptions, 'handlers' | 'topic'>> & {
  readonly onRecords?: (partition: number, member: GroupMember) => void;
  readonly onRebalancing?: (recorded: RecordedMember) => void;
  readonly onRevoking?: (recorded: RecordedMember, partitions: readonly number[]) => Promise<void>;
  readonly onAssigned?: (partitions: readonly AssignedPartition[], member: GroupMember) => void;
};

export function groupOf(topic: string): string {
  return `group-of-${topic}`;
}

/** @returns the member, not started */
export function recordMember(client: KafkaClient, topic: string, change: RecordedMemberOptions = {}): RecordedMember {
  const { onRecords, onRebalancing, onRevoking, onAssigned, ...options } = change;
  const told: Told = { records: [], assignments: [], revocations: [], offsetResets: [], lost: [] };
  const member: GroupMember = client.createGroupMember({
    groupId: groupOf(topic),
    topic,
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
      records: ({ partition }, records) => {
        for (const entry of records) told.records.push({ ...entry, partition, assignments: told.assignments.length });
        onRecords?.(partition, member);
      },
      offsetReset: ({ partition }) => void told.offsetResets.push(partition),
      lost: (fault) => void told.lost.push(fault),
    },
  });
  const partitions = (): number[] => (told.assignments.at(-1) ?? []).map((entry) => entry.partition).sort((a, b) => a - b);
  const offsets = (partition: number): bigint[] => told.records.filter((entry) => entry.partition === partition).map((entry) => entry.offset);
  const commit = (): Promise<void> => {
    const next = partitions().map((partition) => ({ topic, partition, commitOffset: (told.records.findLast((entry) => entry.partition === partition)?.offset ?? -1n) + 1n }));
    return member.commit(next.filter(({ commitOffset }) => commitOffset > 0n));
  };
  const recorded: RecordedMember = { member, told, partitions, offsets, commit };
  return recorded;
}

/** `kept` must be what the member itself had right before. */
export function expectKeptWhereHeldBefore({ assignments }: Told): void {
  for (const [index, assignment] of assignments.entries()) {
    const before = new Set((assignments[index - 1] ?? []).map((entry) => entry.partition));
    for (const { partition, kept } of assignment) expect(kept).toBe(before.has(partition));
  }
}

/** No record of a partition twice, out of order or skipped for as long as the member keeps it. */
export function expectUnbrokenWhileKept({ assignments, records }: Told): void {
  const next = new Map<number, bigint>();
  let seen = 0;
  for (const { partition, offset, assignments: assignmentsThen } of records) {
    for (; seen < assignmentsThen; seen++) {
      const kept = new Set(assignments[seen]!.filter((entry) => entry.kept).map((entry) => entry.partition));
      for (const known of [...next.keys()]) if (!kept.has(known)) next.delete(known);
    }
    expect(assignments[seen - 1]?.some((entry) => entry.partition === partition)).toBe(true);
    expect(offset).toBe(next.get(partition) ?? offset);
    next.set(partition, offset + 1n);
  }
}
