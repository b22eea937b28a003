/**
 * The HTTP client towards subscribers: one attempt in, one answer out, on connections that are kept.
 *
 * There are two ways: plain `http:` goes over sockets of our own (socket-client.ts), which cost half; everything else
 * through undici's `dispatch` with callbacks: TLS, and requests that the sockets will not send. It follows no redirects.
 * Timeouts are our own timers, because undici's tick only every half second. Both end attempts alike.
 *
 * Always true: each destination (URL and certificates) has connections of its own, at most `connectionsPerDestination`,
 * so that one that hangs takes none from another; attempts beyond that wait in line, and their time begins when they
 * are sent. How many may wait is bounded by the deliveries that the consumer groups have under way.
 */
import { getCACertificates } from 'node:tls';
import { Pool, type Dispatcher } from 'undici';
import { failureOf } from '../core/attempt-failure.ts';
import type { Endpoint } from '../core/desired-consumers.ts';
import { IncomingAnswer } from '../core/incoming-answer.ts';
import type { DeliveryAnswer } from '../core/response-verdict.ts';
import type { AnswerReceiver, DeliveryRequest } from '../core/delivery-attempt.ts';
import { SocketDestination } from './socket-client.ts';

export interface SubscriberClient {
  /** Sends once. Never rejects. */
  send(request: DeliveryRequest): Promise<DeliveryAnswer>;
  /** The same for whoever has no use for a promise. Never throws; may tell at once. */
  sendTo(request: DeliveryRequest, receiver: AnswerReceiver): void;
  /** Closes the connections of destinations that are no longer wanted. @param endpoints all that are */
  retain(endpoints: Iterable<Endpoint>): void;
  /** Attempts that wait for a connection, of all destinations. */
  readonly waiting: number;
  close(): Promise<void>;
}

export interface SubscriberClientOptions {
  readonly connectionsPerDestination: number;
  readonly connectTimeoutMs: number;
  /** A larger reply counts as failed. */
  readonly replyLimitBytes: number;
  /** False leaves every attempt to undici; plain ones go over sockets of our own otherwise. */
  readonly usesSockets?: boolean;
  /** Told when an answer over such a socket was not understood, with the URL as configured: the destination is undici's for a while now. */
  readonly onNotUnderstood?: (uri: string, problem: string) => void;
}

/** Of an answer; undici's own 16 KiB is less than what our receiver takes of a sender, and a reply may become such a request. */
const headLimitBytes = 32 * 1024;
/** Connections that nobody used for this long are closed; subscribers often close them after five seconds themselves. */
const idleConnectionMs = 4_000;
/** After an answer that our own client did not understand undici has the destination for so long: the answer may have been an accident. */
const avoidsSocketsMs = 10 * 60_000;

export function createSubscriberClient(options: SubscriberClientOptions): SubscriberClient {
  return new PooledClient(options);
}

class PooledClient implements SubscriberClient {
  readonly #options: SubscriberClientOptions;
  /** By URL, then by certificates; there are as many as destinations, and each is used for every event. */
  readonly #targets = new Map<string, Map<string | undefined, Target>>();

  constructor(options: SubscriberClientOptions) {
    this.#options = options;
  }

  send(request: DeliveryRequest): Promise<DeliveryAnswer> {
    return new Promise((answered) => this.sendTo(request, { answered }));
  }

  sendTo(request: DeliveryRequest, receiver: AnswerReceiver): void {
    let target: Target;
    try {
      target = this.#target(request);
    } catch (error) {
      receiver.answered({ failure: 'unreachable', message: error instanceof Error ? error.message : String(error) });
      return;
    }
    target.add(request, receiver);
  }

