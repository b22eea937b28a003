import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { defaultDelivery, Fault, type DeliveryOrder, type IncomingRecord } from '@knative-kafka/common/core';
import type { AssignedPartition, CommitOffset, GroupMember, GroupMemberHandlers, Logger } from '@knative-kafka/common/io';
import { ConsumerGroup } from './consume.ts';
import type { DeadLetter } from './core/dead-letter-record.ts';
import type { DesiredConsumer } from './core/desired-consumers.ts';
import type { DeliveryAnswer } from './core/response-verdict.ts';

const kafkaAway = new Fault('KAFKA_UNAVAILABLE', 'no broker', { retriable: true });
const desired: DesiredConsumer = {
  groupId: 'group',
  topics: ['t'],
  owner: { channel: 'shop/orders', subscription: 'all' },
  order: 'ordered',
  initialOffset: 'latest',
  memberId: undefined,
  kafka: undefined,
  source: undefined,
  destination: { subscriber: { uri: 'http://here/' }, reply: undefined, deadLetterSink: undefined, keepsUndeliverable: false, namespace: 'shop', delivery: defaultDelivery },
};

function record(offset: number): IncomingRecord {
  const headers = [['ce_specversion', '1.0'], ['ce_id', String(offset)], ['ce_source', '/s'], ['ce_type', 't']] as const;
  return { offset: BigInt(offset), key: null, value: null, headers: headers.map(([name, value]) => [name, Buffer.from(value)]), timestampMs: 0 };
}
const to = (change: Partial<DesiredConsumer['destination']>): DesiredConsumer => ({ ...desired, destination: { ...desired.destination, ...change } });
const kept = (...partitions: number[]): AssignedPartition[] => partitions.map((partition) => ({ topic: 't', partition, kept: true }));
const fresh = (...partitions: number[]): AssignedPartition[] => partitions.map((partition) => ({ topic: 't', partition, kept: false }));

/** One group member under the test's control; `did` is shared by all of a test, in the order of what happened. */
class FakeMember implements GroupMember {
  readonly handlers: GroupMemberHandlers;
  readonly #did: string[];
  readonly startFault: Fault | undefined;
  commitFault: Fault | undefined;
  /** What commits wait for before they are taken. */
  commitGate: Promise<undefined> | undefined;

