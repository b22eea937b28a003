/**
 * For tests: choices by chance that are the same at every run.
 */

/** @returns an integer from 0 to below `below` */
export type Random = (below: number) => number;

export function randomOf(firstSeed: number): Random {
  let seed = Math.imul(firstSeed, 2654435761) >>> 0;
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[random(items.length)]!;
}
