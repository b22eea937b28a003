import { describe, expect, it } from 'vitest';
import { ByteBudget, Fault, type OutgoingRecord, type ProducePump, type Settlement } from '@knative-kafka/common/core';
import { channelAddresses } from './core/channel-address.ts';
import { partitionOfKey, StickyPartition } from './core/partition-key.ts';
import type { Answer } from './core/receive-response.ts';
import { Receive, type Admission, type ChannelRoute, type RequestHead } from './receive.ts';

const maxMessageBytes = 10_000;
const batchBodyLimitBytes = 50_000;
/** What a request takes from the budget beside its body. */
const overheadBytes = 4096;
const late = new Fault('DEADLINE_EXCEEDED', 'too late', { retriable: true });
const refused = new Fault('KAFKA_REFUSED', 'not authorized', { retriable: false });
const large = new Fault('RECORD_TOO_LARGE', 'too large', { retriable: false });
const unknown = new Fault('TOPIC_MISSING', 'no such topic', { retriable: true });

const head: RequestHead = { host: 'x', target: '/shop/orders', contentLength: 100, isBatch: false, contentEncoding: undefined };
const headers = ['ce-specversion', '1.0', 'ce-id', '1', 'ce-source', '/s', 'ce-type', 't'];
const json = { specversion: '1.0', id: '1', source: '/s', type: 't' };

interface Appended { readonly partition: number; readonly record: OutgoingRecord; readonly deadline: number; readonly settlement: Settlement }

interface World { readonly limitBytes?: number; readonly isUp?: boolean; readonly partitions?: () => number | Promise<number> }

function setUp({ limitBytes = 1_000_000, isUp = true, partitions = () => 6 }: World = {}) {
  const appended: Appended[] = [];
  const route: ChannelRoute = { key: 'shop/orders', topic: 'topic', maxMessageBytes, sticky: new StickyPartition() };
  const budget = new ByteBudget(limitBytes);
  const pump: Pick<ProducePump, 'partitionCount' | 'rounds' | 'ledPartitions' | 'append'> = {
    partitionCount: partitions,
    rounds: () => 0,
    ledPartitions: () => [4],
    append: (_topic, partition, record, deadline, settlement) => void appended.push({ partition, record, deadline, settlement }),
  };
  const receive = new Receive({
    pump: pump as ProducePump,
    budget,
    kafka: { isUp: () => isUp, reason: () => 'no broker answers' },
    addresses: () => channelAddresses([{ key: route.key, hosts: [], route }]),
    wallClockMs: () => 1_700_000_000_000,
    nowMs: () => 5_000,
    random: () => 0,
  }, { produceDeadlineMs: 30_000, batchBodyLimitBytes });
  const admitted = (change: Partial<RequestHead> = {}): Admission => {
    const admission = receive.admit({ ...head, ...change });
    if ('status' in admission) throw new Error(`refused with ${admission.status}`);
    return admission;
  };
  const batch = (count: number) => receive.receive(admitted({ isBatch: true }), ['content-type', 'application/cloudevents-batch+json'], Buffer.from(JSON.stringify(Array.from({ length: count }, () => json))));
  return { receive, budget, appended, admitted, batch };
}
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('by its head a request is', () => {
  it.each<[string, Partial<RequestHead>, World]>([
    ['as it usually is', {}, {}],
    ['without a length', { contentLength: undefined }, {}],
    ['as long as the topic takes', { contentLength: maxMessageBytes }, {}],
    ['a batch, longer than one event may be', { isBatch: true, contentLength: batchBodyLimitBytes }, {}],
    ['encoded as nothing', { contentEncoding: 'identity' }, {}],
    ['larger than all that may be held, alone', {}, { limitBytes: 1 }],
  ])('admitted when it is %s', (_, change, world) => {
    const { receive } = setUp(world);
    expect(receive.admit({ ...head, ...change })).toMatchObject({ route: { key: 'shop/orders' } });
  });

  it.each<[string, Partial<RequestHead>, World, number]>([
    ['for a channel that is not there', { target: '/shop/other' }, {}, 404],
    ['compressed', { contentEncoding: 'gzip' }, {}, 415],
    ['longer than the topic takes', { contentLength: maxMessageBytes + 1 }, {}, 413],
    ['a batch longer than batches may be', { isBatch: true, contentLength: batchBodyLimitBytes + 1 }, {}, 413],
    ['made while Kafka is away', {}, { isUp: false }, 503],
    // What will not get better is said first: the sender need not come back.
    ['for no channel while Kafka is away', { target: '/shop/other' }, { isUp: false }, 404],
    ['too long while Kafka is away', { contentLength: maxMessageBytes + 1 }, { isUp: false }, 413],
  ])('refused when it is %s, and holds nothing', (_, change, world, status) => {
    const { receive, budget } = setUp(world);
    expect(receive.admit({ ...head, ...change })).toMatchObject({ status });
    expect(budget.heldBytes).toBe(0);
  });

  it('refused with 429 when more is held than may be', () => {
    const { receive, budget, admitted } = setUp({ limitBytes: 2 * (overheadBytes + 100) });
    admitted();
    admitted();
    expect(receive.admit(head)).toMatchObject({ status: 429, retryAfterSeconds: 1 });
    expect(budget.heldBytes).toBe(2 * (overheadBytes + 100));
  });
});

