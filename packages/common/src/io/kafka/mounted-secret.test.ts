import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Fault } from '../../core/fault.ts';
import { createLogger } from '../logger.ts';
import { openConnectionSource, type ConnectionSettings, type OpenConnectionSource } from './mounted-secret.ts';

let dir: string;
let logged: { readonly level: string; readonly message: string; readonly problem?: string }[];
const opened: OpenConnectionSource[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mounted-secret-test-'));
  logged = [];
});

afterEach(async () => {
  for (const source of opened.splice(0)) source.close();
  await rm(dir, { recursive: true, force: true });
});

async function open(settings: Partial<ConnectionSettings> = {}): Promise<OpenConnectionSource> {
  const source = await openConnectionSource({
    brokers: undefined,
    secretDir: dir,
    clientId: 'test',
    requestTimeoutMs: 1_000,
    connectTimeoutMs: 500,
    lookEveryMs: 10,
    log: createLogger('test', 'info', (line) => logged.push(JSON.parse(line) as (typeof logged)[number])),
    ...settings,
  });
  opened.push(source);
  return source;
}

let versions = 0;
/** As Kubernetes mounts a Secret: `..data` links to the folder of the version, and each key links to its file below `..data`. */
async function mount(keys: Readonly<Record<string, string>>): Promise<void> {
  const version = `..2026_${versions++}`;
  await mkdir(join(dir, version));
  for (const [name, value] of Object.entries(keys)) await writeFile(join(dir, version, name), value);
  await symlink(version, join(dir, '..data_tmp'));
  await rename(join(dir, '..data_tmp'), join(dir, '..data'));
  for (const name of Object.keys(keys)) await symlink(join('..data', name), join(dir, name)).catch(() => undefined);
}

const eventually = (assertion: () => void): Promise<void> => vi.waitFor(assertion, { timeout: 10_000, interval: 5 });
const problemOf = (source: OpenConnectionSource): unknown => {
  try {
    return source.current();
  } catch (error) {
    return error;
  }
};

describe('the settings', () => {
  it('are bootstrap servers, or a folder, and not both', async () => {
    const source = await open({ brokers: ['kafka:1'], secretDir: undefined });
    expect(source.current()).toEqual({ brokers: ['kafka:1'], clientId: 'test', requestTimeoutMs: 1_000, connectTimeoutMs: 500 });
    expect(source.current()).toBe(source.current());
    for (const settings of [{ brokers: ['kafka:1'] }, { secretDir: undefined }]) {
      await expect(open(settings)).rejects.toThrow(/^exactly one of KAFKA_BROKERS and KAFKA_SECRET_DIR is required/);
    }
  });
});

describe('a mounted Secret', () => {
  it('is followed when another version takes its place', async () => {
    await mount({ brokers: 'kafka:1', protocol: 'SASL_PLAINTEXT', username: 'ann', password: 'one' });
    const source = await open();
    const first = source.current();
    expect(first).toMatchObject({ brokers: ['kafka:1'], sasl: { username: 'ann', password: 'one' } });
    await mount({ brokers: 'kafka:1', protocol: 'SASL_PLAINTEXT', username: 'ann', password: 'two' });
    await eventually(() => expect(source.current()).toMatchObject({ sasl: { password: 'two' } }));
    expect(source.current()).toBe(source.current());
    expect(logged).toMatchObject([{ level: 'info', message: 'Kafka Secret has changed; new connections use it' }]);
    expect(JSON.stringify(logged)).not.toMatch(/one|two/);
  });

  it('stays the same object while its values do, so that nobody connects anew', async () => {
    await mount({ brokers: 'kafka:1' });
    const source = await open();
    const first = source.current();
    await mount({ brokers: 'kafka:1', namespace: 'other' });
    await mount({ brokers: 'kafka:1', protocol: 'nonsense' });
    await eventually(() => expect(logged).toHaveLength(1)); // so the version before it was seen, or passed over
    expect(source.current()).toBe(first);
  });

  it('that is wrong later leaves the one before in force, is told once, and is mended in place', async () => {
    await mount({ brokers: 'kafka:1' });
    const source = await open();
    await mount({ 'bootstrap.servers': 'secret-host' });
    await eventually(() => expect(logged).toHaveLength(1));
    expect(logged[0]).toMatchObject({ level: 'error', problem: 'data["bootstrap.servers"] expected host:port, several separated by commas' });
    expect(source.current()).toMatchObject({ brokers: ['kafka:1'] });
    await mount({ brokers: 'kafka:2' });
    await eventually(() => expect(source.current()).toMatchObject({ brokers: ['kafka:2'] }));
    expect(logged).toHaveLength(2);
    expect(JSON.stringify(logged)).not.toContain('secret-host');
  });

  it('that is wrong or missing at first is a fault with the reason until it is right', async () => {
    const folder = join(dir, 'later');
    const source = await open({ secretDir: folder });
    expect(problemOf(source)).toBeInstanceOf(Fault);
    expect(problemOf(source)).toMatchObject({ code: 'SETTINGS_INVALID', retriable: true, message: expect.stringMatching(/^the Kafka Secret in .*later: ENOENT/) as string });
    await mkdir(folder);
    await eventually(() => expect(problemOf(source)).toMatchObject({ message: expect.stringMatching(/: data.brokers is required/) as string }));
    await writeFile(join(folder, 'brokers'), 'kafka:1\n');
    await eventually(() => expect(problemOf(source)).toMatchObject({ brokers: ['kafka:1'] }));
  });

  it('is not followed once it is closed', async () => {
    await mount({ brokers: 'kafka:1' });
    const source = await open();
    source.close();
    await mount({ brokers: 'kafka:2' });
    const other = await open();
    await mount({ brokers: 'kafka:3' });
    await eventually(() => expect(other.current()).toMatchObject({ brokers: ['kafka:3'] }));
    expect(source.current()).toMatchObject({ brokers: ['kafka:1'] });
  });
});
