/**
 * `npm test`: installs, builds, checks and tests everything that this machine can run, real Kafka included, and ends
 * with one line: N passed, N failed. `npm test -- unit` or `-- integration` runs one half.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildAll, install, nodeCommand, nodeOnPath, nxCommand, nxEnv, root, runQuietly } from './workspace.mjs';

const halves = process.argv.length > 2 ? process.argv.slice(2) : ['unit', 'integration'];
const failures = [];

await install();
const env = { ...nxEnv, ...nodeOnPath() };
const nx = (...args) => [nxCommand(), 'run-many', ...args];
await check('Building', () => buildAll());
await check('Checking types', () => runQuietly('Checking types', nodeCommand(), nx('-t', 'typecheck', '--parallel=2'), env));
await check('Linting', () => runQuietly('Linting', nodeCommand(), nx('-t', 'lint', '--parallel=2'), env));

const reports = workspaceFolders().flatMap((folder) => ['unit', 'integration'].map((half) => ({ folder, half, file: join(root, folder, 'reports', `${half}.json`) })));
for (const { file } of reports) rmSync(file, { force: true });
if (halves.includes('integration')) {
  process.stdout.write('Bringing what integration tests start: Kafka, a Kubernetes API server, Knative Eventing (the first time takes minutes)\n');
  const code = await run(nodeCommand(), [join(root, 'packages', 'local-cluster', 'src', 'main.ts'), 'prepare']);
  if (code !== 0) failures.push('Kafka, Kubernetes or Knative Eventing could not be brought: see above');
}
for (const half of halves) {
  const codes = await Promise.all(lanes(half).map((lane) => run(nodeCommand(), nx('-t', half, '--output-style=stream', ...lane))));
  for (const code of codes) if (code !== 0) failures.push(`${half} tests (exit code ${code})`);
}

let passed = 0;
let failed = 0;
for (const { folder, half, file } of reports) {
  if (!halves.includes(half) || !existsSync(file)) continue;
  const report = JSON.parse(readFileSync(file, 'utf8'));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  for (const suite of report.testResults ?? []) {
    if (suite.status === 'failed' && suite.assertionResults.length === 0) failures.push(`${folder}: ${suite.name} could not run: ${suite.message}`);
    for (const test of suite.assertionResults) if (test.status === 'failed') failures.push(`${folder}: ${test.fullName}`);
  }
}
for (const failure of failures) process.stdout.write(`FAILED ${failure}\n`);
const failedChecks = failures.length > 0 && failed === 0 ? 1 : 0;
process.stdout.write(`\n${passed} passed, ${failed + failedChecks} failed\n`);
process.exitCode = failures.length === 0 && failed === 0 && passed > 0 ? 0 : 1;

/**
 * Integration tests wait for real parts half of their time, and measure nothing: two packages at a time. One of them is
 * always e2e, which takes as long as all others together, and would otherwise come last.
 */
function lanes(half) {
  const e2e = '@knative-kafka/e2e';
  return half === 'integration' ? [['--parallel=1', `--projects=${e2e}`], ['--parallel=1', `--exclude=${e2e}`]] : [['--parallel=2']];
}

async function check(title, action) {
  try {
    await action();
  } catch (error) {
    failures.push(`${title}: ${error.message}`);
  }
}

function run(command, args) {
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

function workspaceFolders() {
  return [...readdirSync(join(root, 'packages')).map((name) => join('packages', name)), 'e2e', 'bench'];
}
