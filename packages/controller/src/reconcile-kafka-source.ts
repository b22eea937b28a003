/**
 * KafkaSource: sink -> Secrets -> Kafka -> initial offsets -> placement -> status.
 *
 * Always true: a source runs nowhere before its consumer group has an offset in every partition, and a topic that is new
 * to it is read by nobody before the group has offsets in that; offsets are committed once, and never again for the same
 * servers and topics; a source with something wrong in its spec runs nowhere, and its events wait; deletion ends,
 * whatever Kafka does, and keeps a consumer group that somebody named.
 */
import {
  addressIn, Fault, fieldName, isGeneratedConsumerGroup, generatedConsumerGroup, resolveDestination, secretsOf, settledSource, settledBootstrapServersAnnotation, settledConsumerGroupAnnotation, settledTopicsAnnotation, sourceAccess,
  type Destination, type DestinationLookups, type DestinationRole, type KafkaSource, type ResolvedAddress, type ResolvedDestination, type SettledSource,
} from '@knative-kafka/common/core';
import { resourceTypes, type Admin, type KubernetesApi, type Logger } from '@knative-kafka/common/io';
import type { Caches } from './caches.ts';
import type { Problem } from './core/channel-status.ts';
import { desiredSecretAccess, secretAccessName } from './core/desired-secret-access.ts';
import { isDeleting, type KafkaSourceObject, type KafkaSourceStatus } from './core/objects.ts';
import { toKafkaSource } from './core/placed-sources.ts';
import type { Workloads } from './core/pod-template.ts';
import { readyEvent } from './core/ready-event.ts';
import { stillSettled, unsettledTopics } from './core/settled-source.ts';
import { grantedSecretsAnnotation, sourceStatus, type ObservedSource } from './core/source-status.ts';
import { applyDrifted, applyStatus } from './io/apply-drifted.ts';
import type { RecordEvent, RecordedEvent } from './io/event-recorder.ts';
import type { ObjectTracker } from './io/object-tracker.ts';
import type { SecretReader } from './io/secret-reader.ts';
import { lookAgainMs, lookEveryMs, type SourceClusters } from './io/source-clusters.ts';
import type { SourcePlacer } from './place-sources.ts';
import { trackable } from './reconcile-kafka-channel.ts';

const sourceFinalizer = 'kafkasources.sources.knative.dev';

export interface KafkaSourceReconcilerParts {
  readonly api: KubernetesApi;
  readonly caches: Caches;
  readonly clusters: SourceClusters;
  /** Lets only whoever leads change something in a Kafka. */
  readonly guardKafka: (admin: Admin) => Admin;
  readonly secrets: SecretReader;
  readonly placer: SourcePlacer;
  readonly tracker: ObjectTracker;
  readonly lookups: DestinationLookups;
  readonly workloads: Workloads;
  readonly record: RecordEvent;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly settings: {
    /** How long the deletion of a source waits for Kafka. */
    readonly deletionPatienceMs: number;
  };
}

type Requeue = { readonly requeueAfterMs?: number } | undefined;

const ownStatusFields = [
  'observedGeneration', 'conditions', 'annotations', 'sinkUri', 'sinkCACerts', 'sinkAudience', 'deadLetterSinkUri', 'deadLetterSinkCACerts', 'deadLetterSinkAudience',
  'ceAttributes', 'consumers', 'selector', 'placements',
] as const satisfies readonly (keyof KafkaSourceStatus)[];
const ownAnnotations: readonly string[] = [settledTopicsAnnotation, settledBootstrapServersAnnotation, settledConsumerGroupAnnotation, grantedSecretsAnnotation];

/** Members are about to leave the group. */
const retryFastMs = 500;
/** How long a source stands still so that its own members leave the group; longer than a member that was killed is waited for. */
const emptyGroupPatienceMs = 120_000;
/** What was granted is looked at again after this: nobody watches Roles. */
const grantRecheckMs = 600_000;

/** Since when a source stands still for topics that are new to its group. */
interface Standstill {
  readonly generation: number;
  readonly sinceMs: number;
}

/** What became of the initial offsets; `standsStill`: the members of the source have to leave its group first. */
type Settling = Pick<ObservedSource, 'settled' | 'offsets'> & { readonly standsStill?: boolean };

export class KafkaSourceReconciler {
  readonly #parts: KafkaSourceReconcilerParts;
  readonly #standstills = new Map<string, Standstill>();
  /** What was granted to whom, and until when it need not be looked at. */
  readonly #grants = new Map<string, { readonly of: string; readonly untilMs: number }>();

  constructor(parts: KafkaSourceReconcilerParts) {
    this.#parts = parts;
  }

