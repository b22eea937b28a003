import { expect, it } from 'vitest';
import { PartitionMap } from './partition-map.ts';

function mapOf(...entries: readonly (readonly [topic: string, partition: number, value: string])[]): PartitionMap<string> {
  const map = new PartitionMap<string>();
  for (const [topic, partition, value] of entries) map.set(topic, partition, value);
  return map;
}

it('keeps partitions of the same number apart by their topics', () => {
  const map = mapOf(['orders', 0, 'a'], ['payments', 0, 'b'], ['orders', 1, 'c'], ['orders', 0, 'd']);
  expect([map.get('orders', 0), map.get('payments', 0), map.get('orders', 1), map.get('payments', 1), map.get('stock', 0)]).toEqual(['d', 'b', 'c', undefined, undefined]);
  expect(map.size).toBe(3);
  expect([...map.values()]).toEqual(['d', 'c', 'b']);
  expect([...map.entries()]).toEqual([['orders', 0, 'd'], ['orders', 1, 'c'], ['payments', 0, 'b']]);
});

it('forgets one partition and nothing else', () => {
  const map = mapOf(['orders', 0, 'a'], ['payments', 0, 'b']);
  map.delete('orders', 0);
  map.delete('orders', 7);
  map.delete('stock', 0);
  expect([map.has('orders', 0), map.has('payments', 0), map.size]).toEqual([false, true, 1]);
  map.clear();
  expect([map.size, [...map.values()]]).toEqual([0, []]);
});

it('may lose entries while somebody goes through it', () => {
  const map = mapOf(['orders', 0, 'a'], ['orders', 1, 'b'], ['payments', 0, 'c'], ['payments', 1, 'd']);
  const seen: string[] = [];
  for (const [topic, partition, value] of map.entries()) {
    seen.push(value);
    map.delete(topic, partition);
    map.delete('payments', 0);
  }
  expect(seen).toEqual(['a', 'b', 'd']);
  expect(map.size).toBe(0);
});
