/**
 * What only the machine of a node can do to it: end a container without a word, let it run out of memory, tell what it has
 * taken, take the API server or Kafka away.
 *
 * The tests run in a process of their own and see a cluster from outside; whoever started the node (inside.ts) serves
 * these on a Unix socket. A cluster of somebody else's has none.
 *
 * Always true: a request is answered when it has been carried out, or with what went wrong.
 */
import { createServer, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { KafkaBroker, KubernetesCluster, LocalNode } from '@knative-kafka/local-cluster';
import { containerUsage, type ContainerUsage } from './container-groups.ts';
import { exhaustMemory } from './container-memory.ts';

export interface ControlledParts {
  readonly kubernetes: KubernetesCluster;
  readonly node: LocalNode;
  /** Of the node's pods. */
  readonly controlGroup: string;
  /** The only one of its Kafka. */
  readonly broker: KafkaBroker;
}

/** Serves the requests below at the path, for as long as the process runs. */
export async function serveNodeControl(path: string, { kubernetes, node, controlGroup, broker }: ControlledParts): Promise<void> {
  const doings: Readonly<Record<string, (id: string) => Promise<unknown>>> = {
    'stop-api-server': () => kubernetes.apiServer.stop(),
    'start-api-server': () => kubernetes.apiServer.start(),
    'stop-kafka': () => broker.stop(),
    'kill-kafka': () => broker.kill(),
    'start-kafka': () => broker.start(),
    kill: (id) => node.killContainer(id),
    'exhaust-memory': (id) => exhaustMemory(controlGroup, id),
    usage: (id) => containerUsage(controlGroup, id),
  };
  const carryOut = async (url: string): Promise<unknown> => {
    const [, doing = '', id = ''] = url.split('/');
    if (doings[doing] === undefined) throw new Error(`nothing is done for ${url}`);
    return doings[doing](id);
  };
  const server = createServer((request, response) => {
    carryOut(request.url ?? '').then((found = null) => response.end(JSON.stringify(found)), (error: unknown) => response.writeHead(500).end((error as Error).message));
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
    await this.#ask('/stop-api-server');
  }

  /** Waits until it is ready. */
  async startApiServer(): Promise<void> {
    await this.#ask('/start-api-server');
  }

  /** SIGTERM; waits until it has ended. */
  async stopKafka(): Promise<void> {
    await this.#ask('/stop-kafka');
  }

  /** SIGKILL. */
  async killKafka(): Promise<void> {
    await this.#ask('/kill-kafka');
  }

  /** On the data that it left; waits until it serves. */
  async startKafka(): Promise<void> {
    await this.#ask('/start-kafka');
  }

  /** SIGKILL. @param id as a pod's status has it, without `containerd://` */
  async killContainer(id: string): Promise<void> {
    await this.#ask(`/kill/${id}`);
  }

  /** Has the kernel end it, for want of memory; waits until it has. @param id as above */
  async exhaustMemory(id: string): Promise<void> {
    await this.#ask(`/exhaust-memory/${id}`);
  }

  /** What it has taken by now. @param id as above */
  async usage(id: string): Promise<ContainerUsage> {
    return (await this.#ask(`/usage/${id}`)) as ContainerUsage;
  }

  /** @returns what came of it @throws Error with what went wrong on the other side */
  async #ask(url: string): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly status: number | undefined; readonly words: string }>();
    const asking = request({ socketPath: this.#path, path: url, method: 'POST' }, (response) => {
      text(response).then((words) => resolve({ status: response.statusCode, words }), reject);
    });
    asking.once('error', reject).end();
    const { status, words } = await promise;
    if (status !== 200) throw new Error(words);
    return JSON.parse(words);
  }
}
