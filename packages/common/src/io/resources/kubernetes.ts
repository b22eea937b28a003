/**
 * Resources from the API server of a cluster, as receivers and dispatchers need them.
 *
 * A controller has resolved everything: which topic a KafkaChannel has and where the events of its Subscriptions go
 * stands in the KafkaChannel itself, and the like in the status of a KafkaSource. Subscriptions are read for their
 * annotations only.
 *
 * Always true: listeners are called only once everything was read, and then only when something has changed that is
 * kept (core/resources/served-objects.ts): what others write into `status` wakes nobody. A change costs as much as the
 * object that changed, however many there are. Losing the API server loses no resource.
 */
import { isDeepStrictEqual } from 'node:util';
import { Fault } from '../../core/fault.ts';
import { parseSecret, type ConfigMap, type Secret, type SecretManifest } from '../../core/resources/core-objects.ts';
import type { KafkaChannel } from '../../core/resources/kafka-channel.ts';
import type { ServedSource } from '../../core/resources/kafka-source.ts';
import type { ResourceName } from '../../core/resources/metadata.ts';
import type { Resources } from '../../core/resources/resources.ts';
import { servedChannel, servedConfigMap, servedSource, servedSubscription, type ServedObject } from '../../core/resources/served-objects.ts';
import type { Subscription } from '../../core/resources/subscription.ts';
import type { ClosableKubernetesApi } from '../kubernetes/client.ts';
import { startInformer } from '../kubernetes/informer.ts';
import type { Informer, InformerChange, InformerOptions, KubernetesObject, ListOptions, ResourceType } from '../kubernetes/port.ts';
import { resourceTypes } from '../kubernetes/types.ts';
import type { Logger } from '../logger.ts';
import type { ResourceSource } from './port.ts';

export interface ServedResources {
  /** The one KafkaChannel to serve; all of them where undefined. */
  readonly channel: ResourceName | undefined;
  /** Only the KafkaChannels of this Kafka Secret; all of them where undefined. */
  readonly kafkaSecret: string | undefined;
  readonly withSubscriptions: boolean;
  /** Whether KafkaChannels are watched at all; they are unless this says no. */
  readonly withChannels?: boolean;
  /** Whether KafkaSources are watched, those of all namespaces; they are not unless this says so. */
  readonly withSources?: boolean;
  readonly configMaps: readonly ResourceName[];
}

export interface KubernetesResourcesOptions {
  /** Closed with the source. */
  readonly api: ClosableKubernetesApi;
  readonly served: ServedResources;
  readonly log: Logger;
  /** How long changes are collected before listeners are told. */
  readonly debounceMs?: number;
}

/** Starts at once and waits for nobody: `isSynced` says when everything was read. */
export function watchKubernetes(options: KubernetesResourcesOptions): ResourceSource {
  return new WatchedResources(options);
}

/** What stays of an object in memory: enough for the informer, and what of it is served, if it is. */
interface Kept<R> extends KubernetesObject {
  readonly kept?: R;
}

type Kind = 'channels' | 'subscriptions' | 'sources' | 'configMaps';

class WatchedResources implements ResourceSource {
  readonly #options: KubernetesResourcesOptions;
  readonly #channels: Informer<Kept<KafkaChannel>> | undefined;
  readonly #subscriptions: Informer<Kept<Subscription>> | undefined;
  readonly #sources: Informer<Kept<ServedSource>> | undefined;
  readonly #configMaps: readonly Informer<Kept<ConfigMap>>[];
  readonly #all: readonly Informer<KubernetesObject>[];
  readonly #listeners = new Set<(resources: Resources) => void>();
  /** What listeners know of the objects that changed since they were told, by kind and key. */
  readonly #known = new Map<string, { readonly before: unknown; readonly now: () => unknown }>();
  /** By kind; made anew when it is asked for after a change. */
  readonly #lists: { [Name in Kind]: Resources[Name] | undefined } = { channels: undefined, subscriptions: undefined, sources: undefined, configMaps: undefined };
  #snapshot: Resources | undefined;
  #debounce: NodeJS.Timeout | undefined;
  #isTold = false;
  #isClosed = false;
  /** Kinds that cannot be watched for the time being. */
  readonly #lost = new Set<string>();

