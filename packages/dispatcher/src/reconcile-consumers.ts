/**
 * The running consumer groups follow the desired ones: start what is missing, stop what is not wanted, tell the rest
 * where their events go now.
 */
import type { ConsumerGroup } from './consume.ts';
import { isSameConsumer, type DesiredConsumer } from './core/desired-consumers.ts';

export class RunningConsumers {
  readonly #running = new Map<string, ConsumerGroup>();
  readonly #create: (desired: DesiredConsumer) => ConsumerGroup;
  readonly #onStopped: (consumer: ConsumerGroup) => void;
  readonly #drainTimeoutMs: number;
  /** By group: a group that is wanted again starts when it has left. */
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
    for (const [groupId, consumer] of this.#running) {
      const wanted = desired.get(groupId);
      if (wanted === undefined || !isSameConsumer(wanted, consumer.desired)) this.#stop(groupId, consumer);
      else consumer.setDestination(wanted.destination);
    }
    for (const [groupId, wanted] of desired) {
      if (this.#running.has(groupId) || this.#stopping.has(groupId)) continue;
      const consumer = this.#create(wanted);
      this.#running.set(groupId, consumer);
      consumer.start();
    }
  }

  #stop(groupId: string, consumer: ConsumerGroup): void {
    this.#running.delete(groupId);
    const stopped = consumer.stop(this.#drainTimeoutMs).finally(() => {
      this.#stopping.delete(groupId);
      this.#onStopped(consumer);
      this.reconcile(this.#desired);
    });
    this.#stopping.set(groupId, stopped);
  }

  /** Stops all of them at the same time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const [groupId, consumer] of [...this.#running]) this.#stop(groupId, consumer);
    await Promise.all(this.#stopping.values());
  }
}
