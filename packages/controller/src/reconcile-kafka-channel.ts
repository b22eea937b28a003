/**
 * KafkaChannel: topic -> initial offsets -> Service -> dispatcher -> status.
 *
 * Always true: a subscriber is reported ready only after its consumer group has its initial offsets, so no event that is
 * accepted after that is missed; a consumer group is deleted only when its Subscription cannot come back, or with its
 * channel; deletion of a channel ends, whatever Kafka does.
 */
import { channelTopic, channelUrl, consumerGroupId, deadLetterTopicName, describeError, Fault, kafkaSecretAnnotation, parseKafkaChannel, parseConfigMap, readFeatures, resolveDestination, resourceKey, topicAnnotation, topicName, type DestinationLookups, type KafkaChannel, type KafkaChannelManifest, type ObjectId, type ResolvedDestination, type Subscriber, type TopicState } from '@knative-kafka/common/core';
import { ensureTopic, resourceTypes, type Admin, type KubernetesApi, type Logger } from '@knative-kafka/common/io';
import type { Caches } from './caches.ts';
import { channelStatus, type ObservedChannel, type Problem, type Replicas } from './core/channel-status.ts';
import { desiredChannelService } from './core/desired-channel-service.ts';
import { channelAnnotation, desiredDispatcher, dispatcherName } from './core/desired-dispatcher.ts';
import { receiverName } from './core/desired-receiver.ts';
import { candidatesOf, chooseKafkaSecret, type KafkaSecretChoice } from './core/kafka-secret-choice.ts';
import type { DesiredObject } from './core/drift.ts';
import { isDeleting, subscribable, type ChannelStatus, type DeploymentObject, type KafkaChannelObject, type SecretObject, type SubscriberStatus } from './core/objects.ts';
import type { Workloads } from './core/pod-template.ts';
import { readyEvent } from './core/ready-event.ts';
import { removedSubscribers, removedSubscribersAnnotation, type RemovedSubscriber } from './core/removed-subscribers.ts';
import { applyDrifted, applyStatus, patchMetadata } from './io/apply-drifted.ts';
import type { RecordEvent } from './io/event-recorder.ts';
import type { KafkaAccess, KafkaClusters } from './io/kafka-clusters.ts';
import type { ObjectTracker } from './io/object-tracker.ts';

const channelFinalizer = 'kafkachannels.messaging.knative.dev';

export interface KafkaChannelReconcilerParts {
  readonly api: KubernetesApi;
  readonly caches: Caches;
  readonly kafka: KafkaClusters;
  /** Lets only whoever leads change something in a Kafka. */
  readonly guardKafka: (admin: Admin) => Admin;
  readonly tracker: ObjectTracker;
  readonly lookups: DestinationLookups;
  readonly workloads: Workloads;
  readonly record: RecordEvent;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly settings: {
    /** How long the deletion of a channel waits for Kafka. */
    readonly deletionPatienceMs: number;
    /** How long the consumer group of a subscriber that vanished is kept. */
    readonly groupLingerMs: number;
    /** A topic that was as it should be is looked at again after this. */
    readonly topicRecheckMs: number;
  };
}

/** Undefined: the channel is gone. */
type Requeue = { readonly requeueAfterMs?: number } | undefined;

const ownStatusFields = ['observedGeneration', 'conditions', 'annotations', 'address', 'addresses', 'subscribers', 'deadLetterSinkUri', 'deadLetterSinkCACerts', 'deadLetterSinkAudience'] as const satisfies readonly (keyof ChannelStatus)[];
const ownAnnotations: readonly string[] = [topicAnnotation, kafkaSecretAnnotation, removedSubscribersAnnotation];
/** Something in Kafka was not as it should be: looked at again after this, or by the queue's backoff if a call failed. */
const retryMs = 5_000;

/** What was found to be right in Kafka, so that not every change in Kubernetes asks Kafka again. */
interface CheckedTopic {
  readonly of: string;
  /** Another one when the Secret says something else: it may be another Kafka. */
  readonly admin: Admin;
  /** Until when it counts. */
  readonly untilMs: number;
  readonly state: TopicState;
}

interface ObservedTopic {
  readonly name: string;
  readonly state: TopicState;
  /** Whether what was reported of subscribers is of this very topic. */
  readonly isKnown: boolean;
  /** When to look at it again; counts where it is ready. */
  readonly untilMs: number;
}

export class KafkaChannelReconciler {
  readonly #parts: KafkaChannelReconcilerParts;
  readonly #topics = new Map<string, CheckedTopic>();

  constructor(parts: KafkaChannelReconcilerParts) {
    this.#parts = parts;
  }

