/**
 * The running consumer groups follow the desired ones: start what is missing, stop what is not wanted, tell the rest
 * what has changed for them, such as where their events go.
 */
import type { ConsumerGroup } from './consume.ts';
import { isSameConsumer, type DesiredConsumer } from './core/desired-consumers.ts';

export class RunningConsumers {
  readonly #running = new Map<string, ConsumerGroup>();
  readonly #create: (desired: DesiredConsumer) => ConsumerGroup;
  readonly #onStopped: (consumer: ConsumerGroup) => void;
  readonly #drainTimeoutMs: number;
  /** A consumer that is wanted again starts when it has left its group. */
  readonly #stopping = new Map<string, Promise<void>>();
  #desired: ReadonlyMap<string, DesiredConsumer> = new Map();
  #isClosed = false;

  constructor(options: { readonly create: (desired: DesiredConsumer) => ConsumerGroup; readonly onStopped: (consumer: ConsumerGroup) => void; readonly drainTimeoutMs: number }) {
    this.#create = options.create;
    this.#onStopped = options.onStopped;
    this.#drainTimeoutMs = options.drainTimeoutMs;
  }

  values(): Iterable<ConsumerGroup> {
    return this.#running.values();
  }

  /** Level-triggered: the same desired state again changes nothing. */
  reconcile(desired: ReadonlyMap<string, DesiredConsumer>): void {
    if (this.#isClosed) return;
    this.#desired = desired;
    for (const [key, consumer] of this.#running) {
      const wanted = desired.get(key);
      if (wanted === undefined || !isSameConsumer(wanted, consumer.desired)) this.#stop(key, consumer);
      else consumer.update(wanted);
    }
    for (const [key, wanted] of desired) {
      if (this.#running.has(key) || this.#stopping.has(key)) continue;
      const consumer = this.#create(wanted);
      this.#running.set(key, consumer);
      consumer.start();
    }
  }

  #stop(key: string, consumer: ConsumerGroup): void {
    this.#running.delete(key);
    const stopped = consumer.stop(this.#drainTimeoutMs).finally(() => {
      this.#stopping.delete(key);
      this.#onStopped(consumer);
      this.reconcile(this.#desired);
    });
    this.#stopping.set(key, stopped);
  }

  /** Stops all of them at the same time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const [key, consumer] of [...this.#running]) this.#stop(key, consumer);
    await Promise.all(this.#stopping.values());
  }
}
