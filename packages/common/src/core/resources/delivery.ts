/**
 * Knative's delivery options: as they are written, and as the delivery engine uses them.
 *
 * `DeliverySpec` is what stands in a resource, `Delivery` has every default applied and its delays in milliseconds.
 *
 * @see Knative Eventing control plane specification, "duck.v1.DeliverySpec"
 */
import type { Destination } from './destination.ts';
import type { FieldPath, FieldProblem } from './field-problem.ts';

export type BackoffPolicy = 'linear' | 'exponential';
/** Content mode of outgoing requests: `json` is the structured mode. */
export type EventFormat = 'json' | 'binary';

/** `delivery` of a Subscription, a KafkaChannel or an entry of `spec.subscribers`. */
export interface DeliverySpec {
  readonly deadLetterSink?: Destination;
  readonly retry?: number;
  readonly backoffPolicy?: BackoffPolicy;
  readonly backoffDelay?: string;
  readonly timeout?: string;
  readonly retryAfterMax?: string;
  readonly format?: EventFormat;
}

/** What holds for one subscriber. */
export interface Delivery {
  /** Attempts after the first one. */
  readonly retry: number;
  readonly backoffPolicy: BackoffPolicy;
  readonly backoffDelayMs: number;
  /** Of one attempt; above 0, and short enough for a timer of Node. */
  readonly timeoutMs: number;
  /** The most that a Retry-After header can ask for; undefined: the header is ignored. */
  readonly retryAfterMaxMs: number | undefined;
  /** undefined: whatever the dispatcher prefers. */
  readonly format: EventFormat | undefined;
  /** As written or, in an entry of `spec.subscribers`, resolved to its `uri`. */
  readonly deadLetterSink: Destination | undefined;
}

/** What holds where neither Subscription nor KafkaChannel says anything about delivery. */
export const defaultDelivery: Delivery = {
  retry: 10,
  backoffPolicy: 'exponential',
  backoffDelayMs: 300,
  timeoutMs: 60_000,
  retryAfterMaxMs: undefined,
  format: undefined,
  deadLetterSink: undefined,
};

/** The fields of `DeliverySpec` that are durations. */
const durations = ['backoffDelay', 'timeout', 'retryAfterMax'] as const;

/** Node's timers take no more than this (24 days) and fire at once when given more. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * The delivery options that hold for a subscriber.
 *
 * As in Knative's own Subscription controller, the Subscription's `delivery` counts as a whole if there is one, and the
 * KafkaChannel's only if there is none. Two fields fall back to the KafkaChannel's one by one: the dead letter sink
 * (as that controller does) and the format (which that controller never copies, so that a channel's own is the only one
 * that can arrive). The same answer comes out whether the first argument is the Subscription's own `delivery` or the
 * merged one of an entry of `spec.subscribers`.
 *
 * Where a `delivery` counts, it counts in its own words: `retry` absent means 0. What it leaves open about the pace
 * (policy, delay, timeout) is the fallback's. A duration that cannot be read counts as absent; `deliveryProblems`
 * reports it.
 *
 * @param fallback what holds where neither says anything
 */
export function effectiveDelivery(
  subscription: DeliverySpec | undefined,
  channel: DeliverySpec | undefined,
  fallback: Delivery = defaultDelivery,
): Delivery {
  const words = subscription ?? channel;
  if (words === undefined) return fallback;
  const timeoutMs = durationMs(words.timeout);
  const retryAfterMaxMs = durationMs(words.retryAfterMax);
  return {
    retry: words.retry ?? 0,
    backoffPolicy: words.backoffPolicy ?? fallback.backoffPolicy,
    backoffDelayMs: durationMs(words.backoffDelay) ?? fallback.backoffDelayMs,
    timeoutMs: timeoutMs === undefined || timeoutMs === 0 ? fallback.timeoutMs : Math.min(timeoutMs, maxTimerMs),
    retryAfterMaxMs: retryAfterMaxMs === 0 ? undefined : retryAfterMaxMs,
    format: subscription?.format ?? channel?.format ?? fallback.format,
    deadLetterSink: subscription?.deadLetterSink ?? channel?.deadLetterSink ?? fallback.deadLetterSink,
  };
}

/** What the schema cannot say about `delivery`: durations that are none, or are zero where that makes no sense. */
export function deliveryProblems(delivery: DeliverySpec | undefined, path: FieldPath): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const field of durations) {
    const text = delivery?.[field];
    if (text === undefined) continue;
    const problem = durationProblem(text);
    if (problem !== undefined) problems.push({ path: [...path, field], message: problem });
    else if (field === 'timeout' && parseDurationMs(text) === 0) {
      problems.push({ path: [...path, field], message: `must be longer than zero, found ${JSON.stringify(text)}` });
    }
  }
  return problems;
}

/** Weeks, days, hours, minutes, seconds; each may be absent. */
const durationShape =
  /^P(?:(?<W>[\d.,]+)W)?(?:(?<D>[\d.,]+)D)?(?:T(?:(?<H>[\d.,]+)H)?(?:(?<M>[\d.,]+)M)?(?:(?<S>[\d.,]+)S)?)?$/;
const unitMs = { W: 604_800_000, D: 86_400_000, H: 3_600_000, M: 60_000, S: 1000 };

/**
 * An ISO 8601 duration in milliseconds.
 *
 * Weeks, days, hours, minutes and seconds, in this order, upper-case, with a fraction on the last one only. There is no
 * sign. Years and months are not taken: their length depends on the calendar, and a delay has none.
 *
 * @returns whole milliseconds, at least 1 for anything longer than zero; undefined if the text is not such a duration
 */
export function parseDurationMs(text: string): number | undefined {
  const groups: Record<string, string | undefined> = durationShape.exec(text)?.groups ?? {};
  const given = Object.entries(groups).filter((part): part is [string, string] => part[1] !== undefined);
  if (given.length === 0 || text.endsWith('T')) return undefined;
  let totalMs = 0;
  for (const [index, [unit, amount]] of given.entries()) {
    const isLast = index === given.length - 1;
    if (!(isLast ? /^\d+(?:[.,]\d+)?$/ : /^\d+$/).test(amount)) return undefined;
    totalMs += Number(amount.replace(',', '.')) * unitMs[unit as keyof typeof unitMs];
  }
  if (totalMs > Number.MAX_SAFE_INTEGER) return undefined;
  return totalMs > 0 ? Math.max(1, Math.round(totalMs)) : 0;
}

/** Why a text is no duration that can be used, in words; undefined if it is one. */
export function durationProblem(text: string): string | undefined {
  if (parseDurationMs(text) !== undefined) return undefined;
  const expected = 'expected an ISO 8601 duration such as PT0.5S, PT1M30S or P7D';
  const found = `found ${JSON.stringify(text)}`;
  if (/^[+-]?P.*[\d.,]Y/.test(text) || /^[+-]?P[^T]*[\d.,]M/.test(text)) {
    return `${expected}; years and months have no fixed length, use weeks or days: ${found}`;
  }
  if (/^[+-]/.test(text)) return `${expected}, without a sign: ${found}`;
  if (/^\d+(?:\.\d+)?(?:ms|s|m|h)?$/.test(text)) return `${expected} (seconds are PT<number>S): ${found}`;
  const isShaped = durationShape.test(text);
  if (isShaped && /[.,]/.test(text)) return `${expected}, with a fraction on the last part only: ${found}`;
  return `${expected}: ${found}`;
}

function durationMs(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseDurationMs(text);
}
