/**
 * The HTTP server that events arrive at: `node:http` for them, Express for everything else on the same port. Before both
 * of them stands the fast lane (fast-lane.ts), which takes the plain ones and hands everything else over.
 *
 * All that is HTTP stays here: what is behind sees hosts, paths, header text and bytes, and answers with values.
 * Input is bounded in every direction: head, body, time to send, connections.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Express } from 'express';
import { addProbes, createApp, listen, type Logger, type Readiness } from '@knative-kafka/common/io';
import { allowedMethods, badRequest, internalError, methodNotAllowed, tooManyHeaders, unknownExpectation, type Answer } from '../core/receive-response.ts';
import type { Admission, Receive, RequestHead } from '../receive.ts';
import { FastLane } from './fast-lane.ts';
import { brokenRequestBytes, keepAliveTimeoutMs, sendAnswer } from './http-answer.ts';
import { canShareReadBuffer, readByData, readIntoSharedBuffer, type ReadConnections } from './shared-read-buffer.ts';

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
  /** Whether plain events are read from the bytes (fast-lane.ts), rather than everything by `node:http`. */
  readonly fastLane: boolean;
  /** How the fast lane reads connections; unless told, the best way that this Node can. */
  readonly readConnection?: ReadConnections;
  /** Told of each connection that the fast lane gave to `node:http`. */
  readonly onHandOver: () => void;
  /** More routes for the Express part, such as the status page of the standalone mode. */
  readonly extend?: ((app: Express) => void) | undefined;
}

export interface ServerState {
  /** The port is about to close: a connection that ends with an answer cannot be closed under the next request. */
  isRetiring: boolean;
}

const headersTimeoutMs = 10_000;
/** A head with more headers than this is refused. Subscribers have a limit too, and some cut off the rest without a word. */
const headerCountLimit = 500;
/** How long a refused sender may go on sending before the connection is closed under it. */
const lingerMs = 2_000;

export async function startIngestServer(options: IngestOptions): Promise<IngestServer> {
  const state: ServerState = { isRetiring: false };
  const server = createHttpServer(options, state);
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  let lane: FastLane | undefined;
  if (options.fastLane) lane = putFastLane(server, options, options.readConnection ?? (await bestReadConnection(options.log)), track);
  else server.on('connection', track);
  const port = await listen(server, options.port, '0.0.0.0');
  return {
    port,
    retire: () => {
      state.isRetiring = true;
      lane?.retire();
    },
    drain: async () => {
      state.isRetiring = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      lane?.drain();
      // A connection opened ahead of its first request is none of the idle ones to Node, and would be waited for.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
      await closed;
      // The server does not count the connections of the fast lane.
      await Promise.all([...sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    },
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function bestReadConnection(log: Logger): Promise<ReadConnections> {
  if (await canShareReadBuffer()) return readIntoSharedBuffer;
  log.warn({ node: process.version }, 'connections are not read into one shared buffer: this Node cannot');
  return readByData;
}

/** `node:http` for events, Express behind it for everything else. */
export function createHttpServer(options: IngestOptions, state: ServerState): Server {
  const app = ingestApp(options);
  const server = createServer({
    maxHeaderSize: options.headerLimitBytes,
    headersTimeout: headersTimeoutOf(options),
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
  return server;
}

/** Node takes no longer one than the time for the whole request. */
function headersTimeoutOf({ requestTimeoutMs }: IngestOptions): number {
  return Math.min(headersTimeoutMs, requestTimeoutMs);
}

/**
 * Puts the fast lane between a server's port and its HTTP: new connections go to the lane, which hands over to the
 * listener that the server came with.
 */
export function putFastLane(server: Server, options: IngestOptions, readConnection: ReadConnections, onConnection: (socket: Socket) => void): FastLane {
  const toHttp = server.listeners('connection') as ((this: Server, socket: Socket) => void)[];
  server.removeAllListeners('connection');
  const lane = new FastLane({
    ...options,
    readConnection,
    headersTimeoutMs: headersTimeoutOf(options),
    handOver: (socket) => {
      options.onHandOver();
      for (const listener of toHttp) listener.call(server, socket);
    },
  });
  let open = 0;
  server.on('connection', (accepted: Socket) => {
    // Counted here over both lanes: the server loses sight of a socket that is replaced.
    if (open >= options.maxConnections) {
      accepted.destroy();
      return;
    }
    open++;
    const socket = lane.take(accepted);
    socket.once('close', () => open--);
    onConnection(socket);
  });
  return lane;
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
      answer(internalError);
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
  request.on('end', () => {
    const body = rest === undefined ? (first ?? emptyBody) : Buffer.concat(rest, bytes);
    first = rest = undefined; // the request, and all that listens to it, lives until it is answered
    finish(body);
  });
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

/** What the HTTP parser itself refuses never becomes a request; the sender still gets a sentence. */
function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (socket.writable) socket.end(brokenRequestBytes(error));
}
