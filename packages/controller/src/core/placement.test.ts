import { describe, expect, it } from 'vitest';
import type { PodPlacement } from '@knative-kafka/common/core';
import { placement, type DispatcherPod, type Placement, type SourceToPlace } from './placement.ts';

const podName = (ordinal: number): string => `kafka-source-dispatcher-${ordinal}`;
const pod = (ordinal: number, state: DispatcherPod['state'] = 'schedulable'): DispatcherPod => ({ name: podName(ordinal), state });
const pods = (...ordinals: number[]): readonly DispatcherPod[] => ordinals.map((ordinal) => pod(ordinal));
/** What status records, as `{ ordinal: vreplicas }`. */
type Counts = Readonly<Record<number, number>>;
const recorded = (counts: Counts): readonly PodPlacement[] => Object.entries(counts).map(([ordinal, vreplicas]) => ({ podName: podName(Number(ordinal)), vreplicas }));
const source = (key: string, vreplicas: number, before: Counts = {}): SourceToPlace => ({ key, vreplicas, before: recorded(before) });
const counts = (placements: readonly PodPlacement[]): Counts => Object.fromEntries(placements.map((entry) => [entry.podName.slice('kafka-source-dispatcher-'.length), entry.vreplicas]));
const placed = (result: Placement, key: string): Counts => counts(result.sources.get(key)!.placements);
/** Of one source. */
const placedAlone = (vreplicas: number, before: Counts, on: readonly DispatcherPod[], capacity: number): Counts => placed(placement([source('a', vreplicas, before)], on, capacity), 'a');

describe('the figures of the article', () => {
  it('puts 25 vreplicas over a capacity of 20 as 13 and 12', () => {
    expect(placement([source('default/kafka-source', 25)], pods(0, 1), 20)).toEqual({
      sources: new Map([['default/kafka-source', { placements: [{ podName: 'kafka-source-dispatcher-0', vreplicas: 13 }, { podName: 'kafka-source-dispatcher-1', vreplicas: 12 }], waiting: 0 }]]),
      replicas: 2,
      replicasInUse: 2,
    });
  });

  it.each([[0, 1], [1, 0]])('ends with 13 and 12 also when pod %i is there before pod %i', (first, second) => {
    const alone = placement([source('a', 25)], pods(first), 20);
    expect(placed(alone, 'a')).toEqual({ [first]: 20 });
    expect(alone).toMatchObject({ replicas: 2 });
    expect(alone.sources.get('a')!.waiting).toBe(5);
    expect(placedAlone(25, { [first]: 20 }, pods(first, second), 20)).toEqual({ 0: 13, 1: 12 });
  });

  it('puts 4 vreplicas at a capacity of 20 on the one pod that they need', () => {
    const fresh = placement([source('a', 4)], [], 20);
    expect(fresh.replicas).toBe(1);
    expect(placedAlone(4, {}, pods(0), 20)).toEqual({ 0: 4 });
  });

  it('puts 4 vreplicas at a capacity of 1 on four pods', () => {
    const fresh = placement([source('default/kafka-source-4', 4)], [], 1);
    expect(fresh.replicas).toBe(4);
    expect(placedAlone(4, {}, pods(0, 1, 2, 3), 1)).toEqual({ 0: 1, 1: 1, 2: 1, 3: 1 });
  });

  it('says how many wait while pods are pending', () => {
    expect(placement([source('a', 4)], [pod(0), pod(1), pod(2, 'pending'), pod(3, 'pending')], 1)).toEqual({
      sources: new Map([['a', { placements: recorded({ 0: 1, 1: 1 }), waiting: 2 }]]),
      replicas: 4,
      replicasInUse: 2,
    });
  });
});