describe('a body', () => {
  it('costs nothing more than was announced', () => {
    const { receive, budget, admitted } = setUp();
    const admission = admitted({ contentLength: 500 });
    expect(receive.grow(admission, 200)).toBeUndefined();
    expect(receive.grow(admission, 500)).toBeUndefined();
    expect(budget.heldBytes).toBe(overheadBytes + 500);
  });

  it('that was not announced is counted as it comes', () => {
    const { receive, budget, admitted } = setUp();
    const admission = admitted({ contentLength: undefined });
    expect(receive.grow(admission, 200)).toBeUndefined();
    expect(receive.grow(admission, 3_000)).toBeUndefined();
    expect(budget.heldBytes).toBe(overheadBytes + 3_000);
  });

  it.each<[string, number, number, number]>([
    ['one byte beyond the topic', 1_000_000, maxMessageBytes + 1, 413],
    ['more than may be held now', 2 * overheadBytes + 1_000, 2_000, 429],
  ])('is refused at %s, and gives all of it back', (_, limitBytes, bodyBytes, status) => {
    const { receive, budget, admitted } = setUp({ limitBytes });
    const other = admitted({ contentLength: 0 });
    const admission = admitted({ contentLength: undefined });
    expect(receive.grow(admission, bodyBytes)).toMatchObject({ status });
    receive.abandon(admission);
    receive.abandon(admission); // once is enough
    expect(budget.heldBytes).toBe(other.heldBytes);
  });
});

