/**
 * Subscription: channel -> destinations -> an entry in the channel's `spec.subscribers` -> what the channel says of it.
 *
 * The behaviour, the conditions and the reasons are those of Knative's own controller, for clusters without it. Where
 * that one can lose an update, this one cannot: an entry is written only into the list it was computed from. Deletion
 * ends where its own can wait for ever: for a Channel that never became ready, for a channel that cannot be written.
 *
 * @see Knative Eventing, pkg/reconciler/subscription
 */
import { addressIn, Fault, parseSubscription, resolveSubscription, resourceId, subscriberEntry, type DestinationLookups, type ObjectReference, type PhysicalSubscription, type ResolvedDestination, type Subscriber, type Subscription } from '@knative-kafka/common/core';
import { resourceTypes, type KubernetesApi, type ResourceType } from '@knative-kafka/common/io';
import type { Caches } from './caches.ts';
import { isSameJson } from './core/drift.ts';
import { isDeleting, referencesOf, type SubscriptionObject, type SubscriptionStatus, type TrackedObject } from './core/objects.ts';
import { readyEvent } from './core/ready-event.ts';
import { subscriptionStatus, type SubscriptionProgress } from './core/subscription-status.ts';
import { applyStatus, patchMetadata } from './io/apply-drifted.ts';
import type { RecordEvent } from './io/event-recorder.ts';
import type { ObjectTracker } from './io/object-tracker.ts';
import { trackable } from './reconcile-kafka-channel.ts';

const subscriptionFinalizer = 'subscriptions.messaging.knative.dev';

export interface SubscriptionReconcilerParts {
  readonly api: KubernetesApi;
  readonly caches: Caches;
  readonly tracker: ObjectTracker;
  readonly lookups: DestinationLookups;
  readonly record: RecordEvent;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly settings: {
    /** How long the deletion of a Subscription waits for a channel that cannot be read or written. */
    readonly deletionPatienceMs: number;
  };
}

/** Between two attempts to take an entry out of such a channel. */
const retryMs = 5_000;

const ownStatusFields = ['observedGeneration', 'conditions', 'physicalSubscription'] as const satisfies readonly (keyof SubscriptionStatus)[];

/** A channel that has `spec.subscribers`: what stands behind a generic Channel, or what was named itself. */
interface FoundChannel {
  readonly object: TrackedObject;
  readonly type: ResourceType;
}

export class SubscriptionReconciler {
  readonly #parts: SubscriptionReconcilerParts;

  constructor(parts: SubscriptionReconcilerParts) {
    this.#parts = parts;
  }

  /** @param key `namespace/name` */
  async reconcile(key: string): Promise<{ readonly requeueAfterMs?: number } | undefined> {
    const { api, caches, record, tracker, nowMs, settings } = this.#parts;
    const object = caches.subscriptions.get(key);
    if (object === undefined) {
      await tracker.track(subscriptionDependent(key), []);
      return undefined;
    }
    const { finalizers = [] } = object.metadata;
    if (isDeleting(object)) {
      if (!finalizers.includes(subscriptionFinalizer)) return undefined;
      const problem = await this.#remove(object);
      const isPatient = nowMs() - Date.parse(object.metadata.deletionTimestamp ?? '') < settings.deletionPatienceMs;
      if (problem !== undefined && isPatient) return { requeueAfterMs: retryMs };
      await patchMetadata(api, resourceTypes.subscription, object, { finalizers: finalizers.filter((name) => name !== subscriptionFinalizer) });
      if (problem !== undefined) record({ regarding: object, type: 'Warning', reason: 'SubscriberLeft', note: `left in spec.subscribers of its channel: uid ${object.metadata.uid ?? ''} (${problem})`, action: 'Delete' });
      return undefined;
    }
    if (!finalizers.includes(subscriptionFinalizer)) {
      await patchMetadata(api, resourceTypes.subscription, object, { finalizers: [...finalizers, subscriptionFinalizer] });
      return {}; // the change that this made brings us back
    }
    const progress = await this.#bringAbout(object);
    if (progress === undefined) return {}; // the channel's change, and what it then says, brings us back
    const status = subscriptionStatus(object, progress, nowMs());
    await applyStatus(api, resourceTypes.subscription, object, status, ownStatusFields);
    const event = readyEvent(object.status?.conditions, status.conditions);
    if (event !== undefined) record({ regarding: object, action: 'Reconcile', ...event });
    return {};
  }

