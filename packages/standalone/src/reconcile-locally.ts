/**
 * The channel part of the controller, on one machine: topics as the KafkaChannels want them, and a status for every
 * resource. Level-triggered: looks again whenever manifests change, and every second while something is not as it
 * should be.
 *
 * A topic is never deleted here: taking a manifest out of a folder must not take its events.
 */
import { Fault, resourceKey, topicName, type KafkaChannel } from '@knative-kafka/common/core';
import type { Admin, Logger, ResourceSource } from '@knative-kafka/common/io';
import { channelStatus, readyOf, subscriptionStatus, type ResourceStatus, type TopicState } from './core/resource-status.ts';

export interface LocalReconcilerIo {
  readonly resources: ResourceSource;
  readonly admin: Pick<Admin, 'createTopic' | 'describeTopic' | 'growTopic'>;
  /** The consumer groups that run, by channel and Subscription. */
  readonly consumers: () => readonly { readonly channel: string; readonly subscription: string; readonly isReady: boolean }[];
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
    const state = await this.#ensureTopic(channel).catch((error: unknown): TopicState => {
      if (!(error instanceof Fault)) throw error;
      return { isReady: false, reason: error.code === 'TOPIC_REJECTED' ? 'TopicRejected' : 'KafkaUnavailable', message: error.message };
    });
    this.#topics.set(key, { spec, state });
  }

  async #ensureTopic({ metadata, spec }: KafkaChannel): Promise<TopicState> {
    const named = topicName(metadata);
    if ('problem' in named) return { isReady: false, reason: 'TopicNameInvalid', message: named.problem };
    const { topic } = named;
    const created = await this.#io.admin.createTopic({
      topic,
      partitions: spec.numPartitions,
      replicationFactor: spec.replicationFactor,
      config: { 'retention.ms': String(spec.retentionMs) },
    });
    if (created === 'created') {
      this.#io.log.info({ topic, partitions: spec.numPartitions }, 'topic created');
      return { isReady: true };
    }
    const found = await this.#io.admin.describeTopic(topic);
    if (found !== undefined && found.partitions < spec.numPartitions) {
      await this.#io.admin.growTopic(topic, spec.numPartitions);
      this.#io.log.info({ topic, from: found.partitions, to: spec.numPartitions }, 'topic grown');
    }
    if (found !== undefined && found.partitions > spec.numPartitions) {
      return { isReady: false, reason: 'TopicCannotShrink', message: `topic ${topic} has ${found.partitions} partitions, ${spec.numPartitions} asked: Kafka cannot take partitions away` };
    }
    return { isReady: true };
  }

  #report(): void {
    const { channels, subscriptions } = this.#io.resources.snapshot();
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
    ];
    this.#io.onStatus(this.#statuses);
  }
}
