/** What a run of the load must have come to: the promises to those who send and receive, in numbers. */
import { expect } from 'vitest';
import { arrivalsBetween, silenceBeganAtMs, type LoadRun, type LoadTally } from './load-run.ts';
import { usualPace } from './load.ts';

/** `MAX_IN_FLIGHT` of the dispatcher, unless told. */
const maxInFlight = 100;
/** Ten times the dispatcher's `COMMIT_INTERVAL`: what came in this time before commits ended may not have been committed. */
const uncommittedMs = 1_000;
/** For so long a dispatcher delivers on while no commit is taken; twice, because a busy machine is late. */
const patienceMs = 2_000;

/** All that was acknowledged has come, nothing else has, and each key in order. */
export function expectNothingLost({ acknowledged, lost, unasked, outOfOrder }: LoadTally, fewest = usualPace.fewest): void {
  expect({ lost, unasked, outOfOrder }).toEqual({ lost: [], unasked: [], outOfOrder: [] });
  expect(acknowledged).toBeGreaterThanOrEqual(fewest);
}

/** And nothing has been stored or delivered twice. */
export function expectUndisturbed(tally: LoadTally, fewest = usualPace.fewest): void {
  expectNothingLost(tally, fewest);
  const { twice, storedTwice } = tally;
  expect({ twice, storedTwice }).toEqual({ twice: [], storedTwice: [] });
}

/**
 * No more has come twice than one dispatcher can have had under way, and had not committed, when the longest silence began.
 *
 * @param lastCommit the times between which it could commit for the last time, where that was before the silence: for a moment
 *                   it goes on delivering
 */
export function expectFewTwice(name: string, run: LoadRun, { twice }: LoadTally, lastCommit?: { readonly fromMs: number; readonly toMs: number }): void {
  const silenceMs = silenceBeganAtMs(run.arrivals);
  const { fromMs, toMs } = lastCommit ?? { fromMs: silenceMs, toMs: silenceMs };
  const uncommitted = arrivalsBetween(run, fromMs - uncommittedMs, Math.min(toMs + patienceMs, silenceMs + 1));
  console.log(`${name}: ${twice.length} twice, of ${uncommitted} that may not have been committed`);
  expect(twice.length).toBeLessThanOrEqual(maxInFlight + uncommitted);
}
