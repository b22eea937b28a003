/**
 * HOT PATH. The connections to one plain `http:` destination, on `node:net`: half of what an attempt costs through an
 * HTTP library is the library, and an event's request and most answers to it are plain.
 *
 * One write per request, from memory that all connections share: what the kernel has taken is not needed any more. One
 * read buffer for all of them, too, because each read is dealt with before the next one happens. Deadlines are numbers
 * that one timer looks after, not a timer per attempt.
 *
 * What is not plain is not sent from here: it is handed back before a byte has left, and the caller takes another way.
 * What comes back and is not understood is a failed attempt; the caller is told, because the next one had better go
 * elsewhere.
 *
 * A connection rests after an answer until its socket has been looked at once more, which takes one turn of the event
 * loop, the same one for all connections; after its first answer a little longer. Some servers close connections without
 * a word right behind an answer, always or when they end; a request that was written by then is lost, one that waits for
 * its connection to have rested goes over another one. Where there may be more connections, they take turns instead.
 *
 * Always true: a connection carries one attempt at a time, and is used again only when the answer before was complete,
 * nothing followed it, and the server did not say that it closes; bytes that nobody asked for end it.
 */
import { connect, type Socket } from 'node:net';
import { failureOf } from '../core/attempt-failure.ts';
import type { AnswerReceiver, DeliveryRequest } from '../core/delivery-attempt.ts';
import { HttpResponseReader, type ResponseSink } from '../core/http-response.ts';
import { IncomingAnswer } from '../core/incoming-answer.ts';
import type { DeliveryAnswer } from '../core/response-verdict.ts';

export interface SocketDestinationOptions {
  /** An `http:` URL. */
  readonly url: URL;
  /** As it is to be sent: visible ASCII. */
  readonly path: string;
  readonly authorization: string | undefined;
  /** The most there are, and the most attempts that are under way at a time. */
  readonly connections: number;
  readonly connectTimeoutMs: number;
  readonly replyLimitBytes: number;
  /** Connections that nobody used for this long are closed, where the server does not say how long it keeps them. */
  readonly idleConnectionMs: number;
  /** Given a request that is not for this way: nothing was sent, and its receiver will not be told from here. */
  sendElsewhere(request: DeliveryRequest, receiver: AnswerReceiver): void;
  /** Told of each attempt that is over, before whoever waits for its answer. */
  onEnded(): void;
  /** Told of each answer that was not understood, before whoever waits for it. */
  onProblem(problem: string): void;
}

/** Heads up to nearly this are sent from here, whatever the size of the body. */
const requestBytes = 64 * 1024;
/** Larger bodies are not copied behind their head; both still leave in one write. */
const copiedBodyBytes = 32 * 1024;
/** A server that says how long it keeps connections may count from before its answer arrived. As undici has it. */
const keepAliveMarginMs = 2_000;
const longestIdleMs = 600_000;
/** Long enough to see that a server closes the connection behind every answer. */
const firstRestMs = 2;
const tcpKeepAliveMs = 60_000;

const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);
/** Replaced where a kernel did not take a request at once, which then keeps it. */
let requestBuffer = Buffer.allocUnsafeSlow(requestBytes);

const contentLength = Buffer.from('content-length: ');
/** Space for `content-length: 9007199254740991` and the line ends around it. */
const lastLineBytes = 40;

export class SocketDestination {
  readonly options: SocketDestinationOptions;
  readonly host: string;
  readonly port: number;
  /** The same for every request: its first line, and the headers that are the client's. */
  readonly #prefix: Buffer;
  readonly #all = new Set<Connection>();
  /** Without an attempt, the one that was used last at the end; those that do not stand yet at the beginning. */
  readonly #free: Connection[] = [];
  /** Those that rest, in order; and which of them have no attempt yet. */
  readonly #resting: Connection[] = [];
  readonly #unsettled: Connection[] = [];
  /** Those that rest after their first answer and have no attempt yet. */
  readonly #unproven: Connection[] = [];
  /** Of the event loop, as far as they are waited for. */
  #turn = 0;
  #isTurnAwaited = false;
  #timer: NodeJS.Timeout | undefined;
  #armedForMs = Infinity;

  constructor(options: SocketDestinationOptions) {
    this.options = options;
    const { url, path, authorization } = options;
    this.host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
    this.port = url.port === '' ? 80 : Number(url.port);
    this.#prefix = Buffer.from(`POST ${path} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: keep-alive\r\n${authorization === undefined ? '' : `authorization: ${authorization}\r\n`}`, 'latin1');
  }