  /** @returns undefined when the channel has just been written */
  async #bringAbout(object: SubscriptionObject): Promise<SubscriptionProgress | undefined> {
    const { lookups } = this.#parts;
    const { subscription } = parseSubscription(object);
    const found = await this.#findChannel(object);
    if ('reason' in found) return { step: 'channel', problem: found };
    const physical = resolveSubscription(subscription, sinkOf(found.object), lookups);
    if ('error' in physical) return { step: 'destinations', problem: physical.error };
    return this.#sync(object, subscription, physical, found);
  }

  /** Puts the entry into the channel, if it is not there or not the same. */
  async #sync(object: SubscriptionObject, subscription: Subscription, physical: PhysicalSubscription, { object: channel, type }: FoundChannel): Promise<SubscriptionProgress | undefined> {
    const entry = subscriberEntry(subscription, channel.spec?.delivery, physical);
    const entries = channel.spec?.subscribers ?? [];
    const present = entries.find(({ uid }) => uid === entry.uid);
    if (present === undefined || !isSameJson(withKnownFields(present), entry)) {
      const others = entries.map((other) => (other.uid === entry.uid ? entry : other));
      try {
        await this.#patchSubscribers(channel, type, present === undefined ? [...entries, entry] : others);
      } catch (error) {
        // Somebody else was faster: the change of the channel that comes brings us back.
        if (!(error instanceof Fault) || error.code === 'KUBERNETES_CONFLICT' || error.code === 'KUBERNETES_UNAVAILABLE') throw error;
        return { step: 'channel update', physical, problem: { reason: 'PhysicalChannelSyncFailed', message: error.message } };
      }
      this.#parts.record({ regarding: object, type: 'Normal', reason: 'SubscriberSync', note: `Subscription was synchronized to channel ${channel.metadata.name}`, action: 'Reconcile' });
      return undefined;
    }
    return { step: 'added', physical, subscriber: channel.status?.subscribers?.find(({ uid }) => uid === entry.uid) };
  }

  /** Takes the entry out of the channel, if both are there. @returns why it cannot be, where trying again may take for ever */
  async #remove(object: SubscriptionObject): Promise<string | undefined> {
    const found = await this.#findChannel(object, { isReadyNeeded: false });
    if ('reason' in found) return found.isGone ? undefined : found.message;
    const entries = found.object.spec?.subscribers ?? [];
    const left = entries.filter(({ uid }) => uid !== object.metadata.uid);
    if (left.length === entries.length) return undefined;
    try {
      await this.#patchSubscribers(found.object, found.type, left);
    } catch (error) {
      if (error instanceof Fault && error.code === 'KUBERNETES_REFUSED') return error.message;
      throw error;
    }
    this.#parts.record({ regarding: object, type: 'Normal', reason: 'SubscriberRemoved', note: `Subscription was removed from channel ${found.object.metadata.name}`, action: 'Delete' });
    return undefined;
  }

  async #patchSubscribers({ metadata: { name, namespace, resourceVersion } }: TrackedObject, type: ResourceType, subscribers: readonly Subscriber[]): Promise<void> {
    await this.#parts.api.mergePatch(type, { name, ...(namespace === undefined ? {} : { namespace }) }, { metadata: { resourceVersion }, spec: { subscribers } });
  }

  async #findChannel(object: SubscriptionObject, { isReadyNeeded = true } = {}): Promise<FoundChannel | { readonly reason: string; readonly message: string; readonly isGone: boolean }> {
    const { tracker } = this.#parts;
    const { namespace = '' } = object.metadata;
    const ref = object.spec.channel;
    const dependent = subscriptionDependent(`${namespace}/${object.metadata.name}`);
    const destinations = trackable(referencesOf(object), namespace);
    const failed = (message: string, isGone = false) => ({ reason: 'ChannelReferenceFailed', message, isGone });
    if (ref.namespace !== undefined && ref.namespace !== namespace) {
      return failed(`spec.channel: a Subscription in ${namespace} cannot have a channel in ${ref.namespace}`, true);
    }
    const named = trackable([ref], namespace);
    await tracker.track(dependent, [...destinations, ...named]);
    const found = this.#look(ref, namespace);
    if (!('object' in found) || !isGenericChannel(ref)) return 'object' in found ? found : failed(found.message, found.isGone);
    const backing = found.object.status?.channel;
    const isReady = found.object.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
    // Never ready, or no more: what stands behind it, if anything does, is where the entry would be.
    if (backing === undefined) return failed(`spec.channel: ${resourceId('Channel', { namespace, name: ref.name })} is not ready: it has no channel behind it yet`, !isReadyNeeded);
    if (isReadyNeeded && !isReady) return failed(`spec.channel: ${resourceId('Channel', { namespace, name: ref.name })} is not ready`);
    await tracker.track(dependent, [...destinations, ...named, ...trackable([backing], namespace)]);
    const behind = this.#look(backing, namespace);
    return 'object' in behind ? behind : failed(behind.message, behind.isGone);
  }

  #look(ref: ObjectReference, namespace: string): FoundChannel | { readonly message: string; readonly isGone: boolean } {
    const { apiVersion = '', kind, name } = ref;
    const tracked = this.#parts.tracker.find({ apiVersion, kind, namespace, name });
    if ('object' in tracked) return tracked;
    // A kind that the cluster does not have any more has no objects either.
    if ('missing' in tracked) return { message: `spec.channel: ${tracked.missing}`, isGone: true };
    return { message: `spec.channel: ${tracked.unknown}`, isGone: tracked.unknown.startsWith('the cluster has no kind') };
  }
}

/** How the tracker names a Subscription. */
function subscriptionDependent(key: string): string {
  return `Subscription ${key}`;
}

function isGenericChannel({ apiVersion, kind }: ObjectReference): boolean {
  return kind === 'Channel' && apiVersion?.startsWith('messaging.knative.dev/') === true;
}

/** What the channel resolved its own dead letter sink to: counts where the Subscription has none. */
function sinkOf({ kind, metadata: { namespace = '', name }, spec, status }: TrackedObject): ResolvedDestination | undefined {
  const sink = addressIn(status, 'deadLetterSink');
  if (sink !== undefined || spec?.delivery?.deadLetterSink === undefined) return sink;
  return { error: { reason: 'DeadLetterSinkResolveFailed', message: `${resourceId(kind, { namespace, name })} has a dead letter sink and no status.deadLetterSinkUri yet` } };
}

/** An entry that was written by others may have more in it (`auth`): only what would be written is compared. */
function withKnownFields(entry: Subscriber): Partial<Subscriber> {
  const { uid, name, generation, subscriberUri, subscriberCACerts, subscriberAudience, replyUri, replyCACerts, replyAudience, delivery } = entry;
  const known = { uid, name, generation, subscriberUri, subscriberCACerts, subscriberAudience, replyUri, replyCACerts, replyAudience, delivery };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
}
