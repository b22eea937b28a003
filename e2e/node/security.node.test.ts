/**
 * What the chart promises about its pods, seen from inside of them: what they may not do, and what reaches them without a
 * restart.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { chart, Cluster, patienceMs, release, systemNamespace } from './cluster.ts';
import { applyUntilReady, kafkaChannel, orderPlaced, orders, send, subscription } from './orders.ts';
import { Subscriber } from './subscriber.ts';
import { logOf, metricOf, runInPod, systemPods, type Component, type LogLine, type SystemPod } from './system-pods.ts';

/** Prints what the kernel knows of the service's process, and what becomes of writing here and there. */
const lookAround = `
const { readFileSync, writeFileSync } = require('node:fs');
const status = readFileSync('/proc/1/status', 'utf8');
const field = (name) => status.split('\\n').find((line) => line.startsWith(name + ':'))?.split(/\\s+/).slice(1);
const write = (folder) => { try { writeFileSync(folder + '/written', ''); return 'written'; } catch (error) { return error.code; } };
console.log(JSON.stringify({
  user: field('Uid'), group: field('Gid'), noNewPrivileges: field('NoNewPrivs'), seccomp: field('Seccomp'),
  capabilities: ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map((name) => field(name)[0]),
  writing: ['', '/app', '/tmp', '/var/tmp', '/etc', process.env.KAFKA_SECRET_DIR ?? ''].map(write),
}));
`;

/** Prints the API server's status for each path, asked with the token of the pod. */
const ask = (paths: readonly string[]): string => `
const { readFileSync } = require('node:fs');
const { get } = require('node:https');
const folder = '/var/run/secrets/kubernetes.io/serviceaccount/';
const [ca, token] = ['ca.crt', 'token'].map((file) => readFileSync(folder + file, 'utf8'));
const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
const statusOf = (path) => new Promise((resolve, reject) => {
  get({ host, port, path, ca, headers: { authorization: 'Bearer ' + token } }, (response) => resolve(response.resume().statusCode)).on('error', reject);
});
Promise.all(${JSON.stringify(paths)}.map(statusOf)).then((statuses) => console.log(JSON.stringify(statuses)));
`;

