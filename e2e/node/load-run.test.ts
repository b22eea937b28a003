import { describe, expect, it } from 'vitest';
import { arrivalsBetween, loadTable, overtakenInPartition, silenceBeganAtMs, tallyLoad, type Arrival, type LoadRun } from './load-run.ts';

/** `id` or `id#attempt`, one every 10 ms from 1000 on unless the time is given. */
function arrived(...names: readonly (string | readonly [string, number])[]): Arrival[] {
  return names.map((name, index) => {
    const [text, atMs] = typeof name === 'string' ? [name, 1000 + 10 * index] : name;
    const [id = '', attempt = '1'] = text.split('#');
    return { id, attempt: Number(attempt), atMs };
  });
}
function run(acknowledged: readonly string[], arrivals: readonly Arrival[]): LoadRun {
  return { acknowledged: acknowledged.map((id) => ({ id, sentAtMs: 990, tookMs: 5 })), arrivals, refusals: {} };
}

describe('the tally of a load', () => {
  it.each([
    ['all is well', ['0/0', '0/1'], ['0/0', '0/1'], {}],
    ['one is lost', ['0/0', '0/1'], ['0/0'], { delivered: 1, lost: ['0/1'] }],
    ['one was never acknowledged', ['0/0'], ['0/0', '0/1'], { unasked: ['0/1'] }],
    ['one attempt came twice', ['0/0'], ['0/0', '0/0', '0/0'], { twice: ['0/0'] }],
    ['two attempts came', ['0/0'], ['0/0', '0/0#2'], { storedTwice: ['0/0'] }],
    ['two attempts came, one of them twice', ['0/0'], ['0/0', '0/0#2', '0/0#2'], { twice: ['0/0'], storedTwice: ['0/0'] }],
    ['a later one came first', ['0/0', '0/1'], ['0/1', '0/0'], { outOfOrder: ['0/0'] }],
    ['keys overtake each other', ['0/0', '0/1', '1/0'], ['0/0', '0/1', '1/0'], {}],
    ['some come again from the beginning', ['0/0', '0/1'], ['0/0', '0/1', '0/0', '0/1'], { twice: ['0/0', '0/1'] }],
  ])('where %s', (_, acknowledged, arrivals, found) => {
    const clean = { acknowledged: acknowledged.length, delivered: acknowledged.length, lost: [], unasked: [], twice: [], storedTwice: [], outOfOrder: [] };
    expect(tallyLoad(run(acknowledged, arrived(...arrivals)))).toMatchObject({ ...clean, ...found });
  });

  it('measures pauses by key, and waits from the first attempt', () => {
    const tally = tallyLoad(run(['0/0', '0/1', '1/0', '1/1'], arrived(['0/0', 1000], ['1/0', 1050], ['1/1', 1100], ['0/1', 1200])));
    expect(tally).toMatchObject({ longestPauseMs: 200, longestWaitMs: 210, repeatedFromMs: undefined });
  });

  it('tells how long before the longest silence the first of the repeated ones had come', () => {
    const arrivals = arrived(['0/0', 1000], ['0/1', 1100], ['1/0', 1130], ['0/1', 3000], ['1/0', 3001], ['0/2', 3100]);
    expect(silenceBeganAtMs(arrivals)).toBe(1130);
    expect(tallyLoad(run(['0/0', '0/1', '0/2', '1/0'], arrivals)).repeatedFromMs).toBe(30);
  });

  it.each([
    ['partitions overtake each other', ['0/7', '1/3', '0/8', '1/4'], []],
    ['some come again', ['0/7', '0/8', '0/7', '0/8', '0/9'], []],
    ['a later one came first', ['0/8', '1/3', '0/7'], ['0/7']],
    ['a later one came first, and numbers have more digits', ['0/9', '0/10'], []],
  ])('judges the order within a partition by places, where %s', (_, places, found) => {
    expect(overtakenInPartition(run([], places.map((place, index) => ({ id: `0/${index}`, attempt: 1, atMs: 1000 + index, place }))))).toEqual(found);
  });

  it('has no places of events that no KafkaSource has delivered', () => {
    expect(overtakenInPartition(run([], arrived('0/1', '0/0')))).toEqual([]);
  });

  it('bears more events than a function bears arguments', () => {
    const ids = Array.from({ length: 150_000 }, (_, number) => `0/${number}`);
    expect(tallyLoad(run(ids, ids.map((id, index) => ({ id, attempt: 1, atMs: 1000 + index }))))).toMatchObject({ delivered: 150_000, outOfOrder: [] });
  });

  it('knows nothing of a run without events', () => {
    expect(tallyLoad(run([], []))).toMatchObject({ acknowledged: 0, delivered: 0, longestPauseMs: 0, longestWaitMs: 0 });
  });

  it('counts what came within a time', () => {
    expect(arrivalsBetween(run([], arrived(['0/0', 1000], ['0/1', 1100], ['0/2', 1200])), 1000, 1200)).toBe(2);
  });
});

it('prints one line for each run, with what was answered instead of 202', () => {
  const tally = tallyLoad({ ...run(['0/0'], arrived('0/0')), refusals: { '503': 2, ECONNREFUSED: 1 } });
  const [head = '', line = ''] = loadTable(new Map([['receivers rolled', tally]])).split('\n');
  expect(head).toMatch(/^ +acknowledged +delivered +twice /);
  expect(line).toMatch(/^receivers rolled +1 +1 +0 .* 0\.00 s +0\.01 s +0\.01 s +2 × 503, 1 × ECONNREFUSED$/);
});
