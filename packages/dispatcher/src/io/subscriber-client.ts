/**
 * The HTTP client towards subscribers: one attempt in, one answer out, on pooled connections.
 *
 * undici's `dispatch` with callbacks: its `request` costs a fifth more for promises and streams that are not needed
 * here. It follows no redirects. Timeouts are our own timers, because undici's tick only every half second.
 *
 * Always true: each destination (URL and certificates) has connections of its own, at most `connectionsPerDestination`,
 * so that one that hangs takes none from another; attempts beyond that wait in line, and their time begins when they
 * are sent. How many may wait is bounded by the deliveries that the consumer groups have under way.
 */
import { getCACertificates } from 'node:tls';
import { Pool, type Dispatcher } from 'undici';
import { errorDataBytes } from '../core/dead-letter.ts';
import type { Endpoint } from '../core/desired-consumers.ts';
import { announcesEvent } from '../core/reply.ts';
import type { AttemptFailure, DeliveryAnswer } from '../core/response-verdict.ts';
import type { DeliveryRequest } from '../dispatch.ts';

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

/** Whoever waits for an answer: told exactly once. */
export interface AnswerReceiver {
  answered(answer: DeliveryAnswer): void;
}

export interface SubscriberClientOptions {
  readonly connectionsPerDestination: number;
  readonly connectTimeoutMs: number;
  /** A larger reply counts as failed. */
  readonly replyLimitBytes: number;
}

