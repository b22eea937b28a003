/**
 * What `helm uninstall` leaves of an installation with one channel, `orders`, and its Subscription, `all`: as NOTES.txt of the
 * chart says, and nothing else.
 */
import { expect } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import type { ClusterObject } from '../cluster/cluster-world.ts';
import { patienceMs, release, systemNamespace, type Cluster } from './cluster.ts';
import { orders } from './orders.ts';

/**
 * Uninstalls the release and looks at what stays, once all else has had time to go.
 *
 * @param before what there was without the chart
 * @param own    what came since and is the tests' own has this in its name
 */
export async function expectRemainsAsNoted(cluster: Cluster, before: ReadonlySet<string>, own: string): Promise<void> {
  const dispatcher = (await dispatchers(cluster))[0]?.metadata.name ?? '';
  await cluster.helm(['uninstall', release, '--wait', '--timeout', '4m']);
  const promised = [
    ...['channels', 'kafkachannels', 'subscriptions'].map((plural) => `CustomResourceDefinition ${plural}.messaging.knative.dev`),
    'CustomResourceDefinition kafkasources.sources.knative.dev',
    ...['addressable-resolver', 'channel-addressable-resolver', 'channelable-manipulator', 'service-addressable-resolver'].map((name) => `ClusterRole ${name}`),
    `Deployment ${systemNamespace}/${dispatcher}`,
    `Lease ${systemNamespace}/kafka-controller`,
    `KafkaChannel ${orders}/${orders}`,
    `Service ${orders}/${orders}-kn-channel`,
    `StatefulSet ${systemNamespace}/kafka-source-dispatcher`,
    `Subscription ${orders}/all`,
  ].sort();
  const left = async (): Promise<string[]> => [...(await cluster.inventory())].filter((object) => !before.has(object) && !object.includes(own)).sort();
  await waitFor('what is not promised to go', async () => (await left()).length <= promised.length, { timeoutMs: patienceMs, everyMs: 1_000 }).catch(() => undefined);
  expect(await left()).toEqual(promised);
}

/** Deployments of dispatchers. */
export async function dispatchers(cluster: Cluster): Promise<readonly ClusterObject[]> {
  const made = await cluster.list('deployments', '--namespace', systemNamespace, '--selector', 'app.kubernetes.io/managed-by=kafka-controller');
  return made.filter(({ metadata }) => metadata.name.endsWith('-dispatcher'));
}