  constructor(handlers: GroupMemberHandlers, did: string[], startFault: Fault | undefined) {
    this.handlers = handlers;
    this.#did = did;
    this.startFault = startFault;
  }
  start(): Promise<void> {
    this.#did.push('start');
    return this.startFault === undefined ? Promise.resolve() : Promise.reject(this.startFault);
  }
  pause(): void { this.#did.push('pause'); }
  resume(): void { /* said anew after each rebalance */ }
  readonly metadata: (string | undefined)[] = [];
  commit(offsets: readonly CommitOffset[]): Promise<void> {
    this.metadata.push(...offsets.map(({ metadata }) => metadata));
    const text = offsets.map(({ partition, commitOffset }) => `${partition}@${commitOffset}`).join(' ');
    this.#did.push(`${this.commitFault === undefined ? 'commit' : 'commit refused'} ${text}`);
    return this.commitFault === undefined ? (this.commitGate ?? Promise.resolve()) : Promise.reject(this.commitFault);
  }
  close(): Promise<void> {
    this.#did.push('close');
    return Promise.resolve();
  }
  records(partition: number, ...offsets: number[]): void {
    this.handlers.records({ topic: 't', partition }, offsets.map(record), BigInt(offsets.at(-1)! + 1));
  }
}

function setUp({ change = {}, destination = {}, kafkaKnown, order = desired.order, commitIntervalMs = 0, startFaults = [], offsetFaults = [] }: { readonly change?: Partial<DesiredConsumer>; readonly destination?: Partial<DesiredConsumer['destination']>; readonly kafkaKnown?: Promise<undefined>; readonly order?: DeliveryOrder; readonly commitIntervalMs?: number; readonly startFaults?: (Fault | undefined)[]; readonly offsetFaults?: (Fault | undefined)[] } = {}) {
  const did: string[] = [];
  const members: FakeMember[] = [];
  const sleeps: number[] = [];
  const lanes = { now: 0 };
  const counted: Record<string, number> = {};
  const count = (name: string) => ({ inc: () => { counted[name] = (counted[name] ?? 0) + 1; } });
  const waiting = new Map<string, (answer: DeliveryAnswer) => void>();
  const logged: string[] = [];
  const letters: DeadLetter[] = [];
  const sentHeaders: (readonly string[])[] = [];
  const log = Object.fromEntries(['error', 'warn', 'info', 'debug'].map((level) => [level, (_: unknown, message: string) => logged.push(message)])) as unknown as Logger;
  let isSendBroken = false;
  const consumer = new ConsumerGroup({ ...to(destination), order, ...change }, {
    kafkaKnown,
    createGroupMember: ({ groupId, topics }, handlers) => {
      expect([groupId, topics]).toEqual(['group', change.topics ?? desired.topics]);
      members.push(new FakeMember(handlers, did, startFaults.shift()));
      return members.at(-1)!;
    },
    admin: {
      commitInitialOffsets: (groupId, topic, from) => {
        did.push(`offsets ${groupId} ${topic} ${JSON.stringify(from)}`);
        const fault = offsetFaults.shift();
        return fault === undefined ? Promise.resolve([]) : Promise.reject(fault);
      },
    },
    dispatchIo: {
      sendTo: (request, receiver) => {
        const { uri } = request;
        const headers = request.headers.flat();
        if (isSendBroken) throw new TypeError('a bug');
        const id = decodeURIComponent(headers[headers.indexOf('ce-id') + 1]!);
        sentHeaders.push([...headers]);
        did.push(`send ${id}${uri === 'http://here/' ? '' : ` to ${uri}`}`);
        waiting.set(id, (answer) => receiver.answered(answer));
      },
      sleep: (ms, signal) => new Promise((resolve) => {
        if (signal.aborted) { resolve(false); return; }
        sleeps.push(Math.round(ms));
        signal.addEventListener('abort', () => resolve(false));
        if (ms < 60_000) setImmediate(() => resolve(!signal.aborted)); // longer ones are drain times, which do not end here
      }),
      random: () => 0,
      now: () => 0,
      longestDelayMs: 300_000,
    },
    keep: (letter) => {
      letters.push(letter);
      const { record: { offset }, reason } = letter;
      did.push(`keep ${offset} ${reason}`);
      return Promise.resolve(true);
    },
    metrics: {
      dispatchSeconds: { observe: () => undefined },
      queueBytes: { inc: () => undefined },
      rebalances: count('rebalances'),
      rebalanceSeconds: { observe: () => undefined },
      skipped: count('skipped'),
      offsetResets: count('offset resets'),
      commits: count('commits'),
      commitFailures: count('commit failures'),
      outcome: (outcome) => count('reason' in outcome ? `${outcome.kind} ${outcome.reason}` : outcome.kind).inc(),
      attempt: () => undefined,
      reply: () => undefined,
      remove: () => undefined,
    },
    log,
    partitionQueueBytes: () => 1_000_000,
    onLanes: (change) => { lanes.now += change; },
  }, { commitIntervalMs, commitPatienceMs: 1_000, maxInFlight: 100 });
  const turns = async (): Promise<void> => { for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve)); };
  return {
    consumer, did, members, sleeps, counted, lanes, turns, logged, letters, sentHeaders,
    breakSend: () => { isSendBroken = true; },
    answer: async (id: number | string, status = 200) => {
      waiting.get(String(id))!({ status, retryAfter: undefined });
      await turns();
    },
    /** Running, with these partitions; what led there is forgotten. */
    joined: async (...partitions: number[]) => {
      consumer.start();
      await turns();
      members[0]!.handlers.assigned(fresh(...partitions));
      did.length = 0;
      return members[0]!;
    },
  };
}

