/**
 * Kafka is restarted, orderly and not, while events flow: senders are told to wait, what was acknowledged is delivered once
 * Kafka is back, and nobody has to help.
 *
 * Its one broker is all there is, so for some seconds there is no Kafka at all; one of several that restarts is less.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, systemNamespace } from './cluster.ts';
import { expectFewTwice, expectNothingLost } from './load-expectations.ts';
import { tallyLoad } from './load-run.ts';
import { installUnderLoad, untilWell, type Load } from './load.ts';
import { addressOf, orders } from './orders.ts';
import { systemPods } from './system-pods.ts';

const cluster = new Cluster();

describe.skipIf(!cluster.isOurs)('while events flow', () => {
  let load: Load | undefined;

  beforeAll(async () => {
    load = await installUnderLoad(cluster);
  });
  afterAll(async () => {
    if (load !== undefined) console.log(load.table());
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it.each([
    ['Kafka restarted', () => cluster.control.stopKafka()],
    ['Kafka killed', () => cluster.control.killKafka()],
  ] as const)('loses nothing and restarts no pod: %s', async (name, end) => {
    const before = await systemPods(cluster);
    const lastCommit = { fromMs: 0, toMs: 0 };
    const tally = await load!.during(name, addressOf(orders), async () => {
      lastCommit.fromMs = Date.now();
      await end();
      lastCommit.toMs = Date.now();
      await cluster.control.startKafka();
      console.log(`${name}: serves again ${((Date.now() - lastCommit.fromMs) / 1000).toFixed(1)} s after it was told to end`);
      await untilWell(cluster);
    });
    expectNothingLost(tally);
    expectFewTwice(name, await load!.run(name), tally, lastCommit); // the node is this machine: the clock of its pods is ours
    expect(await systemPods(cluster)).toEqual(before);
  });

  it('delivers nothing later either', async () => {
    for (const [name, tally] of load!.tallies) expect(tallyLoad(await load!.run(name))).toEqual(tally);
  });
});
