import { describe, expect, it } from 'vitest';
import { channelUrl } from '@knative-kafka/common/core';
import { appliedAnnotation, isAsDesired } from './drift.ts';
import { desiredChannelService } from './desired-channel-service.ts';
import { desiredDispatcher, dispatcherName } from './desired-dispatcher.ts';
import { desiredReceiver, receiverName } from './desired-receiver.ts';
import { desiredReplicas, type Workloads } from './pod-template.ts';

const workloads: Workloads = {
  systemNamespace: 'knative-eventing', clusterDomain: 'cluster.local', receiverImage: 'receiver:1', dispatcherImage: 'dispatcher:1', imagePullPolicy: 'IfNotPresent',
  receiverServiceAccount: 'kafka-channel-receiver', dispatcherServiceAccount: 'kafka-channel-dispatcher', logLevel: 'info',
};
const channel = { namespace: 'shop', name: 'orders', uid: 'u', generation: 1, labels: {}, annotations: {} };
const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

describe('names', () => {
  it('CP-25: of dispatchers are labels of DNS, unique and stable', () => {
    const names = [{ namespace: 'shop', name: 'orders' }, { namespace: 'orders', name: 'shop' }, { namespace: 's', name: 'x'.repeat(63) }, { namespace: 's', name: `${'x'.repeat(62)}y` }, { namespace: 'n'.repeat(63), name: 'a.b' }].map(dispatcherName);
    expect(names[0]).toMatch(/^orders-shop-[0-9a-f]{10}-dispatcher$/);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) {
      expect(name).toMatch(label);
      expect(name.length).toBeLessThanOrEqual(63);
    }
    expect(dispatcherName({ namespace: 'shop', name: 'orders' })).toBe(names[0]);
  });

  it.each([
    ['kafka', true, /^kafka-channel-receiver$/],
    ['kafka', false, /^kafka-channel-receiver-kafka$/],
    ['my.kafka', false, /^kafka-channel-receiver-my-kafka-[0-9a-f]{10}$/],
    ['k'.repeat(80), false, /^kafka-channel-receiver-k+-[0-9a-f]{10}$/],
  ])('of the receiver of Secret %s, default %s', (secret, isDefault, expected) => {
    const name = receiverName(secret, isDefault);
    expect(name).toMatch(expected);
    expect(name.length).toBeLessThanOrEqual(63);
  });
});

describe('CP-27: the Service of a channel', () => {
  it('belongs to the channel and points to the receiver', () => {
    expect(desiredChannelService(channel, 'kafka-channel-receiver', workloads)).toMatchObject({
      metadata: { name: 'orders-kn-channel', namespace: 'shop', labels: { 'messaging.knative.dev/role': 'kafka-channel' }, ownerReferences: [{ kind: 'KafkaChannel', uid: 'u', controller: true }] },
      spec: { type: 'ExternalName', externalName: 'kafka-channel-receiver.knative-eventing.svc.cluster.local', ports: [{ name: 'http', port: 80 }] },
    });
    expect(channelUrl(channel, 'cluster.local')).toBe('http://orders-kn-channel.shop.svc.cluster.local');
  });
});

describe('Deployments', () => {
  const dispatcher = (hasSubscribers: boolean, replicas?: number) => desiredDispatcher(channel, { kafkaSecret: 'kafka', hasSubscribers, replicas }, workloads);
  const { deployment, service } = desiredReceiver({ name: 'kafka', uid: 's' }, { isDefault: true, replicas: undefined }, workloads);

  it.each([[false, undefined, 0], [false, 3, 0], [true, undefined, 1], [true, 0, 1], [true, 5, 5]])('have replicas: needed %s, now %s: %s', (isNeeded, observed, expected) => {
    expect(desiredReplicas(isNeeded, observed)).toBe(expected);
  });

  it('of a dispatcher serve one channel, with the Kafka Secret as files', () => {
    const { spec, metadata } = dispatcher(true);
    expect(metadata).toMatchObject({ namespace: 'knative-eventing', annotations: { 'kafka.eventing.knative.dev/channel': 'shop/orders' } });
    expect(spec).toMatchObject({ replicas: 1, template: { spec: { serviceAccountName: 'kafka-channel-dispatcher', volumes: [{ secret: { secretName: 'kafka' } }] } } });
    expect(JSON.stringify(spec)).toContain('{"name":"CHANNEL","value":"shop/orders"}');
  });

  it('are not applied again because an autoscaler changed their replicas', () => {
    expect(dispatcher(true, 4).metadata.annotations[appliedAnnotation]).toBe(dispatcher(true, 1).metadata.annotations[appliedAnnotation]);
    expect(isAsDesired(dispatcher(true, 4), dispatcher(true, 4))).toBe(true);
  });

  it('of a receiver go with their Secret, and so does their Service', () => {
    for (const { metadata } of [deployment, service]) expect(metadata).toMatchObject({ name: 'kafka-channel-receiver', ownerReferences: [{ kind: 'Secret', name: 'kafka', uid: 's' }] });
    expect(service).toMatchObject({ spec: { selector: deployment.metadata.labels['kafka.eventing.knative.dev/kafka-secret-hash'] === undefined ? {} : { 'kafka.eventing.knative.dev/kafka-secret-hash': deployment.metadata.labels['kafka.eventing.knative.dev/kafka-secret-hash'] } } });
  });

  it.each([['receiver', deployment], ['dispatcher', dispatcher(true)]])('of a %s may do next to nothing', (_name, { spec }) => {
    expect(spec).toMatchObject({
      template: {
        spec: {
          securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
          containers: [{ securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } } }],
        },
      },
    });
  });

  it('give a drain more time than it may take', () => {
    const { template } = deployment.spec as { template: { spec: { terminationGracePeriodSeconds: number } } };
    expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThan(5 + 25 + 5);
  });
});
