/**
 * What a Go program of tests prints (`-test.v`) as results: which of its tests there were, how each ended, and what it said.
 *
 * Always true: a test that began and has no result has failed, because the program ended before it did.
 *
 * @see Go's package testing; `go doc test2json`
 */
export interface GoTest {
  /** From the outermost to its own, joined by slashes; blanks are underscores. */
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** What it printed itself, without the tests inside it. */
  readonly text: string;
}

const outcomes = { PASS: 'passed', FAIL: 'failed', SKIP: 'skipped' } as const;

/** @param output of the whole program. @returns in the order in which they began */
export function readGoTests(output: string): GoTest[] {
  const found = new Map<string, { outcome: GoTest['outcome']; lines: string[] }>();
  let speaking: string | undefined;
  for (const line of output.split('\n')) {
    const turn = /^=== (?:RUN|PAUSE|CONT|NAME) +(.*)$/.exec(line);
    const result = /^ *--- (PASS|FAIL|SKIP): (.*) \([\d.]+s\)$/.exec(line);
    if (turn !== null) {
      speaking = turn[1] ?? '';
      if (line.startsWith('=== RUN')) found.set(speaking, { outcome: 'failed', lines: [] });
    } else if (result !== null) {
      const test = found.get(result[2] ?? '');
      if (test !== undefined) test.outcome = outcomes[result[1] as keyof typeof outcomes];
    } else if (speaking !== undefined) {
      found.get(speaking)?.lines.push(line);
    }
  }
  return [...found].map(([name, { outcome, lines }]) => ({ name, outcome, text: lines.join('\n') }));
}

/** Those inside a test that have none inside themselves: where Knative's features have their steps. */
export function stepsOf(tests: readonly GoTest[], outer: string): GoTest[] {
  const inside = tests.filter(({ name }) => name.startsWith(`${outer}/`));
  return inside.filter(({ name }) => !inside.some((other) => other.name.startsWith(`${name}/`)));
}
