/**
 * The objects that the reconcilers read, as far as they read them. The API server has checked them against their schemas;
 * what a schema does not require may be absent.
 */
import type { Address, Condition, DeliverySpec, Destination, KafkaChannelManifest, KafkaSourceManifest, KubernetesObject, ObjectReference, PhysicalSubscription, PodPlacement, Subscriber, SubscriptionSpec } from '@knative-kafka/common/core';

/** `status.subscribers[]` of a channel. */
export interface SubscriberStatus {
  readonly uid: string;
  readonly observedGeneration: number;
  readonly ready: 'True' | 'False' | 'Unknown';
  readonly message?: string;
}

/** `status` of any channel, ours or not. */
export interface ChannelStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly address?: Address;
  readonly addresses?: readonly Address[];
  readonly subscribers?: readonly SubscriberStatus[];
  readonly deadLetterSinkUri?: string;
  readonly deadLetterSinkCACerts?: string;
  readonly deadLetterSinkAudience?: string;
}

export interface KafkaChannelObject extends KubernetesObject {
  readonly spec?: KafkaChannelManifest['spec'];
  readonly status?: ChannelStatus;
}

export interface SubscriptionStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  readonly physicalSubscription?: PhysicalSubscription;
}

export interface SubscriptionObject extends KubernetesObject {
  readonly spec: SubscriptionSpec;
  readonly status?: SubscriptionStatus;
}

/** `spec.channelTemplate`, and an entry of `default-ch-webhook`. */
export interface ChannelTemplate {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec?: Readonly<Record<string, unknown>>;
}

export interface GenericChannelStatus extends ChannelStatus {
  /** The channel behind it. */
  readonly channel?: ObjectReference;
}

/** Channel of messaging.knative.dev: a channel of a kind that the cluster's owner chose. */
export interface GenericChannelObject extends KubernetesObject {
  readonly spec?: { readonly channelTemplate?: ChannelTemplate; readonly delivery?: DeliverySpec };
  readonly status?: GenericChannelStatus;
}

/** Anything that may be referred to: what the tracker keeps of an object. */
export interface TrackedObject extends KubernetesObject {
  readonly spec?: { readonly subscribers?: readonly Subscriber[]; readonly delivery?: DeliverySpec };
  readonly status?: GenericChannelStatus;
}

export interface SecretObject extends KubernetesObject {
  /** base64 */
  readonly data?: Readonly<Record<string, string>>;
}

export interface ConfigMapObject extends KubernetesObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface ServiceObject extends KubernetesObject {
  readonly spec?: Readonly<Record<string, unknown>>;
}

export interface DeploymentObject extends KubernetesObject {
  readonly spec?: { readonly replicas?: number };
  readonly status?: { readonly availableReplicas?: number };
}

export interface StatefulSetObject extends KubernetesObject {
  readonly spec?: { readonly replicas?: number };
}

export interface PodObject extends KubernetesObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** `status` of a KafkaSource. */
export interface KafkaSourceStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly sinkUri?: string;
  readonly sinkCACerts?: string;
  readonly sinkAudience?: string;
  readonly deadLetterSinkUri?: string;
  readonly deadLetterSinkCACerts?: string;
  readonly deadLetterSinkAudience?: string;
  readonly ceAttributes?: readonly { readonly type: string; readonly source: string }[];
  /** Vreplicas on pods that are Ready. */
  readonly consumers?: number;
  readonly selector?: string;
  readonly placements?: readonly PodPlacement[];
}

export interface KafkaSourceObject extends KubernetesObject {
  readonly spec?: KafkaSourceManifest['spec'];
  readonly status?: KafkaSourceStatus;
}

/** The annotation of every channel, as Knative asks it of them: the version of the contract with Subscriptions. */
export const subscribable = { 'messaging.knative.dev/subscribable': 'v1' } as const;

/** `status.address` and `status.addresses` as one list, the preferred one first. */
export function addressesOf({ status }: TrackedObject): readonly Address[] {
  if (status?.addresses !== undefined && status.addresses.length > 0) return status.addresses;
  return status?.address === undefined ? [] : [status.address];
}

/** Whether an object is on its way out. */
export function isDeleting({ metadata }: KubernetesObject): boolean {
  return metadata.deletionTimestamp !== undefined;
}

/** The destinations of a Subscription that refer to objects. */
export function referencesOf({ spec: { subscriber, reply, delivery } }: SubscriptionObject): readonly ObjectReference[] {
  return [subscriber, reply, delivery?.deadLetterSink].map((destination: Destination | undefined) => destination?.ref).filter((ref) => ref !== undefined);
}
