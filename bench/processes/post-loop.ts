/**
 * The limit for a dispatcher: undici that POSTs the same event from memory, as many at a time as there are partitions,
 * and does nothing else, until it is stopped. The subscriber takes the figures.
 */
import { Pool } from 'undici';
import { eventBody, eventHeaders } from '../core/bench-event.ts';
import { childOptions, exitOnError } from '../io/child.ts';

export interface PostLoopOptions {
  readonly port: number;
  readonly inFlight: number;
}

async function run({ port, inFlight }: PostLoopOptions): Promise<void> {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: inFlight, pipelining: 1 });
  let next = 0;
  const post = async (): Promise<never> => {
    for (;;) {
      const headers = eventHeaders(next++) as string[];
      const { statusCode, body } = await pool.request({ method: 'POST', path: '/', headers, body: eventBody() });
      await body.dump();
      if (statusCode !== 202) throw new Error(`the subscriber answered ${statusCode}`);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, post));
}

exitOnError(run(childOptions() as PostLoopOptions));
