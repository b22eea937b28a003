/**
 * The Kafka Secret changes while events flow: pods take the new content from their mounted files and go on, a content
 * that is wrong is told on the channel, and what was acknowledged is delivered.
 *
 * The other address of Kafka is a Service in front of it, so it works for an IP and for a host name alike.
 */
import { isIPv4 } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { Cluster, patienceMs, systemNamespace } from './cluster.ts';
import { addressOf, idsAt, orderPlaced, orders, startOrders } from './orders.ts';
import type { Subscriber } from './subscriber.ts';
import { logOf, systemPods, type SystemPod } from './system-pods.ts';

describe('a Kafka Secret that changes while events flow', () => {
  const cluster = new Cluster();
  const brokers = cluster.facts.kafka;
  const [host = '', port = ''] = (brokers.split(',')[0] ?? '').split(':');
  const door = `kafka-door.${systemNamespace}.svc.cluster.local`;
  let flow: Flow;
  let before: readonly SystemPod[] | undefined;

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    await cluster.createNamespace(orders);
    await cluster.install();
    await cluster.apply(...kafkaDoor());
    const subscriber = await startOrders(cluster);
    await cluster.kubectl(['wait', '--for=condition=DispatcherReady', `kafkachannel/${orders}`, '--namespace', orders, `--timeout=${patienceMs}ms`]);
    before = await systemPods(cluster);
    flow = new Flow(subscriber);
    await flow.more(10);
  });
  afterAll(async () => {
    if (before !== undefined) await flow.end();
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it('has receivers and dispatchers go over to another address of the same Kafka, and loses and repeats nothing', async () => {
    await changeBrokers(`${door}:${port}`);
    await untilDataPlaneReads(`${door}:${port}`);
    await flow.more(20);
    expect(await conditionOf('Ready')).toMatchObject({ status: 'True' });
    await flow.untilDelivered();
    expect(await flow.twice()).toEqual([]);
    expect([...flow.refused]).toEqual([]);
  });

  it('leaves in force what there was when it cannot be understood, and says what is wrong with it', async () => {
    await changeBrokers('no port, no host');
    await untilCondition('ConfigurationReady', 'False');
    expect(await conditionOf('ConfigurationReady')).toMatchObject({ reason: 'KafkaSecretInvalid', message: expect.stringContaining('Kafka Secret kafka-cluster: data.brokers: ') });
    for (const pod of await dataPlane()) {
      await waitFor(`${pod.name} to say so`, async () => (await logOf(cluster, pod)).at(-1)?.message.startsWith('Kafka Secret cannot be used any more'), { timeoutMs: patienceMs, everyMs: 1_000 });
    }
    await flow.more(20);
    await flow.untilDelivered();
    expect(await flow.twice()).toEqual([]);
    expect([...flow.refused]).toEqual([]);
  });

  it('tells on the channel and on itself that nobody is there any more, and the address of the channel stays', async () => {
    await changeBrokers(`${host}:1`);
    await untilCondition('TopicReady', 'False');
    expect(await conditionOf('TopicReady')).toMatchObject({ reason: 'KafkaUnavailable', message: expect.stringMatching(/^Kafka Secret kafka-cluster: /) });
    expect(await conditionOf('Ready')).toMatchObject({ status: 'False', reason: 'KafkaUnavailable' });
    expect((await cluster.get('kafkachannel', orders, orders))?.status?.address).toMatchObject({ url: addressOf(orders) });
    await waitFor('a Warning about the Secret', async () => {
      const events = await cluster.list('events', '--namespace', systemNamespace, '--field-selector', 'involvedObject.kind=Secret,reason=KafkaUnavailable');
      return events.some((event) => event['type'] === 'Warning');
    }, { timeoutMs: patienceMs, everyMs: 500 });
    await untilDataPlaneReads(`${host}:1`);
    await waitFor('a sender to be told to come again', () => flow.refused.size > 0, { timeoutMs: patienceMs });
  });

  it('makes all well again when it is put right, and nothing acknowledged is lost', async () => {
    await changeBrokers(brokers);
    await cluster.untilReady(`kafkachannel/${orders}`, orders);
    await cluster.untilReady('subscription/all', orders);
    await flow.more(20);
    await flow.untilDelivered();
  });

  it('has restarted no pod', async () => {
    expect(await systemPods(cluster)).toEqual(before);
  });

  it('has had each change told once by each pod', async () => {
    for (const pod of await dataPlane()) {
      const changes = (await logOf(cluster, pod)).filter(({ message }) => message.startsWith('Kafka Secret has changed')).map((line) => line['brokers']);
      expect(changes).toEqual([[`${door}:${port}`], [`${host}:1`], brokers.split(',')]);
    }
  });

  async function changeBrokers(to: string): Promise<void> {
    await cluster.kubectl(['patch', 'secret', 'kafka-cluster', '--namespace', systemNamespace, '--patch', JSON.stringify({ stringData: { brokers: to } })]);
  }

  async function dataPlane(): Promise<readonly SystemPod[]> {
    return [...(await systemPods(cluster, 'channel-receiver')), ...(await systemPods(cluster, 'dispatcher'))];
  }

  /** Waits until every pod that talks to Kafka says that this is its address now. The kubelet takes its time. */
  async function untilDataPlaneReads(address: string): Promise<void> {
    const pods = await dataPlane();
    expect(pods).toHaveLength(3); // two receivers, one dispatcher
    for (const pod of pods) {
      await waitFor(`${pod.name} to read ${address}`, async () => {
        const last = (await logOf(cluster, pod)).findLast(({ message }) => message.startsWith('Kafka Secret has changed'));
        return JSON.stringify(last?.['brokers']) === JSON.stringify([address]);
      }, { timeoutMs: patienceMs, everyMs: 1_000 });
    }
  }

  async function untilCondition(type: string, status: string): Promise<void> {
    await waitFor(`${type} to be ${status}`, async () => (await conditionOf(type))?.status === status, { timeoutMs: patienceMs, everyMs: 500 });
  }

  async function conditionOf(type: string) {
    const channel = await cluster.get('kafkachannel', orders, orders);
    return channel?.status?.conditions?.find((condition) => condition.type === type);
  }

  /** A Service that leads to the first of the bootstrap servers. */
  function kafkaDoor(): readonly object[] {
    const metadata = { name: 'kafka-door', namespace: systemNamespace };
    const service = { apiVersion: 'v1', kind: 'Service', metadata };
    if (!isIPv4(host)) return [{ ...service, spec: { type: 'ExternalName', externalName: host } }];
    const ports = [{ name: 'kafka', port: Number(port), protocol: 'TCP' }];
    const slice = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kafka-door' } } };
    return [{ ...service, spec: { ports } }, { ...slice, addressType: 'IPv4', ports, endpoints: [{ addresses: [host] }] }];
  }
});

