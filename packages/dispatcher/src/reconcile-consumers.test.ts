import { describe, expect, it } from 'vitest';
import { defaultDelivery, type DeliveryOrder } from '@knative-kafka/common/core';
import type { ConsumerGroup } from './consume.ts';
import type { DesiredConsumer, Destination } from './core/desired-consumers.ts';
import { RunningConsumers } from './reconcile-consumers.ts';

function desired(groupId: string, { topic = 'topic', uri = 'http://here/', order = 'ordered' }: { readonly topic?: string; readonly uri?: string; readonly order?: DeliveryOrder } = {}): DesiredConsumer {
  const destination: Destination = { subscriber: { uri }, reply: undefined, deadLetterSink: undefined, keepsUndeliverable: false, namespace: 'shop', delivery: defaultDelivery };
  return { groupId, topics: [topic], order, owner: { channel: 'shop/orders', subscription: groupId }, initialOffset: 'latest', memberId: undefined, kafka: undefined, destination, source: undefined };
}
function state(...consumers: readonly DesiredConsumer[]): ReadonlyMap<string, DesiredConsumer> {
  return new Map(consumers.map((consumer) => [consumer.groupId, consumer]));
}

function setUp() {
  const did: string[] = [];
  const leaving = new Map<string, () => void>();
  const running = new RunningConsumers({
    drainTimeoutMs: 8_000,
    onStopped: (consumer) => did.push(`stopped ${consumer.desired.groupId}`),
    create: (wanted) => {
      const name = `${wanted.groupId}${wanted.topics[0] === 'topic' ? '' : ` of ${wanted.topics.join(', ')}`}${wanted.order === 'ordered' ? '' : ` ${wanted.order}`}`;
      const consumer: Pick<ConsumerGroup, 'desired' | 'start' | 'stop' | 'update'> = {
        desired: wanted,
        start: () => did.push(`start ${name}`),
        update: ({ destination: { subscriber: { uri } } }) => { if (uri !== wanted.destination.subscriber.uri) did.push(`move ${name} to ${uri}`); },
        stop: (drainTimeoutMs) => {
          did.push(`stop ${name} in ${drainTimeoutMs}`);
          return new Promise((resolve) => leaving.set(wanted.groupId, resolve));
        },
      };
      return consumer as ConsumerGroup;
    },
  });
  return {
    running, did,
    left: async (groupId: string) => {
      leaving.get(groupId)!();
      await new Promise<void>((resolve) => setImmediate(resolve));
    },
  };
}

describe('running consumer groups follow the desired ones:', () => {
  it('missing ones start, unwanted ones stop, the others go on', async () => {
    const { running, did, left } = setUp();
    running.reconcile(state(desired('a'), desired('b')));
    running.reconcile(state(desired('b'), desired('c')));
    expect(did).toEqual(['start a', 'start b', 'stop a in 8000', 'start c']);
    expect([...running.values()].map((consumer) => consumer.desired.groupId)).toEqual(['b', 'c']);
    await left('a');
    expect(did.at(-1)).toBe('stopped a');
  });

  it('the same state again changes nothing', () => {
    const { running, did } = setUp();
    running.reconcile(state(desired('a')));
    did.length = 0;
    running.reconcile(state(desired('a')));
    expect(did).toEqual([]);
  });

  it('a new destination is told, without a stop', () => {
    const { running, did } = setUp();
    running.reconcile(state(desired('a')));
    running.reconcile(state(desired('a', { uri: 'http://there/' })));
    expect(did).toEqual(['start a', 'move a to http://there/']);
  });

  it('one that is wanted again starts only when it has left: two members of one process would share its partitions', async () => {
    const { running, did, left } = setUp();
    running.reconcile(state(desired('a')));
    running.reconcile(state());
    running.reconcile(state(desired('a', { uri: 'http://there/' })));
    expect(did).toEqual(['start a', 'stop a in 8000']);
    await left('a');
    expect(did).toEqual(['start a', 'stop a in 8000', 'stopped a', 'start a']);
    expect([...running.values()][0]!.desired.destination.subscriber.uri).toBe('http://there/');
  });

  it('one that changes its mind twice while it leaves stays away', async () => {
    const { running, did, left } = setUp();
    running.reconcile(state(desired('a')));
    running.reconcile(state());
    running.reconcile(state(desired('a')));
    running.reconcile(state());
    await left('a');
    expect(did).toEqual(['start a', 'stop a in 8000', 'stopped a']);
  });

  it.each<[string, Parameters<typeof desired>[1], string]>([
    ['of another topic', { topic: 'other' }, 'start a of other'],
    ['in another order', { order: 'unordered' }, 'start a unordered'],
  ])('the same group %s is another consumer', async (_, change, started) => {
    const { running, did, left } = setUp();
    running.reconcile(state(desired('a')));
    running.reconcile(state(desired('a', change)));
    await left('a');
    expect(did).toEqual(['start a', 'stop a in 8000', 'stopped a', started]);
  });

  it('closing stops all at the same time, waits for each, and starts none again', async () => {
    const { running, did, left } = setUp();
    running.reconcile(state(desired('a'), desired('b'), desired('c')));
    running.reconcile(state(desired('a'), desired('b')));
    did.length = 0;
    let isClosed = false;
    const closing = running.close().then(() => { isClosed = true; });
    running.reconcile(state(desired('a'), desired('d')));
    expect(did).toEqual(['stop a in 8000', 'stop b in 8000']);
    await left('a');
    await left('b');
    expect(isClosed).toBe(false); // c was told before, and has not left yet
    await left('c');
    await closing;
    expect(did.filter((what) => what.startsWith('start'))).toEqual([]);
  });
});
