/**
 * What every command of this repository needs first: dependencies that match the lock file, built bundles, and a Node
 * that is new enough. Uses nothing but Node 20 itself, because it runs before anything is installed.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const oldestNode = 24;
const isTerminal = process.stderr.isTTY === true;

/** Whether node_modules is what the lock file asks for, by the copy of it that npm leaves behind. */
function isInstalled() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs;
}

/** Shows what is being done while it takes long; the output itself only if it fails. */
export async function runQuietly(title, command, args, env = {}) {
  const startedAt = Date.now();
  const seconds = () => ((Date.now() - startedAt) / 1000).toFixed(0);
  let output = '';
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  if (!isTerminal) process.stderr.write(`${title} …\n`);
  const ticker = isTerminal ? setInterval(() => process.stderr.write(`\r${title} … ${seconds()} s`), 250) : undefined;
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  clearInterval(ticker);
  process.stderr.write(`${isTerminal ? '\r' : ''}${title}: ${code === 0 ? 'done' : 'failed'} in ${seconds()} s\n`);
  if (code !== 0) {
    process.stderr.write(output);
    throw new Error(`${title} failed with exit code ${code}`);
  }
}

/** `npm ci` where node_modules is missing or older than the lock file. */
export async function install() {
  if (isInstalled()) return;
  await runQuietly('Installing dependencies', 'npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--engine-strict=false']);
}

/** Environment for nx: no daemon, no terminal interface, no cloud. */
export const nxEnv = { NX_DAEMON: 'false', NX_TUI: 'false', NX_NO_CLOUD: 'true', FORCE_COLOR: '0' };

export function nxCommand() {
  return join(root, 'node_modules', 'nx', 'dist', 'bin', 'nx.js');
}

/** Bundles every service; a second time this takes what nx has cached. */
export async function buildAll() {
  await runQuietly('Building', nodeCommand(), [nxCommand(), 'run-many', '-t', 'build'], { ...nxEnv, ...nodeOnPath() });
}

/** The Node that runs the project: this one when it is new enough, else the one that came with the dependencies. */
export function nodeCommand() {
  if (Number(process.versions.node.split('.')[0]) >= oldestNode) return process.execPath;
  const installed = join(root, 'node_modules', '.bin', 'node');
  if (existsSync(installed)) return installed;
  throw new Error(`Node ${oldestNode} or newer is needed on this platform (this is ${process.versions.node}): https://nodejs.org/en/download`);
}

/** Puts that Node, and the project's commands, first on the PATH. */
export function nodeOnPath() {
  return { PATH: `${dirname(nodeCommand())}:${join(root, 'node_modules', '.bin')}:${process.env.PATH ?? ''}` };
}

/** Runs a command in the foreground, passes SIGTERM on, and resolves with its exit code. */
export function runForeground(command, args, env = {}) {
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: 'inherit' });
  // The terminal sends Ctrl-C to both; the child decides when it is done, so it must not end us before.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? (signal === null ? 1 : 128)));
  });
}

export function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'));
}