  /** @param key `namespace/name` */
  async reconcile(key: string): Promise<Requeue> {
    const { caches, tracker } = this.#parts;
    const object = caches.kafkaChannels.get(key);
    if (object === undefined) {
      this.#topics.delete(key);
      await tracker.track(dependentOf(key), []);
      await this.#deleteDispatcher(key);
      return undefined;
    }
    const channel = toKafkaChannel(object);
    if (isDeleting(object)) return this.#finalize(object, channel);
    if (await this.#claim(object)) return {}; // the change that this made brings us back
    return this.#bringAbout(object, channel);
  }

  async #bringAbout(object: KafkaChannelObject, channel: KafkaChannel): Promise<Requeue> {
    const { api, caches, record, workloads, nowMs } = this.#parts;
    const problems: unknown[] = [];
    let requeueAfterMs: number | undefined;
    const again = (ms: number): void => {
      requeueAfterMs = Math.min(requeueAfterMs ?? Infinity, ms);
    };

    const secrets = caches.kafkaSecrets();
    const choice = this.#chooseSecret(channel);
    const secret = 'name' in choice ? secrets.find(({ metadata }) => metadata.name === choice.name) : undefined;
    const access = secret === undefined ? undefined : await this.#accessOf(secret);
    const admin = access !== undefined && 'admin' in access ? access.admin : undefined;

    const topic = 'name' in choice && access !== undefined ? await this.#observeTopic(channel, choice.name, access, object) : undefined;
    if (topic !== undefined && admin !== undefined) again(topic.state.isReady ? Math.max(0, topic.untilMs - nowMs()) : retryMs);

    const removed = await this.#removeGroups(channel, object, admin, again);
    const subscribers = await this.#readySubscribers(channel, object.status, topic?.state.isReady === true && admin !== undefined ? { ...topic, admin } : undefined, again);

    let service: ObservedChannel['service'];
    if ('name' in choice) {
      const desired = desiredChannelService(channel.metadata, receiverName(choice.name, choice.isDefault), workloads);
      try {
        service = await this.#ensureService(desired, channel.metadata.uid);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        service = { reason: 'ServiceRejected', message: error.message };
        problems.push(error);
      }
    }

    const deployment = caches.deployments.get(`${workloads.systemNamespace}/${dispatcherName(channel.metadata)}`);
    if ('name' in choice) {
      const desired = desiredDispatcher(channel.metadata, { kafkaSecret: choice.name, hasSubscribers: channel.spec.subscribers.length > 0, observed: deployment }, workloads);
      await applyDrifted(api, resourceTypes.deployment, desired, deployment);
    }

    const receiver = 'name' in choice ? caches.deployments.get(`${workloads.systemNamespace}/${receiverName(choice.name, choice.isDefault)}`) : undefined;
    const status = channelStatus(channel, {
      kafka: configurationOf(choice, access),
      topic,
      service,
      url: channelUrl(channel.metadata, workloads.clusterDomain),
      deadLetterSink: await this.#resolveSink(channel),
      subscribers,
      receiver: replicasOf(receiver),
      dispatcher: replicasOf(deployment),
      annotations: removed,
    }, object.status, nowMs());
    await applyStatus(api, resourceTypes.kafkaChannel, object, status, ownStatusFields, withOwnAnnotations);
    const event = readyEvent(object.status?.conditions, status.conditions, { reason: 'KafkaChannelReady', note: 'the channel takes events' });
    if (event !== undefined) record({ regarding: object, action: 'Reconcile', ...event });
    if (problems.length > 0) throw problems[0] as Error;
    return requeueAfterMs === undefined ? {} : { requeueAfterMs };
  }