describe('one source', () => {
  it.each<{ title: string; wanted: number; before: Counts; on: readonly DispatcherPod[]; capacity: number; expected: Counts }>([
    { title: 'nothing wanted', wanted: 0, before: {}, on: pods(0), capacity: 20, expected: {} },
    { title: 'nothing wanted any more', wanted: 0, before: { 0: 13, 1: 12 }, on: pods(0, 1), capacity: 20, expected: {} },
    { title: 'no pods', wanted: 3, before: {}, on: [], capacity: 20, expected: {} },
    { title: 'more over the same pods', wanted: 8, before: { 0: 1, 1: 1, 2: 1, 3: 1 }, on: pods(0, 1, 2, 3), capacity: 2, expected: { 0: 2, 1: 2, 2: 2, 3: 2 } },
    { title: 'more pods, each as it comes', wanted: 41, before: { 0: 20 }, on: pods(0, 1), capacity: 20, expected: { 0: 20, 1: 20 } },
    { title: 'more pods, the last one', wanted: 41, before: { 0: 20, 1: 20 }, on: pods(0, 1, 2), capacity: 20, expected: { 0: 14, 1: 14, 2: 13 } },
    { title: 'more go to pods that have none, and then all that it is on are evened out', wanted: 6, before: { 2: 4 }, on: pods(0, 1, 2), capacity: 4, expected: { 0: 2, 1: 2, 2: 2 } },
    { title: 'fewer: the highest ordinal first', wanted: 3, before: { 0: 2, 1: 2, 2: 2, 3: 2 }, on: pods(0, 1, 2, 3), capacity: 2, expected: { 0: 2, 1: 1 } },
    { title: 'fewer, one on each pod', wanted: 2, before: { 0: 1, 1: 1, 2: 1, 3: 1 }, on: pods(0, 1, 2, 3), capacity: 1, expected: { 0: 1, 1: 1 } },
    { title: 'fewer: pods that keep some are evened out', wanted: 20, before: { 0: 13, 1: 12 }, on: pods(0, 1), capacity: 20, expected: { 0: 10, 1: 10 } },
    { title: 'fewer: a pod is left once it is empty', wanted: 13, before: { 0: 13, 1: 12 }, on: pods(0, 1), capacity: 20, expected: { 0: 13 } },
    { title: 'a pod that is gone', wanted: 25, before: { 0: 13, 1: 12 }, on: pods(0), capacity: 20, expected: { 0: 20 } },
    { title: 'a pod that is gone, with what is not wanted any more', wanted: 6, before: { 0: 5, 1: 1, 2: 4 }, on: pods(0, 1), capacity: 20, expected: { 0: 3, 1: 3 } },
    { title: 'the pod that is back', wanted: 25, before: { 0: 20 }, on: pods(0, 1), capacity: 20, expected: { 0: 13, 1: 12 } },
    { title: 'an unschedulable pod, and the one in its place', wanted: 25, before: { 0: 13, 1: 12 }, on: [pod(0, 'unschedulable'), pod(1), pod(2)], capacity: 20, expected: { 1: 13, 2: 12 } },
    { title: 'a pending pod', wanted: 4, before: { 0: 2, 1: 2 }, on: [pod(0), pod(1, 'pending')], capacity: 20, expected: { 0: 4 } },
    { title: 'a capacity that was lowered', wanted: 4, before: { 0: 4 }, on: pods(0, 1, 2, 3), capacity: 1, expected: { 0: 1, 1: 1, 2: 1, 3: 1 } },
    { title: 'a capacity that was lowered, before there are pods', wanted: 4, before: { 0: 4 }, on: pods(0), capacity: 1, expected: { 0: 1 } },
    { title: 'a capacity that was raised moves nothing', wanted: 4, before: { 0: 1, 1: 1, 2: 1, 3: 1 }, on: pods(0, 1, 2, 3), capacity: 20, expected: { 0: 1, 1: 1, 2: 1, 3: 1 } },
    { title: 'pods without need move nothing', wanted: 4, before: { 1: 4 }, on: pods(0, 1, 2, 3), capacity: 20, expected: { 1: 4 } },
    { title: 'pods that are not needed stay empty', wanted: 4, before: {}, on: pods(0, 1, 2, 3), capacity: 20, expected: { 0: 4 } },
    { title: 'pods that are not needed help while others are pending', wanted: 4, before: {}, on: [pod(0, 'pending'), pod(1)], capacity: 20, expected: { 1: 4 } },
    { title: 'ordinals are numbers, not text', wanted: 10, before: Object.fromEntries(Array.from({ length: 12 }, (_, ordinal) => [ordinal, 1])), on: pods(...Array(12).keys()), capacity: 1, expected: Object.fromEntries(Array.from({ length: 10 }, (_, ordinal) => [ordinal, 1])) },
  ])('$title', ({ wanted, before, on, capacity, expected }) => {
    const result = placement([source('a', wanted, before)], on, capacity);
    expect(placed(result, 'a')).toEqual(expected);
    expect(result.sources.get('a')!.waiting).toBe(wanted - sum(Object.values(expected)));
  });

  it.each<[total: number, minReplicas: number, replicas: number, placed: Counts]>([
    [4, 3, 3, { 0: 2, 1: 1, 2: 1 }],
    [2, 3, 2, { 0: 1, 1: 1 }],
    [0, 3, 0, {}],
    [50, 2, 3, { 0: 17, 1: 17, 2: 16 }],
  ])('puts %i vreplicas with a minimum of %i pods on %i', (total, minReplicas, replicas, expected) => {
    expect(placement([source('a', total)], [], 20, minReplicas).replicas).toBe(replicas);
    expect(placed(placement([source('a', total)], pods(0, 1, 2), 20, minReplicas), 'a')).toEqual(expected);
  });

  it('lists placements by ordinal', () => {
    const { placements } = placement([source('a', 11)], pods(10, 9, 2, 1, 0, 3, 4, 5, 6, 7, 8), 1).sources.get('a')!;
    expect(placements.map((entry) => entry.podName)).toEqual(Array.from({ length: 11 }, (_, ordinal) => podName(ordinal)));
  });

  it('gets over a status that somebody wrote', () => {
    const before: readonly PodPlacement[] = [
      { podName: 'kafka-source-dispatcher-00', vreplicas: 1 },
      { podName: podName(7), vreplicas: 2 },
      { podName: podName(0), vreplicas: Number.NaN },
      { podName: podName(0), vreplicas: -3 },
      { podName: podName(0), vreplicas: 0.5 },
      { podName: podName(1), vreplicas: 1 },
      { podName: podName(1), vreplicas: 1 },
    ];
    const on: readonly DispatcherPod[] = [...pods(0, 1), { name: 'kafka-source-dispatcher-00', state: 'schedulable' }];
    expect(counts(placement([{ key: 'a', vreplicas: 2, before }], on, 20).sources.get('a')!.placements)).toEqual({ 1: 2 });
  });
});

