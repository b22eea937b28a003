/**
 * Something for each of several partitions of several topics, without building a key for each question.
 *
 * Always true: a topic is in it only as long as one of its partitions is.
 */

/** The first of the keys is a topic's name or its id, whichever the owner of the map goes by. */
export class PartitionMap<V> {
  readonly #topics = new Map<string, Map<number, V>>();

  get size(): number {
    let size = 0;
    for (const partitions of this.#topics.values()) size += partitions.size;
    return size;
  }

  get(topic: string, partition: number): V | undefined {
    return this.#topics.get(topic)?.get(partition);
  }

  has(topic: string, partition: number): boolean {
    return this.#topics.get(topic)?.has(partition) ?? false;
  }

  hasTopic(topic: string): boolean {
    return this.#topics.has(topic);
  }

  set(topic: string, partition: number, value: V): void {
    const partitions = this.#topics.get(topic);
    if (partitions === undefined) this.#topics.set(topic, new Map([[partition, value]]));
    else partitions.set(partition, value);
  }

  delete(topic: string, partition: number): void {
    const partitions = this.#topics.get(topic);
    partitions?.delete(partition);
    if (partitions?.size === 0) this.#topics.delete(topic);
  }

  clear(): void {
    this.#topics.clear();
  }

  /** May be changed meanwhile: what is deleted before its turn does not come. */
  *entries(): Generator<readonly [topic: string, partition: number, value: V]> {
    for (const [topic, partitions] of this.#topics) for (const [partition, value] of partitions) yield [topic, partition, value];
  }

  *values(): Generator<V> {
    for (const partitions of this.#topics.values()) yield* partitions.values();
  }
}
