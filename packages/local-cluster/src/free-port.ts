/**
 * Ports of 127.0.0.1 on which nobody listens.
 *
 * They are taken from below the range the system draws outgoing ports from. A port of that range can be lost while
 * its server is down: another program's outgoing connection gets it, or a client that keeps reconnecting is given
 * the very port it connects to and, by a simultaneous open, ends up talking to itself.
 *
 * Always true: one process never hands out a port twice. Two processes can still pick the same one; whoever binds
 * second sees EADDRINUSE and has to ask again.
 */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

const handedOut = new Set<number>();

/** How many ports below the outgoing range are drawn from, and the lowest that is still ours to use. */
const span = 12_000;
const lowestPort = 10_000;

/** @returns a port that was free a moment ago */
export async function freePort(): Promise<number> {
  const top = await outgoingRangeStart();
  for (let attempt = 1; attempt <= 200; attempt++) {
    // Where the system draws outgoing ports from nearly everywhere, 0 lets it choose.
    const wanted = top - span < lowestPort ? 0 : top - span + Math.floor(Math.random() * span);
    if (handedOut.has(wanted)) continue;
    const port = await tryToListen(wanted);
    if (port === undefined || handedOut.has(port)) continue;
    handedOut.add(port);
    return port;
  }
  throw new Error('found no free port on 127.0.0.1 in 200 attempts');
}

/** @returns `count` different ports */
export async function freePorts(count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, () => freePort()));
}

/** Whether nobody listens on this port of 127.0.0.1 at the moment. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await tryToListen(port)) !== undefined;
}

async function outgoingRangeStart(): Promise<number> {
  const usual = 32_768; // Linux; other systems start higher
  try {
    const start = Number((await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')).trim().split(/\s+/)[0]);
    return Number.isInteger(start) ? Math.min(start, usual) : usual;
  } catch {
    return usual;
  }
}

/** @returns the port, or `undefined` when somebody has it already */
async function tryToListen(port: number): Promise<number | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(address !== null && typeof address === 'object' ? address.port : undefined));
    });
  });
}
