/**
 * The life of an installation, as docs of the chart promise it: install, first event, upgrade, rollback, uninstall.
 *
 * The tests build on each other and run in this order. Every namespace asks for Pod Security "restricted", so a pod that
 * wants more than it should would not be made at all.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { chart, Cluster, patienceMs, release, systemNamespace } from './cluster.ts';
import { orders, sendAndAwait, startOrders } from './orders.ts';
import { dispatchers, expectRemainsAsNoted } from './remains.ts';
import type { Subscriber } from './subscriber.ts';

describe('an installation with the defaults of the chart', () => {
  const cluster = new Cluster();
  let before: Set<string>;
  let subscriber: Subscriber;

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    await cluster.createNamespace(orders);
    before = await cluster.inventory();
  });
  afterAll(async () => {
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it('is complete when helm install --wait returns', async () => {
    await cluster.install();
    const controller = await cluster.get('deployment', 'kafka-controller', systemNamespace);
    expect(controller?.status).toMatchObject({ readyReplicas: 2, updatedReplicas: 2 });
  });

  it('tells in its notes where Kafka is and how to send a first event', async () => {
    const status = await cluster.helm(['status', release]);
    expect(status).toContain('STATUS: deployed');
    expect(status).toContain(`is installed in the namespace ${systemNamespace}`);
    expect(status).toContain('The Secret kafka-cluster tells how to reach it');
    expect(status).toContain('Knative Eventing is not installed: Subscriptions and Channels are looked after here');
  });

  it('makes the first channel and its Subscription Ready', async () => {
    subscriber = await startOrders(cluster);
  });

  it('delivers an event that one pod sends to another, byte for byte', async () => {
    await sendAndAwait(subscriber, 'first');
  });

  it('passes helm test, which leaves nothing behind', async () => {
    const output = await cluster.helm(['test', release, '--timeout', '4m']);
    expect(output).toMatch(/Phase:\s+Succeeded/);
    expect((await cluster.list('kafkachannels', '--all-namespaces')).map(({ metadata }) => metadata.name)).toEqual([orders]);
  });

  it('gives running dispatchers what an upgrade changes', async () => {
    await cluster.helm(['upgrade', release, chart, ...cluster.values(), '--set', 'dispatcher.resources.requests.memory=144Mi', '--wait', '--timeout', '4m']);
    await untilDispatcherRequests('144Mi');
    await sendAndAwait(subscriber, 'upgraded');
  });

  it('takes it back on rollback', async () => {
    await cluster.helm(['rollback', release, '1', '--wait', '--timeout', '4m']);
    await untilDispatcherRequests('128Mi');
    await sendAndAwait(subscriber, 'rolled-back');
  });

  it('delivers nothing twice and nothing else', async () => {
    expect((await subscriber.received()).map(({ headers }) => headers['ce-id'])).toEqual(['first', 'upgraded', 'rolled-back']);
  });

  it('leaves after uninstall what its notes say, and nothing else', async () => {
    await expectRemainsAsNoted(cluster, before, 'subscriber');
  });

  /** Waits until the dispatcher's pods, and no older ones, ask for that much memory and are ready. */
  async function untilDispatcherRequests(memory: string): Promise<void> {
    const asks = `"requests":{"cpu":"50m","memory":"${memory}"}`;
    const name = await waitFor(
      `a dispatcher that asks for ${memory}`,
      async () => (await dispatchers(cluster)).find(({ spec }) => JSON.stringify(spec).includes(asks))?.metadata.name,
      { timeoutMs: patienceMs, everyMs: 500 },
    );
    await cluster.kubectl(['rollout', 'status', `deployment/${name}`, '--namespace', systemNamespace, '--timeout=3m']);
  }
});
