import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { startProcess, waitFor, type ChildService } from './child-process.ts';
import { freePort, freePorts, isPortFree } from './free-port.ts';

const started: ChildService[] = [];

afterEach(async () => {
  await Promise.all(started.splice(0).map((service) => service.stop(0)));
});

/** A Node process running a few lines of script. */
function startNode(script: string, env: Record<string, string> = {}): ChildService {
  const service = startProcess({ name: 'script', command: process.execPath, args: ['--eval', script], env });
  started.push(service);
  return service;
}

/** Whether the pid belongs to a process that still does something; one that waits to be reaped has no command line. */
async function isAlive(pid: number): Promise<boolean> {
  if (process.platform === 'linux') return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) !== '';
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const idle = 'setInterval(() => {}, 1000);';

describe('startProcess', () => {
  it('collects what the process prints and tells how it ended', async () => {
    const service = startNode('console.log("out " + process.env.GREETING); console.error("err"); process.exitCode = 3;', {
      GREETING: 'hello',
    });
    expect(await service.exited).toEqual({ code: 3, signal: null });
    expect(service.output()).toContain('out hello');
    expect(service.output()).toContain('err');
    expect(service.isRunning()).toBe(false);
  });

  it('waits for output, whether it came already or is yet to come', async () => {
    const service = startNode(`console.log("port 8080"); setTimeout(() => console.log("ready (now)"), 50); ${idle}`);
    expect((await service.waitForOutput(/port (\d+)/g, 20_000))[1]).toBe('8080');
    expect((await service.waitForOutput('ready (now)', 20_000))[0]).toBe('ready (now)');
    expect((await service.waitForOutput(/port (\d+)/g, 20_000))[1]).toBe('8080');
  });

  it('gives up waiting for output when the process ends, and shows what it printed', async () => {
    const service = startNode('console.log("cannot read settings"); process.exit(1);');
    await expect(service.waitForOutput('ready', 20_000)).rejects.toThrow(
      'script: ended with code 1 without ready in its output:\ncannot read settings',
    );
  });

  it('gives up waiting for output when the time is up', async () => {
    const service = startNode(idle);
    await expect(service.waitForOutput('ready', 10)).rejects.toThrow('script: 10 ms passed without ready in its output');
  });

  it('stops with SIGTERM and lets the process finish', async () => {
    const service = startNode(`process.on("SIGTERM", () => { console.log("bye"); process.exit(0); }); console.log("up"); ${idle}`);
    await service.waitForOutput('up', 20_000);
    expect(await service.stop(20_000)).toEqual({ code: 0, signal: null });
    expect(service.output()).toContain('bye');
  });

  it('kills a process that ignores SIGTERM', async () => {
    const service = startNode(`process.on("SIGTERM", () => {}); console.log("up"); ${idle}`);
    await service.waitForOutput('up', 20_000);
    expect(await service.stop(50)).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('stops a frozen process in order', async () => {
    const service = startNode(`process.on("SIGTERM", () => process.exit(0)); console.log("up"); ${idle}`);
    await service.waitForOutput('up', 20_000);
    service.signal('SIGSTOP');
    expect(await service.stop(20_000)).toEqual({ code: 0, signal: null });
  });

  it('leaves no children of the process behind', async () => {
    const service = startNode(
      `const { pid } = require("node:child_process").spawn(process.execPath, ["--eval", ${JSON.stringify(idle)}]); console.log("child " + pid); ${idle}`,
    );
    const child = Number((await service.waitForOutput(/child (\d+)/, 20_000))[1]);
    expect(await isAlive(child)).toBe(true);
    await service.stop();
    await waitFor('the grandchild to end', async () => !(await isAlive(child)), { timeoutMs: 10_000 });
  });

  it.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('does not let the process outlive us when %s ends us', async (signal) => {
    const module = JSON.stringify(new URL('./child-process.ts', import.meta.url).href);
    const owner = startNode(
      `import(${module}).then(({ startProcess }) => {
         const { pid } = startProcess({ name: "idle", command: process.execPath, args: ["--eval", ${JSON.stringify(idle)}] });
         console.log("child " + pid);
       });`,
    );
    const child = Number((await owner.waitForOutput(/child (\d+)/, 20_000))[1]);
    expect(await isAlive(child)).toBe(true);
    owner.signal(signal);
    expect((await owner.exited).signal).toBe(signal);
    await waitFor('the child to end', async () => !(await isAlive(child)), { timeoutMs: 10_000 });
  });

  it('says what cannot be started', () => {
    expect(() => startProcess({ name: 'none', command: 'no-such-program' })).toThrow('no-such-program cannot be started');
  });
});

describe('freePort', () => {
  it('finds ports on which one can listen, each only once', async () => {
    const ports = [...(await freePorts(20)), await freePort()];
    expect(new Set(ports).size).toBe(21);
    const server = createServer().listen(ports[0], '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    expect(await isPortFree(ports[0]!)).toBe(false);
    await new Promise((resolve) => server.close(resolve));
    expect(await isPortFree(ports[0]!)).toBe(true);
  });
});
