/**
 * Conditions of a resource, and how `Ready` follows from the others.
 *
 * Always true of a list made here: it is sorted by type, has every type once, and `lastTransitionTime` moves only when
 * something else in the condition did, so that writing the same state again is no change.
 *
 * @see Knative common specification, "Error signalling"; contract of conditions as in knative.dev/pkg
 */

export type ConditionStatus = 'True' | 'False' | 'Unknown';

export interface Condition {
  readonly type: string;
  readonly status: ConditionStatus;
  /** Absent for a condition that counts towards Ready. */
  readonly severity?: 'Info' | 'Warning';
  /** Why, in one CamelCase word. */
  readonly reason?: string;
  /** Why, in a sentence. */
  readonly message?: string;
  /** RFC 3339, seconds. */
  readonly lastTransitionTime?: string;
}

/**
 * False if any dependent is False, else Unknown if any is Unknown, else True.
 *
 * Reason and message are those of the first such dependent, in the order given: a reconciler lists its conditions in
 * the order of its work, so the first is the cause and the rest follow from it.
 *
 * @param dependents conditions that Ready depends on; those with a severity are left out of it
 */
export function readyCondition(dependents: readonly Condition[]): Condition {
  const counting = dependents.filter((condition) => condition.severity === undefined);
  const unhappy =
    counting.find((condition) => condition.status === 'False') ??
    counting.find((condition) => condition.status === 'Unknown');
  if (unhappy === undefined) return { type: 'Ready', status: 'True' };
  return {
    type: 'Ready',
    status: unhappy.status,
    ...(unhappy.reason === undefined ? {} : { reason: unhappy.reason }),
    ...(unhappy.message === undefined ? {} : { message: unhappy.message }),
  };
}

/**
 * The list to write to a status: the dependents and Ready.
 *
 * @param dependents in the order of the work; a type given twice counts with its last condition
 * @param previous   what the status says now
 * @param nowMs      milliseconds since 1970, for conditions that changed
 */
export function withReady(
  dependents: readonly Condition[],
  previous: readonly Condition[],
  nowMs: number,
): readonly Condition[] {
  const byType = new Map(dependents.map((condition) => [condition.type, condition]));
  byType.delete('Ready');
  const all = [...byType.values(), readyCondition([...byType.values()])];
  const now = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  return all
    .map((condition) => {
      const before = previous.find((other) => other.type === condition.type);
      const unchanged = before?.lastTransitionTime !== undefined && isSameState(before, condition);
      return { ...condition, lastTransitionTime: unchanged ? before.lastTransitionTime : now };
    })
    .sort((a, b) => (a.type < b.type ? -1 : 1));
}

function isSameState(a: Condition, b: Condition): boolean {
  return a.status === b.status && a.severity === b.severity && a.reason === b.reason && a.message === b.message;
}
