import { describe, expect, it } from 'vitest';
import { readGoTests, stepsOf } from './conformance-output.ts';

const output = [
  '=== RUN   TestOne',
  '=== RUN   TestOne/a_feature',
  '    magic.go:1: Running 2 steps',
  '=== RUN   TestOne/a_feature/Assert/first',
  '=== PAUSE TestOne/a_feature/Assert/first',
  '=== RUN   TestOne/a_feature/Assert/second',
  '=== CONT  TestOne/a_feature/Assert/first',
  '    helpers.go:2: TODO, Implement this.',
  '=== NAME  TestOne/a_feature/Assert/second',
  '    wait.go:3: not yet',
  '    --- PASS: TestOne/a_feature (0.10s)',
  '        --- PASS: TestOne/a_feature/Assert/first (0.00s)',
  '        --- SKIP: TestOne/a_feature/Assert/second (1.20s)',
  '--- PASS: TestOne (1.30s)',
  '=== RUN   TestTwo',
  '--- FAIL: TestTwo (0.00s)',
  '=== RUN   TestThree',
  'panic: all is lost',
].join('\n');

describe('what Go tests print', () => {
  it('has an outcome for each test, and what it said itself', () => {
    expect(readGoTests(output)).toEqual([
      { name: 'TestOne', outcome: 'passed', text: '' },
      { name: 'TestOne/a_feature', outcome: 'passed', text: '    magic.go:1: Running 2 steps' },
      { name: 'TestOne/a_feature/Assert/first', outcome: 'passed', text: '    helpers.go:2: TODO, Implement this.' },
      { name: 'TestOne/a_feature/Assert/second', outcome: 'skipped', text: '    wait.go:3: not yet' },
      { name: 'TestTwo', outcome: 'failed', text: '' },
      // Its program ended before it could say.
      { name: 'TestThree', outcome: 'failed', text: 'panic: all is lost' },
    ]);
  });

  it('has steps where nothing further is inside', () => {
    const tests = readGoTests(output);
    expect(stepsOf(tests, 'TestOne').map(({ name }) => name)).toEqual(['TestOne/a_feature/Assert/first', 'TestOne/a_feature/Assert/second']);
    expect(stepsOf(tests, 'TestTwo')).toEqual([]);
  });
});
