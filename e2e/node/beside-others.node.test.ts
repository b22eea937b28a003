/**
 * Installing where others have been before: Knative Eventing, which is lived with, and eventing-kafka-broker, which is
 * not, because two controllers of KafkaChannels would work against each other.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startKnativeEventing, type KnativeEventing } from '@knative-kafka/local-cluster';
import { chart, Cluster, release, systemNamespace } from './cluster.ts';
import { orders, sendAndAwait, startOrders } from './orders.ts';
import type { Subscriber } from './subscriber.ts';

describe('beside Knative Eventing', () => {
  const cluster = new Cluster();
  const folder = mkdtempSync(join(tmpdir(), 'knative-kafka-eventing-'));
  let eventing: KnativeEventing;
  let subscriber: Subscriber;

  beforeAll(async () => {
    eventing = await startKnativeEventing({ kubernetes: cluster.clients(), logFile: join(folder, 'eventing.log') });
    await cluster.createNamespace(systemNamespace);
    await cluster.createNamespace(orders);
  });
  afterAll(async () => {
    await cluster.cleanUp([orders, systemNamespace]);
    await eventing.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('installs, and says that Subscriptions and Channels are left to it', async () => {
    await cluster.install();
    expect(await cluster.helm(['status', release])).toContain('Knative Eventing is installed: Subscriptions and Channels are left to it');
  });

  it('delivers by a Subscription that Knative Eventing looks after', async () => {
    subscriber = await startOrders(cluster);
    await sendAndAwait(subscriber, 'beside');
    const subscription = await cluster.get('subscription', 'all', orders);
    expect(subscription?.metadata.finalizers).toEqual(['subscriptions.messaging.knative.dev']);
    // Its own CRD, which this chart has not taken over.
    const crd = await cluster.kubectl(['get', 'crd', 'subscriptions.messaging.knative.dev', '--output', 'jsonpath={.metadata.labels}']);
    expect(JSON.parse(crd)).toMatchObject({ 'app.kubernetes.io/name': 'knative-eventing' });
  });

  it('leaves all of Knative Eventing where it was on uninstall', async () => {
    await cluster.helm(['uninstall', release, '--wait', '--timeout', '4m']);
    const names = (await cluster.list('crds')).map(({ metadata }) => metadata.name);
    expect(names).toEqual(expect.arrayContaining(['channels.messaging.knative.dev', 'subscriptions.messaging.knative.dev', 'eventpolicies.eventing.knative.dev']));
    expect(await cluster.get('serviceaccount', 'eventing-controller', systemNamespace)).toBeDefined();
    expect(await cluster.get('clusterrole', 'channelable-manipulator', '')).toBeDefined();
  });
});

describe('where a KafkaChannel definition of somebody else is', () => {
  const cluster = new Cluster();

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    // The definition that eventing-kafka-broker brings has the same name and carries no mark of this chart.
    await cluster.kubectl(['apply', '--server-side', '--filename', join(chart, 'files', 'crds', 'kafka-channel.yaml')]);
  });
  afterAll(async () => {
    await cluster.cleanUp([systemNamespace]);
  });

  it('refuses with a sentence that says what to do, and installs nothing', async () => {
    const { code, stderr } = await cluster.tryHelm(['install', release, chart, ...cluster.values(), '--wait', '--timeout', '4m']);
    expect(code).not.toBe(0);
    expect(stderr).toContain('kafkachannels.messaging.knative.dev is in this cluster already, and it is not from this chart');
    expect(stderr).toContain('eventing-kafka-broker');
    expect(stderr).toContain('--set crds.adopt=true');
    expect(await cluster.list('deployments', '--namespace', systemNamespace)).toEqual([]);
    expect(await cluster.helm(['list', '--short'])).toBe('');
  });

  it('installs when it is told to take the definition over', async () => {
    await cluster.helm(['install', release, chart, ...cluster.values(), '--set', 'crds.adopt=true', '--take-ownership', '--server-side=false', '--wait', '--timeout', '4m']);
    expect(await cluster.helm(['list', '--short'])).toBe(`${release}\n`);
  });
});