describe('an event', () => {
  it('is acknowledged when Kafka has it, and not before', async () => {
    const { receive, budget, appended, admitted } = setUp();
    let answer: Answer | undefined;
    void receive.receive(admitted(), headers, Buffer.from('x')).then((given) => { answer = given; });
    await turn();
    expect(answer).toBeUndefined();
    expect(budget.heldBytes).toBeGreaterThan(0);
    appended[0]!.settlement.settled();
    await turn();
    expect(answer).toEqual({ status: 202 });
    expect(budget.heldBytes).toBe(0);
  });

  it('becomes a record with its time, and a deadline on a clock that never goes back', async () => {
    const { receive, appended, admitted } = setUp();
    void receive.receive(admitted(), [...headers, 'content-type', 'text/plain'], Buffer.from('x'));
    await turn();
    expect(appended).toMatchObject([{
      deadline: 35_000,
      record: { key: null, value: Buffer.from('x'), timestampMs: 1_700_000_000_000, headers: [['ce_specversion', '1.0'], ['ce_id', '1'], ['ce_source', '/s'], ['ce_type', 't'], ['content-type', 'text/plain']] },
    }]);
  });

  it.each<[string, string[], number]>([
    ['its partitionkey', ['ce-partitionkey', 'k', 'ce-subject', 's'], partitionOfKey(Buffer.from('k'), 6)],
    ['its subject', ['ce-subject', 's'], partitionOfKey(Buffer.from('s'), 6)],
    ['who has a leader, where it has no key', [], 4],
  ])('goes to the partition of %s', async (_, more, partition) => {
    const { receive, appended, admitted } = setUp();
    void receive.receive(admitted(), [...headers, ...more], Buffer.alloc(0));
    await turn();
    expect(appended[0]!.partition).toBe(partition);
  });

  it.each<[string, string[], Buffer, World, Fault | undefined, number]>([
    ['stored', headers, Buffer.from('x'), {}, undefined, 202],
    ['no event', headers.slice(2), Buffer.from('x'), {}, undefined, 400],
    ['in a format nobody reads', ['content-type', 'application/cloudevents+xml'], Buffer.from('x'), {}, undefined, 415],
    ['too large with all its attributes', [...headers, 'ce-ext', 'x'.repeat(6_000)], Buffer.alloc(5_000), {}, undefined, 413],
    ['too large for Kafka after all', headers, Buffer.from('x'), {}, large, 413],
    ['too late', headers, Buffer.from('x'), {}, late, 503],
    ['refused by Kafka', headers, Buffer.from('x'), {}, refused, 500],
    ['for a topic that is not there yet', headers, Buffer.from('x'), { partitions: () => Promise.reject(unknown) }, undefined, 503],
    ['for a topic that had to be asked for', headers, Buffer.from('x'), { partitions: () => Promise.resolve(3) }, undefined, 202],
  ])('%s is answered, and holds nothing any more', async (_, rawHeaders, body, world, fault, status) => {
    const { receive, budget, appended, admitted } = setUp(world);
    const answered = receive.receive(admitted(), rawHeaders, body);
    await turn();
    appended[0]?.settlement.settled(fault);
    expect(await answered).toMatchObject({ status });
    expect(budget.heldBytes).toBe(0);
  });

  it('that meets a bug holds nothing either', async () => {
    const { receive, budget, admitted } = setUp({ partitions: () => Promise.reject(new TypeError('a bug')) });
    await expect(receive.receive(admitted(), headers, Buffer.alloc(0))).rejects.toThrow('a bug');
    expect(budget.heldBytes).toBe(0);
  });
});

describe('a batch', () => {
  it('is acknowledged when Kafka has all of it', async () => {
    const { appended, batch } = setUp();
    let answer: Answer | undefined;
    void batch(3).then((given) => { answer = given; });
    await turn();
    appended[2]!.settlement.settled();
    appended[0]!.settlement.settled();
    await turn();
    expect(answer).toBeUndefined();
    appended[1]!.settlement.settled();
    await turn();
    expect(answer).toEqual({ status: 202 });
  });

  it('that is stored in part says how much of it is, when that is known of each', async () => {
    const { budget, appended, batch } = setUp();
    const answered = batch(3);
    await turn();
    appended[1]!.settlement.settled(late);
    appended[0]!.settlement.settled();
    expect(budget.heldBytes).toBeGreaterThan(0);
    appended[2]!.settlement.settled();
    expect(await answered).toMatchObject({ status: 503, retryAfterSeconds: 1, problem: { detail: 'too late; 2 of the 3 events of the batch are stored' } });
    expect(budget.heldBytes).toBe(0);
  });

  it('with one event that is too large stores none of them', async () => {
    const { receive, appended, admitted } = setUp();
    const body = Buffer.from(JSON.stringify([json, { ...json, data: 'x'.repeat(maxMessageBytes) }]));
    expect(await receive.receive(admitted({ isBatch: true }), ['content-type', 'application/cloudevents-batch+json'], body)).toMatchObject({ status: 413 });
    expect(appended).toEqual([]);
  });

  it('of nothing is acknowledged without Kafka', async () => {
    const { appended, batch } = setUp({ partitions: () => new Promise(() => undefined) });
    expect(await batch(0)).toEqual({ status: 202 });
    expect(appended).toEqual([]);
  });
});
