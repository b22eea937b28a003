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
  readonly #clusters = new Map<string, { readonly fingerprint: string; readonly admin: Admin }>();

  constructor(options: KafkaClustersOptions) {
    this.#options = options;
  }

  /** @returns what to ask the Kafka of a Secret with, or what is wrong with the Secret; never a value of it */
  adminOf(secret: SecretObject): Admin | Problem {
    const { name } = secret.metadata;
    const data = Object.fromEntries(Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')]));
    const parsed = parseKafkaSecret(data);
    if ('problems' in parsed) {
      const problems = parsed.problems.map(({ path, message }) => `${fieldName(path)}: ${message}`).join('; ');
      return { reason: 'KafkaSecretInvalid', message: `Kafka Secret ${name}: ${problems}` };
    }
    const fingerprint = createHash('sha256').update(JSON.stringify(secret.data ?? {})).digest('hex');
    const known = this.#clusters.get(name);
    if (known?.fingerprint === fingerprint) return known.admin;
    void known?.admin.close();
    const { requestTimeoutMs, connectTimeoutMs, log } = this.#options;
    const client = createKafkaClient({ ...parsed.connection, clientId: 'knative-kafka-controller', requestTimeoutMs, connectTimeoutMs }, undefined, undefined, log);
    const admin = client.createAdmin();
    this.#clusters.set(name, { fingerprint, admin });
    return admin;
  }

  /** Closes what belongs to Secrets that are gone. */
  forget(secret: string): void {
    void this.#clusters.get(secret)?.admin.close();
    this.#clusters.delete(secret);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clusters.values()].map(({ admin }) => admin.close()));
    this.#clusters.clear();
  }
}
