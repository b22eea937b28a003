/**
 * The port to a Kubernetes API server over plain HTTP: URLs, JSON, errors as Faults, a time limit for everything.
 *
 * Always true: no call outlasts its time limit (counted from its turn in the rate limit), no watch outlasts a silence
 * longer than bookmarks take, and no line of a watch is longer than its limit.
 *
 * Node's own HTTP client: undici's costs a process that has no other use for it 15 MB.
 *
 * What an API server asks of its clients is kept: it says how long to wait (429 with Retry-After), and the call waits
 * as long as its own time limit allows; 429 means that nothing was done.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { Fault } from '../../core/fault.ts';
import { createLineSplitter } from './json-lines.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { ApplyOptions, DeleteOptions, KubernetesApi, KubernetesObject, ListOptions, ListPage, ObjectName, ResourceType, WatchEvent } from './port.ts';
import { TokenBucket } from './token-bucket.ts';
import { apiVersionOf } from './types.ts';

export interface KubernetesApiOptions {
  /** Path of a kubeconfig; where left out: KUBECONFIG, ~/.kube/config, the pod's service account. */
  readonly kubeconfig?: string | undefined;
  /** Such as `kafka-controller/0.1.0`: what the API server's audit log shows. */
  readonly userAgent: string;
  /** Who owns the fields that are written. */
  readonly fieldManager: string;
  readonly requestTimeoutMs?: number;
  /** Calls beyond this rate wait for their turn; watches are not counted. */
  readonly requestsPerSecond?: number;
  readonly burst?: number;
  /** A watch that is silent for longer is broken. API servers send a bookmark about every minute. */
  readonly watchSilenceMs?: number;
}

export type ClosableKubernetesApi = KubernetesApi & {
  /** Ends all calls and watches under way with Fault CLOSED. */
  close(): Promise<void>;
};

const lineLimitBytes = 8 * 1024 * 1024;
const shortestWatchSeconds = 300;
const longestWatchSeconds = 600;

/** Touches nothing before the first call: a kubeconfig that is missing is a Fault SETTINGS_INVALID of that call. */
export function createKubernetesApi(options: KubernetesApiOptions): ClosableKubernetesApi {
  return new HttpKubernetesApi(options);
}

/** What a call wants, in words for messages and in HTTP. */
interface Call {
  /** The verb, the kind and the name, such as `get ConfigMap default/a`. */
  readonly what: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: object;
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

class HttpKubernetesApi implements ClosableKubernetesApi {
  readonly #options: KubernetesApiOptions;
  readonly #requestTimeoutMs: number;
  readonly #watchSilenceMs: number;
  readonly #rate: TokenBucket;
  readonly #closing = new AbortController();
  #access: Promise<ClusterAccess> | undefined;
  #requests = 0;
  /** By apiVersion, then by kind. */
  readonly #discovered = new Map<string, ReadonlyMap<string, ResourceType>>();

  constructor(options: KubernetesApiOptions) {
    this.#options = options;
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 10_000;
    this.#watchSilenceMs = options.watchSilenceMs ?? 90_000;
    this.#rate = new TokenBucket(options.requestsPerSecond ?? 50, options.burst ?? 100);
  }

  async get<T extends KubernetesObject>(type: ResourceType, name: ObjectName): Promise<T | undefined> {
    const call: Call = { what: describe('get', type, name), method: 'GET', path: objectPath(type, name) };
    const answer = await this.#call(call);
    return answer.status === 404 ? undefined : (expectSuccess(call, answer) as T);
  }

