/**
 * Builds programs of a Go module, with a line of progress at least every few seconds: the first build of a large one
 * takes many minutes, and silence would pass for a hang.
 *
 * Go keeps what it downloads and compiles in its own caches, as it does for everyone on this machine.
 *
 * Always true: versions and checksums are those of the module's go.mod and go.sum; the user's GOFLAGS and workspaces
 * play no part, while proxies and other settings of `go env` do.
 */
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { checkGo } from './prerequisites.ts';
import { runCommand, type CommandResult } from './run-command.ts';
import { lastLines } from './text-lines.ts';

export interface GoBuild {
  /** What is built, for progress and errors: "Kubernetes 1.34.10". */
  readonly name: string;
  /** The folder of go.mod. */
  readonly module: string;
  /** The main package, "." or an import path; with `isTest` a package with tests. */
  readonly target: string;
  /** Its tests as a program, instead of the program itself. */
  readonly isTest?: boolean;
  /** The file to write. */
  readonly output: string;
  /** Values for string variables of packages, by "import/path.variable"; programs are told their version this way. */
  readonly variables: Readonly<Record<string, string>>;
  /** Called with one line of text whenever there is something new to say. */
  readonly onProgress?: ((text: string) => void) | undefined;
}

/** How often progress is told; what Go prints comes by the hundred. */
const progressEveryMs = 5_000;

/** Nothing of C: the programs then run on any Linux of the same processor, whatever its libraries. */
const environment = { CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' };
const readOnly = '-mod=readonly';

/**
 * Builds one program. A cold build of Kubernetes compiles 3000 packages, in about nine minutes on two cores, and needs
 * 3 GB of disk in Go's caches and as much memory.
 *
 * @throws Error when Go is missing (with how to get it) or fails (with the last useful lines it printed)
 */
export async function buildGoProgram({ name, module, target, isTest = false, output, variables, onProgress }: GoBuild): Promise<void> {
  const go = await checkGo();
  if (!go.ok) throw new Error(`${name} is not built yet, and cannot be: ${go.reason}`);

  const run = async (args: readonly string[], onLine: (line: string) => void): Promise<CommandResult> => {
    const result = await runCommand('go', args, { cwd: module, env: environment, onLine });
    if (result.code !== 0) throw new Error(`Go could not build ${name}:\n${usefulGoLines(result.stderr)}`);
    return result;
  };

  let doing = 'asking Go for the source code';
  const tell = () => onProgress?.(`${name}: ${doing}`);
  tell();
  const timer = setInterval(tell, progressEveryMs);
  try {
    let modules = 0;
    const listed = await run(['list', readOnly, '-deps', ...(isTest ? ['-test'] : []), target], (line) => {
      if (isModuleDownload(line)) doing = `${++modules} modules of source code downloaded`;
    });
    const total = listed.stdout.split('\n').length - 1;

    let compiled = 0;
    doing = 'compiling';
    tell();
    const links = Object.entries(variables).map(([variable, value]) => `-X ${variable}=${value}`);
    const reproducible = ['-trimpath', '-buildvcs=false', '-ldflags', ['-s', '-w', ...links].join(' ')];
    await run([...(isTest ? ['test', '-c'] : ['build', '-v']), readOnly, ...reproducible, '-o', output, target], (line) => {
      if (!isPackagePath(line)) return;
      compiled++;
      doing = `${compiled} of at most ${total} packages compiled`; // those in Go's cache are not named
    });
  } finally {
    clearInterval(timer);
  }
  onProgress?.(`${name}: built`);
}

/** The folder of a module's source code, a dependency of the module in `folder`; downloaded where it is missing. */
export async function goModuleFolder(folder: string, path: string): Promise<string> {
  const run = async (args: readonly string[]): Promise<string> => {
    const result = await runCommand('go', args, { cwd: folder, env: environment });
    if (result.code !== 0) throw new Error(`Go could not find the source code of ${path}:\n${usefulGoLines(result.stderr)}`);
    return result.stdout.trim();
  };
  await run(['mod', 'download', path]);
  return run(['list', readOnly, '-m', '-f', '{{.Dir}}', path]);
}

/**
 * Names a build by what goes into it.
 *
 * @param folder    of go.mod; all of Go's files below it count
 * @param variables as in GoBuild
 * @returns         12 hexadecimal digits
 */
export async function sourceHash(folder: string, variables: GoBuild['variables'] = {}): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(variables));
  const sources = (await readdir(folder, { recursive: true })).filter((name) => /\.(go|mod|sum)$/.test(name)).sort();
  for (const name of sources) hash.update(await readFile(join(folder, name)));
  return hash.digest('hex').slice(0, 12);
}

export function isModuleDownload(line: string): boolean {
  return line.startsWith('go: downloading ');
}

/** `go build -v` prints the import path of each package when its turn has come. */
export function isPackagePath(line: string): boolean {
  return /^[\w.~-]+(\/[\w.~+-]+)*$/.test(line);
}

/** What Go printed about the failure, without its progress. */
export function usefulGoLines(output: string): string {
  const lines = output.split('\n').filter((line) => !isModuleDownload(line) && !isPackagePath(line));
  return lastLines(lines.join('\n'), 10);
}
