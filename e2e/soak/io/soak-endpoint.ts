/**
 * A subscriber or dead letter sink of the soak: tells of each event and keeps none of them, since a long soak has many.
 * It can vanish, taking its connections along, and come back at the same address.
 */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { freePort } from '@knative-kafka/local-cluster';
import { answerBody, type SoakAnswer } from '../core/answer-plan.ts';

export interface SoakEndpointOptions {
  /** Decides the answer of one attempt. */
  readonly answer: (id: string, headers: IncomingHttpHeaders) => SoakAnswer | Promise<SoakAnswer>;
  /** A 2xx answer is being sent. Not told of one for which nobody is left. */
  readonly onAccepted: (id: string) => void;
}

export class SoakEndpoint {
  readonly #options: SoakEndpointOptions;
  readonly #port: number;
  #server: Server | undefined;

  private constructor(port: number, options: SoakEndpointOptions) {
    this.#port = port;
    this.#options = options;
  }

  static async start(options: SoakEndpointOptions): Promise<SoakEndpoint> {
    const endpoint = new SoakEndpoint(await freePort(), options);
    await endpoint.open();
    return endpoint;
  }

  get uri(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** Listens where it did before. @throws Error when somebody else does */
  async open(): Promise<void> {
    const server = createServer((request, response) => {
      request.resume();
      request.on('end', () => void this.#answer(String(request.headers['ce-id']), request.headers, response));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#server = server;
  }

  /** As a process that dies: what is under way gets no answer. */
  async vanish(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await new Promise<void>((resolve) => {
      if (server === undefined) return resolve();
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  async #answer(id: string, headers: IncomingHttpHeaders, response: ServerResponse): Promise<void> {
    const answer = await this.#options.answer(id, headers);
    if (response.destroyed || answer === 'hang') return;
    if (answer === 'reset') {
      response.socket?.resetAndDestroy();
      return;
    }
    const { status, retryAfter } = answer;
    if (status >= 200 && status < 300) this.#options.onAccepted(id);
    response.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end(answerBody(status));
  }
}
