/**
 * The Kafka clusters that the Kafka Secrets name: an admin client for each Secret, made anew when its content changes, and
 * whether its Kafka lets us in.
 *
 * Always true: a Kafka is asked once for all its channels, however many wait for the answer; nothing of a Secret is in
 * what is told.
 */
import { createHash } from 'node:crypto';
import { parseKafkaSecret, fieldName, Fault } from '@knative-kafka/common/core';
import { createKafkaClient, type Admin, type Logger } from '@knative-kafka/common/io';
import type { Problem } from '../core/channel-status.ts';
import { afterLook, neverLooked, type AccessProblem, type Standing } from '../core/kafka-access.ts';
import type { SecretObject } from '../core/objects.ts';

export interface KafkaClustersOptions {
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly log: Logger;
  /** The Kafka of a Secret lets us in and did not before, or the other way round, or refuses for another reason. */
  readonly onChange: (secret: string) => void;
}

export type KafkaAccess =
  /** `isSilent`: it did not answer the latest look, which does not count yet. */
  | { readonly admin: Admin; readonly isSilent: boolean }
  | AccessProblem;

interface Cluster {
  readonly secret: string;
  readonly fingerprint: string;
  readonly answer: Admin | AccessProblem;
  standing: Standing;
  looking: Promise<void> | undefined;
}

export class KafkaClusters {
  readonly #options: KafkaClustersOptions;
  readonly #clusters = new Map<string, Cluster>();

  constructor(options: KafkaClustersOptions) {
    this.#options = options;
  }

  /** @returns what to ask the Kafka of a Secret with, whether it answers or not; or what is wrong with the Secret */
  adminOf(secret: SecretObject): Admin | Problem {
    return this.#clusterOf(secret).answer;
  }

  /** What is known; looks only where nothing is. */
  async accessOf(secret: SecretObject): Promise<KafkaAccess> {
    const cluster = this.#clusterOf(secret);
    if (!cluster.standing.hasLooked) await this.#look(cluster);
    return accessTo(cluster);
  }

  /** Looks anew. */
  async look(secret: SecretObject): Promise<KafkaAccess> {
    const cluster = this.#clusterOf(secret);
    await this.#look(cluster);
    return accessTo(cluster);
  }

  #clusterOf(secret: SecretObject): Cluster {
    const { name } = secret.metadata;
    // Asked for at every reconciliation of every channel: read anew only when something in it has changed.
    const fingerprint = createHash('sha256').update(JSON.stringify(secret.data ?? {})).digest('hex');
    const known = this.#clusters.get(name);
    if (known?.fingerprint === fingerprint) return known;
    this.forget(name);
    const cluster: Cluster = { secret: name, fingerprint, answer: this.#read(secret), standing: neverLooked, looking: undefined };
    this.#clusters.set(name, cluster);
    return cluster;
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

  #look(cluster: Cluster): Promise<void> {
    cluster.looking ??= this.#ping(cluster).finally(() => (cluster.looking = undefined));
    return cluster.looking;
  }

  async #ping(cluster: Cluster): Promise<void> {
    if ('reason' in cluster.answer) return;
    const before = cluster.standing;
    cluster.standing = afterLook(before, await problemOf(cluster.secret, cluster.answer));
    const isNews = before.hasLooked && cluster.standing.problem !== before.problem;
    if (isNews && this.#clusters.get(cluster.secret) === cluster) this.#options.onChange(cluster.secret);
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

function accessTo({ answer, standing: { misses, problem } }: Cluster): KafkaAccess {
  if ('reason' in answer) return answer;
  return problem ?? { admin: answer, isSilent: misses > 0 };
}

async function problemOf(secret: string, admin: Admin): Promise<AccessProblem | undefined> {
  try {
    await admin.ping();
    return undefined;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const message = `Kafka Secret ${secret}: ${error.message}`;
    return error.code === 'KAFKA_REFUSED' ? { of: 'secret', reason: 'KafkaAccessRefused', message } : { of: 'kafka', reason: 'KafkaUnavailable', message };
  }
}
