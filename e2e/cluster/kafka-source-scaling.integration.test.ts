/**
 * A KafkaSource whose vreplicas, pods, topics and sink change while it delivers: on a real API server and a real Kafka,
 * with dispatcher processes under the names of the pods.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { metric } from '../local/harness.ts';
import { conditionOf, isReady, patienceMs, systemNamespace, type ClusterObject } from './cluster-world.ts';
import { writeEvents } from './record-writer.ts';
import { sourceDispatchers } from './source-pods.ts';
import { startSourceWorld, type SourceWorld } from './source-world.ts';

let sources: SourceWorld;
let world: SourceWorld['world'];
let pods: SourceWorld['pods'];
let producer: SourceWorld['producer'];
let source: SourceWorld['source'];

beforeAll(async () => {
  // One vreplica for each pod: every change is one of pods, and of partitions.
  sources = await startSourceWorld({ POD_CAPACITY: '1', SHRINK_DELAY: '1s' });
  ({ world, pods, producer, source } = sources);
});

afterAll(() => sources.stop());

async function untilOnPods(name: string, number: number): Promise<void> {
  await world.until(`${name} on ${number} pods`, 'kafkasource', name, (object) => isReady(object) && ((object.status?.['placements'] ?? []) as readonly object[]).length === number);
}

/** How many dispatchers have partitions of the source. */
async function readers(name: string): Promise<number> {
  const partitions = await Promise.all(pods.names().map((pod) => metric(pods.service(pod), 'knative_kafka_consumer_partitions', { source: `default/${name}` })));
  return partitions.filter((number) => number > 0).length;
}

describe('under load', () => {
  it('4, 8, 3, 0 and 4 vreplicas: every event is delivered, those of a partition in their order', async () => {
    const subscriber = await world.subscriber();
    await world.admin.createTopic({ topic: 'scaled', partitions: 8, replicationFactor: 1, config: {} });
    await world.apply(source('scaled', subscriber, { consumers: 4 }));
    await untilOnPods('scaled', 4);
    const ending = new AbortController();
    let written = 0;
    const load = writeEvents(producer, { topic: 'scaled', perPartition: 1_000_000, prefix: 'event', batch: 5, pauseMs: 50, signal: ending.signal, onWritten: (records) => (written = records) });
    for (const vreplicas of [8, 3, 0]) {
      // Each step begins while the step before it delivers.
      const [accepted, sent] = [subscriber.accepted.length, written];
      await waitFor('events on their way', () => subscriber.accepted.length > accepted + 500 && written > sent + 500, { timeoutMs: patienceMs });
      await world.kubectl(['scale', 'kafkasource', 'scaled', `--replicas=${vreplicas}`]);
      await untilOnPods('scaled', vreplicas);
      await waitFor(`${vreplicas} dispatchers that read`, async () => (await readers('scaled')) === vreplicas, { timeoutMs: patienceMs });
    }
    const [paused, sent] = [subscriber.received.length, written];
    await waitFor('events that wait in Kafka', () => written > sent + 500, { timeoutMs: patienceMs });
    expect(subscriber.received.length).toBe(paused);
    await world.kubectl(['scale', 'kafkasource', 'scaled', '--replicas=4']);
    await untilOnPods('scaled', 4);
    ending.abort();
    const ids = await load;
    await subscriber.untilAccepted(ids);
    expect(subscriber.orderBreaks()).toEqual([]);
    process.stderr.write(`${ids.size} events while scaling 4, 8, 3, 0, 4: ${subscriber.duplicates} delivered twice\n`);
    // Whoever lets go of a partition has finished and committed what it had begun.
    expect(subscriber.duplicates).toBe(0);
  });

  it('a dispatcher that is killed: the others go on, and it comes back to what it had', async () => {
    const subscriber = await world.subscriber();
    await world.admin.createTopic({ topic: 'killed', partitions: 4, replicationFactor: 1, config: {} });
    await world.kubectl(['delete', 'kafkasource', 'scaled']);
    await world.apply(source('killed', subscriber, { consumers: 2 }));
    await untilOnPods('killed', 2);
    const ending = new AbortController();
    const load = writeEvents(producer, { topic: 'killed', perPartition: 1_000_000, prefix: 'event', batch: 5, pauseMs: 50, signal: ending.signal });
    await waitFor('events', () => subscriber.accepted.length > 500, { timeoutMs: patienceMs });
    await pods.kill(`${sourceDispatchers}-1`);
    const accepted = subscriber.accepted.length;
    await waitFor('events after the kill, of all partitions', () => new Set(subscriber.accepted.slice(accepted).map(({ id }) => id.slice(0, id.lastIndexOf('-')))).size === 4, { timeoutMs: patienceMs });
    ending.abort();
    await subscriber.untilAccepted(await load);
    expect(subscriber.orderBreaks()).toEqual([]);
    await untilOnPods('killed', 2);
    process.stderr.write(`a dispatcher killed: ${subscriber.duplicates} delivered twice\n`);
    await world.kubectl(['delete', 'kafkasource', 'killed']);
  });
});

