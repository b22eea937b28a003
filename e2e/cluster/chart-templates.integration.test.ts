/**
 * What each value of the chart changes, by `helm template`; no cluster. Every value has a row: one without is a value
 * that may do nothing.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { logLevelKeys, logLevels, parseKafkaSecret, readFeatures, readSettings, readSourceDataPlane, type ConfigMap } from '@knative-kafka/common/core';
import { controllerSettings } from '@knative-kafka/controller';
import { ensureKubernetes } from '@knative-kafka/local-cluster';
import { chart, rbacPage, readValues } from '../chart/generate-chart-pages.ts';
import { at, Chart, find, nested, type RenderedObject } from '../chart/render.ts';
import { documentedValues } from '../chart/values-docs.ts';

type Objects = readonly RenderedObject[];
interface Row {
  /** Of the value, in values.yaml. */
  readonly path: string;
  readonly value: unknown;
  /** Other values that have to be there. */
  readonly also?: object;
  /** What is looked at, */
  readonly pick: (objects: Objects) => unknown;
  /** and what it is then; before it is something else. */
  readonly expected: unknown;
}

let helm: Chart;
let programs: string;
let defaults: Objects;

beforeAll(async () => {
  programs = await ensureKubernetes({ onProgress: console.log });
  helm = new Chart(programs);
  defaults = await helm.render();
});

const of = (kind: string, name: string, path = '') => (objects: Objects) => (path === '' ? find(objects, kind, name) !== undefined : at(find(objects, kind, name), path));
const controllerEnv = (objects: Objects) => {
  const env = at(find(objects, 'Deployment', 'kafka-controller'), 'spec.template.spec.containers.0.env') as readonly { readonly name: string; readonly value?: string }[];
  return Object.fromEntries(env.map(({ name, value = 'a-name' }) => [name, value]));
};
/** As the controller reads it: what it does not take fails the test. */
const setting = (name: keyof typeof controllerSettings, path = '') => (objects: Objects) => {
  const value = readSettings(controllerSettings, controllerEnv(objects))[name];
  return path === '' ? value : at(value, path);
};
const controllerPod = (path: string) => of('Deployment', 'kafka-controller', `spec.template.${path}`);
const secretData = (key: string) => (objects: Objects) => {
  const text = (at(find(objects, 'Secret', 'kafka-cluster'), 'data') as Readonly<Record<string, string>> | undefined)?.[key];
  return text === undefined ? undefined : Buffer.from(text, 'base64').toString();
};

const isConfigMap = (object: RenderedObject): object is RenderedObject & ConfigMap => object.kind === 'ConfigMap';
/** Also beside Knative Eventing, which has the others. */
const ourDefinitions = ['kafkachannels.messaging.knative.dev', 'kafkasources.sources.knative.dev'];

const constraint = { maxSkew: 2, topologyKey: 'rack', whenUnsatisfiable: 'DoNotSchedule' };
const toleration = { key: 'kafka', operator: 'Exists', effect: 'NoSchedule' };
const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } };
const peer = { podSelector: { matchLabels: { app: 'prometheus' } } };
const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const brokers = { kafka: { brokers: 'kafka:9092' } };

/** What receivers and dispatchers of channels have in common. */
function deploymentRows(component: 'receiver' | 'dispatcher', repository: string, account: string): readonly Row[] {
  const [image, pod] = component === 'receiver' ? (['receiverImage', 'receiverPod'] as const) : (['dispatcherImage', 'dispatcherPod'] as const);
  return [
    { path: `${component}.image.repository`, value: 'mine/image', pick: setting(image), expected: 'mine/image:0.1.0' },
    { path: `${component}.image.tag`, value: '9.9', pick: setting(image), expected: `${repository}:9.9` },
    { path: `${component}.image.digest`, value: digest, pick: setting(image), expected: `${repository}@${digest}` },
    { path: `${component}.replicas`, value: 7, pick: setting(pod, 'replicas'), expected: 7 },
    ...podRows(component, pod, account),
  ];
}

