/** Runs the suites beside this file on a cluster that is there. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '@knative-kafka/local-cluster';
import { root } from '../images/service-images.ts';
import type { ClusterFacts } from './cluster-facts.ts';

const report = join(root, 'e2e', 'reports', 'node.json');

/** @param names of files, or parts of them; none for all. @returns the exit code */
export async function runTests(facts: ClusterFacts, names: readonly string[], onLine: (line: string) => void): Promise<number> {
  rmSync(report, { force: true });
  // A folder of its own: two runs beside each other have process ids of their own each, and they may be the same.
  const folder = mkdtempSync(join(tmpdir(), 'knative-kafka-cluster-'));
  const file = join(folder, 'facts.json');
  writeFileSync(file, JSON.stringify(facts), { mode: 0o600 });
  const reporters = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${report}`];
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'run', '--config', '../vitest.config.ts', '--root', '.', '--project', 'node', ...reporters, ...names];
  try {
    const { code } = await runCommand(process.execPath, args, { cwd: join(root, 'e2e'), env: { E2E_CLUSTER: file, NO_COLOR: '1' }, onLine });
    return code ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface Totals {
  readonly passed: number;
  readonly failed: number;
}

/** What the last run has written; a suite that could not be run at all counts as one failure. */
export function readTotals(): Totals {
  if (!existsSync(report)) return { passed: 0, failed: 1 };
  const found = JSON.parse(readFileSync(report, 'utf8')) as {
    readonly numPassedTests: number;
    readonly numFailedTests: number;
    readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly object[] }[];
  };
  const unable = found.testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0).length;
  return { passed: found.numPassedTests, failed: found.numFailedTests + unable };
}
