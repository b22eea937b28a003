/** What a run of the load must have come to: the promises to those who send and receive, in numbers. */
import { expect } from 'vitest';
import { arrivalsBetween, silenceBeganAtMs, type LoadRun, type LoadTally } from './load-run.ts';
import { usualPace } from './load.ts';

/** `MAX_IN_FLIGHT` of the dispatcher, unless told. */
const maxInFlight = 100;
/** Ten times the dispatcher's `COMMIT_INTERVAL`: what came in this time before its end may not have been committed. */
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

/** No more has come twice than one dispatcher can have had under way, and had not committed, when the longest silence began. */
export function expectFewTwice(name: string, run: LoadRun, { twice }: LoadTally): void {
  const endMs = silenceBeganAtMs(run.arrivals);
  const uncommitted = arrivalsBetween(run, endMs - uncommittedMs, endMs + 1);
  console.log(`${name}: ${twice.length} twice, of ${uncommitted} delivered in the last second before its end`);
  expect(twice.length).toBeLessThanOrEqual(maxInFlight + uncommitted);
}