/** What all pods have in common that the controller makes. */
function podRows(section: string, pod: 'receiverPod' | 'dispatcherPod' | 'sourceDispatcherPod', account: string): readonly Row[] {
  const rows: readonly (readonly [string, unknown, (objects: Objects) => unknown, unknown])[] = [
    ['logLevel', 'debug', setting(pod, 'logLevel'), 'debug'],
    ['resources', { limits: { memory: '2048Mi' } }, setting(pod, 'resources.limits.memory'), '2Gi'],
    ['env', [{ name: 'QUEUE_LIMIT', value: '1MiB' }], setting(pod, 'env'), [{ name: 'QUEUE_LIMIT', value: '1MiB' }]],
    ['nodeSelector', { disk: 'fast' }, setting(pod, 'nodeSelector'), { disk: 'fast' }],
    ['tolerations', [toleration], setting(pod, 'tolerations'), [toleration]],
    ['affinity', affinity, setting(pod, 'affinity'), affinity],
    ['topologySpreadConstraints', [constraint], setting(pod, 'topologySpreadConstraints'), [constraint]],
    ['priorityClassName', 'high', setting(pod, 'priorityClassName'), 'high'],
    ['podLabels', { team: 'blue' }, setting(pod, 'labels'), { team: 'blue' }],
    ['podAnnotations', { note: 'x' }, setting(pod, 'annotations'), { note: 'x' }],
    ['serviceAccount.annotations', { role: 'x' }, of('ServiceAccount', account, 'metadata.annotations.role'), 'x'],
  ];
  return rows.map(([path, value, pick, expected]) => ({ path: `${section}.${path}`, value, pick, expected }));
}

