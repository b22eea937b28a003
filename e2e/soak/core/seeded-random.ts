/**
 * Chance that comes out the same for the same seed, so that a run can be repeated.
 */

/** From 0 up to but not including 1, for a text: the same text always gets the same number. */
export function chanceOf(text: string): number {
  let hash = 0x811c9dc5; // FNV-1a
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  // Texts that differ in their last digit alone would lie close together without this (the end of MurmurHash3).
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** A row of such numbers. */
export function seededRandom(seed: string): () => number {
  let drawn = 0;
  return () => chanceOf(`${seed}/${drawn++}`);
}

/** @returns the same items in another order */
export function shuffled<T>(items: readonly T[], random: () => number): readonly T[] {
  const rest = [...items];
  return items.map(() => rest.splice(Math.floor(random() * rest.length), 1)[0]!);
}
