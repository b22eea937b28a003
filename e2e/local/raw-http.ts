/**
 * HTTP as bytes on a socket: for requests that no client would send, and to see answers that a client would hide.
 */
import { connect } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case; of repeated ones the last. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface Exchange {
  /** Final answers in the order they came, without 100 Continue. */
  readonly answers: readonly RawAnswer[];
  /** Whether the other side closed, or broke, the connection. */
  readonly isClosed: boolean;
}

export interface ExchangeOptions {
  /** Whether our side says that nothing more will come. */
  readonly ends?: boolean;
  /** How many answers are waited for, 1 unless told; a connection that closes ends the wait as well. */
  readonly answers?: number;
  readonly timeoutMs: number;
}

/** Sends bytes on a connection of their own. @throws Error when neither enough answers nor the end of the connection came in time */
export async function exchange(port: number, sent: string | Buffer, { ends = false, answers: wanted = 1, timeoutMs }: ExchangeOptions): Promise<Exchange> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  let received: Buffer = Buffer.alloc(0);
  try {
    return await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms to ${JSON.stringify(sent.toString('latin1').slice(0, 200))}`)), timeoutMs);
      const finish = (isClosed: boolean): void => {
        clearTimeout(late);
        resolve({ answers: readAnswers(received), isClosed });
      };
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        if (readAnswers(received).length >= wanted) finish(false);
      });
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNREFUSED') reject(error);
        else finish(true); // what was read before the connection broke counts
      });
      socket.on('close', () => finish(true));
      if (ends) socket.end(sent);
      else socket.write(sent);
    });
  } finally {
    socket.destroy();
  }
}

/** All complete answers in what came so far. */
function readAnswers(received: Buffer): readonly RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let start = 0; ; ) {
    const headEnd = received.indexOf('\r\n\r\n', start);
    if (headEnd < 0) return answers;
    const [statusLine = '', ...lines] = received.toString('latin1', start, headEnd).split('\r\n');
    const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
    const status = Number(statusLine.split(' ')[1]);
    const bodyEnd = headEnd + 4 + Number(headers['content-length'] ?? 0);
    if (received.length < bodyEnd) return answers;
    if (status >= 200) answers.push({ status, headers, body: received.subarray(headEnd + 4, bodyEnd) });
    start = bodyEnd;
  }
}

export type HeaderLines = readonly (readonly [name: string, value: string])[];

/** A request with Host and Content-Length, unless headers of these names are given. Values are written as latin1. */
export function request(method: string, target: string, headers: HeaderLines, body: string | Buffer = ''): Buffer {
  const bytes = Buffer.from(body);
  const has = (wanted: string): boolean => headers.some(([name]) => name.toLowerCase() === wanted);
  const all = [
    ...(has('host') ? [] : [['Host', '127.0.0.1'] as const]),
    ...headers,
    ...(has('content-length') || has('transfer-encoding') ? [] : [['Content-Length', String(bytes.length)] as const]),
  ];
  const head = `${method} ${target} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), bytes]);
}

/** A body as chunked transfer coding has it. */
export function chunked(body: Buffer, chunkBytes = 4096): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length; at += chunkBytes) {
    const chunk = body.subarray(at, at + chunkBytes);
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}
