/**
 * Reading connections into one buffer instead of a new one for each read, which is about a quarter of an event's CPU.
 *
 * Node documents this (`onread` of `net.Socket`) for sockets that connect. For one that was accepted a second
 * `net.Socket` is put around the same handle, which takes what Node does not document: the property `_handle` of a
 * socket and the option `handle` of `net.Socket`. They are touched in this file and nowhere else, tried out on a
 * connection when the process starts (`canShareReadBuffer`), and done without where the try fails.
 */
import { connect, createServer, Socket, type AddressInfo, type SocketConstructorOpts } from 'node:net';

/** A connection whose bytes are read by a callback, until it is released. */
export interface ReadConnection {
  readonly socket: Socket;
  /** From now on the socket is an ordinary stream; what is read comes as its data. */
  release(): void;
}

/** Told of bytes that came: `bytes[0, end)`, which are good until it returns. */
export type OnBytes = (bytes: Buffer, end: number) => void;

/** Begins to read an accepted connection, which is not to be used any more, only the one returned. */
export type ReadConnections = (accepted: Socket, onBytes: OnBytes) => ReadConnection;

/** The way that is documented: each read has a buffer of its own. */
export const readByData: ReadConnections = (accepted, onBytes) => {
  const onData = (chunk: Buffer): void => onBytes(chunk, chunk.length);
  accepted.on('data', onData);
  return { socket: accepted, release: () => void accepted.removeListener('data', onData) };
};

/** As large as the buffers of Node's own that this replaces. */
const readBufferBytes = 64 * 1024;
const readBuffer = Buffer.allocUnsafeSlow(readBufferBytes);

export const readIntoSharedBuffer: ReadConnections = (accepted, onBytes) => {
  const { _handle: handle } = accepted as unknown as AcceptedSocket;
  (accepted as unknown as AcceptedSocket)._handle = null;
  accepted.destroy(); // it has nothing left that could be closed
  let isReleased = false;
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: readBuffer,
      callback: (end: number, buffer: Buffer): boolean => {
        if (isReleased) return socket.push(Buffer.from(buffer.subarray(0, end)));
        onBytes(buffer, end);
        return true;
      },
    },
  };
  const socket = new Socket(options as SocketConstructorOpts);
  return {
    socket,
    release: () => {
      isReleased = true;
    },
  };
};

interface AcceptedSocket {
  _handle: object | null;
}

const trialTimeoutMs = 2_000;

/** Tries it out, with a connection to this process: bytes by the callback, bytes as a stream, an answer, and the end. */
export async function canShareReadBuffer(): Promise<boolean> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
    const answered = new Promise<string>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('nothing was read')), trialTimeoutMs);
      const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' }, () => client.write('1'));
      const texts: string[] = [];
      let answer = '';
      server.once('connection', (accepted) => {
        const reading = readIntoSharedBuffer(accepted, (bytes, end) => {
          texts.push(`callback ${bytes === readBuffer ? bytes.toString('latin1', 0, end) : ''}`);
          reading.release();
          reading.socket.on('data', (chunk: Buffer) => texts.push(`stream ${chunk.toString('latin1')}`));
          reading.socket.write('go on');
        });
        reading.socket.on('end', () => reading.socket.end(texts.join(', ')));
        reading.socket.on('error', reject);
      });
      client.on('data', (chunk) => {
        answer += chunk.toString('latin1');
        if (answer === 'go on') client.end('2');
      });
      client.on('error', reject);
      client.on('close', () => {
        clearTimeout(late);
        resolve(answer);
      });
    });
    return (await answered) === 'go oncallback 1, stream 2';
  } catch {
    return false;
  } finally {
    server.close();
  }
}
