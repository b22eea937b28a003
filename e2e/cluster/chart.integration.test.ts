/**
 * The life of a release on a real API server: install, upgrade, rollback, uninstall, beside Knative Eventing, and where
 * eventing-kafka-broker is. No pod runs here.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stableHash } from '@knative-kafka/common/core';
import { ensureKnativeEventing, startKubernetes, waitFor, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { at, Chart, type RenderedObject } from '../chart/render.ts';
import { chart, helm, kubectl, patienceMs, release } from './install.ts';

const patience = { timeoutMs: patienceMs };

/** A cluster for the tests of a describe, and a folder. */
function withCluster(): { readonly cluster: () => KubernetesCluster; readonly folder: () => string } {
  let folder: string;
  let cluster: KubernetesCluster;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'knative-kafka-chart-'));
    cluster = await startKubernetes({ dataDir: join(folder, 'kubernetes'), onProgress: console.log });
  });
  afterAll(async () => {
    await cluster.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return { cluster: () => cluster, folder: () => folder };
}

async function get(cluster: KubernetesCluster, kind: string, name: string, namespace = 'default'): Promise<RenderedObject | undefined> {
  const text = await kubectl(cluster, ['get', kind, name, '-n', namespace, '-o', 'json', '--ignore-not-found']);
  return text === '' ? undefined : (JSON.parse(text) as RenderedObject);
}

const kinds = [
  'serviceaccounts', 'secrets', 'configmaps', 'services', 'deployments', 'statefulsets', 'pods', 'poddisruptionbudgets', 'horizontalpodautoscalers', 'networkpolicies', 'roles', 'rolebindings', 'clusterroles',
  'clusterrolebindings', 'validatingadmissionpolicies', 'validatingadmissionpolicybindings', 'customresourcedefinitions',
];

/** `kind/namespace/name` of everything that a chart can make. */
async function everything(cluster: KubernetesCluster): Promise<readonly string[]> {
  const { items } = JSON.parse(await kubectl(cluster, ['get', kinds.join(','), '-A', '-o', 'json'])) as { items: RenderedObject[] };
  return items.map(({ kind, metadata: { namespace = '', name } }) => `${kind}/${namespace}/${name}`).sort();
}

const sharedRoles = ['addressable-resolver', 'channel-addressable-resolver', 'channelable-manipulator', 'service-addressable-resolver'];
const definition = (plural: string) => `${plural}.messaging.knative.dev`;
const sources = 'kafkasources.sources.knative.dev';
const kafkaChannel = (name: string, apiVersion = 'messaging.knative.dev/v1') => JSON.stringify({ apiVersion, kind: 'KafkaChannel', metadata: { name, namespace: 'default' }, spec: {} });

describe('on a cluster without Knative Eventing', () => {
  const { cluster, folder } = withCluster();
  const namespace = 'knative-eventing';
  const inRelease = ['--namespace', namespace];
  let before: readonly string[];

  beforeAll(async () => {
    await kubectl(cluster(), ['create', 'namespace', namespace]);
    await kubectl(cluster(), ['label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted', 'pod-security.kubernetes.io/warn=restricted']);
    await waitFor('what a namespace gets by itself', async () => (await everything(cluster())).includes(`ServiceAccount/${namespace}/default`) && (await everything(cluster())).includes(`ConfigMap/${namespace}/kube-root-ca.crt`), patience);
    before = await everything(cluster());
  });

  /**
   * What an earlier version may have been: another version of the chart, a definition without a short name, no features. Until
   * there is a release there is no real one.
   */
  function earlierChart(): string {
    const copy = join(folder(), 'earlier');
    cpSync(chart, copy, { recursive: true });
    const edit = (path: string, change: (text: string) => string): void => {
      const text = readFileSync(join(copy, path), 'utf8');
      expect(change(text)).not.toBe(text);
      writeFileSync(join(copy, path), change(text));
    };
    edit('Chart.yaml', (text) => text.replaceAll('ersion: 0.1.0', 'ersion: 0.0.9'));
    edit('files/crds/kafka-channel.yaml', (text) => text.replace('    shortNames: [kc]\n', ''));
    rmSync(join(copy, 'templates/features.yaml'));
    return copy;
  }
  const shortNames = async () => at(await get(cluster(), 'crd', definition('kafkachannels')), 'spec.names.shortNames');
  const image = async () => at(await get(cluster(), 'deployment', 'kafka-controller', namespace), 'spec.template.spec.containers.0.image');

  it('every object is accepted, and every pod by the strictest standard of Pod Security', async () => {
    const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    await kubectl(cluster(), ['apply', '-f', '-'], JSON.stringify({
      apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'servicemonitors.monitoring.coreos.com' },
      spec: { group: 'monitoring.coreos.com', scope: 'Namespaced', names: { kind: 'ServiceMonitor', plural: 'servicemonitors' }, versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: anything } }] },
    }));
    await kubectl(cluster(), ['wait', '--for=condition=Established', 'crd/servicemonitors.monitoring.coreos.com', `--timeout=${patienceMs}ms`]);
    const objects = await new Chart(cluster().programs).render({
      kafka: { brokers: 'kafka:9092' }, receiver: { autoscaling: { enabled: true } }, metrics: { serviceMonitor: { enabled: true } },
      controller: { affinity: { podAntiAffinity: {} }, tolerations: [{ operator: 'Exists' }], nodeSelector: { a: 'b' }, podAnnotations: { a: 'b' } }, imagePullSecrets: [{ name: 'pull' }],
    });
    const pods = objects.filter(({ kind }) => kind === 'Deployment').map((deployment) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { ...(at(deployment, 'spec.template.metadata') as object), name: 'of-a-template', namespace }, spec: at(deployment, 'spec.template.spec') }));
    expect(pods).toHaveLength(1);
    // A pod needs its ServiceAccount.
    const accounts = objects.filter(({ kind }) => kind === 'ServiceAccount');
    await kubectl(cluster(), ['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: accounts }));
    const rest = objects.filter(({ kind }) => kind !== 'ServiceAccount');
    const dryRun = (items: readonly object[]) => cluster().kubectl(['create', '--dry-run=server', '--validate=strict', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
    const { code, stdout, stderr } = await dryRun([...rest, ...pods]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim().split('\n')).toHaveLength(rest.length + pods.length);
    const lax = JSON.parse(JSON.stringify(pods).replaceAll('"runAsNonRoot":true', '"runAsNonRoot":false')) as object[];
    expect((await dryRun(lax)).stderr).toContain('violates PodSecurity "restricted');
    await kubectl(cluster(), ['delete', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: accounts }));
    await kubectl(cluster(), ['delete', 'crd', 'servicemonitors.monitoring.coreos.com']);
  });

  it('installs without a Kafka, and the notes say what is missing', async () => {
    const printed = await helm(cluster(), ['install', release, earlierChart(), ...inRelease]);
    expect(printed).toContain('MISSING: nothing tells how to reach it yet');
    expect(printed).toContain('eventing-kafka.knative.dev/kafka-secret=true');
    expect(printed).toContain('Knative Eventing is not installed');
    await kubectl(cluster(), ['wait', '--for=condition=Established', 'crd', '--all', `--timeout=${patienceMs}ms`]);
    await kubectl(cluster(), ['apply', '-f', '-'], kafkaChannel('orders'));
    expect(await shortNames()).toBeUndefined();
    expect(await image()).toBe('knative-kafka/controller:0.0.9');
  });

  it('upgrades from an earlier version, with the definitions, and the channels stay', async () => {
    const channel = await get(cluster(), 'kafkachannel', 'orders');
    const printed = await helm(cluster(), ['upgrade', release, chart, ...inRelease, '--set', 'kafka.brokers=kafka:9092', '--set', 'controller.replicas=3']);
    expect(printed).toContain('The Secret kafka-cluster tells how to reach it');
    expect(await shortNames()).toEqual(['kc']);
    expect(await image()).toBe('knative-kafka/controller:0.1.0');
    expect(await get(cluster(), 'configmap', 'config-kafka-features', namespace)).toBeDefined();
    expect(at(await get(cluster(), 'secret', 'kafka-cluster', namespace), 'data')).toEqual({ brokers: Buffer.from('kafka:9092').toString('base64') });
    expect(at(await get(cluster(), 'deployment', 'kafka-controller', namespace), 'spec.replicas')).toBe(3);
    expect(await get(cluster(), 'kafkachannel', 'orders')).toEqual(channel);
  });

  it('changes nothing by an upgrade to what is there', async () => {
    const names = ['deployment/kafka-controller', 'clusterrole/kafka-controller', `crd/${definition('kafkachannels')}`, `crd/${sources}`, 'secret/kafka-cluster', 'configmap/config-kafka-features', 'configmap/config-kafka-source-data-plane', 'configmap/config-kafka-logging', 'validatingadmissionpolicy/channel-subscribers.messaging.knative.dev'];
    const generations = async () => kubectl(cluster(), ['get', ...names, ...inRelease, '-o', 'jsonpath={range .items[*]}{.metadata.name} {.metadata.generation} {.data} {.rules}{"\\n"}{end}']);
    const earlier = await generations();
    await helm(cluster(), ['upgrade', release, chart, ...inRelease, '--reuse-values']);
    expect(await generations()).toBe(earlier);
  });

  it('takes what is not wanted any more away', async () => {
    await helm(cluster(), ['upgrade', release, chart, ...inRelease, '--set', 'metrics.service.enabled=false']);
    expect(await get(cluster(), 'service', 'knative-kafka-metrics', namespace)).toBeUndefined();
    // brokers were not said again.
    expect(await get(cluster(), 'secret', 'kafka-cluster', namespace)).toBeUndefined();
    expect(at(await get(cluster(), 'deployment', 'kafka-controller', namespace), 'spec.replicas')).toBe(2);
  });

  it('rolls back to the values and the version before', async () => {
    await helm(cluster(), ['rollback', release, '2', ...inRelease]);
    expect(at(await get(cluster(), 'deployment', 'kafka-controller', namespace), 'spec.replicas')).toBe(3);
    expect(await get(cluster(), 'secret', 'kafka-cluster', namespace)).toBeDefined();
    await helm(cluster(), ['rollback', release, '1', ...inRelease]);
    expect(await image()).toBe('knative-kafka/controller:0.0.9');
    expect(await shortNames()).toBeUndefined();
    expect(await get(cluster(), 'kafkachannel', 'orders')).toBeDefined();
    await helm(cluster(), ['upgrade', release, chart, ...inRelease]);
    expect(await shortNames()).toEqual(['kc']);
  });

  describe('what was changed in the cluster', () => {
    const upgrade = async (...args: readonly string[]) => helm(cluster(), ['upgrade', release, chart, ...inRelease, ...args]);
    const podCapacity = async () => (at(await get(cluster(), 'deployment', 'kafka-controller', namespace), 'spec.template.spec.containers.0.env') as { name: string; value?: string }[]).find(({ name }) => name === 'POD_CAPACITY')?.value;
    const features = async () => at(await get(cluster(), 'configmap', 'config-kafka-features', namespace), 'data') as Record<string, string>;
    const logLevels = async () => at(await get(cluster(), 'configmap', 'config-kafka-logging', namespace), 'data') as Record<string, string>;
    const consumers = async () => at(await get(cluster(), 'configmap', 'config-kafka-source-data-plane', namespace), 'data') as Record<string, string>;
    const properties = 'config-kafka-source-consumer.properties';
    const toOtherValues = ['sources.podCapacity=5', 'sources.maxPollRecords=70', 'features.rateLimiter=enabled'].flatMap((value) => ['--set', value]);

    it.each([['--server-side=true', '--force-conflicts'], ['--server-side=false']])('stays over an upgrade, and the notes say so: %s', async (how, ...force) => {
      await upgrade(how, ...force, '--reset-values');
      await kubectl(cluster(), ['set', 'env', 'deployment/kafka-controller', ...inRelease, 'POD_CAPACITY=1']);
      await kubectl(cluster(), ['patch', 'configmap', 'config-kafka-features', ...inRelease, '--patch', JSON.stringify({ data: { 'dispatcher.rate-limiter': 'enabled', mine: 'x' } })]);
      await kubectl(cluster(), ['patch', 'configmap', 'config-kafka-source-data-plane', ...inRelease, '--patch', JSON.stringify({ data: { [properties]: 'max.poll.records=100\n' } })]);
      await kubectl(cluster(), ['patch', 'configmap', 'config-kafka-logging', ...inRelease, '--patch', JSON.stringify({ data: { 'loglevel.dispatcher': 'debug' } })]);
      for (const times of [1, 2]) {
        const printed = await upgrade('--set', `controller.replicas=${times}`, how);
        expect(printed).toContain('Changed in the cluster, and therefore not as the values say:');
        for (const line of ['dispatcher.rate-limiter in the ConfigMap config-kafka-features', `${properties} in the ConfigMap config-kafka-source-data-plane`, 'POD_CAPACITY of the Deployment kafka-controller']) expect(printed).toContain(line);
        expect([await podCapacity(), await features(), await consumers()]).toMatchObject(['1', { 'dispatcher.rate-limiter': 'enabled', 'dead-letter-topic': 'disabled', mine: 'x' }, { [properties]: 'max.poll.records=100\n' }]);
        expect(await logLevels()).toEqual({ '_example': expect.any(String) as unknown, 'loglevel.dispatcher': 'debug' });
      }
      await upgrade(how, ...force, ...toOtherValues);
      expect([await podCapacity(), (await features())['dispatcher.rate-limiter'], (await consumers())[properties]]).toEqual(['5', 'enabled', expect.stringMatching(/^max\.poll\.records=70$/m)]);
      await upgrade(how, ...force, '--reset-values');
      expect([await podCapacity(), (await features())['dispatcher.rate-limiter'], (await consumers())[properties]]).toEqual(['20', 'disabled', expect.stringMatching(/^max\.poll\.records=50$/m)]);
      expect(await helm(cluster(), ['get', 'notes', release, ...inRelease])).not.toContain('Changed in the cluster');
      // The values say nothing of it.
      expect(await logLevels()).toMatchObject({ 'loglevel.dispatcher': 'debug' });
    });

    it('and then in the values too, to something else, is told as a conflict', async () => {
      await kubectl(cluster(), ['set', 'env', 'deployment/kafka-controller', ...inRelease, 'POD_CAPACITY=1']);
      const { code, stderr } = await cluster().helm(['upgrade', release, chart, ...inRelease, '--server-side=true', '--set', 'sources.podCapacity=5']);
      expect(code).not.toBe(0);
      expect(stderr).toContain('POD_CAPACITY');
      expect(await podCapacity()).toBe('1');
      await upgrade('--server-side=true', '--set', 'sources.podCapacity=1');
      expect(await podCapacity()).toBe('1');
      await upgrade('--server-side=true', '--force-conflicts', '--reset-values');
      expect(await podCapacity()).toBe('20');
    });
  });

  it('kubectl explain has the words of the definition', async () => {
    expect((await kubectl(cluster(), ['explain', 'kafkachannel.spec.delivery.backoffDelay'])).replace(/\s+/g, ' ')).toMatch(/FIELD: backoffDelay <string> DESCRIPTION: \w+/);
  });

  it('knows a Kafka Secret of somebody else', async () => {
    await kubectl(cluster(), ['create', 'secret', 'generic', 'theirs', ...inRelease, '--from-literal', 'brokers=kafka:9092']);
    await kubectl(cluster(), ['label', 'secret', 'theirs', ...inRelease, 'eventing-kafka.knative.dev/kafka-secret=true']);
    const printed = await helm(cluster(), ['upgrade', release, chart, ...inRelease]);
    expect(printed).toContain('How to reach it is told by: theirs');
    await kubectl(cluster(), ['delete', 'secret', 'theirs', ...inRelease]);
  });

  it.each([
    ['kafka-channel-receiver', /^kafkachannels\.messaging/, /^configmaps +\[\] +\[config-kafka-logging\]/],
    ['kafka-channel-dispatcher', /^(kafkachannels|subscriptions)\.messaging/, /^configmaps +\[\] +\[config-kafka-(features|logging)\]/],
    ['kafka-source-dispatcher', /^kafkasources\.sources/, /^configmaps +\[\] +\[config-kafka-(features|logging|source-data-plane)\]/],
  ])('%s may write nothing and read no Secret', async (serviceAccount, everywhere, here) => {
    const kubeconfig = await cluster().kubeconfigFor({ namespace, serviceAccount });
    const listed = async (where: string) => (await cluster().kubectl(['auth', 'can-i', '--list', '--namespace', where], { kubeconfig })).stdout;
    // Everybody may ask who they are and what they may; and read what the API server tells about itself.
    const own = (text: string) => text.trim().split('\n').slice(1).filter((line) => !/^(selfsubject\w+\.|\s)/.test(line));
    for (const where of [namespace, 'default']) {
      const lines = own(await listed(where));
      expect(lines.length).toBeGreaterThan(0);
      for (const line of lines) {
        expect(line).toMatch(/\[get list watch\]$/);
        expect(line).toMatch(where === namespace ? new RegExp(`${everywhere.source}|${here.source}`) : everywhere);
      }
    }
  });

  it('kafka-controller lists Secrets in the namespace of the release only, and gets those that it knows by name', async () => {
    const kubeconfig = await cluster().kubeconfigFor({ namespace, serviceAccount: 'kafka-controller' });
    const ask = async (...args: readonly string[]) => (await cluster().kubectl(['auth', 'can-i', ...args], { kubeconfig })).stdout.trim();
    for (const verb of ['get', 'list', 'watch']) expect(await ask(verb, 'secrets', ...inRelease)).toBe('yes');
    for (const verb of ['create', 'update', 'patch', 'delete']) expect(await ask(verb, 'secrets', ...inRelease)).toBe('no');
    for (const where of [['--namespace', 'default'], ['--namespace', 'kube-system'], ['--all-namespaces']]) {
      expect(await ask('get', 'secrets', ...where)).toBe('yes');
      for (const verb of ['list', 'watch', 'create', 'update', 'patch', 'delete']) expect(await ask(verb, 'secrets', ...where)).toBe('no');
    }
  });

  it('kafka-controller can let the dispatchers of sources get a Secret, and nobody do what it may not do itself', async () => {
    const kubeconfig = await cluster().kubeconfigFor({ namespace, serviceAccount: 'kafka-controller' });
    const grant = (verbs: readonly string[]) => {
      const about = { namespace: 'default', name: 'of-a-source' };
      const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: about, rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['kafka'], verbs }] };
      const binding = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: about, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: about.name }, subjects: [{ kind: 'ServiceAccount', namespace, name: 'kafka-source-dispatcher' }] };
      return cluster().kubectl(['create', '-f', '-'], { kubeconfig, input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [role, binding] }) });
    };
    const refused = await grant(['get', 'list']);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('is attempting to grant RBAC permissions not currently held');
    expect(await grant(['get'])).toMatchObject({ code: 0 });
    const ask = async (name: string) => (await cluster().kubectl(['auth', 'can-i', 'get', `secrets/${name}`, '--namespace', 'default', '--as', `system:serviceaccount:${namespace}:kafka-source-dispatcher`])).stdout.trim();
    await waitFor('the right to get it', async () => (await ask('kafka')) === 'yes', patience);
    expect(await ask('other')).toBe('no');
    for (const kind of ['role', 'rolebinding']) expect(await cluster().kubectl(['delete', kind, 'of-a-source', '--namespace', 'default'], { kubeconfig })).toMatchObject({ code: 0 });
  });

  it('users of a namespace may scale KafkaSources when they may edit, and look at them when they may view', async () => {
    for (const role of ['edit', 'view']) await kubectl(cluster(), ['create', 'rolebinding', role, '--clusterrole', role, '--user', role, '--namespace', 'default']);
    const may = async (role: string, verb: string, subresource = '') => (await cluster().kubectl(['auth', 'can-i', verb, sources, `--subresource=${subresource}`, '--namespace', 'default', '--as', role])).stdout.trim();
    await waitFor('the roles to be put together', async () => (await may('edit', 'patch', 'scale')) === 'yes' && (await may('view', 'list')) === 'yes', patience);
    expect(await may('edit', 'create')).toBe('yes');
    expect(await may('edit', 'patch', 'status')).toBe('no');
    expect(await may('view', 'patch')).toBe('no');
    await kubectl(cluster(), ['delete', 'rolebinding', 'edit', 'view', '--namespace', 'default']);
  });

  it('a second installation in the same cluster is refused by its owner\'s name', async () => {
    const { code, stderr } = await cluster().helm(['install', 'another', chart, '--namespace', 'default']);
    expect(code).not.toBe(0);
    expect(stderr).toContain(`must equal "another": current value is "${release}"`);
  });

  it('leaves on uninstall exactly what the notes say, and an installation later goes on with it', async () => {
    const notes = await helm(cluster(), ['get', 'notes', release, ...inRelease]);
    const left = [...['channels', 'kafkachannels', 'subscriptions'].map((plural) => `CustomResourceDefinition//${definition(plural)}`), `CustomResourceDefinition//${sources}`, ...sharedRoles.map((name) => `ClusterRole//${name}`)].sort();
    for (const name of sharedRoles) expect(notes.replace(/\s+/g, ' ')).toContain(name);
    expect(notes).toContain(`the CustomResourceDefinitions *.messaging.knative.dev and ${sources}`);
    await helm(cluster(), ['uninstall', release, ...inRelease]);
    const difference = async () => (await everything(cluster())).filter((name) => !before.includes(name));
    await waitFor('pods to go', async () => (await difference()).every((name) => !name.startsWith('Pod/')), patience);
    expect(await difference()).toEqual(left);
    expect(before.filter((name) => name.includes('kafka'))).toEqual([]);
    expect(await get(cluster(), 'kafkachannel', 'orders')).toBeDefined();

    await helm(cluster(), ['install', release, chart, ...inRelease]);
    expect(await get(cluster(), 'kafkachannel', 'orders')).toBeDefined();
  });
});