describe('while it runs', () => {
  it('sink, dead letter sink and overrides change without another membership, topics with one', async () => {
    const [first, second, dead] = [await world.subscriber(), await world.subscriber(), await world.subscriber()];
    for (const topic of ['changed', 'further']) await world.admin.createTopic({ topic, partitions: 2, replicationFactor: 1, config: {} });
    const before = await writeEvents(producer, { topic: 'further', perPartition: 10, prefix: 'before' });
    await world.apply(source('changed', first, { consumers: 1, initialOffset: 'latest' }));
    await untilOnPods('changed', 1);
    await first.untilAccepted(await writeEvents(producer, { topic: 'changed', perPartition: 50, prefix: 'a' }));
    const pod = pods.service(`${sourceDispatchers}-0`);
    const rebalances = (): Promise<number> => metric(pod, 'knative_kafka_consumer_rebalances_total');
    const memberships = await rebalances();

    await world.apply(source('changed', second, { consumers: 1, initialOffset: 'latest', ceOverrides: { extensions: { region: 'north' } }, delivery: { deadLetterSink: { uri: dead.uri } } }));
    await world.until('the new sink', 'kafkasource', 'changed', (object) => isReady(object) && object.status?.['sinkUri'] === second.uri);
    await waitFor('the second sink alone', async () => {
      const ids = await writeEvents(producer, { topic: 'changed', perPartition: 1, prefix: `probe${Math.random().toString(36).slice(2)}x` });
      await waitFor('the probes', () => [...ids].every((id) => [...first.accepted, ...second.accepted].some((event) => event.id === id)), { timeoutMs: patienceMs });
      return [...ids].every((id) => second.accepted.some((event) => event.id === id && event.headers['ce-region'] === 'north'));
    }, { timeoutMs: patienceMs });
    expect(await rebalances()).toBe(memberships);

    // "latest" for a topic that is new to the group: from when it is ready, not from its beginning.
    await world.kubectl(['patch', 'kafkasource', 'changed', '--type=merge', '-p', JSON.stringify({ spec: { topics: ['changed', 'further'] } })]);
    await world.until('both topics', 'kafkasource', 'changed', (object) => isReady(object) && (object.status?.['annotations'] as Readonly<Record<string, string>>)['kafka.eventing.knative.dev/topics'] === 'changed,further');
    const after = [...(await writeEvents(producer, { topic: 'further', perPartition: 20, prefix: 'b' })), ...(await writeEvents(producer, { topic: 'changed', perPartition: 20, prefix: 'c' }))];
    await second.untilAccepted(new Set(after));
    expect(second.accepted.filter(({ id }) => before.has(id))).toEqual([]);
    expect(first.duplicates + second.duplicates).toBe(0);
    await world.kubectl(['delete', 'kafkasource', 'changed']);
  });

  it('a sink that goes away pauses delivery, and what came meanwhile is delivered when it is back', async () => {
    const subscriber = await world.subscriber();
    await world.admin.createTopic({ topic: 'sinkless', partitions: 1, replicationFactor: 1, config: {} });
    // The name of a Service means nothing here: only that it is found counts.
    const service: ClusterObject = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'sink', namespace: 'default' }, spec: { ports: [{ port: 80 }] } };
    await world.apply(service, source('sinkless', subscriber, { sink: { ref: { apiVersion: 'v1', kind: 'Service', name: 'sink' } }, delivery: { retry: 1_000, backoffDelay: 'PT0.1S', backoffPolicy: 'linear' } }));
    const found = await world.untilReady('kafkasource', 'sinkless');
    expect(found.status?.['sinkUri']).toBe('http://sink.default.svc.cluster.local');
    const ids = await writeEvents(producer, { topic: 'sinkless', perPartition: 10, prefix: 'event' });
    await world.kubectl(['delete', 'service', 'sink']);
    const lost = await world.until('the sink gone', 'kafkasource', 'sinkless', (object) => conditionOf(object, 'SinkProvided')?.status === 'False');
    expect(conditionOf(lost, 'SinkProvided')?.message).toContain('Service default/sink does not exist');
    await world.kubectl(['patch', 'kafkasource', 'sinkless', '--type=merge', '-p', JSON.stringify({ spec: { sink: { ref: null, uri: subscriber.uri } } })]);
    await subscriber.untilAccepted(ids);
    expect(subscriber.orderBreaks()).toEqual([]);
    await world.kubectl(['delete', 'kafkasource', 'sinkless']);
  });
});

