import { describe, expect, it } from 'vitest';
import type { TopicPartition } from '../../core/kafka-record.ts';
import { assignInTurn } from './round-robin-assigner.ts';

function partitions(topic: string, count: number): TopicPartition[] {
  return Array.from({ length: count }, (_, partition) => ({ topic, partition }));
}

function shares(subscriptions: Readonly<Record<string, readonly string[]>>, ...all: readonly TopicPartition[]): Record<string, string[]> {
  const found = assignInTurn(new Map(Object.entries(subscriptions)), all);
  return Object.fromEntries([...found].map(([member, share]) => [member, share.map(({ topic, partition }) => `${topic}/${partition}`)]));
}

describe('assignInTurn', () => {
  it('gives members of the same topics as many partitions each, give or take one', () => {
    const both = ['orders', 'payments'];
    expect(shares({ a: both, b: both }, ...partitions('payments', 2), ...partitions('orders', 3))).toEqual({
      a: ['orders/0', 'orders/2', 'payments/1'],
      b: ['orders/1', 'payments/0'],
    });
  });

  it('does not depend on who is named first', () => {
    const all = [...partitions('orders', 3), ...partitions('payments', 2)];
    expect(shares({ b: ['payments', 'orders'], a: ['orders', 'payments'] }, ...all.toReversed())).toEqual(shares({ a: ['orders', 'payments'], b: ['orders', 'payments'] }, ...all));
  });

  it('gives nobody a partition of a topic that he does not read, and every partition to somebody who does', () => {
    const all = [...partitions('orders', 2), ...partitions('payments', 2), ...partitions('stock', 1)];
    expect(shares({ a: ['orders'], b: ['orders', 'payments'], c: ['stock'] }, ...all)).toEqual({
      a: ['orders/0'],
      b: ['orders/1', 'payments/0', 'payments/1'],
      c: ['stock/0'],
    });
  });

  it('has an empty share for whoever there is nothing for, and nothing of a topic that nobody reads', () => {
    expect(shares({ a: ['orders'], b: ['orders'], c: [] }, ...partitions('orders', 1), ...partitions('payments', 1))).toEqual({ a: ['orders/0'], b: [], c: [] });
    expect(shares({}, ...partitions('orders', 1))).toEqual({});
  });
});
