/**
 * All that this project asks of a Kafka client. Two libraries stand behind it (kafkajs-*.ts; platformatic.ts and
 * group-member.ts), and both pass the same suite on a real cluster (port.integration.test.ts).
 *
 * Narrow on purpose: records of partitions in, each partition's own result out; one partition's records out, paused
 * and resumed one by one; our own offsets. What the libraries offer beyond it (batches over partitions, automatic
 * commits, handlers per message) was measured to lose or reorder acknowledged events: docs/adr/0004.
 */
import type { Fault } from '../../core/fault.ts';
import type { IncomingRecord, ProduceResult, TopicMetadata, TopicPartition } from '../../core/kafka-record.ts';
import type { PartitionBatch } from '../../core/record-batch.ts';
import type { KafkaAccess } from '../../core/kafka-secret.ts';
import type { InitialOffset } from '../../core/resources/kafka-source.ts';

export interface Producer {
  /** Whether the cluster answers at all. @throws Fault KAFKA_UNAVAILABLE, KAFKA_TIMEOUT, KAFKA_REFUSED */
  ping(): Promise<void>;
  /**
   * Partitions of a topic and their leaders, asked of the cluster anew at each call.
   * @throws Fault TOPIC_MISSING, KAFKA_UNAVAILABLE, KAFKA_TIMEOUT
   */
  topicMetadata(topic: string): Promise<TopicMetadata>;
  /**
   * Stores batches whose partitions all have the given broker as leader, with acks=all.
   *
   * Never rejects: each batch has its own result, in the order given. A success means that the response named that
   * very partition without an error. The caller keeps to one call in flight per partition, and leaves the batches as
   * they are until it has the results.
   */
  produce(leader: number, batches: readonly PartitionBatch[]): Promise<readonly ProduceResult[]>;
  close(): Promise<void>;
}

export interface AssignedPartition extends TopicPartition {
  /**
   * True when this member had the partition before the rebalance as well: its queue and its deliveries go on, and so
   * does a pause. Otherwise it begins at the committed offset, not paused.
   */
  readonly kept: boolean;
  /** What was committed beside the offset it begins at; undefined where nothing was, or where the client cannot tell. */
  readonly metadata?: string | undefined;
}

export interface CommitOffset extends TopicPartition {
  /** The next offset to read. */
  readonly commitOffset: bigint;
  /** Kept beside it, for whoever has the partition next; at most `commitMetadataLimitBytes` of ASCII. */
  readonly metadata?: string | undefined;
}

/** Half of what a broker takes unless told otherwise (`offset.metadata.max.bytes`). */
export const commitMetadataLimitBytes = 2048;

/** What a group member tells. Handlers must not throw. */
export interface GroupMemberHandlers {
  /**
   * A rebalance of the classic protocol has begun: any partition may move, and nobody waits. Start nothing new, commit
   * what is settled. Followed by `assigned`, which may come without it.
   */
  rebalancing(): void;
  /**
   * These partitions go to another member, which gets them once this resolves or `revokeTimeoutMs` is over: start
   * nothing new there, finish what is under way, commit. The others are not touched. Followed by `assigned`.
   * Only a member of the new protocol (KIP-848) can wait, so only it calls this.
   */
  revoking(partitions: readonly TopicPartition[]): Promise<void>;
  /** The partitions this member has from now on, all of them; those missing are somebody else's. */
  assigned(partitions: readonly AssignedPartition[]): void;
  /**
   * Records of one partition, consecutive, in order, none twice as long as the partition is kept. `highWatermark` is
   * the offset after the newest record in Kafka, for the lag.
   */
  records(partition: TopicPartition, records: readonly IncomingRecord[], highWatermark: bigint): void;
  /** The committed offset lay outside the log; reading goes on at the oldest record there is, not paused. */
  offsetReset(partition: TopicPartition): void;
  /** The member is gone for good and nothing of it will be called again; build a new one. */
  lost(fault: Fault): void;
}

/** One member of one consumer group. */
export interface GroupMember {
  /** Joins the group. Resolves when the member runs, which may be before it has partitions. */
  start(): Promise<void>;
  /** No more records of this partition until `resume`. Records already asked for are kept out as well. */
  pause(partition: TopicPartition): void;
  resume(partition: TopicPartition): void;
  /**
   * Commits the next offset to read of each partition, under the membership held now.
   * @throws Fault when the group did not take it; the caller commits again, or gives up after a rebalance. CLOSED once
   *               the member has ended
   */
  commit(offsets: readonly CommitOffset[]): Promise<void>;
  /** Leaves the group and closes. Commit before. */
  close(): Promise<void>;
}