const rows: readonly Row[] = [
  { path: 'image.registry', value: 'registry.example.com:5000/team', pick: (objects) => [at(find(objects, 'Deployment', 'kafka-controller'), 'spec.template.spec.containers.0.image'), at(find(objects, 'Pod', 'knative-kafka-smoke-test'), 'spec.containers.0.image'), setting('receiverImage')(objects), setting('dispatcherImage')(objects)], expected: ['controller', 'controller', 'channel-receiver', 'dispatcher'].map((name) => `registry.example.com:5000/team/knative-kafka/${name}:0.1.0`) },
  { path: 'image.pullPolicy', value: 'Always', pick: (objects) => [controllerPod('spec.containers.0.imagePullPolicy')(objects), of('Pod', 'knative-kafka-smoke-test', 'spec.containers.0.imagePullPolicy')(objects), setting('imagePullPolicy')(objects)], expected: ['Always', 'Always', 'Always'] },
  { path: 'imagePullSecrets', value: [{ name: 'pull' }], pick: (objects) => [controllerPod('spec.imagePullSecrets')(objects), of('Pod', 'knative-kafka-smoke-test', 'spec.imagePullSecrets')(objects), setting('receiverPod', 'imagePullSecrets')(objects), setting('dispatcherPod', 'imagePullSecrets')(objects), setting('sourceDispatcherPod', 'imagePullSecrets')(objects)], expected: Array(5).fill([{ name: 'pull' }]) },
  { path: 'clusterDomain', value: 'corp.example', pick: setting('clusterDomain'), expected: 'corp.example' },
  { path: 'commonLabels', value: { team: 'blue' }, pick: (objects) => [objects.every(({ metadata }) => metadata.labels?.['team'] === 'blue'), setting('receiverPod', 'labels.team')(objects), setting('dispatcherPod', 'labels.team')(objects), setting('sourceDispatcherPod', 'labels.team')(objects), controllerPod('metadata.labels.team')(objects)], expected: [true, 'blue', 'blue', 'blue', 'blue'] },
  { path: 'commonAnnotations', value: { note: 'x' }, pick: (objects) => [objects.every(({ metadata }) => metadata.annotations?.['note'] === 'x'), setting('receiverPod', 'annotations.note')(objects), setting('dispatcherPod', 'annotations.note')(objects), setting('sourceDispatcherPod', 'annotations.note')(objects), controllerPod('metadata.annotations.note')(objects)], expected: [true, 'x', 'x', 'x', 'x'] },

  { path: 'kafka.brokers', value: 'a:9092,b:9092', pick: secretData('brokers'), expected: 'a:9092,b:9092' },
  { path: 'kafka.protocol', value: 'SASL_SSL', also: brokers, pick: secretData('protocol'), expected: 'SASL_SSL' },
  { path: 'kafka.sasl.mechanism', value: 'SCRAM-SHA-512', also: brokers, pick: secretData('sasl.mechanism'), expected: 'SCRAM-SHA-512' },
  { path: 'kafka.sasl.username', value: 'me', also: brokers, pick: secretData('username'), expected: 'me' },
  { path: 'kafka.sasl.password', value: 'hidden', also: brokers, pick: secretData('password'), expected: 'hidden' },
  { path: 'kafka.tls.ca', value: pem, also: brokers, pick: secretData('ca.crt'), expected: pem },
  { path: 'kafka.tls.certificate', value: pem, also: brokers, pick: secretData('user.crt'), expected: pem },
  { path: 'kafka.tls.key', value: pem, also: brokers, pick: secretData('user.key'), expected: pem },
  { path: 'kafka.extra', value: { 'group.id': 'x' }, also: brokers, pick: secretData('group.id'), expected: 'x' },
  { path: 'kafka.secretName', value: 'other', also: brokers, pick: of('Secret', 'other'), expected: true },

  { path: 'features.deadLetterTopic', value: 'enabled', pick: of('ConfigMap', 'config-kafka-features', 'data.dead-letter-topic'), expected: 'enabled' },
  { path: 'features.channelsTopicTemplate', value: '{{ .Namespace }}.{{ .Name }}', pick: of('ConfigMap', 'config-kafka-features', 'data.channels-topic-template'), expected: '{{ .Namespace }}.{{ .Name }}' },
  { path: 'features.rateLimiter', value: 'enabled', pick: (objects) => readFeatures(objects.filter(isConfigMap), 'knative-eventing').isRateLimiterEnabled, expected: true },
  { path: 'crds.install', value: false, pick: (objects) => objects.filter(({ kind }) => kind === 'CustomResourceDefinition').length, expected: 0 },
  // null takes out what is there; without it nothing is said about a webhook.
  { path: 'crds.adopt', value: true, pick: (objects) => ourDefinitions.map((name) => of('CustomResourceDefinition', name, 'spec.conversion.webhook')(objects)), expected: [null, null] },
  { path: 'knativeEventing.installed', value: true, pick: (objects) => [objects.filter(({ kind }) => kind === 'CustomResourceDefinition').map(({ metadata }) => metadata.name), of('ClusterRole', 'addressable-resolver')(objects), of('ClusterRoleBinding', 'kafka-controller-channelable-manipulator')(objects)], expected: [ourDefinitions, false, false] },
  { path: 'knativeEventing.namespace', value: 'eventing', pick: (objects) => [setting('eventingNamespace')(objects), of('ClusterRole', 'kafka-controller-knative-eventing-observer')(objects)], expected: ['eventing', true] },
  { path: 'subscribersGuard.enabled', value: false, pick: (objects) => objects.filter(({ kind }) => kind.startsWith('ValidatingAdmissionPolicy')).length, expected: 0 },
  { path: 'subscribersGuard.allowed', value: ['me'], pick: of('ValidatingAdmissionPolicy', 'channel-subscribers.messaging.knative.dev', 'spec.variables.0.expression'), expected: "['system:serviceaccount:knative-eventing:kafka-controller', 'system:serviceaccount:knative-eventing:eventing-controller', 'me']" },

  { path: 'controller.image.repository', value: 'mine/image', pick: controllerPod('spec.containers.0.image'), expected: 'mine/image:0.1.0' },
  { path: 'controller.image.tag', value: '9.9', pick: controllerPod('spec.containers.0.image'), expected: 'knative-kafka/controller:9.9' },
  { path: 'controller.image.digest', value: digest, pick: controllerPod('spec.containers.0.image'), expected: `knative-kafka/controller@${digest}` },
  { path: 'controller.replicas', value: 3, pick: of('Deployment', 'kafka-controller', 'spec.replicas'), expected: 3 },
  { path: 'controller.logLevel', value: 'debug', pick: setting('logLevel'), expected: 'debug' },
  { path: 'controller.resources', value: { limits: { memory: '2Gi' } }, pick: controllerPod('spec.containers.0.resources.limits.memory'), expected: '2Gi' },
  { path: 'controller.env', value: [{ name: 'WORKERS', value: '3' }], pick: setting('workers'), expected: 3 },
  { path: 'controller.nodeSelector', value: { disk: 'fast' }, pick: (objects) => [controllerPod('spec.nodeSelector')(objects), of('Pod', 'knative-kafka-smoke-test', 'spec.nodeSelector')(objects)], expected: [{ disk: 'fast' }, { disk: 'fast' }] },
  { path: 'controller.tolerations', value: [toleration], pick: (objects) => [controllerPod('spec.tolerations')(objects), of('Pod', 'knative-kafka-smoke-test', 'spec.tolerations')(objects)], expected: [[toleration], [toleration]] },
  { path: 'controller.affinity', value: affinity, pick: controllerPod('spec.affinity'), expected: affinity },
  { path: 'controller.topologySpreadConstraints', value: [constraint, { ...constraint, labelSelector: { matchLabels: { a: 'b' } } }], pick: controllerPod('spec.topologySpreadConstraints'), expected: [{ ...constraint, labelSelector: { matchLabels: { 'app.kubernetes.io/name': 'knative-kafka', 'app.kubernetes.io/component': 'kafka-controller' } } }, { ...constraint, labelSelector: { matchLabels: { a: 'b' } } }] },
  { path: 'controller.priorityClassName', value: 'high', pick: controllerPod('spec.priorityClassName'), expected: 'high' },
  { path: 'controller.podLabels', value: { team: 'blue' }, pick: controllerPod('metadata.labels.team'), expected: 'blue' },
  { path: 'controller.podAnnotations', value: { note: 'x' }, pick: controllerPod('metadata.annotations'), expected: { note: 'x' } },
  { path: 'controller.serviceAccount.annotations', value: { role: 'x' }, pick: of('ServiceAccount', 'kafka-controller', 'metadata.annotations.role'), expected: 'x' },
  { path: 'controller.podDisruptionBudget.enabled', value: false, pick: of('PodDisruptionBudget', 'kafka-controller'), expected: false },
  { path: 'controller.podDisruptionBudget.maxUnavailable', value: '50%', pick: of('PodDisruptionBudget', 'kafka-controller', 'spec.maxUnavailable'), expected: '50%' },

  ...deploymentRows('receiver', 'knative-kafka/channel-receiver', 'kafka-channel-receiver'),
  { path: 'receiver.podDisruptionBudget.enabled', value: false, pick: of('PodDisruptionBudget', 'kafka-channel-receiver'), expected: false },
  { path: 'receiver.podDisruptionBudget.maxUnavailable', value: 2, pick: of('PodDisruptionBudget', 'kafka-channel-receiver', 'spec.maxUnavailable'), expected: 2 },
  { path: 'receiver.autoscaling.enabled', value: true, pick: of('HorizontalPodAutoscaler', 'kafka-channel-receiver', 'spec.scaleTargetRef'), expected: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'kafka-channel-receiver' } },
  ...([['minReplicas', 3, 'spec.minReplicas'], ['maxReplicas', 30, 'spec.maxReplicas'], ['targetCPUUtilizationPercentage', 50, 'spec.metrics.0.resource.target.averageUtilization'], ['behavior', { scaleDown: { stabilizationWindowSeconds: 60 } }, 'spec.behavior']] as const)
    .map(([name, value, path]): Row => ({ path: `receiver.autoscaling.${name}`, value, also: { receiver: { autoscaling: { enabled: true } } }, pick: of('HorizontalPodAutoscaler', 'kafka-channel-receiver', path), expected: value })),
  ...deploymentRows('dispatcher', 'knative-kafka/dispatcher', 'kafka-channel-dispatcher'),

  { path: 'sources.podCapacity', value: 1, pick: setting('podCapacity'), expected: 1 },
  { path: 'sources.minReplicas', value: 3, pick: setting('minReplicas'), expected: 3 },
  { path: 'sources.maxPollRecords', value: 70, pick: (objects) => readSourceDataPlane(objects.filter(isConfigMap), 'knative-eventing'), expected: { maxPollRecords: 70, problems: [] } },
  ...podRows('sources', 'sourceDispatcherPod', 'kafka-source-dispatcher'),
  { path: 'sources.podDisruptionBudget.enabled', value: false, pick: of('PodDisruptionBudget', 'kafka-source-dispatcher'), expected: false },
  { path: 'sources.podDisruptionBudget.maxUnavailable', value: 2, pick: of('PodDisruptionBudget', 'kafka-source-dispatcher', 'spec.maxUnavailable'), expected: 2 },

  { path: 'networkPolicy.enabled', value: false, pick: (objects) => objects.filter(({ kind }) => kind === 'NetworkPolicy').length, expected: 0 },
  { path: 'networkPolicy.receiverFrom', value: [peer], pick: of('NetworkPolicy', 'kafka-channel-receiver', 'spec.ingress.0'), expected: { ports: [{ port: 'http' }], from: [peer] } },
  { path: 'networkPolicy.metricsFrom', value: [peer], pick: (objects) => ['kafka-controller', 'kafka-channel-receiver', 'kafka-channel-dispatcher', 'kafka-source-dispatcher'].map((name) => (at(find(objects, 'NetworkPolicy', name), 'spec.ingress') as object[]).at(-1)), expected: Array(4).fill({ ports: [{ port: 'metrics' }], from: [peer] }) },
  { path: 'metrics.service.enabled', value: false, pick: of('Service', 'knative-kafka-metrics'), expected: false },
  { path: 'metrics.serviceMonitor.enabled', value: true, pick: of('ServiceMonitor', 'knative-kafka-metrics', 'spec.endpoints'), expected: [{ port: 'metrics', path: '/metrics' }] },
  ...([['interval', '10s', 'spec.endpoints.0.interval'], ['scrapeTimeout', '5s', 'spec.endpoints.0.scrapeTimeout'], ['labels', { release: 'prometheus' }, 'metadata.labels']] as const)
    .map(([name, value, path]): Row => ({ path: `metrics.serviceMonitor.${name}`, value, also: { metrics: { serviceMonitor: { enabled: true } } }, pick: of('ServiceMonitor', 'knative-kafka-metrics', path), expected: typeof value === 'string' ? value : (expect.objectContaining(value) as unknown) })),
  { path: 'smokeTest.enabled', value: false, pick: (objects) => objects.filter(({ metadata }) => metadata.name === 'knative-kafka-smoke-test').length, expected: 0 },
];