describe('a consumer group joins', () => {
  it('only after its initial offsets are fixed, so that no event stored from then on is missed', async () => {
    const { consumer, did, members, turns } = setUp();
    consumer.start();
    expect([consumer.hasInitialOffsets, consumer.isReady]).toEqual([false, false]);
    await turns();
    expect(did).toEqual(['offsets group t "latest"', 'start']);
    expect([consumer.hasInitialOffsets, consumer.isReady]).toEqual([true, false]);
    members[0]!.handlers.assigned(fresh(0));
    expect(consumer.isReady).toBe(true);
  });

  it('again and again until it succeeds, later each time, without a word after the first', async () => {
    const { consumer, did, sleeps, logged, turns } = setUp({ offsetFaults: [kafkaAway, kafkaAway], startFaults: [kafkaAway] });
    consumer.start();
    await turns();
    await turns();
    expect(did).toEqual(['offsets group t "latest"', 'offsets group t "latest"', 'offsets group t "latest"', 'start', 'close', 'start']); // offsets once fixed are left alone
    expect(sleeps).toEqual([200, 400, 800]);
    expect(logged).toEqual(['consumer group not joined, trying again']);
  });

  it('anew when its membership is lost: what was in flight is not committed, and the waits begin short again', async () => {
    const { consumer, did, members, sleeps, lanes, turns, joined, answer } = setUp();
    const first = await joined(0, 1);
    first.records(0, 5);
    first.handlers.lost(kafkaAway);
    expect([consumer.isReady, lanes.now]).toEqual([false, 0]);
    await turns();
    expect(members).toHaveLength(2);
    await answer(5);
    members[1]!.handlers.assigned(fresh(0));
    members[1]!.records(0, 5);
    expect(did).toEqual(['send 5', 'close', 'start', 'send 5']); // no commit between, and the old one's end before the new one's start
    members[1]!.handlers.lost(kafkaAway);
    await turns();
    expect(sleeps).toEqual([200, 200]);
  });

  it('not any more once it is stopped', async () => {
    const { consumer, did, members, joined, turns } = setUp();
    const member = await joined(0);
    member.handlers.lost(kafkaAway);
    await consumer.stop(60_000);
    await turns();
    expect(members).toHaveLength(1);
    expect(did).toEqual(['close']);
  });
});

