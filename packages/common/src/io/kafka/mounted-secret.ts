/**
 * How to reach Kafka, by a service's settings: fixed bootstrap servers, or a Kafka Secret mounted as a folder of files,
 * one per key, which is read again and again.
 *
 * The folder is looked at every few seconds, without notifications: it holds a handful of small files, and Kubernetes
 * itself takes up to a minute to bring a change.
 *
 * Always true: the keys are of one version of the Secret where Kubernetes mounted it; a version that cannot be used
 * takes nothing away, the one before stays in force; no message and no log shows a value.
 */
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Fault } from '../../core/fault.ts';
import { parseKafkaSecret, type KafkaAccess } from '../../core/kafka-secret.ts';
import { fieldName } from '../../core/resources/field-problem.ts';
import type { Logger } from '../logger.ts';
import type { ConnectionSource, KafkaConnection } from './port.ts';

export interface ConnectionSettings extends Omit<KafkaConnection, 'brokers' | 'tls' | 'sasl'> {
  /** KAFKA_BROKERS */
  readonly brokers: readonly string[] | undefined;
  /** KAFKA_SECRET_DIR */
  readonly secretDir: string | undefined;
  readonly log: Logger;
  /** How often to look for changes. */
  readonly lookEveryMs?: number;
}

export interface OpenConnectionSource {
  readonly current: ConnectionSource;
  /** Looks for changes no more. */
  close(): void;
}

/**
 * A Secret that is missing or wrong is no failure here: `current` throws with the reason until it is right.
 * By itself it keeps no process running.
 *
 * @returns after the first look
 * @throws Fault SETTINGS_INVALID unless exactly one of `brokers` and `secretDir` is given
 */
export async function openConnectionSource({ brokers, secretDir, log, lookEveryMs = 2_000, ...common }: ConnectionSettings): Promise<OpenConnectionSource> {
  if ((brokers === undefined) === (secretDir === undefined)) {
    throw new Fault('SETTINGS_INVALID', 'exactly one of KAFKA_BROKERS and KAFKA_SECRET_DIR is required: host:port, several separated by commas; or the folder of a mounted Kafka Secret', { retriable: false });
  }
  if (secretDir === undefined) {
    const fixed: KafkaConnection = { ...common, brokers: brokers! };
    return { current: () => fixed, close: () => undefined };
  }
  const secret = new MountedSecret(secretDir, common, log);
  await secret.look();
  const timer = setInterval(() => void secret.look(), lookEveryMs);
  timer.unref();
  return { current: () => secret.current(), close: () => clearInterval(timer) };
}

class MountedSecret {
  readonly #dir: string;
  readonly #common: Omit<KafkaConnection, 'brokers' | 'tls' | 'sasl'>;
  readonly #log: Logger;
  #connection: KafkaConnection | undefined;
  /** Of the latest look. */
  #problem: string | undefined;
  #isLooking = false;

  constructor(dir: string, common: Omit<KafkaConnection, 'brokers' | 'tls' | 'sasl'>, log: Logger) {
    this.#dir = dir;
    this.#common = common;
    this.#log = log;
  }

  current(): KafkaConnection {
    if (this.#connection !== undefined) return this.#connection;
    throw new Fault('SETTINGS_INVALID', `the Kafka Secret in ${this.#dir}: ${this.#problem ?? 'not read yet'}`, { retriable: true });
  }

  async look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const read = await readConnection(this.#dir);
    this.#isLooking = false;
    if ('problem' in read) this.#refuse(read.problem);
    else this.#take({ ...this.#common, ...read.connection });
  }

  #refuse(problem: string): void {
    if (problem !== this.#problem) {
      const fields = { secretDir: this.#dir, problem };
      if (this.#connection === undefined) this.#log.error(fields, 'Kafka Secret cannot be used');
      else this.#log.error(fields, 'Kafka Secret cannot be used any more; what was read before stays in force');
    }
    this.#problem = problem;
  }

  #take(connection: KafkaConnection): void {
    const wasWrong = this.#problem !== undefined;
    this.#problem = undefined;
    const isSame = isDeepStrictEqual(connection, this.#connection);
    if (this.#connection !== undefined && (wasWrong || !isSame)) {
      this.#log.info({ secretDir: this.#dir, brokers: connection.brokers }, isSame ? 'Kafka Secret can be used again' : 'Kafka Secret has changed; new connections use it');
    }
    if (!isSame) this.#connection = connection;
  }
}

async function readConnection(dir: string): Promise<{ readonly connection: KafkaAccess } | { readonly problem: string }> {
  let data: Record<string, Buffer>;
  try {
    // A version may be removed while it is read, because there is a newer one.
    data = await readKeys(dir).catch(() => readKeys(dir));
  } catch (error) {
    if (!(error instanceof Error) || typeof (error as NodeJS.ErrnoException).syscall !== 'string') throw error;
    return { problem: error.message };
  }
  const parsed = parseKafkaSecret(data, dir);
  if ('connection' in parsed) return parsed;
  return { problem: parsed.problems.map(({ path, message }) => `${fieldName(path)} ${message}`).join('; ') };
}

/** @throws the system's error where the folder or a file of it cannot be read */
async function readKeys(dir: string): Promise<Record<string, Buffer>> {
  // Kubernetes keeps each version in a folder of its own and swaps the link to it: behind the link nothing is mixed.
  const version = await realpath(join(dir, '..data')).catch(() => dir);
  const data: Record<string, Buffer> = {};
  for (const name of await readdir(version)) {
    const path = join(version, name);
    if (!name.startsWith('.') && (await stat(path)).isFile()) data[name] = await readFile(path);
  }
  return data;
}