describe('values', () => {
  it('have a row each', () => {
    expect(rows.map(({ path }) => path).sort()).toEqual(documentedValues(readValues()).map(({ path }) => path).sort());
  });

  it.each(rows)('$path', async ({ path, value, also = {}, pick, expected }) => {
    const before = Object.keys(also).length === 0 ? defaults : await helm.render(also);
    expect(pick(before)).not.toEqual(expected);
    const file = ['--set-json', `${path}=${JSON.stringify(value)}`];
    expect(pick(await helm.render(also, ...file))).toEqual(expected);
  });

  it.each<readonly [string, unknown, string]>([
    ['kafka.broker', 'a:1', "at '/kafka': additional properties 'broker' not allowed"],
    ['recever', {}, "additional properties 'recever' not allowed"],
    ['controller.image.version', '1', "at '/controller/image': additional properties 'version' not allowed"],
    ['receiver.replicas', '2', "at '/receiver/replicas': got string, want integer"],
    ['dispatcher.replicas', 0, "at '/dispatcher/replicas'"],
    ['receiver.resources', { limit: {} }, "at '/receiver/resources'"],
    ['dispatcher.env', [{ key: 'A' }], "at '/dispatcher/env/0'"],
    ['controller.logLevel', 'loud', "at '/controller/logLevel': value must be one of"],
    ['controller.image.digest', 'sha256:12', "at '/controller/image/digest'"],
    ['kafka.brokers', 'kafka', "at '/kafka/brokers'"],
    ['kafka.protocol', 'TLS', "at '/kafka/protocol': value must be one of"],
    ['commonLabels', { 'app.kubernetes.io/name': 'x' }, "at '/commonLabels'"],
    ['sources.podCapacity', 0, "at '/sources/podCapacity'"],
    ['sources.replicas', 2, "at '/sources': additional properties 'replicas' not allowed"],
    ['sources.maxPollRecords', 0.5, "at '/sources/maxPollRecords'"],
    ['features.rateLimiter', 'on', "at '/features/rateLimiter': value must be one of"],
    ['metrics.serviceMonitor.interval', 'often', "at '/metrics/serviceMonitor/interval'"],
    ['networkPolicy.metricsFrom', [{}], "at '/networkPolicy/metricsFrom/0'"],
    ['knativeEventing.installed', 'maybe', "at '/knativeEventing/installed'"],
  ])('%s = %j is refused by name', async (path, value, words) => {
    const { code, stderr } = await helm.template(nested(path, value));
    expect(code).not.toBe(0);
    expect(stderr).toContain(words);
  });

  it('of the wrong kind are refused without a password being shown', async () => {
    const { code, stderr } = await helm.template({ kafka: { brokers: 'a:1', sasl: { password: ['hidden'] }, tls: { key: 42 }, extra: { token: ['hidden'] } } });
    expect(code).not.toBe(0);
    for (const field of ['password', 'key', 'token']) expect(stderr).toContain(field);
    expect(stderr).not.toContain('hidden');
  });

  it('a ServiceMonitor without the Service is refused', async () => {
    const { stderr } = await helm.template({ metrics: { service: { enabled: false }, serviceMonitor: { enabled: true } } });
    expect(stderr).toContain('metrics.serviceMonitor.enabled needs metrics.service.enabled');
  });
});

