/**
 * A pod that keeps what it is sent, and sends what it is told to: how the tests send and receive events inside the
 * cluster without being in its network.
 */
import type { Cluster } from './cluster.ts';

/** One HTTP request, as it came. */
export interface Received {
  readonly method: string;
  readonly path: string;
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBase64: string;
}

export interface Outgoing {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const labels = { app: 'subscriber' };

/** Runs in the pod, on nothing but Node. GET /received and POST /send are for the tests, all else is received. */
const program = `
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
const received = [];
const answers = {
  '/ready': () => 'ready',
  '/received': () => JSON.stringify(received),
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
createServer(async (request, response) => {
  const body = await buffer(request);
  const answer = answers[request.url];
  if (answer !== undefined) return response.end(await answer(body));
  received.push({ method: request.method, path: request.url, headers: request.headers, bodyBase64: body.toString('base64') });
  response.writeHead(202).end();
}).listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;

export class Subscriber {
  readonly url: string;
  readonly #cluster: Cluster;
  readonly #proxy: string;

  private constructor(cluster: Cluster, namespace: string) {
    this.#cluster = cluster;
    this.url = `http://subscriber.${namespace}.svc.cluster.local/events`;
    this.#proxy = `/api/v1/namespaces/${namespace}/services/subscriber:80/proxy`;
  }

  /** Starts one in the namespace, which holds no other, and waits until it answers. */
  static async start(cluster: Cluster, namespace: string): Promise<Subscriber> {
    const metadata = { name: 'subscriber', namespace };
    const container = {
      name: 'subscriber',
      image: cluster.facts.nodeImage,
      args: ['/program/main.mjs'],
      ports: [{ containerPort: 8080 }],
      readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1 },
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      volumeMounts: [{ name: 'program', mountPath: '/program' }],
    };
    const spec = {
      securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
      terminationGracePeriodSeconds: 1,
      containers: [container],
      volumes: [{ name: 'program', configMap: { name: 'subscriber' } }],
    };
    await cluster.apply(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'main.mjs': program } },
      { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } } },
      { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] } },
    );
    await cluster.kubectl(['rollout', 'status', 'deployment/subscriber', '--namespace', namespace, '--timeout=3m']);
    return new Subscriber(cluster, namespace);
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