  /** @param key `namespace/name` */
  async reconcile(key: string): Promise<Requeue> {
    const object = this.#parts.caches.kafkaSources.get(key);
    if (object === undefined) {
      await this.#forget(key);
      return undefined;
    }
    if (isDeleting(object)) return this.#finalize(key, object);
    if (await this.#claim(object)) return {}; // the change that this made brings us back
    return this.#bringAbout(key, object);
  }

  async #bringAbout(key: string, object: KafkaSourceObject): Promise<Requeue> {
    const { api, nowMs, placer, record } = this.#parts;
    const { source, problems } = toKafkaSource(object);
    const invalid = problems.length === 0 ? undefined : problems.map(({ path, message }) => `${fieldName(path)}: ${message}`).join('; ');
    const { sink, deadLetterSink } = await this.#resolveSinks(key, object, source);
    const grant = await this.#grantSecrets(key, object, source);
    const connection = await this.#connect(key, source);
    const isDelivering = invalid === undefined && !('error' in sink) && (deadLetterSink === undefined || !('error' in deadLetterSink));
    const { settled, offsets, standsStill = false } = await this.#settle(key, object, source, 'admin' in connection ? connection.admin : undefined, isDelivering);
    // Only for as long as that is all that is missing.
    placer.withhold(key, standsStill);
    const status = sourceStatus(source, {
      invalid, sink, deadLetterSink, settled, offsets,
      kafka: grant.problem ?? ('admin' in connection ? 'ready' : connection.problem),
      placed: placer.placedSource(object),
      podsProblem: placer.podsProblem,
      grantedSecrets: grant.secrets,
    }, object.status, nowMs());
    await applyStatus(api, resourceTypes.kafkaSource, object, status, ownStatusFields, withOwnAnnotations);
    const event = readyEvent(object.status?.conditions, status.conditions, { reason: 'KafkaSourceReady', note: 'events are delivered' });
    if (event !== undefined) record({ regarding: object, action: 'Reconcile', ...event });
    if (grant.error !== undefined) throw grant.error;
    const isWell = 'admin' in connection && offsets === 'ready';
    if (standsStill) return { requeueAfterMs: retryFastMs };
    return { requeueAfterMs: isWell ? lookEveryMs * (0.8 + 0.4 * Math.random()) : lookAgainMs };
  }

