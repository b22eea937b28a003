/**
 * The controller as one thing that starts and stops: caches, one loop per kind of resource, and who wakes whom.
 *
 * Always true: caches are warm in every controller, and only the one that leads writes.
 */
import { hostname } from 'node:os';
import { resourceKey, type DestinationLookups } from '@knative-kafka/common/core';
import { Counter, objectKey, resourceTypes, type Informer, type InformerChange, type KubernetesApi, type KubernetesObject, type Logger, type Registry } from '@knative-kafka/common/io';
import { startCaches } from './caches.ts';
import type { ControllerConfig } from './config.ts';
import { channelAnnotation } from './core/desired-dispatcher.ts';
import { secretAnnotation } from './core/desired-receiver.ts';
import { addressesOf, type TrackedObject } from './core/objects.ts';
import type { Workloads } from './core/pod-template.ts';
import { startControllerLoop, type ControllerLoop } from './io/controller-loop.ts';
import { createEventRecorder } from './io/event-recorder.ts';
import { watchEventing } from './io/eventing-presence.ts';
import { KafkaClusters } from './io/kafka-clusters.ts';
import { startLeaderElection } from './io/leader-election.ts';
import { createObjectTracker, type ObjectTracker } from './io/object-tracker.ts';
import { ChannelReconciler } from './reconcile-channel.ts';
import { KafkaChannelReconciler } from './reconcile-kafka-channel.ts';
import { createKafkaSecretReconciler } from './reconcile-kafka-secret.ts';
import { SubscriptionReconciler } from './reconcile-subscription.ts';

export interface ControllerParts {
  readonly api: KubernetesApi;
  readonly registry: Registry;
  readonly log: Logger;
  /** The lead is lost, and with it the right to write: the process had better end. */
  readonly onLost: () => void;
}

export interface RunningController {
  /** Why it is not ready; nothing when its caches are warm, whether it leads or waits. */
  notReady(): readonly string[];
  /** Finishes what is under way and gives the lead away. */
  stop(): Promise<void>;
}

const serviceType = { apiVersion: 'v1', kind: 'Service' } as const;