describe('the pods of an installation', () => {
  const cluster = new Cluster();
  const components = ['kafka-controller', 'channel-receiver', 'dispatcher', 'source-dispatcher'] as const satisfies readonly Component[];
  let subscriber: Subscriber;
  let id = 0;

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    await cluster.createNamespace(orders);
    await cluster.install();
    subscriber = await Subscriber.start(cluster, orders);
    await subscriber.answerWith({ path: '/from-source', status: 202 }, { status: 400 });
    await applyUntilReady(cluster, kafkaChannel(orders), subscription('refused', orders, { subscriber: { uri: subscriber.url }, delivery: { retry: 0 } }));
    await applyUntilReady(cluster, {
      apiVersion: 'sources.knative.dev/v1',
      kind: 'KafkaSource',
      metadata: { name: 'same-topic', namespace: orders },
      spec: { bootstrapServers: cluster.facts.kafka.split(','), topics: [`knative-messaging-kafka.${orders}.${orders}`], sink: { uri: subscriber.at('/from-source') } },
    });
    await cluster.kubectl(['wait', '--for=condition=DispatcherReady', `kafkachannel/${orders}`, '--namespace', orders, `--timeout=${patienceMs}ms`]);
  });
  afterAll(async () => {
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it.each(components)('run as nobody in particular, with no capability and nothing to write to: %s', async (component) => {
    const pods = await systemPods(cluster, component);
    expect(pods).toHaveLength(component.endsWith('dispatcher') ? 1 : 2);
    for (const pod of pods) {
      const { capabilities, writing, ...rest } = await runInPod<Surroundings>(cluster, pod, lookAround);
      const nobody = Array.from({ length: 4 }, () => '65532'); // real, effective, saved, of files
      expect(rest).toEqual({ user: nobody, group: nobody, noNewPrivileges: ['1'], seccomp: ['2'] }); // 2: a filter
      expect(capabilities.map((mask) => BigInt(`0x${mask}`))).toEqual([0n, 0n, 0n, 0n, 0n]);
      expect([...new Set(writing)]).toEqual(['EROFS']);
    }
  });

  it('live in a namespace that refuses whoever wants more', async () => {
    const { code, stderr } = await cluster.tryKubectl(['create', '--dry-run=server', '--filename', '-'], JSON.stringify(podAs('default', { hostNetwork: true })));
    expect(code).not.toBe(0);
    expect(stderr).toContain('violates PodSecurity "restricted');
  });

  it('have ServiceAccounts of their own, which give a token to those alone that ask for it', async () => {
    const accounts = { 'kafka-controller': 'kafka-controller', 'channel-receiver': 'kafka-channel-receiver', 'dispatcher': 'kafka-channel-dispatcher', 'source-dispatcher': 'kafka-source-dispatcher' };
    for (const component of components) {
      const account = accounts[component];
      for (const pod of await systemPods(cluster, component)) expect(pod.serviceAccount).toBe(account);
      expect(await volumesOf(podAs(account))).toEqual([]);
      expect(await volumesOf(podAs(account, { automountServiceAccountToken: true }))).toEqual([expect.objectContaining({ projected: expect.anything() as unknown })]);
    }
  });

  const kindOf = { 'channel-receiver': '/apis/messaging.knative.dev/v1/kafkachannels', 'dispatcher': '/apis/messaging.knative.dev/v1/kafkachannels', 'source-dispatcher': '/apis/sources.knative.dev/v1/kafkasources' } as const;

  it.each(['channel-receiver', 'dispatcher', 'source-dispatcher'] as const)('have a token that reads what they serve and how much to log, and no Secret: %s', async (component) => {
    const core = `/api/v1/namespaces/${systemNamespace}`;
    const allowed = [`${core}/configmaps/config-kafka-logging`, kindOf[component]];
    const denied = [
      ...[`${core}/secrets/kafka-cluster`, `${core}/secrets`, '/api/v1/secrets', `/api/v1/namespaces/${orders}/secrets`],
      ...[`${core}/pods`, `${core}/configmaps`, '/api/v1/namespaces/kube-system/configmaps', `/apis/apps/v1/namespaces/${systemNamespace}/deployments`],
    ];
    for (const pod of await systemPods(cluster, component)) {
      expect(await runInPod(cluster, pod, ask(allowed))).toEqual(allowed.map(() => 200));
      expect(await runInPod(cluster, pod, ask(denied))).toEqual(denied.map(() => 403));
    }
  });

  it('let the controller list Secrets of its own namespace alone', async () => {
    const [pod] = await systemPods(cluster, 'kafka-controller');
    const paths = [`/api/v1/namespaces/${systemNamespace}/secrets/kafka-cluster`, `/api/v1/namespaces/${orders}/secrets`, '/api/v1/secrets'];
    expect(await runInPod(cluster, pod!, ask(paths))).toEqual([200, 403, 403]);
  });

  it('take up a feature that an upgrade switches on, and none of them starts anew', async () => {
    const before = await systemPods(cluster);
    const dispatcher = (await systemPods(cluster, 'dispatcher'))[0]!;
    await sendUntil(dispatcher, 'dropped');
    expect(await eventsWith(dispatcher, 'kept')).toBe(0);
    await upgrade('features.deadLetterTopic=enabled');
    await sendUntil(dispatcher, 'kept');
    const dropped = await eventsWith(dispatcher, 'dropped');
    const kept = await eventsWith(dispatcher, 'kept');
    await send(subscriber, orders, orderPlaced(`refused-${++id}`));
    await waitFor('one more to be kept', async () => (await eventsWith(dispatcher, 'kept')) > kept, { timeoutMs: patienceMs, everyMs: 300 });
    expect(await eventsWith(dispatcher, 'dropped')).toBe(dropped);
    expect(await systemPods(cluster)).toEqual(before);
  });

  it('log at the level that config-kafka-logging asks for, and none of them starts anew', async () => {
    const before = await systemPods(cluster);
    const sayAll = async (level: string | null): Promise<void> => {
      const keys = components.map((component) => `loglevel.${component.replace('kafka-', '')}`);
      await cluster.kubectl(['patch', 'configmap', 'config-kafka-logging', '--namespace', systemNamespace, '--type', 'merge', '--patch', JSON.stringify({ data: Object.fromEntries(keys.map((key) => [key, level])) })]);
    };
    const untilAll = (fact: string, isIt: (line: LogLine) => boolean) =>
      waitFor(fact, async () => (await Promise.all(before.map((pod) => logOf(cluster, pod)))).every((lines) => lines.some(isIt)), { timeoutMs: patienceMs, everyMs: 500 });
    await sayAll('debug');
    await untilAll('every pod at debug', ({ logLevel, logLevelBefore }) => logLevel === 'debug' && logLevelBefore === 'info');
    await sayAll(null);
    await untilAll('every pod as it was', ({ logLevel, logLevelBefore }) => logLevel === 'info' && logLevelBefore === 'debug');
    expect(await systemPods(cluster)).toEqual(before);
  });

  it('log at the level that an upgrade asks for, and only those start anew whose level it is', async () => {
    const receivers = await systemPods(cluster, 'channel-receiver');
    const loud = await onlyDispatcher();
    expect((await logOf(cluster, loud)).map(({ message }) => message)).toContain('dispatcher started');
    await upgrade('features.deadLetterTopic=enabled', 'dispatcher.logLevel=warn');
    const quiet = await dispatcherAfter(loud);
    // It has started and delivers, and says nothing of it.
    await sendUntil(quiet, 'kept');
    expect((await logOf(cluster, quiet)).filter(({ level }) => level === 'info')).toEqual([]);
    await upgrade('features.deadLetterTopic=enabled');
    const loudAgain = await dispatcherAfter(quiet);
    expect((await logOf(cluster, loudAgain)).map(({ message }) => message)).toContain('dispatcher started');
    expect(await systemPods(cluster, 'channel-receiver')).toEqual(receivers);
  });

  it('have not been restarted by anything', async () => {
    for (const pod of await systemPods(cluster)) expect(pod.restarts).toBe(0);
  });

  async function upgrade(...values: readonly string[]): Promise<void> {
    await cluster.helm(['upgrade', release, chart, ...cluster.values(), ...values.flatMap((value) => ['--set', value]), '--wait', '--timeout', '4m']);
  }

  /** Sends events that nobody takes until one of them has this outcome. */
  async function sendUntil(dispatcher: SystemPod, outcome: string): Promise<void> {
    const before = await eventsWith(dispatcher, outcome);
    await waitFor(`an event to be ${outcome}`, async () => {
      await send(subscriber, orders, orderPlaced(`refused-${++id}`));
      return (await eventsWith(dispatcher, outcome)) > before;
    }, { timeoutMs: patienceMs, everyMs: 500 });
  }

  async function eventsWith(dispatcher: SystemPod, outcome: string): Promise<number> {
    return (await metricOf(cluster, dispatcher, 'knative_kafka_dispatch_events_total', { outcome })) ?? 0;
  }

  async function onlyDispatcher(): Promise<SystemPod> {
    return waitFor('one dispatcher', async () => {
      const pods = await systemPods(cluster, 'dispatcher');
      return pods.length === 1 && pods[0];
    }, { timeoutMs: patienceMs, everyMs: 500 });
  }

  /** Waits until another pod has taken its place and is ready. */
  async function dispatcherAfter({ uid }: SystemPod): Promise<SystemPod> {
    const next = await waitFor('another dispatcher', async () => {
      const pod = await onlyDispatcher();
      return pod.uid !== uid && pod;
    }, { timeoutMs: patienceMs, everyMs: 500 });
    await cluster.untilReady(`pod/${next.name}`, systemNamespace);
    return next;
  }

  /** Volumes that a pod would have. */
  async function volumesOf(pod: object): Promise<readonly object[]> {
    const made = JSON.parse(await cluster.kubectl(['create', '--dry-run=server', '--output', 'json', '--filename', '-'], JSON.stringify(pod))) as { spec: { volumes?: object[] } };
    return made.spec.volumes ?? [];
  }

  function podAs(serviceAccountName: string, spec: object = {}): object {
    const container = { name: 'one', image: cluster.facts.nodeImage, securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } };
    const securityContext = { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } };
    return { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'one', namespace: systemNamespace }, spec: { serviceAccountName, securityContext, containers: [container], ...spec } };
  }
});

/** What lookAround prints. */
interface Surroundings {
  readonly user: readonly string[];
  readonly group: readonly string[];
  readonly noNewPrivileges: readonly string[];
  readonly seccomp: readonly string[];
  /** Masks in hexadecimal. */
  readonly capabilities: readonly string[];
  /** Error codes, or `written`. */
  readonly writing: readonly string[];
}
