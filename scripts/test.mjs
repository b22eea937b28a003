/**
 * `npm test`: installs, builds, checks and tests everything that this machine can run, real Kafka included, and ends
 * with one line: N passed, N failed. `npm test -- unit` or `-- integration` runs one part; `-- pods` the short form of
 * `npm run e2e`, which may install Debian packages and so is run by nobody who has not asked for it.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildAll, install, nodeCommand, nodeOnPath, nxCommand, nxEnv, root, runQuietly } from './workspace.mjs';

const parts = process.argv.length > 2 ? process.argv.slice(2) : ['unit', 'integration'];
const failures = [];

await install();
const env = { ...nxEnv, ...nodeOnPath() };
const nx = (...args) => [nxCommand(), 'run-many', ...args];
await check('Building', () => buildAll());
await check('Checking types', () => runQuietly('Checking types', nodeCommand(), nx('-t', 'typecheck', '--parallel=2'), env));
await check('Linting', () => runQuietly('Linting', nodeCommand(), nx('-t', 'lint', '--parallel=2'), env));

const reportOf = (folder, part, name = part) => ({ folder, part, file: join(root, folder, 'reports', `${name}.json`) });
const reports = [...workspaceFolders().flatMap((folder) => ['unit', 'integration'].map((part) => reportOf(folder, part))), reportOf('e2e', 'pods', 'node')];
for (const { file } of reports) rmSync(file, { force: true });
if (parts.includes('integration') || parts.includes('pods')) {
  process.stdout.write('Bringing what integration tests start: Kafka, a Kubernetes API server, Knative Eventing (the first time takes minutes)\n');
  const code = await run(nodeCommand(), [join(root, 'packages', 'local-cluster', 'src', 'main.ts'), 'prepare']);
  if (code !== 0) failures.push('Kafka, Kubernetes or Knative Eventing could not be brought: see above');
}
for (const part of parts) {
  for (const commands of stagesOf(part)) {
    const codes = await Promise.all(commands.map((args) => run(nodeCommand(), args)));
    for (const code of codes) if (code !== 0) failures.push(`${part} tests (exit code ${code})`);
  }
}

let passed = 0;
let failed = 0;
for (const { folder, part, file } of reports) {
  if (!parts.includes(part) || !existsSync(file)) continue;
  const report = JSON.parse(readFileSync(file, 'utf8'));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  for (const suite of report.testResults ?? []) {
    if (suite.status === 'failed' && suite.assertionResults.length === 0) failures.push(`${folder}: ${suite.name} could not run: ${suite.message}`);
    for (const test of suite.assertionResults) if (test.status === 'failed') failures.push(`${folder}: ${test.fullName}${reasonOf(test)}`);
  }
}
for (const failure of failures) process.stdout.write(`FAILED ${failure}\n`);
const failedChecks = failures.length > 0 && failed === 0 ? 1 : 0;
process.stdout.write(`\n${passed} passed, ${failed + failedChecks} failed\n`);
process.exitCode = failures.length === 0 && failed === 0 && passed > 0 ? 0 : 1;

/**
 * Arguments of Node, for each command, in stages: those of one run beside each other. Integration tests wait for real parts half of
 * their time, and measure nothing: two packages at a time. One of them is always e2e, which takes as long as all others
 * together, and would otherwise come last. What bench compares is CPU time, so it runs by itself.
 */
function stagesOf(part) {
  if (part === 'pods') return [[[join(root, 'e2e', 'node', 'main.ts'), '--short', '--if-possible']]];
  const command = (...args) => nx('-t', part, '--output-style=stream', ...args);
  if (part !== 'integration') return [[command('--parallel=2')]];
  const [e2e, bench] = ['@knative-kafka/e2e', '@knative-kafka/bench'];
  return [[command('--parallel=1', `--projects=${e2e}`), command('--parallel=1', `--exclude=${e2e},${bench}`)], [command(`--projects=${bench}`)]];
}

/** Why a test failed, in a line: the whole of it stands far above. */
function reasonOf({ failureMessages: [message = ''] = [] }) {
  const line = message.split('\n', 1)[0].trim();
  return line === '' ? '' : ` (${line.slice(0, 300)})`;
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
