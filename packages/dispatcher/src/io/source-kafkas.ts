/**
 * The Kafkas of KafkaSources: one client for all sources that reach the same brokers in the same way, with what their
 * Secrets say now.
 *
 * Nobody tells of a change of these Secrets: a dispatcher may read each of them by its name and not watch them, so they
 * are read again and again, those of sources that run here and no others.
 *
 * Always true: what cannot be read, or cannot be used, takes nothing away: what was read before stays in force, and the
 * sources of other Kafkas do not notice; no message and no log shows a value; `ConnectionSource` gives the same object
 * until something has changed.
 */
import { isDeepStrictEqual } from 'node:util';
import { describeError, Fault, fieldName, secretsOf, sourceAccess, type KafkaAccess, type KafkaSource } from '@knative-kafka/common/core';
import type { Admin, ConnectionSource, KafkaClient, KafkaConnection, Logger, ResourceSource } from '@knative-kafka/common/io';
import { sourceKafkaKey } from '../core/desired-consumers.ts';
import { createDeadLetterTopics, type DeadLetterTopics } from './dead-letter-topic.ts';

export interface SourceKafkasOptions {
  readonly resources: Pick<ResourceSource, 'readSecret'>;
  readonly createClient: (connection: ConnectionSource) => KafkaClient;
  readonly connection: Omit<KafkaConnection, keyof KafkaAccess>;
  readonly deadLetterRetentionMs: number;
  readonly log: Logger;
}

/** What a consumer group needs of its Kafka. */
export interface OpenKafka {
  readonly client: KafkaClient;
  readonly admin: Admin;
  readonly deadLetters: DeadLetterTopics;
  /** Resolves after the first look at the Secrets. */
  readonly known: Promise<void>;
}

interface SharedKafka extends OpenKafka {
  readonly login: SourceLogin;
  users: number;
}

export class SourceKafkas {
  readonly #options: SourceKafkasOptions;
  readonly #open = new Map<string, SharedKafka>();

  constructor(options: SourceKafkasOptions) {
    this.#options = options;
  }

  /** @param source says where its Kafka is. `release` it with the same one */
  open(source: KafkaSource): OpenKafka {
    const key = sourceKafkaKey(source);
    let kafka = this.#open.get(key);
    if (kafka === undefined) {
      kafka = this.#connect(source);
      this.#open.set(key, kafka);
    }
    kafka.users++;
    return kafka;
  }

  #connect(source: KafkaSource): SharedKafka {
    const { createClient, deadLetterRetentionMs, log } = this.#options;
    const login = new SourceLogin(source, this.#options);
    const client = createClient(() => login.current());
    return { client, admin: client.createAdmin(), deadLetters: createDeadLetterTopics({ kafka: client, log, retentionMs: deadLetterRetentionMs }), known: login.start(), login, users: 0 };
  }

  /** The last one to release it closes it. */
  async release(source: KafkaSource): Promise<void> {
    const key = sourceKafkaKey(source);
    const kafka = this.#open.get(key);
    if (kafka === undefined || --kafka.users > 0) return;
    this.#open.delete(key);
    await close(kafka);
  }

  async close(): Promise<void> {
    const kafkas = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(kafkas.map(close));
  }
}

async function close({ login, deadLetters, admin }: SharedKafka): Promise<void> {
  login.close();
  await Promise.allSettled([deadLetters.close(), admin.close()]);
}

const lookEveryMs = 10_000;
/** A Secret may come after the source that names it. */
const lookForMissingEveryMs = 3_000;

/** How one Kafka is reached now. */
class SourceLogin {
  readonly #source: KafkaSource;
  readonly #options: SourceKafkasOptions;
  readonly #secretNames: readonly string[];
  #connection: KafkaConnection | undefined;
  /** Of the latest look. */
  #problem: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(source: KafkaSource, options: SourceKafkasOptions) {
    this.#source = source;
    this.#options = options;
    this.#secretNames = secretsOf(source);
  }

  /** @throws Fault SETTINGS_INVALID while nothing usable is known */
  current(): KafkaConnection {
    if (this.#connection !== undefined) return this.#connection;
    throw new Fault('SETTINGS_INVALID', this.#problem ?? 'the Secrets of the KafkaSource have not been read yet', { retriable: true });
  }

  /** Looks now, and from then on again and again until `close`. Resolves after the first look. */
  async start(): Promise<void> {
    const read = await this.#read();
    if (this.#isClosed) return;
    if ('problem' in read) this.#refuse(read.problem);
    else this.#take({ ...this.#options.connection, ...read.access });
    if (this.#secretNames.length === 0) return; // what stands in the source itself makes another Kafka when it changes
    // Not at the same moment as all other pods.
    const waitMs = (this.#problem === undefined ? lookEveryMs : lookForMissingEveryMs) * (0.8 + 0.4 * Math.random());
    this.#timer = setTimeout(() => void this.start(), waitMs);
    this.#timer.unref();
  }

  async #read(): Promise<{ readonly access: KafkaAccess } | { readonly problem: string }> {
    const { namespace } = this.#source.metadata;
    try {
      const secrets = new Map(await Promise.all(this.#secretNames.map(async (name) => [name, (await this.#options.resources.readSecret({ namespace, name }))?.data] as const)));
      const read = sourceAccess(this.#source, (name) => secrets.get(name));
      return 'access' in read ? read : { problem: read.problems.map(({ path, message }) => `${fieldName(path)}: ${message}`).join('; ') };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { problem: `Secrets cannot be read: ${describeError(error)}` };
    }
  }

  #refuse(problem: string): void {
    if (problem !== this.#problem) {
      const fields = { ...this.#names(), problem };
      if (this.#connection === undefined) this.#options.log.warn(fields, 'the Kafka of a KafkaSource cannot be reached with what its Secrets say');
      else this.#options.log.warn(fields, 'Secrets of a KafkaSource cannot be used any more; what was read before stays in force');
    }
    this.#problem = problem;
  }

  #take(connection: KafkaConnection): void {
    const wasWrong = this.#problem !== undefined;
    this.#problem = undefined;
    const isSame = isDeepStrictEqual(connection, this.#connection);
    if (wasWrong) this.#options.log.info(this.#names(), 'Secrets of a KafkaSource can be used');
    else if (this.#connection !== undefined && !isSame) this.#options.log.info(this.#names(), 'Secrets of a KafkaSource have changed; new connections use them');
    if (!isSame) this.#connection = connection;
  }

  /** Of several sources with the same Kafka, the one that came first. */
  #names(): Readonly<Record<string, unknown>> {
    const { namespace, name } = this.#source.metadata;
    return { source: `${namespace}/${name}`, secrets: this.#secretNames };
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }
}
