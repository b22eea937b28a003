/**
 * All that this project asks of a Kubernetes API server: plain objects in and out, by kind.
 *
 * Objects are JSON as the API server has it. What they mean is decided in core; nothing here knows a kind by name.
 * Every call has a time limit of its own and rejects with a Fault: KUBERNETES_UNAVAILABLE (no answer, 5xx, 429: worth
 * trying again), KUBERNETES_CONFLICT (409: read again first), KUBERNETES_REFUSED (401, 403, 422 and other 4xx: the
 * message is the API server's). Not found is a value.
 */
import type { KubernetesObject } from '../../core/resources/kubernetes-object.ts';

export type { KubernetesMeta, KubernetesObject, OwnerReference } from '../../core/resources/kubernetes-object.ts';

/** A kind, and where the API server serves it. */
export interface ResourceType {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** The name in URLs, such as `kafkachannels`. */
  readonly plural: string;
  readonly isNamespaced: boolean;
}

/** Name of an object of the cluster, or of a namespace. */
export interface ObjectName {
  readonly namespace?: string;
  readonly name: string;
}

export interface ListOptions {
  /** All namespaces where left out. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ListPage<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  /** Token for the next page; undefined on the last. */
  readonly next: string | undefined;
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  /** Only `metadata.resourceVersion` is in it. */
  | { readonly type: 'BOOKMARK'; readonly object: KubernetesObject };

export interface ApplyOptions {
  /** Which part is written; the object itself unless given. */
  readonly subresource?: 'status';
}

export interface DeleteOptions {
  /** Only this very object, not one of the same name that came after it. */
  readonly uid?: string;
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan';
}

export interface KubernetesApi {
  /** @returns undefined when there is none */
  get<T extends KubernetesObject>(type: ResourceType, name: ObjectName): Promise<T | undefined>;
  /** One page. `items` have their apiVersion and kind filled in. */
  list<T extends KubernetesObject>(type: ResourceType, options: ListOptions & { readonly limit?: number; readonly next?: string | undefined; readonly signal?: AbortSignal }): Promise<ListPage<T>>;
  /**
   * Changes from a resource version on, with bookmarks. Resolves when the API server ends the watch, which is no failure.
   * @param onEvent is called in order; must not throw
   * @throws Fault KUBERNETES_EXPIRED when changes since then are no longer known: list again; KUBERNETES_UNAVAILABLE
   *   when the connection broke or was silent for longer than bookmarks take
   */
  watch<T extends KubernetesObject>(type: ResourceType, options: ListOptions & { readonly resourceVersion: string; readonly signal?: AbortSignal }, onEvent: (event: WatchEvent<T>) => void): Promise<void>;
  /** @throws Fault KUBERNETES_CONFLICT when there is one already */
  create<T extends KubernetesObject>(type: ResourceType, object: T): Promise<T>;
  /** PUT of the whole object, which must have the resourceVersion it was read with. */
  replace<T extends KubernetesObject>(type: ResourceType, object: T): Promise<T>;
  /**
   * Server-side apply by our one field manager, taking over fields that others set. What we applied before and leave out
   * now is removed.
   */
  apply<T extends KubernetesObject>(type: ResourceType, object: T, options?: ApplyOptions): Promise<T>;
  /** JSON merge patch. With `metadata.resourceVersion` in it, only if nobody changed the object since. @returns undefined when there is none */
  mergePatch<T extends KubernetesObject>(type: ResourceType, name: ObjectName, patch: object, options?: ApplyOptions): Promise<T | undefined>;
  delete(type: ResourceType, name: ObjectName, options?: DeleteOptions): Promise<'deleted' | 'absent'>;
  /**
   * Where the API server serves a kind.
   * @param apiVersion `v1`, `apps/v1`, `messaging.knative.dev/v1`
   * @returns undefined when it serves no such kind, now
   */
  discover(apiVersion: string, kind: string): Promise<ResourceType | undefined>;
  /** How many requests were made so far, watches included. */
  requestCount(): number;
}

export interface InformerChange<T> {
  /** `namespace/name`, or the name alone. */
  readonly key: string;
  readonly before: T | undefined;
  readonly after: T | undefined;
}

/** A copy of all objects of a kind, kept up to date by a watch that is started again however it ends. */
export interface Informer<T extends KubernetesObject> {
  /** By `namespace/name`, or the name alone. The object must not be changed. */
  get(key: string): T | undefined;
  list(): readonly T[];
  /** Whether everything was read at least once. It stays true when the API server is away later: the last state holds. */
  hasSynced(): boolean;
  /** Resolves when it has synced, or was closed. */
  synced(): Promise<void>;
  /** Called after every change, for what is there already too if it comes with the first list. Must not throw. @returns ends it */
  onChange(listener: (change: InformerChange<T>) => void): () => void;
  close(): void;
}

export interface InformerOptions<T extends KubernetesObject> extends ListOptions {
  readonly type: ResourceType;
  /** Makes what is kept smaller; managedFields are left out in any case. */
  readonly trim?: (object: T) => T;
  /** Told when the watch breaks and when it is whole again. */
  readonly onTrouble?: (trouble: { readonly type: ResourceType; readonly reason: string } | { readonly type: ResourceType; readonly isOver: true }) => void;
}