describe('with Knative Eventing, which comes later, in another namespace', () => {
  const { cluster } = withCluster();
  const namespace = 'messaging';
  const inRelease = ['--namespace', namespace];
  const observer = 'kafka-controller-knative-eventing-observer';
  const nameOf = async (kind: string, name: string) => (await get(cluster(), kind, name))?.metadata.labels?.['app.kubernetes.io/name'];
  const maySeeLeases = async (where: string) => (await cluster().kubectl(['auth', 'can-i', 'list', 'leases.coordination.k8s.io', '--namespace', where, '--as', `system:serviceaccount:${namespace}:kafka-controller`])).stdout.trim();

  it('notices it in a namespace that is not there yet', async () => {
    await helm(cluster(), ['install', release, chart, ...inRelease, '--create-namespace']);
    expect(await get(cluster(), 'clusterrole', observer)).toBeDefined();
    await waitFor('the right to look', async () => (await maySeeLeases('knative-eventing')) === 'yes', patience);
    expect(await get(cluster(), 'clusterrolebinding', 'kafka-controller-channelable-manipulator')).toBeDefined();
    expect(at(await get(cluster(), 'validatingadmissionpolicy', 'channel-subscribers.messaging.knative.dev'), 'spec.variables.0.expression')).toBe(`['system:serviceaccount:${namespace}:kafka-controller', 'system:serviceaccount:knative-eventing:eventing-controller']`);
  });

  it('leaves to it what it took over', async () => {
    await kubectl(cluster(), ['apply', '-f', '-'], kafkaChannel('orders'));
    const folder = join(await ensureKnativeEventing(console.log), 'config');
    for (const path of ['100-namespace.yaml', '200-eventing-serviceaccount.yaml', 'roles', 'resources/channel.yaml', 'resources/subscription.yaml']) await kubectl(cluster(), ['apply', '-f', join(folder, path)]);
    const theirs = [...['subscriptions', 'channels'].map((plural) => ['crd', definition(plural)] as const), ...sharedRoles.map((name) => ['clusterrole', name] as const)];
    for (const [kind, name] of theirs) expect([name, await nameOf(kind, name)]).toEqual([name, 'knative-eventing']);
    // The rules of an aggregated role are its parts'.
    const specs = async () => Promise.all(theirs.map(async ([kind, name]) => {
      const object = await get(cluster(), kind, name);
      return [name, stableHash(JSON.stringify([object?.['spec'], object?.['aggregationRule'] ?? object?.['rules']]))];
    }));
    const before = await specs();

    const printed = await helm(cluster(), ['upgrade', release, chart, ...inRelease]);
    expect(printed).toContain('Knative Eventing is installed');
    for (const [kind, name] of theirs) expect([name, await nameOf(kind, name)]).toEqual([name, 'knative-eventing']);
    expect(await specs()).toEqual(before);
    expect(await get(cluster(), 'clusterrolebinding', 'kafka-controller-channelable-manipulator')).toBeUndefined();
    expect(await get(cluster(), 'clusterrole', observer)).toBeUndefined();
    expect(await get(cluster(), 'role', observer, 'knative-eventing')).toBeDefined();
    await waitFor('the right to look there only', async () => (await maySeeLeases('knative-eventing')) === 'yes' && (await maySeeLeases('default')) === 'no', patience);

    await helm(cluster(), ['uninstall', release, ...inRelease]);
    expect(await specs()).toEqual(before);
    expect(await get(cluster(), 'kafkachannel', 'orders')).toBeDefined();
  });

  it('installs beside it, and touches nothing of it', async () => {
    const version = async () => (await Promise.all(['subscriptions', 'channels'].map((plural) => get(cluster(), 'crd', definition(plural))))).map((object) => at(object, 'metadata.resourceVersion'));
    const before = await version();
    await helm(cluster(), ['install', release, chart, ...inRelease]);
    expect(await version()).toEqual(before);
    const manifest = await helm(cluster(), ['get', 'manifest', release, ...inRelease]);
    expect(manifest).toContain(definition('kafkachannels'));
    expect(manifest).not.toContain(`name: ${definition('subscriptions')}`);
    // Somebody says that it is not there; what it left is still not overwritten.
    await helm(cluster(), ['upgrade', release, chart, ...inRelease, '--set', 'knativeEventing.installed=false']);
    expect(await version()).toEqual(before);
    expect(await get(cluster(), 'clusterrolebinding', 'kafka-controller-channelable-manipulator')).toBeDefined();
  });
});

