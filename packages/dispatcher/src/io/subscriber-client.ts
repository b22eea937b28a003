/**
 * The HTTP client towards subscribers: one attempt in, one answer out, on pooled connections.
 *
 * undici's `dispatch` with callbacks: its `request` costs a fifth more for promises and streams that are not needed
 * here. It follows no redirects. Timeouts are our own timers, because undici's tick only every half second.
 */
import { Pool, type Dispatcher } from 'undici';
import type { DeliveryAnswer } from '../core/response-verdict.ts';
import type { DeliveryRequest } from '../dispatch.ts';

export interface SubscriberClient {
  /** Sends once. Never rejects. */
  send(request: DeliveryRequest): Promise<DeliveryAnswer>;
  /** Closes the connections of hosts that are no longer wanted. @param uris all that are */
  retain(uris: Iterable<string>): void;
  close(): Promise<void>;
}

/** The rest of a longer answer is not waited for: the status has been read, and the connection is given up. */
const bodyLimitBytes = 1024 * 1024;

export function createSubscriberClient(options: { readonly connectionsPerHost: number; readonly connectTimeoutMs: number }): SubscriberClient {
  return new PooledClient(options);
}

interface Target {
  readonly pool: Pool;
  readonly path: string;
}

class PooledClient implements SubscriberClient {
  readonly #options: { readonly connectionsPerHost: number; readonly connectTimeoutMs: number };
  readonly #pools = new Map<string, Pool>();
  /** Parsed URIs: there are as many as subscriptions, and each is used for every event. */
  readonly #targets = new Map<string, Target>();

  constructor(options: { readonly connectionsPerHost: number; readonly connectTimeoutMs: number }) {
    this.#options = options;
  }

  send(request: DeliveryRequest): Promise<DeliveryAnswer> {
    let target: Target;
    try {
      target = this.#target(request.uri);
    } catch (error) {
      return Promise.resolve({ failure: 'unreachable', message: `${request.uri}: ${error instanceof Error ? error.message : String(error)}` });
    }
    return new Promise((resolve) => new Attempt(request, target, resolve));
  }

  #target(uri: string): Target {
    let target = this.#targets.get(uri);
    if (target === undefined) {
      const { origin, pathname, search } = new URL(uri);
      target = { pool: this.#pool(origin), path: pathname + search };
      this.#targets.set(uri, target);
    }
    return target;
  }

  #pool(origin: string): Pool {
    let pool = this.#pools.get(origin);
    if (pool === undefined) {
      pool = new Pool(origin, {
        connections: this.#options.connectionsPerHost,
        pipelining: 1,
        connect: { timeout: this.#options.connectTimeoutMs },
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      this.#pools.set(origin, pool);
    }
    return pool;
  }

  retain(uris: Iterable<string>): void {
    const wanted = new Set(uris);
    for (const uri of this.#targets.keys()) if (!wanted.has(uri)) this.#targets.delete(uri);
    const used = new Set([...this.#targets.values()].map((target) => target.pool));
    for (const [origin, pool] of this.#pools) {
      if (used.has(pool)) continue;
      this.#pools.delete(origin);
      void pool.close().catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    this.#targets.clear();
    await Promise.allSettled(pools.map((pool) => pool.destroy()));
  }
}

/** One request under way: undici's handler and the timer in one object. */
class Attempt implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: DeliveryAnswer) => void;
  readonly #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | undefined;
  #isDone = false;
  #status = 0;
  #retryAfter: string | undefined;
  #bodyBytes = 0;

  constructor(request: DeliveryRequest, target: Target, resolve: (answer: DeliveryAnswer) => void) {
    this.#resolve = resolve;
    this.#timer = setTimeout(() => {
      this.#finish({ failure: 'timeout', message: `no answer within ${request.timeoutMs} ms` });
    }, request.timeoutMs);
    try {
      target.pool.dispatch({ method: 'POST', path: target.path, headers: request.headers as string[], body: request.body }, this);
    } catch (error) {
      this.onResponseError(undefined, error as Error);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isDone) controller.abort(new Error('the attempt is over')); // timed out while it waited for a connection
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Record<string, string | string[] | undefined>): void {
    this.#status = status;
    const retryAfter = headers['retry-after'];
    this.#retryAfter = Array.isArray(retryAfter) ? retryAfter[0] : retryAfter;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bodyBytes += chunk.length;
    if (this.#bodyBytes > bodyLimitBytes) this.#finish({ status: this.#status, retryAfter: this.#retryAfter });
  }

  onResponseEnd(): void {
    this.#finish({ status: this.#status, retryAfter: this.#retryAfter });
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#finish(failureOf(error));
  }

  #finish(answer: DeliveryAnswer): void {
    if (this.#isDone) return;
    this.#isDone = true;
    clearTimeout(this.#timer);
    // Before its end the response still holds the connection.
    if ('failure' in answer || this.#bodyBytes > bodyLimitBytes) this.#controller?.abort(new Error('the attempt is over'));
    this.#resolve(answer);
  }
}

/** Errors before a connection stood, by their codes; all others lost one. */
const unreachableCodes = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT', 'ERR_TLS_CERT_ALTNAME_INVALID', 'UND_ERR_INVALID_ARG']);

function failureOf(error: Error & { readonly code?: string }): DeliveryAnswer {
  const first = error instanceof AggregateError ? (error.errors[0] as (Error & { readonly code?: string }) | undefined) : undefined;
  const code = error.code ?? first?.code ?? '';
  const message = first?.message ?? error.message;
  return { failure: unreachableCodes.has(code) ? 'unreachable' : 'connection-lost', message: code === '' ? message : `${code}: ${message}` };
}
