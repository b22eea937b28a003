import { describe, expect, it } from 'vitest';
import type { PodPlacement } from '@knative-kafka/common/core';
import { sizedPlacement, type SizedPlacement } from './dispatcher-size.ts';
import type { DispatcherPod } from './placement.ts';

const name = (ordinal: number): string => `kafka-source-dispatcher-${ordinal}`;
const pods = (...ordinals: readonly number[]): readonly DispatcherPod[] => ordinals.map((ordinal) => ({ name: name(ordinal), state: 'schedulable' }));
const on = (counts: Readonly<Record<number, number>>): readonly PodPlacement[] => Object.entries(counts).map(([ordinal, vreplicas]) => ({ podName: name(Number(ordinal)), vreplicas }));
const settings = { podCapacity: 20, minReplicas: 0, shrinkDelayMs: 60_000 };
const placedOn = (result: SizedPlacement): readonly PodPlacement[] => result.sources.get('a')!.placements;

/** One source with 4 vreplicas, which were on four pods. */
function sized({ vreplicas = 4, before = { 0: 1, 1: 1, 2: 1, 3: 1 }, recorded = before, there = [0, 1, 2, 3], size = 4, since, nowMs = 1_000_000 }: {
  readonly vreplicas?: number; readonly before?: Readonly<Record<number, number>>; readonly recorded?: Readonly<Record<number, number>>;
  readonly there?: readonly number[]; readonly size?: number; readonly since?: number; readonly nowMs?: number;
}): SizedPlacement {
  return sizedPlacement([{ key: 'a', vreplicas, before: on(before) }], pods(...there), size, since, on(recorded), nowMs, settings);
}

describe('the number of pods', () => {
  it('grows at once', () => {
    expect(sized({ vreplicas: 100, size: 2, there: [0, 1] })).toMatchObject({ replicas: 5, shrinkableSinceMs: undefined, againInMs: undefined });
    expect(sized({ vreplicas: 1, before: {}, size: 0, there: [] })).toMatchObject({ replicas: 1 });
  });

  it('is left for a while when fewer would do, and so is what runs where', () => {
    const result = sized({});
    expect(result).toMatchObject({ replicas: 4, shrinkableSinceMs: 1_000_000, againInMs: 60_000 });
    expect(placedOn(result)).toEqual(on({ 0: 1, 1: 1, 2: 1, 3: 1 }));
    expect(sized({ since: 950_000 })).toMatchObject({ replicas: 4, shrinkableSinceMs: 950_000, againInMs: 10_000 });
  });

  it('begins to wait anew when all pods were needed meanwhile', () => {
    expect(sized({ vreplicas: 80, since: 100 }).shrinkableSinceMs).toBeUndefined();
  });

  it('shrinks after that, once no source says that it runs there', () => {
    const moving = sized({ since: 940_000 });
    expect(placedOn(moving)).toEqual(on({ 0: 4 }));
    expect(moving).toMatchObject({ replicas: 4, againInMs: 1_000 });
    expect(sized({ since: 940_000, before: { 0: 4 }, recorded: { 0: 3, 2: 1 } })).toMatchObject({ replicas: 3, againInMs: 1_000 });
    expect(sized({ since: 940_000, before: { 0: 4 }, recorded: { 0: 4 } })).toMatchObject({ replicas: 1, againInMs: undefined });
  });

  it('goes to none when there is nothing to place', () => {
    expect(sized({ vreplicas: 0, before: {}, since: 940_000 })).toMatchObject({ replicas: 0 });
  });

  it('is left where the pods that would stay cannot take everything', () => {
    const result = sized({ since: 0, there: [1, 2, 3], before: { 1: 2, 2: 1, 3: 1 } });
    expect(result).toMatchObject({ replicas: 4, shrinkableSinceMs: 0 });
    expect(placedOn(result)).toEqual(on({ 1: 2, 2: 1, 3: 1 }));
  });
});
