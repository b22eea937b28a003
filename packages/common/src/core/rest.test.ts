import { describe, expect, it } from 'vitest';
import { RestWatch } from './rest.ts';

const lookMs = 3_000;
const minute = 60_000;

/** A process of which each row is one look: the share of a core since the look before, and its heap in MB. */
function watched(): { look: (cores: number, heapMb: number, afterMs?: number) => boolean } {
  const watch = new RestWatch();
  let [atMs, cpuMs] = [0, 0];
  return {
    look: (cores, heapMb, afterMs = lookMs) => {
      atMs += afterMs;
      cpuMs += cores * afterMs;
      const usage = { atMs, cpuMs, heapBytes: heapMb * 1e6 };
      const isDue = watch.isCollectionDue(usage);
      // What a collection does: it takes time, and leaves 20 MB.
      if (isDue) watch.collected({ atMs: (atMs += 75), cpuMs: (cpuMs += 150), heapBytes: 20e6 });
      return isDue;
    },
  };
}

describe('RestWatch', () => {
  it('knows nothing at the first look', () => {
    expect(watched().look(0, 60)).toBe(false);
  });

  it('waits for the end of the start, and collects once', () => {
    const { look } = watched();
    expect([look(0.9, 30), look(0.3, 60), look(0.1, 60), look(0.04, 60), look(0.04, 20), look(0.04, 21)]).toEqual([false, false, false, true, false, false]);
  });

  it('never collects a process that is busy, however much it holds', () => {
    const { look } = watched();
    for (let minutes = 0; minutes < 60; minutes++) expect(look(0.1, 500, minute)).toBe(false);
  });

  it('collects again after a load, five minutes after the time before at the earliest', () => {
    const { look } = watched();
    look(0.5, 60);
    expect(look(0, 60)).toBe(true);
    expect(look(0.8, 90, minute)).toBe(false);
    expect(look(0, 90, 4 * minute - lookMs)).toBe(false);
    expect(look(0, 90)).toBe(true);
  });

  it('leaves a heap alone that has hardly grown', () => {
    const { look } = watched();
    look(0.5, 60);
    expect(look(0, 60)).toBe(true);
    for (let minutes = 0; minutes < 60; minutes++) expect(look(0.01, 24.9, minute)).toBe(false);
    expect(look(0.01, 25, minute)).toBe(true);
  });

  it('does not take the CPU time of a collection for work', () => {
    const { look } = watched();
    look(0.5, 60);
    expect(look(0, 60)).toBe(true);
    expect(look(0, 90, 5 * minute)).toBe(true);
    expect(look(0, 90, 5 * minute)).toBe(true);
  });
});
