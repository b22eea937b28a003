/**
 * Which KafkaChannels there are, as routes, kept up to date with the resources and with their topics' limits.
 */
import { channelHosts, channelTopic, describeError, resourceKey } from '@knative-kafka/common/core';
import type { Admin, Logger, ResourceSource } from '@knative-kafka/common/io';
import { channelAddresses, type ChannelAddresses } from '../core/channel-address.ts';
import { StickyPartition } from '../core/partition-key.ts';
import type { ChannelRoute } from '../receive.ts';

export interface ChannelLookup {
  addresses(): ChannelAddresses<ChannelRoute>;
  close(): void;
}

/** Kafka's own default of `max.message.bytes`, until the topic's is known. */
const defaultMaxMessageBytes = 1_048_588;
/** A topic's limit is asked for when the channel appears, then this often: it may be changed in Kafka. */
const limitMaxAgeMs = 300_000;
const limitRetryMs = 2_000;

export function watchChannels(options: {
  readonly resources: ResourceSource;
  readonly admin: Pick<Admin, 'describeTopic'>;
  readonly clusterDomain: string;
  readonly log: Logger;
  /** Told of each topic's `max.message.bytes`. */
  readonly onLimit: (topic: string, maxMessageBytes: number) => void;
}): ChannelLookup {
  const { resources, admin, log } = options;
  const routes = new Map<string, { readonly route: ChannelRoute; limitAt: number }>();
  let addresses = channelAddresses<ChannelRoute>([]);
  let timer: NodeJS.Timeout | undefined;
  let isAsking = false;
  let isClosed = false;

  const rebuild = (): void => {
    const { channels } = resources.snapshot();
    const wanted = new Map(
      channels.flatMap((channel) => {
        const { metadata } = channel;
        const named = channelTopic(channel);
        return 'topic' in named ? [[resourceKey(metadata), { metadata, topic: named.topic }] as const] : []; // else it cannot have a topic
      }),
    );
    for (const key of routes.keys()) if (!wanted.has(key)) routes.delete(key);
    for (const [key, { topic }] of wanted) {
      if (routes.get(key)?.route.topic === topic) continue;
      routes.set(key, { limitAt: -Infinity, route: { key, topic, maxMessageBytes: defaultMaxMessageBytes, sticky: new StickyPartition() } });
    }
    addresses = channelAddresses([...wanted].map(([key, { metadata }]) => ({ key, hosts: channelHosts(metadata, options.clusterDomain), route: routes.get(key)!.route })));
    log.debug({ channels: routes.size }, 'resources have changed, these channels are served');
    void askLimits();
  };

  const askLimits = async (): Promise<void> => {
    if (isAsking || isClosed) return;
    isAsking = true;
    clearTimeout(timer);
    let isComplete = true;
    for (const entry of routes.values()) {
      if (performance.now() - entry.limitAt < limitMaxAgeMs) continue;
      try {
        const topic = await admin.describeTopic(entry.route.topic);
        if (topic === undefined) {
          isComplete = false;
          continue;
        }
        entry.limitAt = performance.now();
        entry.route.maxMessageBytes = topic.maxMessageBytes;
        options.onLimit(entry.route.topic, topic.maxMessageBytes);
      } catch (error) {
        isComplete = false;
        log.debug({ channel: entry.route.key, reason: describeError(error) }, 'topic limits not known yet');
        break; // Kafka is away: the others would fail as well
      }
    }
    isAsking = false;
    if (!closed()) timer = setTimeout(() => void askLimits(), isComplete ? limitMaxAgeMs : limitRetryMs);
  };
  const closed = (): boolean => isClosed;

  const unsubscribe = resources.onChange(rebuild);
  if (resources.isSynced()) rebuild();
  return {
    addresses: () => addresses,
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      unsubscribe();
    },
  };
}
