import { describe, expect, it } from 'vitest';
import { OrderedQueue } from './delivery-order.ts';

describe('OrderedQueue', () => {
  it('starts one record at a time, in the order they came', () => {
    const order = new OrderedQueue<number>();
    for (const item of [1, 2, 3]) order.add(item);
    expect(order.next()).toBe(1);
    expect(order.next()).toBeUndefined();
    order.done();
    expect(order.next()).toBe(2);
    order.add(4);
    order.done();
    expect([order.next(), order.waiting]).toEqual([3, 1]);
  });

  it('keeps the order over thousands of records', () => {
    const order = new OrderedQueue<number>();
    const out: number[] = [];
    for (let item = 0; item < 10_000; item++) {
      order.add(item);
      if (item % 3 === 0) { const next = order.next(); if (next !== undefined) { out.push(next); order.done(); } }
    }
    for (let next = order.next(); next !== undefined; next = order.next()) { out.push(next); order.done(); }
    expect(out).toEqual(Array.from({ length: 10_000 }, (_, item) => item));
    expect(order.waiting).toBe(0);
  });
});