describe('several sources', () => {
  it('share pods, and load them evenly', () => {
    const result = placement([source('b', 3), source('a', 3)], pods(0, 1), 4);
    expect([...result.sources.keys()]).toEqual(['a', 'b']);
    expect([placed(result, 'a'), placed(result, 'b')]).toEqual([{ 0: 2, 1: 1 }, { 0: 1, 1: 2 }]);
    expect(result.replicas).toBe(2);
  });

  it('leave alone who has all it asks for', () => {
    const result = placement([source('a', 1), source('b', 6, { 0: 5, 1: 1 })], pods(0, 1), 20);
    expect([placed(result, 'a'), placed(result, 'b')]).toEqual([{ 0: 1 }, { 0: 5, 1: 1 }]);
  });

  it('get some each before one gets all, where room is short', () => {
    const result = placement([source('a', 9), source('b', 2), source('c', 1)], pods(0), 5);
    expect([...result.sources.values()].map(({ waiting }) => waiting)).toEqual([7, 0, 0]);
    expect(result.replicas).toBe(3);
  });

  it('get nothing more while another has less, where room is short', () => {
    const result = placement([source('a', 9, { 0: 3 }), source('b', 2)], pods(0), 5);
    expect([placed(result, 'a'), placed(result, 'b')]).toEqual([{ 0: 3 }, { 0: 2 }]);
  });

  it('keep what they have when a new one finds no room', () => {
    const result = placement([source('a', 5, { 0: 4 }), source('b', 2)], pods(0), 4);
    expect([placed(result, 'a'), placed(result, 'b')]).toEqual([{ 0: 4 }, {}]);
  });

  it('are trimmed where they have most when a pod holds less', () => {
    const result = placement([source('a', 1, { 0: 1 }), source('b', 9, { 0: 9 }), source('c', 2, { 0: 2 })], pods(0), 5);
    expect([placed(result, 'a'), placed(result, 'b'), placed(result, 'c')]).toEqual([{ 0: 1 }, { 0: 2 }, { 0: 2 }]);
  });

  it('are trimmed, of those that have as many there, where more is left elsewhere', () => {
    const result = placement([source('a', 4, { 0: 2, 1: 2 }), source('b', 2, { 0: 2 })], pods(0, 1), 3);
    expect([placed(result, 'a'), placed(result, 'b')]).toEqual([{ 0: 1, 1: 3 }, { 0: 2 }]);
  });

  it('keep what other pods can hold when a pod holds less and fewer are wanted', () => {
    const result = placement([source('a', 20, { 0: 20, 1: 5 }), source('b', 10)], pods(0, 1), 10);
    expect([placed(result, 'a'), placed(result, 'b')]).toEqual([{ 0: 10, 1: 5 }, { 1: 5 }]);
  });

  it('are as even as their neighbours allow', () => {
    const result = placement([source('a', 15, { 0: 10 }), source('b', 10, { 0: 10 })], pods(0, 1), 20);
    expect([placed(result, 'a'), placed(result, 'b')]).toEqual([{ 0: 8, 1: 7 }, { 0: 10 }]);
    const full = placement([source('a', 20, { 0: 5 }), source('b', 15, { 0: 15 })], pods(0, 1), 20);
    expect([placed(full, 'a'), placed(full, 'b')]).toEqual([{ 0: 5, 1: 15 }, { 0: 15 }]);
  });
});

