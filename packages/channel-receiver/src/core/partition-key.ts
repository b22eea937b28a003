/**
 * Which partition an event goes to.
 *
 * Extension `partitionkey`, else `subject`, hashed with murmur2 as Java's clients hash a record key, so that anyone who
 * writes the same key to the same topic meets the same partition. Without either: any partition, the same one for the
 * events that leave together, because one batch costs less than several.
 */

/** murmur2 of Kafka's `org.apache.kafka.common.utils.Utils.murmur2` over `data[start, end)`; a signed 32-bit number. */
export function murmur2(data: Uint8Array, start = 0, end = data.length): number {
  const multiplier = 0x5bd1e995;
  let hash = 0x9747b28c ^ (end - start);
  let at = start;
  for (; at + 4 <= end; at += 4) {
    let word = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24);
    word = Math.imul(word, multiplier);
    word ^= word >>> 24;
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier);
  }
  const left = end - at;
  if (left === 3) hash ^= data[at + 2]! << 16;
  if (left >= 2) hash ^= data[at + 1]! << 8;
  if (left >= 1) hash = Math.imul(hash ^ data[at]!, multiplier);
  hash = Math.imul(hash ^ (hash >>> 13), multiplier);
  return hash ^ (hash >>> 15);
}

/** The partition of the key `bytes[start, end)`. @param partitions how many there are, at least 1 */
export function partitionOfKey(bytes: Uint8Array, partitions: number, start = 0, end = bytes.length): number {
  return (murmur2(bytes, start, end) & 0x7fffffff) % partitions;
}

/** Keyless events of one topic: a random partition, kept until a round has been sent. */
export class StickyPartition {
  #partition = -1;
  #round = -1;

  /**
   * @param round      changes when a request has carried records of the topic
   * @param available  partitions with a leader; all are taken when it is empty
   * @param partitions how many there are, at least 1
   * @param random     from 0 up to but not including 1
   */
  choose(round: number, available: () => readonly number[], partitions: number, random: () => number): number {
    if (round !== this.#round || this.#partition < 0 || this.#partition >= partitions) {
      const candidates = available();
      this.#round = round;
      this.#partition = candidates.length > 0 ? candidates[Math.floor(random() * candidates.length)]! : Math.floor(random() * partitions);
    }
    return this.#partition;
  }
}