describe('where eventing-kafka-broker is', () => {
  const { cluster } = withCluster();
  const inRelease = ['--namespace', 'knative-eventing'];
  const channels = definition('kafkachannels');
  const adopt = ['--set', 'crds.adopt=true', '--take-ownership', '--server-side=false'];
  /** What it has of each kind: a definition with a webhook that converts, and an object. */
  const theirs = [
    { name: channels, kind: 'KafkaChannel', plural: 'kafkachannels', group: 'messaging.knative.dev', object: 'orders', spec: {} },
    { name: sources, kind: 'KafkaSource', plural: 'kafkasources', group: 'sources.knative.dev', object: 'payments', spec: { bootstrapServers: ['kafka:9092'], topics: ['payments'], consumerGroup: 'mine', consumers: 2, sink: { uri: 'http://a' } } },
  ];
  const define = async ({ name, kind, plural, group }: (typeof theirs)[number]) => {
    const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
    await kubectl(cluster(), ['apply', '-f', '-'], JSON.stringify({
      apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name },
      spec: {
        group, scope: 'Namespaced', names: { kind, plural },
        versions: [{ name: 'v1beta1', served: true, storage: true, schema }, { name: 'v1', served: true, storage: false, schema }],
        conversion: { strategy: 'Webhook', webhook: { conversionReviewVersions: ['v1'], clientConfig: { service: { name: 'kafka-webhook-eventing', namespace: 'knative-eventing' } } } },
      },
    }));
    await kubectl(cluster(), ['wait', '--for=condition=Established', `crd/${name}`, `--timeout=${patienceMs}ms`]);
  };

  beforeAll(async () => {
    await kubectl(cluster(), ['create', 'namespace', 'knative-eventing']);
    for (const kind of theirs) {
      await define(kind);
      await kubectl(cluster(), ['apply', '-f', '-'], JSON.stringify({ apiVersion: `${kind.group}/v1beta1`, kind: kind.kind, metadata: { name: kind.object, namespace: 'default' }, spec: kind.spec }));
    }
    for (const deployment of ['kafka-controller', 'kafka-webhook-eventing']) await kubectl(cluster(), ['create', 'deployment', deployment, ...inRelease, '--image=theirs']);
    const labels = { app: 'kafka-source-dispatcher' };
    await kubectl(cluster(), ['apply', '-f', '-'], JSON.stringify({
      apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'kafka-source-dispatcher', namespace: 'knative-eventing' },
      spec: { replicas: 0, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: 'dispatcher', image: 'theirs' }] } } },
    }));
  });

  const refusal = async (...args: readonly string[]) => {
    const { code, stderr } = await cluster().helm(['install', release, chart, ...inRelease, ...args]);
    expect(code).not.toBe(0);
    return stderr;
  };
  /** The command that the refusal prints. */
  const removal = (text: string) => /kubectl (delete [\s\S]*? --namespace \S+)/.exec(text)![1]!.replaceAll('\\\n', ' ').split(/\s+/);

  it('refuses, says how to change over, and makes nothing', async () => {
    const text = await refusal();
    expect(text).toContain(`The CustomResourceDefinitions ${channels} and ${sources} are in this cluster already, and they are not from this chart`);
    expect(text).toContain('--set crds.adopt=true --take-ownership --server-side=false');
    expect(text).toContain('docs/MIGRATING.md');
    expect(removal(text)).toEqual(['delete', 'deployment/kafka-controller', 'deployment/kafka-webhook-eventing', 'statefulset/kafka-source-dispatcher', '--namespace', 'knative-eventing']);
    expect(await get(cluster(), 'serviceaccount', 'kafka-controller', 'knative-eventing')).toBeUndefined();
  });

  it('does not change over while its parts are there', async () => {
    expect(await refusal(...adopt)).toContain('Parts of eventing-kafka-broker are still there');
  });

  it('changes over by the commands that it prints, and channels and sources stay', async () => {
    await kubectl(cluster(), removal(await refusal(...adopt)));
    const objects = async (version: string) => Promise.all(theirs.map(async ({ plural, group, object }) => {
      const { code, stdout } = await cluster().kubectl(['get', `${plural}.${version}.${group}`, object, '-n', 'default', '-o', 'json']);
      return code === 0 ? [at(JSON.parse(stdout), 'metadata.uid'), at(JSON.parse(stdout), 'spec')] : undefined;
    }));
    const before = await objects('v1beta1');
    await helm(cluster(), ['install', release, chart, ...inRelease, ...adopt]);
    for (const { name } of theirs) {
      const crd = await get(cluster(), 'crd', name);
      expect(at(crd, 'spec.conversion')).toEqual({ strategy: 'None' });
      expect(crd?.metadata.labels).toMatchObject({ 'app.kubernetes.io/name': 'knative-kafka' });
    }
    await waitFor('v1 without a webhook', async () => (await objects('v1')).every((object) => object !== undefined), patience);
    const after = await objects('v1');
    expect(after.map((object) => object?.[0])).toEqual(before.map((object) => object?.[0]));
    expect(after[1]?.[1]).toMatchObject(theirs[1]!.spec);
    await helm(cluster(), ['upgrade', release, chart, ...inRelease]);
    await helm(cluster(), ['upgrade', release, chart, ...inRelease, '--server-side=true']);
    for (const { name } of theirs) expect(at(await get(cluster(), 'crd', name), 'spec.conversion')).toEqual({ strategy: 'None' });
  });

  it.each(theirs)('refuses for $name alone, too, and leaves it to whoever answers for it', async ({ name }) => {
    await helm(cluster(), ['uninstall', release, ...inRelease]);
    await kubectl(cluster(), ['label', 'crd', name, 'app.kubernetes.io/name=somebody-else', '--overwrite']);
    expect(await refusal()).toContain(`The CustomResourceDefinition ${name} is in this cluster already, and it is not from this chart`);
    await helm(cluster(), ['install', release, chart, ...inRelease, '--set', 'crds.install=false']);
    expect((await get(cluster(), 'crd', name))?.metadata.labels).toMatchObject({ 'app.kubernetes.io/name': 'somebody-else' });
    await kubectl(cluster(), ['label', 'crd', name, 'app.kubernetes.io/name=knative-kafka', '--overwrite']);
  });
});
