/**
 * The services' own Kafka clients, for the limits that use them with nothing in between.
 */
import type { IncomingRecord } from '@knative-kafka/common/core';
import { createKafkaClient, type GroupMember, type KafkaClient } from '@knative-kafka/common/io';

export function connectKafka(bootstrap: string): KafkaClient {
  return createKafkaClient({ brokers: bootstrap.split(','), clientId: 'bench', requestTimeoutMs: 30_000, connectTimeoutMs: 3_000 });
}

export interface ReaderOptions {
  readonly bootstrap: string;
  readonly topic: string;
  readonly groupId: string;
  /** As the dispatcher has it. */
  readonly fetchBytes: number;
}

export interface Reader {
  readonly member: GroupMember;
  /** Resolves with the first partitions. */
  readonly assigned: Promise<void>;
  /** Rejects when the member is lost. */
  readonly lost: Promise<never>;
}

/** The only member of its group, not started yet. It commits nothing. */
export function createReader(kafka: KafkaClient, { topic, groupId, fetchBytes }: ReaderOptions, onRecords: (records: readonly IncomingRecord[]) => void): Reader {
  const assigned = Promise.withResolvers<undefined>();
  const lost = Promise.withResolvers<never>();
  const member = kafka.createGroupMember({
    groupId,
    topics: [topic],
    fetchBytesPerPartition: fetchBytes,
    sessionTimeoutMs: 10_000,
    revokeTimeoutMs: 1_000,
    handlers: {
      rebalancing: () => undefined,
      revoking: () => Promise.resolve(),
      assigned: (partitions) => {
        if (partitions.length > 0) assigned.resolve(undefined);
      },
      offsetReset: () => undefined,
      lost: (fault) => lost.reject(fault),
      records: (_partition, records) => onRecords(records),
    },
  });
  return { member, assigned: assigned.promise, lost: lost.promise };
}
