/**
 * For tests: an HTTP server on loopback that answers as it is told and remembers what it was asked.
 *
 * Always true: it sees what is on the wire (the request target and the header lines as they came, every connection),
 * because the delivery contract is about bytes and not about what a client library makes of them.
 */
import { createServer as createHttpServer, type IncomingMessage, type OutgoingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

export interface ReceivedRequest {
  readonly method: string;
  /** The request target as it was written. */
  readonly path: string;
  /** By name in lower case; the values of a name that came twice are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/**
 * A status, a whole answer, no answer at all, a connection cut instead of one, or whatever the function writes.
 */
export type Answer = number | { readonly status: number; readonly headers?: OutgoingHttpHeaders; readonly body?: string | Buffer } | 'hang' | 'reset' | ((response: ServerResponse) => void);

export class LoopbackSubscriber {
  readonly received: ReceivedRequest[] = [];
  /** Connections that stand now, that ever stood, and that stood at the same time. */
  open = 0;
  opened = 0;
  peak = 0;
  readonly #server: Server;
  readonly #answers: readonly Answer[];
  readonly #sockets = new Set<Socket>();
  readonly #scheme: string;

  private constructor(answers: readonly Answer[], tls: TlsFiles | undefined) {
    this.#answers = answers;
    this.#scheme = tls === undefined ? 'http' : 'https';
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => void this.#answer(request, response);
    this.#server = tls === undefined ? createHttpServer(onRequest) : createHttpsServer(tls, onRequest);
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      this.opened++;
      this.peak = Math.max(this.peak, ++this.open);
      socket.on('error', () => undefined); // a client that gives up is part of many tests
      socket.on('close', () => {
        this.#sockets.delete(socket);
        this.open--;
      });
    });
  }

  /** @param answers in turn, the last one for ever */
  static async start(answers: readonly Answer[], tls?: TlsFiles): Promise<LoopbackSubscriber> {
    const subscriber = new LoopbackSubscriber(answers, tls);
    await new Promise<void>((resolve) => subscriber.#server.listen(0, '127.0.0.1', resolve));
    return subscriber;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Without a slash at the end. */
  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return; // the client gave up
    }
    const headers: Record<string, string> = {};
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      const name = request.rawHeaders[i]!.toLowerCase();
      const value = request.rawHeaders[i + 1]!;
      headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
    }
    this.received.push({ method: request.method!, path: request.url!, headers, body: Buffer.concat(chunks) });
    const answer = this.#answers[Math.min(this.received.length, this.#answers.length) - 1]!;
    if (typeof answer === 'function') answer(response);
    else if (answer === 'reset') request.socket.destroy();
    else if (typeof answer === 'number') response.writeHead(answer).end();
    else if (answer !== 'hang') response.writeHead(answer.status, answer.headers).end(answer.body);
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

/** PEM. */
export interface TlsFiles {
  readonly key: string;
  readonly cert: string;
}