describe('replicas', () => {
  it.each<{ title: string; wanted: number; on: readonly DispatcherPod[]; capacity: number; replicas: number }>([
    { title: 'none for nothing', wanted: 0, on: [], capacity: 20, replicas: 0 },
    { title: 'as few as hold everything', wanted: 40, on: [], capacity: 20, replicas: 2 },
    { title: 'one for a part of one', wanted: 41, on: [], capacity: 20, replicas: 3 },
    { title: 'no more for pods that are pending', wanted: 4, on: [pod(0, 'pending')], capacity: 20, replicas: 1 },
    { title: 'one more for an unschedulable pod', wanted: 4, on: [pod(0, 'unschedulable')], capacity: 20, replicas: 2 },
    { title: 'and for the next', wanted: 4, on: [pod(1, 'unschedulable'), pod(0, 'unschedulable')], capacity: 20, replicas: 3 },
    { title: 'none for one that is not needed', wanted: 4, on: [pod(0), pod(5, 'unschedulable')], capacity: 20, replicas: 1 },
  ])('$title: $replicas', ({ wanted, on, capacity, replicas }) => {
    expect(placement([source('a', wanted)], on, capacity).replicas).toBe(replicas);
  });

  it('tells the caller what it needs to shrink calmly', () => {
    const before = { 0: 1, 1: 1, 2: 1, 3: 1 };
    expect(placement([source('a', 4, before)], pods(0, 1, 2, 3), 20)).toMatchObject({ replicas: 1, replicasInUse: 4 });
    const drained = placement([source('a', 4, before)], pods(0), 20);
    expect(drained).toMatchObject({ replicas: 1, replicasInUse: 1 });
    expect(placed(drained, 'a')).toEqual({ 0: 4 });
  });
});

describe('bugs of the caller', () => {
  it.each<[string, () => Placement]>([
    ['no capacity', () => placement([], [], 0)],
    ['half a capacity', () => placement([], [], 1.5)],
    ['fewer than no vreplicas', () => placement([source('a', -1)], [], 1)],
    ['vreplicas that are no number', () => placement([source('a', Number.NaN)], [], 1)],
    ['a source twice', () => placement([source('a', 1), source('a', 2)], [], 1)],
    ['a pod twice', () => placement([], pods(0, 0), 1)],
  ])('%s', (_, call) => {
    expect(call).toThrow(RangeError);
  });
});

