/**
 * Pods die without a word, or for want of memory, and the API server is away while events flow: nothing is lost, what comes
 * twice is what a dead dispatcher had under way, and all is well again without anybody's help. Kafka's own faults:
 * kafka-restart.node.test.ts.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { Cluster, patienceMs, systemNamespace } from './cluster.ts';
import { expectFewTwice, expectNothingLost } from './load-expectations.ts';
import { arrivalsBetween, tallyLoad, type LoadTally } from './load-run.ts';
import { installUnderLoad, untilWell, type Load } from './load.ts';
import { addressOf, applyUntilReady, kafkaChannel, orders } from './orders.ts';
import { deleteByForce, exhaustMemory, killProgram, runningPods, whileReplaced, type RunningPod } from './pod-changes.ts';
import type { Component } from './system-pods.ts';

/** How long the API server is away. */
const outageMs = 60_000;
/** Deliveries in this time: a fraction of what is sent, so that a slow machine does not count for an outage. */
const fewestInOutage = 10_000;

describe('while events flow', () => {
  const cluster = new Cluster();
  let load: Load | undefined;
  const during = (name: string, happens: () => Promise<void>): Promise<LoadTally> => load!.during(name, addressOf(orders), happens);

  beforeAll(async () => {
    load = await installUnderLoad(cluster);
  });
  afterAll(async () => {
    if (load !== undefined) console.log(load.table());
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it('loses nothing when the pod of the dispatcher is deleted by force', async () => {
    const dispatcher = await firstPod('dispatcher');
    const name = 'dispatcher deleted';
    const tally = await during(name, () => whileReplaced(cluster, ['dispatcher'], () => deleteByForce(cluster, dispatcher)));
    expectNothingLost(tally);
    expectFewTwice(name, await load!.run(name), tally);
    await untilWell(cluster);
  });

  it.skipIf(!cluster.isOurs)('loses nothing when the dispatcher is killed', async () => {
    const dispatcher = await firstPod('dispatcher');
    const name = 'dispatcher killed';
    const tally = await during(name, () => killProgram(cluster, dispatcher));
    expectNothingLost(tally);
    expectFewTwice(name, await load!.run(name), tally);
    await untilWell(cluster);
  });

  it.skipIf(!cluster.isOurs)('loses nothing when a receiver is killed', async () => {
    const receiver = await firstPod('channel-receiver');
    const tally = await during('receiver killed', () => killProgram(cluster, receiver));
    expectNothingLost(tally);
    expect(tally.twice).toEqual([]); // but what it had stored and not yet acknowledged is sent again, and stored again
    await untilWell(cluster);
  });

  it.skipIf(!cluster.isOurs)('loses nothing when a receiver runs out of memory, and the kernel ends it', async () => {
    const receiver = (await runningPods(cluster, 'channel-receiver')).at(-1)!; // of several not the one that was just killed: a second start is put off
    const tally = await during('receiver out of memory', async () => {
      expect((await exhaustMemory(cluster, receiver)).lastEnd).toBe('OOMKilled');
    });
    expectNothingLost(tally);
    expect(tally.twice).toEqual([]); // but what it had stored and not yet acknowledged is sent again, and stored again
    await untilWell(cluster);
  });

  it.skipIf(!cluster.isOurs)('goes on as before when the leader of the controllers is killed, and another one leads', async () => {
    const tally = await during('leader killed', async () => {
      const name = await leader();
      const pod = (await runningPods(cluster, 'kafka-controller')).find((each) => each.name === name)!;
      // Without a chance to give the lead away, and not to come back under its name.
      await cluster.control.killContainer(pod.containerId);
      await deleteByForce(cluster, pod);
      await waitFor('another leader', async () => (await leader()) !== name, { timeoutMs: patienceMs, everyMs: 500 });
      await applyUntilReady(cluster, kafkaChannel('under-the-next'));
    });
    expectNothingLost(tally);
    expect(tally.twice).toEqual([]);
    await untilWell(cluster);
  });

  it.skipIf(!cluster.isOurs)('goes on as before while the API server is away', async () => {
    const outage = { fromMs: 0, toMs: 0 };
    const name = `API server away ${outageMs / 1000} s`;
    const tally = await during(name, async () => {
      await cluster.control.stopApiServer();
      outage.fromMs = Date.now();
      await delay(outageMs); // the length of the outage itself: nothing is waited for
      outage.toMs = Date.now();
      await cluster.control.startApiServer();
      await applyUntilReady(cluster, kafkaChannel('after-the-outage'));
    });
    expectNothingLost(tally);
    expect(tally.twice).toEqual([]);
    // The node is this machine: the clock of its pods is ours.
    expect(arrivalsBetween(await load!.run(name), outage.fromMs, outage.toMs)).toBeGreaterThan(fewestInOutage);
    await untilWell(cluster);
  });

  it('delivers nothing later either', async () => {
    for (const [name, tally] of load!.tallies) expect(tallyLoad(await load!.run(name))).toEqual(tally);
  });

  async function firstPod(component: Component): Promise<RunningPod> {
    return (await runningPods(cluster, component))[0]!;
  }

  /** Name of the pod. */
  async function leader(): Promise<string> {
    return cluster.kubectl(['get', 'lease', 'kafka-controller', '--namespace', systemNamespace, '--output', 'jsonpath={.spec.holderIdentity}']);
  }
});
