import { Fault } from '@knative-kafka/common/core';
import { resourceTypes, type Admin, type KubernetesApi, type Logger } from '@knative-kafka/common/io';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { mayTake, startLeaderElection, type LeaseObject } from './leader-election.ts';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, setLevel: () => undefined };
const meta = { namespace: 'system', name: 'controller' };

function lease(spec: LeaseObject['spec']): LeaseObject {
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: meta, ...(spec === undefined ? {} : { spec }) };
}

describe('mayTake', () => {
  it.each([
    ['nobody holds it', lease({ holderIdentity: '', leaseDurationSeconds: 15 }), 0, true],
    ['it has no spec', lease(undefined), 0, true],
    ['it is its own', lease({ holderIdentity: 'me', leaseDurationSeconds: 15 }), 0, true],
    ['another holds it', lease({ holderIdentity: 'other', leaseDurationSeconds: 15 }), 14_999, false],
    ['another held it for its whole time', lease({ holderIdentity: 'other', leaseDurationSeconds: 15 }), 15_000, true],
    ['another holds it for longer than we would', lease({ holderIdentity: 'other', leaseDurationSeconds: 60 }), 59_999, false],
    ['another holds it and says not for how long', lease({ holderIdentity: 'other' }), 14_999, false],
    // What the record says about times is another clock's word.
    ['another renewed it long ago by its own clock', lease({ holderIdentity: 'other', leaseDurationSeconds: 15, renewTime: '1999-01-01T00:00:00.000000Z' }), 1_000, false],
    ['another renewed it in the future', lease({ holderIdentity: 'other', leaseDurationSeconds: 15, renewTime: '2999-01-01T00:00:00.000000Z' }), 15_000, true],
  ])('where %s', (_, observed, unchangedForMs, may) => {
    expect(mayTake({ lease: observed, sinceMs: 1_000 }, 'me', 1_000 + unchangedForMs, 15_000)).toBe(may);
  });
});

type Network = 'good' | 'slow' | 'refused' | 'hanging';
/** Until a slow answer is back. */
const slowMs = 4_000;

/** One Lease, and a network to it per candidate. */
class LeaseStore {
  stored: LeaseObject | undefined;
  #version = 0;
  readonly writes: string[] = [];
  lastWriteAt = 0;

  connect(): { readonly api: KubernetesApi; network: Network } {
    const link = { network: 'good' as Network };
    const passing = async <T>(call: () => T): Promise<T> => {
      if (link.network === 'hanging') return new Promise(() => undefined);
      if (link.network === 'refused') throw new Fault('KUBERNETES_UNAVAILABLE', 'refused', { retriable: true });
      const answer = call();
      if (link.network === 'slow') await new Promise((resolve) => setTimeout(resolve, slowMs));
      return answer;
    };
    const write = (object: LeaseObject): LeaseObject => {
      this.stored = { ...object, metadata: { ...object.metadata, uid: 'u', resourceVersion: `${++this.#version}` } };
      this.writes.push(object.spec?.holderIdentity ?? '');
      this.lastWriteAt = performance.now();
      return this.stored;
    };
    const api: Pick<KubernetesApi, 'get' | 'create' | 'replace' | 'delete'> = {
      get: (type) => {
        expect(type).toBe(resourceTypes.lease);
        return passing(() => this.stored) as Promise<never>;
      },
      create: (_, object) =>
        passing(() => {
          if (this.stored !== undefined) throw new Fault('KUBERNETES_CONFLICT', 'there is one', { retriable: true });
          return write(object);
        }) as Promise<never>,
      replace: (_, object) =>
        passing(() => {
          if (object.metadata.resourceVersion !== this.stored?.metadata.resourceVersion) throw new Fault('KUBERNETES_CONFLICT', 'changed', { retriable: true });
          return write(object);
        }) as Promise<never>,
      delete: () => Promise.resolve('deleted'),
    };
    return Object.assign(link, { api: api as KubernetesApi });
  }
}