  /** @returns whether the object had to be marked as ours, or given the name of its consumer group */
  async #claim({ metadata, spec, status }: KafkaSourceObject): Promise<boolean> {
    const { name, namespace = '', uid = '', resourceVersion, finalizers = [] } = metadata;
    const isClaimed = finalizers.includes(sourceFinalizer);
    const hasGroup = spec?.consumerGroup !== undefined && spec.consumerGroup !== '';
    if (isClaimed && hasGroup) return false;
    await this.#parts.api.mergePatch(resourceTypes.kafkaSource, { namespace, name }, {
      metadata: { resourceVersion, finalizers: isClaimed ? finalizers : [...finalizers, sourceFinalizer] },
      ...(hasGroup ? {} : { spec: { consumerGroup: status?.annotations?.[settledConsumerGroupAnnotation] ?? generatedConsumerGroup(uid) } }),
    });
    return true;
  }

  async #resolveSinks(key: string, object: KafkaSourceObject, { spec, metadata: { namespace } }: KafkaSource): Promise<{ readonly sink: ResolvedDestination; readonly deadLetterSink: ResolvedDestination | undefined }> {
    const deadLetterSink = spec.delivery?.deadLetterSink;
    const refs = [spec.sink.ref, deadLetterSink?.ref].filter((ref) => ref !== undefined);
    await this.#parts.tracker.track(dependentOf(key), trackable(refs, namespace));
    return {
      sink: this.#resolve(spec.sink, 'sink', object, addressIn(object.status, 'sink')),
      deadLetterSink: deadLetterSink === undefined ? undefined : this.#resolve(deadLetterSink, 'deadLetterSink', object, addressIn(object.status, 'deadLetterSink')),
    };
  }

  /** @param previous what it was resolved to before: holds while nobody can tell, because an API server that is slow must not pause a source */
  #resolve(destination: Destination, role: DestinationRole, { metadata, status }: KafkaSourceObject, previous: ResolvedAddress | undefined): ResolvedDestination {
    const { lookups, tracker } = this.#parts;
    const { namespace = '', generation } = metadata;
    const resolved = resolveDestination(destination, role, namespace, lookups);
    if (!('error' in resolved) || previous === undefined || status?.observedGeneration !== generation) return resolved;
    const isInDoubt = trackable(destination.ref === undefined ? [] : [destination.ref], namespace).some((ref) => {
      const tracked = tracker.find(ref);
      return 'unknown' in tracked && !tracked.unknown.startsWith('the cluster has no kind');
    });
    return isInDoubt ? previous : resolved;
  }

  /** Lets the dispatchers read the Secrets of the source, and those alone. */
  async #grantSecrets(key: string, object: KafkaSourceObject, source: KafkaSource): Promise<{ readonly secrets: readonly string[]; readonly problem?: Problem; readonly error?: Fault }> {
    const { api, nowMs, workloads } = this.#parts;
    const secrets = secretsOf(source);
    if (secrets.length === 0) {
      if (grantedTo(object).length > 0) await this.#revokeSecrets(source);
      this.#grants.delete(key);
      return { secrets };
    }
    const of = JSON.stringify([source.metadata.uid, secrets]);
    const granted = this.#grants.get(key);
    if (granted?.of === of && nowMs() < granted.untilMs) return { secrets };
    try {
      const { role, roleBinding } = desiredSecretAccess(source.metadata, secrets, workloads);
      const name = { namespace: source.metadata.namespace, name: secretAccessName(source.metadata) };
      await applyDrifted(api, resourceTypes.role, role, await api.get(resourceTypes.role, name));
      await applyDrifted(api, resourceTypes.roleBinding, roleBinding, await api.get(resourceTypes.roleBinding, name));
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'KUBERNETES_REFUSED') throw error;
      return { secrets: grantedTo(object), error, problem: { reason: 'SecretAccessRejected', message: `the dispatchers cannot be allowed to read ${secrets.map((secret) => `Secret ${secret}`).join(', ')}: ${error.message}` } };
    }
    this.#grants.set(key, { of, untilMs: nowMs() + grantRecheckMs * (0.8 + 0.4 * Math.random()) });
    return { secrets };
  }

  async #revokeSecrets({ metadata }: KafkaSource): Promise<void> {
    const name = { namespace: metadata.namespace, name: secretAccessName(metadata) };
    for (const type of [resourceTypes.roleBinding, resourceTypes.role]) await this.#parts.api.delete(type, name);
  }

  /** @returns who to ask; else why nobody can be, or undefined while nobody knows */
  async #connect(key: string, source: KafkaSource): Promise<{ readonly admin: Admin } | { readonly problem: Problem | undefined }> {
    const { clusters, guardKafka, secrets } = this.#parts;
    const { namespace } = source.metadata;
    const names = secretsOf(source);
    const found = new Map(await Promise.all(names.map(async (name) => [name, await secrets.read({ namespace, name })] as const)));
    const read = sourceAccess(source, (name) => found.get(name));
    if ('problems' in read) {
      clusters.forget(key);
      return { problem: { reason: 'KafkaAccessInvalid', message: read.problems.map(({ path, message }) => `${fieldName(path)}: ${message}`).join('; ') } };
    }
    const access = clusters.accessOf(key, read.access);
    if (access === undefined) return { problem: undefined };
    return 'admin' in access ? { admin: guardKafka(access.admin) } : { problem: { reason: access.reason, message: access.message } };
  }

  /** Initial offsets for what is new to the group. */
  async #settle(key: string, { status }: KafkaSourceObject, source: KafkaSource, admin: Admin | undefined, isDelivering: boolean): Promise<Settling> {
    const { bootstrapServers, topics, consumerGroup, initialOffset } = source.spec;
    const spec: SettledSource = { bootstrapServers, topics };
    const before = settledSource(status?.annotations);
    const unsettled = unsettledTopics(spec, before);
    if (unsettled.length === 0) {
      this.#standstills.delete(key);
      return { settled: spec, offsets: 'ready' };
    }
    const settled = stillSettled(spec, before);
    // "latest" is where the log ends when the source becomes ready, not when somebody began to write its manifest.
    if (!isDelivering) return { settled, offsets: { isPending: true, reason: 'SinkPending', message: 'where to begin is settled once there is a sink, and nothing is wrong with the spec' } };
    if (admin === undefined) return { settled, offsets: undefined };
    try {
      const known = new Set(await admin.listTopics());
      const missing = unsettled.filter((topic) => !known.has(topic));
      if (missing.length > 0) return { settled, offsets: topicMissing(missing) };
      for (const topic of unsettled) await admin.commitInitialOffsets(consumerGroup, topic, initialOffset);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { settled, ...this.#unsettledBecause(error, key, source, before !== undefined) };
    }
    this.#standstills.delete(key);
    return { settled: spec, offsets: 'ready' };
  }

  #unsettledBecause(error: Fault, key: string, source: KafkaSource, isRunning: boolean): Pick<Settling, 'offsets' | 'standsStill'> {
    const { message } = error;
    if (error.code === 'TOPIC_MISSING') return { offsets: { reason: 'TopicMissing', message } };
    if (error.code !== 'KAFKA_REFUSED') return { offsets: { isPending: true, reason: 'KafkaUnavailable', message } };
    if (!error.retriable) return { offsets: { reason: 'OffsetsRefused', message } };
    if (isRunning && this.#mayStandStill(key, source)) {
      return { standsStill: true, offsets: { isPending: true, reason: 'MembersLeaveFirst', message: `all members leave consumer group ${source.spec.consumerGroup} for a moment, because Kafka takes offsets for other topics only then` } };
    }
    return { offsets: { reason: 'GroupInUse', message: `consumer group ${source.spec.consumerGroup} has members that are not of this source, and offsets are missing in it: ${message}` } };
  }

  /** @returns false when that has been tried for long enough, for this spec: the members are somebody else's */
  #mayStandStill(key: string, { metadata: { generation } }: KafkaSource): boolean {
    const { nowMs } = this.#parts;
    const known = this.#standstills.get(key);
    const standstill = known?.generation === generation ? known : { generation, sinceMs: nowMs() };
    this.#standstills.set(key, standstill);
    return nowMs() - standstill.sinceMs < emptyGroupPatienceMs;
  }

  /** Consumer group, what was granted, finalizer. The dispatchers have left the group: they do not serve what is being deleted. */
  async #finalize(key: string, object: KafkaSourceObject): Promise<Requeue> {
    const { api, log, nowMs, record, settings } = this.#parts;
    const { name, namespace = '', finalizers = [], deletionTimestamp = '', resourceVersion } = object.metadata;
    if (!finalizers.includes(sourceFinalizer)) return undefined;
    const { source } = toKafkaSource(object);
    const group = object.spec?.consumerGroup ?? '';
    const settled = settledSource(object.status?.annotations);
    let told: Omit<RecordedEvent, 'regarding' | 'action'> | undefined;
    // Without offsets there is no group.
    if (settled !== undefined && isGeneratedConsumerGroup(group)) {
      const reason = await this.#deleteGroup(key, { ...source, spec: { ...source.spec, bootstrapServers: settled.bootstrapServers } });
      if (reason !== undefined) {
        if (nowMs() - Date.parse(deletionTimestamp) < settings.deletionPatienceMs) return { requeueAfterMs: retryFastMs };
        told = { type: 'Warning', reason: 'KafkaObjectsLeft', note: `left in Kafka: consumer group ${group} (${reason})` };
      }
    } else if (settled !== undefined) {
      told = { type: 'Normal', reason: 'ConsumerGroupKept', note: `consumer group ${group} was named in the spec and is kept, with its offsets` };
    }
    if (grantedTo(object).length > 0 || secretsOf(source).length > 0) await this.#revokeSecrets(source);
    await api.mergePatch(resourceTypes.kafkaSource, { namespace, name }, { metadata: { resourceVersion, finalizers: finalizers.filter((each) => each !== sourceFinalizer) } });
    if (told !== undefined) record({ regarding: object, action: 'Delete', ...told });
    if (told?.type === 'Warning') log.warn({ source: key, reason: told.note }, 'source deleted, its consumer group is left in Kafka');
    await this.#forget(key);
    return undefined;
  }

  /** @returns why it is still there; undefined when it is gone */
  async #deleteGroup(key: string, source: KafkaSource): Promise<string | undefined> {
    const connection = await this.#connect(key, source);
    if (!('admin' in connection)) return connection.problem?.message ?? 'Kafka has not answered yet';
    try {
      await connection.admin.deleteGroup(source.spec.consumerGroup);
      return undefined;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return error.message;
    }
  }

  async #forget(key: string): Promise<void> {
    const { clusters, placer, tracker } = this.#parts;
    clusters.forget(key);
    this.#grants.delete(key);
    this.#standstills.delete(key);
    placer.withhold(key, false);
    await tracker.track(dependentOf(key), []);
  }
}

/** How the tracker names a KafkaSource. */
function dependentOf(key: string): string {
  return `KafkaSource ${key}`;
}

function topicMissing(topics: readonly string[]): Problem {
  return { reason: 'TopicMissing', message: topics.length === 1 ? `topic ${topics[0]!} does not exist` : `topics ${topics.join(', ')} do not exist` };
}

/** Secrets to which access was granted, by the status. */
function grantedTo({ status }: KafkaSourceObject): readonly string[] {
  const granted = status?.annotations?.[grantedSecretsAnnotation];
  return granted === undefined ? [] : granted.split(',');
}

/** An installation that was eventing-kafka-broker's may have more annotations in its status than ours. */
function withOwnAnnotations({ annotations = {}, ...status }: KafkaSourceStatus): KafkaSourceStatus {
  const own = Object.entries(annotations).filter(([name]) => ownAnnotations.includes(name));
  return own.length === 0 ? status : { ...status, annotations: Object.fromEntries(own) };
}
