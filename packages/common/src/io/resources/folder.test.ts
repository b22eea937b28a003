import { copyFile, mkdir, mkdtemp, readdir, rename, rm, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Fault } from '../../core/fault.ts';
import type { ManifestProblem } from '../../core/manifests.ts';
import type { SecretKeyReference } from '../../core/resources/kafka-source.ts';
import type { Resources } from '../../core/resources/resources.ts';
import type { FolderOptions } from './folder.ts';
import { openFolder } from './folder.ts';
import type { ResourceSource } from './port.ts';

const channel = (name: string, numPartitions = 1): string =>
  `apiVersion: messaging.knative.dev/v1\nkind: KafkaChannel\nmetadata: {name: ${name}}\nspec: {numPartitions: ${numPartitions}}\n`;
/** `name(partitions)` of each KafkaChannel. */
const channels = (resources: Resources): string[] =>
  resources.channels.map(({ metadata, spec }) => `${metadata.name}(${spec.numPartitions})`);

let base: string;
let dir: string;
const opened: ResourceSource[] = [];

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'folder-test-'));
  dir = join(base, 'manifests');
  await mkdir(dir);
});

afterEach(async () => {
  for (const source of opened.splice(0)) await source.close();
  await rm(base, { recursive: true, force: true });
});

/** With the slow look so slow that only notifications can bring a change, unless the test is about it. */
async function open(options: Partial<FolderOptions> = {}): Promise<ResourceSource> {
  const source = await openFolder({
    dir,
    channelUrl: ({ namespace, name }) => `http://localhost:8080/${namespace}/${name}`,
    rescanMs: 3_600_000,
    ...options,
  });
  opened.push(source);
  return source;
}
const write = (name: string, text: string): Promise<void> => writeFile(join(dir, name), text);
/** Waits until a change took effect: usually a tenth of a second; the rest is for machines that are busy. */
const eventually = (assertion: () => void): Promise<void> => vi.waitFor(assertion, { timeout: 4000, interval: 10 });