  /** Sends once. */
  send(request: DeliveryRequest, receiver: AnswerReceiver): void {
    this.#connection().send(request, receiver);
  }

  /** Another one rather than one that rests: so connections take turns, and none is written to right behind an answer. */
  #connection(): Connection {
    const free = usable(this.#free);
    if (free !== undefined) return free;
    const resting = this.#all.size < this.options.connections ? undefined : (usable(this.#unsettled) ?? usable(this.#unproven));
    if (resting !== undefined) return resting;
    const connection = new Connection(this);
    this.#all.add(connection);
    return connection;
  }

  /** @returns whether it was: not when its head does not fit, or has headers that are not for this way */
  write(request: DeliveryRequest, socket: Socket): boolean {
    const { body } = request;
    const size = this.#writeHead(request);
    if (size === -1) return false;
    if (body === null || (body.length <= copiedBodyBytes && size + body.length <= requestBuffer.length)) {
      socket.write(requestBuffer.subarray(0, body === null ? size : size + body.copy(requestBuffer, size)));
    } else {
      socket.cork();
      socket.write(requestBuffer.subarray(0, size));
      socket.write(body);
      socket.uncork();
    }
    if (socket.writableLength > 0) requestBuffer = Buffer.allocUnsafeSlow(requestBytes);
    return true;
  }