describe('the consumer group', () => {
  it('is deleted with a source that it was made up for, and stays where a person named it', async () => {
    const subscriber = await world.subscriber();
    await world.admin.createTopic({ topic: 'grouped', partitions: 1, replicationFactor: 1, config: {} });
    const committed = async (group: string): Promise<bigint | undefined> => (await world.admin.groupLag(group, 'grouped'))[0]?.commitOffset;
    await world.apply(source('generated', subscriber, { topics: ['grouped'] }), source('named', subscriber, { topics: ['grouped'], consumerGroup: 'my-group' }));
    const generated = (await world.untilReady('kafkasource', 'generated')).spec!['consumerGroup'] as string;
    expect(generated).toMatch(/^knative-kafka-source-[0-9a-f-]{36}$/);
    await world.untilReady('kafkasource', 'named');
    await expect(world.kubectl(['patch', 'kafkasource', 'named', '--type=merge', '-p', '{"spec":{"consumerGroup":"another"}}'])).rejects.toThrow('consumerGroup is fixed once it is set');
    await writeEvents(producer, { topic: 'grouped', perPartition: 10, prefix: 'event' });
    for (const group of [generated, 'my-group']) await waitFor(`commits of ${group}`, async () => (await committed(group)) === 10n, { timeoutMs: patienceMs });
    await world.kubectl(['delete', 'kafkasource', 'generated', 'named']);
    expect(await committed(generated)).toBeUndefined();
    expect(await committed('my-group')).toBe(10n);

    // Back under its name, it goes on where it was.
    const again = await world.subscriber();
    await world.apply(source('named', again, { topics: ['grouped'], consumerGroup: 'my-group' }));
    await world.untilReady('kafkasource', 'named');
    const later = await writeEvents(producer, { topic: 'grouped', perPartition: 5, prefix: 'later' });
    await again.untilAccepted(later);
    expect(again.accepted.length).toBe(5);
    await world.kubectl(['delete', 'kafkasource', 'named']);
  });
});

describe('credentials', () => {
  it('a dispatcher may read the Secrets that a source names, and no others', async () => {
    const subscriber = await world.subscriber();
    await world.admin.createTopic({ topic: 'secured', partitions: 1, replicationFactor: 1, config: {} });
    const mayRead = async (secret: string): Promise<boolean> => {
      const answer = await world.kubernetes.kubectl(['auth', 'can-i', 'get', `secret/${secret}`, '-n', 'default', '--as', `system:serviceaccount:${systemNamespace}:${sourceDispatchers}`]);
      return answer.stdout.trim() === 'yes';
    };
    await world.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'other', namespace: 'default' }, stringData: { user: 'x' } });
    const refTo = (key: string): object => ({ secretKeyRef: { name: 'kafka-login', key } });
    await world.apply(source('secured', subscriber, { net: { sasl: { enable: true, user: refTo('user'), password: refTo('password') } } }));
    // KS-09: a Secret may come after the source.
    const waiting = await world.until('what is missing', 'kafkasource', 'secured', (object) => conditionOf(object, 'ConnectionEstablished')?.status === 'False');
    expect(conditionOf(waiting, 'ConnectionEstablished')?.message).toContain('kafka-login');
    await world.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'kafka-login', namespace: 'default' }, stringData: { user: 'alice', password: 'unseen-secret' } });
    // This Kafka knows no passwords, and says so.
    const refused = await world.until('the refusal', 'kafkasource', 'secured', (object) => conditionOf(object, 'ConnectionEstablished')?.status === 'False' && conditionOf(object, 'ConnectionEstablished')?.message?.includes('does not exist') !== true);
    expect(JSON.stringify(refused.status)).not.toContain('unseen-secret');
    await waitFor('the right to read it', () => mayRead('kafka-login'), { timeoutMs: patienceMs });
    expect(await mayRead('other')).toBe(false);
    await world.kubectl(['delete', 'kafkasource', 'secured']);
    expect(await mayRead('kafka-login')).toBe(false);
  });
});
