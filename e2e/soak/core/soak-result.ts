/**
 * What a soak comes to: its faults by name, what became of the events, and what each kind of fault cost.
 */
import type { Duplicate, LedgerWindow, Tally } from './event-ledger.ts';

export const subscriptions = ['flaky', 'slow', 'vanishing'] as const;
export type SubscriptionName = (typeof subscriptions)[number];

export const faultNames = [
  'dispatcher rolled',
  'both dispatchers rolled',
  'dispatcher added and removed',
  'dispatcher killed',
  'dispatcher frozen',
  'subscriber gone',
  'subscriber and sink gone',
  'broker restarted',
  'broker killed',
] as const;
export type FaultName = (typeof faultNames)[number];

/** Faults that are to cost no duplicate at all. */
export const gracefulFaults: readonly FaultName[] = ['dispatcher rolled', 'both dispatchers rolled', 'dispatcher added and removed'];

/**
 * Whether Kafka itself survives it. The group coordinator of a single broker of Kafka 4.3 that is killed and started at
 * once now and then comes up without having read its log; what it then writes makes the log one that no coordinator can
 * load any more ("state machine ... out of sync", "Cannot set the epoch"). docs/SOAK.md has more.
 */
export function isSafe(fault: FaultName, brokers: number): boolean {
  return fault !== 'broker killed' || brokers > 1;
}

/** Problems of one kind that are told one by one. */
const shownProblems = 5;

export interface SubscriptionResult extends Tally {
  readonly duplicates: number;
}

/** What the services counted over a stretch without faults, beside what arrived. */
export interface CalmResult {
  readonly events: number;
  readonly counted: Readonly<Record<string, number>>;
  readonly arrived: Readonly<Record<string, number>>;
}

/** What one kind of fault cost, or, as `none`, the time between faults. */
export interface FaultResult {
  readonly fault: FaultName | 'none';
  /** Of each time it happened: from its beginning until every partition delivered again. */
  readonly tookMs: readonly number[];
  /** By Subscription, of each time: the longest pause of a partition. */
  readonly pauseMs: Readonly<Record<string, readonly number[]>>;
  /** By Subscription, of all times together. */
  readonly duplicates: Readonly<Record<string, number>>;
  /** The longest time before the fault at which an event had arrived that was then repeated; undefined where none was. */
  readonly repeatedFromMs: number | undefined;
}

export interface SoakResult {
  readonly seed: string;
  readonly events: number;
  readonly elapsedMs: number;
  readonly storedTwice: number;
  readonly subscriptions: Readonly<Record<string, SubscriptionResult>>;
  readonly faults: readonly FaultResult[];
  readonly calm: readonly CalmResult[];
  /** Dead letters whose headers were looked at. */
  readonly deadLettersChecked: number;
  /** Events of `flaky` at its sink though its subscriber would have taken them; see soak.ts. */
  readonly atWrongSink: number;
  /** What should not have happened, in sentences; nothing of it: the soak has passed. */
  readonly problems: readonly string[];
}

/** One row per kind of fault, the time between faults first. */
export function faultResults(windows: readonly LedgerWindow[], duplicates: readonly Duplicate[]): readonly FaultResult[] {
  return (['none', ...faultNames] as const).flatMap((fault) => {
    const named = fault === 'none' ? undefined : fault;
    const own = windows.filter((window) => window.fault === named);
    if (own.length === 0) return [];
    const bySubscription = <T>(value: (name: string) => T): Record<string, T> => Object.fromEntries(subscriptions.map((name) => [name, value(name)]));
    const startedBefore = (atMs: number): number => own.findLast(({ startedAt }) => startedAt <= atMs)?.startedAt ?? atMs;
    const reach = duplicates.filter((entry) => entry.fault === named).map(({ atMs, firstAtMs }) => Math.max(0, startedBefore(atMs) - firstAtMs));
    return [{
      fault,
      repeatedFromMs: fault === 'none' || reach.length === 0 ? undefined : Math.max(...reach),
      tookMs: own.map(({ startedAt, endedAt }) => endedAt - startedAt),
      pauseMs: bySubscription((name) => own.map(({ pauseMs }) => pauseMs[name] ?? 0)),
      duplicates: bySubscription((name) => duplicates.filter((entry) => entry.fault === named && entry.subscription === name).length),
    }];
  });
}

/** The first problems of each kind, and how many more there are. */
export function summed(problems: readonly string[]): readonly string[] {
  const byKind = new Map<string, string[]>();
  for (const problem of problems) {
    const kind = problem.replace(/\d+/g, '#');
    byKind.set(kind, [...(byKind.get(kind) ?? []), problem]);
  }
  return [...byKind.values()].flatMap((all) => (all.length <= shownProblems ? all : [...all.slice(0, shownProblems), `… and ${all.length - shownProblems} more like the last one`]));
}
