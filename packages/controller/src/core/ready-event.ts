/**
 * What is worth an Event when a status is written: that Ready has become True or False, or is False for another reason.
 * `Unknown` is none, because nothing has been decided.
 */
import type { Condition } from '@knative-kafka/common/core';

export interface ReadyEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly note: string;
}

/**
 * @param before    the conditions as they were; undefined where there were none
 * @param whenReady what is told of a resource that has become Ready; undefined: nothing
 */
export function readyEvent(before: readonly Condition[] | undefined, after: readonly Condition[] | undefined, whenReady?: Omit<ReadyEvent, 'type'>): ReadyEvent | undefined {
  const [was, is] = [readyOf(before), readyOf(after)];
  if (is === undefined || is.status === 'Unknown' || (was?.status === is.status && was.reason === is.reason)) return undefined;
  if (is.status === 'False') return { type: 'Warning', reason: is.reason ?? 'NotReady', note: is.message ?? '' };
  return whenReady === undefined ? undefined : { type: 'Normal', ...whenReady };
}

function readyOf(conditions: readonly Condition[] = []): Condition | undefined {
  return conditions.find(({ type }) => type === 'Ready');
}
