import { describe, expect, it } from 'vitest';
import { removedSubscribers, removedSubscribersAnnotation } from './removed-subscribers.ts';

const reported = (...uids: string[]) => ({ subscribers: uids.map((uid) => ({ uid, observedGeneration: 1, ready: 'True' as const })) });
const remembered = (value: unknown) => ({ annotations: { [removedSubscribersAnnotation]: typeof value === 'string' ? value : JSON.stringify(value) } });

describe('removedSubscribers', () => {
  it('finds who was reported and is not wanted any more', () => {
    expect(removedSubscribers(reported('a', 'b'), ['b'], 5)).toEqual([{ uid: 'a', sinceMs: 5 }]);
  });

  it('remembers since when', () => {
    expect(removedSubscribers(remembered([{ uid: 'a', sinceMs: 1 }]), [], 5)).toEqual([{ uid: 'a', sinceMs: 1 }]);
    expect(removedSubscribers({ ...remembered([{ uid: 'a', sinceMs: 1 }]), ...reported('a') }, [], 5)).toEqual([{ uid: 'a', sinceMs: 1 }]);
  });

  it('forgets who is back', () => {
    expect(removedSubscribers(remembered([{ uid: 'a', sinceMs: 1 }]), ['a'], 5)).toEqual([]);
  });

  it.each(['no JSON', '{}', '[1, null, {"uid": 1}]'])('gets over an annotation that somebody wrote: %s', (text) => {
    expect(removedSubscribers(remembered(text), [], 5)).toEqual([]);
  });

  it('has nothing to do for a new channel', () => {
    expect(removedSubscribers(undefined, ['a'], 5)).toEqual([]);
  });
});
