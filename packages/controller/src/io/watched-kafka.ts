/**
 * One Kafka that is looked at again and again: who to ask, and whether it lets us in.
 *
 * Always true: one look at a time, however many ask for one.
 */
import { Fault } from '@knative-kafka/common/core';
import type { Admin } from '@knative-kafka/common/io';
import { afterLook, neverLooked, type AccessProblem, type Standing } from '../core/kafka-access.ts';

export type KafkaAccess =
  /** `isSilent`: it did not answer the latest look, which does not count yet. */
  | { readonly admin: Admin; readonly isSilent: boolean }
  | AccessProblem;

export interface WatchedKafkaOptions {
  /** Before what is told of it, such as `Kafka Secret kafka: `. */
  readonly messagePrefix: string;
  /** Who to ask, or why nobody can be. */
  readonly answer: Admin | AccessProblem;
  /** After a look whose result counts and is another one than before; `isFirst`: there was none. */
  readonly onChange: (isFirst: boolean) => void;
}

export class WatchedKafka {
  readonly #options: WatchedKafkaOptions;
  #standing: Standing = neverLooked;
  #looking: Promise<void> | undefined;

  constructor(options: WatchedKafkaOptions) {
    this.#options = options;
  }

  get hasLooked(): boolean {
    return this.#standing.hasLooked;
  }

  /** What is known. */
  access(): KafkaAccess {
    const { answer } = this.#options;
    const { misses, problem } = this.#standing;
    if ('reason' in answer) return answer;
    return problem ?? { admin: answer, isSilent: misses > 0 };
  }

  look(): Promise<void> {
    this.#looking ??= this.#ping().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #ping(): Promise<void> {
    const { answer, messagePrefix, onChange } = this.#options;
    if ('reason' in answer) return;
    const before = this.#standing;
    this.#standing = afterLook(before, await problemOf(messagePrefix, answer));
    if (!before.hasLooked || this.#standing.problem !== before.problem) onChange(!before.hasLooked);
  }

  close(): void {
    const { answer } = this.#options;
    if (!('reason' in answer)) void answer.close();
  }
}

async function problemOf(messagePrefix: string, admin: Admin): Promise<AccessProblem | undefined> {
  try {
    await admin.ping();
    return undefined;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const message = `${messagePrefix}${error.message}`;
    return error.code === 'KAFKA_REFUSED' ? { of: 'secret', reason: 'KafkaAccessRefused', message } : { of: 'kafka', reason: 'KafkaUnavailable', message };
  }
}