describe('commits', () => {
  it('follow what is settled and never pass a delivery under way', async () => {
    const { did, joined, answer } = setUp();
    const member = await joined(0, 1);
    member.records(0, 10, 11);
    member.records(1, 70);
    await answer(10);
    await answer(70, 400); // dropped is settled
    expect(did).toEqual(['send 10', 'send 70', 'send 11', 'commit 0@11', 'commit 1@71']);
  });

  describe('in time', () => {
    beforeEach(() => { vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }); });
    afterEach(() => { vi.useRealTimers(); });

    it('that were refused are made again, counted, and not in a hurry', async () => {
      const { did, counted, joined, answer } = setUp({ commitIntervalMs: 0 });
      const member = await joined(0);
      member.commitFault = kafkaAway;
      member.records(0, 0, 1);
      await answer(0);
      await vi.advanceTimersByTimeAsync(250);
      member.commitFault = undefined;
      await vi.advanceTimersByTimeAsync(1_000);
      expect(did).toEqual(['send 0', 'send 1', 'commit refused 0@1', 'commit refused 0@1', 'commit refused 0@1', 'commit 0@1']);
      expect([counted['commits'], counted['commit failures']]).toEqual([1, 3]);
    });

    it('that are not taken for a second hold up what is new, until one is', async () => {
      const { did, logged, joined, answer } = setUp({ commitIntervalMs: 0 });
      const member = await joined(0);
      member.commitFault = kafkaAway;
      member.records(0, 0, 1, 2, 3);
      await answer(0);
      await vi.advanceTimersByTimeAsync(999);
      await answer(1);
      await vi.advanceTimersByTimeAsync(1);
      await answer(2); // was under way
      await vi.advanceTimersByTimeAsync(5_000);
      const sent = (): string[] => did.filter((what) => what.startsWith('send'));
      expect(sent()).toEqual(['send 0', 'send 1', 'send 2']);
      member.commitFault = undefined;
      await vi.advanceTimersByTimeAsync(100);
      expect(did.slice(-2)).toEqual(['commit 0@3', 'send 3']);
      expect(logged.filter((message) => message.includes('commits'))).toEqual(['the group takes no commits, so nothing new is delivered until it does', 'the group takes commits again']);
    });

    it('hold up nothing where it was the process that stood still', async () => {
      const { did, logged, joined, answer, turns } = setUp({ commitIntervalMs: 0 });
      const member = await joined(0);
      const gate = Promise.withResolvers<undefined>();
      member.commitGate = gate.promise;
      member.records(0, 0, 1, 2);
      await answer(0);
      vi.advanceTimersByTime(1_000); // and before anything else is done the answer to the commit is there
      gate.resolve(undefined);
      await turns();
      await answer(1);
      expect(did.filter((what) => what.startsWith('send'))).toEqual(['send 0', 'send 1', 'send 2']);
      expect(logged.filter((message) => message.includes('commits'))).toEqual([]);
    });

    it.each<[string, (member: FakeMember) => void]>([
      ['are others\'', (member) => member.handlers.assigned(kept(1))],
      ['begin anew', (member) => member.handlers.offsetReset({ topic: 't', partition: 0 })],
    ])('that are not taken hold up nothing once the partitions they are of %s', async (_, happens) => {
      const { did, joined, answer } = setUp({ commitIntervalMs: 0 });
      const member = await joined(0, 1);
      member.commitFault = kafkaAway;
      member.records(0, 0, 1);
      await answer(0);
      await vi.advanceTimersByTimeAsync(2_000);
      happens(member);
      member.records(1, 70, 71);
      await vi.advanceTimersByTimeAsync(2_000);
      expect(did.at(-1)).toBe('send 70');
    });

    it('come once per interval, however much is settled, and the last one comes as well', async () => {
      const { did, joined, answer } = setUp({ commitIntervalMs: 100 });
      const member = await joined(0);
      vi.advanceTimersByTime(1_000);
      member.records(0, 0, 1, 2, 3);
      await answer(0);
      expect(did).toEqual(['send 0', 'send 1', 'commit 0@1']);
      await answer(1);
      await answer(2);
      await vi.advanceTimersByTimeAsync(99);
      expect(did.at(-1)).toBe('send 3');
      await vi.advanceTimersByTimeAsync(1);
      expect(did.at(-1)).toBe('commit 0@3');
    });
  });
});