/** Events that are sent one after the other all the while, each with an id of its own. */
class Flow {
  readonly acknowledged = new Set<string>();
  /** What senders were answered with in place of 202. */
  readonly refused = new Set<string>();
  readonly #subscriber: Subscriber;
  readonly #running: Promise<void>;
  #isOver = false;
  #failure: Error | undefined;

  constructor(subscriber: Subscriber) {
    this.#subscriber = subscriber;
    this.#running = this.#send().catch((error: unknown) => void (this.#failure = error as Error));
  }

  async #send(): Promise<void> {
    for (let number = 0; !this.#isOver; number++) {
      const id = `event-${number}`;
      const { status, text } = await this.#subscriber.send({ url: addressOf(orders), ...orderPlaced(id, `key-${number % 7}`) });
      if (status === 202) this.acknowledged.add(id);
      else this.refused.add(`${status} ${text}`);
      await delay(100); // a pace that leaves the machine to what is tested
    }
  }

  /** Waits until so many more have been acknowledged. */
  async more(count: number): Promise<void> {
    const goal = this.acknowledged.size + count;
    await waitFor(`${count} more events to be acknowledged`, () => {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.acknowledged.size < goal) throw new Error(`refused so far: ${[...this.refused].join('; ')}`);
      return true;
    }, { timeoutMs: patienceMs });
  }

  /** Waits until all that has been acknowledged by now has been delivered. */
  async untilDelivered(): Promise<void> {
    const ids = [...this.acknowledged];
    await waitFor('every acknowledged event at the subscriber', async () => {
      const delivered = new Set(await idsAt(this.#subscriber, '/events'));
      const missing = ids.filter((id) => !delivered.has(id));
      if (missing.length > 0) throw new Error(`${missing.length} of ${ids.length} missing, among them ${missing.slice(0, 3).join(', ')}`);
      return true;
    }, { timeoutMs: patienceMs, everyMs: 500 });
  }

  /** Ids that were delivered more than once. */
  async twice(): Promise<readonly string[]> {
    const ids = await idsAt(this.#subscriber, '/events');
    return ids.filter((id, at) => ids.indexOf(id) !== at);
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}