  #chooseSecret({ metadata }: KafkaChannel): KafkaSecretChoice {
    const { caches, workloads } = this.#parts;
    return chooseKafkaSecret(metadata.annotations, candidatesOf(caches.kafkaSecrets()), workloads.systemNamespace);
  }

  async #accessOf(secret: SecretObject): Promise<KafkaAccess> {
    const access = await this.#parts.kafka.accessOf(secret);
    return 'admin' in access ? { ...access, admin: this.#parts.guardKafka(access.admin) } : access;
  }

  /** A Service of this name may be somebody else's. */
  async #ensureService(desired: DesiredObject, channelUid: string): Promise<'ready' | Problem> {
    const { api, caches } = this.#parts;
    const { name, namespace = '' } = desired.metadata;
    const observed = caches.channelServices.get(`${namespace}/${name}`) ?? (await api.get(resourceTypes.service, { namespace, name }));
    if (observed !== undefined && observed.metadata.ownerReferences?.some(({ uid }) => uid === channelUid) !== true) {
      return { reason: 'ServiceNotOwned', message: `Service ${namespace}/${name} is there already and does not belong to this channel: rename or delete it` };
    }
    await applyDrifted(api, resourceTypes.service, desired, observed);
    return 'ready';
  }

  /** @returns whether the object had to be marked as ours */
  async #claim(object: KafkaChannelObject): Promise<boolean> {
    const { finalizers = [], annotations = {} } = object.metadata;
    const isClaimed = finalizers.includes(channelFinalizer);
    const isMarked = Object.entries(subscribable).every(([name, value]) => annotations[name] === value);
    if (isClaimed && isMarked) return false;
    await patchMetadata(this.#parts.api, resourceTypes.kafkaChannel, object, { finalizers: isClaimed ? finalizers : [...finalizers, channelFinalizer], annotations: subscribable });
    return true;
  }

  /** @returns undefined where our credentials are refused: then there is nobody to ask, and nothing to say about the topic */
  async #observeTopic(channel: KafkaChannel, secret: string, access: KafkaAccess, object: KafkaChannelObject): Promise<ObservedTopic | undefined> {
    // A recorded topic stays, whatever the template says now; one of another Kafka does not count.
    const isRecorded = channel.recorded?.kafkaSecret === undefined || channel.recorded.kafkaSecret === secret;
    if ('admin' in access) return this.#ensureTopic(channel, secret, isRecorded, access.admin, object);
    if (access.of === 'secret') return undefined;
    // Whoever can be reached again wakes all channels: no need to try.
    const { reason, message } = access;
    return { name: (isRecorded ? channel.recorded?.topic : undefined) ?? '', isKnown: isRecorded, untilMs: 0, state: { isReady: false, reason, message } };
  }

  async #ensureTopic(channel: KafkaChannel, secret: string, isRecorded: boolean, admin: Admin, object: KafkaChannelObject): Promise<ObservedTopic> {
    const { caches, nowMs, record, settings, workloads } = this.#parts;
    const key = resourceKey(channel.metadata);
    const template = (): string => readFeatures(caches.configMaps.list().map(parseConfigMap), workloads.systemNamespace).channelsTopicTemplate;
    const named = isRecorded && channel.recorded?.topic !== undefined ? channelTopic(channel) : topicName(channel.metadata, template());
    if ('problem' in named) return { name: '', isKnown: false, untilMs: 0, state: { isReady: false, reason: 'TopicNameInvalid', message: named.problem } };
    const { numPartitions: partitions, replicationFactor, retentionMs } = channel.spec;
    // Offsets that were reported are those of this topic; with one that was deleted, Kafka forgets them.
    const isKnown = channel.recorded?.topic === named.topic && channel.recorded.kafkaSecret === secret;
    const of = JSON.stringify([secret, named.topic, partitions, replicationFactor, retentionMs]);
    const checked = this.#topics.get(key);
    if (checked?.of === of && checked.admin === admin && checked.state.isReady && nowMs() < checked.untilMs) return { name: named.topic, isKnown, ...checked };
    const { state, changes } = await ensureTopic(admin, named.topic, { partitions, replicationFactor, retentionMs });
    for (const { reason, message } of changes) record({ regarding: object, type: 'Normal', reason, note: message, action: 'Reconcile' });
    // Those that were made together are not looked at together for ever.
    const untilMs = nowMs() + settings.topicRecheckMs * (0.8 + 0.4 * Math.random());
    this.#topics.set(key, { of, admin, untilMs, state });
    return { name: named.topic, state, untilMs, isKnown: isKnown && !changes.some(({ reason }) => reason === 'TopicCreated') };
  }

  /** Initial offsets for those that have none yet; what was reported ready has them. */
  async #readySubscribers(channel: KafkaChannel, status: ChannelStatus | undefined, kafka: { readonly name: string; readonly isKnown: boolean; readonly admin: Admin } | undefined, again: (ms: number) => void): Promise<readonly SubscriberStatus[]> {
    const reported = new Map((kafka?.isKnown === false ? [] : (status?.subscribers ?? [])).map((subscriber) => [subscriber.uid, subscriber]));
    const answers: SubscriberStatus[] = [];
    for (const subscriber of channel.spec.subscribers) {
      const { uid, generation } = subscriber;
      const problem = subscriberProblem(subscriber);
      const entry = { uid, observedGeneration: generation };
      if (problem !== undefined) {
        answers.push({ ...entry, ready: 'False', message: problem });
      } else if (reported.get(uid)?.ready === 'True') {
        answers.push({ ...entry, ready: 'True' });
      } else if (kafka === undefined) {
        answers.push({ ...entry, ready: 'Unknown', message: 'waits for the topic of the channel' });
      } else {
        try {
          await kafka.admin.commitInitialOffsets(consumerGroupId(channel.metadata, uid), kafka.name, 'latest');
          answers.push({ ...entry, ready: 'True' });
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          again(retryFastMs);
          answers.push({ ...entry, ready: 'False', message: error.message });
        }
      }
    }
    return answers;
  }

  /**
   * Consumer groups of subscribers that vanished.
   *
   * A subscriber may vanish from the list and be back at once, when two writers overlap; its group, with its offsets, is
   * kept for a while, and for as long as the Subscription exists. The uids are remembered in the status.
   *
   * @returns the annotation that remembers them
   */
  async #removeGroups(channel: KafkaChannel, object: KafkaChannelObject, admin: Admin | undefined, again: (ms: number) => void): Promise<Readonly<Record<string, string>>> {
    const { caches, nowMs, settings } = this.#parts;
    const now = nowMs();
    const pending = removedSubscribers(object.status, channel.spec.subscribers.map(({ uid }) => uid), now);
    const left: RemovedSubscriber[] = [];
    for (const removed of pending) {
      const dueInMs = removed.sinceMs + settings.groupLingerMs - now;
      const isThere = !caches.subscriptions.hasSynced() || caches.subscriptions.list().some(({ metadata }) => metadata.uid === removed.uid && metadata.deletionTimestamp === undefined);
      if (dueInMs > 0 || isThere || admin === undefined) {
        left.push(removed);
        again(dueInMs > 0 ? dueInMs : retryMs);
        continue;
      }
      try {
        await admin.deleteGroup(consumerGroupId(channel.metadata, removed.uid));
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        left.push(removed); // its dispatcher has not left it yet, or Kafka is away
        again(retryFastMs);
      }
    }
    return left.length === 0 ? {} : { [removedSubscribersAnnotation]: JSON.stringify(left) };
  }

  async #resolveSink(channel: KafkaChannel): Promise<ResolvedDestination | undefined> {
    const { tracker, lookups } = this.#parts;
    const sink = channel.spec.delivery?.deadLetterSink;
    const { namespace } = channel.metadata;
    await tracker.track(dependentOf(resourceKey(channel.metadata)), trackable(sink?.ref === undefined ? [] : [sink.ref], namespace));
    return sink === undefined ? undefined : resolveDestination(sink, 'deadLetterSink', namespace, lookups);
  }

  /** Dispatcher, consumer groups, topic, finalizer; what Kafka does not give away in time is left, and said so. */
  async #finalize(object: KafkaChannelObject, channel: KafkaChannel): Promise<Requeue> {
    const { api, caches, log, nowMs, record, settings, tracker } = this.#parts;
    const { finalizers = [], deletionTimestamp = '' } = object.metadata;
    const key = resourceKey(channel.metadata);
    if (!finalizers.includes(channelFinalizer)) return undefined;
    await this.#deleteDispatcher(key);
    const left: string[] = [];
    const reasons: string[] = [];
    // A channel that was eventing-kafka-broker's until now has its topic on record, and no Kafka Secret.
    const choice = this.#chooseSecret(channel);
    const { topic, kafkaSecret = 'name' in choice ? choice.name : undefined } = channel.recorded ?? {};
    if (topic !== undefined && kafkaSecret !== undefined) {
      const secret = caches.kafkaSecrets().find(({ metadata }) => metadata.name === kafkaSecret);
      // What is known of it counts: asking a Kafka that is silent would keep all other channels waiting for its time limits.
      const access = secret === undefined ? { message: `Kafka Secret ${kafkaSecret} is gone` } : await this.#accessOf(secret);
      const uids = new Set([...channel.spec.subscribers, ...(object.status?.subscribers ?? []), ...removedSubscribers(object.status, [], nowMs())].map(({ uid }) => uid));
      const work = [
        ...[...uids].map((uid) => ({ what: `consumer group ${consumerGroupId(channel.metadata, uid)}`, run: (kafkaAdmin: Admin) => kafkaAdmin.deleteGroup(consumerGroupId(channel.metadata, uid)) })),
        { what: `topic ${topic}`, run: (kafkaAdmin: Admin) => kafkaAdmin.deleteTopic(topic) },
      ];
      const isPatient = nowMs() - Date.parse(deletionTimestamp) < settings.deletionPatienceMs;
      for (const { what, run } of work) {
        try {
          if ('message' in access) throw new Fault('KAFKA_UNAVAILABLE', access.message, { retriable: true });
          await run(access.admin);
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          // In this order: a topic must not go while a dispatcher still reads it.
          if (isPatient) return { requeueAfterMs: retryFastMs };
          left.push(what);
          reasons.push(error.message);
        }
      }
      if ('admin' in access) await this.#tellKept(object, access.admin, topic);
    }
    await patchMetadata(api, resourceTypes.kafkaChannel, object, { finalizers: finalizers.filter((name) => name !== channelFinalizer) });
    if (left.length > 0) {
      const note = `left in Kafka: ${left.join(', ')} (${[...new Set(reasons)].join('; ')})`;
      record({ regarding: object, type: 'Warning', reason: 'KafkaObjectsLeft', note, action: 'Delete' });
      log.warn({ channel: key, left, reasons: [...new Set(reasons)] }, 'channel deleted, not all of it in Kafka');
    }
    this.#topics.delete(key);
    await tracker.track(dependentOf(key), []);
    return undefined;
  }

  /** Events that could not be delivered are their owner's: their topic outlives the channel. */
  async #tellKept(object: KafkaChannelObject, admin: Admin, topic: string): Promise<void> {
    const deadLetters = deadLetterTopicName(topic);
    try {
      if ((await admin.describeTopic(deadLetters)) === undefined) return;
      this.#parts.record({ regarding: object, type: 'Normal', reason: 'DeadLetterTopicKept', note: `topic ${deadLetters} keeps events that could not be delivered; delete it when they are not needed`, action: 'Delete' });
    } catch (error) {
      this.#parts.log.debug({ topic: deadLetters, reason: describeError(error) }, 'dead letter topic not looked for');
    }
  }

  async #deleteDispatcher(key: string): Promise<void> {
    const { api, caches, workloads } = this.#parts;
    for (const { metadata } of caches.deployments.list()) {
      if (metadata.annotations?.[channelAnnotation] !== key || metadata.deletionTimestamp !== undefined) continue;
      await api.delete(resourceTypes.deployment, { namespace: workloads.systemNamespace, name: metadata.name });
    }
  }
}