describe('a rebalance', () => {
  it('commits what is settled when it begins, and starts nothing new until it is over', async () => {
    const { did, counted, joined, answer, turns } = setUp({ commitIntervalMs: 1_000_000 });
    const member = await joined(0, 1);
    member.records(0, 0, 1, 2);
    await answer(0);
    member.handlers.rebalancing();
    await turns();
    await answer(1);
    expect(did).toEqual(['send 0', 'send 1', 'commit 0@1']);
    expect(counted['rebalances']).toBe(1);
    member.handlers.assigned(kept(0, 1));
    expect(did.at(-1)).toBe('send 2');
  });

  it('lets the partitions that stay go on where they were: nothing is sent twice', async () => {
    const { did, joined, answer } = setUp();
    const member = await joined(0, 1);
    member.records(0, 0, 1);
    member.handlers.rebalancing();
    member.handlers.assigned([...kept(0), ...fresh(2)]);
    await answer(0);
    member.records(0, 2);
    await answer(1);
    await answer(2);
    expect(did.filter((what) => what.startsWith('send'))).toEqual(['send 0', 'send 1', 'send 2']);
    expect(did.at(-1)).toBe('commit 0@3');
  });

  it('ends those that go: what is queued is not sent, what was under way is not committed', async () => {
    const { did, lanes, joined, answer, turns } = setUp();
    const member = await joined(0, 1);
    member.records(1, 0, 1);
    member.handlers.rebalancing();
    member.handlers.assigned(kept(0));
    expect(lanes.now).toBe(1);
    await answer(0);
    member.records(1, 2); // fetched before, and late
    await turns();
    expect(did).toEqual(['send 0']);
  });

  it('begins anew with a partition that was somebody else\'s meanwhile', async () => {
    const { did, lanes, joined, answer } = setUp();
    const member = await joined(0);
    member.records(0, 0, 1);
    member.handlers.rebalancing();
    member.handlers.assigned(fresh(0));
    await answer(0);
    member.records(0, 1); // the other one committed up to here
    await answer(1);
    expect(did).toEqual(['send 0', 'send 1', 'commit 0@2']);
    expect(lanes.now).toBe(1);
  });

  it('may be told by its end alone', async () => {
    const { did, joined } = setUp();
    const member = await joined(0);
    member.handlers.assigned([...kept(0), ...fresh(1)]);
    member.records(1, 7);
    expect(did).toEqual(['send 7']);
  });
});

describe('an offset outside the log', () => {
  it('is counted and told, and what is read from then on takes the place of what was queued', async () => {
    const { did, counted, logged, lanes, joined, answer } = setUp();
    const member = await joined(0);
    member.records(0, 100, 101);
    member.handlers.offsetReset({ topic: 't', partition: 0 });
    member.records(0, 3);
    await answer(100);
    await answer(3);
    expect(did).toEqual(['send 100', 'send 3', 'commit 0@4']);
    expect([counted['offset resets'], lanes.now]).toEqual([1, 1]);
    expect(logged).toContain('committed offset is outside the log, going on with the oldest record');
  });
});

describe('deliveries', () => {
  it('go to the new destination from the next attempt on, without a new member', async () => {
    const { consumer, did, members, joined, answer } = setUp();
    const member = await joined(0);
    member.records(0, 0, 1);
    consumer.update(to({ subscriber: { uri: 'http://there/' } }));
    await answer(0, 503);
    await answer(0);
    expect(did).toEqual(['send 0', 'send 0 to http://there/', 'send 1 to http://there/', 'commit 0@1']);
    expect(members).toHaveLength(1);
  });

  it('that meet a bug are kept in the dead letter topic, counted and told, and the next one goes on', async () => {
    const { counted, did, logged, joined, breakSend, turns } = setUp();
    const member = await joined(0);
    breakSend();
    member.records(0, 0, 1);
    await turns();
    expect(counted['kept internal-error']).toBe(2);
    expect(logged).toContain('delivery failed with a bug');
    expect(did.filter((text) => !text.startsWith('commit'))).toEqual(['keep 0 internal-error', 'keep 1 internal-error']);
    expect(did.at(-1)).toBe('commit 0@2');
  });

  it('tell when a subscriber starts failing and when it has recovered, not each time', async () => {
    const { consumer, logged, joined, answer } = setUp();
    const member = await joined(0);
    logged.length = 0;
    member.records(0, 0, 1);
    await answer(0, 503);
    await answer(0, 503);
    expect(consumer.results.failing).toBe('status-503');
    await answer(0);
    await answer(1);
    expect(logged).toEqual(['delivery starts failing', 'delivery has recovered']);
    expect(consumer.results).toEqual({ delivered: 2, deadLettered: 0, kept: 0, dropped: 0, failing: undefined });
  });
});

