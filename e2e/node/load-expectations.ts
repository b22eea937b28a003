/** What a run of the load must have come to: the promises to those who send and receive, in numbers. */
import { expect } from 'vitest';
import { arrivalsBetween, silenceBeganAtMs, type LoadRun, type LoadTally } from './load-run.ts';
import { usualPace } from './load.ts';

/** `MAX_IN_FLIGHT` of the dispatcher, unless told. */
const maxInFlight = 100;
/** Ten times the dispatcher's `COMMIT_INTERVAL`: what came in this time before commits ended may not have been committed. */
const uncommittedMs = 1_000;

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
 * @param lastCommitMs when it could commit for the last time, where that was before the silence: what it has fetched it goes on delivering
 */
export function expectFewTwice(name: string, run: LoadRun, { twice }: LoadTally, lastCommitMs = silenceBeganAtMs(run.arrivals)): void {
  const uncommitted = arrivalsBetween(run, lastCommitMs - uncommittedMs, silenceBeganAtMs(run.arrivals) + 1);
  console.log(`${name}: ${twice.length} twice, of ${uncommitted} that may not have been committed`);
  expect(twice.length).toBeLessThanOrEqual(maxInFlight + uncommitted);
}
