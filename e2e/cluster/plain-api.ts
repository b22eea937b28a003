/**
 * The API server without a client that helps: what is sent is what was written, and the answer is what came. Made for
 * hundreds of small questions, which kubectl would take a minute for.
 */
import { readFileSync } from 'node:fs';
import { Agent, request, type Dispatcher } from 'undici';
import type { KubernetesCluster } from '@knative-kafka/local-cluster';

export interface PlainObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

export function kafkaChannel(name: string, spec: unknown, version = 'v1'): PlainObject {
  return { apiVersion: `messaging.knative.dev/${version}`, kind: 'KafkaChannel', metadata: { name, namespace: 'default' }, spec };
}

export interface Answer {
  readonly status: number;
  /** The object; or a Status with the reason of a refusal in `message`. */
  readonly body: PlainObject & { readonly message?: string; readonly spec?: unknown; readonly status?: unknown };
  /** What the API server has to say beside its answer. */
  readonly warnings: readonly string[];
}

export interface Asking {
  /** The user to be; the administrator when left out. */
  readonly as?: string;
  /** Default true: everything is checked and nothing is kept. */
  readonly dryRun?: boolean;
}

export class PlainApi {
  readonly #agent: Agent;
  readonly #url: string;

  constructor(cluster: KubernetesCluster) {
    const { users, clusters } = JSON.parse(readFileSync(cluster.kubeconfig, 'utf8')) as {
      users: [{ user: Record<'client-certificate-data' | 'client-key-data', string> }];
      clusters: [{ cluster: { 'certificate-authority-data': string } }];
    };
    const [decode, { user }] = [(text: string) => Buffer.from(text, 'base64'), users[0]];
    const ca = decode(clusters[0].cluster['certificate-authority-data']);
    this.#agent = new Agent({ connect: { ca, cert: decode(user['client-certificate-data']), key: decode(user['client-key-data']) } });
    this.#url = cluster.url;
  }

  create(object: PlainObject, asking: Asking = {}): Promise<Answer> {
    return this.#ask('POST', pathOf(object, false), object, asking);
  }
  get(object: PlainObject): Promise<Answer> {
    return this.#ask('GET', pathOf(object), undefined, {});
  }
  replace(object: PlainObject, asking: Asking = {}): Promise<Answer> {
    return this.#ask('PUT', pathOf(object), object, asking);
  }
  delete(object: PlainObject, asking: Asking = {}): Promise<Answer> {
    return this.#ask('DELETE', pathOf(object), undefined, asking);
  }
  /** A JSON merge patch. @param object says which one */
  patch(object: PlainObject, patch: object, asking: Asking & { readonly subresource?: string } = {}): Promise<Answer> {
    const path = pathOf(object) + (asking.subresource === undefined ? '' : `/${asking.subresource}`);
    return this.#ask('PATCH', path, patch, asking, 'application/merge-patch+json');
  }
  apply(object: PlainObject, asking: Asking = {}): Promise<Answer> {
    return this.#ask('PATCH', `${pathOf(object)}?fieldManager=test&force=true`, object, asking, 'application/apply-patch+yaml');
  }

  async #ask(method: Dispatcher.HttpMethod, path: string, body: object | undefined, { as, dryRun = true }: Asking, contentType = 'application/json'): Promise<Answer> {
    const url = new URL(path, this.#url);
    if (method !== 'GET') {
      url.searchParams.set('fieldValidation', 'Strict');
      if (dryRun) url.searchParams.set('dryRun', 'All');
    }
    const response = await request(url, {
      method,
      dispatcher: this.#agent,
      headers: { 'content-type': contentType, ...(as === undefined ? {} : { 'impersonate-user': as }) },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const warnings = [response.headers['warning'] ?? []].flat();
    return { status: response.statusCode, body: (await response.body.json()) as Answer['body'], warnings };
  }

  async close(): Promise<void> {
    await this.#agent.close();
  }
}

function pathOf({ apiVersion, kind, metadata: { namespace, name } }: PlainObject, isNamed = true): string {
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  return `${base}/${namespace === undefined ? '' : `namespaces/${namespace}/`}${kind.toLowerCase()}s${isNamed ? `/${name}` : ''}`;
}
