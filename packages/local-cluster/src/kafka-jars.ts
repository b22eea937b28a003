/**
 * Apache Kafka's jars, brought from Maven Central once per user and kept in the cache (cache-folder.ts).
 *
 * Maven resolves them because it honours the user's own settings (proxies, mirrors) and checks checksums.
 *
 * Always true: the folder either does not exist or holds every jar.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheRoot, ensureFolder, isCached } from './cache-folder.ts';
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

const copyDependencies = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';

/** Where the jars are, or will be, and the one that is brought with every selection of them. */
function jars(tools: boolean): { folder: string; mark: string } {
  const folder = join(cacheRoot(), `kafka-${kafkaVersion}`, tools ? 'libs-tools' : 'libs');
  return { folder, mark: `kafka_2.13-${kafkaVersion}.jar` };
}

/** Whether `ensureKafkaJars` would return at once, without Maven and without the network. */
export async function kafkaJarsCached({ tools = false }: Pick<KafkaJarsOptions, 'tools'> = {}): Promise<boolean> {
  return isCached(jars(tools));
}

/**
 * Makes sure the jars are in the cache.
 *
 * @returns the folder they are in
 * @throws Error when Maven is missing (with how to get it) or fails (with the last useful lines it printed)
 */
export async function ensureKafkaJars({ tools = false, onProgress }: KafkaJarsOptions = {}): Promise<string> {
  return ensureFolder({ ...jars(tools), fill: (folder) => download(folder, tools, onProgress) });
}

async function download(folder: string, tools: boolean, onProgress?: (text: string) => void): Promise<void> {
  const maven = await checkMaven();
  if (!maven.ok) throw new Error(`Apache Kafka ${kafkaVersion} is not downloaded yet, and cannot be: ${maven.reason}`);
  onProgress?.(`Apache Kafka ${kafkaVersion}: asking Maven for the jars`);
  let downloaded = 0;
  const result = await runCommand(
    'mvn',
    [
      '--batch-mode',
      '--strict-checksums',
      '--file',
      fileURLToPath(new URL(tools ? '../kafka/pom-tools.xml' : '../kafka/pom.xml', import.meta.url)),
      copyDependencies,
      '-DincludeScope=runtime',
      `-DoutputDirectory=${folder}`,
    ],
    {
      onLine: (line) => {
        if (!isJarDownloaded(line)) return;
        downloaded++;
        onProgress?.(`Apache Kafka ${kafkaVersion}: ${downloaded} jars downloaded`);
      },
    },
  );
  if (result.code !== 0) {
    throw new Error(`Maven could not bring Apache Kafka ${kafkaVersion}:\n${usefulMavenLines(result.stdout + result.stderr)}`);
  }
  onProgress?.(`Apache Kafka ${kafkaVersion}: ${(await readdir(folder)).length} jars ready`);
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
