/**
 * "KafkaSource to Service Communication in Knative", typed out: each command and each figure of that article, on a real
 * API server and a real Kafka, with dispatcher processes under the names of the pods.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { metric, type Subscriber } from '../local/harness.ts';
import { isReady, patienceMs, systemNamespace, type ClusterObject } from './cluster-world.ts';
import { writeEvents } from './record-writer.ts';
import { startSourceWorld, type SourceWorld } from './source-world.ts';

let sources: SourceWorld;
let world: SourceWorld['world'];
let controller: SourceWorld['controller'];
let pods: SourceWorld['pods'];
let producer: SourceWorld['producer'];
let source: SourceWorld['source'];

const settings = { SHRINK_DELAY: '2s', KUBERNETES_REQUESTS_PER_SECOND: '200' };

beforeAll(async () => {
  sources = await startSourceWorld(settings);
  ({ world, controller, pods, producer, source } = sources);
});

afterAll(() => sources.stop());

const pod = (ordinal: number): string => `kafka-source-dispatcher-${ordinal}`;
const createTopic = (topic: string): Promise<unknown> => world.admin.createTopic({ topic, partitions: 4, replicationFactor: 1, config: {} });

function placementsOf(object: ClusterObject): Readonly<Record<string, number>> {
  const placements = (object.status?.['placements'] ?? []) as readonly { readonly podName: string; readonly vreplicas: number }[];
  return Object.fromEntries(placements.map(({ podName, vreplicas }) => [podName, vreplicas]));
}

async function untilPlaced(name: string, expected: Readonly<Record<string, number>>): Promise<ClusterObject> {
  return world.until(`${name} on ${JSON.stringify(expected)}`, 'kafkasource', name, (object) => isReady(object) && JSON.stringify(placementsOf(object)) === JSON.stringify(expected));
}

/** `kubectl set env deployment/kafka-controller …`, and what a Deployment does then: another controller. */
async function setEnv(assignment: string): Promise<void> {
  await world.kubectl(['set', 'env', 'deployment/kafka-controller', '-n', 'knative-eventing', assignment]);
  const deployment = await world.get('deployment', 'kafka-controller', systemNamespace);
  const template = deployment!.spec!['template'] as { readonly spec: { readonly containers: readonly { readonly env: readonly { readonly name: string; readonly value?: string }[] }[] } };
  const capacity = template.spec.containers[0]!.env.find(({ name }) => name === 'POD_CAPACITY')?.value ?? '';
  expect(`POD_CAPACITY=${capacity}`).toBe(assignment);
  await controller.process.stop();
  controller = await world.controller({ env: { ...settings, POD_CAPACITY: capacity } });
}

/** Writes into every partition of the source's topic, and waits until all of it was delivered in order. */
async function deliver(topic: string, subscriber: Subscriber, prefix: string): Promise<void> {
  const before = subscriber.accepted.length;
  await subscriber.untilAccepted(await writeEvents(producer, { topic, perPartition: 50, prefix }));
  expect(subscriber.accepted.length - before).toBe(200);
  expect(subscriber.orderBreaks()).toEqual([]);
}

describe('4 consumers on a topic with 4 partitions', () => {
  let subscriber: Subscriber;

  beforeAll(async () => {
    subscriber = await world.subscriber();
    await createTopic('kafka-source-4');
    await world.apply(source('kafka-source-4', subscriber, { consumers: 4 }));
  });

  it('capacity 20: one pod has all of them', async () => {
    await untilPlaced('kafka-source-4', { [pod(0)]: 4 });
    await deliver('kafka-source-4', subscriber, 'twenty');
    expect(pods.names()).toEqual([pod(0)]);
  });

  it('capacity 1: one on each of four pods, as kubectl describe shows', async () => {
    await setEnv('POD_CAPACITY=1');
    expect(await world.kubectl(['describe', 'deployment', 'kafka-controller', '-n', 'knative-eventing'])).toMatch(/POD_CAPACITY:\s+1\n/);
    await untilPlaced('kafka-source-4', { [pod(0)]: 1, [pod(1)]: 1, [pod(2)]: 1, [pod(3)]: 1 });
    const described = await world.kubectl(['describe', 'kafkasource', 'kafka-source-4']);
    const lines = described.split('\n').map((line) => line.trim().replace(/:\s+/, ': '));
    expect(lines).toContain('Consumers: 4');
    expect(lines.filter((line) => /^(Pod Name|Vreplicas):/.test(line))).toEqual([0, 1, 2, 3].flatMap((ordinal) => [`Pod Name: ${pod(ordinal)}`, 'Vreplicas: 1']));
    await waitFor('each pod with one of the four partitions', async () => {
      const partitions = await Promise.all([0, 1, 2, 3].map((ordinal) => metric(pods.service(pod(ordinal)), 'knative_kafka_consumer_partitions')));
      return partitions.every((number) => number === 1);
    }, { timeoutMs: patienceMs });
    await deliver('kafka-source-4', subscriber, 'one');
  });

  it('capacity 20 again: back on one pod, once the others are not needed for long enough', async () => {
    await setEnv('POD_CAPACITY=20');
    await untilPlaced('kafka-source-4', { [pod(0)]: 4 });
    await pods.untilNumber(1);
    await deliver('kafka-source-4', subscriber, 'again');
  });

  it('consumers 0: pauses, and goes on where it stopped', async () => {
    await world.kubectl(['scale', 'kafkasource', 'kafka-source-4', '--replicas=0']);
    await untilPlaced('kafka-source-4', {});
    const received = subscriber.received.length;
    const written = await writeEvents(producer, { topic: 'kafka-source-4', perPartition: 20, prefix: 'paused' });
    const group = (await world.get('kafkasource', 'kafka-source-4'))!.spec!['consumerGroup'] as string;
    expect((await world.admin.groupLag(group, 'kafka-source-4')).reduce((sum, { commitOffset, endOffset }) => sum + Number(endOffset - commitOffset!), 0)).toBe(written.size);
    expect(subscriber.received.length).toBe(received);
    await world.kubectl(['scale', 'kafkasource', 'kafka-source-4', '--replicas=4']);
    await subscriber.untilAccepted(written);
    expect(subscriber.duplicates).toBe(0);
    await world.kubectl(['delete', 'kafkasource', 'kafka-source-4']);
  });
});