/** A cluster to which many things happen, one after the other; each answer is what was placed before in the next call. */
interface World {
  readonly wanted: ReadonlyMap<string, number>;
  readonly pods: readonly DispatcherPod[];
  readonly capacity: number;
  readonly before: ReadonlyMap<string, readonly PodPlacement[]>;
}

describe('whatever happens', () => {
  it.each(Array.from({ length: 40 }, (_, seed) => seed + 1))('seed %i: the rules hold', (seed) => {
    const random = randomNumbers(seed);
    let world: World = { wanted: new Map(), pods: [], capacity: 1 + random(6), before: new Map() };
    for (let step = 0; step < 60; step++) {
      world = changed(world, random);
      const result = placementIn(world);
      checkSums(world, result);
      checkReplicas(world, result);
      checkMoves(world, result);
      checkShrinking(world, result);
      const reordered = { ...world, wanted: new Map(shuffled([...world.wanted], random)), pods: shuffled(world.pods, random), before: new Map([...world.before].map(([key, placements]) => [key, shuffled(placements, random)])) };
      expect(placementIn(reordered), 'in any order').toEqual(result);
      world = { ...world, before: new Map([...result.sources].map(([key, { placements }]) => [key, placements])) };
      expect(placementIn(world), 'again with its own answer').toEqual(result);
    }
  });
});

function placementIn({ wanted, pods: all, capacity, before }: World): Placement {
  return placement([...wanted].map(([key, vreplicas]) => ({ key, vreplicas, before: before.get(key) ?? [] })), all, capacity);
}

/** One thing happens, now and then several at once. */
function changed(world: World, random: (below: number) => number): World {
  const key = `default/source-${random(8)}`;
  const ordinal = random(10);
  const others = world.pods.filter(({ name }) => name !== podName(ordinal));
  const state = (['schedulable', 'schedulable', 'schedulable', 'pending', 'unschedulable'] as const)[random(5)]!;
  const events: readonly (() => World)[] = [
    () => ({ ...world, wanted: new Map([...world.wanted, [key, random(15)]]) }),
    () => ({ ...world, wanted: new Map([...world.wanted].filter(([name]) => name !== key)) }),
    () => ({ ...world, pods: [...others, pod(ordinal, state)] }),
    () => ({ ...world, pods: [...others, pod(ordinal, state)] }),
    () => ({ ...world, pods: others }),
    () => ({ ...world, capacity: 1 + random(12) }),
  ];
  const next = events[random(events.length)]!();
  return random(4) === 0 ? changed(next, random) : next;
}

function isSchedulable({ pods: all }: World, podNamed: string): boolean {
  return all.some(({ name, state }) => name === podNamed && state === 'schedulable');
}

function checkSums(world: World, { sources }: Placement): void {
  const load = loadOf([...sources.values()].map(({ placements }) => placements));
  for (const [on, vreplicas] of load) {
    expect(isSchedulable(world, on), `${on} takes vreplicas`).toBe(true);
    expect(vreplicas, `${on} is not over its capacity`).toBeLessThanOrEqual(world.capacity);
  }
  for (const [key, wanted] of world.wanted) {
    const { placements, waiting } = sources.get(key)!;
    expect(waiting, `${key}: waiting is what is asked for and not placed`).toBe(wanted - total(placements));
    expect(waiting, `${key}: has no more than it asks for`).toBeGreaterThanOrEqual(0);
  }
  const room = world.capacity * world.pods.filter(({ name }) => isSchedulable(world, name)).length - sum([...load.values()]);
  const waiting = sum([...sources.values()].map((entry) => entry.waiting));
  expect(Math.min(waiting, room), 'nobody waits while there is room').toBe(0);
}

