/**
 * The soak in its short form: each kind of fault once. `npm run soak` is the long one.
 */
import { expect, it } from 'vitest';
import { faultNames, isSafe, type FaultName } from './core/soak-result.ts';
import { runSoak } from './soak.ts';

const brokers = 1;
/** It takes long, and does the same as another one, twice. */
const leftOut: readonly FaultName[] = ['both dispatchers rolled'];
const faults = faultNames.filter((name) => isSafe(name, brokers) && !leftOut.includes(name));
/** A limit for failing; a machine of its own takes a little more than a minute. */
const timeoutMs = 600_000;
const seed = process.env['SOAK_SEED'] ?? '1';

it(`loses none of 10 000 events while dispatchers, subscribers and Kafka come and go (seed ${seed})`, async () => {
  const steps: string[] = [];
  const result = await runSoak({ events: 10_000, rate: 250, seed, faults, calmEvents: 500, quietEvents: 250, sessionTimeoutMs: 3_000, brokers, partitions: 6, keys: 200 }, (text) => steps.push(text))
    .catch((error: unknown) => { throw new Error(`after: ${steps.at(-1) ?? 'nothing'}`, { cause: error }); });
  expect(result.problems).toEqual([]);
  expect(result.events).toBeGreaterThanOrEqual(10_000);
  expect(result.faults.map(({ fault }) => fault)).toEqual(['none', ...faults]);
  // That nothing is wrong means little unless there was something to get wrong.
  const { flaky, slow, vanishing } = result.subscriptions;
  expect(flaky!.deadLettered).toBeGreaterThan(0);
  expect(slow!.delivered).toBe(result.events);
  expect(vanishing!.deadLettered).toBeGreaterThan(0);
  expect(vanishing!.kept).toBeGreaterThan(0);
  for (const { events, counted } of result.calm) expect(counted).toMatchObject({ 'slow delivered': events, 'vanishing delivered': events, 'flaky dropped': 0 });
}, timeoutMs);