describe('25 consumers at capacity 20', () => {
  it('are 13 on the first pod and 12 on the second', async () => {
    const subscriber = await world.subscriber();
    await createTopic('kafka-source-25');
    await world.apply(source('kafka-source-25', subscriber, { consumers: 25 }));
    await untilPlaced('kafka-source-25', { [pod(0)]: 13, [pod(1)]: 12 });
    await deliver('kafka-source-25', subscriber, 'event');
    await world.kubectl(['delete', 'kafkasource', 'kafka-source-25']);
  });
});

describe('the rate limiter', () => {
  const windowMs = 20_000;
  let arrivals: number[];
  let subscriber: Subscriber;

  beforeAll(async () => {
    arrivals = [];
    subscriber = await world.subscriber({
      answer: () => {
        arrivals.push(performance.now());
        return 200;
      },
    });
    await createTopic('limited');
    await writeEvents(producer, { topic: 'limited', perPartition: 5_000, prefix: 'event' });
    await patchConfigMap('config-kafka-features', { 'dispatcher.rate-limiter': 'enabled' });
  });

  const patchConfigMap = (name: string, data: Readonly<Record<string, string>>): Promise<string> => world.kubectl(['patch', 'configmap', name, '-n', 'knative-eventing', '--type=merge', '-p', JSON.stringify({ data })]);

  /** Events in the latest window that lies after a moment; undefined until there was one. */
  const inLatestWindow = (since: number): number | undefined => {
    const from = performance.now() - windowMs;
    return from < since ? undefined : arrivals.filter((at) => at >= from).length;
  };

  it('sends 50 x 2 = 100 events a second, and another rate as soon as it is told so', async () => {
    await world.apply(source('limited', subscriber, { consumers: 2 }));
    await waitFor('events', () => arrivals.length > 0, { timeoutMs: patienceMs });
    const first = arrivals[0]!;
    await waitFor('20 s at 100 events a second, 2 % up or down', () => within2Percent(inLatestWindow(first), 100 * windowMs / 1_000), { timeoutMs: patienceMs });
    await patchConfigMap('config-kafka-source-data-plane', { 'config-kafka-source-consumer.properties': 'max.poll.records=100\n' });
    await waitFor('20 s at 200 events a second, 2 % up or down', () => within2Percent(inLatestWindow(first), 200 * windowMs / 1_000), { timeoutMs: patienceMs });
    expect(subscriber.orderBreaks()).toEqual([]);
    expect(subscriber.duplicates).toBe(0);
  });

  it('sends as fast as the sink takes them when it is off again', async () => {
    await patchConfigMap('config-kafka-features', { 'dispatcher.rate-limiter': 'disabled' });
    await waitFor('all events', () => subscriber.accepted.length === 20_000, { timeoutMs: patienceMs });
    expect(subscriber.duplicates).toBe(0);
    expect(subscriber.orderBreaks()).toEqual([]);
  });
});

function within2Percent(events: number | undefined, expected: number): boolean {
  if (events === undefined) return false;
  if (Math.abs(events - expected) > 0.02 * expected) throw new Error(`${events} events in the latest 20 s, ${expected} expected`);
  return true;
}
