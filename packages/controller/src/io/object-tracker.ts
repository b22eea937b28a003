/**
 * Objects of any kind that a Subscription or a channel refers to, and who has to look again when one changes.
 *
 * A kind is watched from the first reference to it on, whole, but only what resolving needs is kept of an object. A kind
 * that the cluster does not have yet is asked for again whenever a CustomResourceDefinition comes or goes.
 *
 * Always true: whoever called `track` is told of every later change of those objects, also when they appear, or when
 * their kind does.
 */
import { describeError, type ObjectId } from '@knative-kafka/common/core';
import { apiVersionOf, objectKey, startInformer, type Informer, type KubernetesApi, type KubernetesObject, type ResourceType } from '@knative-kafka/common/io';
import type { TrackedObject } from '../core/objects.ts';

/** What is known of an object. */
export type Tracked =
  | { readonly object: TrackedObject; readonly type: ResourceType }
  /** It is not there. */
  | { readonly missing: string }
  /** Nobody can tell: the kind is not known, or cannot be read. */
  | { readonly unknown: string };

export interface ObjectTracker {
  /** Replaces what a dependent refers to; nothing ends it. Resolves when every kind was read, or cannot be. */
  track(dependent: string, objects: readonly ObjectId[]): Promise<void>;
  /** What is known now. Of kinds that were tracked only. */
  find(object: ObjectId): Tracked;
  close(): void;
}

interface WatchedKind {
  readonly type: ResourceType;
  readonly informer: Informer<TrackedObject>;
  /** Resolves when it has been read, or that takes too long: before, nothing is known of its objects. */
  readonly isRead: Promise<void>;
  /** Why it cannot be read, while that is so. */
  trouble: string | undefined;
}

/**
 * A new kind is announced before it is served everywhere: after the announcement it is asked for at these times, in
 * milliseconds.
 */
const lookAgainAfterMs = [0, 1_000, 3_000, 10_000, 30_000];

/** How long a first list may take before resolving goes on without; its end is told like any change. */
const firstListMs = 5_000;

export interface ObjectTrackerOptions {
  readonly api: KubernetesApi;
  /** Watched already, by somebody else, for all its versions. */
  readonly known: readonly { readonly type: ResourceType; readonly informer: Informer<TrackedObject> }[];
  readonly customResourceDefinitions: Informer<KubernetesObject>;
  /** Told for each dependent that has to look again. */
  readonly onChange: (dependent: string) => void;
}

export function createObjectTracker(options: ObjectTrackerOptions): ObjectTracker {
  return new InformerTracker(options);
}

class InformerTracker implements ObjectTracker {
  readonly #options: ObjectTrackerOptions;
  readonly #kinds = new Map<string, WatchedKind>();
  readonly #starting = new Map<string, Promise<WatchedKind | undefined>>();
  /** Why a kind could not be looked up. */
  readonly #problems = new Map<string, string>();
  /** By dependent, the names of objects; and the other way round. */
  readonly #tracked = new Map<string, readonly string[]>();
  readonly #dependents = new Map<string, Set<string>>();
  readonly #own: Informer<TrackedObject>[] = [];
  #lookingAgain: readonly NodeJS.Timeout[] = [];
  #isClosed = false;