  get waiting(): number {
    let waiting = 0;
    for (const target of this.#all()) waiting += target.waiting;
    return waiting;
  }

  #target({ uri, caCerts }: Endpoint): Target {
    const found = this.#targets.get(uri)?.get(caCerts);
    if (found !== undefined) return found;
    const target = new Target(uri, caCerts, this.#options);
    const ofUri = this.#targets.get(uri) ?? new Map<string | undefined, Target>();
    this.#targets.set(uri, ofUri.set(caCerts, target));
    return target;
  }

  *#all(): Iterable<Target> {
    for (const ofUri of this.#targets.values()) yield* ofUri.values();
  }

  retain(endpoints: Iterable<Endpoint>): void {
    const wanted = new Map<string, Set<string | undefined>>();
    for (const { uri, caCerts } of endpoints) wanted.set(uri, (wanted.get(uri) ?? new Set()).add(caCerts));
    for (const [uri, ofUri] of this.#targets) {
      for (const [caCerts, target] of ofUri) {
        if (wanted.get(uri)?.has(caCerts) === true) continue;
        ofUri.delete(caCerts);
        target.close();
      }
      if (ofUri.size === 0) this.#targets.delete(uri);
    }
  }

  async close(): Promise<void> {
    const targets = [...this.#all()];
    this.#targets.clear();
    await Promise.allSettled(targets.map((target) => target.destroy()));
  }
}

/** Why neither is sent any more. */
const closed: DeliveryAnswer = { failure: 'connection-lost', message: 'the client was closed' };

interface WaitingAttempt {
  readonly request: DeliveryRequest;
  readonly receiver: AnswerReceiver;
}

/** One destination: its connections, and who waits for one. */
class Target {
  readonly #uri: string;
  readonly #url: URL;
  /** As configured; an empty path is `/` on the wire only. */
  readonly #path: string;
  /** From a user and password in the URL. */
  readonly #authorization: string | undefined;
  readonly #caCerts: string | undefined;
  readonly #options: SubscriberClientOptions;
  /** Undefined where all attempts are undici's. */
  readonly #sockets: SocketDestination | undefined;
  #pool: Pool | undefined;
  /** Until then attempts are undici's, because an answer was not understood. */
  #avoidsSocketsUntilMs = -Infinity;
  #sent = 0;
  #isClosing = false;
  #isDestroyed = false;
  #queue: WaitingAttempt[] = [];
  #head = 0;

  constructor(uri: string, caCerts: string | undefined, options: SubscriberClientOptions) {
    this.#uri = uri;
    this.#url = new URL(uri);
    const { protocol, origin, username, password } = this.#url;
    this.#path = requestPath(uri);
    this.#authorization = username === '' ? undefined : `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`;
    this.#caCerts = caCerts;
    this.#options = options;
    if (protocol !== 'http:' || caCerts !== undefined || options.usesSockets === false) this.#pool = this.#createPool(origin);
    else this.#sockets = this.#createSockets();
  }

  #createSockets(): SocketDestination {
    const { connectionsPerDestination, connectTimeoutMs, replyLimitBytes, onNotUnderstood } = this.#options;
    return new SocketDestination({
      url: this.#url, path: this.#path, authorization: this.#authorization, connections: connectionsPerDestination, connectTimeoutMs, replyLimitBytes, idleConnectionMs,
      sendElsewhere: (request, receiver) => this.#startThroughUndici(request, receiver),
      onEnded: () => this.done(),
      onProblem: (problem) => {
        if (this.#avoidsSockets) return; // another attempt that was under way as well
        this.#avoidsSocketsUntilMs = performance.now() + avoidsSocketsMs;
        this.#sockets?.closeFree();
        onNotUnderstood?.(this.#uri, problem);
      },
    });
  }

  #createPool(origin: string): Pool {
    const { connectionsPerDestination, connectTimeoutMs } = this.#options;
    return new Pool(origin, {
      connections: connectionsPerDestination,
      pipelining: 1,
      connect: { timeout: connectTimeoutMs, ...(this.#caCerts === undefined ? {} : { ca: [...getCACertificates('default'), this.#caCerts] }) },
      keepAliveTimeout: idleConnectionMs,
      maxHeaderSize: headLimitBytes,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  get waiting(): number {
    return this.#queue.length - this.#head;
  }

  add(request: DeliveryRequest, receiver: AnswerReceiver): void {
    if (this.#sent >= this.#options.connectionsPerDestination) {
      this.#queue.push({ request, receiver });
      return;
    }
    this.#sent++;
    this.#start(request, receiver);
  }

  /** Which way is chosen before a byte is sent: afterwards nobody else can take an attempt over. */
  #start(request: DeliveryRequest, receiver: AnswerReceiver): void {
    if (this.#isDestroyed) {
      this.done();
      receiver.answered(closed);
      return;
    }
    if (this.#sockets !== undefined && !this.#avoidsSockets) this.#sockets.send(request, receiver);
    else this.#startThroughUndici(request, receiver);
  }

  #startThroughUndici(request: DeliveryRequest, receiver: AnswerReceiver): void {
    this.#pool ??= this.#createPool(this.#url.origin);
    new Attempt(request, receiver, this, this.#options.replyLimitBytes).start(this.#pool, this.#path, this.#authorization);
  }

  get #avoidsSockets(): boolean {
    return this.#avoidsSocketsUntilMs !== -Infinity && performance.now() < this.#avoidsSocketsUntilMs;
  }

  /** An attempt has ended: its connection is the next one's. */
  done(): void {
    const next = this.#queue[this.#head];
    if (next === undefined) {
      this.#sent--;
      if (this.#isClosing) this.close();
      return;
    }
    this.#head++;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    }
    // Not at once: where each fails as soon as it is sent, as many calls as wait would lie within each other.
    queueMicrotask(() => this.#start(next.request, next.receiver));
  }

  /** Lets all attempts finish, those that wait among them: nobody else has a place for them. */
  close(): void {
    this.#isClosing = true;
    if (this.#sent > 0) return;
    this.#sockets?.closeFree();
    void this.#pool?.close().catch(() => undefined);
  }

  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    this.#sockets?.destroy();
    await this.#pool?.destroy().catch(() => undefined);
  }
}

/** The path and query of a URL as they were written: nothing is resolved, added or encoded that HTTP can carry. */
export function requestPath(uri: string): string {
  const written = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^#]*)/i.exec(uri)?.[1];
  if (written !== undefined && /^[\x21-\x7e]*$/.test(written)) return written.startsWith('/') ? written : `/${written}`;
  const { pathname, search } = new URL(uri);
  return pathname + search;
}

/** One request under way through undici: its handler and the timer in one object. */
class Attempt implements Dispatcher.DispatchHandler {
  readonly #request: DeliveryRequest;
  readonly #receiver: AnswerReceiver;
  readonly #target: Target;
  readonly #answer: IncomingAnswer;
  #timer: NodeJS.Timeout | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #isDone = false;

  constructor(request: DeliveryRequest, receiver: AnswerReceiver, target: Target, replyLimitBytes: number) {
    this.#request = request;
    this.#receiver = receiver;
    this.#target = target;
    this.#answer = new IncomingAnswer(replyLimitBytes);
    this.#answer.begin(request.wantsReply);
  }

  start(pool: Pool, path: string, authorization: string | undefined): void {
    const { body, timeoutMs } = this.#request;
    const headers = this.#request.headers.flat();
    // A process that stood still finds the time over first and the answer in its sockets right after: which one counts.
    this.#timer = setTimeout(() => setImmediate(() => this.#onTimeout()), timeoutMs);
    try {
      pool.dispatch({ method: 'POST', path, headers: (authorization === undefined ? headers : [...headers, 'authorization', authorization]) as string[], body }, this);
    } catch (error) {
      this.onResponseError(undefined, error as Error);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isDone) controller.abort(new Error('the attempt is over')); // timed out while it was connecting
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: Record<string, string | string[] | undefined>): void {
    if (status < 200) return; // informational: the answer follows
    this.#answer.head({ status, retryAfter: first(headers['retry-after']), first: (name) => first(headers[name]), headers: () => flatHeaders(controller.rawHeaders, headers) });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#answer.body(chunk, 0, chunk.length)) this.#finish(this.#answer.answer(), true);
  }

  onResponseEnd(): void {
    this.#finish(this.#answer.answer(), false);
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#end(failureOf(error), false);
  }

  #onTimeout(): void {
    this.#end({ failure: 'timeout', message: `no answer within ${this.#request.timeoutMs} ms` }, true);
  }

  /** Ends it with a failure, unless a status has decided. */
  #end(failure: DeliveryAnswer, isCut: boolean): void {
    if (!this.#isDone) this.#finish(this.#answer.isDecided ? this.#answer.answer() : failure, isCut);
  }

  /** @param isCut whether the response still holds the connection, which is then given up */
  #finish(answer: DeliveryAnswer, isCut: boolean): void {
    if (this.#isDone) return;
    this.#isDone = true;
    clearTimeout(this.#timer);
    if (isCut) this.#controller?.abort(new Error('the attempt is over'));
    this.#target.done();
    // Not at once: while undici tells of an answer it takes the connection for busy, and would open another one for what is sent next.
    queueMicrotask(() => this.#receiver.answered(answer));
  }
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** Names and values as they came, as latin1 text, which is how the codec of requests wants them. */
function flatHeaders(raw: Dispatcher.DispatchController['rawHeaders'], headers: Record<string, string | string[] | undefined>): string[] {
  if (Array.isArray(raw)) return raw.map((text) => (typeof text === 'string' ? text : text.toString('latin1')));
  return Object.entries(headers).flatMap(([name, value]) => (Array.isArray(value) ? value : [value ?? '']).flatMap((text) => [name, text]));
}
