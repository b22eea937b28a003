/**
 * How long to wait before something is tried again: doubling, bounded, and spread so that many do not come at once.
 */
export interface BackoffOptions {
  readonly firstMs: number;
  readonly longestMs: number;
}

/**
 * @param retry  1 for the first retry
 * @param random from 0 up to but not including 1; the wait is between half and all of what it could be
 * @returns      milliseconds
 */
export function backoffMs(retry: number, { firstMs, longestMs }: BackoffOptions, random: number): number {
  const fullMs = Math.min(longestMs, firstMs * 2 ** Math.min(retry - 1, 50));
  return fullMs / 2 + (fullMs / 2) * random;
}
