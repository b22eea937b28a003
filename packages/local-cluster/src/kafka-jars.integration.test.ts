import { chmod, mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startProcess } from './child-process.ts';
import { ensureKafkaJars, kafkaJarsCached } from './kafka-jars.ts';

let root: string;
let versionFolder: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'knative-kafka-jars-'));
  versionFolder = join(root, 'cache', 'kafka-4.3.1');
  await mkdir(join(root, 'bin'));
  vi.stubEnv('KNATIVE_KAFKA_CACHE', join(root, 'cache'));
  vi.stubEnv('PATH', `${join(root, 'bin')}${delimiter}${process.env.PATH ?? ''}`);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

/** Puts an `mvn` of our own in front of the real one, so that failures and delays come when they are wanted. */
async function installMaven(goal: string): Promise<void> {
  const script = `#!/bin/sh
[ "$1" = --version ] && echo 'Apache Maven 3.9.9' && exit 0
echo "run" >> '${root}/runs'
for argument; do case $argument in -DoutputDirectory=*) out=\${argument#*=};; esac; done
${goal}
`;
  await writeFile(join(root, 'bin', 'mvn'), script);
  await chmod(join(root, 'bin', 'mvn'), 0o755);
}

const twoJars = `
echo '[INFO] Downloaded from central: https://repo.example/kafka_2.13-4.3.1.jar (10 MB at 9.4 MB/s)'
touch "$out/kafka_2.13-4.3.1.jar"
echo '[INFO] Downloaded from central: https://repo.example/slf4j-simple-1.7.36.jar (2 kB at 1 kB/s)'
touch "$out/slf4j-simple-1.7.36.jar"`;

describe('ensureKafkaJars', () => {
  it('downloads once, tells how far it is, and then needs no Maven', async () => {
    await installMaven(twoJars);
    const progress: string[] = [];
    expect(await kafkaJarsCached()).toBe(false);
    const folder = await ensureKafkaJars({ onProgress: (text) => progress.push(text) });
    expect(folder).toBe(join(versionFolder, 'libs'));
    expect(progress.at(-2)).toBe('Apache Kafka 4.3.1: 2 jars downloaded');
    expect(progress.at(-1)).toBe('Apache Kafka 4.3.1: 2 jars ready');
    expect(await readdir(versionFolder)).toEqual(['libs']);

    await installMaven('exit 1');
    expect(await kafkaJarsCached()).toBe(true);
    expect(await ensureKafkaJars()).toBe(folder);
  });

  it('keeps the tools apart', async () => {
    await installMaven(twoJars);
    expect(await ensureKafkaJars({ tools: true })).toBe(join(versionFolder, 'libs-tools'));
    expect(await kafkaJarsCached()).toBe(false);
  });

  it('leaves nothing half behind when Maven fails, and says why', async () => {
    await installMaven(`${twoJars}\necho '[ERROR] Could not transfer artifact: connect timed out'; exit 1`);
    await expect(ensureKafkaJars()).rejects.toThrow('Could not transfer artifact: connect timed out');
    expect(await readdir(versionFolder)).toEqual([]);
  });

  it('lets processes download side by side', async () => {
    // Each waits for the other to have begun, so that both end up renaming.
    await installMaven(`until [ "$(wc -l < '${root}/runs')" = 2 ]; do :; done\n${twoJars}`);
    const module = JSON.stringify(new URL('./kafka-jars.ts', import.meta.url).href);
    const script = `import(${module}).then(({ ensureKafkaJars }) => ensureKafkaJars()).then(console.log)`;
    const runs = ['one', 'other'].map((name) => startProcess({ name, command: process.execPath, args: ['--eval', script] }));
    for (const run of runs) {
      expect(await run.exited, run.output()).toEqual({ code: 0, signal: null });
      expect(run.output().trim()).toBe(join(versionFolder, 'libs'));
    }
    expect(await readdir(versionFolder)).toEqual(['libs']);
  });

  it('clears away what an aborted download left long ago, and only that', async () => {
    await installMaven(twoJars);
    const [old, young] = ['libs.partial-old', 'libs.partial-young'];
    for (const name of [old, young]) await mkdir(join(versionFolder, name), { recursive: true });
    const twoHoursAgo = Date.now() / 1000 - 2 * 60 * 60;
    await utimes(join(versionFolder, old), twoHoursAgo, twoHoursAgo);
    await ensureKafkaJars();
    expect(await readdir(versionFolder)).toEqual(['libs', young]);
  });
});
