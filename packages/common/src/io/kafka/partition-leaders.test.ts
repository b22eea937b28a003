import { describe, expect, it } from 'vitest';
import { latestLeaders, type TopicLeaders } from './partition-leaders.ts';

/** @param leaders by partition: `broker/epoch` */
function topic(topicId: string, ...leaders: readonly string[]): TopicLeaders {
  return { topicId, leaders: new Map(leaders.map((text, partition) => [partition, { brokerId: Number(text.split('/')[0]), epoch: Number(text.split('/')[1]) }])) };
}

describe('the leaders to believe', () => {
  it.each([
    { name: 'the first ones told', known: undefined, told: topic('a', '1/0', '2/3'), latest: topic('a', '1/0', '2/3'), isStale: false },
    { name: 'a leader that moved', known: topic('a', '1/0', '2/3'), told: topic('a', '3/1', '2/3'), latest: topic('a', '3/1', '2/3'), isStale: false },
    { name: 'not the leader of before, told by a broker that stood still', known: topic('a', '3/1', '2/3'), told: topic('a', '1/0', '2/3'), latest: topic('a', '3/1', '2/3'), isStale: true },
    { name: 'each partition by itself', known: topic('a', '3/1', '2/3'), told: topic('a', '1/0', '1/4'), latest: topic('a', '3/1', '1/4'), isStale: true },
    { name: 'that a partition has lost its leader', known: topic('a', '1/0'), told: topic('a', '-1/1'), latest: topic('a', '-1/1'), isStale: false },
    { name: 'not the leader of before where there is none any more', known: topic('a', '-1/1'), told: topic('a', '1/0'), latest: topic('a', '-1/1'), isStale: true },
    { name: 'partitions that the topic grew by', known: topic('a', '1/0'), told: topic('a', '1/0', '2/0'), latest: topic('a', '1/0', '2/0'), isStale: false },
    { name: 'those of a topic that was created anew, which counts from the beginning', known: topic('a', '3/7'), told: topic('b', '1/0'), latest: topic('b', '1/0'), isStale: false },
  ])('$name', ({ known, told, latest, isStale }) => {
    expect(latestLeaders(known, told)).toEqual({ latest, isStale });
  });
});
