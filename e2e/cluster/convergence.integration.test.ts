/**
 * The controller as it runs in a cluster, with a network to the API server that fails at random while people make, change
 * and remove channels and Subscriptions, and meddle with what the controller has made.
 *
 * What is promised: when the faults are over, the state is the desired one, and nothing is left of what was removed.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKubernetesApi, resourceTypes, type ClosableKubernetesApi, type KubernetesObject, type ResourceType } from '@knative-kafka/common/io';
import { waitFor } from '@knative-kafka/local-cluster';
import { SeededRandom } from '../../packages/common/src/core/cloudevents/seeded-random.ts';
import { startFaultyProxy, type FaultyProxy, type ProxyFault } from '../../packages/common/src/io/kubernetes/faulty-proxy.ts';
import type { Service } from '../local/harness.ts';
import { ClusterWorld, conditionOf, isReady, kafkaChannel, patienceMs, subscription, systemNamespace, type ClusterObject } from './cluster-world.ts';

/**
 * What a controller made and another removed before the informer saw it is looked at again after five minutes, give or
 * take a fifth; nearly always a few seconds are enough.
 */
const convergenceMs = 420_000;
const [channels, subscriptions, services, steps, leastFaults] = [6, 12, 3, 250, 150];
const retentions = ['PT1H', 'PT2H', 'PT3H'];

let world: ClusterWorld;
let proxy: FaultyProxy;
let controller: Service;
/** Past the proxy, as the people of the cluster. */
let api: ClosableKubernetesApi;

beforeAll(async () => {
  world = await ClusterWorld.start();
  proxy = await startFaultyProxy(world.kubernetes.kubeconfig, join(world.dataDir, 'proxy.kubeconfig'), { namespace: systemNamespace, serviceAccount: 'kafka-controller' });
  controller = await world.controller({ kubeconfig: proxy.kubeconfig, env: { LEASE_DURATION: '3s', GROUP_LINGER: '200ms' } });
  api = createKubernetesApi({ kubeconfig: world.kubernetes.kubeconfig, userAgent: 'people', fieldManager: 'people', requestTimeoutMs: 30_000, requestsPerSecond: 1_000, burst: 1_000 });
});

afterAll(async () => {
  await api.close();
  await world.stop();
  await proxy.close();
});

const topicOf = (channel: string) => `knative-messaging-kafka.default.${channel}`;
const serviceObject = (name: string): ClusterObject => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec: { ports: [{ port: 80 }] } });

/** What somebody does next; most of it is nothing new, or is refused because the object is on its way out. */
async function act(random: SeededRandom): Promise<unknown> {
  const isOneIn = (count: number): boolean => random.below(count) === 0;
  const channel = `channel-${random.below(channels)}`;
  const name = `subscription-${random.below(subscriptions)}`;
  const service = `service-${random.below(services)}`;
  const remove = (type: ResourceType, of: string, namespace = 'default') => api.delete(type, { namespace, name: of });
  const put = async (type: ResourceType, object: ClusterObject): Promise<void> => {
    if ((await api.get(type, { namespace: 'default', name: object.metadata.name }))?.metadata.deletionTimestamp === undefined) await api.apply(type, object as unknown as KubernetesObject);
  };
  switch (random.below(9)) {
    case 0:
    case 1:
      return put(resourceTypes.kafkaChannel, kafkaChannel(channel, { retentionDuration: random.pick(retentions), ...(isOneIn(2) ? { delivery: { retry: random.below(5) } } : {}) }));
    case 2:
    case 3:
    case 4:
      // A Subscription has the same channel always: that cannot be changed.
      return put(resourceTypes.subscription, subscription(name, `channel-${Number(name.slice(13)) % channels}`, isOneIn(3) ? { ref: { apiVersion: 'v1', kind: 'Service', name: service } } : { uri: `http://${random.below(100)}.example.com` }));
    case 5:
      return remove(resourceTypes.subscription, name);
    case 6:
      return isOneIn(2) ? remove(resourceTypes.kafkaChannel, channel) : undefined;
    case 7:
      return isOneIn(3) ? remove(resourceTypes.service, service) : put(resourceTypes.service, serviceObject(service));
    default: {
      // Somebody meddles.
      if (isOneIn(2)) return remove(resourceTypes.service, `${channel}-kn-channel`);
      const { items } = await api.list(resourceTypes.deployment, { namespace: systemNamespace });
      const found = items.filter(({ metadata }) => metadata.name.endsWith('-dispatcher'));
      return found.length === 0 ? undefined : remove(resourceTypes.deployment, random.pick(found).metadata.name, systemNamespace);
    }
  }
}