describe('a subscriber that fails for some events and not for others', () => {
  beforeEach(() => { vi.useFakeTimers({ toFake: ['performance'] }); });
  afterEach(() => { vi.useRealTimers(); });

  it('is told of once a minute, not for each of them', async () => {
    const { logged, joined, answer } = setUp({ commitIntervalMs: 1_000_000 });
    const member = await joined(0);
    logged.length = 0;
    const failOnce = async (offset: number): Promise<void> => {
      member.records(0, offset);
      await answer(offset, 503);
      await answer(offset);
    };
    await failOnce(0);
    await failOnce(1);
    await failOnce(2);
    expect(logged).toEqual(['delivery starts failing', 'delivery has recovered']);
    vi.advanceTimersByTime(60_000);
    await failOnce(3);
    expect(logged).toEqual(['delivery starts failing', 'delivery has recovered', 'delivery starts failing', 'delivery has recovered']);
  });
});

describe('partitions that are to move', () => {
  it('finish what is under way and commit it before they are given up; the others go on', async () => {
    const { did, joined, answer, turns } = setUp({ commitIntervalMs: 1_000_000 });
    const member = await joined(0, 1);
    member.records(0, 0, 1);
    member.records(1, 50, 51);
    let isRevoked = false;
    const revoked = member.handlers.revoking([{ topic: 't', partition: 0 }]).then(() => { isRevoked = true; });
    await answer(50);
    expect([isRevoked, did]).toEqual([false, ['send 0', 'send 50', 'send 51']]); // and not 1
    await answer(0);
    await revoked;
    expect(did).toEqual(['send 0', 'send 50', 'send 51', 'commit 0@1 1@51']);
    member.handlers.assigned(kept(1));
    await answer(51);
    await turns();
    expect(did).not.toContain('send 1');
  });

  it('end their waits for a retry at once, and settle nothing of it', async () => {
    const { consumer, did, joined, answer } = setUp();
    consumer.update(to({ delivery: { ...defaultDelivery, backoffDelayMs: 100_000 } }));
    const member = await joined(0);
    member.records(0, 7);
    await answer(7, 503);
    await member.handlers.revoking([{ topic: 't', partition: 0 }]);
    expect(did).toEqual(['send 7']);
  });

  it('begin anew, with what was settled beyond their offset, where they come back', async () => {
    const { did, counted, joined, answer } = setUp({ order: 'unordered' });
    const member = await joined(0);
    member.records(0, 0, 1, 2);
    await answer(1);
    const metadata = member.metadata.at(-1);
    expect(metadata).toBeTypeOf('string');
    member.handlers.assigned([]);
    member.handlers.assigned([{ topic: 't', partition: 0, kept: false, metadata }]);
    member.records(0, 0, 1, 2);
    expect(did.filter((text) => text.startsWith('send'))).toEqual(['send 0', 'send 1', 'send 2', 'send 0', 'send 2']);
    expect(counted['skipped']).toBe(1);
  });
});

