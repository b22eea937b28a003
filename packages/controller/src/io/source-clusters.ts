/**
 * The Kafka clusters of KafkaSources: one admin client for all sources that reach a cluster in the same way, and whether
 * it lets them in.
 *
 * Always true: nobody waits here for a Kafka that does not answer. A look goes on beside, and whoever has to know of its
 * result is told; a cluster is looked at as often as one source would, however many it has. Nothing of a Secret is in
 * what is told.
 */
import { createHash } from 'node:crypto';
import type { KafkaAccess as Connection } from '@knative-kafka/common/core';
import { createKafkaClient, type Logger } from '@knative-kafka/common/io';
import { WatchedKafka, type KafkaAccess } from './watched-kafka.ts';

export interface SourceClustersOptions {
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly log: Logger;
  /** Sources whose Kafka was looked at for the first time, or answers something else than before. */
  readonly onChange: (sources: readonly string[]) => void;
}

/** Between two looks at a Kafka that lets us in, and at one that does not or says nothing. */
export const lookEveryMs = 20_000;
export const lookAgainMs = 5_000;

interface Cluster {
  readonly kafka: WatchedKafka;
  /** Resource keys. */
  readonly sources: Set<string>;
  /** Of `performance.now()`: when a look is due. */
  dueAt: number;
}

export class SourceClusters {
  readonly #options: SourceClustersOptions;
  /** By what connects to it. */
  readonly #clusters = new Map<string, Cluster>();
  /** By resource key. */
  readonly #fingerprints = new Map<string, string>();

  constructor(options: SourceClustersOptions) {
    this.#options = options;
  }

  /**
   * What is known of the Kafka of a source; looks at it when that is due.
   *
   * @param source resource key
   * @returns undefined before the first look is over
   */
  accessOf(source: string, connection: Connection): KafkaAccess | undefined {
    const fingerprint = createHash('sha256').update(JSON.stringify(connection)).digest('hex');
    if (this.#fingerprints.get(source) !== fingerprint) this.forget(source);
    const cluster = this.#clusters.get(fingerprint) ?? this.#open(fingerprint, connection);
    this.#fingerprints.set(source, fingerprint);
    cluster.sources.add(source);
    if (performance.now() >= cluster.dueAt) this.#look(cluster);
    return cluster.kafka.hasLooked ? cluster.kafka.access() : undefined;
  }

  #open(fingerprint: string, connection: Connection): Cluster {
    const { requestTimeoutMs, connectTimeoutMs, log, onChange } = this.#options;
    const sources = new Set<string>();
    const kafka = new WatchedKafka({
      messagePrefix: '',
      answer: createKafkaClient({ ...connection, clientId: 'knative-kafka-controller', requestTimeoutMs, connectTimeoutMs }, undefined, undefined, log).createAdmin(),
      onChange: () => onChange([...sources]),
    });
    const cluster: Cluster = { kafka, sources, dueAt: 0 };
    this.#clusters.set(fingerprint, cluster);
    return cluster;
  }

  #look(cluster: Cluster): void {
    cluster.dueAt = Infinity;
    const looked = (): void => {
      const access = cluster.kafka.access();
      cluster.dueAt = performance.now() + ('admin' in access && !access.isSilent ? lookEveryMs : lookAgainMs);
    };
    cluster.kafka.look().then(looked, (error: unknown) => {
      looked();
      this.#options.log.error({ err: error, stack: error instanceof Error ? error.stack : undefined }, 'a bug in the look at a Kafka');
    });
  }

  /** The source is gone; a cluster without sources is let go. */
  forget(source: string): void {
    const fingerprint = this.#fingerprints.get(source);
    this.#fingerprints.delete(source);
    const cluster = fingerprint === undefined ? undefined : this.#clusters.get(fingerprint);
    if (fingerprint === undefined || cluster === undefined) return;
    cluster.sources.delete(source);
    if (cluster.sources.size > 0) return;
    cluster.kafka.close();
    this.#clusters.delete(fingerprint);
  }

  close(): void {
    for (const source of [...this.#fingerprints.keys()]) this.forget(source);
  }
}