function checkReplicas({ wanted, pods: all, capacity }: World, { replicas, replicasInUse, sources }: Placement): void {
  const lost = all.filter(({ name, state }) => state === 'unschedulable' && ordinalIn(name) < replicas);
  const asked = sum([...wanted.values()]);
  const holding = (replicas - lost.length) * capacity;
  expect(holding, 'the pods asked for hold everything').toBeGreaterThanOrEqual(asked);
  expect(holding - asked, 'and are not one too many').toBeLessThan(capacity);
  const used = [...sources.values()].flatMap(({ placements }) => placements.map((entry) => ordinalIn(entry.podName)));
  expect(replicasInUse).toBe(Math.max(-1, ...used) + 1);
}

/** What the fewest moves are: see the module. */
function checkMoves(world: World, { sources }: Placement): void {
  const before = (key: string): readonly PodPlacement[] => world.before.get(key) ?? [];
  const onPods = (placements: readonly PodPlacement[]): readonly PodPlacement[] => placements.filter((entry) => isSchedulable(world, entry.podName));
  const excess = new Map([...loadOf([...world.wanted.keys()].map((key) => onPods(before(key))))].map(([on, vreplicas]) => [on, Math.max(0, vreplicas - world.capacity)]));
  const load = loadOf([...sources.values()].map(({ placements }) => placements));
  let arrivals = 0;
  let allowed = sum([...excess.values()]);
  for (const [key, wanted] of world.wanted) {
    const [had, kept, has] = [before(key), onPods(before(key)), sources.get(key)!.placements];
    const isTrimmed = kept.some((entry) => excess.get(entry.podName)! > 0);
    if (!isTrimmed && kept.length === had.length && total(has) === total(had)) expect(has, `${key}: nothing happened to it`).toEqual(had);
    else if (!isTrimmed) checkEvenness(key, has, (podNamed) => load.get(podNamed)! < world.capacity);
    const comes = without(has, kept).length;
    const gains = Math.max(0, total(has) - total(kept));
    if (!isTrimmed) expect(comes, `${key}: comes to no more pods than it gets vreplicas`).toBeLessThanOrEqual(gains);
    if (!isTrimmed && wanted >= total(kept)) expect(without(kept, has), `${key}: leaves no pod without need`).toEqual([]);
    arrivals += comes;
    allowed += gains;
  }
  expect(arrivals, 'all together come to no more pods than vreplicas were new, lost their pod or were too many on it').toBeLessThanOrEqual(allowed);
}

function checkEvenness(key: string, placements: readonly PodPlacement[], hasRoom: (podNamed: string) => boolean): void {
  const most = Math.max(0, ...placements.map(({ vreplicas }) => vreplicas));
  for (const { podName: on, vreplicas } of placements) {
    if (hasRoom(on)) expect(most - vreplicas, `${key}: even as far as there is room`).toBeLessThanOrEqual(1);
  }
}

/** A caller that shrinks asks with only the pods below `replicas`. */
function checkShrinking(world: World, { replicas }: Placement): void {
  const below = world.pods.filter(({ name }) => ordinalIn(name) < replicas);
  const drained = placementIn({ ...world, pods: below });
  expect(drained.replicas).toBe(replicas);
  expect(drained.replicasInUse).toBeLessThanOrEqual(replicas);
  if (below.length < replicas || below.some(({ state }) => state === 'pending')) return;
  expect(sum([...drained.sources.values()].map(({ waiting }) => waiting)), 'there is room for all').toBe(0);
}

function ordinalIn(name: string): number {
  return Number(name.split('-').at(-1));
}

function loadOf(placements: readonly (readonly PodPlacement[])[]): ReadonlyMap<string, number> {
  const load = new Map<string, number>();
  for (const entry of placements.flat()) load.set(entry.podName, (load.get(entry.podName) ?? 0) + entry.vreplicas);
  return load;
}

function without(placements: readonly PodPlacement[], others: readonly PodPlacement[]): readonly PodPlacement[] {
  return placements.filter((entry) => !others.some((other) => other.podName === entry.podName));
}

function total(placements: readonly PodPlacement[]): number {
  return sum(placements.map(({ vreplicas }) => vreplicas));
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

function shuffled<T>(values: readonly T[], random: (below: number) => number): readonly T[] {
  const left = [...values];
  return values.map(() => left.splice(random(left.length), 1)[0]!);
}

/** The same at every run; a linear congruential generator, of which the high bits are good enough. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