/** The rest of a longer answer is not waited for: the status has been read, and the connection is given up. */
const bodyLimitBytes = 1024 * 1024;
/** Of an answer; undici's own 16 KiB is less than what our receiver takes of a sender, and a reply may become such a request. */
const headLimitBytes = 32 * 1024;
/** Connections that nobody used for this long are closed; subscribers often close them after five seconds themselves. */
const idleConnectionMs = 4_000;

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
    target.add(new Attempt(request, target, this.#options.replyLimitBytes, receiver));
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

/** One destination: its connections, and who waits for one. */
class Target {
  /** As configured; an empty path is `/` on the wire only. */
  readonly path: string;
  /** From a user and password in the URL. */
  readonly authorization: string | undefined;
  readonly pool: Pool;
  readonly #limit: number;
  #sent = 0;
  #isClosing = false;
  #queue: Attempt[] = [];
  #head = 0;

  constructor(uri: string, caCerts: string | undefined, options: SubscriberClientOptions) {
    const { origin, username, password } = new URL(uri);
    this.path = requestPath(uri);
    this.authorization = username === '' ? undefined : `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`;
    this.#limit = options.connectionsPerDestination;
    this.pool = new Pool(origin, {
      connections: options.connectionsPerDestination,
      pipelining: 1,
      connect: { timeout: options.connectTimeoutMs, ...(caCerts === undefined ? {} : { ca: [...getCACertificates('default'), caCerts] }) },
      keepAliveTimeout: idleConnectionMs,
      maxHeaderSize: headLimitBytes,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  get waiting(): number {
    return this.#queue.length - this.#head;
  }

  add(attempt: Attempt): void {
    if (this.#sent >= this.#limit) {
      this.#queue.push(attempt);
      return;
    }
    this.#sent++;
    attempt.start();
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
    queueMicrotask(() => next.start());
  }

  /** Lets all attempts finish, those that wait among them: nobody else has a place for them. */
  close(): void {
    this.#isClosing = true;
    if (this.#sent === 0) void this.pool.close().catch(() => undefined);
  }

  destroy(): Promise<void> {
    return this.pool.destroy().catch(() => undefined);
  }
}

/** The path and query of a URL as they were written: nothing is resolved, added or encoded that HTTP can carry. */
export function requestPath(uri: string): string {
  const written = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^#]*)/i.exec(uri)?.[1];
  if (written !== undefined && /^[\x21-\x7e]*$/.test(written)) return written.startsWith('/') ? written : `/${written}`;
  const { pathname, search } = new URL(uri);
  return pathname + search;
}

/** One request under way: undici's handler and the timer in one object. */
class Attempt implements Dispatcher.DispatchHandler {
  readonly #request: DeliveryRequest;
  readonly #target: Target;
  readonly #replyLimitBytes: number;
  readonly #receiver: AnswerReceiver;
  #timer: NodeJS.Timeout | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #isDone = false;
  #status = 0;
  #retryAfter: string | undefined;
  /** Flat, while the answer is an event that is wanted. */
  #replyHeaders: string[] | undefined;
  #kept: Buffer[] | undefined;
  #keptBytes = 0;
  #bodyBytes = 0;

  constructor(request: DeliveryRequest, target: Target, replyLimitBytes: number, receiver: AnswerReceiver) {
    this.#request = request;
    this.#target = target;
    this.#replyLimitBytes = replyLimitBytes;
    this.#receiver = receiver;
  }

  start(): void {
    const { body, timeoutMs } = this.#request;
    const headers = this.#request.headers.flat();
    const { pool, path, authorization } = this.#target;
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
    this.#status = status;
    this.#retryAfter = first(headers['retry-after']);
    if (this.#request.wantsReply && status >= 200 && status < 300 && status !== 202 && announcesEvent((name) => first(headers[name]))) {
      this.#replyHeaders = flatHeaders(controller.rawHeaders, headers);
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bodyBytes += chunk.length;
    if (this.#replyHeaders !== undefined) {
      if (this.#bodyBytes > this.#replyLimitBytes) this.#finish({ status: this.#status, reply: 'too-large' }, true);
      else this.#keep(chunk);
      return;
    }
    const missing = errorDataBytes - this.#keptBytes;
    if ((this.#status < 200 || this.#status > 299) && missing > 0) this.#keep(chunk.subarray(0, missing));
    if (this.#bodyBytes > bodyLimitBytes) this.#finish(this.#answer(), true);
  }

  onResponseEnd(): void {
    this.#finish(this.#answer(), false);
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#finish(this.#isDecided ? this.#answer() : failureOf(error), false);
  }

  #onTimeout(): void {
    this.#finish(this.#isDecided ? this.#answer() : { failure: 'timeout', message: `no answer within ${this.#request.timeoutMs} ms` }, true);
  }

  /** The status decides, whatever becomes of the body; only a reply is not one before its end. */
  get #isDecided(): boolean {
    return this.#status !== 0 && this.#replyHeaders === undefined;
  }

  #keep(chunk: Buffer): void {
    this.#kept ??= [];
    this.#kept.push(Buffer.from(chunk)); // the chunk is a view of what the socket read
    this.#keptBytes += chunk.length;
  }

  #answer(): DeliveryAnswer {
    const status = this.#status;
    if (this.#replyHeaders !== undefined) return { status, reply: { headers: this.#replyHeaders, body: Buffer.concat(this.#kept ?? []) } };
    if (this.#kept === undefined) return { status, retryAfter: this.#retryAfter };
    return { status, retryAfter: this.#retryAfter, body: Buffer.concat(this.#kept) };
  }

  /** @param isCut whether the response still holds the connection, which is then given up */
  #finish(answer: DeliveryAnswer, isCut: boolean): void {
    if (this.#isDone) return;
    this.#isDone = true;
    clearTimeout(this.#timer);
    if (isCut) this.#controller?.abort(new Error('the attempt is over'));
    this.#target.done();
    this.#receiver.answered(answer);
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

const failureByCode: Readonly<Record<string, AttemptFailure>> = {
  ENOTFOUND: 'dns-failed', EAI_AGAIN: 'dns-failed', EAI_FAIL: 'dns-failed', EAI_NODATA: 'dns-failed', EAI_NONAME: 'dns-failed', ENODATA: 'dns-failed', ESERVFAIL: 'dns-failed',
  ECONNREFUSED: 'connection-refused',
  EHOSTUNREACH: 'unreachable', ENETUNREACH: 'unreachable', EADDRNOTAVAIL: 'unreachable', EHOSTDOWN: 'unreachable', ENETDOWN: 'unreachable', EACCES: 'unreachable',
  UND_ERR_CONNECT_TIMEOUT: 'unreachable', ETIMEDOUT: 'unreachable', UND_ERR_INVALID_ARG: 'unreachable',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls-failed', SELF_SIGNED_CERT_IN_CHAIN: 'tls-failed', HOSTNAME_MISMATCH: 'tls-failed', EPROTO: 'tls-failed',
};

/** Errors before a connection stood, by their codes; all others lost one. */
function failureOf(error: Error & { readonly code?: string }): DeliveryAnswer {
  const cause = error instanceof AggregateError ? (error.errors[0] as (Error & { readonly code?: string }) | undefined) : undefined;
  const code = error.code ?? cause?.code ?? '';
  const message = cause?.message ?? error.message;
  const failure = failureByCode[code] ?? (/^(?:ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|UNABLE_TO_|INVALID_)/.test(code) ? 'tls-failed' : 'connection-lost');
  return { failure, message: code === '' || message.includes(code) ? message : `${code}: ${message}` };
}
