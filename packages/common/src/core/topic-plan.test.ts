import { describe, expect, it } from 'vitest';
import { planTopic } from './topic-plan.ts';

const wanted = { partitions: 3, replicationFactor: 2, retentionMs: 1000 };

describe('planTopic', () => {
  it.each([
    ['as it should be', {}, {}],
    ['too few partitions', { partitions: 1 }, { growTo: 3 }],
    ['another retention', { retentionMs: 5 }, { setRetentionMs: 1000 }],
    ['a retention that the broker does not tell', { retentionMs: undefined }, {}],
    ['both', { partitions: 2, retentionMs: 5 }, { growTo: 3, setRetentionMs: 1000 }],
    ['too many partitions', { partitions: 4 }, { problem: { reason: 'TopicCannotShrink', message: 'topic t has 4 partitions, 3 asked: Kafka cannot take partitions away' } }],
    ['other replicas', { replicationFactor: 1 }, { remark: 'topic t has 1 replicas, 2 asked: those of an existing topic stay' }],
  ])('%s', (_name, found, plan) => {
    expect(planTopic('t', wanted, { ...wanted, ...found })).toEqual(plan);
  });
});
