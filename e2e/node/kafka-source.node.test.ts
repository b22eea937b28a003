/**
 * Vreplicas, capacity and the rate limiter in real pods, by the commands that people know from an article about them:
 * "KafkaSource to Service Communication in Knative". Every command is typed out as it is printed there; `kubectl edit` is a
 * `kubectl patch`.
 *
 * The topic is a KafkaChannel's, so that whatever the cluster is, nothing but HTTP is needed to write to it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { Cluster, patienceMs, systemNamespace } from './cluster.ts';
import { Subscriber } from './subscriber.ts';
import { metricOf, systemPods } from './system-pods.ts';

/** Where kubectl looks when it is not told. */
const namespace = 'default';
const source = 'kafka-source-4';
const partitions = 4;
interface SinkEvent {
  /** In the order in which they were sent. */
  readonly number: number;
  readonly key: string;
  readonly partition: number;
  /** When it came. */
  readonly atMs: number;
}
const waiting = { timeoutMs: patienceMs, everyMs: 500 };

describe('a KafkaSource with 4 consumers on 4 partitions', () => {
  const cluster = new Cluster();
  /** Its pod also sends to the channel. */
  let sink: Subscriber;
  let sent = 0;

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    await cluster.install();
    sink = await Subscriber.start(cluster, namespace, 'event-display');
    await cluster.apply({ apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', metadata: { name: 'article', namespace }, spec: { numPartitions: partitions } });
    await cluster.untilReady('kafkachannel/article', namespace);
  });
  afterAll(async () => {
    await cluster.cleanUp([systemNamespace]);
    await cluster.kubectl(['delete', 'deployment,service,configmap', 'event-display', '--namespace', namespace, '--ignore-not-found']);
  });

  it('runs on one pod at the capacity of 20 that is the default', async () => {
    const channel = await cluster.get('kafkachannel', 'article', namespace);
    const topic = (channel?.status?.['annotations'] as Record<string, string>)['default.topic'];
    await cluster.apply({
      apiVersion: 'sources.knative.dev/v1beta1',
      kind: 'KafkaSource',
      metadata: { name: source, namespace },
      spec: { consumers: 4, bootstrapServers: cluster.facts.kafka.split(','), topics: [topic], sink: { ref: { apiVersion: 'v1', kind: 'Service', name: 'event-display' } } },
    });
    await untilPlaced(4);
    await cluster.untilReady(`kafkasource/${source}`, namespace);
    expect((await cluster.get('statefulset', 'kafka-source-dispatcher', systemNamespace))?.spec).toMatchObject({ replicas: 1 });
    await send(400);
    await untilAllReceived();
    expect(await deliveredByPod()).toEqual({ 'kafka-source-dispatcher-0': 400 });
  });

  it('pauses at 0', async () => {
    await typed('kubectl scale kafkasource kafka-source-4 --replicas=0');
    await untilPlaced();
    // What a pod counts for a source goes with the source's consumer.
    await waitFor('the consumer to stop', async () => Object.keys(await deliveredByPod()).length === 0, waiting);
    const before = (await received()).length;
    await send(2_000);
    expect((await received()).length).toBe(before);
  });

  it('sends at most 50 events a second and vreplica once the rate limiter is enabled', async () => {
    await typed('kubectl patch configmap config-kafka-features -n knative-eventing --patch {"data":{"dispatcher.rate-limiter":"enabled"}}');
    await typed('kubectl scale kafkasource kafka-source-4 --replicas=4');
    await untilPlaced(4);
    const before = (await received()).length;
    await untilAllReceived();
    // The later half: a pod that was told of its sources a moment before it was told of the limiter has it by then.
    const limited = (await received()).slice(before).slice(-1_000);
    expect(eventsPerSecond(limited)).toBeLessThanOrEqual(4 * 50 * 1.03);
  });

  it('runs on four pods at a capacity of 1', async () => {
    await typed('kubectl patch configmap config-kafka-features -n knative-eventing --patch {"data":{"dispatcher.rate-limiter":"disabled"}}');
    await typed('kubectl set env deployment/kafka-controller -n knative-eventing POD_CAPACITY=1');
    expect(await typed('kubectl describe deployment kafka-controller -n knative-eventing')).toMatch(/POD_CAPACITY:\s+1$/m);
    await cluster.kubectl(['rollout', 'status', 'deployment/kafka-controller', '--namespace', systemNamespace, '--timeout=3m']);
    await untilPlaced(1, 1, 1, 1);
    await cluster.untilReady(`kafkasource/${source}`, namespace);
    const described = await typed('kubectl describe kafkasource kafka-source-4');
    expect(described).toMatch(/^Kind: +KafkaSource$/m);
    expect(described).toMatch(/^ +Consumers: +4$/m);
    expect(described.split('\n').map((line) => line.trim()).filter((line) => /^(Pod Name|Vreplicas):/.test(line))).toEqual([
      'Pod Name:   kafka-source-dispatcher-0', 'Vreplicas:  1',
      'Pod Name:   kafka-source-dispatcher-1', 'Vreplicas:  1',
      'Pod Name:   kafka-source-dispatcher-2', 'Vreplicas:  1',
      'Pod Name:   kafka-source-dispatcher-3', 'Vreplicas:  1',
    ]);
  });

  it('has one partition on each of the four', async () => {
    // Each pod takes part once it has delivered: until then partitions may still be on their way to it.
    await waitFor('all four pods to deliver', async () => {
      await send(40);
      return Object.keys(await deliveredByPod()).length === partitions;
    }, waiting);
    await untilAllReceived();
    const before = await deliveredByPod();
    const earlier = (await received()).length;
    await send(400);
    await untilAllReceived();
    const byPartition = countBy((await received()).slice(earlier), ({ partition }) => String(partition));
    const byPod = Object.entries(await deliveredByPod()).map(([pod, count]) => count - (before[pod] ?? 0));
    expect(byPod.sort()).toEqual(Object.values(byPartition).sort());
    expect(byPod).toHaveLength(partitions);
  });

  it('runs 25 consumers on two pods at a capacity of 20, 13 and 12', async () => {
    await typed('kubectl scale kafkasource kafka-source-4 --replicas=0');
    await untilPlaced();
    await typed('kubectl set env deployment/kafka-controller -n knative-eventing POD_CAPACITY=20');
    await cluster.kubectl(['rollout', 'status', 'deployment/kafka-controller', '--namespace', systemNamespace, '--timeout=3m']);
    await send(100);
    await typed('kubectl scale kafkasource kafka-source-4 --replicas=25');
    await untilPlaced(13, 12);
    await untilAllReceived();
  });

  it('has delivered each event once, and those of a key in order', async () => {
    const byKey = new Map<string, number[]>();
    for (const { key, number } of await received()) byKey.set(key, [...(byKey.get(key) ?? []), number]);
    for (const numbers of byKey.values()) expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    expect([...byKey.values()].flat()).toHaveLength(sent);
  });

  it('is deleted, and its pods go with it', async () => {
    await typed('kubectl delete kafkasource kafka-source-4');
    expect(await cluster.get('kafkasource', source, namespace)).toBeUndefined();
    await waitFor('no pod', async () => (await systemPods(cluster, 'source-dispatcher')).length === 0, waiting);
  });

  /** Runs a command as it is printed. */
  function typed(command: string): Promise<string> {
    const [program, ...args] = command.split(' ');
    expect(program).toBe('kubectl');
    return cluster.kubectl(args);
  }

  /** Waits until that many vreplicas are on kafka-source-dispatcher-0, -1, ..., and none anywhere else. */
  async function untilPlaced(...vreplicas: readonly number[]): Promise<void> {
    const wanted = JSON.stringify(vreplicas.map((count, ordinal) => [`kafka-source-dispatcher-${ordinal}`, count]));
    await waitFor(`placements ${wanted}`, async () => {
      const { status } = (await cluster.get('kafkasource', source, namespace)) ?? {};
      const placements = (status?.['placements'] ?? []) as readonly { readonly podName: string; readonly vreplicas: number }[];
      return JSON.stringify(placements.map((entry) => [entry.podName, entry.vreplicas])) === wanted;
    }, waiting);
  }

  /** Sends that many events to the channel, over 40 keys, numbered on. */
  async function send(count: number): Promise<void> {
    const address = `http://article-kn-channel.${namespace}.svc.cluster.local`;
    for (const end = sent + count; sent < end;) {
      const numbers = Array.from({ length: Math.min(500, end - sent) }, (_, index) => sent + index);
      const batch = numbers.map((number) => ({ specversion: '1.0', id: String(number), source: '/article', type: 'article.event', partitionkey: `key-${number % 40}`, data: number }));
      const { status, text } = await sink.send({ url: address, headers: { 'content-type': 'application/cloudevents-batch+json' }, body: Buffer.from(JSON.stringify(batch)) });
      expect([status, text]).toEqual([202, text]);
      sent += numbers.length;
    }
  }

  async function untilAllReceived(): Promise<void> {
    await waitFor(`${sent} events at the sink`, async () => new Set((await received()).map(({ number }) => number)).size === sent, waiting);
  }

  /** What has come to the sink, oldest first. The events of a batch are kept and delivered in structured mode. */
  async function received(): Promise<readonly SinkEvent[]> {
    return (await sink.received()).map(({ bodyBase64, atMs }) => {
      const { id, partitionkey, knativekafkapartition } = JSON.parse(Buffer.from(bodyBase64, 'base64').toString()) as { id: string; partitionkey: string; knativekafkapartition: number };
      return { number: Number(id), key: partitionkey, partition: knativekafkapartition, atMs };
    });
  }

  /** Events that each pod has delivered since its consumer started; pods that have none are left out. */
  async function deliveredByPod(): Promise<Readonly<Record<string, number>>> {
    const pods = await systemPods(cluster, 'source-dispatcher');
    const counts = await Promise.all(pods.map(async (pod) => [pod.name, await metricOf(cluster, pod, 'knative_kafka_dispatch_events_total', { outcome: 'delivered' })] as const));
    return Object.fromEntries(counts.filter(([, count]) => count !== undefined && count > 0)) as Record<string, number>;
  }
});

function eventsPerSecond(events: readonly SinkEvent[]): number {
  const times = events.map(({ atMs }) => atMs);
  return ((times.length - 1) / (Math.max(...times) - Math.min(...times))) * 1_000;
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1;
  return counts;
}
