import { deliveryOrders, type DeliveryOrder } from '@knative-kafka/common/core';
import { describe, expect, it } from 'vitest';
import { createDeliveryQueue, type DeliveryQueue, type Queued } from './delivery-order.ts';

interface Item extends Queued<Item> { readonly name: string }

/** `a1` is a record of key a; `1` has no key. */
function item(name: string, offset: number): Item {
  const key = /^[a-z]+/.exec(name)?.[0];
  return { name, key, offset: BigInt(offset), nextOfKey: undefined };
}

function setUp(order: DeliveryOrder, ...names: string[]) {
  const queue: DeliveryQueue<Item> = createDeliveryQueue(order);
  const items = new Map<string, Item>();
  const add = (...more: string[]): void => {
    for (const name of more) {
      items.set(name, item(name, items.size));
      queue.add(items.get(name)!);
    }
  };
  add(...names);
  return {
    queue, add,
    /** All that may start now. */
    start: (): string[] => {
      const started: string[] = [];
      while (queue.hasNext) started.push(queue.next()!.name);
      expect(queue.next()).toBeUndefined();
      return started;
    },
    done: (...ended: string[]) => { for (const name of ended) queue.done(items.get(name)!); },
  };
}

describe('ordered', () => {
  it('starts one record at a time, in the order they came', () => {
    const { queue, add, start, done } = setUp('ordered', 'a1', 'b1', 'a2');
    expect(start()).toEqual(['a1']);
    done('a1');
    expect(start()).toEqual(['b1']);
    add('c1');
    done('b1');
    expect(start()).toEqual(['a2']);
    expect(queue.waiting).toBe(1);
  });
});

describe('key-ordered', () => {
  it('starts one record of each key at a time, in the order they came, and different keys at once', () => {
    const { start, done } = setUp('key-ordered', 'a1', 'a2', 'b1', 'a3', 'b2');
    expect(start()).toEqual(['a1', 'b1']);
    done('b1');
    expect(start()).toEqual(['b2']);
    done('a1');
    expect(start()).toEqual(['a2']);
    done('b2', 'a2');
    expect(start()).toEqual(['a3']);
  });

  it('has records without a key wait for nobody', () => {
    const { start } = setUp('key-ordered', '1', 'a1', '2', 'a2', '3');
    expect(start()).toEqual(['1', 'a1', '2', '3']);
  });

  it('takes an empty key for a key', () => {
    const queue = createDeliveryQueue<Item>('key-ordered');
    for (const offset of [1n, 2n]) queue.add({ name: String(offset), key: '', offset, nextOfKey: undefined });
    expect(queue.next()?.name).toBe('1');
    expect(queue.next()).toBeUndefined();
  });

  it('starts a key anew once all of it is done', () => {
    const { add, start, done } = setUp('key-ordered', 'a1');
    expect(start()).toEqual(['a1']);
    done('a1');
    add('a2', 'a3');
    expect(start()).toEqual(['a2']);
    done('a2');
    expect(start()).toEqual(['a3']);
  });

  it('holds a record that came while the one before it was under way', () => {
    const { add, start, done } = setUp('key-ordered', 'a1');
    start();
    add('a2');
    expect(start()).toEqual([]);
    done('a1');
    expect(start()).toEqual(['a2']);
  });

  it('has a record that is done lead to no other, which would be kept in memory with it', () => {
    const queue = createDeliveryQueue<Item>('key-ordered');
    const [first, second] = [item('a1', 1), item('a2', 2)];
    queue.add(first);
    queue.add(second);
    queue.next();
    queue.done(first);
    expect([first.nextOfKey, queue.next()]).toEqual([undefined, second]);
  });

  it('starts older records first, where fewer are started than might be', () => {
    const { queue, done } = setUp('key-ordered', 'a1', 'b1', 'a2', 'c1', 'b2');
    const one = (): string | undefined => queue.next()?.name;
    expect([one(), one()]).toEqual(['a1', 'b1']);
    done('b1', 'a1');
    expect(one()).toBe('c1'); // b2 was set free first and came last: it waits for those before it
    expect([one(), one()]).toEqual(['b2', 'a2']); // among those set free, in the order that they were
  });

  it('lets a busy key go on although others never end', () => {
    const { queue, add, done } = setUp('key-ordered', 'a1', 'a2');
    queue.next();
    done('a1');
    for (let fresh = 1; fresh <= 10; fresh++) add(String(fresh));
    expect(queue.next()?.name).toBe('a2');
  });
});

describe('unordered', () => {
  it('starts all at once', () => {
    const { add, start } = setUp('unordered', 'a1', 'a2', '3');
    expect(start()).toEqual(['a1', 'a2', '3']);
    add('a4');
    expect(start()).toEqual(['a4']);
  });
});

describe.each(deliveryOrders)('%s', (order) => {
  it.each([1, 7, 1000])('gives each of ten thousand records once, %i at a time, those of a key in their order', (limit) => {
    let seed = limit;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const queue = createDeliveryQueue<Item>(order);
    const underWay: Item[] = [];
    const lastOf = new Map<string | undefined, bigint>();
    const wrong: string[] = [];
    let added = 0;
    let given = 0;
    while (given < 10_000 || underWay.length > 0) {
      for (let more = random(40); more > 0 && added < 10_000; more--) queue.add(item(`${'abcdefgh'.slice(0, random(9))}1`, added++));
      while (underWay.length < limit && queue.hasNext) {
        const next = queue.next()!;
        const scope = order === 'ordered' ? '' : next.key;
        const isAlone = order === 'ordered' || (order === 'key-ordered' && scope !== undefined);
        const isInTurn = !underWay.some(({ key }) => order === 'ordered' || key === scope) && next.offset > (lastOf.get(scope) ?? -1n);
        if (isAlone && !isInTurn) wrong.push(next.name);
        lastOf.set(scope, next.offset);
        underWay.push(next);
        given++;
      }
      expect(queue.waiting).toBe(added - given);
      for (let ended = random(30); ended > 0 && underWay.length > 0; ended--) queue.done(underWay.splice(random(underWay.length), 1)[0]!);
    }
    expect(wrong).toEqual([]);
    expect(queue.hasNext).toBe(false);
    expect(given).toBe(10_000);
  }, 60_000);
});
