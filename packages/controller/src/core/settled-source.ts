/**
 * What is settled about a KafkaSource: on which servers and for which topics its consumer group has initial offsets.
 *
 * It is recorded in the status and never forgotten, because offsets that vanish later (Kafka forgets those of a group
 * that nobody was in for a week) are no reason to begin at the end again: that would lose what came meanwhile.
 */
import { settledBootstrapServersAnnotation, settledTopicsAnnotation, type SettledSource } from '@knative-kafka/common/core';

export function settledAnnotations(settled: SettledSource | undefined): Readonly<Record<string, string>> {
  if (settled === undefined) return {};
  return { [settledTopicsAnnotation]: settled.topics.join(','), [settledBootstrapServersAnnotation]: settled.bootstrapServers.join(',') };
}

/** The topics that need initial offsets before anybody may read what the spec says; on other servers all of them. */
export function unsettledTopics(spec: SettledSource, settled: SettledSource | undefined): readonly string[] {
  if (settled === undefined || !isSameSet(spec.bootstrapServers, settled.bootstrapServers)) return spec.topics;
  return spec.topics.filter((topic) => !settled.topics.includes(topic));
}

/**
 * What is settled while some topics are not: what was, without the topics that are not wanted any more. On other servers,
 * and where nothing would be left, it stays as it is.
 */
export function stillSettled(spec: SettledSource, settled: SettledSource | undefined): SettledSource | undefined {
  if (settled === undefined || !isSameSet(spec.bootstrapServers, settled.bootstrapServers)) return settled;
  const topics = settled.topics.filter((topic) => spec.topics.includes(topic));
  return topics.length === 0 ? settled : { ...settled, topics };
}

function isSameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((entry) => other.includes(entry));
}
