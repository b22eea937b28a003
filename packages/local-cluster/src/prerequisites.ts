/**
 * What has to be on this machine before anything here can start, each answered by a sentence a person can act on.
 *
 * Always true: a check changes nothing, ends within its bound, and never throws.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cniFolders } from './node-config.ts';
import { runCommand, type CommandResult } from './run-command.ts';
import { lastLines, plainText } from './text-lines.ts';

export type Prerequisite =
  | { readonly ok: true; readonly version: string }
  /** What is missing and how to get it, in whole sentences. */
  | { readonly ok: false; readonly reason: string };

/** The oldest Java that runs the Kafka brokers. */
const oldestJava = 17;
/** The oldest Go that compiles Kubernetes, as kubernetes/go.mod has it. */
const oldestGo = { major: 1, minor: 24 };
const checkTimeoutMs = 15_000;

/** The `java` to run: of JAVA_HOME where that is set, as Maven does it, or else of the PATH. */
export function javaCommand(): string {
  const home = process.env.JAVA_HOME;
  return home === undefined || home === '' ? 'java' : join(home, 'bin', 'java');
}

/** Java 17 or newer, for the Kafka broker. */
export async function checkJava(): Promise<Prerequisite> {
  const command = javaCommand();
  const howToGet =
    `Install Java ${oldestJava} or newer (Debian and Ubuntu: apt install openjdk-17-jre-headless; macOS: brew install openjdk@17)` +
    (command === 'java' ? ' and put it on the PATH.' : ' or correct JAVA_HOME.');
  const result = await tryCommand(command, ['-version']);
  if (result?.code !== 0) {
    const said = result === undefined ? '' : firstLine(result.stderr);
    return { ok: false, reason: `Java does not run: ${command} ${said === '' ? 'cannot be started' : `says "${said}"`}. ${howToGet}` };
  }
  const version = parseJavaVersion(result.stderr + result.stdout);
  if (version === undefined) {
    return { ok: false, reason: `${command} did not tell its version. ${howToGet}` };
  }
  if (version.major < oldestJava) {
    return { ok: false, reason: `Java ${version.full} is too old for the Kafka broker. ${howToGet}` };
  }
  return { ok: true, version: version.full };
}

/**
 * The version in what `java -version` prints. Vendors differ in everything around it, and JAVA_TOOL_OPTIONS puts a
 * line in front; the quoted version is what they share. Up to Java 8 the major number came second: "1.8.0_392".
 *
 * @returns `undefined` where no version is to be found
 */
export function parseJavaVersion(text: string): { readonly major: number; readonly full: string } | undefined {
  const full = /\bversion "([^"]+)"/.exec(text)?.[1];
  const numbers = full === undefined ? null : /^(\d+)(?:\.(\d+))?/.exec(full);
  if (full === undefined || numbers === null) return undefined;
  const first = Number(numbers[1]);
  return { full, major: first === 1 ? Number(numbers[2] ?? 1) : first };
}

/** Maven, which brings Kafka's jars the first time; once they are cached (`kafkaJarsCached`) nobody needs it. */
export async function checkMaven(): Promise<Prerequisite> {
  const howToGet = 'Install Maven 3.6 or newer (Debian and Ubuntu: apt install maven; macOS: brew install maven): it downloads Kafka once.';
  const result = await tryCommand('mvn', ['--version']);
  if (result === undefined) return { ok: false, reason: `mvn is not on the PATH. ${howToGet}` };
  const version = /Apache Maven (\S+)/.exec(plainText(result.stdout))?.[1];
  if (result.code !== 0 || version === undefined) {
    return { ok: false, reason: `mvn does not run: "${lastLines(result.stderr + result.stdout, 2).replace('\n', ' ')}". ${howToGet}` };
  }
  return { ok: true, version };
}

