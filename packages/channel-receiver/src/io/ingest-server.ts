/**
 * The HTTP server that events arrive at: `node:http` for them, Express for everything else on the same port.
 *
 * All that is HTTP stays here: what is behind sees hosts, paths, header text and bytes, and answers with values.
 * Input is bounded in every direction: head, body, time to send, connections.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Express } from 'express';
import { addProbes, createApp, listen, type Logger, type Readiness } from '@knative-kafka/common/io';
import { allowedMethods, badRequest, methodNotAllowed, tooManyHeaders, unknownExpectation, type Answer } from '../core/receive-response.ts';
import type { Admission, Receive, RequestHead } from '../receive.ts';

export interface IngestServer {
  readonly port: number;
  /** From now on each answer asks its sender to open another connection for the next event; new ones are still taken. */
  retire(): void;
  /** Stops accepting, lets what is under way finish, and resolves when the last connection is closed. */
  drain(): Promise<void>;
  /** Closes every connection, whatever is under way on it. */
  cut(): void;
}

export interface IngestOptions {
  readonly port: number;
  readonly receive: Receive;
  readonly readiness: Readiness;
  readonly headerLimitBytes: number;
  readonly requestTimeoutMs: number;
  readonly maxConnections: number;
  readonly log: Logger;
  /** Told of each answer to a POST: the channel's key where one was found, and how long the request took. */
  readonly onAnswer: (channel: string | undefined, status: number, seconds: number) => void;
  /** More routes for the Express part, such as the status page of the standalone mode. */
  readonly extend?: ((app: Express) => void) | undefined;
}

interface ServerState {
  /** The port is about to close: a connection that ends with an answer cannot be closed under the next request. */
  isRetiring: boolean;
}

/** Longer than the idle time of the proxies in front, which must be the ones to close (a close from here can race a request). */
const keepAliveTimeoutMs = 75_000;
const headersTimeoutMs = 10_000;
/** A head with more headers than this is refused. Subscribers have a limit too, and some cut off the rest without a word. */
const headerCountLimit = 500;
/** How long a refused sender may go on sending before the connection is closed under it. */
const lingerMs = 2_000;

export async function startIngestServer(options: IngestOptions): Promise<IngestServer> {
  const state: ServerState = { isRetiring: false };
  const app = ingestApp(options);
  const server = createServer({
    maxHeaderSize: options.headerLimitBytes,
    headersTimeout: Math.min(headersTimeoutMs, options.requestTimeoutMs), // Node takes no longer one
    requestTimeout: options.requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionsCheckingInterval: 1_000,
    noDelay: true,
    requireHostHeader: false, // refused by us, with a reason
  });
  server.maxConnections = options.maxConnections;
  server.maxHeadersCount = 0; // otherwise Node leaves out the thousandth and says nothing; the head's bytes are bounded
  const handle = (request: IncomingMessage, response: ServerResponse, asksFirst: boolean): void => {
    const head = readHead(request);
    if (request.method === 'POST') ingest(request, response, head, options, state, asksFirst);
    else if ('status' in head) refuse(request, response, head);
    else app(request, response);
  };
  server.on('request', (request: IncomingMessage, response: ServerResponse) => handle(request, response, false));
  // With "Expect: 100-continue" a sender asks before it sends the body; a refusal then costs it nothing.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => handle(request, response, true));
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => refuse(request, response, unknownExpectation));
  server.on('clientError', answerBrokenRequest);
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const port = await listen(server, options.port, '0.0.0.0');
  return {
    port,
    retire: () => {
      state.isRetiring = true;
    },
    drain: async () => {
      state.isRetiring = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      // A connection opened ahead of its first request is none of the idle ones to Node, and would be waited for.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
      await closed;
    },
    cut: () => server.closeAllConnections(),
  };
}

/** Everything that is not an event: probes, the webhook handshake, and a helpful refusal. */
function ingestApp(options: IngestOptions): Express {
  const app = createApp();
  addProbes(app, options.readiness);
  options.extend?.(app);
  // CloudEvents webhook specification §4: a receiver that is asked says that it takes events, from anyone, at any rate.
  app.use((request, response, next) => {
    if (request.method !== 'OPTIONS') return next();
    response.set('Allow', allowedMethods);
    const origin = request.get('WebHook-Request-Origin');
    if (origin !== undefined) response.set('WebHook-Allowed-Origin', origin === '' ? '*' : origin).set('WebHook-Allowed-Rate', '*');
    response.status(200).end();
  });
  app.use((_request, response) => sendAnswer(response, methodNotAllowed));
  return app;
}

function ingest(request: IncomingMessage, response: ServerResponse, head: RequestHead | Answer, options: IngestOptions, state: ServerState, asksFirst: boolean): void {
  const startedAt = process.hrtime.bigint();
  const { receive } = options;
  const admission = 'status' in head ? head : receive.admit(head);
  const answer = (value: Answer): void => {
    options.onAnswer('route' in admission ? admission.route.key : undefined, value.status, Number(process.hrtime.bigint() - startedAt) / 1e9);
    if (state.isRetiring) response.shouldKeepAlive = false;
    if (!response.destroyed) sendAnswer(response, value);
  };
  if ('status' in admission) {
    answer(admission);
    discardBody(request);
    return;
  }
  if (asksFirst) response.writeContinue();
  readBody(request, receive, admission, (body, refusal) => {
    if (body === undefined) {
      receive.abandon(admission);
      if (refusal === undefined) return; // the sender went away
      answer(refusal);
      discardBody(request);
      return;
    }
    receive.receive(admission, request.rawHeaders, body).then(answer, (error: unknown) => {
      options.log.error({ err: error, channel: admission.route.key }, 'event not handled');
      answer({ status: 500, problem: { title: 'Internal error', detail: 'the event was not stored' } });
    });
  });
}

