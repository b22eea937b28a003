import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startProcess, type ChildService } from './child-process.ts';
import { endLeftover, writeOwnerFile } from './leftover.ts';

let folder: string;
let service: ChildService | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'knative-kafka-leftover-'));
});

afterEach(async () => {
  await service?.stop(0);
  await rm(folder, { recursive: true });
});

/** Stands in for a JVM: all that counts is its command line. */
function startStandIn(dataFolder: string): ChildService {
  const script = 'setInterval(() => {}, 1000)';
  service = startProcess({
    name: 'stand-in',
    command: process.execPath,
    args: ['--eval', script, join(dataFolder, 'server.properties')],
  });
  return service;
}

/** A pid above every limit of the kernel: a parent that is long gone. */
const goneOwner = 2 ** 30;

describe.runIf(process.platform === 'linux')('endLeftover', () => {
  it('ends a process that works on the folder and has lost its parent', async () => {
    const leftover = startStandIn(folder);
    await writeFile(join(folder, 'jvm.pid'), `${leftover.pid} ${goneOwner}\n`);
    await endLeftover(folder);
    expect(await leftover.exited).toEqual({ code: null, signal: 'SIGTERM' });
    await expect(readFile(join(folder, 'jvm.pid'))).rejects.toThrow('ENOENT');
  });

  it('refuses the folder while the parent lives', async () => {
    const inUse = startStandIn(folder);
    await writeOwnerFile(folder, inUse.pid);
    await expect(endLeftover(folder)).rejects.toThrow(`${folder} is in use by process ${process.pid}`);
    expect(inUse.isRunning()).toBe(true);
  });

  it('spares a process that got the pid since', async () => {
    await mkdir(join(folder, 'broker-1'));
    const stranger = startStandIn(join(folder, 'broker-2'));
    await writeFile(join(folder, 'broker-1', 'jvm.pid'), `${stranger.pid} ${goneOwner}\n`);
    await endLeftover(join(folder, 'broker-1'));
    expect(stranger.isRunning()).toBe(true);
  });

  it.each(['', 'not a number', '1 1'])('makes nothing of the pid file %j', async (text) => {
    await writeFile(join(folder, 'jvm.pid'), text);
    await endLeftover(folder);
  });
});
