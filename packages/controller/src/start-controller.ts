/**
 * The controller as one thing that starts and stops: caches, one loop per kind of resource, and who wakes whom.
 *
 * Always true: caches are warm in every controller, and only the one that leads writes. One that loses the lead, because
 * the API server is away, goes on as a candidate: nothing has to start again when it is back.
 */
import { hostname } from 'node:os';
import { loggingConfigMap, parseConfigMap, resourceKey, type DestinationLookups, type KubernetesMeta } from '@knative-kafka/common/core';
import { Counter, logLevelFollower, objectKey, resourceTypes, type Admin, type Informer, type InformerChange, type KubernetesApi, type KubernetesObject, type Logger, type Registry } from '@knative-kafka/common/io';
import { startCaches } from './caches.ts';
import type { ControllerConfig } from './config.ts';
import { channelAnnotation } from './core/desired-dispatcher.ts';
import { secretAnnotation } from './core/desired-receiver.ts';
import { addressesOf, type TrackedObject } from './core/objects.ts';
import { wantedVreplicas } from './core/placed-sources.ts';
import type { Workloads } from './core/pod-template.ts';
import { startControllerLoop, type ControllerLoop } from './io/controller-loop.ts';
import { createEventRecorder } from './io/event-recorder.ts';
import { watchEventing } from './io/eventing-presence.ts';
import { KafkaClusters } from './io/kafka-clusters.ts';
import { startLeaderElection } from './io/leader-election.ts';
import { createObjectTracker, type ObjectTracker } from './io/object-tracker.ts';
import { SecretReader } from './io/secret-reader.ts';
import { SourceClusters } from './io/source-clusters.ts';
import { createSourceMetrics } from './io/source-metrics.ts';
import { SourcePlacer } from './place-sources.ts';
import { ChannelReconciler } from './reconcile-channel.ts';
import { KafkaChannelReconciler } from './reconcile-kafka-channel.ts';
import { createKafkaSecretReconciler } from './reconcile-kafka-secret.ts';
import { KafkaSourceReconciler } from './reconcile-kafka-source.ts';
import { SubscriptionReconciler } from './reconcile-subscription.ts';

export interface ControllerParts {
  readonly api: KubernetesApi;
  /** For the Lease alone, so that renewing it waits for nothing else. */
  readonly leaseApi: KubernetesApi;
  /** For Events alone, so that what somebody waits for does not wait for them. */
  readonly eventApi: KubernetesApi;
  readonly registry: Registry;
  readonly log: Logger;
}

export interface RunningController {
  /** Why it is not ready; nothing when its caches are warm, whether it leads or waits. */
  notReady(): readonly string[];
  /** Finishes what is under way and gives the lead away. */
  stop(): Promise<void>;
}

/**
 * One candidacy: from waiting for the lead to its end. What was begun under a lead that is lost can write nothing any
 * more, however long it takes; the next candidacy begins when it has come to rest.
 */
interface Term {
  readonly loops: Readonly<Record<ReconciledKind, ControllerLoop>>;
  readonly placement: ControllerLoop;
  stop(): Promise<void>;
}

type ReconciledKind = 'KafkaSecret' | 'KafkaChannel' | 'Subscription' | 'Channel' | 'KafkaSource';

/** The key of the only thing that the loop of placement works on. */
const allSources = 'all';
/** Changes that come together are one reason to place anew. */
const placeAfterMs = 20;

const serviceType = { apiVersion: 'v1', kind: 'Service' } as const;

