/**
 * What an installation takes at the chart's defaults: memory and CPU of each of its pods, idle and under load, and how far
 * that is from the limits that the chart gives them.
 *
 * What is measured is printed; docs/PERFORMANCE.md keeps it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, systemNamespace } from './cluster.ts';
import { Footprints, footprintTable, type Footprint } from './footprints.ts';
import { expectNothingLost } from './load-expectations.ts';
import { installUnderLoad, usualPace, type Load, type LoadPace } from './load.ts';
import { addressOf, orders } from './orders.ts';

/** Promised for all pods together, idle, with one channel and one Subscription. */
const mostIdleBytes = 300_000_000;
/** How long nothing happens before and while it is measured. */
const restMs = 30_000;

/** Each key sends again as soon as it is answered: as fast as it goes. */
const fast: LoadPace = { keys: 200, everyMs: 0, answerMs: 0, bytes: 1_024, fewest: 50_000 };
/** Large events to a subscriber that takes far longer for them than Kafka does, so that every queue is full. */
const large: LoadPace = { keys: 200, everyMs: 0, answerMs: 200, bytes: 500_000, fewest: 4_000 };

describe('an installation with the defaults of the chart, one channel and one Subscription', () => {
  const cluster = new Cluster();
  const measured = new Map<string, readonly Footprint[]>();
  let load: Load | undefined;

  beforeAll(async () => {
    if (cluster.isOurs) load = await installUnderLoad(cluster);
  });
  afterAll(async () => {
    if (load !== undefined) console.log(`${load.table()}\n\n${footprintTable(measured)}`);
    await cluster.cleanUp([orders, systemNamespace]);
  });

  it.skipIf(!cluster.isOurs)('takes less than 300 MB in all its pods together while it is idle', async () => {
    await delay(restMs); // what a start has taken is given back
    const footprints = await Footprints.of(cluster);
    await delay(restMs); // the time that is measured
    const idle = await footprints.end();
    measured.set('idle', idle);
    expect(idle.reduce((sum, { workingSetBytes }) => sum + workingSetBytes, 0)).toBeLessThan(mostIdleBytes);
  });

  it.skipIf(!cluster.isOurs).each([
    ['1,000 events/s', usualPace],
    ['1 KiB, as fast as it goes', fast],
    ['500 kB, slow subscriber', large],
  ])('stays within its limits: %s', async (name, pace) => {
    const footprints = await Footprints.of(cluster);
    const tally = await load!.during(name, addressOf(orders), () => Promise.resolve(), pace);
    const pods = await footprints.end();
    measured.set(name, pods);
    expectNothingLost(tally, pace.fewest);
    for (const { pod, workingSetBytes, limitBytes, restarts } of pods) {
      expect(restarts, `restarts of ${pod}`).toBe(0);
      expect(workingSetBytes, `memory of ${pod}`).toBeLessThan(limitBytes);
    }
  });
});
