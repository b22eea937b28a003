/**
 * Channel, the generic one: a template -> the channel behind it -> its status.
 *
 * The channel behind is made once and never changed, as Knative's own controller does it. It belongs to the Channel and
 * goes with it.
 */
import { addressFields, addressIn, Fault, resolveDestination, resourceId, withReady, type Condition, type DestinationLookups } from '@knative-kafka/common/core';
import { resourceTypes, type KubernetesApi } from '@knative-kafka/common/io';
import type { Caches } from './caches.ts';
import { deadLetterSinkCondition } from './core/channel-status.ts';
import { backingSpec, defaultChannelConfigMap, defaultChannelTemplate } from './core/default-channel.ts';
import { isDeleting, subscribable, type ChannelTemplate, type GenericChannelObject, type GenericChannelStatus, type TrackedObject } from './core/objects.ts';
import { readyEvent } from './core/ready-event.ts';
import { applyStatus } from './io/apply-drifted.ts';
import type { RecordEvent } from './io/event-recorder.ts';
import type { ObjectTracker } from './io/object-tracker.ts';
import { trackable } from './reconcile-kafka-channel.ts';

export interface ChannelReconcilerParts {
  readonly api: KubernetesApi;
  readonly caches: Caches;
  readonly tracker: ObjectTracker;
  readonly lookups: DestinationLookups;
  readonly record: RecordEvent;
  readonly systemNamespace: string;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

const ownStatusFields = ['observedGeneration', 'conditions', 'channel', 'address', 'subscribers', 'deadLetterSinkUri', 'deadLetterSinkCACerts', 'deadLetterSinkAudience'] as const satisfies readonly (keyof GenericChannelStatus)[];

/** The channel behind, or why there is none. */
type Backing = { readonly object: TrackedObject | undefined; readonly template: ChannelTemplate } | { readonly reason: string; readonly message: string };

export class ChannelReconciler {
  readonly #parts: ChannelReconcilerParts;

  constructor(parts: ChannelReconcilerParts) {
    this.#parts = parts;
  }

  /** @param key `namespace/name` */
  async reconcile(key: string): Promise<object | undefined> {
    const { api, caches, tracker } = this.#parts;
    const object = caches.channels.get(key);
    if (object === undefined || isDeleting(object)) {
      await tracker.track(channelDependent(key), []);
      return undefined;
    }
    const template = await this.#template(object);
    if (template === undefined) return {}; // the change that this made brings us back
    const backing = 'problem' in template ? { reason: 'ChannelTemplateMissing', message: template.problem } : await this.#backing(object, template);
    const status = this.#status(object, backing);
    await applyStatus(api, resourceTypes.channel, object, status, ownStatusFields);
    this.#tellTransition(object, status);
    return {};
  }

  /** The Channel's own template; the default one is written into it, and the annotation of every channel, as Knative's webhook would. */
  async #template({ spec, metadata }: GenericChannelObject): Promise<ChannelTemplate | { readonly problem: string } | undefined> {
    const { api, caches, systemNamespace } = this.#parts;
    const { name, namespace = '', resourceVersion, annotations = {} } = metadata;
    const own = spec?.channelTemplate;
    const isMarked = Object.entries(subscribable).every(([annotation, value]) => annotations[annotation] === value);
    if (own !== undefined && isMarked) return own;
    const template = own ?? defaultChannelTemplate(caches.configMaps.get(`${systemNamespace}/${defaultChannelConfigMap}`)?.data, namespace);
    if ('problem' in template) return template;
    await api.mergePatch(resourceTypes.channel, { namespace, name }, { metadata: { resourceVersion, annotations: subscribable }, ...(own === undefined ? { spec: { channelTemplate: template } } : {}) });
    return undefined;
  }