  async list<T extends KubernetesObject>(type: ResourceType, options: ListOptions & { readonly limit?: number; readonly next?: string | undefined; readonly signal?: AbortSignal }): Promise<ListPage<T>> {
    const call: Call = {
      what: describe('list', type, { namespace: options.namespace }),
      method: 'GET',
      path: collectionPath(type, options.namespace),
      query: { ...selectors(options), limit: options.limit?.toString(), continue: options.next },
      signal: options.signal,
    };
    const list = expectSuccess(call, await this.#call(call)) as { readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string }; readonly items?: readonly T[] | null };
    const resourceVersion = list.metadata?.resourceVersion;
    if (resourceVersion === undefined) throw unavailable(call, 'the answer is no list');
    // The API server leaves both out of its own kinds' items.
    const filled = { apiVersion: apiVersionOf(type), kind: type.kind };
    return { items: (list.items ?? []).map((item) => ({ ...item, ...filled })), resourceVersion, next: list.metadata?.continue || undefined };
  }

  async watch<T extends KubernetesObject>(type: ResourceType, options: ListOptions & { readonly resourceVersion: string; readonly signal?: AbortSignal }, onEvent: (event: WatchEvent<T>) => void): Promise<void> {
    const timeoutSeconds = Math.round(shortestWatchSeconds + Math.random() * (longestWatchSeconds - shortestWatchSeconds));
    const call: Call = {
      what: describe('watch', type, { namespace: options.namespace }),
      method: 'GET',
      path: collectionPath(type, options.namespace),
      query: { ...selectors(options), watch: 'true', allowWatchBookmarks: 'true', resourceVersion: options.resourceVersion, timeoutSeconds: timeoutSeconds.toString() },
      signal: options.signal,
    };
    const deadline = this.#deadline(call, this.#requestTimeoutMs);
    try {
      const response = await this.#send(call, deadline, true);
      if (response.statusCode !== 200) throw faultOf(call, { status: response.statusCode!, body: parseJson(await deadline.during(textOf(response))) });
      // The answer says that the API server goes on from there, which is what a bookmark says.
      onEvent({ type: 'BOOKMARK', object: { apiVersion: apiVersionOf(type), kind: type.kind, metadata: { name: '', resourceVersion: options.resourceVersion } } });
      const lines = createLineSplitter(lineLimitBytes, (line) => onEvent(readEvent<T>(call, line)));
      const chunks = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
      for (;;) {
        deadline.restart(this.#watchSilenceMs, `silent for ${this.#watchSilenceMs} ms`);
        const chunk = await deadline.during(chunks.next());
        if (chunk.done === true) break;
        try {
          lines.push(chunk.value);
        } catch (error) {
          throw error instanceof RangeError ? unavailable(call, error.message, error) : error;
        }
      }
      if (lines.pendingBytes > 0) throw unavailable(call, 'the connection ended within an event');
    } finally {
      deadline.end();
    }
  }

  async create<T extends KubernetesObject>(type: ResourceType, object: T): Promise<T> {
    return this.#write<T>({ what: describe('create', type, object.metadata), method: 'POST', path: collectionPath(type, object.metadata.namespace), body: object });
  }

  async replace<T extends KubernetesObject>(type: ResourceType, object: T): Promise<T> {
    if (object.metadata.resourceVersion === undefined) throw new TypeError(`${describe('replace', type, object.metadata)}: without a resourceVersion`);
    return this.#write<T>({ what: describe('replace', type, object.metadata), method: 'PUT', path: objectPath(type, object.metadata), body: object });
  }

  async apply<T extends KubernetesObject>(type: ResourceType, object: T, options: ApplyOptions = {}): Promise<T> {
    return this.#write<T>({
      what: describe('apply', type, object.metadata, options),
      method: 'PATCH',
      path: objectPath(type, object.metadata, options),
      query: { force: 'true' },
      body: object, // JSON is YAML
      contentType: 'application/apply-patch+yaml',
    });
  }

  async mergePatch<T extends KubernetesObject>(type: ResourceType, name: ObjectName, patch: object, options: ApplyOptions = {}): Promise<T | undefined> {
    const call = this.#owned({ what: describe('patch', type, name, options), method: 'PATCH', path: objectPath(type, name, options), body: patch, contentType: 'application/merge-patch+json' });
    const answer = await this.#call(call);
    return answer.status === 404 ? undefined : (expectSuccess(call, answer) as T);
  }

  async delete(type: ResourceType, name: ObjectName, { uid, propagation = 'Background' }: DeleteOptions = {}): Promise<'deleted' | 'absent'> {
    const call: Call = {
      what: describe('delete', type, name),
      method: 'DELETE',
      path: objectPath(type, name),
      body: { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: propagation, ...(uid === undefined ? {} : { preconditions: { uid } }) },
    };
    const answer = await this.#call(call);
    // A conflict with the uid: the object of that name is another one, so the one that was meant is gone.
    if (answer.status === 404 || (answer.status === 409 && uid !== undefined)) return 'absent';
    expectSuccess(call, answer);
    return 'deleted';
  }

  async discover(apiVersion: string, kind: string): Promise<ResourceType | undefined> {
    const known = this.#discovered.get(apiVersion)?.get(kind);
    if (known !== undefined) return known;
    const segments = apiVersion.split('/');
    if (segments.length > 2 || segments.includes('')) return undefined;
    const [group, version] = segments.length === 2 ? [segments[0]!, segments[1]!] : ['', apiVersion];
    const call: Call = { what: `discover ${apiVersion}`, method: 'GET', path: versionPath({ group, version }) };
    const answer = await this.#call(call);
    if (answer.status === 404) return undefined;
    const { resources = [] } = expectSuccess(call, answer) as { readonly resources?: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean }[] };
    const kinds = new Map<string, ResourceType>();
    for (const resource of resources) {
      if (resource.name.includes('/')) continue; // a subresource
      kinds.set(resource.kind, { group, version, kind: resource.kind, plural: resource.name, isNamespaced: resource.namespaced });
    }
    this.#discovered.set(apiVersion, kinds);
    return kinds.get(kind);
  }