/** Kafka may be ready in a moment: its topic of offsets is being made, a dispatcher is leaving its group. */
const retryFastMs = 500;

/** How the tracker names a channel. */
function dependentOf(key: string): string {
  return `KafkaChannel ${key}`;
}

/** References with everything that the tracker needs; those it cannot follow are refused when they are resolved. */
export function trackable(refs: readonly { readonly apiVersion?: string; readonly kind: string; readonly name: string; readonly namespace?: string }[], namespace: string): readonly ObjectId[] {
  return refs.flatMap(({ apiVersion, kind, name, namespace: own = namespace }) => (apiVersion === undefined || own !== namespace ? [] : [{ apiVersion, kind, namespace, name }]));
}

/** An installation that was eventing-kafka-broker's has more annotations in its status than ours. */
function withOwnAnnotations({ annotations = {}, ...status }: ChannelStatus): ChannelStatus {
  const own = Object.entries(annotations).filter(([name]) => ownAnnotations.includes(name));
  return own.length === 0 ? status : { ...status, annotations: Object.fromEntries(own) };
}

/** What the schema's defaults fill in may be missing from an object that is older than they are. */
function toKafkaChannel(object: KafkaChannelObject): KafkaChannel {
  const { numPartitions = 1, replicationFactor = 1, retentionDuration = 'PT168H', ...rest }: Partial<KafkaChannelManifest['spec']> = object.spec ?? {};
  const { status, apiVersion, kind, metadata } = object;
  return parseKafkaChannel({ apiVersion, kind, metadata, spec: { numPartitions, replicationFactor, retentionDuration, ...rest }, ...(status === undefined ? {} : { status }) }).channel;
}

function subscriberProblem({ subscriberUri, replyUri }: Subscriber): string | undefined {
  return subscriberUri === undefined && replyUri === undefined ? 'has neither subscriberUri nor replyUri' : undefined;
}

/** A Kafka that cannot be reached says nothing about the configuration. */
function configurationOf(choice: KafkaSecretChoice, access: KafkaAccess | undefined): ObservedChannel['kafka'] {
  if ('reason' in choice) return choice;
  if (access === undefined) return { reason: 'KafkaSecretMissing', message: 'the Kafka Secret is gone' };
  return 'of' in access && access.of === 'secret' ? { reason: access.reason, message: access.message } : { secret: choice.name };
}

function replicasOf(deployment: DeploymentObject | undefined): Replicas | undefined {
  return deployment === undefined ? undefined : { wanted: deployment.spec?.replicas ?? 1, available: deployment.status?.availableReplicas ?? 0 };
}
