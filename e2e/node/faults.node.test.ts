/**
 * Pods die without a word and the API server is away while events flow: nothing is lost, what comes twice is what a dead
 * dispatcher had under way, and all is well again without anybody's help.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { Cluster, patienceMs, systemNamespace } from './cluster.ts';
import { arrivalsBetween, silenceBeganAtMs, tallyLoad, type LoadTally } from './load-run.ts';
import { fewestEvents, installUnderLoad, type Load } from './load.ts';
import { addressOf, applyUntilReady, kafkaChannel, orders } from './orders.ts';
import { deleteByForce, killProgram, runningPods, whileReplaced, type RunningPod } from './pod-changes.ts';
import type { Component } from './system-pods.ts';

/** How long the API server is away. */
const outageMs = 20_000;
/** `MAX_IN_FLIGHT` of the dispatcher, unless told. */
const maxInFlight = 100;
/** Ten times the dispatcher's `COMMIT_INTERVAL`: what came in this time before its end may not have been committed. */
const uncommittedMs = 1_000;

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
    await expectFewTwice(name, tally);
    await untilWell();
  });

  it.skipIf(!cluster.isOurs)('loses nothing when the dispatcher is killed', async () => {
    const dispatcher = await firstPod('dispatcher');
    const name = 'dispatcher killed';
    const tally = await during(name, () => killProgram(cluster, dispatcher));
    expectNothingLost(tally);
    await expectFewTwice(name, tally);
    await untilWell();
  });

  it.skipIf(!cluster.isOurs)('loses nothing when a receiver is killed', async () => {
    const receiver = await firstPod('channel-receiver');
    const tally = await during('receiver killed', () => killProgram(cluster, receiver));
    expectNothingLost(tally);
    expect(tally.twice).toEqual([]); // but what it had stored and not yet acknowledged is sent again, and stored again
    await untilWell();
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
    await untilWell();
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
    expect(arrivalsBetween(await load!.run(name), outage.fromMs, outage.toMs)).toBeGreaterThan(1_000);
    await untilWell();
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

  async function untilWell(): Promise<void> {
    for (const condition of ['Ready', 'ReceiverReady', 'DispatcherReady']) {
      await cluster.kubectl(['wait', `--for=condition=${condition}`, `kafkachannel/${orders}`, '--namespace', orders, `--timeout=${patienceMs}ms`]);
    }
    await cluster.untilReady('subscription/all', orders);
  }

  /** No more than a dispatcher can have had under way, and had not committed. */
  async function expectFewTwice(name: string, { twice }: LoadTally): Promise<void> {
    const run = await load!.run(name);
    const endMs = silenceBeganAtMs(run.arrivals);
    const uncommitted = arrivalsBetween(run, endMs - uncommittedMs, endMs + 1);
    console.log(`${name}: ${twice.length} twice, of ${uncommitted} delivered in the last second before its end`);
    expect(twice.length).toBeLessThanOrEqual(maxInFlight + uncommitted);
  }
});

function expectNothingLost({ acknowledged, lost, unasked, outOfOrder }: LoadTally): void {
  expect({ lost, unasked, outOfOrder }).toEqual({ lost: [], unasked: [], outOfOrder: [] });
  expect(acknowledged).toBeGreaterThanOrEqual(fewestEvents);
}