export interface GroupMemberOptions {
  readonly groupId: string;
  /**
   * At least one, none twice. Of several, one that does not exist, or not any more, keeps no other from being read; a
   * member of the classic protocol is lost when one comes or goes, and the next one reads what there is.
   */
  readonly topics: readonly string[];
  /** How much of one partition one fetch may bring. */
  readonly fetchBytesPerPartition: number;
  /** How long the group waits for a member that says nothing. In the new protocol a wish: the broker or the group's own setting decides. */
  readonly sessionTimeoutMs: number;
  /** How long `revoking` may take. */
  readonly revokeTimeoutMs: number;
  /**
   * Names this member in its group, where the protocol lets a member choose (KIP-848): one that was killed and is
   * started again under its old id has its partitions back at once. Must be unique among living members; a new id for
   * each member where undefined.
   */
  readonly memberId?: string | undefined;
  readonly handlers: GroupMemberHandlers;
}

export interface TopicSpec {
  readonly topic: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly config: Readonly<Record<string, string>>;
}

export interface TopicDescription {
  readonly partitions: number;
  readonly replicationFactor: number;
  /** `max.message.bytes`: the largest record batch the topic takes. */
  readonly maxMessageBytes: number;
  readonly retentionMs: number | undefined;
}

export interface Admin {
  /** Whether the cluster lets us in and answers. @throws Fault KAFKA_REFUSED for credentials that it does not take; KAFKA_UNAVAILABLE, KAFKA_TIMEOUT */
  ping(): Promise<void>;
  /** @throws Fault TOPIC_REJECTED (names what was asked and what there is), KAFKA_UNAVAILABLE, KAFKA_REFUSED */
  createTopic(spec: TopicSpec): Promise<'created' | 'exists'>;
  deleteTopic(topic: string): Promise<'deleted' | 'absent'>;
  /** @returns undefined when there is no such topic, or none that this client may see */
  describeTopic(topic: string): Promise<TopicDescription | undefined>;
  /** The names of all topics that this client may see. */
  listTopics(): Promise<readonly string[]>;
  /** Grows a topic. @throws Fault TOPIC_REJECTED */
  growTopic(topic: string, partitions: number): Promise<void>;
  /** Changes how long a topic keeps records and nothing else of it. -1: for ever. */
  setRetention(topic: string, retentionMs: number): Promise<void>;
  /**
   * Makes sure that a consumer group has a committed offset in every partition of a topic: where `from` says, if the
   * topic is new to the group; the start where the group knows other partitions of the topic, because then the
   * partition itself is new.
   *
   * @param from for a time the first record that was stored then or later, and the end of the log where there is none
   * @returns the partitions that had none
   * @throws Fault TOPIC_MISSING; KAFKA_REFUSED (retriable) while other members are active and no partition has an
   *               offset yet
   */
  commitInitialOffsets(groupId: string, topic: string, from: InitialOffset): Promise<readonly number[]>;
  /** Committed offset and end of the log by partition. */
  groupLag(groupId: string, topic: string): Promise<readonly PartitionLag[]>;
  deleteGroup(groupId: string): Promise<'deleted' | 'absent'>;
  close(): Promise<void>;
}

export interface PartitionLag {
  readonly partition: number;
  /** The next offset to read; undefined while nothing was committed. */
  readonly commitOffset: bigint | undefined;
  readonly endOffset: bigint;
}

/** How to reach a cluster. */
export interface KafkaConnection extends KafkaAccess {
  readonly clientId: string;
  /** A request that took this long has failed; the connection is given up with it. */
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number;
}

/**
 * How to reach the cluster now, asked whenever a connection is opened: a mounted Secret changes while clients run.
 *
 * @returns the same object for as long as nothing has changed
 * @throws Fault SETTINGS_INVALID while nothing usable is known
 */
export type ConnectionSource = () => KafkaConnection;

export interface KafkaClient {
  createProducer(): Producer;
  createGroupMember(options: GroupMemberOptions): GroupMember;
  createAdmin(): Admin;
}