describe('stopping', () => {
  const drainTimeoutMs = 60_000;

  it('waits for what is under way, then commits, then leaves the group', async () => {
    const { consumer, did, lanes, joined, answer } = setUp({ commitIntervalMs: 1_000_000 });
    const member = await joined(0, 1);
    member.records(0, 0, 1);
    member.records(1, 50);
    const stopped = consumer.stop(drainTimeoutMs);
    await answer(50);
    expect(did).not.toContain('close');
    await answer(0);
    await stopped;
    expect(did).toEqual(['send 0', 'send 50', 'commit 0@1 1@51', 'close']);
    expect([lanes.now, consumer.isReady]).toEqual([0, false]);
  });

  it('gives up what takes longer than the drain time, and does not commit it', async () => {
    const { consumer, did, joined } = setUp();
    const member = await joined(0);
    member.records(0, 0, 1);
    await consumer.stop(1); // passes at once here, and the delivery never ends
    expect(did).toEqual(['send 0', 'close']);
  });

  it('does not wait for the next try of what failed', async () => {
    const { consumer, did, joined, answer } = setUp();
    consumer.update(to({ delivery: { ...defaultDelivery, backoffDelayMs: 100_000 } }));
    const member = await joined(0);
    member.records(0, 0);
    await answer(0, 503);
    await consumer.stop(drainTimeoutMs);
    expect(did).toEqual(['send 0', 'close']);
    expect(consumer.results).toMatchObject({ delivered: 0, dropped: 0 }); // it is neither, but delivered later
  });

  it('starts nothing new, whatever the group does meanwhile', async () => {
    const { consumer, did, lanes, joined, answer } = setUp({ commitIntervalMs: 1_000_000 });
    const member = await joined(0);
    member.records(0, 0, 1);
    const stopped = consumer.stop(drainTimeoutMs);
    member.handlers.rebalancing();
    member.handlers.assigned([...kept(0), ...fresh(1)]); // another dispatcher leaves at the same time
    member.records(1, 70);
    await answer(0);
    await stopped;
    expect(did).toEqual(['send 0', 'commit 0@1', 'close']);
    expect(lanes.now).toBe(0);
  });

  it('leaves also where the last commit is refused: the next member delivers again', async () => {
    const { consumer, did, joined, answer } = setUp({ commitIntervalMs: 1_000_000 });
    const member = await joined(0);
    member.commitFault = kafkaAway;
    member.records(0, 0);
    await answer(0);
    await consumer.stop(drainTimeoutMs);
    expect(did).toEqual(['send 0', ...Array<string>(3).fill('commit refused 0@1'), 'close']);
  });

  it('before it has joined is over at once', async () => {
    const { consumer, did, turns } = setUp();
    consumer.start();
    await consumer.stop(drainTimeoutMs);
    await turns();
    expect(did).toEqual(['offsets group t "latest"']);
  });
});

