/**
 * Receivers and dispatchers are replaced one after the other while events flow: nobody who sends or receives notices more
 * than a short pause.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chart, Cluster, release, systemNamespace } from './cluster.ts';
import { expectUndisturbed } from './load-expectations.ts';
import { tallyLoad, type LoadTally } from './load-run.ts';
import { installUnderLoad, usualPace, type Load } from './load.ts';
import { addressOf, orders } from './orders.ts';
import { rollOut, whileReplaced } from './pod-changes.ts';

/** Acknowledged events, where `--short` is asked for. */
const fewestOfShort = 10_000;

describe('while events flow', () => {
  const cluster = new Cluster();
  const { isShort } = cluster.facts;
  const pace = isShort ? { ...usualPace, fewest: fewestOfShort } : usualPace;
  let load: Load | undefined;
  const during = (name: string, happens: () => Promise<void>): Promise<LoadTally> => load!.during(name, addressOf(orders), happens, pace);

  beforeAll(async () => {
    load = await installUnderLoad(cluster);
  });
  afterAll(async () => {
    if (load !== undefined) console.log(load.table());
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it.skipIf(isShort)('loses and repeats nothing when receivers are restarted', async () => {
    expectUndisturbed(await during('receivers restarted', () => rollOut(cluster, 'channel-receiver')), pace.fewest);
  });

  it.skipIf(isShort)('loses and repeats nothing when the dispatcher is restarted', async () => {
    expectUndisturbed(await during('dispatcher restarted', () => rollOut(cluster, 'dispatcher')), pace.fewest);
  });

  it('loses and repeats nothing when an upgrade changes the resources of both', async () => {
    const resources = ['receiver.resources.requests.memory=208Mi', 'dispatcher.resources.requests.memory=144Mi'].flatMap((value) => ['--set', value]);
    const upgrade = async (): Promise<void> => {
      await cluster.helm(['upgrade', release, chart, ...cluster.values(), ...resources, '--wait', '--timeout', '4m']);
    };
    expectUndisturbed(await during('helm upgrade', () => whileReplaced(cluster, ['channel-receiver', 'dispatcher'], upgrade)), pace.fewest);
  });

  it('delivers nothing later either', async () => {
    for (const [name, tally] of load!.tallies) expect(tallyLoad(await load!.run(name))).toEqual(tally);
  });
});
