import { describe, expect, it } from 'vitest';
import { channelUrl } from '@knative-kafka/common/core';
import { appliedAnnotation, isAsDesired } from './drift.ts';
import { desiredChannelService } from './desired-channel-service.ts';
import { desiredDispatcher, dispatcherName } from './desired-dispatcher.ts';
import { desiredReceiver, receiverName } from './desired-receiver.ts';
import { desiredSecretAccess } from './desired-secret-access.ts';
import { desiredSourceDispatcher, sourceDispatcherLabels } from './desired-source-dispatcher.ts';
import type { PodSettings } from './pod-settings.ts';
import { desiredReplicas, replicasAnnotation, type ObservedDeployment, type Workloads } from './pod-template.ts';

const workloads: Workloads = {
  systemNamespace: 'knative-eventing', clusterDomain: 'cluster.local', receiverImage: 'receiver:1', dispatcherImage: 'dispatcher:1', imagePullPolicy: 'IfNotPresent',
  receiverServiceAccount: 'kafka-channel-receiver', dispatcherServiceAccount: 'kafka-channel-dispatcher', sourceDispatcherServiceAccount: 'kafka-source-dispatcher', logLevel: 'info', receiverPod: {}, dispatcherPod: {}, sourceDispatcherPod: {},
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
  const observed = (replicas?: number, wanted?: number): ObservedDeployment | undefined =>
    replicas === undefined ? undefined : { metadata: wanted === undefined ? {} : { annotations: { [replicasAnnotation]: String(wanted) } }, spec: { replicas } };
  const dispatcher = (hasSubscribers: boolean, replicas?: number, dispatcherPod: PodSettings = {}) =>
    desiredDispatcher(channel, { kafkaSecret: 'kafka', hasSubscribers, observed: observed(replicas) }, { ...workloads, dispatcherPod });
  const receiver = (receiverPod: PodSettings = {}) => desiredReceiver({ name: 'kafka', uid: 's' }, { isDefault: true, observed: undefined }, { ...workloads, receiverPod });
  const { deployment, service } = receiver();

  it.each([
    ['nothing to do', false, 2, 3, 2, 0],
    ['the first time', true, 2, undefined, undefined, 2],
    ['something to do again', true, 2, 0, 2, 2],
    ['as we asked, and more is wanted', true, 3, 2, 2, 3],
    ['as we asked, and less is wanted', true, 1, 2, 2, 1],
    ['an autoscaler asked for more', true, 3, 5, 2, 5],
    ['an autoscaler asked for less', true, 3, 1, 2, 1],
    ['nobody knows who asked', true, 3, 5, undefined, 5],
  ])('have replicas: %s', (_case, isNeeded, wanted, now, before, expected) => {
    expect(desiredReplicas(isNeeded, wanted, observed(now, before))).toBe(expected);
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

  it('are as the installation wants them', () => {
    const settings: PodSettings = {
      replicas: 3, logLevel: 'debug', resources: { limits: { memory: '1Gi' } }, env: [{ name: 'DRAIN_TIMEOUT', value: '5s' }, { name: 'FURTHER', value: '' }],
      nodeSelector: { disk: 'fast' }, tolerations: [{ operator: 'Exists' }], affinity: { podAffinity: {} }, priorityClassName: 'high', labels: { team: 'blue' }, annotations: { note: 'x' },
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' }, { maxSkew: 1, topologyKey: 'host', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { a: 'b' } } }],
      imagePullSecrets: [{ name: 'registry' }],
    };
    for (const { metadata, spec } of [dispatcher(true, undefined, settings), receiver(settings).deployment]) {
      expect(metadata.annotations[replicasAnnotation]).toBe('3');
      expect(spec.replicas).toBe(3);
      const { matchLabels } = spec.selector as { matchLabels: Record<string, string> };
      const { template } = spec as unknown as { template: { metadata: object; spec: { containers: [{ env: { name: string; value?: string }[]; resources: object }] } } };
      expect(template.metadata).toMatchObject({ labels: { team: 'blue', 'app.kubernetes.io/name': 'knative-kafka' }, annotations: { note: 'x' } });
      expect(template.spec).toMatchObject({
        nodeSelector: { disk: 'fast' }, tolerations: [{ operator: 'Exists' }], affinity: { podAffinity: {} }, priorityClassName: 'high', imagePullSecrets: [{ name: 'registry' }],
        topologySpreadConstraints: [{ topologyKey: 'zone', labelSelector: { matchLabels } }, { topologyKey: 'host', labelSelector: { matchLabels: { a: 'b' } } }],
      });
      const [{ env, resources }] = template.spec.containers;
      expect(resources).toEqual({ limits: { memory: '1Gi' } });
      expect(new Set(env.map(({ name }) => name)).size).toBe(env.length);
      expect(env).toEqual(expect.arrayContaining([{ name: 'SYSTEM_NAMESPACE', value: 'knative-eventing' }, { name: 'LOG_LEVEL', value: 'debug' }, { name: 'DRAIN_TIMEOUT', value: '5s' }, { name: 'FURTHER' }]));
    }
  });

  it('give a drain more time than it may take', () => {
    const { template } = deployment.spec as { template: { spec: { terminationGracePeriodSeconds: number } } };
    expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThan(5 + 25 + 5);
  });
});

describe('the StatefulSet of source dispatchers', () => {
  const statefulSet = desiredSourceDispatcher(3, workloads);
  interface PodOf { readonly metadata: { readonly labels: object }; readonly spec: { readonly serviceAccountName: string; readonly volumes?: unknown; readonly containers: readonly [{ readonly env: readonly { readonly name: string; readonly value?: string }[]; readonly resources: object; readonly volumeMounts?: unknown }] } }
  const podOf = ({ spec }: ReturnType<typeof desiredSourceDispatcher>): PodOf => spec.template as PodOf;

  it('serves sources, starts its pods together, and knows them by labels of its own', () => {
    expect(statefulSet).toMatchObject({
      kind: 'StatefulSet', metadata: { name: 'kafka-source-dispatcher', namespace: 'knative-eventing' },
      spec: { replicas: 3, serviceName: 'kafka-source-dispatcher', podManagementPolicy: 'Parallel', updateStrategy: { type: 'RollingUpdate' }, selector: { matchLabels: { 'app.kubernetes.io/component': 'source-dispatcher' } } },
    });
    const { metadata, spec } = podOf(statefulSet);
    expect(metadata.labels).toMatchObject({ 'app.kubernetes.io/name': 'knative-kafka', ...sourceDispatcherLabels });
    expect(spec.serviceAccountName).toBe('kafka-source-dispatcher');
    const [{ env, resources }] = spec.containers;
    expect(Object.fromEntries(env.map(({ name, value }) => [name, value]))).toEqual({ SERVES: 'sources', SYSTEM_NAMESPACE: 'knative-eventing', LOG_LEVEL: 'info', DRAIN_TIMEOUT: '30s', METRICS_PORT: '9090', POD_NAME: undefined });
    expect(resources).toEqual({ requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '1Gi' } });
  });

  it('has no Kafka Secret: sources bring their own', () => {
    expect(podOf(statefulSet).spec.volumes).toBeUndefined();
    expect(podOf(statefulSet).spec.containers[0].volumeMounts).toBeUndefined();
  });

  it('is not another one for its number of pods, and is for its image', () => {
    expect(desiredSourceDispatcher(0, workloads).metadata).toEqual(statefulSet.metadata);
    expect(isAsDesired(statefulSet, desiredSourceDispatcher(2, workloads))).toBe(false);
    expect(desiredSourceDispatcher(3, { ...workloads, dispatcherImage: 'dispatcher:2' }).metadata).not.toEqual(statefulSet.metadata);
  });

  it('is as the installation wants it', () => {
    const { spec } = podOf(desiredSourceDispatcher(1, { ...workloads, sourceDispatcherPod: { logLevel: 'debug', resources: { limits: { memory: '2Gi' } }, nodeSelector: { disk: 'fast' } } }));
    expect(spec).toMatchObject({ nodeSelector: { disk: 'fast' }, containers: [{ resources: { limits: { memory: '2Gi' } } }] });
    expect(spec.containers[0].env).toContainEqual({ name: 'LOG_LEVEL', value: 'debug' });
  });
});

describe('access to the Secrets of a source', () => {
  it('is to these alone, by name, for the dispatchers of sources, and goes with the source', () => {
    const { role, roleBinding } = desiredSecretAccess(channel, ['ca', 'login'], workloads);
    const owned = { name: 'kafka-source-u', namespace: 'shop', ownerReferences: [{ apiVersion: 'sources.knative.dev/v1', kind: 'KafkaSource', name: 'orders', uid: 'u' }] };
    expect(role).toMatchObject({ metadata: owned, rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['ca', 'login'], verbs: ['get'] }] });
    expect(roleBinding).toMatchObject({ metadata: owned, roleRef: { kind: 'Role', name: 'kafka-source-u' }, subjects: [{ kind: 'ServiceAccount', name: 'kafka-source-dispatcher', namespace: 'knative-eventing' }] });
  });
});