export function startController(config: ControllerConfig, { api, registry, log, onLost }: ControllerParts): RunningController {
  const { systemNamespace } = config;
  const workloads: Workloads = {
    systemNamespace,
    clusterDomain: config.clusterDomain,
    receiverImage: config.receiverImage,
    dispatcherImage: config.dispatcherImage,
    imagePullPolicy: config.imagePullPolicy,
    receiverServiceAccount: config.receiverServiceAccount,
    dispatcherServiceAccount: config.dispatcherServiceAccount,
    logLevel: config.dataPlaneLogLevel,
  };
  const identity = config.podName ?? `${hostname()}_${process.pid}`;
  const election = startLeaderElection({
    api,
    namespace: systemNamespace,
    name: 'kafka-controller',
    identity,
    leaseDurationMs: config.leaseDurationMs,
    log,
    onStarted: () => enqueueAll(),
    onLost,
  });
  const guarded = election.guard(api);
  const recorder = createEventRecorder({ api: guarded, reportingController: 'kafka-controller', reportingInstance: identity, log });
  const record = recorder.record;
  registerRequests(api, registry);
  const caches = startCaches(api, { systemNamespace, log });
  const kafka = new KafkaClusters({ requestTimeoutMs: config.kafkaRequestTimeoutMs, connectTimeoutMs: config.kafkaConnectTimeoutMs, log });
  const eventing = watchEventing({
    api,
    namespace: config.eventingNamespace,
    nowMs: Date.now,
    onChange: () => {
      const reason = eventing.reason();
      if (reason === undefined) log.info({}, 'Subscriptions and Channels are reconciled here');
      else log.info({ reason }, 'Subscriptions and Channels are left to Knative Eventing');
      enqueueAll();
    },
  });
  const isLeading = (): boolean => election.isLeading();
  const isOurs = (): boolean => eventing.isPresent() === false;

  const tracker = createObjectTracker({
    api,
    known: [
      { type: resourceTypes.kafkaChannel, informer: caches.kafkaChannels as Informer<TrackedObject> },
      { type: resourceTypes.channel, informer: caches.channels },
    ],
    customResourceDefinitions: caches.customResourceDefinitions,
    onChange: (dependent) => {
      const [kind = '', key = ''] = dependent.split(' ');
      byKind[kind]?.enqueue(key);
    },
  });
  const lookups = lookupsOf(tracker, config.clusterDomain);

  const loop = (name: string, reconcile: (key: string) => Promise<{ readonly requeueAfterMs?: number } | undefined>, isActive = (): boolean => true): ControllerLoop =>
    startControllerLoop({ name, workers: config.workers, isLeading: () => isLeading() && isActive(), log, registry, reconcile });
  const nowMs = Date.now;
  const kafkaChannels = new KafkaChannelReconciler({ api: guarded, caches, kafka, tracker, lookups, workloads, record, log, nowMs, settings: config });
  const subscriptions = new SubscriptionReconciler({ api: guarded, caches, tracker, lookups, record, nowMs });
  const channels = new ChannelReconciler({ api: guarded, caches, tracker, lookups, record, systemNamespace, nowMs });
  const byKind: Readonly<Record<string, ControllerLoop>> = {
    KafkaSecret: loop('kafka-secret', createKafkaSecretReconciler({ api: guarded, caches, kafka, workloads, record })),
    KafkaChannel: loop('kafka-channel', (key) => kafkaChannels.reconcile(key)),
    Subscription: loop('subscription', (key) => subscriptions.reconcile(key), isOurs),
    Channel: loop('channel', (key) => channels.reconcile(key), isOurs),
  };

  const enqueueAll = (): void => {
    enqueueEach(byKind['KafkaSecret'], caches.kafkaSecrets().map(({ metadata }) => metadata.name));
    enqueueEach(byKind['KafkaChannel'], keysOf(caches.kafkaChannels));
    enqueueEach(byKind['Subscription'], keysOf(caches.subscriptions));
    enqueueEach(byKind['Channel'], keysOf(caches.channels));
    // What belongs to channels and Secrets that went while nobody looked.
    for (const { metadata } of caches.deployments.list()) wakeOwner(metadata);
    for (const { metadata } of caches.receiverServices.list()) wakeOwner(metadata);
  };
  const wakeOwner = ({ annotations }: KubernetesObject['metadata']): void => {
    const channel = annotations?.[channelAnnotation];
    const secret = annotations?.[secretAnnotation];
    if (channel !== undefined) byKind['KafkaChannel']?.enqueue(channel);
    if (secret === undefined) return;
    byKind['KafkaSecret']?.enqueue(secret);
    enqueueEach(byKind['KafkaChannel'], keysOf(caches.kafkaChannels)); // their conditions tell of the receiver's pods
  };
  const wakeAfter = ({ before, after }: InformerChange<KubernetesObject>): void => {
    for (const object of [before, after]) if (object !== undefined) wakeOwner(object.metadata);
  };

  void caches.synced().then(() => {
    // Before that, what is missing from a cache may be there: nothing is decided on it.
    caches.kafkaChannels.onChange(({ key }) => byKind['KafkaChannel']?.enqueue(key));
    caches.deployments.onChange(wakeAfter);
    caches.receiverServices.onChange(wakeAfter);
    caches.channelServices.onChange(({ before, after }) => {
      for (const { kind, name } of (after ?? before)?.metadata.ownerReferences ?? []) {
        if (kind === 'KafkaChannel') byKind['KafkaChannel']?.enqueue(resourceKey({ namespace: (after ?? before)?.metadata.namespace ?? '', name }));
      }
    });
    caches.onKafkaSecretChange((name) => {
      byKind['KafkaSecret']?.enqueue(name);
      // Which one is the default may have changed, for all of them.
      enqueueEach(byKind['KafkaSecret'], caches.kafkaSecrets().map(({ metadata }) => metadata.name));
      enqueueEach(byKind['KafkaChannel'], keysOf(caches.kafkaChannels));
    });
    caches.configMaps.onChange(() => {
      enqueueEach(byKind['KafkaChannel'], keysOf(caches.kafkaChannels));
      enqueueEach(byKind['Channel'], keysOf(caches.channels));
    });
    caches.subscriptions.onChange(({ key }) => byKind['Subscription']?.enqueue(key));
    caches.channels.onChange(({ key }) => byKind['Channel']?.enqueue(key));
    enqueueAll();
    log.info({ channels: caches.kafkaChannels.list().length, subscriptions: caches.subscriptions.list().length }, 'caches are warm');
  });

  return {
    notReady: () => caches.missing(),
    stop: async () => {
      await Promise.all(Object.values(byKind).map((each) => each.stop()));
      await recorder.close();
      await election.stop();
      tracker.close();
      eventing.close();
      caches.close();
      await kafka.close();
    },
  };
}

function registerRequests(api: KubernetesApi, registry: Registry): void {
  new Counter({
    name: 'knative_kafka_kubernetes_requests_total',
    help: 'Requests to the API server, watches included.',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(api.requestCount());
    },
  });
}

function keysOf(informer: Informer<KubernetesObject>): readonly string[] {
  return informer.list().map(({ metadata }) => objectKey(metadata));
}

function enqueueEach(loop: ControllerLoop | undefined, keys: readonly string[]): void {
  for (const key of keys) loop?.enqueue(key);
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
