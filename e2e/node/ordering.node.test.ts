/**
 * What order costs: a subscriber that is slow for one key holds up that key where order is asked for by key, and its
 * whole partition where nothing is asked for.
 *
 * The channel has one partition, so every key shares it with the slow one.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, systemNamespace } from './cluster.ts';
import { applyUntilReady, idsAt, kafkaChannel, orderPlaced, orders, send, subscription, untilReceived } from './orders.ts';
import { Subscriber } from './subscriber.ts';

describe('a subscriber that is slow for one key', () => {
  const cluster = new Cluster();
  const quickKeys = ['a', 'b', 'c', 'd'];
  const keys = ['slow', ...quickKeys];
  let subscriber: Subscriber;
  const sent: string[] = [];

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    await cluster.createNamespace(orders);
    await cluster.install();
    subscriber = await Subscriber.start(cluster, orders);
    // Longer than the tests take: an attempt that waits is not given up.
    const delivery = { timeout: 'PT10M', retry: 1_000, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' };
    await applyUntilReady(
      cluster,
      kafkaChannel(orders, { numPartitions: 1, delivery }),
      subscription('by-key', orders, { subscriber: { uri: subscriber.at('/by-key') } }, { 'kafka.eventing.knative.dev/delivery.order': 'key-ordered' }),
      subscription('in-order', orders, { subscriber: { uri: subscriber.at('/in-order') } }),
    );
  });
  afterAll(async () => {
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it('gets all other keys while it keeps the first event of the slow one', async () => {
    await subscriber.answerWith({ key: 'slow', isHeld: true });
    await sendRounds(0, 5);
    await untilReceived(subscriber, '/by-key', idsOf(quickKeys, 0, 5));
    await untilReceived(subscriber, '/in-order', ['slow-0']);
    for (const key of quickKeys) expect(await idsOfKey('/by-key', key)).toEqual(idsOf([key], 0, 5));
    // The next ones of the slow key wait for the answer to the first.
    expect(await idsOfKey('/by-key', 'slow')).toEqual(['slow-0']);
  });

  it('gets nothing else of the partition meanwhile where order is that of the partition', async () => {
    expect(await idsAt(subscriber, '/in-order')).toEqual(['slow-0']);
  });

  it('gets the rest once it answers: each once, and each key in order', async () => {
    await subscriber.answerWith();
    for (const path of ['/by-key', '/in-order']) await untilReceived(subscriber, path, sent);
    expect(await idsAt(subscriber, '/in-order')).toEqual(sent);
    expect(await idsAt(subscriber, '/by-key')).toHaveLength(sent.length);
    for (const key of keys) expect(await idsOfKey('/by-key', key)).toEqual(idsOf([key], 0, 5));
  });

  it('gets other keys as well while it answers the slow one with 503, and that one in order after all', async () => {
    await subscriber.answerWith({ path: '/by-key', key: 'slow', status: 503 });
    await sendRounds(5, 8);
    await untilReceived(subscriber, '/by-key', idsOf([...quickKeys, 'slow'], 5, 6));
    await untilReceived(subscriber, '/by-key', idsOf(quickKeys, 5, 8));
    expect(new Set(await idsOfKey('/by-key', 'slow'))).toEqual(new Set(idsOf(['slow'], 0, 6))); // none that comes after the one that fails
    await subscriber.answerWith();
    await untilReceived(subscriber, '/by-key', sent);
    for (const key of quickKeys) expect(await idsOfKey('/by-key', key)).toEqual(idsOf([key], 0, 8));
    const slow = await idsOfKey('/by-key', 'slow');
    expect(slow.filter((id, at) => id !== slow[at - 1])).toEqual(idsOf(['slow'], 0, 8)); // attempts of one event stand together
    await untilReceived(subscriber, '/in-order', sent);
    expect(await idsAt(subscriber, '/in-order')).toEqual(sent);
  });

  /** Of each key the events with these numbers, the slow key's first in every round. */
  async function sendRounds(from: number, to: number): Promise<void> {
    for (let round = from; round < to; round++) {
      for (const key of keys) {
        const id = `${key}-${round}`;
        await send(subscriber, orders, orderPlaced(id, key));
        sent.push(id);
      }
    }
  }

  function idsOf(of: readonly string[], from: number, to: number): readonly string[] {
    return of.flatMap((key) => Array.from({ length: to - from }, (_, index) => `${key}-${from + index}`));
  }

  async function idsOfKey(path: string, key: string): Promise<readonly string[]> {
    return (await idsAt(subscriber, path)).filter((id) => id.startsWith(`${key}-`));
  }
});