/** Compares all there is with what it should be. @throws where something differs */
async function expectDesired(): Promise<void> {
  const [allChannels, allSubscriptions, allServices, deployments, topics] = await Promise.all([
    world.list('kafkachannels'), world.list('subscriptions'), world.list('services'), world.list('deployments', '-n', systemNamespace), world.admin.listTopics(),
  ]);
  const names = (objects: readonly ClusterObject[]): readonly string[] => objects.map(({ metadata }) => metadata.name).sort();
  const channelNames = names(allChannels);
  for (const { metadata } of [...allChannels, ...allSubscriptions]) expect(metadata.deletionTimestamp, metadata.name).toBeUndefined();
  expect(topics.filter((topic) => topic.startsWith(topicOf('channel-'))).sort()).toEqual(channelNames.map(topicOf));
  expect(names(allServices).filter((name) => name.endsWith('-kn-channel'))).toEqual(channelNames.map((name) => `${name}-kn-channel`));
  const dispatchers = deployments.filter(({ metadata }) => metadata.name.endsWith('-dispatcher'));
  expect(dispatchers.map(({ metadata }) => metadata.annotations?.['kafka.eventing.knative.dev/channel']).sort()).toEqual(channelNames.map((name) => `default/${name}`));

  const sinksThatAre = names(allServices);
  for (const object of allSubscriptions) {
    const { channel, subscriber } = object.spec as unknown as { channel: { name: string }; subscriber: { uri?: string; ref?: { name: string } } };
    const isServed = channelNames.includes(channel.name) && (subscriber.ref === undefined || sinksThatAre.includes(subscriber.ref.name));
    expect([object.metadata.name, isReady(object)]).toEqual([object.metadata.name, isServed]);
    if (isServed) expect(object.status?.physicalSubscription?.subscriberUri).toBe(subscriber.uri ?? `http://${subscriber.ref!.name}.default.svc.cluster.local`);
    expect(object.status?.observedGeneration).toBe(object.metadata.generation);
  }
  for (const channel of allChannels) {
    const { name } = channel.metadata;
    expect([name, isReady(channel), conditionOf(channel, 'Ready')?.message]).toEqual([name, true, undefined]);
    const of = allSubscriptions.filter(({ spec }) => (spec as unknown as { channel: { name: string } }).channel.name === name);
    const entries = channel.spec?.subscribers ?? [];
    // One that cannot be resolved any more keeps the entry that it had.
    const uids = entries.map(({ uid }) => uid);
    expect(of.map(({ metadata }) => metadata.uid)).toEqual(expect.arrayContaining(uids));
    for (const ready of of.filter(isReady)) expect(uids).toContain(ready.metadata.uid);
    expect(channel.status?.subscribers?.map(({ uid }) => uid).sort()).toEqual([...uids].sort());
    const hours = Number(/PT(\d)H/.exec(String(channel.spec?.['retentionDuration']))?.[1]);
    expect((await world.admin.describeTopic(topicOf(name)))?.retentionMs).toBe(hours * 3_600_000);
    const replicas = dispatchers.find(({ metadata }) => metadata.annotations?.['kafka.eventing.knative.dev/channel'] === `default/${name}`)?.spec?.replicas;
    expect([name, replicas]).toEqual([name, entries.length > 0 ? 1 : 0]);
    for (const { uid } of entries) expect((await world.admin.groupLag(`kafka.default.${name}.${uid}`, topicOf(name)))[0]?.commitOffset, uid).toBe(0n);
  }
}

describe('a network to the API server that fails at random', () => {
  it.each([1, 2])('seed %i: the state is the desired one when it is over', async (seed) => {
    const random = new SeededRandom(seed);
    let faults = 0;
    proxy.onRequest = ({ isWatch }) => {
      if (random.below(4) > 0) return undefined;
      faults++;
      const bytes = random.below(3_000);
      return random.pick<ProxyFault>([
        { kind: 'answer', status: random.pick([409, 410, 429, 500, 503]) },
        { kind: 'cut' },
        { kind: 'delay', ms: random.below(300) },
        { kind: 'break-after', bytes },
        { kind: 'garbage-after', bytes },
        isWatch ? { kind: 'end-after', bytes } : { kind: 'lose-answer' },
      ]);
    };
    for (let step = 0; step < steps || faults < leastFaults; step++) {
      expect(step).toBeLessThan(20_000);
      await act(random);
      if (random.below(20) === 0) proxy.breakWatches();
      if (step % 100 === 99) await loseLead();
    }
    proxy.onRequest = () => undefined;
    await waitFor('everything as it should be', async () => {
      await expectDesired();
      return true;
    }, { timeoutMs: convergenceMs, everyMs: 500 });
    expect(controller.process.isRunning()).toBe(true);
    expect(controller.process.output()).not.toContain('a bug in a reconciler');
  }, 2 * convergenceMs);
});

/** Cuts the network until another controller could lead. */
async function loseLead(): Promise<void> {
  const told = (message: string): number => controller.process.output().split(`"message":"${message}"`).length - 1;
  await waitFor('the controller to lead', () => told('leading') > told('lead lost'), { timeoutMs: patienceMs });
  const before = told('lead lost');
  proxy.cut();
  await waitFor('the lead to be lost', () => told('lead lost') > before, { timeoutMs: patienceMs });
  proxy.heal();
}