/** Go, which builds Kubernetes the first time; once it is cached (`kubernetesCached`) nobody needs it. */
export async function checkGo(): Promise<Prerequisite> {
  const howToGet =
    `Install Go ${oldestGo.major}.${oldestGo.minor} or newer (https://go.dev/dl, or on macOS: brew install go) and put it on the PATH: ` +
    'it builds the Kubernetes API server once.';
  const result = await tryCommand('go', ['version']);
  if (result === undefined) return { ok: false, reason: `go is not on the PATH. ${howToGet}` };
  const version = parseGoVersion(result.stdout);
  if (result.code !== 0 || version === undefined) {
    return { ok: false, reason: `go does not tell its version: "${lastLines(result.stderr + result.stdout, 2).replace('\n', ' ')}". ${howToGet}` };
  }
  if (version.major < oldestGo.major || (version.major === oldestGo.major && version.minor < oldestGo.minor)) {
    return { ok: false, reason: `Go ${version.full} is too old for Kubernetes. ${howToGet}` };
  }
  return { ok: true, version: version.full };
}

/**
 * The version in what `go version` prints: "go version go1.24.3 linux/amd64", for a build of the tip
 * "go version devel go1.27-3f2a linux/amd64".
 *
 * @returns `undefined` where no version is to be found
 */
export function parseGoVersion(text: string): { readonly major: number; readonly minor: number; readonly full: string } | undefined {
  const found = /\bgo((\d+)\.(\d+)\S*)/.exec(text);
  if (found === null) return undefined;
  return { full: found[1] ?? '', major: Number(found[2]), minor: Number(found[3]) };
}

/** What a node needs of the system: a file that tells that it is there, and the Debian package that brings it. */
const nodeParts: readonly { readonly anyOf: readonly string[]; readonly package: string }[] = [
  { anyOf: ['containerd'], package: 'containerd' },
  { anyOf: ['runc'], package: 'runc' },
  { anyOf: cniFolders.map((folder) => join(folder, 'bridge')), package: 'containernetworking-plugins' },
  { anyOf: ['nft'], package: 'nftables' },
  { anyOf: ['conntrack'], package: 'conntrack' },
  { anyOf: ['ip'], package: 'iproute2' },
  { anyOf: ['mount'], package: 'mount' },
  { anyOf: ['unshare'], package: 'util-linux' },
];

/**
 * What is missing for a node.
 *
 * @param further programs beside those of the node itself, each with the Debian package of its name
 * @returns       Debian packages, none when all is there
 * @throws Error  in a sentence for people where no node can run at all
 */
export function missingNodePackages(further: readonly string[] = []): string[] {
  if (process.platform !== 'linux') throw new Error('a Kubernetes node runs on Linux only');
  if (process.getuid?.() !== 0) throw new Error('a Kubernetes node needs root');
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  const isThere = (file: string): boolean => (file.startsWith('/') ? existsSync(file) : folders.some((folder) => existsSync(join(folder, file))));
  const parts = [...nodeParts, ...further.map((name) => ({ anyOf: [name], package: name }))];
  return parts.filter(({ anyOf }) => !anyOf.some(isThere)).map((part) => part.package);
}

/** A Docker engine that answers, not only its client, and the compose plugin. */
export async function checkDockerEngine(): Promise<Prerequisite> {
  const howToGet = 'Install Docker Desktop or Docker Engine with the compose plugin, start it, and try again.';
  const engine = await tryCommand('docker', ['info', '--format', '{{.ServerVersion}}']);
  if (engine === undefined) return { ok: false, reason: `docker is not on the PATH. ${howToGet}` };
  const version = engine.stdout.trim();
  if (engine.code !== 0 || version === '') {
    const why = engine.signal === null ? lastLines(engine.stderr, 1) : `no answer within ${checkTimeoutMs / 1000} s`;
    return { ok: false, reason: `The docker client is here, but no engine answers (${why}). ${howToGet}` };
  }
  const compose = await tryCommand('docker', ['compose', 'version', '--short']);
  if (compose?.code !== 0) {
    return { ok: false, reason: `Docker ${version} runs, but "docker compose" is missing. ${howToGet}` };
  }
  return { ok: true, version };
}

/** @returns `undefined` when the program cannot be started at all */
async function tryCommand(command: string, args: readonly string[]): Promise<CommandResult | undefined> {
  try {
    return await runCommand(command, args, { timeoutMs: checkTimeoutMs });
  } catch {
    return undefined;
  }
}

function firstLine(text: string): string {
  return plainText(text).trim().split(/\r?\n/)[0] ?? '';
}
