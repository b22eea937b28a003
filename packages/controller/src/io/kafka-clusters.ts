/**
 * The Kafka clusters that the Kafka Secrets name: an admin client for each Secret, made anew when its content changes, and
 * whether its Kafka lets us in.
 *
 * Always true: a Kafka is asked once for all its channels, however many wait for the answer; nothing of a Secret is in
 * what is told.
 */
import { createHash } from 'node:crypto';
import { parseKafkaSecret, fieldName } from '@knative-kafka/common/core';
import { createKafkaClient, type Admin, type Logger } from '@knative-kafka/common/io';
import type { AccessProblem } from '../core/kafka-access.ts';
import type { SecretObject } from '../core/objects.ts';
import { WatchedKafka, type KafkaAccess } from './watched-kafka.ts';

export type { KafkaAccess } from './watched-kafka.ts';

export interface KafkaClustersOptions {
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly log: Logger;
  /** The Kafka of a Secret lets us in and did not before, or the other way round, or refuses for another reason. */
  readonly onChange: (secret: string) => void;
}

interface Cluster {
  readonly fingerprint: string;
  readonly kafka: WatchedKafka;
}

export class KafkaClusters {
  readonly #options: KafkaClustersOptions;
  readonly #clusters = new Map<string, Cluster>();

  constructor(options: KafkaClustersOptions) {
    this.#options = options;
  }

  /** What is known; looks only where nothing is. */
  async accessOf(secret: SecretObject): Promise<KafkaAccess> {
    const kafka = this.#kafkaOf(secret);
    if (!kafka.hasLooked) await kafka.look();
    return kafka.access();
  }

  /** Looks anew. */
  async look(secret: SecretObject): Promise<KafkaAccess> {
    const kafka = this.#kafkaOf(secret);
    await kafka.look();
    return kafka.access();
  }

  #kafkaOf(secret: SecretObject): WatchedKafka {
    const { name } = secret.metadata;
    // Asked for at every reconciliation of every channel: read anew only when something in it has changed.
    const fingerprint = createHash('sha256').update(JSON.stringify(secret.data ?? {})).digest('hex');
    const known = this.#clusters.get(name);
    if (known?.fingerprint === fingerprint) return known.kafka;
    this.forget(name);
    const kafka: WatchedKafka = new WatchedKafka({
      messagePrefix: `Kafka Secret ${name}: `,
      answer: this.#read(secret),
      onChange: (isFirst) => {
        if (!isFirst && this.#clusters.get(name)?.kafka === kafka) this.#options.onChange(name);
      },
    });
    this.#clusters.set(name, { fingerprint, kafka });
    return kafka;
  }

  #read({ metadata: { name }, data = {} }: SecretObject): Admin | AccessProblem {
    const parsed = parseKafkaSecret(Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64')])));
    if ('problems' in parsed) {
      const problems = parsed.problems.map(({ path, message }) => `${fieldName(path)}: ${message}`).join('; ');
      return { of: 'secret', reason: 'KafkaSecretInvalid', message: `Kafka Secret ${name}: ${problems}` };
    }
    const { requestTimeoutMs, connectTimeoutMs, log } = this.#options;
    return createKafkaClient({ ...parsed.connection, clientId: 'knative-kafka-controller', requestTimeoutMs, connectTimeoutMs }, undefined, undefined, log).createAdmin();
  }

  /** Closes what belongs to a Secret that is gone, or is another one now. */
  forget(secret: string): void {
    this.#clusters.get(secret)?.kafka.close();
    this.#clusters.delete(secret);
  }

  close(): void {
    for (const name of [...this.#clusters.keys()]) this.forget(name);
  }
}
