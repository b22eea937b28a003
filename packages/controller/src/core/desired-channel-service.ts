/**
 * The Service that gives a KafkaChannel its address: a name in the channel's namespace for the receiver in the system
 * namespace. It belongs to the channel and goes with it.
 */
import { channelServiceName, type ObjectMeta } from '@knative-kafka/common/core';
import { withAppliedHash, type DesiredObject } from './drift.ts';
import { managedBy, type Workloads } from './pod-template.ts';

/** Label of the Services of channels, as Knative's own channels have it. */
export const roleLabel = 'messaging.knative.dev/role';
export const channelRole = 'kafka-channel';

/** @param receiver name of the Service of the receiver that serves the channel */
export function desiredChannelService(channel: ObjectMeta, receiver: string, { systemNamespace, clusterDomain }: Workloads): DesiredObject {
  return withAppliedHash({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: channelServiceName(channel.name),
      namespace: channel.namespace,
      labels: { [roleLabel]: channelRole, ...managedBy },
      ownerReferences: [
        { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: channel.name, uid: channel.uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    spec: {
      type: 'ExternalName',
      externalName: `${receiver}.${systemNamespace}.svc.${clusterDomain}`,
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    },
  });
}
