/**
 * The other limit for a dispatcher: its own Kafka client that reads the topic from its beginning and drops the records.
 */
import { performance } from 'node:perf_hooks';
import { createKafkaClient } from '@knative-kafka/common/io';
import { childOptions, exitOnError, tell } from '../io/child.ts';

export interface ReadLoopOptions {
  readonly bootstrap: string;
  readonly topic: string;
  readonly groupId: string;
  /** As the dispatcher has it. */
  readonly fetchBytes: number;
  /** Arrive before what counts. */
  readonly skip: number;
  readonly events: number;
}

export interface ReadLoopResult {
  readonly events: number;
  readonly elapsedMs: number;
  readonly cpuMs: number;
}

async function run({ bootstrap, topic, groupId, fetchBytes, skip, events }: ReadLoopOptions): Promise<void> {
  const kafka = createKafkaClient({ brokers: bootstrap.split(','), clientId: 'bench-read-loop', requestTimeoutMs: 10_000, connectTimeoutMs: 3_000 });
  const done = Promise.withResolvers<ReadLoopResult>();
  let read = 0;
  let from: { readonly read: number; readonly at: number; readonly cpu: NodeJS.CpuUsage } | undefined;
  const member = kafka.createGroupMember({
    groupId,
    topic,
    fetchBytesPerPartition: fetchBytes,
    sessionTimeoutMs: 10_000,
    revokeTimeoutMs: 1_000,
    handlers: {
      rebalancing: () => undefined,
      revoking: () => Promise.resolve(),
      assigned: () => undefined,
      offsetReset: () => undefined,
      lost: (fault) => done.reject(fault),
      records: (_partition, records) => {
        read += records.length;
        if (from === undefined) {
          if (read >= skip) from = { read, at: performance.now(), cpu: process.cpuUsage() };
        } else if (read >= skip + events) {
          const { user, system } = process.cpuUsage(from.cpu);
          done.resolve({ events: read - from.read, elapsedMs: performance.now() - from.at, cpuMs: (user + system) / 1000 });
        }
      },
    },
  });
  await member.start();
  const result = await done.promise;
  await member.close();
  tell('result', result);
}

exitOnError(run(childOptions() as ReadLoopOptions));