  requestCount(): number {
    return this.#requests;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const access = await this.#access?.catch(() => undefined);
    access?.close();
  }

  async #write<T extends KubernetesObject>(call: Call): Promise<T> {
    const owned = this.#owned(call);
    return expectSuccess(owned, await this.#call(owned)) as T;
  }

  #owned(call: Call): Call {
    return { ...call, query: { ...call.query, fieldManager: this.#options.fieldManager } };
  }

  async #call(call: Call): Promise<Answer> {
    const turnMs = this.#rate.take(performance.now());
    const deadline = this.#deadline(call, turnMs + this.#requestTimeoutMs);
    try {
      if (turnMs > 0) await deadline.sleep(turnMs);
      deadline.restart(this.#requestTimeoutMs, `no answer within ${this.#requestTimeoutMs} ms`);
      for (;;) {
        const response = await this.#send(call, deadline, false);
        const text = await deadline.during(textOf(response));
        if (response.statusCode === 429) {
          const askedMs = retryAfterMs(response.headers['retry-after']);
          if (askedMs !== undefined && askedMs < deadline.leftMs()) {
            await deadline.sleep(askedMs);
            continue;
          }
        }
        const body = parseJson(text);
        if (body === undefined && response.statusCode! < 300) throw unavailable(call, 'the answer is no JSON');
        return { status: response.statusCode!, body };
      }
    } finally {
      deadline.end();
    }
  }

  /** Up to the head of the answer. What was not accepted with the credentials known so far is tried once with those there are now. */
  async #send(call: Call, deadline: Deadline, isWatch: boolean): Promise<IncomingMessage> {
    const { method, body, contentType = 'application/json' } = call;
    for (let isRefused = false; ; isRefused = true) {
      const { baseUrl, headers, calls, watches } = await deadline.during(this.#open().then((access) => access.access(isRefused)));
      this.#requests++;
      const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
      const response = await deadline.during(
        exchange(
          `${baseUrl}${call.path}${queryText(call.query)}`,
          {
            agent: isWatch ? watches : calls,
            method,
            headers: { accept: 'application/json', 'user-agent': this.#options.userAgent, ...headers, ...(content === undefined ? {} : { 'content-type': contentType, 'content-length': content.length }) },
            signal: deadline.signal,
          },
          content,
        ),
      );
      if (response.statusCode !== 401 || isRefused) return response;
      await deadline.during(textOf(response));
    }
  }

  async #open(): Promise<ClusterAccess> {
    this.#access ??= import('./cluster-access.ts').then(({ openClusterAccess }) => openClusterAccess(this.#options.kubeconfig));
    try {
      return await this.#access;
    } catch (error) {
      this.#access = undefined; // the file may come
      throw error;
    }
  }

  #deadline(call: Call, timeoutMs: number): Deadline {
    return new Deadline(call, timeoutMs, [this.#closing.signal, ...(call.signal === undefined ? [] : [call.signal])]);
  }
}

/** The time limit of one call, and everything else that ends it, as one signal; and the reason it ended, as a Fault. */
class Deadline {
  readonly #call: Call;
  readonly #ended = new AbortController();
  readonly #closers: readonly AbortSignal[];
  #timer: NodeJS.Timeout | undefined;
  #endsAt = 0;
  #fault: Fault | undefined;

  constructor(call: Call, timeoutMs: number, closers: readonly AbortSignal[]) {
    this.#call = call;
    this.#closers = closers;
    for (const closer of closers) {
      if (closer.aborted) this.#onClosed();
      closer.addEventListener('abort', this.#onClosed, { once: true });
    }
    this.restart(timeoutMs, `no answer within ${timeoutMs} ms`);
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  restart(timeoutMs: number, reason: string): void {
    clearTimeout(this.#timer);
    this.#endsAt = performance.now() + timeoutMs;
    if (this.#fault === undefined) this.#timer = setTimeout(() => this.#abort(unavailable(this.#call, reason)), timeoutMs);
  }

  leftMs(): number {
    return this.#endsAt - performance.now();
  }

  /** @throws the Fault that says why it ended, or UNAVAILABLE with what the connection said */
  async during<T>(work: Promise<T>): Promise<T> {
    try {
      return await this.#orEnd(work);
    } catch (error) {
      throw this.#fault ?? (error instanceof Fault ? error : unavailable(this.#call, undefined, error));
    }
  }

  async sleep(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.during(new Promise((resolve) => (timer = setTimeout(resolve, ms))));
    } finally {
      clearTimeout(timer);
    }
  }

  end(): void {
    clearTimeout(this.#timer);
    for (const closer of this.#closers) closer.removeEventListener('abort', this.#onClosed);
    this.#ended.abort(); // a body that was not read to its end gives its connection back
  }

  /** Loading files or code takes no signal, so every wait ends with the deadline itself. */
  async #orEnd<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#ended;
    const ended = Promise.withResolvers<never>();
    const onEnd = (): void => ended.reject(this.#fault ?? new Error('the call is over'));
    if (signal.aborted) onEnd();
    signal.addEventListener('abort', onEnd, { once: true });
    work.catch(() => undefined); // it may fail after nobody waits for it any more
    try {
      return await Promise.race([work, ended.promise]);
    } finally {
      signal.removeEventListener('abort', onEnd);
    }
  }

  #abort(fault: Fault): void {
    this.#fault ??= fault;
    this.#ended.abort();
  }

  readonly #onClosed = (): void => this.#abort(new Fault('CLOSED', `${this.#call.what}: given up`, { retriable: false }));
}

/** Sends, and resolves with the head of the answer. */
function exchange(url: string, options: RequestOptions, content: Buffer | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, options, (response) => {
      response.on('error', () => undefined); // whoever reads it is told; nobody may be reading any more
      resolve(response);
    });
    request.on('error', reject);
    request.end(content);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function readEvent<T extends KubernetesObject>(call: Call, line: string): WatchEvent<T> {
  const event = parseJson(line) as { readonly type?: string; readonly object?: Partial<T> & { readonly code?: number } } | undefined;
  if (typeof event?.object !== 'object') throw unavailable(call, 'an event is no JSON object');
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK':
      if (typeof event.object.metadata?.resourceVersion !== 'string') throw unavailable(call, 'an event is about no object');
      return { type: event.type, object: event.object as T };
    case 'ERROR': {
      const status = event.object.code ?? 500;
      throw faultOf(call, { status: status === 410 ? 410 : Math.max(500, status), body: event.object });
    }
    default:
      throw unavailable(call, `an event has the unknown type ${String(event.type)}`);
  }
}

function expectSuccess(call: Call, answer: Answer): unknown {
  if (answer.status < 200 || answer.status > 299) throw faultOf(call, answer);
  return answer.body;
}

/** The API server's own words, with the call in front where they do not name its object. */
function faultOf(call: Call, { status, body }: Answer): Fault {
  const told = (body as { readonly message?: unknown } | undefined)?.message;
  const text = typeof told === 'string' && told !== '' ? told : `status ${status}`;
  const name = call.what.slice(call.what.lastIndexOf('/') + 1);
  const message = text.includes(`"${name}"`) ? text : `${call.what}: ${text}`;
  switch (true) {
    case status === 409:
      return new Fault('KUBERNETES_CONFLICT', message, { retriable: true }); // once it was read again
    case status === 410:
      return new Fault('KUBERNETES_EXPIRED', message, { retriable: true });
    case status === 429 || status >= 500 || status < 400:
      return new Fault('KUBERNETES_UNAVAILABLE', message, { retriable: true });
    default:
      return new Fault('KUBERNETES_REFUSED', message, { retriable: false });
  }
}

function unavailable(call: Call, reason?: string, cause?: unknown): Fault {
  return new Fault('KUBERNETES_UNAVAILABLE', reason === undefined ? call.what : `${call.what}: ${reason}`, { retriable: true, cause });
}

function describe(verb: string, type: ResourceType, { namespace, name }: { readonly namespace?: string | undefined; readonly name?: string }, { subresource }: ApplyOptions = {}): string {
  const where = [namespace, name].filter((part) => part !== undefined).join('/');
  return `${verb} ${subresource === undefined ? '' : `${subresource} of `}${type.kind}${where === '' ? '' : ` ${where}`}`;
}

function versionPath({ group, version }: Pick<ResourceType, 'group' | 'version'>): string {
  return group === '' ? `/api/${encodeURIComponent(version)}` : `/apis/${encodeURIComponent(group)}/${encodeURIComponent(version)}`;
}

function collectionPath(type: ResourceType, namespace: string | undefined): string {
  return `${versionPath(type)}${type.isNamespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : ''}/${type.plural}`;
}

function objectPath(type: ResourceType, { namespace, name }: ObjectName, { subresource }: ApplyOptions = {}): string {
  if (name === '') throw new TypeError(`${type.kind}: without a name`); // its URL would be that of all of them
  if (type.isNamespaced && (namespace === undefined || namespace === '')) throw new TypeError(`${type.kind} ${name}: without a namespace`);
  return `${collectionPath(type, namespace)}/${encodeURIComponent(name)}${subresource === undefined ? '' : `/${subresource}`}`;
}

function selectors({ labelSelector, fieldSelector }: ListOptions): Record<string, string | undefined> {
  return { labelSelector, fieldSelector };
}

function queryText(query: Call['query'] = {}): string {
  const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]));
  return given.length === 0 ? '' : `?${given.join('&')}`;
}

/** @returns undefined when it is none */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** API servers give seconds. */
function retryAfterMs(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}
