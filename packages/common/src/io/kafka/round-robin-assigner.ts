/**
 * The assigner of the classic protocol's members: partitions in turn, each to a member that subscribes to its topic.
 *
 * The one that kafkajs brings, and whose name this one bears so that both may be in one group, knows only the topics of
 * the member that leads, and hands them to members which do not read them: while the topics of a group change from
 * member to member, partitions would be read by nobody.
 *
 * Always true: of the topics that any member subscribes to, each partition that exists has one reader, who subscribes to
 * it; members that all subscribe to the same topics get as many partitions each, give or take one.
 */
import kafkajs, { type Cluster, type PartitionAssigner } from 'kafkajs';
import type { TopicPartition } from '../../core/kafka-record.ts';

const { MemberAssignment, MemberMetadata } = kafkajs.AssignerProtocol;

const name = 'RoundRobinAssigner';
const version = 0;

export const roundRobinAssigner: PartitionAssigner = ({ cluster }) => ({
  name,
  version,

  async assign({ members }) {
    const subscriptions = new Map(members.map(({ memberId, memberMetadata }) => [memberId, MemberMetadata.decode(memberMetadata)?.topics ?? []]));
    const topics = [...new Set([...subscriptions.values()].flat())];
    const partitions = await Promise.all(topics.map((topic) => partitionsOf(cluster, topic)));
    const shares = assignInTurn(subscriptions, partitions.flat());
    return [...shares].map(([memberId, share]) => ({ memberId, memberAssignment: MemberAssignment.encode({ version, assignment: byTopic(share), userData: Buffer.alloc(0) }) }));
  },

  protocol: ({ topics }) => ({ name, metadata: MemberMetadata.encode({ version, topics, userData: Buffer.alloc(0) }) }),
});

/** @returns nothing of a topic that is not there, or not for us to see: who subscribes to it can have nothing of it either */
async function partitionsOf(cluster: Cluster, topic: string): Promise<readonly TopicPartition[]> {
  try {
    await cluster.addTargetTopic(topic);
  } catch (error) {
    if (!unknownTopicAnswers.has((error as { readonly type?: unknown }).type)) throw error;
  }
  return cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => ({ topic, partition: partitionId }));
}

const unknownTopicAnswers: ReadonlySet<unknown> = new Set(['UNKNOWN_TOPIC_OR_PARTITION', 'INVALID_TOPIC_EXCEPTION', 'TOPIC_AUTHORIZATION_FAILED']);

/**
 * @param subscriptions topics by member; the order of neither matters
 * @returns             partitions by member, of every member
 */
export function assignInTurn(subscriptions: ReadonlyMap<string, readonly string[]>, partitions: readonly TopicPartition[]): ReadonlyMap<string, readonly TopicPartition[]> {
  const members = [...subscriptions.keys()].sort();
  const shares = new Map(members.map((memberId): [string, TopicPartition[]] => [memberId, []]));
  const inOrder = partitions.toSorted((one, other) => (one.topic === other.topic ? one.partition - other.partition : one.topic < other.topic ? -1 : 1));
  let turn = 0;
  for (const entry of inOrder) {
    const reads = (offset: number): boolean => subscriptions.get(members[(turn + offset) % members.length]!)!.includes(entry.topic);
    const offset = members.findIndex((_, index) => reads(index));
    if (offset < 0) continue;
    turn += offset;
    shares.get(members[turn % members.length]!)!.push(entry);
    turn++;
  }
  return shares;
}

function byTopic(share: readonly TopicPartition[]): Record<string, number[]> {
  return Object.fromEntries([...Map.groupBy(share, ({ topic }) => topic)].map(([topic, of]) => [topic, of.map(({ partition }) => partition)]));
}
