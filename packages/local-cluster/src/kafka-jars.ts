/**
 * Apache Kafka's jars, brought from Maven Central once per user and kept in a cache folder.
 *
 * Maven resolves them because it honours the user's own settings (proxies, mirrors) and checks checksums. It writes
 * into a folder beside the final one, which is renamed when it is whole.
 *
 * Always true: the final folder either does not exist or holds every jar. Runs side by side may both download; the
 * first rename wins and the others use its folder.
 */
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkMaven } from './prerequisites.ts';
import { runCommand } from './run-command.ts';
import { lastLines, plainText } from './text-lines.ts';

export const kafkaVersion = '4.3.1';

export interface KafkaJarsOptions {
  /** With the command line tools, for runKafkaTool. */
  readonly tools?: boolean;
  /** Called with one line of text whenever there is something new to say. */
  readonly onProgress?: ((text: string) => void) | undefined;
}

/** A leftover of an aborted download is removed at this age; a younger one may belong to a run that is still busy. */
const abandonedAfterMs = 60 * 60 * 1000;

const copyDependencies = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';

/** Where the jars are, or will be: `KNATIVE_KAFKA_CACHE`, or `.cache/knative-kafka` of the home folder. */
function jarsFolder(tools: boolean): string {
  const cache = process.env.KNATIVE_KAFKA_CACHE || join(homedir(), '.cache', 'knative-kafka');
  return join(cache, `kafka-${kafkaVersion}`, tools ? 'libs-tools' : 'libs');
}

/** Whether `ensureKafkaJars` would return at once, without Maven and without the network. */
export async function kafkaJarsCached({ tools = false }: Pick<KafkaJarsOptions, 'tools'> = {}): Promise<boolean> {
  return exists(join(jarsFolder(tools), `kafka_2.13-${kafkaVersion}.jar`));
}

const inProgress = new Map<string, Promise<string>>();

/**
 * Makes sure the jars are in the cache.
 *
 * @returns the folder they are in
 * @throws Error when Maven is missing (with how to get it) or fails (with the last useful lines it printed)
 */
export async function ensureKafkaJars({ tools = false, onProgress }: KafkaJarsOptions = {}): Promise<string> {
  const folder = jarsFolder(tools);
  if (await kafkaJarsCached({ tools })) return folder;
  // Two brokers starting in one process share one download.
  const running = inProgress.get(folder) ?? download(folder, tools, onProgress).finally(() => inProgress.delete(folder));
  inProgress.set(folder, running);
  return running;
}

async function download(folder: string, tools: boolean, onProgress?: (text: string) => void): Promise<string> {
  const maven = await checkMaven();
  if (!maven.ok) throw new Error(`Apache Kafka ${kafkaVersion} is not downloaded yet, and cannot be: ${maven.reason}`);
  const parent = join(folder, '..');
  const prefix = `${basename(folder)}.partial-`;
  await mkdir(parent, { recursive: true });
  await removeAbandoned(parent, prefix);
  const partial = await mkdtemp(join(parent, prefix));
  try {
    onProgress?.(`Apache Kafka ${kafkaVersion}: asking Maven for the jars`);
    let jars = 0;
    const result = await runCommand(
      'mvn',
      [
        '--batch-mode',
        '--strict-checksums',
        '--file',
        fileURLToPath(new URL(tools ? '../kafka/pom-tools.xml' : '../kafka/pom.xml', import.meta.url)),
        copyDependencies,
        '-DincludeScope=runtime',
        `-DoutputDirectory=${partial}`,
      ],
      {
        onLine: (line) => {
          if (!isJarDownloaded(line)) return;
          jars++;
          onProgress?.(`Apache Kafka ${kafkaVersion}: ${jars} jars downloaded`);
        },
      },
    );
    if (result.code !== 0) {
      throw new Error(`Maven could not bring Apache Kafka ${kafkaVersion}:\n${usefulMavenLines(result.stdout + result.stderr)}`);
    }
    await moveIntoPlace(partial, folder);
    onProgress?.(`Apache Kafka ${kafkaVersion}: ${(await readdir(folder)).length} jars ready`);
    return folder;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** Renames, and takes it as done when another run was faster. */
async function moveIntoPlace(partial: string, folder: string): Promise<void> {
  try {
    await rename(partial, folder);
  } catch (error) {
    if (!(await exists(join(folder, `kafka_2.13-${kafkaVersion}.jar`)))) throw error;
  }
}

async function removeAbandoned(parent: string, prefix: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix)) continue;
    const path = join(parent, name);
    const changed = await stat(path).then((found) => found.mtimeMs, () => undefined);
    if (changed !== undefined && Date.now() - changed > abandonedAfterMs) await rm(path, { recursive: true, force: true });
  }
}

/** Maven counts a jar twice, when it begins and when it is there; only the second is progress. */
export function isJarDownloaded(line: string): boolean {
  return /\bDownloaded from \S+: \S+\.jar\b/.test(plainText(line));
}

/** What Maven printed about the failure, without its advice on reading further. */
export function usefulMavenLines(output: string): string {
  const errors = plainText(output)
    .split(/\r?\n/)
    .filter((line) => /^\[ERROR\] ./.test(line) && !/re-run Maven|following articles|\[Help \d+\] http/i.test(line));
  return lastLines(errors.length > 0 ? errors.join('\n') : output, 10);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}
