/**
 * The channel part of the controller, on one machine: topics as the KafkaChannels want them, and a status for every
 * resource. Level-triggered: looks again whenever manifests change, and every second while something is not as it
 * should be.
 *
 * KafkaSources are looked at only: their topics are somebody else's, and the dispatcher fixes where they begin.
 * A topic is never deleted here: taking a manifest out of a folder must not take its events.
 */
import { channelTopic, resourceKey, type KafkaChannel, type TopicState } from '@knative-kafka/common/core';
import { ensureTopic, type Admin, type Logger, type ResourceSource } from '@knative-kafka/common/io';
import type { ConsumerOwner } from '@knative-kafka/dispatcher';
import { channelStatus, readyOf, sourceStatus, subscriptionStatus, type ResourceStatus } from './core/resource-status.ts';

export interface LocalReconcilerIo {
  readonly resources: ResourceSource;
  readonly admin: Pick<Admin, 'createTopic' | 'describeTopic' | 'growTopic' | 'setRetention'>;
  /** The consumer groups that run, by whose they are. */
  readonly consumers: () => readonly (ConsumerOwner & { readonly isReady: boolean; readonly trouble: string | undefined })[];
  readonly channelUrl: (channel: { readonly namespace: string; readonly name: string }) => string;
  readonly onStatus: (statuses: readonly ResourceStatus[]) => void;
  readonly log: Logger;
}

const againMs = 250;
const laterMs = 1_000;

export class LocalReconciler {
  readonly #io: LocalReconcilerIo;
  /** By channel key; done for a spec once, until it changes. */
  readonly #topics = new Map<string, { readonly spec: string; readonly state: TopicState }>();
  #statuses: readonly ResourceStatus[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isRunning = false;
  #isWanted = false;
  #isClosed = false;
  readonly #unsubscribe: () => void;

  constructor(io: LocalReconcilerIo) {
    this.#io = io;
    this.#unsubscribe = io.resources.onChange(() => void this.reconcile());
    void this.reconcile();
  }

  get statuses(): readonly ResourceStatus[] {
    return this.#statuses;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#unsubscribe();
  }

  async reconcile(): Promise<void> {
    this.#isWanted = true;
    if (this.#isRunning) return;
    this.#isRunning = true;
    clearTimeout(this.#timer);
    while (this.#isWanted && !this.#isClosed) {
      this.#isWanted = false;
      const { channels } = this.#io.resources.snapshot();
      const wanted = new Set(channels.map((channel) => resourceKey(channel.metadata)));
      for (const key of this.#topics.keys()) if (!wanted.has(key)) this.#topics.delete(key);
      for (const channel of channels) await this.#reconcileTopic(channel);
      this.#report();
    }
    this.#isRunning = false;
    if (this.#isClosed) return;
    // Consumer groups join by themselves: their state is looked at, not announced.
    this.#timer = setTimeout(() => void this.reconcile(), this.#statuses.every((status) => readyOf(status).status === 'True') ? laterMs : againMs);
  }

  async #reconcileTopic(channel: KafkaChannel): Promise<void> {
    const key = resourceKey(channel.metadata);
    const spec = JSON.stringify([channel.spec.numPartitions, channel.spec.replicationFactor, channel.spec.retentionMs]);
    const known = this.#topics.get(key);
    if (known?.state.isReady === true && known.spec === spec) return;
    this.#topics.set(key, { spec, state: await this.#ensureTopic(channel) });
  }

  async #ensureTopic(channel: KafkaChannel): Promise<TopicState> {
    const named = channelTopic(channel);
    if ('problem' in named) return { isReady: false, reason: 'TopicNameInvalid', message: named.problem };
    const { numPartitions: partitions, replicationFactor, retentionMs } = channel.spec;
    const { state, changes } = await ensureTopic(this.#io.admin, named.topic, { partitions, replicationFactor, retentionMs });
    for (const { reason, message } of changes) this.#io.log.info({ channel: resourceKey(channel.metadata), reason, topic: message }, 'topic changed');
    return state;
  }

  #report(): void {
    const { channels, subscriptions, sources } = this.#io.resources.snapshot();
    const consumers = this.#io.consumers();
    const now = Date.now();
    const previous = (kind: ResourceStatus['kind'], name: string) => this.#statuses.find((status) => status.kind === kind && status.name === name);
    this.#statuses = [
      ...channels.map((channel) => {
        const key = resourceKey(channel.metadata);
        return channelStatus(channel, this.#topics.get(key)?.state, this.#io.channelUrl(channel.metadata), previous('KafkaChannel', key), now);
      }),
      ...subscriptions.map((state) => {
        const { metadata, spec } = state.subscription;
        const consumer = consumers.find((entry) => entry.channel === `${metadata.namespace}/${spec.channel.name}` && entry.subscription === metadata.name);
        return subscriptionStatus(state, consumer, previous('Subscription', resourceKey(metadata)), now);
      }),
      ...sources.map((served) => {
        const key = resourceKey(served.source.metadata);
        return sourceStatus(served, consumers.find((entry) => entry.source === key), previous('KafkaSource', key), now);
      }),
    ];
    this.#io.onStatus(this.#statuses);
  }
}
