/**
 * What only the machine of a node can do to it: end a container without a word, take the API server away.
 *
 * The tests run in a process of their own and see a cluster from outside; whoever started the node (inside.ts) serves
 * these on a Unix socket. A cluster of somebody else's has none.
 *
 * Always true: a request is answered when it has been carried out, or with what went wrong.
 */
import { createServer, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { KubernetesCluster, LocalNode } from '@knative-kafka/local-cluster';

/** Serves the requests below at the path, for as long as the process runs. */
export async function serveNodeControl(path: string, kubernetes: KubernetesCluster, node: LocalNode): Promise<void> {
  const carryOut = async (url: string): Promise<void> => {
    if (url === '/api-server/stop') return kubernetes.apiServer.stop();
    if (url === '/api-server/start') return kubernetes.apiServer.start();
    if (url.startsWith('/kill/')) return node.killContainer(url.slice('/kill/'.length));
    throw new Error(`nothing is done for ${url}`);
  };
  const server = createServer((request, response) => {
    carryOut(request.url ?? '').then(() => response.end(), (error: unknown) => response.writeHead(500).end((error as Error).message));
  });
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  server.once('error', reject).listen(path, () => resolve(undefined));
  await promise;
}

/** The other side of it. */
export class NodeControl {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** etcd and its data go on. */
  async stopApiServer(): Promise<void> {
    await this.#ask('/api-server/stop');
  }

  /** Waits until it is ready. */
  async startApiServer(): Promise<void> {
    await this.#ask('/api-server/start');
  }

  /** SIGKILL. @param id as a pod's status has it, without `containerd://` */
  async killContainer(id: string): Promise<void> {
    await this.#ask(`/kill/${id}`);
  }

  /** @throws Error with what went wrong on the other side */
  async #ask(url: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly status: number | undefined; readonly words: string }>();
    const asking = request({ socketPath: this.#path, path: url, method: 'POST' }, (response) => {
      text(response).then((words) => resolve({ status: response.statusCode, words }), reject);
    });
    asking.once('error', reject).end();
    const { status, words } = await promise;
    if (status !== 200) throw new Error(words);
  }
}
