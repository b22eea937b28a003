/**
 * What is known of the Kafka of a Secret, from one look at it to the next.
 *
 * Always true: that our credentials are refused counts at once, because somebody has to do something about it; that a
 * Kafka cannot be reached counts when it never could be, or twice in a row: a broker that starts again is no news.
 */
import type { Problem } from './channel-status.ts';

/** What is wrong with a Secret, or with the Kafka it names. */
export interface AccessProblem extends Problem {
  /** `secret`: somebody has to change the Secret, or what Kafka knows of us; `kafka`: it cannot be reached. */
  readonly of: 'secret' | 'kafka';
}

export interface Standing {
  readonly hasLooked: boolean;
  /** Looks in a row that could not reach it. */
  readonly misses: number;
  /** The one that counts. */
  readonly problem: AccessProblem | undefined;
}

export const neverLooked: Standing = { hasLooked: false, misses: 0, problem: undefined };

/** @param found undefined: it lets us in */
export function afterLook({ hasLooked, misses, problem }: Standing, found: AccessProblem | undefined): Standing {
  const missesNow = found?.of === 'kafka' ? misses + 1 : 0;
  const isKept = hasLooked && problem === undefined && missesNow === 1;
  return { hasLooked: true, misses: missesNow, problem: isKept || isSameTrouble(problem, found) ? problem : found };
}

/**
 * Brokers are asked in turn, and each answers under its own name and port: sentences that differ in words with
 * digits alone say the same, and telling them anew would write every channel's status at every look.
 */
export function isSameTrouble(before: Problem | undefined, after: Problem | undefined): boolean {
  if (before === undefined || after === undefined) return before === after;
  return before.reason === after.reason && withoutDigits(before.message) === withoutDigits(after.message);
}

function withoutDigits(message: string): string {
  return message.replace(/\w*\d\w*/g, '#');
}
