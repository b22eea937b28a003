/**
 * What the subscribers of the soak answer: decided by seed, event and attempt alone, so that it is known beforehand
 * which events end at the dead letter sink, whoever delivers them and however often.
 */
import { chanceOf } from './seeded-random.ts';

/** `reset`: the connection is cut. `hang`: no answer at all. */
export type SoakAnswer = { readonly status: number; readonly retryAfter?: string } | 'reset' | 'hang';

/** Of the events, in parts of one. */
export const failingShare = 0.1;
/** Retries that the failing subscriber's Subscription allows. */
export const flakyRetries = 3;

/** Every kind of answer that is none, and all that are worth another attempt; one of them fails for good at once. */
const failures: readonly SoakAnswer[] = [
  { status: 400 },
  { status: 404 },
  { status: 408 },
  { status: 409 },
  { status: 429, retryAfter: '1' },
  { status: 500 },
  { status: 503, retryAfter: '1' },
  'reset',
  'hang',
];

const delivered: SoakAnswer = { status: 200 };

interface Plan {
  /** Attempts that fail before one succeeds; Infinity where none does. */
  readonly failing: number;
}

/** One in ten events fails: a third of these for good, the others up to as often as there are retries. */
function planOf(seed: string, id: string): Plan {
  if (chanceOf(`${seed}/fails/${id}`) >= failingShare) return { failing: 0 };
  const often = chanceOf(`${seed}/often/${id}`);
  return { failing: often < 1 / 3 ? Infinity : 1 + Math.floor(((often - 1 / 3) / (2 / 3)) * flakyRetries) };
}

/**
 * The answer of the failing subscriber.
 *
 * @param attempt 1 for the first time that the subscriber sees the event, whoever sends it
 */
export function flakyAnswer(seed: string, id: string, attempt: number): SoakAnswer {
  const { failing } = planOf(seed, id);
  if (attempt > failing) return delivered;
  // An event that is to succeed later must not be refused for good before.
  const possible = failing === Infinity ? failures : failures.slice(1);
  // Hanging takes the longest: once per delivery is enough.
  const choice = attempt === 1 ? possible : possible.filter((failure) => failure !== 'hang');
  return choice[Math.floor(chanceOf(`${seed}/answer/${id}/${attempt}`) * choice.length)]!;
}

/** Whether an event belongs to the dead letter sink of the failing subscriber. */
export function isDeadLetterOfFlaky(seed: string, id: string): boolean {
  return planOf(seed, id).failing === Infinity;
}

/** How long the slow subscriber takes: mostly some milliseconds, for one event in ten up to 100. */
export function slowAnswerMs(seed: string, id: string): number {
  const chance = chanceOf(`${seed}/slow/${id}`);
  return chance < 0.9 ? 2 + Math.floor(chance * 10) : 10 + Math.floor((chance - 0.9) * 900);
}

/** The body that comes with a status; a dead letter has to tell it. */
export function answerBody(status: number): string {
  return status === 200 ? '' : `answered ${status}`;
}
