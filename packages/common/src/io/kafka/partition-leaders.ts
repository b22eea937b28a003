/**
 * Which leader of a partition to believe when brokers tell different ones.
 *
 * A broker that stood still, or cannot reach the controllers, goes on telling the leaders of before, itself among them.
 * Whoever reads there with an offset that its log does not have is told that the offset lies outside the log, and would
 * begin again at the oldest record. Kafka counts the leaders of a partition: the higher epoch is the later one.
 *
 * Always true: of one and the same topic no partition goes back to an earlier epoch. A topic that was deleted and created
 * again has another id and counts anew.
 */

/** The leaders of a topic, as a broker told them. */
export interface TopicLeaders {
  readonly topicId: string;
  /** By partition. */
  readonly leaders: ReadonlyMap<number, ToldLeader>;
}

export interface ToldLeader {
  /** -1 where the partition has no leader. */
  readonly brokerId: number;
  readonly epoch: number;
}

/**
 * @param known what is believed so far
 * @param told  what a broker has told now: its partitions are those there are
 * @returns     of each partition the later of both; `isStale` when some of what was told is older than what was known
 */
export function latestLeaders(known: TopicLeaders | undefined, told: TopicLeaders): { readonly latest: TopicLeaders; readonly isStale: boolean } {
  if (known?.topicId !== told.topicId) return { latest: told, isStale: false };
  let isStale = false;
  const leaders = new Map<number, ToldLeader>();
  for (const [partition, leader] of told.leaders) {
    const before = known.leaders.get(partition);
    const isOlder = before !== undefined && before.epoch > leader.epoch;
    isStale ||= isOlder;
    leaders.set(partition, isOlder ? before : leader);
  }
  return { latest: { topicId: told.topicId, leaders }, isStale };
}