  async #backing(object: GenericChannelObject, template: ChannelTemplate): Promise<Backing> {
    const { api, tracker, record } = this.#parts;
    const { name, namespace = '', uid = '' } = object.metadata;
    const { apiVersion, kind } = template;
    const id = { apiVersion, kind, namespace, name };
    const sink = object.spec?.delivery?.deadLetterSink?.ref;
    await tracker.track(channelDependent(`${namespace}/${name}`), [id, ...trackable(sink === undefined ? [] : [sink], namespace)]);
    const tracked = tracker.find(id);
    if ('unknown' in tracked) return { reason: 'ChannelFailure', message: tracked.unknown };
    if ('object' in tracked) {
      if (tracked.object.metadata.ownerReferences?.some((owner) => owner.uid === uid) === true) return { object: tracked.object, template };
      return { reason: 'ChannelFailure', message: `${kind} ${namespace}/${name} is there already and does not belong to this Channel` };
    }
    const type = await api.discover(apiVersion, kind);
    if (type === undefined) return { reason: 'ChannelFailure', message: `the cluster has no kind ${kind} in ${apiVersion}` };
    try {
      await api.create(type, {
        apiVersion,
        kind,
        metadata: { name, namespace, ownerReferences: [{ apiVersion: 'messaging.knative.dev/v1', kind: 'Channel', name, uid, controller: true, blockOwnerDeletion: true }] },
        spec: backingSpec(object, template),
      });
    } catch (error) {
      // It is there already, and the cache will know in a moment.
      if (error instanceof Fault && error.code === 'KUBERNETES_CONFLICT') return { object: undefined, template };
      if (error instanceof Fault && error.code === 'KUBERNETES_REFUSED') return { reason: 'ChannelFailure', message: error.message };
      throw error;
    }
    record({ regarding: object, type: 'Normal', reason: 'ChannelCreated', note: `${kind} ${namespace}/${name} was made for this Channel`, action: 'Reconcile' });
    return { object: undefined, template };
  }

  #status({ metadata, spec, status: previous }: GenericChannelObject, backing: Backing): GenericChannelStatus {
    const { lookups, nowMs } = this.#parts;
    const { name, namespace = '' } = metadata;
    const object = 'template' in backing ? backing.object : undefined;
    const status = object?.status;
    const address = status?.address ?? status?.addresses?.[0];
    const ownSink = spec?.delivery?.deadLetterSink;
    const sink = addressIn(status, 'deadLetterSink') ?? (ownSink === undefined ? undefined : resolveDestination(ownSink, 'deadLetterSink', namespace, lookups));
    const conditions: readonly Condition[] = [
      backingReady(backing),
      address?.url === undefined ? { type: 'Addressable', status: 'False', reason: 'EmptyHostname', message: 'the channel behind has no address yet' } : { type: 'Addressable', status: 'True' },
      deadLetterSinkCondition(sink),
      { type: 'EventPoliciesReady', status: 'True', reason: 'OIDCDisabled', message: 'policies need the feature authentication-oidc, which is not supported here' },
    ];
    return {
      observedGeneration: metadata.generation ?? 1,
      conditions: withReady(conditions, previous?.conditions ?? [], nowMs()),
      ...('template' in backing ? { channel: { apiVersion: backing.template.apiVersion, kind: backing.template.kind, name, namespace } } : {}),
      ...(address === undefined ? {} : { address }),
      ...(status?.subscribers === undefined ? {} : { subscribers: status.subscribers }),
      ...addressFields('deadLetterSink', sink),
    };
  }

  #tellTransition(object: GenericChannelObject, status: GenericChannelStatus): void {
    // Not of an address that is missing because the channel behind is being made.
    if (status.conditions?.some(({ type, status: state }) => type === 'BackingChannelReady' && state === 'Unknown') === true) return;
    const event = readyEvent(object.status?.conditions, status.conditions);
    if (event !== undefined) this.#parts.record({ regarding: object, action: 'Reconcile', ...event });
  }
}

/** How the tracker names a Channel. */
function channelDependent(key: string): string {
  return `Channel ${key}`;
}

/** What the channel behind says of itself. */
function backingReady(backing: Backing): Condition {
  const type = 'BackingChannelReady';
  if ('reason' in backing) return { type, status: 'False', reason: backing.reason, message: backing.message };
  const { object, template: { kind } } = backing;
  const ready = object?.status?.conditions?.find((condition) => condition.type === 'Ready');
  if (ready === undefined) return { type, status: 'Unknown', reason: 'BackingChannelNotConfigured', message: `${kind} has no condition Ready yet` };
  if (ready.status === 'True') return { type, status: 'True' };
  return {
    type,
    status: ready.status,
    ...(ready.reason === undefined ? {} : { reason: ready.reason }),
    message: ready.message ?? `${resourceId(kind, { namespace: object?.metadata.namespace ?? '', name: object?.metadata.name ?? '' })} is not ready`,
  };
}
