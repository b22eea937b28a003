/**
 * From what a KafkaChannel wants of its topic and what Kafka has, to what is to be done.
 *
 * Only ever adds: partitions are created, never taken away, and the number of replicas stays, because Kafka can take
 * away neither without somebody's plan. Nothing here deletes a topic.
 */

/** What a KafkaChannel wants. */
export interface WantedTopic {
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly retentionMs: number;
}

/** What Kafka has. */
export interface FoundTopic {
  readonly partitions: number;
  readonly replicationFactor: number;
  /** undefined: the broker does not tell. */
  readonly retentionMs: number | undefined;
}

export interface TopicPlan {
  /** Partitions to grow to. */
  readonly growTo?: number;
  readonly setRetentionMs?: number;
  /** What cannot be brought about, and stands in the way of Ready. */
  readonly problem?: { readonly reason: string; readonly message: string };
  /** What is not as asked, and does no harm. */
  readonly remark?: string;
}

/** What became of a channel's topic. */
export type TopicState =
  | { readonly isReady: true; readonly message?: string }
  | { readonly isReady: false; readonly reason: string; readonly message: string };

/** @param found an existing topic */
export function planTopic(topic: string, wanted: WantedTopic, found: FoundTopic): TopicPlan {
  return {
    ...(found.partitions < wanted.partitions ? { growTo: wanted.partitions } : {}),
    ...(found.retentionMs === undefined || found.retentionMs === wanted.retentionMs ? {} : { setRetentionMs: wanted.retentionMs }),
    ...(found.partitions > wanted.partitions
      ? {
          problem: {
            reason: 'TopicCannotShrink',
            message: `topic ${topic} has ${found.partitions} partitions, ${wanted.partitions} asked: Kafka cannot take partitions away`,
          },
        }
      : {}),
    ...(found.replicationFactor === wanted.replicationFactor
      ? {}
      : { remark: `topic ${topic} has ${found.replicationFactor} replicas, ${wanted.replicationFactor} asked: those of an existing topic stay` }),
  };
}
