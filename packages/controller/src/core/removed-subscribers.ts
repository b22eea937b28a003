/**
 * Subscribers that vanished from `spec.subscribers` and whose consumer groups are still to be deleted: remembered in an
 * annotation of the channel's status, so that a controller that restarts forgets none.
 */
import type { ChannelStatus } from './objects.ts';

/** In `status.annotations`. */
export const removedSubscribersAnnotation = 'kafka.eventing.knative.dev/removed-subscribers';

export interface RemovedSubscriber {
  readonly uid: string;
  /** When it was missed first, in milliseconds since 1970. */
  readonly sinceMs: number;
}

/**
 * Those that were remembered, and those that the status knows and the spec does not any more. Who is back is forgotten.
 *
 * @param present uids in `spec.subscribers`
 */
export function removedSubscribers(status: ChannelStatus | undefined, present: readonly string[], nowMs: number): readonly RemovedSubscriber[] {
  const removed = new Map(readAnnotation(status?.annotations?.[removedSubscribersAnnotation]).map((entry) => [entry.uid, entry]));
  for (const { uid } of status?.subscribers ?? []) if (!removed.has(uid)) removed.set(uid, { uid, sinceMs: nowMs });
  for (const uid of present) removed.delete(uid);
  return [...removed.values()];
}

/** Somebody may have written into it: what cannot be read is forgotten. */
function readAnnotation(text: string | undefined): readonly RemovedSubscriber[] {
  if (text === undefined) return [];
  try {
    const entries: unknown = JSON.parse(text);
    return Array.isArray(entries) ? entries.filter(isRemovedSubscriber) : [];
  } catch {
    return [];
  }
}

function isRemovedSubscriber(entry: unknown): entry is RemovedSubscriber {
  if (typeof entry !== 'object' || entry === null) return false;
  const { uid, sinceMs } = entry as Partial<RemovedSubscriber>;
  return typeof uid === 'string' && typeof sinceMs === 'number';
}