describe('a consumer group of a KafkaSource', () => {
  const events = { namespace: 'shop', name: 'numbers', keyType: 'string', extensions: [] } as const;
  const ofSource: Partial<DesiredConsumer> = { topics: ['t', 'u'], owner: { source: 'shop/numbers' }, initialOffset: 'earliest', source: { events, vreplicas: 1, eventsPerSecond: undefined } };
  const wanted = { ...desired, ...ofSource };
  const assigned = (...topics: readonly string[]): AssignedPartition[] => topics.map((topic) => ({ topic, partition: 0, kept: false }));

  it('begins in all of its topics where the source says', async () => {
    const { consumer, did, turns } = setUp({ change: { ...ofSource, initialOffset: { timestampMs: 5 } } });
    consumer.start();
    await turns();
    expect(did).toEqual(['offsets group t {"timestampMs":5}', 'offsets group u {"timestampMs":5}', 'start']);
  });

  it('commits no initial offsets where somebody else has', async () => {
    const { consumer, did, turns } = setUp({ change: { ...ofSource, initialOffset: undefined } });
    expect(consumer.hasInitialOffsets).toBe(true);
    consumer.start();
    await turns();
    expect(did).toEqual(['start']);
  });

  it('has partitions of the same number in several topics, each with its own events, commits and lag', async () => {
    const { consumer, did, members, turns, answer, lanes } = setUp({ change: ofSource });
    consumer.start();
    await turns();
    did.length = 0;
    const { handlers } = members[0]!;
    handlers.assigned(assigned('t', 'u'));
    expect([lanes.now, consumer.partitions]).toEqual([2, 2]);
    handlers.records({ topic: 't', partition: 0 }, [{ ...record(1), headers: [] }], 10n);
    handlers.records({ topic: 'u', partition: 0 }, [{ ...record(7), headers: [] }], 8n);
    expect(did).toEqual(['send partition:0/offset:1', 'send partition:0/offset:7']);
    await answer('partition:0/offset:7');
    expect(did.at(-1)).toBe('commit 0@8');
    expect(consumer.lag()).toEqual([{ topic: 't', partition: 0, lag: 9 }, { topic: 'u', partition: 0, lag: 0 }]);
    handlers.offsetReset({ topic: 'u', partition: 0 });
    await handlers.revoking([{ topic: 'u', partition: 0 }]);
    await answer('partition:0/offset:1');
    expect(did.at(-1)).toBe('commit 0@2');
  });

  it('makes events as the source has it at that moment', async () => {
    const { consumer, sentHeaders, members, turns, answer } = setUp({ change: ofSource });
    consumer.start();
    await turns();
    members[0]!.handlers.assigned(assigned('t'));
    members[0]!.records(0, 1, 2);
    consumer.update({ ...wanted, source: { ...wanted.source!, events: { ...events, extensions: [['team', 'a']] } } });
    await answer(1);
    await answer(2);
    expect(sentHeaders.map((headers) => headers.includes('ce-team'))).toEqual([false, true]);
  });

  it('keeps the event that a record is, which tells of its origin, and of a bug the record itself', async () => {
    const { consumer, letters, members, turns, answer, breakSend } = setUp({ change: ofSource, destination: { keepsUndeliverable: true } });
    consumer.start();
    await turns();
    members[0]!.handlers.assigned(assigned('u'));
    const plain = { ...record(1), key: Buffer.from('k'), headers: [] };
    members[0]!.handlers.records({ topic: 'u', partition: 0 }, [plain], 2n);
    await answer('partition:0/offset:1', 400);
    expect(letters[0]).toMatchObject({ topic: 'u', partition: 0, channel: 'shop/numbers', subscription: 'numbers', reason: 'status-400' });
    expect(letters[0]!.record.key).toEqual(Buffer.from('k'));
    expect(Object.fromEntries(letters[0]!.record.headers.map(([name, value]) => [name, String(value)]))).toMatchObject({ ce_type: 'dev.knative.kafka.event', ce_id: 'partition:0/offset:1', ce_key: 'k' });
    breakSend();
    members[0]!.handlers.records({ topic: 'u', partition: 0 }, [{ ...plain, offset: 2n }], 3n);
    await turns();
    expect(letters[1]!.record.headers).toEqual([]);
  });

  it('keeps to its rate limit while there is one', async () => {
    const { consumer, did, members, turns } = setUp({ change: { ...ofSource, order: 'unordered', source: { ...wanted.source!, eventsPerSecond: 1 } } });
    consumer.start();
    await turns();
    did.length = 0;
    members[0]!.handlers.assigned(assigned('t'));
    members[0]!.records(0, 1, 2, 3, 4);
    await vi.waitFor(() => expect(did).toHaveLength(1));
    expect([consumer.rateLimitWaiting, consumer.inFlight]).toEqual([3, 4]);
    consumer.update({ ...wanted, order: 'unordered' });
    await turns();
    expect(did).toEqual(['send 1', 'send 2', 'send 3', 'send 4']);
    expect([consumer.rateLimitWaiting, consumer.rateLimitWaitSeconds > 0]).toEqual([0, true]);
  });

  it('waits for its turn no longer once it is stopped', async () => {
    const { consumer, did, members, turns } = setUp({ change: { ...ofSource, order: 'unordered', source: { ...wanted.source!, eventsPerSecond: 1 } } });
    consumer.start();
    await turns();
    did.length = 0;
    members[0]!.handlers.assigned(assigned('t'));
    members[0]!.records(0, 1, 2);
    await consumer.stop(60_000);
    expect(did).toEqual(['close']);
    expect(consumer.results.delivered).toBe(0);
  });

  it('is built only when it is known how to reach its Kafka, and says why it is not joined', async () => {
    const known = Promise.withResolvers<undefined>();
    const { consumer, did, turns, members } = setUp({ change: { ...ofSource, initialOffset: undefined }, kafkaKnown: known.promise, startFaults: [new Fault('SETTINGS_INVALID', 'no such Secret', { retriable: true })] });
    consumer.start();
    await turns();
    expect([did, consumer.trouble]).toEqual([[], undefined]);
    known.resolve(undefined);
    await turns();
    expect(did[0]).toBe('start');
    expect(consumer.trouble).toBe('no such Secret');
    await turns();
    members.at(-1)!.handlers.assigned(assigned('t'));
    expect([consumer.isReady, consumer.trouble]).toEqual([true, undefined]);
  });
});