  constructor(options: ObjectTrackerOptions) {
    this.#options = options;
    for (const { type, informer } of options.known) {
      this.#kinds.set(kindKey(apiVersionOf(type), type.kind), { type, informer, isRead: within(firstListMs, informer.synced()), trouble: undefined });
      informer.onChange(({ key }) => this.#changed(type, key));
    }
    options.customResourceDefinitions.onChange(() => {
      for (const timer of this.#lookingAgain) clearTimeout(timer);
      this.#lookingAgain = lookAgainAfterMs.map((ms) => setTimeout(() => this.#lookAgain(), ms).unref());
    });
  }

  async track(dependent: string, objects: readonly ObjectId[]): Promise<void> {
    const names = objects.map(objectName);
    for (const name of this.#tracked.get(dependent) ?? []) {
      if (names.includes(name)) continue;
      const dependents = this.#dependents.get(name);
      dependents?.delete(dependent);
      if (dependents?.size === 0) this.#dependents.delete(name);
    }
    if (names.length === 0) this.#tracked.delete(dependent);
    else this.#tracked.set(dependent, names);
    for (const name of names) {
      const dependents = this.#dependents.get(name) ?? new Set();
      this.#dependents.set(name, dependents.add(dependent));
    }
    await Promise.all(objects.map(({ apiVersion, kind }) => this.#watched(apiVersion, kind)));
  }

  find(object: ObjectId): Tracked {
    const key = kindKey(object.apiVersion, object.kind);
    const watched = this.#kinds.get(key);
    const shown = `${object.kind} ${object.namespace}/${object.name}`;
    if (watched === undefined) return { unknown: this.#problems.get(key) ?? `${object.apiVersion} ${object.kind} has not been looked up yet` };
    const found = watched.informer.get(objectKey(watched.type.isNamespaced ? object : { name: object.name }));
    if (found !== undefined) return { object: found, type: watched.type };
    if (watched.informer.hasSynced()) return { missing: `${shown} does not exist` };
    return { unknown: `${shown} cannot be read${watched.trouble === undefined ? ' yet' : `: ${watched.trouble}`}` };
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#lookingAgain) clearTimeout(timer);
    for (const informer of this.#own) informer.close();
  }

  async #watched(apiVersion: string, kind: string): Promise<void> {
    const key = kindKey(apiVersion, kind);
    // Also whoever finds the kind watched waits for its first list: somebody else may have begun it a moment ago.
    const known = this.#kinds.get(key);
    if (known !== undefined) return known.isRead;
    const starting = this.#starting.get(key) ?? this.#start(apiVersion, kind).finally(() => this.#starting.delete(key));
    this.#starting.set(key, starting);
    await (await starting)?.isRead;
  }

  async #start(apiVersion: string, kind: string): Promise<WatchedKind | undefined> {
    const key = kindKey(apiVersion, kind);
    let type: ResourceType | undefined;
    try {
      type = await this.#options.api.discover(apiVersion, kind);
    } catch (error) {
      this.#problems.set(key, `${apiVersion} ${kind} cannot be looked up: ${describeError(error)}`);
      return undefined;
    }
    if (type === undefined) {
      this.#problems.set(key, `the cluster has no kind ${kind} in ${apiVersion}`);
      return undefined;
    }
    this.#problems.delete(key);
    if (this.#isClosed) return undefined;
    const found = type;
    const informer = startInformer<TrackedObject>(this.#options.api, {
      type,
      trim: trimTracked,
      onTrouble: (trouble) => {
        watched.trouble = 'reason' in trouble ? trouble.reason : undefined;
      },
    });
    const watched: WatchedKind = { type, informer, isRead: within(firstListMs, informer.synced()), trouble: undefined };
    this.#own.push(informer);
    informer.onChange(({ key: name }) => this.#changed(found, name));
    // Where the first list took too long, whoever went on without it looks again; an empty one brings no change.
    void informer.synced().then(() => {
      for (const name of this.#dependents.keys()) if (name.startsWith(`${key} `)) this.#tell(name);
    });
    this.#kinds.set(key, watched);
    return watched;
  }

  /** Kinds may be there now: whoever misses one looks again, and so asks for it again. */
  #lookAgain(): void {
    for (const name of this.#dependents.keys()) {
      const kind = name.slice(0, name.indexOf(' '));
      if (this.#problems.has(kind)) this.#tell(name);
    }
  }

  #changed(type: ResourceType, key: string): void {
    this.#tell(`${kindKey(apiVersionOf(type), type.kind)} ${type.isNamespaced ? key : `/${key}`}`);
  }

  #tell(name: string): void {
    for (const dependent of this.#dependents.get(name) ?? []) this.#options.onChange(dependent);
  }
}

/** One kind in all its versions is watched once, in the version that was asked for first. */
function kindKey(apiVersion: string, kind: string): string {
  return `${apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''}|${kind}`;
}

function objectName({ apiVersion, kind, namespace, name }: ObjectId): string {
  return `${kindKey(apiVersion, kind)} ${namespace}/${name}`;
}

/** Fields that are absent stay absent: what is undefined takes memory and tells nobody anything. */
function trimTracked({ apiVersion, kind, metadata, spec, status }: TrackedObject): TrackedObject {
  return {
    apiVersion,
    kind,
    metadata: { name: metadata.name, ...pick(metadata, ['namespace', 'uid', 'resourceVersion', 'generation', 'deletionTimestamp', 'ownerReferences']) },
    ...(spec === undefined ? {} : { spec: pick(spec, ['subscribers', 'delivery']) }),
    ...(status === undefined ? {} : { status: pick(status, ['conditions', 'address', 'addresses', 'subscribers', 'channel', 'deadLetterSinkUri', 'deadLetterSinkCACerts', 'deadLetterSinkAudience']) }),
  };
}

function pick<T extends object, K extends keyof T>(object: T, fields: readonly K[]): Partial<Pick<T, K>> {
  const picked: Partial<Pick<T, K>> = {};
  for (const field of fields) if (object[field] !== undefined) picked[field] = object[field];
  return picked;
}

/** Resolves when the promise does, or the time is up. */
async function within(ms: number, promise: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), ms);
  await Promise.race([promise, late.promise]);
  clearTimeout(timer);
}
