/**
 * How connections come to stand, wait and end, on both ways of the client: addresses, time that passes while a
 * connection is made or while the process stands still, connections that nobody uses.
 */
import { fork, type ChildProcess } from 'node:child_process';
import dns from 'node:dns';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { TextHeaders } from '../core/request-headers.ts';
import type { DeliveryAnswer } from '../core/response-verdict.ts';
import { createSubscriberClient, type SubscriberClient, type SubscriberClientOptions } from './subscriber-client.ts';

vi.setConfig({ testTimeout: 30_000 });

const toClose: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0).reverse()) await one.close();
});

function until(assertion: () => void): Promise<void> {
  return vi.waitFor(assertion, { timeout: 20_000, interval: 5 });
}

const ok = 'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n';

interface AcceptingServer {
  readonly port: number;
  readonly opened: number;
  readonly open: number;
  /** Host headers, in order. */
  readonly hosts: readonly string[];
}

/** Answers each request with 200. */
async function acceptingServer(address: string, headers = ''): Promise<AcceptingServer> {
  const sockets = new Set<Socket>();
  const hosts: string[] = [];
  let opened = 0;
  const server = createServer((socket) => {
    opened++;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (bytes) => {
      hosts.push(/host: (.*)\r\n/.exec(bytes.toString('latin1'))?.[1] ?? '');
      socket.write(`HTTP/1.1 200 OK\r\n${headers}Content-Length: 0\r\n\r\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  toClose.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return {
    port: (server.address() as AddressInfo).port,
    get opened() { return opened; },
    get open() { return sockets.size; },
    hosts,
  };
}

/** A server in a process of its own that stands still, with as many connections waiting for it as may: no more come to stand. */
async function fullServer(): Promise<{ readonly port: number; goOn(): void }> {
  const program = `require('node:net').createServer((s) => { s.on('error', () => {}); s.on('data', () => s.write('${ok}')); }).listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () { process.send(this.address().port); });`;
  const child: ChildProcess = fork('--eval', [program], { execArgv: [] });
  const port = await new Promise<number>((resolve) => child.once('message', (message) => resolve(message as number)));
  child.kill('SIGSTOP');
  const waiting: Socket[] = [];
  toClose.push({
    close: () => {
      for (const socket of waiting) socket.destroy();
      child.kill('SIGKILL');
    },
  });
  for (let isFull = false; !isFull;) {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    waiting.push(socket);
    isFull = await Promise.race([new Promise<boolean>((resolve) => socket.once('connect', () => resolve(false))), new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 300))]);
  }
  return {
    port,
    goOn: () => {
      for (const socket of waiting) socket.destroy();
      child.kill('SIGCONT');
    },
  };
}

describe.each([['over sockets of its own', true], ['through undici', false]])('the client %s', (_client, usesSockets) => {
  function clientOf(change: Partial<SubscriberClientOptions> = {}): SubscriberClient {
    const client = createSubscriberClient({ connectionsPerDestination: 10, connectTimeoutMs: 10_000, replyLimitBytes: 1_000, usesSockets, ...change });
    toClose.push(client);
    return client;
  }
  const send = (client: SubscriberClient, uri: string, timeoutMs = 30_000): Promise<DeliveryAnswer> => client.send({ uri, headers: new TextHeaders(['ce-id', '1']), body: Buffer.from('hello'), timeoutMs, wantsReply: false });

  it.each([['[::1]', '::1'], ['127.0.0.1', '127.0.0.1'], ['127.1', '127.0.0.1'], ['localhost', '127.0.0.1'], ['LOCALHOST', '127.0.0.1']])('finds %s where a server is at %s', async (host, address) => {
    const server = await acceptingServer(address);
    const client = clientOf();
    for (let n = 0; n < 3; n++) expect(await send(client, `http://${host}:${server.port}/`)).toMatchObject({ status: 200 });
    const { host: sent } = new URL(`http://${host}:${server.port}/`);
    expect(server.hosts).toEqual([sent, sent, sent]);
  });

  it('tries all addresses that a name has', async () => {
    const server = await acceptingServer('127.0.0.1');
    const addresses = [{ address: '::1', family: 6 }, { address: '127.0.0.1', family: 4 }];
    const lookup = vi.spyOn(dns, 'lookup').mockImplementation(((_name: string, _options: object, found: (error: null, all: typeof addresses) => void) => found(null, addresses)) as unknown as typeof dns.lookup);
    try {
      const client = clientOf();
      for (let n = 0; n < 3; n++) expect(await send(client, `http://two.test:${server.port}/`)).toMatchObject({ status: 200 });
      expect(lookup).toHaveBeenCalled();
      addresses.pop();
      expect(await send(clientOf(), `http://two.test:${server.port}/`)).toMatchObject({ failure: 'connection-refused' });
    } finally {
      lookup.mockRestore();
    }
  });

  it('says that a connection did not come to stand in time', async () => {
    const { port } = await fullServer();
    expect(await send(clientOf({ connectTimeoutMs: 200 }), `http://127.0.0.1:${port}/`)).toMatchObject({ failure: 'unreachable' });
  });

  it('counts the time until a connection stands as that of the attempt', async () => {
    const { port } = await fullServer();
    expect(await send(clientOf(), `http://127.0.0.1:${port}/`, 100)).toEqual({ failure: 'timeout', message: 'no answer within 100 ms' });
  });

  it('lets the next attempt have a connection that came to stand too late for the first one', async () => {
    const { port, goOn } = await fullServer();
    const client = clientOf({ connectTimeoutMs: 30_000, connectionsPerDestination: 1 });
    expect(await send(client, `http://127.0.0.1:${port}/`, 100)).toMatchObject({ failure: 'timeout' });
    const next = send(client, `http://127.0.0.1:${port}/`);
    goOn();
    expect(await next).toMatchObject({ status: 200 });
    expect(await send(client, `http://127.0.0.1:${port}/`)).toMatchObject({ status: 200 });
  });

  it('may be closed while a connection is being made', async () => {
    const { port } = await fullServer();
    const client = clientOf();
    const answers = [send(client, `http://127.0.0.1:${port}/`), send(client, `http://127.0.0.1:${port}/`)];
    await client.close();
    expect(await Promise.all(answers)).toMatchObject([{ failure: 'connection-lost' }, { failure: 'connection-lost' }]);
  });

  it('closes connections that nobody uses', async () => {
    const server = await acceptingServer('127.0.0.1');
    const client = clientOf();
    await Promise.all([1, 2, 3].map(() => send(client, `http://127.0.0.1:${server.port}/`)));
    expect(server.open).toBeGreaterThan(0);
    await until(() => expect(server.open).toBe(0));
    expect(await send(client, `http://127.0.0.1:${server.port}/`)).toMatchObject({ status: 200 });
  });

  it('closes them before a server does that says when', async () => {
    const server = await acceptingServer('127.0.0.1', 'Keep-Alive: timeout=3\r\n');
    await send(clientOf(), `http://127.0.0.1:${server.port}/`);
    await until(() => expect(server.open).toBe(0));
  });

  it('lets an answer count that came in time, though the process stood still until the time was over', async () => {
    const flags = new Int32Array(new SharedArrayBuffer(12));
    const [asked, standing, answered] = [0, 1, 2];
    const worker = new Worker(
      `const { parentPort, workerData: flags } = require('node:worker_threads');
       let nth = 0;
       require('node:net').createServer((s) => { s.on('error', () => {}); s.on('data', () => {
         if (nth++ > 0) { Atomics.store(flags, ${asked}, 1); Atomics.wait(flags, ${standing}, 0); }
         s.write('${ok}', () => { if (nth > 1) { Atomics.store(flags, ${answered}, 1); Atomics.notify(flags, ${answered}); } });
       }); }).listen(0, '127.0.0.1', function () { parentPort.postMessage(this.address().port); });`,
      { eval: true, workerData: flags },
    );
    toClose.push({ close: () => worker.terminate() });
    const port = await new Promise<number>((resolve) => worker.once('message', resolve));
    const client = clientOf({ connectionsPerDestination: 1 });
    const uri = `http://127.0.0.1:${port}/`;
    expect(await send(client, uri)).toMatchObject({ status: 200 });
    const timeoutMs = 1_000;
    const begunMs = performance.now();
    const answer = send(client, uri, timeoutMs);
    while (Atomics.load(flags, asked) === 0 && performance.now() < begunMs + timeoutMs) await new Promise(setImmediate);
    Atomics.store(flags, standing, 1);
    Atomics.notify(flags, standing);
    Atomics.wait(flags, answered, 0);
    Atomics.wait(flags, answered, 1, begunMs + timeoutMs + 200 - performance.now());
    expect(await answer).toMatchObject({ status: 200 });
  });
});
