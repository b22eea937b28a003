/**
 * The limit for a dispatcher, whatever it is written in: plain sockets that send the same event from memory, as many at
 * a time as there are partitions, and do nothing else, until the process is stopped. The subscriber takes the figures.
 */
import { connect } from 'node:net';
import { eventRequest, keyCount } from '../core/bench-event.ts';
import { responseStatus } from '../core/http-head.ts';
import { childOptions, exitOnError } from '../io/child.ts';

export interface SocketLoopOptions {
  readonly port: number;
  readonly inFlight: number;
}

/** One for all: an answer is read before the next socket gets its turn. */
const readBuffer = Buffer.allocUnsafe(64 * 1024);

function run({ port, inFlight }: SocketLoopOptions): Promise<never> {
  const requests = Array.from({ length: keyCount }, (_, n) => eventRequest(n, `127.0.0.1:${port}`, '/'));
  let next = 0;
  return new Promise((_, reject) => {
    for (let n = 0; n < inFlight; n++) {
      const send = (): void => void socket.write(requests[next++ % keyCount]!);
      const socket = connect({
        host: '127.0.0.1',
        port,
        noDelay: true,
        onread: {
          buffer: readBuffer,
          callback: () => {
            const status = responseStatus(readBuffer, 0);
            if (status === 202) send();
            else reject(new Error(`the subscriber answered ${status}`));
            return true;
          },
        },
      });
      socket.once('connect', send);
      socket.on('error', reject);
    }
  });
}

exitOnError(run(childOptions() as SocketLoopOptions));
