/**
 * The admin clients of the Kafka clusters that the Kafka Secrets name: one per Secret, made anew when its content changes.
 */
import { createHash } from 'node:crypto';
import { parseKafkaSecret, fieldName } from '@knative-kafka/common/core';
import { createKafkaClient, type Admin, type Logger } from '@knative-kafka/common/io';
import type { Problem } from '../core/channel-status.ts';
import type { SecretObject } from '../core/objects.ts';

export interface KafkaClustersOptions {
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly log: Logger;
}

export class KafkaClusters {
  readonly #options: KafkaClustersOptions;
  readonly #clusters = new Map<string, { readonly fingerprint: string; readonly answer: Admin | Problem }>();

  constructor(options: KafkaClustersOptions) {
    this.#options = options;
  }

  /** @returns what to ask the Kafka of a Secret with, or what is wrong with the Secret; never a value of it */
  adminOf(secret: SecretObject): Admin | Problem {
    const { name } = secret.metadata;
    // Asked for at every reconciliation of every channel: read anew only when something in it has changed.
    const fingerprint = createHash('sha256').update(JSON.stringify(secret.data ?? {})).digest('hex');
    const known = this.#clusters.get(name);
    if (known?.fingerprint === fingerprint) return known.answer;
    this.forget(name);
    const answer = this.#read(secret);
    this.#clusters.set(name, { fingerprint, answer });
    return answer;
  }

  #read({ metadata: { name }, data = {} }: SecretObject): Admin | Problem {
    const parsed = parseKafkaSecret(Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64')])));
    if ('problems' in parsed) {
      const problems = parsed.problems.map(({ path, message }) => `${fieldName(path)}: ${message}`).join('; ');
      return { reason: 'KafkaSecretInvalid', message: `Kafka Secret ${name}: ${problems}` };
    }
    const { requestTimeoutMs, connectTimeoutMs, log } = this.#options;
    return createKafkaClient({ ...parsed.connection, clientId: 'knative-kafka-controller', requestTimeoutMs, connectTimeoutMs }, undefined, undefined, log).createAdmin();
  }

  /** Closes what belongs to a Secret that is gone, or is another one now. */
  forget(secret: string): void {
    const answer = this.#clusters.get(secret)?.answer;
    if (answer !== undefined && !('reason' in answer)) void answer.close();
    this.#clusters.delete(secret);
  }

  close(): void {
    for (const name of [...this.#clusters.keys()]) this.forget(name);
  }
}