function candidate(store: LeaseStore, identity: string) {
  const link = store.connect();
  const told: string[] = [];
  const election = startLeaderElection({ api: link.api, ...meta, identity, log: silent, onStarted: () => told.push('started'), onLost: () => told.push('lost') });
  return { link, told, election };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the leader election', () => {
  it('makes the Lease, renews it, and keeps others out', async () => {
    const store = new LeaseStore();
    const first = candidate(store, 'first');
    await vi.advanceTimersByTimeAsync(0);
    const second = candidate(store, 'second');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(first.election.isLeading()).toBe(true);
    expect(first.told).toEqual(['started']);
    expect(second.election.isLeading()).toBe(false);
    expect(store.stored?.spec).toMatchObject({ holderIdentity: 'first', leaseDurationSeconds: 15, leaseTransitions: 0 });
    expect(store.stored?.spec?.renewTime).toMatch(/\.\d{6}Z$/);
    expect(store.stored?.spec?.renewTime).not.toBe(store.stored?.spec?.acquireTime);
    expect(store.writes.length).toBeGreaterThanOrEqual(25); // every 2 to 2.4 seconds
  });

  it.each(['refused', 'hanging'] as const)('stops leading 10 s after its last renewal, before another can begin (network: %s)', async (network) => {
    const store = new LeaseStore();
    const first = candidate(store, 'first');
    await vi.advanceTimersByTimeAsync(0);
    const second = candidate(store, 'second');
    await vi.advanceTimersByTimeAsync(20_000);
    first.link.network = network;
    let lostAt = 0;
    let takenAt = 0;
    for (let ms = 0; takenAt === 0; ms += 10) {
      expect(ms).toBeLessThan(60_000);
      await vi.advanceTimersByTimeAsync(10);
      expect(first.election.isLeading() && second.election.isLeading()).toBe(false);
      if (lostAt === 0 && !first.election.isLeading()) lostAt = ms;
      if (second.election.isLeading()) takenAt = ms;
    }
    expect(lostAt).toBeGreaterThan(7_000);
    expect(lostAt).toBeLessThanOrEqual(10_000);
    expect(takenAt - lostAt).toBeGreaterThanOrEqual(4_900);
    expect(first.told).toEqual(['started', 'lost']);
    expect(store.stored?.spec).toMatchObject({ holderIdentity: 'second', leaseTransitions: 1 });
    first.link.network = 'good';
    await vi.advanceTimersByTimeAsync(60_000);
    expect(first.election.isLeading()).toBe(false); // once lost, for good
    expect(first.told).toEqual(['started', 'lost']);
  });

  it('counts from before it asked, not from when the answer came', async () => {
    const store = new LeaseStore();
    const { election, link } = candidate(store, 'first');
    await vi.advanceTimersByTimeAsync(0);
    link.network = 'slow';
    const writes = store.writes.length;
    while (store.writes.length === writes) await vi.advanceTimersByTimeAsync(10);
    await vi.advanceTimersByTimeAsync(slowMs);
    link.network = 'hanging';
    while (election.isLeading()) {
      expect(performance.now() - store.lastWriteAt).toBeLessThan(10_000);
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(store.writes).toHaveLength(writes + 1);
    expect(performance.now() - store.lastWriteAt).toBeGreaterThanOrEqual(10_000);
  });

  it('does not lead by the clock even if no timer came to say so', async () => {
    const store = new LeaseStore();
    const { election } = candidate(store, 'first');
    await vi.advanceTimersByTimeAsync(0);
    const now = performance.now();
    vi.spyOn(performance, 'now').mockReturnValue(now + 10_000); // the process stood still
    expect(election.isLeading()).toBe(false);
    vi.restoreAllMocks();
  });

  it('outlasts a short failure without losing the lead', async () => {
    const store = new LeaseStore();
    const { election, link, told } = candidate(store, 'first');
    await vi.advanceTimersByTimeAsync(5_000);
    link.network = 'refused';
    await vi.advanceTimersByTimeAsync(7_000);
    link.network = 'good';
    await vi.advanceTimersByTimeAsync(30_000);
    expect(election.isLeading()).toBe(true);
    expect(told).toEqual(['started']);
  });

  it('loses the lead at once when somebody else wrote the Lease', async () => {
    const store = new LeaseStore();
    const { election, told } = candidate(store, 'first');
    await vi.advanceTimersByTimeAsync(0);
    await store.connect().api.replace(resourceTypes.lease, { ...store.stored!, spec: { ...store.stored!.spec, holderIdentity: 'thief' } });
    await vi.advanceTimersByTimeAsync(2_500);
    expect(election.isLeading()).toBe(false);
    expect(told).toEqual(['started', 'lost']);
    expect(store.stored?.spec?.holderIdentity).toBe('thief');
  });

  it('makes the Lease again when somebody removed it', async () => {
    const store = new LeaseStore();
    const { election } = candidate(store, 'first');
    await vi.advanceTimersByTimeAsync(0);
    store.stored = undefined;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(election.isLeading()).toBe(true);
    expect(store.stored).toMatchObject({ spec: { holderIdentity: 'first' } });
  });

  it('gives the lead away when it stops, so that another need not wait', async () => {
    const store = new LeaseStore();
    const first = candidate(store, 'first');
    await vi.advanceTimersByTimeAsync(0);
    const second = candidate(store, 'second');
    await vi.advanceTimersByTimeAsync(10_000);
    const stopped = first.election.stop();
    expect(first.election.isLeading()).toBe(false);
    await vi.advanceTimersByTimeAsync(0);
    await stopped;
    expect(store.stored?.spec).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 });
    await vi.advanceTimersByTimeAsync(2_500);
    expect(second.election.isLeading()).toBe(true);
    expect(first.told).toEqual(['started']); // given away is not lost
  });

  it('gives nothing away that it does not hold', async () => {
    const store = new LeaseStore();
    candidate(store, 'first');
    await vi.advanceTimersByTimeAsync(0);
    const second = candidate(store, 'second');
    await vi.advanceTimersByTimeAsync(5_000);
    const stopped = second.election.stop();
    await vi.advanceTimersByTimeAsync(0);
    await stopped;
    expect(store.stored?.spec?.holderIdentity).toBe('first');
  });

  it('refuses writes through its guard unless it leads', async () => {
    const store = new LeaseStore();
    const first = candidate(store, 'first');
    const name = { namespace: 'a', name: 'b' };
    const guarded = first.election.guard(store.connect().api);
    await expect(guarded.delete(resourceTypes.configMap, name)).rejects.toMatchObject({ code: 'KUBERNETES_REFUSED' });
    await vi.advanceTimersByTimeAsync(0);
    expect(await guarded.delete(resourceTypes.configMap, name)).toBe('deleted');
    first.link.network = 'hanging';
    await vi.advanceTimersByTimeAsync(10_001);
    await expect(guarded.delete(resourceTypes.configMap, name)).rejects.toMatchObject({ code: 'KUBERNETES_REFUSED' });
    await expect(guarded.create(resourceTypes.lease, lease(undefined))).rejects.toMatchObject({ code: 'KUBERNETES_REFUSED' });
    await expect(guarded.replace(resourceTypes.lease, lease(undefined))).rejects.toMatchObject({ code: 'KUBERNETES_REFUSED' });
    await expect(guarded.apply(resourceTypes.lease, lease(undefined))).rejects.toMatchObject({ code: 'KUBERNETES_REFUSED' });
    await expect(guarded.mergePatch(resourceTypes.lease, name, {})).rejects.toMatchObject({ code: 'KUBERNETES_REFUSED' });
  });

  it('refuses what changes a Kafka through its guard unless it leads, and nothing that only looks', async () => {
    const store = new LeaseStore();
    const first = candidate(store, 'first');
    const called: string[] = [];
    const admin = new Proxy({}, { get: (_, name) => () => Promise.resolve(called.push(String(name))) }) as Admin;
    const guarded = first.election.guardKafka(admin);
    expect(first.election.guardKafka(admin)).toBe(guarded);
    const changes: readonly (() => Promise<unknown>)[] = [
      () => guarded.createTopic({ topic: 't', partitions: 1, replicationFactor: 1, config: {} }), () => guarded.deleteTopic('t'), () => guarded.growTopic('t', 2),
      () => guarded.setRetention('t', 1), () => guarded.commitInitialOffsets('g', 't', 'latest'), () => guarded.deleteGroup('g'),
    ];
    const areRefused = async (): Promise<void> => {
      const outcomes = await Promise.allSettled(changes.map((change) => change()));
      for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: 'KUBERNETES_REFUSED' } });
    };
    await areRefused();
    await Promise.all([guarded.ping(), guarded.describeTopic('t'), guarded.listTopics(), guarded.groupLag('g', 't')]);
    expect(called.splice(0)).toEqual(['ping', 'describeTopic', 'listTopics', 'groupLag']);
    await vi.advanceTimersByTimeAsync(0);
    for (const change of changes) await change();
    expect(called.splice(0)).toEqual(['createTopic', 'deleteTopic', 'growTopic', 'setRetention', 'commitInitialOffsets', 'deleteGroup']);
    first.link.network = 'hanging';
    await vi.advanceTimersByTimeAsync(10_001);
    await areRefused();
    expect(called).toEqual([]);
  });
});