describe('the first reading', () => {
  it('is done when the source is there', async () => {
    await write('a.yaml', channel('a'));
    await write('b.yml', channel('b'));
    await write('c.json', JSON.stringify({ apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', metadata: { name: 'c' } }));
    const source = await open();
    expect(source.isSynced()).toBe(true);
    expect(channels(source.snapshot())).toEqual(['a(1)', 'b(1)', 'c(1)']);
  });

  it('leaves out hidden files, folders, other names and what is no file', async () => {
    await write('.hidden.yaml', channel('hidden'));
    await write('a.yaml~', channel('backup'));
    await write('.a.yaml.swp', channel('swap'));
    await write('README.md', channel('readme'));
    await mkdir(join(dir, 'folder.yaml'));
    await write('folder.yaml/inner.yaml', channel('inner'));
    const source = await open();
    expect(source.snapshot()).toMatchObject({ channels: [], problems: [] });
  });

  it('fails with a sentence when the folder is not there, or is none', async () => {
    const missing = await open({ dir: join(base, 'nowhere') }).catch((error: unknown) => error);
    expect(missing).toBeInstanceOf(Fault);
    expect(missing).toMatchObject({ code: 'MANIFEST_INVALID', retriable: false });
    expect((missing as Fault).message).toMatch(/^cannot read the folder of manifests .*nowhere: ENOENT.*; create it, or name another one$/);
    await write('a.yaml', channel('a'));
    await expect(open({ dir: join(dir, 'a.yaml') })).rejects.toThrow(/cannot read the folder .*ENOTDIR/);
  });

  it('reports mistakes and goes on without them', async () => {
    await write('a.yaml', channel('a').replace('numPartitions: 1', 'numPartitions: 0'));
    await write('b.yaml', channel('b'));
    await writeFile(join(dir, 'c.yaml'), Buffer.from([0xff, 0xfe, 0x61, 0x00]));
    await write('d.yaml', `# ${'x'.repeat(1024 * 1024)}`);
    await symlink('nowhere', join(dir, 'e.yaml'));
    const problems: ManifestProblem[] = [];
    const source = await open({ onProblem: (problem) => problems.push(problem) });
    expect(channels(source.snapshot())).toEqual(['b(1)']);
    expect(problems.map(({ file, message }) => `${file} ${message}`)).toEqual([
      'a.yaml must be at least 1, found 0',
      'c.yaml is not UTF-8 text',
      expect.stringMatching(/^d.yaml has \d+ bytes, at most 1048576 are read$/),
      expect.stringMatching(/^e.yaml cannot be read: ENOENT/),
    ]);
    expect(source.snapshot().problems).toEqual(problems);
  });
});

describe('a change', () => {
  it('takes effect without a restart: files added, edited and removed', async () => {
    const source = await open();
    await write('a.yaml', channel('a'));
    await eventually(() => expect(channels(source.snapshot())).toEqual(['a(1)']));
    await write('a.yaml', channel('a', 3));
    await eventually(() => expect(channels(source.snapshot())).toEqual(['a(3)']));
    await unlink(join(dir, 'a.yaml'));
    await eventually(() => expect(channels(source.snapshot())).toEqual([]));
  });

  it('is seen when an editor writes another file and renames it', async () => {
    await write('a.yaml', channel('a'));
    const source = await open();
    await write('.a.yaml.tmp', channel('a', 2));
    await rename(join(dir, '.a.yaml.tmp'), join(dir, 'a.yaml'));
    await eventually(() => expect(channels(source.snapshot())).toEqual(['a(2)']));
  });

  it('reaches listeners once, with everything there is, and no listener that ended', async () => {
    await write('a.yaml', channel('a'));
    const source = await open();
    const heard: string[][] = [];
    const ended: string[][] = [];
    source.onChange((resources) => heard.push(channels(resources)));
    source.onChange((resources) => ended.push(channels(resources)))();
    await write('b.yaml', channel('b'));
    await eventually(() => expect(heard).toEqual([['a(1)', 'b(1)']]));
    expect(ended).toEqual([]);
  });

  it('that changes nothing reaches nobody', async () => {
    await write('a.yaml', channel('a'));
    const source = await open();
    const heard: string[][] = [];
    source.onChange((resources) => heard.push(channels(resources)));
    await write('a.yaml', `# a comment\n${channel('a')}`);
    await write('notes.txt', 'nothing');
    await write('b.yaml', channel('b')); // what is heard first is this
    await eventually(() => expect(heard).toEqual([['a(1)', 'b(1)']]));
  });

  it('of many files in one go is one change', async () => {
    const source = await open({ debounceMs: 200 });
    const heard: number[] = [];
    source.onChange((resources) => heard.push(resources.channels.length));
    for (let i = 0; i < 20; i++) await write(`c${i}.yaml`, channel(`c${i}`));
    await eventually(() => expect(heard).toEqual([20]));
  });

  it('takes effect while others keep coming', async () => {
    const source = await open({ debounceMs: 100 });
    await write('a.yaml', channel('a'));
    let isDone = false;
    const noise = (async () => {
      while (!isDone) {
        await write('noise.txt', 'x');
        await sleep(20);
      }
    })();
    await eventually(() => expect(channels(source.snapshot())).toEqual(['a(1)']));
    isDone = true;
    await noise;
  });

  it('in two steps, emptied and written, never shows the empty file', async () => {
    await write('a.yaml', channel('a'));
    const source = await open({ debounceMs: 200 });
    const heard: string[][] = [];
    source.onChange((resources) => heard.push(channels(resources)));
    for (let numPartitions = 2; numPartitions <= 4; numPartitions++) {
      await truncate(join(dir, 'a.yaml'));
      await write('a.yaml', channel('a', numPartitions));
      await eventually(() => expect(heard.at(-1)).toEqual([`a(${numPartitions})`]));
    }
    expect(heard).toEqual([['a(2)'], ['a(3)'], ['a(4)']]);
  });

  it('for the worse is reported once and stops nobody; for the better is taken', async () => {
    await write('a.yaml', channel('a'));
    const problems: string[] = [];
    const source = await open({ onProblem: ({ level, message }) => problems.push(`${level} ${message}`) });
    await write('a.yaml', 'kind: "');
    await eventually(() => expect(problems).toHaveLength(2));
    expect(problems).toEqual([expect.stringMatching(/^error not valid YAML/), 'info its last valid version stays in force']);
    expect(channels(source.snapshot())).toEqual(['a(1)']);
    await write('b.yaml', channel('b'));
    await eventually(() => expect(channels(source.snapshot())).toEqual(['a(1)', 'b(1)']));
    expect(problems).toHaveLength(2);
    await write('a.yaml', channel('a', 2));
    await eventually(() => expect(channels(source.snapshot())).toEqual(['a(2)', 'b(1)']));
    expect(source.snapshot().problems).toEqual([]);
  });

  it('does not get through once the source is closed', async () => {
    const source = await open();
    const heard: string[][] = [];
    source.onChange((resources) => heard.push(channels(resources)));
    await write('a.yaml', channel('a'));
    await source.close();
    const other = await open();
    await write('b.yaml', channel('b'));
    await eventually(() => expect(channels(other.snapshot())).toEqual(['a(1)', 'b(1)']));
    expect(heard).toEqual([]);
    await source.close(); // twice is fine
  });
});

describe('a mounted ConfigMap', () => {
  it('changes by swapping a symlink', async () => {
    const version = async (name: string, text: string): Promise<void> => {
      await mkdir(join(dir, name));
      await write(join(name, 'a.yaml'), text);
      await symlink(name, join(dir, '..data_tmp'));
      await rename(join(dir, '..data_tmp'), join(dir, '..data'));
    };
    await version('..2026_01', channel('a'));
    await symlink(join('..data', 'a.yaml'), join(dir, 'a.yaml'));
    const source = await open();
    expect(channels(source.snapshot())).toEqual(['a(1)']);
    await version('..2026_02', channel('a', 2));
    await rm(join(dir, '..2026_01'), { recursive: true });
    await eventually(() => expect(channels(source.snapshot())).toEqual(['a(2)']));
  });
});

describe('the slow look', () => {
  const rescanMs = 50;

  it('finds a change behind a symlink, of which nothing is told', async () => {
    await writeFile(join(base, 'real.yaml'), channel('a'));
    await symlink(join(base, 'real.yaml'), join(dir, 'a.yaml'));
    const source = await open({ rescanMs });
    await writeFile(join(base, 'real.yaml'), channel('a', 2));
    await eventually(() => expect(channels(source.snapshot())).toEqual(['a(2)']));
  });

  it('finds that the folder is another one now, and is told of changes in that', async () => {
    await write('a.yaml', channel('a'));
    await symlink(dir, join(base, 'current'));
    await mkdir(join(base, 'other'));
    await writeFile(join(base, 'other', 'b.yaml'), channel('b'));
    const source = await open({ rescanMs, dir: join(base, 'current') });
    await symlink(join(base, 'other'), join(base, 'next'));
    await rename(join(base, 'next'), join(base, 'current'));
    await eventually(() => expect(channels(source.snapshot())).toEqual(['b(1)']));
    await writeFile(join(base, 'other', 'c.yaml'), channel('c'));
    await eventually(() => expect(channels(source.snapshot())).toEqual(['b(1)', 'c(1)']));
  });

  it('costs nobody anything while nothing changes', async () => {
    await write('a.yaml', channel('a'));
    await symlink('nowhere', join(dir, 'b.yaml'));
    const source = await open({ rescanMs: 5 });
    const before = source.snapshot();
    let heard = 0;
    source.onChange(() => heard++);
    await sleep(100);
    expect(heard).toBe(0);
    expect(source.snapshot()).toBe(before);
  });
});

describe('losing the folder', () => {
  it('is reported and loses no resource; it comes back by itself', async () => {
    await write('a.yaml', channel('a'));
    const problems: ManifestProblem[] = [];
    const source = await open({ rescanMs: 50, onProblem: (problem) => problems.push(problem) });
    await rename(dir, join(base, 'away'));
    await eventually(() => expect(problems).toHaveLength(1));
    expect(problems[0]).toMatchObject({ level: 'error', file: dir, document: 0, line: 0 });
    expect(problems[0]?.message).toMatch(/^the folder cannot be read \(ENOENT.*what was read before stays in force$/);
    expect(channels(source.snapshot())).toEqual(['a(1)']);
    expect(source.isSynced()).toBe(true);

    await mkdir(dir);
    await write('a.yaml', channel('a', 2));
    await eventually(() => expect(channels(source.snapshot())).toEqual(['a(2)']));
    expect(source.snapshot().problems).toEqual([]);
    await write('b.yaml', channel('b'));
    await eventually(() => expect(channels(source.snapshot())).toEqual(['a(2)', 'b(1)']));
    expect(problems).toHaveLength(1);
  });
});

it('the quickstart of the examples is without a mistake', async () => {
  const source = await open({ dir: fileURLToPath(new URL('../../../../../examples/quickstart', import.meta.url)) });
  const { channels: found, subscriptions, problems } = source.snapshot();
  expect(problems).toEqual([]);
  expect(subscriptions).toHaveLength(1);
  expect(found.map(({ metadata, spec }) => [metadata.namespace, metadata.name, spec.numPartitions])).toEqual([['default', 'quickstart', 3]]);
  expect(found[0]?.spec.subscribers).toMatchObject([{ name: 'event-display', subscriberUri: 'http://127.0.0.1:8081/' }]);
});

describe('readSecret', () => {
  const secret = (password: string): string => `apiVersion: v1\nkind: Secret\nmetadata: {name: kafka, namespace: shop}\nstringData: {password: ${password}}\n`;

  it('gives what the folder says now, and nothing of another namespace', async () => {
    await write('a.yaml', secret('one'));
    const source = await open();
    expect((await source.readSecret({ namespace: 'shop', name: 'kafka' }))?.data['password']?.toString()).toBe('one');
    expect(await source.readSecret({ namespace: 'default', name: 'kafka' })).toBeUndefined();
    await write('a.yaml', secret('two'));
    await vi.waitFor(async () => expect((await source.readSecret({ namespace: 'shop', name: 'kafka' }))?.data['password']?.toString()).toBe('two'), { timeout: 4000, interval: 10 });
    await unlink(join(dir, 'a.yaml'));
    await vi.waitFor(async () => expect(await source.readSecret({ namespace: 'shop', name: 'kafka' })).toBeUndefined(), { timeout: 4000, interval: 10 });
  });
});

it('the KafkaSources of the examples are without a mistake, and every key that they refer to is there', async () => {
  const examples = fileURLToPath(new URL('../../../../../examples/kafka-source', import.meta.url));
  for (const file of await readdir(examples, { recursive: true })) if (file.endsWith('.yaml')) await copyFile(join(examples, file), join(dir, basename(file)));
  const { sources, secrets, problems } = (await open()).snapshot();
  expect(problems.filter(({ level }) => level !== 'info')).toEqual([]);
  expect(sources.map(({ source }) => source.metadata.name)).toEqual(['orders', 'orders-secured']);
  const keys = secrets.flatMap(({ metadata, data }) => Object.keys(data).map((key) => `${metadata.namespace}/${metadata.name} ${key}`));
  for (const { source: { metadata: { namespace }, spec: { net } } } of sources) {
    for (const { name, key } of Object.values<SecretKeyReference>({ ...net.sasl, ...net.tls })) expect(keys).toContain(`${namespace}/${name} ${key}`);
  }
});
