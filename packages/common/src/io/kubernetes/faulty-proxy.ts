/**
 * A proxy before a real API server, for tests: plain HTTP in front, and it can fail as networks and API servers do.
 *
 * It shows the API server the certificate of the kubeconfig it is given; whoever comes to it needs none. What is done to
 * a request is decided by the test, request by request, so that a test with a seed is the same every time.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { parse } from 'yaml';

export interface ProxiedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly isWatch: boolean;
}

export type ProxyFault =
  /** The API server never sees the request. */
  | { readonly kind: 'answer'; readonly status: number; readonly retryAfterSeconds?: number }
  | { readonly kind: 'cut' }
  /** The request is done, and the connection breaks before its answer is back. */
  | { readonly kind: 'lose-answer' }
  /** The request waits, for ever or for a while. */
  | { readonly kind: 'freeze' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** The answer breaks after so many bytes. */
  | { readonly kind: 'break-after'; readonly bytes: number }
  /** So many bytes of the answer, then what is no JSON. */
  | { readonly kind: 'garbage-after'; readonly bytes: number }
  /** The answer ends as if it were whole. */
  | { readonly kind: 'end-after'; readonly bytes: number };

export interface FaultyProxy {
  /** File; its server is the proxy. */
  readonly kubeconfig: string;
  /** Asked for every request; undefined lets it pass. */
  onRequest: (request: ProxiedRequest) => ProxyFault | undefined;
  /** All connections break, and new ones do too. */
  cut(): void;
  /** Nothing comes back any more, over connections that are open and new ones. */
  freeze(): void;
  /** New connections are good again; those that were frozen stay silent. */
  heal(): void;
  /** Breaks the watches that are open now. @returns how many there were */
  breakWatches(): number;
  watches(): number;
  /** Every request so far. */
  readonly requests: readonly ProxiedRequest[];
  close(): Promise<void>;
}

/**
 * @param admin kubeconfig with a client certificate
 * @param file  where the proxy's own kubeconfig is written
 * @param as    with whose rights requests are made: a ServiceAccount; those of the certificate where undefined
 */
export async function startFaultyProxy(admin: string, file: string, as?: { readonly namespace: string; readonly serviceAccount: string }): Promise<FaultyProxy> {
  const { server: target, ...credentials } = await readKubeconfig(admin);
  const agent = new Agent({ keepAlive: true, ...credentials });
  const impersonation: OutgoingHttpHeaders = as === undefined ? {} : {
    'impersonate-user': `system:serviceaccount:${as.namespace}:${as.serviceAccount}`,
    'impersonate-group': ['system:serviceaccounts', `system:serviceaccounts:${as.namespace}`, 'system:authenticated'],
  };
  const sockets = new Set<Socket>();
  const watches = new Set<Socket>();
  const requests: ProxiedRequest[] = [];
  let state: 'whole' | 'cut' | 'frozen' = 'whole';
  /** Connections from before the last freeze. */
  const silent = new WeakSet<Socket>();

  const pass = (incoming: IncomingMessage, outgoing: ServerResponse, fault: ProxyFault | undefined): void => {
    const { socket } = incoming;
    const headers: OutgoingHttpHeaders = { ...incoming.headers, ...impersonation, connection: 'keep-alive' };
    delete headers.host;
    delete headers.authorization;
    const forwarded = httpsRequest(`${target}${incoming.url ?? '/'}`, { agent, method: incoming.method, headers }, (answer) => {
      if (fault?.kind === 'lose-answer') {
        answer.resume();
        return breakOff(socket);
      }
      let left = fault !== undefined && 'bytes' in fault ? fault.bytes : Infinity;
      const write = (bytes: Buffer | string): void => {
        if (!silent.has(socket)) outgoing.write(bytes);
      };
      if (!silent.has(socket)) {
        const { 'content-length': length, ...answerHeaders } = answer.headers;
        outgoing.writeHead(answer.statusCode!, left === Infinity && length !== undefined ? answer.headers : answerHeaders);
        outgoing.flushHeaders();
      }
      answer.on('data', (chunk: Buffer) => {
        write(chunk.subarray(0, left));
        left -= chunk.length;
        if (left > 0) return;
        answer.destroy();
        if (fault?.kind === 'garbage-after') write('\u0000}{ no JSON\n');
        if (fault?.kind === 'end-after') outgoing.end();
        else socket.end(); // what was written so far arrives
        setImmediate(() => socket.destroySoon());
      });
      answer.on('end', () => {
        if (!silent.has(socket)) outgoing.end();
      });
      answer.on('error', () => socket.destroy());
    });
    forwarded.on('error', () => {
      if (!silent.has(socket)) socket.destroy();
    });
    outgoing.on('close', () => forwarded.destroy());
    incoming.pipe(forwarded);
  };

  const server = createServer((incoming, outgoing) => {
    const { socket, method = 'GET', url: path = '/' } = incoming;
    const request: ProxiedRequest = { method, path, isWatch: path.includes('watch=true') };
    requests.push(request);
    outgoing.on('error', () => undefined);
    if (state === 'frozen') silent.add(socket);
    if (silent.has(socket)) return swallow(incoming);
    if (request.isWatch) {
      watches.add(socket);
      outgoing.on('close', () => watches.delete(socket));
    }
    const fault = proxy.onRequest(request);
    switch (fault?.kind) {
      case 'answer':
        incoming.resume();
        outgoing.writeHead(fault.status, { 'content-type': 'application/json', ...(fault.retryAfterSeconds === undefined ? {} : { 'retry-after': fault.retryAfterSeconds.toString() }) });
        outgoing.end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', message: `made up by the proxy: ${fault.status}`, code: fault.status }));
        return;
      case 'cut':
        return breakOff(socket);
      case 'freeze':
        return swallow(incoming);
      case 'delay':
        setTimeout(() => {
          if (!socket.destroyed) pass(incoming, outgoing, undefined);
        }, fault.ms);
        return;
      default:
        pass(incoming, outgoing, fault);
    }
  });
  server.on('connection', (socket) => {
    if (state === 'cut') return breakOff(socket);
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  const breakAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { readonly port: number };
  await writeFile(
    file,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'proxy', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'nobody', user: {} }],
      contexts: [{ name: 'proxy', context: { cluster: 'proxy', user: 'nobody' } }],
      'current-context': 'proxy',
    }),
  );
  const proxy: FaultyProxy = {
    kubeconfig: file,
    onRequest: () => undefined,
    cut: () => {
      state = 'cut';
      breakAll();
    },
    freeze: () => {
      state = 'frozen';
      for (const socket of sockets) silent.add(socket);
    },
    heal: () => {
      state = 'whole';
    },
    breakWatches: () => {
      const broken = [...watches];
      for (const socket of broken) socket.destroy();
      return broken.length;
    },
    watches: () => watches.size,
    requests,
    close: async () => {
      breakAll();
      agent.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

/** Reads what is said and answers nothing. */
function swallow(incoming: IncomingMessage): void {
  incoming.resume();
}

function breakOff(socket: Socket): void {
  socket.destroy();
}

async function readKubeconfig(file: string): Promise<{ readonly server: string; readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer }> {
  const config = parse(await readFile(file, 'utf8')) as { readonly clusters: readonly { readonly cluster: Record<string, string> }[]; readonly users: readonly { readonly user: Record<string, string> }[] };
  const cluster = config.clusters[0]!.cluster;
  const user = config.users[0]!.user;
  const material = async (of: Record<string, string>, name: string): Promise<Buffer> => (of[`${name}-data`] === undefined ? readFile(of[name]!) : Buffer.from(of[`${name}-data`]!, 'base64'));
  return { server: cluster['server']!, ca: await material(cluster, 'certificate-authority'), cert: await material(user, 'client-certificate'), key: await material(user, 'client-key') };
}