  /** @returns how many bytes it has; −1 when it is not to be sent from here */
  #writeHead({ headers, body }: DeliveryRequest): number {
    const out = requestBuffer;
    if (this.#prefix.length > out.length) return -1;
    let at = headers.write(out, this.#prefix.copy(out, 0));
    if (at === -1 || at + lastLineBytes > out.length) return -1;
    at += contentLength.copy(out, at);
    at = writeDecimal(out, at, body === null ? 0 : body.length);
    out[at] = out[at + 2] = 13;
    out[at + 1] = out[at + 3] = 10;
    return at + 4;
  }

  /** Closes the connections that have no attempt. */
  closeFree(): void {
    for (const connection of [...this.#free, ...this.#unsettled, ...this.#unproven]) connection.destroy();
  }

  /** Ends everything, attempts under way as lost. */
  destroy(): void {
    for (const connection of [...this.#all]) connection.fail({ failure: 'connection-lost', message: 'the client was closed' });
    this.closeFree();
    clearTimeout(this.#timer);
    this.#armedForMs = Infinity;
  }

  /** A connection that has done its attempt. */
  rests(connection: Connection): void {
    connection.restedInTurn = this.#turn;
    this.#resting.push(connection);
    this.#unsettled.push(connection);
    this.#awaitTurn();
  }

  /** One that has done its first attempt rests a little before that. */
  restsLonger(connection: Connection): void {
    this.#unproven.push(connection);
    setTimeout(() => {
      remove(this.#unproven, connection);
      this.rests(connection); // the process may have stood still, and have read nothing in that time
    }, firstRestMs);
  }

  #awaitTurn(): void {
    if (this.#isTurnAwaited) return;
    this.#isTurnAwaited = true;
    setImmediate(() => this.#onTurn());
  }

  /** All sockets that had something to read have been read: for those that rest since then, that was their answer. */
  #onTurn(): void {
    this.#isTurnAwaited = false;
    this.#turn++;
    const resting = this.#resting;
    let count = 0;
    while (count < resting.length && resting[count]!.restedInTurn < this.#turn - 1) count++;
    const settled = resting.splice(0, count);
    this.#unsettled.length = 0;
    for (const connection of resting) if (connection.isUsable) this.#unsettled.push(connection);
    if (resting.length > 0) this.#awaitTurn();
    for (const connection of settled) if (connection.settle()) this.#free.push(connection);
  }

  /** A connection that does not stand yet, whose attempt had no time to wait for it. */
  spared(connection: Connection): void {
    this.#free.unshift(connection);
  }

  gone(connection: Connection): void {
    this.#all.delete(connection);
    remove(this.#free, connection); // those that rest are looked at before they are used
  }

  /** Sees to it that whoever is due then is told. */
  arm(dueMs: number): void {
    if (dueMs >= this.#armedForMs) return;
    this.#armedForMs = dueMs;
    clearTimeout(this.#timer);
    // Nobody waits for this timer alone: an attempt under way holds a socket.
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(1, Math.ceil(dueMs - performance.now()))).unref();
  }

  /** A process that stood still finds the time over first and the answers in its sockets right after: those count. */
  #onTimer(): void {
    const nowMs = performance.now();
    setImmediate(() => {
      this.#armedForMs = Infinity;
      for (const connection of [...this.#all]) if (connection.dueMs <= nowMs) connection.due();
      let nextMs = Infinity;
      for (const { dueMs } of this.#all) nextMs = Math.min(nextMs, dueMs);
      this.arm(nextMs);
    });
  }
}

/** The one that was used last; what cannot be used is left out. */
function usable(connections: Connection[]): Connection | undefined {
  for (;;) {
    const connection = connections.pop();
    if (connection === undefined || connection.isUsable) return connection;
  }
}

function remove(connections: Connection[], connection: Connection): void {
  const index = connections.indexOf(connection);
  if (index !== -1) connections.splice(index, 1);
}

class Connection implements ResponseSink {
  /** When something is to happen that has not by then. */
  dueMs: number;
  /** In which turn of the event loop it began to rest. */
  restedInTurn = 0;
  readonly #destination: SocketDestination;
  readonly #socket: Socket;
  readonly #reader = new HttpResponseReader(this);
  readonly #answer: IncomingAnswer;
  /** Until when it has to stand. */
  readonly #standsByMs: number;
  /** Of the attempt under way. */
  #receiver: AnswerReceiver | undefined;
  #timeoutMs = 0;
  #attemptDueMs = 0;
  #isEnough = false;
  /** While it waits for the connection to stand or to have rested. */
  #unsent: DeliveryRequest | undefined;
  #isResting = false;
  /** Whether it has stood through an answer. */
  #isProven = false;
  #isGone = false;

  constructor(destination: SocketDestination) {
    const { connectTimeoutMs, replyLimitBytes } = destination.options;
    this.#destination = destination;
    this.#answer = new IncomingAnswer(replyLimitBytes);
    this.#standsByMs = this.dueMs = performance.now() + connectTimeoutMs;
    this.#socket = connect({
      host: destination.host,
      port: destination.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: tcpKeepAliveMs,
      onread: { buffer: readBuffer, callback: (count) => this.#onBytes(count) },
    });
    this.#socket.on('connect', () => this.#onConnect());
    this.#socket.on('end', () => this.#onEnd());
    this.#socket.on('error', (error) => this.#onBreak(error));
    this.#socket.on('close', () => this.#onBreak(new Error('the connection was closed')));
  }

  /** Whether it can take an attempt. */
  get isUsable(): boolean {
    return !this.#isGone && this.#receiver === undefined && (this.#socket.writable || this.#socket.connecting);
  }

  send(request: DeliveryRequest, receiver: AnswerReceiver): void {
    this.#receiver = receiver;
    this.#timeoutMs = request.timeoutMs;
    this.#isEnough = false;
    this.#answer.begin(request.wantsReply);
    this.#reader.begin();
    this.dueMs = this.#attemptDueMs = performance.now() + request.timeoutMs;
    if (this.#socket.connecting) {
      this.#unsent = request;
      this.dueMs = Math.min(this.dueMs, this.#standsByMs);
    } else if (this.#isResting) {
      this.#unsent = request;
    } else {
      this.#write(request);
    }
    this.#destination.arm(this.dueMs);
  }

  #write(request: DeliveryRequest): void {
    if (this.#destination.write(request, this.#socket)) return;
    const receiver = this.#receiver!;
    this.#receiver = undefined;
    this.#rest(this.#destination.options.idleConnectionMs);
    this.#destination.options.sendElsewhere(request, receiver);
  }

  #onConnect(): void {
    const request = this.#unsent;
    if (request === undefined) {
      this.dueMs = performance.now() + this.#destination.options.idleConnectionMs; // nobody waited for it; it is in its place among the free ones
      this.#destination.arm(this.dueMs);
      return;
    }
    this.#unsent = undefined;
    this.dueMs = this.#attemptDueMs;
    this.#write(request);
  }

  /** Has rested. @returns whether it is free */
  settle(): boolean {
    this.#isResting = false;
    const request = this.#unsent;
    if (request === undefined) return this.isUsable;
    this.#unsent = undefined;
    this.#write(request);
    return false;
  }

  #rest(idleMs: number): void {
    this.#isResting = true;
    this.dueMs = performance.now() + idleMs;
    this.#destination.arm(this.dueMs);
    if (this.#isProven) this.#destination.rests(this);
    else this.#destination.restsLonger(this);
    this.#isProven = true;
  }

  /** Ends it. @returns whether a request that was not written yet is on another connection now */
  #sendsOnAnother(): boolean {
    const request = this.#unsent;
    if (request === undefined || this.#socket.connecting || !this.#isResting) return false;
    const receiver = this.#receiver!;
    this.#unsent = undefined;
    this.#receiver = undefined;
    this.destroy();
    this.#destination.send(request, receiver);
    return true;
  }

  /** @returns true: more may be read */
  #onBytes(count: number): boolean {
    if (this.#receiver === undefined) {
      this.destroy(); // nobody asked; as the answer to the next request it would be a lie
      return true;
    }
    if (this.#sendsOnAnother()) return true;
    const reader = this.#reader;
    const stop = reader.read(readBuffer, 0, count);
    if (reader.problem !== undefined) this.#misunderstand(reader.problem);
    else if (this.#isEnough) this.#finish(this.#answer.answer(), false);
    else if (reader.isComplete) this.#finish(this.#answer.answer(), reader.keepsAlive && stop === count);
    return true;
  }

  head(response: HttpResponseReader): void {
    this.#answer.head(response);
  }

  body(bytes: Buffer, start: number, end: number): boolean {
    this.#isEnough = !this.#answer.body(bytes, start, end);
    return !this.#isEnough;
  }

  /** The server sends no more. */
  #onEnd(): void {
    if (this.#receiver === undefined) {
      this.destroy();
      return;
    }
    if (this.#sendsOnAnother()) return;
    this.#reader.readEnd();
    if (this.#reader.isComplete) this.#finish(this.#answer.answer(), false);
    else this.fail({ failure: 'connection-lost', message: this.#reader.hasBegun ? 'the connection was closed within the answer' : 'the connection was closed instead of an answer' });
  }

  #onBreak(error: Error): void {
    if (this.#receiver === undefined) this.destroy();
    else if (!this.#sendsOnAnother()) this.fail(failureOf(error));
  }

  #misunderstand(problem: string): void {
    this.#destination.options.onProblem(problem);
    this.fail({ failure: 'connection-lost', message: `the answer is not understood: ${problem}` });
  }

  due(): void {
    if (this.#receiver === undefined) this.destroy();
    else if (!this.#socket.connecting) this.fail(this.#timeout());
    else if (this.#standsByMs <= this.#attemptDueMs) this.fail({ failure: 'unreachable', message: `no connection to ${this.#destination.host}:${this.#destination.port} within ${this.#destination.options.connectTimeoutMs} ms` });
    else this.#spare();
  }

  /** The attempt is over, the connection may still come to stand and serve the next one. */
  #spare(): void {
    const receiver = this.#receiver!;
    this.#receiver = undefined;
    this.#unsent = undefined;
    this.dueMs = this.#standsByMs;
    this.#destination.spared(this);
    this.#destination.options.onEnded();
    receiver.answered(this.#timeout());
  }

  #timeout(): DeliveryAnswer {
    return { failure: 'timeout', message: `no answer within ${this.#timeoutMs} ms` };
  }

  /** Ends the attempt under way, if there is one: a status that has come decides all the same. */
  fail(failure: DeliveryAnswer): void {
    if (this.#receiver !== undefined) this.#finish(this.#answer.isDecided ? this.#answer.answer() : failure, false);
  }

  #finish(answer: DeliveryAnswer, isKept: boolean): void {
    const receiver = this.#receiver!;
    this.#receiver = undefined;
    this.#unsent = undefined;
    const idleMs = this.#idleMs;
    // A server that answers before it has read the request is not to be trusted with another one.
    if (isKept && idleMs > 0 && this.#socket.writableLength === 0) {
      this.#rest(idleMs);
    } else {
      this.destroy();
    }
    this.#destination.options.onEnded();
    receiver.answered(answer);
  }

  get #idleMs(): number {
    const { keepAliveSeconds } = this.#reader;
    return keepAliveSeconds === undefined ? this.#destination.options.idleConnectionMs : Math.min(keepAliveSeconds * 1000 - keepAliveMarginMs, longestIdleMs);
  }

  destroy(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#destination.gone(this);
    this.#socket.destroy();
  }
}

/** @returns where it ends */
function writeDecimal(out: Buffer, at: number, value: number): number {
  let end = at + 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) end++;
  let rest = value;
  for (let place = end - 1; place >= at; place--) {
    out[place] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return end;
}
