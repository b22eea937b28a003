import { describe, expect, it } from 'vitest';
import { failingShare, flakyAnswer, flakyRetries, isDeadLetterOfFlaky, slowAnswerMs, type SoakAnswer } from './answer-plan.ts';

const ids = Array.from({ length: 20_000 }, (_, n) => `k${n % 200}-${Math.floor(n / 200)}`);
const isOk = (answer: SoakAnswer): boolean => typeof answer === 'object' && answer.status === 200;
const attempts = Array.from({ length: flakyRetries + 1 }, (_, index) => index + 1);
/** What one delivery with all its retries comes to, by the table of Knative's data plane. */
const outcome = (seed: string, id: string, from = 1): 'delivered' | 'dead-lettered' => {
  for (const attempt of attempts) {
    const answer = flakyAnswer(seed, id, from + attempt - 1);
    if (isOk(answer)) return 'delivered';
    if (typeof answer === 'object' && answer.status === 400) return 'dead-lettered';
  }
  return 'dead-lettered';
};

describe('the failing subscriber', () => {
  it('fails one event in ten, with answers of all kinds', () => {
    const failing = ids.filter((id) => !isOk(flakyAnswer('1', id, 1)));
    expect(failing.length / ids.length).toBeGreaterThan(failingShare * 0.9);
    expect(failing.length / ids.length).toBeLessThan(failingShare * 1.1);
    const kinds = new Set(failing.map((id) => JSON.stringify(flakyAnswer('1', id, 1))));
    expect(kinds.size).toBe(9);
  });

  it.each(['1', '2', 'another'])('has a known outcome for each event, also where a delivery begins anew (seed %s)', (seed) => {
    const wrong = ids.filter((id) => [1, 2, 5].some((from) => outcome(seed, id, from) !== (isDeadLetterOfFlaky(seed, id) ? 'dead-lettered' : 'delivered')));
    expect(wrong).toEqual([]);
  });

  it('fails other events with another seed', () => {
    const failing = (seed: string): string => ids.filter((id) => !isOk(flakyAnswer(seed, id, 1))).join();
    expect(failing('1')).toBe(failing('1'));
    expect(failing('1')).not.toBe(failing('2'));
  });
});

it('the slow subscriber takes from 2 to 100 ms', () => {
  const times = ids.map((id) => slowAnswerMs('1', id));
  expect(Math.min(...times)).toBe(2);
  expect(Math.max(...times)).toBeGreaterThan(90);
  expect(Math.max(...times)).toBeLessThanOrEqual(100);
});