function refuse(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  sendAnswer(response, answer);
  discardBody(request);
}

/**
 * One pass over the headers as they came; Node's own header object would be built for nothing.
 * @returns an answer where the head is none that HTTP allows
 */
function readHead(request: IncomingMessage): RequestHead | Answer {
  const { rawHeaders } = request;
  if (rawHeaders.length > 2 * headerCountLimit) return tooManyHeaders(headerCountLimit);
  let hosts = 0;
  let host: string | undefined;
  let contentLength: number | undefined;
  let isBatch = false;
  let contentEncoding: string | undefined;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    if (name.length === 4 && name.toLowerCase() === 'host') {
      hosts++;
      host = rawHeaders[at + 1];
    } else if (name.length === 14 && name.toLowerCase() === 'content-length') contentLength = Number(rawHeaders[at + 1]);
    else if (name.length === 12 && name.toLowerCase() === 'content-type') isBatch = rawHeaders[at + 1]!.toLowerCase().startsWith('application/cloudevents-batch');
    else if (name.length === 16 && name.toLowerCase() === 'content-encoding') {
      const coding = rawHeaders[at + 1]!.toLowerCase();
      contentEncoding = contentEncoding === undefined ? coding : `${contentEncoding}, ${coding}`;
    }
  }
  // RFC 9112 §3.2. With two of them the channel would depend on who looks.
  if (hosts > 1) return badRequest(`expected one Host header, got ${hosts}`);
  if (hosts === 0 && request.httpVersion === '1.1') return badRequest('expected a Host header, got none');
  return { host, target: request.url ?? '/', contentLength, isBatch, contentEncoding };
}

const emptyBody = Buffer.alloc(0);

/** Calls `done` once: with the body, with a refusal, or with neither when the connection ended before. */
function readBody(request: IncomingMessage, receive: Receive, admission: Admission, done: (body: Buffer | undefined, refusal?: Answer) => void): void {
  let first: Buffer | undefined;
  let rest: Buffer[] | undefined;
  let bytes = 0;
  let isDone = false;
  const finish = (body: Buffer | undefined, refusal?: Answer): void => {
    if (isDone) return;
    isDone = true;
    done(body, refusal);
  };
  request.on('data', (chunk: Buffer) => {
    if (isDone) return;
    bytes += chunk.length;
    const refusal = receive.grow(admission, bytes);
    if (refusal !== undefined) finish(undefined, refusal);
    else if (first === undefined) first = chunk;
    else (rest ??= [first]).push(chunk);
  });
  request.on('end', () => finish(rest === undefined ? (first ?? emptyBody) : Buffer.concat(rest, bytes)));
  request.on('close', () => finish(undefined));
  request.on('error', () => finish(undefined));
}

/**
 * After a refusal: the rest of the body is read away, and the connection kept, if the sender gets done soon. Closed at
 * once, it would break under a sender that is still writing, who then never reads why it was refused.
 */
function discardBody(request: IncomingMessage): void {
  request.resume();
  if (request.complete) return;
  const giveUp = setTimeout(() => request.socket.destroy(), lingerMs);
  request.once('close', () => clearTimeout(giveUp));
}

const acceptedHead = ['Content-Length', '0'];

function sendAnswer(response: ServerResponse, answer: Answer): void {
  if (answer.problem === undefined) {
    response.writeHead(answer.status, acceptedHead).end();
    return;
  }
  const body = problemBody(answer);
  const head = ['Content-Type', 'application/problem+json', 'Content-Length', String(body.length)];
  if (answer.retryAfterSeconds !== undefined) head.push('Retry-After', String(answer.retryAfterSeconds));
  if (answer.allow !== undefined) head.push('Allow', answer.allow);
  response.writeHead(answer.status, head).end(body);
}

function problemBody({ status, problem }: Answer): Buffer {
  return Buffer.from(JSON.stringify({ type: 'about:blank', status, ...problem }));
}

/** What the HTTP parser itself refuses never becomes a request; the sender still gets a sentence. */
function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) return;
  const [status, title] =
    error.code === 'HPE_HEADER_OVERFLOW' ? ([431, 'Request Header Fields Too Large'] as const)
    : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? ([408, 'Request Timeout'] as const)
    : ([400, 'Bad Request'] as const);
  const detail = status === 431 ? 'the head of the request is too long' : status === 408 ? 'the request did not arrive in time' : `not an HTTP/1.1 request: ${error.message}`;
  const body = problemBody({ status, problem: { title, detail } });
  socket.end(`HTTP/1.1 ${status} ${title}\r\nConnection: close\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}\r\n\r\n${body.toString('latin1')}`);
}
