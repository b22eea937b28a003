/**
 * A pod that keeps what it is sent, and sends what it is told to: how the tests send and receive events inside the
 * cluster without being in its network.
 */
import type { Cluster } from './cluster.ts';
import { startProgram } from './program-pod.ts';

/** One HTTP request, as it came. */
export interface Received {
  readonly method: string;
  readonly path: string;
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBase64: string;
  /** When it was complete, by the pod's clock. */
  readonly atMs: number;
}

export interface Outgoing {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** How requests are answered that are alike. */
export interface Answer {
  /** Of the request; any when left out. */
  readonly path?: string;
  /** Attribute `partitionkey` of the event; any when left out. */
  readonly key?: string;
  /** 202 unless told. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Not answered before other answers are told. */
  readonly isHeld?: boolean;
}

/** Runs in the pod, on nothing but Node. GET /received, POST /send and POST /answers are for the tests, all else is received. */
const program = `
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
const received = [];
let told = [];
const held = [];
const answers = {
  '/ready': () => 'ready',
  '/received': () => JSON.stringify(received),
  '/answers': (body) => {
    told = JSON.parse(body);
    for (const again of held.splice(0)) again();
    return 'told';
  },
  '/send': async (body) => {
    const { url, headers, bodyBase64 } = JSON.parse(body);
    try {
      const response = await fetch(url, { method: 'POST', headers, body: Buffer.from(bodyBase64, 'base64'), signal: AbortSignal.timeout(20_000) });
      return JSON.stringify({ status: response.status, text: await response.text() });
    } catch (error) {
      return JSON.stringify({ status: 0, text: String(error.cause ?? error) });
    }
  },
};
function reply(request, response) {
  const isMeant = ({ path, key }) => [undefined, request.url].includes(path) && [undefined, request.headers['ce-partitionkey']].includes(key);
  const { status = 202, headers = {}, bodyBase64 = '', isHeld = false } = told.find(isMeant) ?? {};
  if (isHeld) held.push(() => reply(request, response));
  else response.writeHead(status, headers).end(Buffer.from(bodyBase64, 'base64'));
}
createServer(async (request, response) => {
  const body = await buffer(request);
  const answer = answers[request.url];
  if (answer !== undefined) return response.end(await answer(body));
  received.push({ method: request.method, path: request.url, headers: request.headers, bodyBase64: body.toString('base64'), atMs: Date.now() });
  reply(request, response);
}).listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;

export class Subscriber {
  readonly url: string;
  readonly #cluster: Cluster;
  readonly #proxy: string;

  private constructor(cluster: Cluster, url: string, proxy: string) {
    this.#cluster = cluster;
    this.url = url;
    this.#proxy = proxy;
  }

  /** Starts one in the namespace, which holds no other of the name, and waits until it answers. */
  static async start(cluster: Cluster, namespace: string, name = 'subscriber'): Promise<Subscriber> {
    const proxy = await startProgram(cluster, { name, namespace, file: 'main.mjs', source: program });
    return new Subscriber(cluster, `http://${name}.${namespace}.svc.cluster.local/events`, proxy);
  }

  /** Another URL of it. @param path with a slash in front */
  at(path: string): string {
    return new URL(path, this.url).href;
  }

  /** From now on, in place of what was told before: the first that fits; 202 where none does, as at the start. */
  async answerWith(...answers: readonly Answer[]): Promise<void> {
    const told = answers.map(({ body, ...answer }) => ({ ...answer, bodyBase64: body?.toString('base64') }));
    await this.#cluster.kubectl(['create', '--raw', `${this.#proxy}/answers`, '--filename', '-'], JSON.stringify(told));
  }

  /** What has come so far, oldest first. */
  async received(): Promise<readonly Received[]> {
    return JSON.parse(await this.#cluster.kubectl(['get', '--raw', `${this.#proxy}/received`])) as Received[];
  }

  /** Sends a request from the pod. @returns status 0 when there was no answer, with the reason as text */
  async send({ url, headers, body }: Outgoing): Promise<{ readonly status: number; readonly text: string }> {
    const told = JSON.stringify({ url, headers, bodyBase64: body.toString('base64') });
    return JSON.parse(await this.#cluster.kubectl(['create', '--raw', `${this.#proxy}/send`, '--filename', '-'], told)) as { status: number; text: string };
  }
}
