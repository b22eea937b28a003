/**
 * What a subscriber saw of events that were stored at a steady rate, one partition after the other: how long nothing
 * came, what came again, what never came, and how old it was.
 *
 * Times are microseconds of the machine's monotonic clock (io/machine-clock.ts), the same in every process.
 */
import { Histogram } from './histogram.ts';

export interface Arrival {
  /** The event's number; its partition follows from it. */
  readonly n: number;
  /** When the whole event was there. */
  readonly at: number;
  /** When its sender began to send it. */
  readonly sentAt: number;
}

export interface TimeWindow {
  readonly from: number;
  readonly to: number;
}

/**
 * The longest time without an arrival in a window, its edges counted: one that began before the window counts whole.
 * @param arrivals in the order they came
 * @returns milliseconds
 */
export function longestGapMs(arrivals: readonly Arrival[], { from, to }: TimeWindow): number {
  let last: number | undefined;
  let longest = 0;
  for (const { at } of arrivals) {
    if (at > to) break;
    if (at >= from) longest = Math.max(longest, at - (last ?? from));
    last = at;
  }
  return Math.max(longest, to - (last ?? from)) / 1000;
}

/** Arrivals of events that had arrived before. */
export function repeated(arrivals: readonly Arrival[]): readonly Arrival[] {
  const seen = new Set<number>();
  return arrivals.filter(({ n }) => {
    if (seen.has(n)) return true;
    seen.add(n);
    return false;
  });
}

/** @returns how many of the events 0 to `stored - 1` never arrived */
export function missing(arrivals: readonly Arrival[], stored: number): number {
  const seen = new Set(arrivals.map(({ n }) => n));
  let count = 0;
  for (let n = 0; n < stored; n++) if (!seen.has(n)) count++;
  return count;
}

export function arrivedIn(arrivals: readonly Arrival[], { from, to }: TimeWindow): readonly Arrival[] {
  return arrivals.filter(({ at }) => at >= from && at <= to);
}

/**
 * How long events waited from their acceptance on; 0 where one arrived before its sender had Kafka's answer.
 * @param acceptedAt by the event's number
 * @param window     of acceptance
 */
export function waits(arrivals: readonly Arrival[], acceptedAt: readonly number[], { from, to }: TimeWindow): Histogram {
  const histogram = new Histogram();
  for (const { n, at } of arrivals) {
    const accepted = acceptedAt[n];
    if (accepted !== undefined && accepted >= from && accepted <= to) histogram.record(at - accepted);
  }
  return histogram;
}

/** Whether in each partition an event that was sent after `since` has arrived no later than `withinMs` after that. */
export function keepUp(arrivals: readonly Arrival[], partitions: number, since: number, withinMs: number): boolean {
  const inTime = new Set<number>();
  for (const { n, at, sentAt } of arrivals) if (sentAt >= since && at - sentAt <= withinMs * 1000) inTime.add(n % partitions);
  return inTime.size === partitions;
}