describe('the chart', () => {
  it('passes helm lint --strict', async () => {
    const { code, stdout } = await helm.run(['lint', '--strict', chart]);
    expect(stdout).toContain('1 chart(s) linted, 0 chart(s) failed');
    expect(code).toBe(0);
  });

  it.each(readdirSync(join(chart, 'examples')))('has an example of a Kafka that can be used: %s', async (file) => {
    const path = join(chart, 'examples', file);
    const values = parse(readFileSync(path, 'utf8')) as { kafka: { sasl?: { password: string } } };
    const withPassword = values.kafka.sasl === undefined ? [] : ['--set', 'kafka.sasl.password=secret'];
    const secret = find(await helm.render({}, '--values', path, ...withPassword), 'Secret', 'kafka-cluster');
    expect(secret?.metadata).toMatchObject({ labels: { 'eventing-kafka.knative.dev/kafka-secret': 'true' }, annotations: { 'kafka.eventing.knative.dev/default-kafka-secret': 'true' } });
    const data = Object.fromEntries(Object.entries(secret?.['data'] as Record<string, string>).map(([key, text]) => [key, Buffer.from(text, 'base64')]));
    expect(parseKafkaSecret(data)).toMatchObject({ connection: { brokers: [expect.any(String)] } });
  });

  it('brings the definitions of files/crds as they are, to be kept', () => {
    const files = readdirSync(join(chart, 'files/crds'));
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) {
      const source = parse(readFileSync(join(chart, 'files/crds', file), 'utf8')) as RenderedObject;
      const rendered = find(defaults, 'CustomResourceDefinition', source.metadata.name);
      expect(rendered?.['spec']).toEqual(source['spec']);
      expect(rendered?.metadata.labels).toMatchObject(source.metadata.labels ?? {});
      expect(rendered?.metadata.annotations).toEqual({ ...source.metadata.annotations, 'helm.sh/resource-policy': 'keep' });
    }
  });

  it('leaves the levels in config-kafka-logging to people, and explains each key that there is', () => {
    const { _example: example = '', ...levels } = at(find(defaults, 'ConfigMap', 'config-kafka-logging'), 'data') as Record<string, string>;
    expect(levels).toEqual({});
    const explained = parse(example) as Record<string, string>;
    expect(Object.keys(explained).sort()).toEqual(Object.values(logLevelKeys).map(({ key }) => key).sort());
    for (const level of Object.values(explained)) expect(logLevels).toContain(level);
  });

  it('puts everything into the namespace of the release', async () => {
    const objects = await helm.render({ ...brokers, receiver: { autoscaling: { enabled: true } }, metrics: { serviceMonitor: { enabled: true } } }, '--namespace', 'elsewhere');
    const namespaced = objects.filter(({ metadata }) => metadata.namespace !== undefined);
    expect(namespaced.length).toBeGreaterThan(15);
    expect(new Set(namespaced.map(({ metadata }) => metadata.namespace))).toEqual(new Set(['elsewhere']));
    const subjects = objects.flatMap((object) => (object['subjects'] ?? []) as { namespace: string }[]);
    expect(new Set(subjects.map(({ namespace }) => namespace))).toEqual(new Set(['elsewhere']));
  });

  it('gives every object the usual labels', () => {
    for (const { kind, metadata } of defaults) {
      expect([kind, metadata.name, Object.keys(metadata.labels ?? {})]).toEqual([kind, metadata.name, expect.arrayContaining(['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/managed-by', 'app.kubernetes.io/part-of'])]);
    }
  });

  it('reads metrics of its own pods and not of the smoke test', () => {
    const selector = at(find(defaults, 'Service', 'knative-kafka-metrics'), 'spec.selector') as Record<string, string>;
    expect(at(find(defaults, 'Deployment', 'kafka-controller'), 'spec.template.metadata.labels')).toMatchObject(selector);
    expect(find(defaults, 'Pod', 'knative-kafka-smoke-test')?.metadata.labels).not.toMatchObject(selector);
  });

  it('docs/RBAC.md says what the chart says (npm run generate)', () => {
    const { current, wanted } = rbacPage(programs);
    expect(current).toBe(wanted);
  });
});
