import { expect, it } from 'vitest';
import { fetchTopics } from './partition-fetcher.ts';

it('asks for partitions in the order given, whatever their topics, each from its leader of now', () => {
  const broker = { id: 1, host: 'localhost', port: 9092 };
  const orders = { name: 'orders', id: 'id-of-orders', leaders: new Map([[1, { broker, epoch: 7 }]]), isLookingForLeaders: false };
  const payments = { name: 'payments', id: 'id-of-payments', leaders: new Map([[0, { broker, epoch: 3 }]]), isLookingForLeaders: false };
  const reading = (topic: typeof orders, partition: number, nextOffset: bigint) => ({ topic, of: { topic: topic.name, partition }, nextOffset });
  const asked = fetchTopics([reading(orders, 1, 10n), reading(orders, 0, 0n), reading(payments, 0, 20n), reading(orders, 2, 30n)], 1024);
  expect(asked.flatMap(({ topicId, partitions }) => partitions.map(({ partition, currentLeaderEpoch, fetchOffset }) => [topicId, partition, currentLeaderEpoch, fetchOffset]))).toEqual([
    ['id-of-orders', 1, 7, 10n],
    ['id-of-orders', 0, -1, 0n],
    ['id-of-payments', 0, 3, 20n],
    ['id-of-orders', 2, -1, 30n],
  ]);
  expect(asked).toHaveLength(3);
});
