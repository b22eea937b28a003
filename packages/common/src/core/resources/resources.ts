/**
 * Everything a process knows about its resources at one moment, wherever they come from.
 */
import type { ManifestProblem } from '../manifests.ts';
import type { SubscriptionState } from './channel-subscribers.ts';
import type { ConfigMap, Secret } from './core-objects.ts';
import type { KafkaChannel } from './kafka-channel.ts';
import type { ServedSource } from './kafka-source.ts';

/** Lists are sorted by namespace and name, and no resource is in them twice. */
export interface Resources {
  /** With `spec.subscribers` filled in. */
  readonly channels: readonly KafkaChannel[];
  /** Read from an API server, only the Subscriptions themselves: what became of them is in `channels`. */
  readonly subscriptions: readonly SubscriptionState[];
  /** Only those that can be served: with a sink that is known. */
  readonly sources: readonly ServedSource[];
  /** Of a folder; on a cluster each is read by itself, see `ResourceSource.readSecret`. */
  readonly secrets: readonly Secret[];
  readonly configMaps: readonly ConfigMap[];
  /** What could not be read or does not fit together; for people. */
  readonly problems: readonly ManifestProblem[];
}

export const noResources: Resources = { channels: [], subscriptions: [], sources: [], secrets: [], configMaps: [], problems: [] };
