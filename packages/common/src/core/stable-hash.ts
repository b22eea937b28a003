/**
 * A hash of text that never changes: for names that must come out the same on every machine and in every release.
 *
 * Names and ids made from it are recorded outside of this process (Services, consumer groups with their committed
 * offsets), so the function must not change. It is no protection against somebody who looks for collisions; whoever
 * names resources can only collide with himself.
 *
 * FNV-1a with 128 bits, over UTF-8: the one that is a few lines long, with published test vectors.
 *
 * @see https://datatracker.ietf.org/doc/html/draft-eastlake-fnv
 */

const offsetBasis = 0x6c62272e07bb014262b821756295c58dn;
const prime = 0x0000000001000000000000000000013bn;

/** @returns 32 hexadecimal digits, lower-case */
export function stableHash(text: string): string {
  let hash = offsetBasis;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(128, (hash ^ BigInt(byte)) * prime);
  return hash.toString(16).padStart(32, '0');
}

/** A UUID that is always the same for the same text: version 8 of RFC 9562, the one that leaves its bits to us. */
export function stableUuid(text: string): string {
  const hash = stableHash(text);
  const variant = ((Number.parseInt(hash.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return [
    hash.slice(0, 8),
    hash.slice(8, 12),
    `8${hash.slice(13, 16)}`,
    `${variant}${hash.slice(17, 20)}`,
    hash.slice(20),
  ].join('-');
}

/**
 * A short suffix for names that had to be cut.
 * @returns 10 hexadecimal digits, 40 bits, in which both halves of the hash take part
 */
export function shortHash(text: string): string {
  const hash = BigInt(`0x${stableHash(text)}`);
  const folded = (hash >> 64n) ^ BigInt.asUintN(64, hash);
  return BigInt.asUintN(40, folded ^ (folded >> 40n)).toString(16).padStart(10, '0');
}