  constructor(options: KubernetesResourcesOptions) {
    this.#options = options;
    const { channel, kafkaSecret, withSubscriptions, withChannels = true, withSources = false, configMaps } = options.served;
    const oneChannel = channel === undefined ? {} : only(channel);
    if (withChannels) this.#channels = this.#watch('channels', resourceTypes.kafkaChannel, oneChannel, (object) => servedChannel(object, { kafkaSecret }));
    if (withSubscriptions) {
      // A Subscription is in the namespace of its channel.
      this.#subscriptions = this.#watch('subscriptions', resourceTypes.subscription, { namespace: channel?.namespace }, (object) => servedSubscription(object, channel?.name));
    }
    if (withSources) this.#sources = this.#watch('sources', resourceTypes.kafkaSource, {}, servedSource);
    this.#configMaps = configMaps.map((name) => this.#watch('configMaps', resourceTypes.configMap, only(name), servedConfigMap));
    this.#all = [this.#channels, this.#subscriptions, this.#sources, ...this.#configMaps].filter((informer) => informer !== undefined);
    void Promise.all(this.#all.map((informer) => informer.synced())).then(() => this.#tellSoon());
  }

  #watch<R>(kind: Kind, type: ResourceType, where: ListOptions, read: (object: ServedObject) => R | undefined): Informer<Kept<R>> {
    const trim = ({ apiVersion, kind: kindName, metadata, ...rest }: Kept<R>): Kept<R> => {
      const kept = read({ apiVersion, kind: kindName, metadata, ...rest });
      const { name, namespace, uid, resourceVersion } = metadata;
      const identity = { name, ...(namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }) };
      return { apiVersion, kind: kindName, metadata: identity, ...(kept === undefined ? {} : { kept }) };
    };
    const options: InformerOptions<Kept<R>> = { ...where, type, trim, onTrouble: (trouble) => this.#onTrouble(type, 'reason' in trouble ? trouble.reason : undefined) };
    const informer = startInformer<Kept<R>>(this.#options.api, options);
    informer.onChange((change) => this.#onObject(kind, informer, change));
    return informer;
  }

  snapshot(): Resources {
    const lists = this.#lists;
    lists.channels ??= sorted(this.#channels);
    lists.subscriptions ??= sorted(this.#subscriptions).map((subscription) => ({ subscription, physicalSubscription: {}, conditions: [] }));
    lists.sources ??= sorted(this.#sources);
    lists.configMaps ??= this.#configMaps.flatMap(sorted);
    this.#snapshot ??= { channels: lists.channels, subscriptions: lists.subscriptions, sources: lists.sources, configMaps: lists.configMaps, secrets: [], problems: [] };
    return this.#snapshot;
  }

  onChange(listener: (resources: Resources) => void): () => void {
    // The same function may listen twice and must then be ended twice.
    const own = (resources: Resources): void => listener(resources);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  isSynced(): boolean {
    return this.#all.every((informer) => informer.hasSynced());
  }

  async readSecret({ namespace, name }: ResourceName): Promise<Secret | undefined> {
    const found = await this.#options.api.get<SecretManifest & KubernetesObject>(resourceTypes.secret, { namespace, name }).catch(refusedIsAbsent);
    // Not its annotations: what kubectl applied last is among them.
    return found === undefined ? undefined : parseSecret({ ...found, metadata: { namespace, name } }).secret;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#listeners.clear();
    clearTimeout(this.#debounce);
    for (const informer of this.#all) informer.close();
    await this.#options.api.close();
  }

  #onObject<R>(kind: Kind, informer: Informer<Kept<R>>, { key, before, after }: InformerChange<Kept<R>>): void {
    if (isDeepStrictEqual(before?.kept, after?.kept)) return;
    this.#lists[kind] = undefined;
    this.#snapshot = undefined;
    const id = `${kind} ${key}`;
    if (!this.#known.has(id)) this.#known.set(id, { before: before?.kept, now: () => informer.get(key)?.kept });
    if (this.isSynced()) this.#tellSoon();
  }

  #tellSoon(): void {
    if (this.#isClosed) return;
    // From the first change on, not from the last: while changes keep coming they are told all the same.
    this.#debounce ??= setTimeout(() => this.#tell(), this.#options.debounceMs ?? 25);
  }

  #tell(): void {
    this.#debounce = undefined;
    // Something may have changed and changed back.
    const hasChanged = [...this.#known.values()].some(({ before, now }) => !isDeepStrictEqual(before, now()));
    this.#known.clear();
    if (this.#isTold && !hasChanged) return;
    this.#isTold = true;
    const resources = this.snapshot();
    for (const listener of [...this.#listeners]) listener(resources);
  }

  #onTrouble({ kind }: ResourceType, reason: string | undefined): void {
    const { log } = this.#options;
    const wasWell = this.#lost.size === 0;
    if (reason === undefined) this.#lost.delete(kind);
    else this.#lost.add(kind);
    if (reason === undefined && this.#lost.size === 0) log.info({}, 'resources are read from Kubernetes again');
    if (reason !== undefined && wasWell) log.warn({ kind, reason }, this.isSynced() ? 'resources cannot be read from Kubernetes; what was read before stays in force' : 'resources cannot be read from Kubernetes yet');
  }
}

/** Whoever makes the Role for a Secret may not have made it yet. */
function refusedIsAbsent(error: unknown): undefined {
  if (error instanceof Fault && error.code === 'KUBERNETES_REFUSED') return undefined;
  throw error;
}

function only({ namespace, name }: ResourceName): ListOptions {
  return { namespace, fieldSelector: `metadata.name=${name}` };
}

/** What is served of it, by namespace and name in the order of code units. */
function sorted<R>(informer: Informer<Kept<R>> | undefined): readonly R[] {
  const found = (informer?.list() ?? []).filter((object): object is Kept<R> & { readonly kept: R } => object.kept !== undefined);
  return found.sort((a, b) => compareText(a.metadata.namespace ?? '', b.metadata.namespace ?? '') || compareText(a.metadata.name, b.metadata.name)).map(({ kept }) => kept);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
