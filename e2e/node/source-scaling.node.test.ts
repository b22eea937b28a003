/**
 * A KafkaSource is scaled while events flow, so that pods come, share the partitions, and go: nothing is lost, nothing comes
 * twice, every partition in order, and what waited at 0 is delivered afterwards.
 *
 * The topic is a KafkaChannel's, so that whatever the cluster is, nothing but HTTP is needed to write to it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { Cluster, patienceMs, systemNamespace } from './cluster.ts';
import { expectUndisturbed } from './load-expectations.ts';
import { overtakenInPartition, tallyLoad } from './load-run.ts';
import { Load, type LoadPace } from './load.ts';
import { addressOf, applyUntilReady, kafkaChannel, orders } from './orders.ts';
import { runningPods } from './pod-changes.ts';
import { metricOf, systemPods } from './system-pods.ts';

const source = 'orders';
/** As many as the most vreplicas, so that each pod has some at any time. */
const partitions = 8;
/** Vreplicas to a pod. */
const capacity = 2;
/** Of a partition one event at a time, as is a source's default; so the sink must not take long, or partitions with many keys fall behind. */
const pace: LoadPace = { keys: 40, everyMs: 100, answerMs: 2, bytes: 0, fewest: 15_000 };
/** Sent and not delivered while the source is at 0. */
const heldBack = 2_000;
const waiting = { timeoutMs: patienceMs, everyMs: 500 };

describe('a KafkaSource that is scaled while events flow', () => {
  const cluster = new Cluster();
  let load: Load | undefined;

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    await cluster.createNamespace(orders);
    const values = ['--set', `sources.podCapacity=${capacity}`, '--set', 'controller.env[0].name=SHRINK_DELAY,controller.env[0].value=5s'];
    await cluster.install({ values });
    load = await Load.start(cluster, orders, pace);
    await applyUntilReady(cluster, kafkaChannel(orders, { numPartitions: partitions }));
    const topic = ((await cluster.get('kafkachannel', orders, orders))?.status?.['annotations'] as Record<string, string>)['default.topic'];
    await cluster.apply({
      apiVersion: 'sources.knative.dev/v1',
      kind: 'KafkaSource',
      metadata: { name: source, namespace: orders },
      spec: { consumers: 4, bootstrapServers: cluster.facts.kafka.split(','), topics: [topic], sink: { uri: load.url } },
    });
    await untilPlaced(4);
    await cluster.untilReady(`kafkasource/${source}`, orders);
  });
  afterAll(async () => {
    if (load !== undefined) console.log(load.table());
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it('loses and repeats nothing from 4 to 8, when pods come', async () => {
    await whileSent('from 4 to 8', async () => {
      await scale(8);
      await waitFor('all four pods to deliver', async () => (await deliveringPods()) === 4, waiting);
    });
  });

  it('loses and repeats nothing from 8 to 3, when pods go', async () => {
    await whileSent('from 8 to 3', () => scale(3));
  });

  it('holds back everything at 0, and delivers it at 4', async () => {
    await whileSent('from 3 to 0 to 4', async () => {
      await scale(0);
      const atZero = await load!.progress();
      await waitFor('more events to be sent', async () => (await load!.progress()).acknowledged >= atZero.acknowledged + heldBack, waiting);
      expect((await load!.progress()).delivered).toBe(atZero.delivered);
      await scale(4);
    });
  });

  it('delivers nothing later either', async () => {
    for (const [name, tally] of load!.tallies) expect(tallyLoad(await load!.run(name))).toEqual(tally);
  });

  async function whileSent(name: string, happens: () => Promise<void>): Promise<void> {
    const tally = await load!.during(name, addressOf(orders), happens);
    expectUndisturbed(tally, pace.fewest);
    const run = await load!.run(name);
    expect(run.arrivals.filter(({ place }) => place === undefined)).toEqual([]); // or there is no order to see
    expect(overtakenInPartition(run)).toEqual([]);
  }

  async function scale(consumers: number): Promise<void> {
    await cluster.kubectl(['scale', 'kafkasource', source, '--namespace', orders, `--replicas=${consumers}`]);
    await untilPlaced(consumers);
  }

  /** Waits until that many vreplicas have places, on as few pods as hold them, and there is no other pod, ending ones included. */
  async function untilPlaced(consumers: number): Promise<void> {
    await waitFor(`${consumers} vreplicas on ${Math.ceil(consumers / capacity)} pods`, async () => {
      const { status } = (await cluster.get('kafkasource', source, orders)) ?? {};
      const placements = (status?.['placements'] ?? []) as readonly { readonly podName: string; readonly vreplicas: number }[];
      const pods = await runningPods(cluster, 'source-dispatcher');
      const names = pods.map(({ name }) => name).sort();
      return (
        placements.reduce((sum, { vreplicas }) => sum + vreplicas, 0) === consumers &&
        names.length === Math.ceil(consumers / capacity) &&
        pods.every(({ isReady }) => isReady) &&
        JSON.stringify(placements.map(({ podName }) => podName).sort()) === JSON.stringify(names)
      );
    }, waiting);
  }

  /** How many pods have delivered something since their consumers started. */
  async function deliveringPods(): Promise<number> {
    const pods = await systemPods(cluster, 'source-dispatcher');
    const counts = await Promise.all(pods.map((pod) => metricOf(cluster, pod, 'knative_kafka_dispatch_events_total', { outcome: 'delivered' })));
    return counts.filter((count) => count !== undefined && count > 0).length;
  }
});
