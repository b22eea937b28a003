/**
 * How a rate is cut into leases: so many permits at a time, so often.
 */

export interface RateLease {
  /** Attempts that one lease allows. */
  readonly permits: number;
  /** From one lease to the next, in milliseconds. */
  readonly intervalMs: number;
  /** How many leases are asked for ahead of their time while there is demand. */
  readonly ahead: number;
}

/** Whoever grants leases takes a few milliseconds for each; up to here that is none of their interval. */
const leasesPerSecond = 100;
/**
 * So long may the process be held up without any of the rate being lost: a lease that is asked for after its time comes
 * late, and the next ones with it. On a busy machine 20 ms were measured to be too few; more would be a burst.
 */
const heldUpMs = 50;
/** Longer leases are asked for in time anyway. */
const longLeaseMs = 50;

/**
 * A hundred leases a second, of as many permits as the rate asks for: 10 ms of the rate is the most that goes out at
 * once. Up to 100 a second a lease is one permit, and they are evenly spaced.
 *
 * @param perSecond above 0
 */
export function rateLease(perSecond: number): RateLease {
  const permits = Math.ceil(perSecond / leasesPerSecond);
  const intervalMs = (1000 * permits) / perSecond;
  return { permits, intervalMs, ahead: intervalMs > longLeaseMs ? 1 : 1 + Math.ceil(heldUpMs / intervalMs) };
}
