/**
 * What became of the events of one run of the load (load.ts): lost, delivered, delivered twice, overtaken, held up.
 *
 * An event is sent again until it is acknowledged, and every attempt says which it is. So a second delivery of the same
 * attempt was made by a dispatcher, and a second attempt's was asked for by the sender, who had no answer to the first.
 */

/** `key/number`; the numbers of a key count up from 0. */
export type EventId = string;

/** As the load's pod has kept it; all times are of that pod's clock, in milliseconds since 1970. */
export interface LoadRun {
  /** The sender has its 202. `sentAtMs`: of the first attempt; `tookMs`: from then to the 202. */
  readonly acknowledged: readonly { readonly id: EventId; readonly sentAtMs: number; readonly tookMs: number }[];
  /** Every delivery, in the order in which they came. */
  readonly arrivals: readonly Arrival[];
  /** What was answered instead of 202, and how often: a status, or why there was no answer. */
  readonly refusals: Readonly<Record<string, number>>;
}

export interface Arrival {
  readonly id: EventId;
  /** 1 for the first. */
  readonly attempt: number;
  readonly atMs: number;
  /** `partition/offset` of its record, where a KafkaSource has delivered it. */
  readonly place?: string;
}

export interface LoadTally {
  readonly acknowledged: number;
  /** Of those. */
  readonly delivered: number;
  readonly lost: readonly EventId[];
  /** Delivered without having been acknowledged. */
  readonly unasked: readonly EventId[];
  /** The same attempt was delivered more than once. */
  readonly twice: readonly EventId[];
  /** Several attempts were delivered, each once: both were stored. */
  readonly storedTwice: readonly EventId[];
  /** Came first after a later event of their key. */
  readonly outOfOrder: readonly EventId[];
  readonly refusals: LoadRun['refusals'];
  /** The longest time between two deliveries of one key. */
  readonly longestPauseMs: number;
  /** The longest time from the first attempt to send an event to its 202. */
  readonly longestAnswerMs: number;
  /** The longest time from the first attempt to send an event to its first delivery. */
  readonly longestWaitMs: number;
  /** How long before the longest silence of all keys the earliest of `twice` had come first; undefined where none had. */
  readonly repeatedFromMs: number | undefined;
}

export function tallyLoad({ acknowledged, arrivals, refusals }: LoadRun): LoadTally {
  const firstAt = new Map<EventId, number>();
  const byAttempt = new Map<string, number>();
  const attempts = new Map<EventId, Set<number>>();
  for (const { id, attempt, atMs } of arrivals) {
    if (!firstAt.has(id)) firstAt.set(id, atMs);
    const name = `${id}#${attempt}`;
    byAttempt.set(name, (byAttempt.get(name) ?? 0) + 1);
    attempts.set(id, (attempts.get(id) ?? new Set()).add(attempt));
  }
  const twice = [...new Set([...byAttempt].filter(([, times]) => times > 1).map(([name]) => name.slice(0, name.indexOf('#'))))];
  const asked = new Set(acknowledged.map(({ id }) => id));
  const lost = [...asked].filter((id) => !firstAt.has(id));
  return {
    acknowledged: asked.size,
    delivered: asked.size - lost.length,
    lost,
    unasked: [...firstAt.keys()].filter((id) => !asked.has(id)),
    twice,
    storedTwice: [...attempts].filter(([, seen]) => seen.size > 1).map(([id]) => id),
    outOfOrder: outOfOrder([...firstAt.keys()]),
    refusals,
    longestPauseMs: longestPauseMs(arrivals),
    longestAnswerMs: acknowledged.reduce((longest, { tookMs }) => Math.max(longest, tookMs), 0),
    longestWaitMs: acknowledged.reduce((longest, { id, sentAtMs }) => Math.max(longest, (firstAt.get(id) ?? sentAtMs) - sentAtMs), 0),
    repeatedFromMs: repeatedFromMs(arrivals, twice.map((id) => firstAt.get(id) ?? 0)),
  };
}

/** How many deliveries there were in this time, its end not included. */
export function arrivalsBetween({ arrivals }: LoadRun, fromMs: number, toMs: number): number {
  return arrivals.filter(({ atMs }) => atMs >= fromMs && atMs < toMs).length;
}

/** Places, as in `Arrival`, that came first after a later one of their partition. */
export function overtakenInPartition({ arrivals }: LoadRun): readonly string[] {
  return outOfOrder([...new Set(arrivals.flatMap(({ place }) => place ?? []))]);
}

/** @param ids in the order in which they came first; of keys, or of partitions */
function outOfOrder(ids: readonly EventId[]): EventId[] {
  const latest = new Map<string, number>();
  return ids.filter((id) => {
    const slash = id.lastIndexOf('/');
    const key = id.slice(0, slash);
    const number = Number(id.slice(slash + 1));
    const before = latest.get(key) ?? -1;
    latest.set(key, Math.max(before, number));
    return number < before;
  });
}

function longestPauseMs(arrivals: readonly Arrival[]): number {
  const lastAt = new Map<string, number>();
  let longest = 0;
  for (const { id, atMs } of arrivals) {
    const key = id.slice(0, id.lastIndexOf('/'));
    longest = Math.max(longest, atMs - (lastAt.get(key) ?? atMs));
    lastAt.set(key, atMs);
  }
  return longest;
}

function repeatedFromMs(arrivals: readonly Arrival[], firstAtMs: readonly number[]): number | undefined {
  if (firstAtMs.length === 0) return undefined;
  return silenceBeganAtMs(arrivals) - Math.min(...firstAtMs);
}

/** When the delivery came that the longest silence of all keys followed: where one dispatcher delivers all, the moment of its end. */
export function silenceBeganAtMs(arrivals: readonly Arrival[]): number {
  let [beganAtMs, longest] = [arrivals[0]?.atMs ?? 0, 0];
  for (const [index, { atMs }] of arrivals.entries()) {
    const silence = (arrivals[index + 1]?.atMs ?? atMs) - atMs;
    if (silence > longest) [beganAtMs, longest] = [atMs, silence];
  }
  return beganAtMs;
}

/** For a terminal, one line for each run. */
export function loadTable(runs: ReadonlyMap<string, LoadTally>): string {
  const columns = ['', 'acknowledged', 'delivered', 'twice', 'of the last', 'stored twice', 'out of order', 'longest pause', 'longest answer', 'longest wait', 'not 202'];
  const rows = [...runs].map(([name, tally]) => [
    name,
    String(tally.acknowledged),
    String(tally.delivered),
    String(tally.twice.length),
    tally.repeatedFromMs === undefined ? '' : seconds(tally.repeatedFromMs),
    String(tally.storedTwice.length),
    String(tally.outOfOrder.length),
    seconds(tally.longestPauseMs),
    seconds(tally.longestAnswerMs),
    seconds(tally.longestWaitMs),
    Object.entries(tally.refusals).map(([answer, times]) => `${times} × ${answer}`).join(', '),
  ]);
  const widths = columns.map((column, at) => Math.max(column.length, ...rows.map((row) => row[at]!.length)));
  return [columns, ...rows].map((row) => row.map((cell, at) => (at === 0 || at === columns.length - 1 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join('  ').trimEnd()).join('\n');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
