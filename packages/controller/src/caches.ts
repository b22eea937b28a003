/**
 * Everything the reconcilers read: informers of the whole cluster or of the system namespace, started once.
 */
import { resourceTypes, startInformer, type Informer, type KubernetesApi, type KubernetesObject, type Logger } from '@knative-kafka/common/io';
import { featuresConfigMap, loggingConfigMap } from '@knative-kafka/common/core';
import { channelRole, roleLabel } from './core/desired-channel-service.ts';
import { defaultChannelConfigMap } from './core/default-channel.ts';
import { kafkaSecretLabels } from './core/kafka-secret-choice.ts';
import { sourceDispatcherLabels } from './core/desired-source-dispatcher.ts';
import { componentLabel, managedBy } from './core/pod-template.ts';
import type { ConfigMapObject, DeploymentObject, GenericChannelObject, KafkaChannelObject, KafkaSourceObject, PodObject, SecretObject, ServiceObject, StatefulSetObject, SubscriptionObject } from './core/objects.ts';

export interface Caches {
  readonly kafkaChannels: Informer<KafkaChannelObject>;
  readonly subscriptions: Informer<SubscriptionObject>;
  readonly channels: Informer<GenericChannelObject>;
  /** The Services of channels. */
  readonly channelServices: Informer<ServiceObject>;
  /** Deployments of receivers and dispatchers. */
  readonly deployments: Informer<DeploymentObject>;
  /** Services of receivers. */
  readonly receiverServices: Informer<ServiceObject>;
  readonly configMaps: Informer<ConfigMapObject>;
  readonly customResourceDefinitions: Informer<KubernetesObject>;
  readonly kafkaSources: Informer<KafkaSourceObject>;
  /** The one of source dispatchers. */
  readonly statefulSets: Informer<StatefulSetObject>;
  /** Of source dispatchers. */
  readonly sourcePods: Informer<PodObject>;
  kafkaSecrets(): readonly SecretObject[];
  onKafkaSecretChange(listener: (name: string) => void): void;
  /** What has not been read yet, of all but the next. */
  missing(): readonly string[];
  /** Resolves when what every reconciler of channels needs has been read. */
  synced(): Promise<void>;
  /**
   * Whether everything has been read that is about KafkaSources. By itself, because a cluster may not have that kind, or
   * not let us read it yet, and channels are not to wait for that.
   */
  hasSyncedSources(): boolean;
  /** Resolves when it has. */
  syncedSources(): Promise<void>;
  close(): void;
}

export function startCaches(api: KubernetesApi, { systemNamespace, log }: { readonly systemNamespace: string; readonly log: Logger }): Caches {
  const onTrouble = (trouble: { readonly type: { readonly plural: string } } & ({ readonly reason: string } | { readonly isOver: true })): void => {
    const resource = trouble.type.plural;
    if ('reason' in trouble) log.warn({ resource, reason: trouble.reason }, 'watch broken, the last state stays in force');
    else log.info({ resource }, 'watch whole again');
  };
  const inSystem = { namespace: systemNamespace, onTrouble };
  const ownLabels = selectorOf(managedBy);
  const kafkaChannels = startInformer<KafkaChannelObject>(api, { type: resourceTypes.kafkaChannel, onTrouble });
  const subscriptions = startInformer<SubscriptionObject>(api, { type: resourceTypes.subscription, onTrouble });
  const channels = startInformer<GenericChannelObject>(api, { type: resourceTypes.channel, onTrouble });
  const channelServices = startInformer<ServiceObject>(api, { type: resourceTypes.service, labelSelector: `${roleLabel}=${channelRole}`, onTrouble });
  const deployments = startInformer<DeploymentObject>(api, { type: resourceTypes.deployment, labelSelector: ownLabels, ...inSystem });
  const receiverServices = startInformer<ServiceObject>(api, { type: resourceTypes.service, labelSelector: `${componentLabel}=channel-receiver,${ownLabels}`, ...inSystem });
  const configMaps = startInformer<ConfigMapObject>(api, {
    type: resourceTypes.configMap,
    ...inSystem,
    // A namespace of a company's may have large ones; three are read.
    trim: (object) => ([featuresConfigMap, defaultChannelConfigMap, loggingConfigMap].includes(object.metadata.name) ? object : { ...object, data: {} }),
  });
  const customResourceDefinitions = startInformer<KubernetesObject>(api, {
    type: resourceTypes.customResourceDefinition,
    onTrouble,
    // Only that it is there: their schemas are the largest objects of a cluster.
    trim: ({ apiVersion, kind, metadata: { name, resourceVersion } }) => ({ apiVersion, kind, metadata: { name, ...(resourceVersion === undefined ? {} : { resourceVersion }) } }),
  });
  const kafkaSources = startInformer<KafkaSourceObject>(api, { type: resourceTypes.kafkaSource, onTrouble });
  const statefulSets = startInformer<StatefulSetObject>(api, { type: resourceTypes.statefulSet, labelSelector: ownLabels, ...inSystem });
  const sourcePods = startInformer<PodObject>(api, { type: resourceTypes.pod, labelSelector: selectorOf(sourceDispatcherLabels), ...inSystem, trim: trimPod });
  const secretsByLabel = kafkaSecretLabels.map((label) => startInformer<SecretObject>(api, { type: resourceTypes.secret, labelSelector: `${label}=true`, ...inSystem }));

  const needed = { kafkaChannels, channelServices, deployments, receiverServices, configMaps, ...Object.fromEntries(secretsByLabel.map((informer, index) => [`secrets${index}`, informer])) };
  const ofSources = [kafkaSources, statefulSets, sourcePods];
  const all = [...Object.values(needed), subscriptions, channels, customResourceDefinitions, ...ofSources];
  return {
    kafkaChannels,
    subscriptions,
    channels,
    channelServices,
    deployments,
    receiverServices,
    configMaps,
    customResourceDefinitions,
    kafkaSources,
    statefulSets,
    sourcePods,
    kafkaSecrets: () => [...new Map(secretsByLabel.flatMap((informer) => informer.list()).map((secret) => [secret.metadata.name, secret])).values()],
    onKafkaSecretChange: (listener) => {
      for (const informer of secretsByLabel) informer.onChange(({ before, after }) => listener((after ?? before)!.metadata.name));
    },
    missing: () => Object.entries(needed).filter(([, informer]) => !informer.hasSynced()).map(([name]) => `${name} have not been read yet`),
    synced: async () => {
      await Promise.all(Object.values(needed).map((informer) => informer.synced()));
    },
    hasSyncedSources: () => ofSources.every((informer) => informer.hasSynced()),
    syncedSources: async () => {
      await Promise.all(ofSources.map((informer) => informer.synced()));
    },
    close: () => {
      for (const informer of all) informer.close();
    },
  };
}

function selectorOf(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels).map(([label, value]) => `${label}=${value}`).join(',');
}

/** Whether it is there, where, and whether it is Ready. */
function trimPod({ apiVersion, kind, metadata, spec, status }: PodObject): PodObject {
  const { nodeName } = spec ?? {};
  const conditions = status?.conditions?.filter(({ type }) => type === 'Ready') ?? [];
  return { apiVersion, kind, metadata, spec: nodeName === undefined ? {} : { nodeName }, status: { conditions } };
}
