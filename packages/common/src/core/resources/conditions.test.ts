import { describe, expect, it } from 'vitest';
import type { Condition } from './conditions.ts';
import { readyCondition, withReady } from './conditions.ts';

const good = (type: string): Condition => ({ type, status: 'True' });
const bad = (type: string, status: 'False' | 'Unknown', reason?: string, message?: string): Condition => ({
  type,
  status,
  ...(reason === undefined ? {} : { reason }),
  ...(message === undefined ? {} : { message }),
});

describe('readyCondition', () => {
  it.each<[string, Condition[], Condition]>([
    ['nothing to depend on', [], { type: 'Ready', status: 'True' }],
    ['all True', [good('A'), good('B')], { type: 'Ready', status: 'True' }],
    [
      'one False, with its reason and message',
      [good('A'), bad('B', 'False', 'TopicRejected', '3 replicas, 1 broker')],
      { type: 'Ready', status: 'False', reason: 'TopicRejected', message: '3 replicas, 1 broker' },
    ],
    [
      'False wins over Unknown, wherever it stands',
      [bad('A', 'Unknown', 'Waiting'), bad('B', 'False', 'Broken')],
      { type: 'Ready', status: 'False', reason: 'Broken' },
    ],
    [
      'of several False the first given',
      [bad('Z', 'False', 'Cause'), bad('A', 'False', 'Consequence')],
      { type: 'Ready', status: 'False', reason: 'Cause' },
    ],
    ['Unknown without a reason', [good('A'), bad('B', 'Unknown')], { type: 'Ready', status: 'Unknown' }],
    [
      'informational conditions do not count',
      [good('A'), { ...bad('B', 'False', 'JustSaying'), severity: 'Info' }],
      { type: 'Ready', status: 'True' },
    ],
  ])('%s', (_name, dependents, ready) => {
    expect(readyCondition(dependents)).toEqual(ready);
  });
});

describe('withReady', () => {
  const first = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  const later = Date.UTC(2026, 0, 2, 3, 5, 0);

  it('sorts by type and stamps what is new', () => {
    expect(withReady([good('TopicReady'), good('Addressable')], [], first)).toEqual([
      { type: 'Addressable', status: 'True', lastTransitionTime: '2026-01-02T03:04:05Z' },
      { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-02T03:04:05Z' },
      { type: 'TopicReady', status: 'True', lastTransitionTime: '2026-01-02T03:04:05Z' },
    ]);
  });

  it('keeps the time of what did not change, so that the same state again is no change', () => {
    const before = withReady([good('A'), bad('B', 'Unknown', 'Waiting')], [], first);
    expect(withReady([good('A'), bad('B', 'Unknown', 'Waiting')], before, later)).toEqual(before);
  });

  it('moves the time of what changed, be it only the message', () => {
    const before = withReady([good('A'), bad('B', 'False', 'Refused', 'once')], [], first);
    const after = withReady([good('A'), bad('B', 'False', 'Refused', 'twice')], before, later);
    expect(after.map(({ type, lastTransitionTime }) => [type, lastTransitionTime])).toEqual([
      ['A', '2026-01-02T03:04:05Z'],
      ['B', '2026-01-02T03:05:00Z'],
      ['Ready', '2026-01-02T03:05:00Z'],
    ]);
  });

  it('makes Ready itself, whatever is passed in', () => {
    expect(withReady([bad('Ready', 'False', 'Stale'), good('A')], [], first).map((c) => [c.type, c.status])).toEqual([
      ['A', 'True'],
      ['Ready', 'True'],
    ]);
  });
});