export function startController(config: ControllerConfig, { api, leaseApi, eventApi, registry, log }: ControllerParts): RunningController {
  const { systemNamespace } = config;
  const workloads: Workloads = {
    systemNamespace,
    clusterDomain: config.clusterDomain,
    receiverImage: config.receiverImage,
    dispatcherImage: config.dispatcherImage,
    imagePullPolicy: config.imagePullPolicy,
    receiverServiceAccount: config.receiverServiceAccount,
    dispatcherServiceAccount: config.dispatcherServiceAccount,
    sourceDispatcherServiceAccount: config.sourceDispatcherServiceAccount,
    logLevel: config.dataPlaneLogLevel,
    receiverPod: config.receiverPod,
    dispatcherPod: config.dispatcherPod,
    sourceDispatcherPod: config.sourceDispatcherPod,
  };
  const identity = config.podName ?? `${hostname()}_${process.pid}`;
  const recorder = createEventRecorder({ api: eventApi, reportingController: 'kafka-controller', reportingInstance: identity, log });
  const { record } = recorder;
  const caches = startCaches(api, { systemNamespace, log });
  const timeouts = { requestTimeoutMs: config.kafkaRequestTimeoutMs, connectTimeoutMs: config.kafkaConnectTimeoutMs };
  const kafka = new KafkaClusters({ ...timeouts, log, onChange: () => enqueueChannels() });
  const clusters = new SourceClusters({ ...timeouts, log, onChange: (sources) => enqueue('KafkaSource', ...sources) });
  const sourceMetrics = createSourceMetrics(registry, caches.kafkaSources);
  const eventing = watchEventing({
    api,
    namespace: config.eventingNamespace,
    nowMs: Date.now,
    log,
    onChange: () => {
      const reason = eventing.reason();
      if (reason === undefined) log.info({}, 'Subscriptions and Channels are reconciled here');
      else log.info({ reason }, 'Subscriptions and Channels are left to Knative Eventing');
      enqueueAll();
    },
  });
  const tracker = createObjectTracker({
    api,
    known: [
      { type: resourceTypes.kafkaChannel, informer: caches.kafkaChannels as Informer<TrackedObject> },
      { type: resourceTypes.channel, informer: caches.channels },
    ],
    customResourceDefinitions: caches.customResourceDefinitions,
    onChange: (dependent) => {
      const [kind, key = ''] = dependent.split(' ');
      enqueue(kind as ReconciledKind, key);
    },
  });
  const lookups = lookupsOf(tracker, config.clusterDomain);

  countRequests(registry, [api, leaseApi, eventApi]);

  let isStopped = false;
  let term: Term | undefined;
  const enqueue = (kind: ReconciledKind, ...keys: readonly string[]): void => {
    for (const key of keys) term?.loops[kind].enqueue(key);
  };

  let placing: NodeJS.Timeout | undefined;
  const schedulePlacement = (): void => {
    placing ??= setTimeout(() => {
      placing = undefined;
      term?.placement.enqueue(allSources);
    }, placeAfterMs);
  };

  const startTerm = (): Term => {
    const election = startLeaderElection({
      api: leaseApi,
      namespace: systemNamespace,
      name: 'kafka-controller',
      identity,
      leaseDurationMs: config.leaseDurationMs,
      log,
      onStarted: () => enqueueAll(),
      onLost: () => void renew(),
    });
    const parts = { api: election.guard(api), guardKafka: (admin: Admin) => election.guardKafka(admin), caches, tracker, lookups, record, nowMs: Date.now };
    const isOurs = (): boolean => eventing.isPresent() === false;
    const loop = (name: string, reconcile: (key: string) => Promise<{ readonly requeueAfterMs?: number } | undefined>, isActive = (): boolean => true): ControllerLoop =>
      startControllerLoop({ name, workers: config.workers, isLeading: () => election.isLeading() && caches.missing().length === 0 && isActive(), log, registry, reconcile });
    const kafkaChannels = new KafkaChannelReconciler({ ...parts, kafka, workloads, log, settings: config });
    const subscriptions = new SubscriptionReconciler({ ...parts, settings: config });
    const channels = new ChannelReconciler({ ...parts, systemNamespace });
    const placer = new SourcePlacer({
      ...parts, workloads, metrics: sourceMetrics, settings: config, onWanted: schedulePlacement,
      onPlaced: (sources) => enqueue('KafkaSource', ...sources),
    });
    const sources = new KafkaSourceReconciler({ ...parts, clusters, secrets: new SecretReader(parts.api), placer, workloads, log, settings: config });
    const loops = {
      KafkaSecret: loop('kafka-secret', createKafkaSecretReconciler({ ...parts, kafka, workloads })),
      KafkaChannel: loop('kafka-channel', (key) => kafkaChannels.reconcile(key)),
      Subscription: loop('subscription', (key) => subscriptions.reconcile(key), isOurs),
      Channel: loop('channel', (key) => channels.reconcile(key), isOurs),
      // Whoever comes before it is decided where they run is told of that decision, and comes again.
      KafkaSource: loop('kafka-source', (key) => sources.reconcile(key), () => placer.hasDecided),
    };
    const placement = loop('source-placement', () => placer.place(), () => caches.hasSyncedSources());
    return {
      loops,
      placement,
      stop: async () => {
        await Promise.all([...Object.values(loops), placement].map((each) => each.stop()));
        sourceMetrics.lost();
        await election.stop();
      },
    };
  };
  const renew = async (): Promise<void> => {
    await term?.stop();
    if (!isStopped) term = startTerm();
  };

  const enqueueSecrets = (): void => enqueue('KafkaSecret', ...caches.kafkaSecrets().map(({ metadata }) => metadata.name));
  const enqueueChannels = (): void => enqueue('KafkaChannel', ...keysOf(caches.kafkaChannels));
  const enqueueSources = (): void => {
    enqueue('KafkaSource', ...keysOf(caches.kafkaSources));
    schedulePlacement();
  };
  const enqueueAll = (): void => {
    enqueueSecrets();
    enqueueChannels();
    enqueue('Subscription', ...keysOf(caches.subscriptions));
    enqueue('Channel', ...keysOf(caches.channels));
    enqueueSources();
    // What belongs to channels and Secrets that went while nobody looked.
    for (const { metadata } of [...caches.deployments.list(), ...caches.receiverServices.list()]) wakeOwner(metadata);
  };
  const wakeOwner = ({ annotations }: KubernetesMeta): void => {
    const channel = annotations?.[channelAnnotation];
    const secret = annotations?.[secretAnnotation];
    if (channel !== undefined) enqueue('KafkaChannel', channel);
    if (secret !== undefined) enqueue('KafkaSecret', secret);
  };
  const wakeAfter = ({ before, after }: InformerChange<KubernetesObject>): void => {
    for (const object of [before, after]) if (object !== undefined) wakeOwner(object.metadata);
  };

  const loggingKey = resourceKey({ namespace: systemNamespace, name: loggingConfigMap });
  const followLogLevel = logLevelFollower({ service: 'controller', startLevel: config.logLevel, systemNamespace, log });
  // From the first moment on: that other things cannot be read may be just what somebody wants to see more of.
  caches.configMaps.onChange(({ key, after }) => {
    if (key === loggingKey) followLogLevel(after === undefined ? [] : [parseConfigMap(after)]);
  });

  // Nobody else listens before all is read: what is missing from a cache until then may be there.
  void caches.synced().then(() => {
    if (isStopped) return;
    caches.kafkaChannels.onChange(({ key }) => enqueue('KafkaChannel', key));
    caches.deployments.onChange((change) => {
      wakeAfter(change);
      // The channels of a receiver tell of its pods.
      if ((change.after ?? change.before)?.metadata.annotations?.[secretAnnotation] !== undefined) enqueueChannels();
    });
    caches.receiverServices.onChange(wakeAfter);
    caches.channelServices.onChange(({ before, after }) => {
      const { namespace = '', ownerReferences = [] } = (after ?? before)?.metadata ?? { name: '' };
      for (const { kind, name } of ownerReferences) if (kind === 'KafkaChannel') enqueue('KafkaChannel', resourceKey({ namespace, name }));
    });
    caches.onKafkaSecretChange((name) => {
      enqueue('KafkaSecret', name);
      // Which one is the default may have changed, for all of them.
      enqueueSecrets();
      enqueueChannels();
    });
    caches.configMaps.onChange(({ key }) => {
      if (key === loggingKey) return; // no channel depends on it
      enqueueChannels();
      enqueue('Channel', ...keysOf(caches.channels));
    });
    caches.subscriptions.onChange(({ key }) => enqueue('Subscription', key));
    caches.channels.onChange(({ key }) => enqueue('Channel', key));
    log.info({ channels: caches.kafkaChannels.list().length, subscriptions: caches.subscriptions.list().length }, 'caches are warm');
    enqueueAll();
  });
  void caches.syncedSources().then(() => {
    if (isStopped) return;
    caches.kafkaSources.onChange(({ key, before, after }) => {
      enqueue('KafkaSource', key);
      if (before === undefined || after === undefined || wantedVreplicas(before) !== wantedVreplicas(after)) schedulePlacement();
    });
    caches.sourcePods.onChange(schedulePlacement);
    caches.statefulSets.onChange(schedulePlacement);
    log.info({ sources: caches.kafkaSources.list().length }, 'KafkaSources are read');
    enqueueSources();
  });
  term = startTerm();

  return {
    notReady: () => caches.missing(),
    stop: async () => {
      isStopped = true;
      clearTimeout(placing);
      await term?.stop();
      await recorder.close();
      tracker.close();
      eventing.close();
      caches.close();
      kafka.close();
      clusters.close();
    },
  };
}

function countRequests(registry: Registry, apis: readonly KubernetesApi[]): void {
  new Counter({
    name: 'knative_kafka_kubernetes_requests_total',
    help: 'Requests to the API server, watches included.',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(apis.reduce((sum, each) => sum + each.requestCount(), 0));
    },
  });
}

function keysOf(informer: Informer<KubernetesObject>): readonly string[] {
  return informer.list().map(({ metadata }) => objectKey(metadata));
}

/** Destinations are looked up among what the tracker watches. */
function lookupsOf(tracker: ObjectTracker, clusterDomain: string): DestinationLookups {
  return {
    clusterDomain,
    hasService: (namespace, name) => 'object' in tracker.find({ ...serviceType, namespace, name }),
    addresses: (object) => {
      const tracked = tracker.find(object);
      if ('object' in tracked) return addressesOf(tracked.object);
      return { problem: 'missing' in tracked ? tracked.missing : tracked.unknown };
    },
  };
}
