/**
 * Servers that answer oddly, on both ways of the client: a failed attempt where there is no answer, never a success that
 * nobody gave. Where our own sockets are stricter than undici it says so here. How responses are read, byte by byte and
 * split everywhere, is http-response.test.ts; this is what it means for attempts and for connections.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { TextHeaders } from '../core/request-headers.ts';
import type { DeliveryAnswer } from '../core/response-verdict.ts';
import { createSubscriberClient, type SubscriberClient, type SubscriberClientOptions } from './subscriber-client.ts';

vi.setConfig({ testTimeout: 30_000 });

const toClose: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0).reverse()) await one.close();
});

/** A request as it came: latin1 text, of a connection. */
type OnRequest = (socket: Socket, request: { readonly text: string; readonly connection: number; readonly nth: number }) => void;

interface RawServer {
  readonly url: string;
  /** Connections there have ever been, and that stand. */
  readonly opened: number;
  readonly open: number;
  /** Requests that were complete, in order, as text. */
  readonly requests: readonly string[];
}

/** A server below HTTP that knows where requests end. */
async function rawServer(onRequest: OnRequest, onConnection?: (socket: Socket) => void): Promise<RawServer> {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  let opened = 0;
  const server: Server = createServer({ noDelay: true }, (socket) => {
    const connection = opened++;
    let text = '';
    let nth = 0;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    onConnection?.(socket);
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      for (;;) {
        const length = /content-length: (\d+)\r\n/.exec(text)?.[1];
        const headEnd = text.indexOf('\r\n\r\n') + 4;
        if (headEnd === 3 || length === undefined || text.length < headEnd + Number(length)) return;
        const request = text.slice(0, headEnd + Number(length));
        text = text.slice(request.length);
        requests.push(request);
        onRequest(socket, { text: request, connection, nth: nth++ });
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  toClose.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    get opened() { return opened; },
    get open() { return sockets.size; },
    requests,
  };
}

const problems: string[] = [];
function clientOf(usesSockets: boolean, change: Partial<SubscriberClientOptions> = {}): SubscriberClient {
  problems.length = 0;
  const client = createSubscriberClient({ connectionsPerDestination: 10, connectTimeoutMs: 10_000, replyLimitBytes: 1_000, usesSockets, onNotUnderstood: (_url, problem) => problems.push(problem), ...change });
  toClose.push(client);
  return client;
}

function until(assertion: () => void): Promise<void> {
  return vi.waitFor(assertion, { timeout: 20_000, interval: 5 });
}

interface Sent {
  readonly id?: string;
  readonly timeoutMs?: number;
  readonly body?: Buffer | null;
  readonly headers?: readonly string[];
}
function send(client: SubscriberClient, uri: string, { id = '1', timeoutMs = 30_000, body = Buffer.from('hello'), headers = ['ce-id', id] }: Sent = {}): Promise<DeliveryAnswer> {
  return client.send({ uri, headers: new TextHeaders(headers), body, timeoutMs, wantsReply: true });
}

const write = (socket: Socket, text: string): boolean => socket.write(text, 'latin1');
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
const head = 'HTTP/1.1 200 OK\r\n';
const event = `${head}ce-specversion: 1.0\r\nce-id: r\r\nce-source: /r\r\nce-type: r\r\n`;
const lost = { failure: 'connection-lost' };
const success = { status: 200 };

describe.each([['over sockets of its own', true], ['through undici', false]])('the client %s', (_client, usesSockets) => {
  /** @param strict what sockets of our own make of it, where that differs */
  const verdict = (same: object, strict: object = same): object => (usesSockets ? strict : same);

  it.each<[what: string, response: string, same: object, strict?: object]>([
    ['text', 'not HTTP at all\r\n\r\n', lost],
    ['text without an end', 'garbage', lost],
    ['bytes of another protocol', '\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80', lost],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', lost],
    ['HTTP/3.7', 'HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n', lost],
    ['HTTP/2.0, which it is not', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n', success, lost],
    ['a status of two digits', 'HTTP/1.1 20\r\n\r\n', lost],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n', lost],
    ['a status below 100', 'HTTP/1.1 099 Low\r\n\r\n', lost],
    ['another protocol that nobody asked for', 'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n', lost],
    ['a line feed without a carriage return', `${head}Content-Length: 0\n\n`, lost],
    ['a carriage return without a line feed', `${head}A: b\rContent-Length: 0\r\n\r\n`, lost],
    ['a zero in a header', `${head}A: \0\r\nContent-Length: 0\r\n\r\n`, lost],
    ['a space before a colon', `${head}Content-Length : 0\r\n\r\n`, lost],
    ['a header without a name', `${head}: 0\r\nContent-Length: 0\r\n\r\n`, lost],
    ['a header without a colon', `${head}Content-Length 0\r\nContent-Length: 0\r\n\r\n`, lost],
    ['a header that is continued', `${head}A: b\r\n c\r\nContent-Length: 0\r\n\r\n`, lost],
    ['lengths that differ', `${head}Content-Length: 1\r\nContent-Length: 0\r\n\r\n`, lost],
    ['the same length twice', `${head}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`, lost],
    ['a list of lengths', `${head}Content-Length: 0, 0\r\n\r\n`, lost],
    ['a length below zero', `${head}Content-Length: -1\r\n\r\n`, lost],
    ['a length with a plus', `${head}Content-Length: +0\r\n\r\n`, lost],
    ['a length that is too large for numbers', `${head}Content-Length: 99999999999999999999999\r\n\r\n`, lost],
    ['a length and chunks', `${head}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, lost],
    ['chunks and a length', `${head}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n`, lost],
    ['a coding that nobody knows', `${head}Transfer-Encoding: gzip\r\n\r\n`, success, lost],
    ['a head that is too large', `${head}A: ${'x'.repeat(33_000)}\r\nContent-Length: 0\r\n\r\n`, lost],
    ['headers that are too many', `${head}${'A: b\r\n'.repeat(20_000)}Content-Length: 0\r\n\r\n`, lost],
    ['nothing', '', lost],
    ['half a status line', 'HTTP/1.1 20', lost],
    ['half a head', `${head}Content-Len`, lost],
    ['a head without its end', `${head}Content-Length: 0\r\n`, lost],
    ['an interim response and nothing else', 'HTTP/1.1 102 Processing\r\n\r\n', lost],
    ['half an event', `${event}Content-Length: 100\r\n\r\nhalf`, lost],
    ['an event without its last chunk', `${event}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`, lost],
    ['an event without the end of its chunks', `${event}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n`, lost],
    ['an event whose chunk is longer than its size', `${event}Transfer-Encoding: chunked\r\n\r\n3\r\nhalf\r\n0\r\n\r\n`, lost],
    ['an event whose chunk has no size', `${event}Transfer-Encoding: chunked\r\n\r\n\r\nhalf\r\n0\r\n\r\n`, lost],
    ['an event whose chunk has a size below zero', `${event}Transfer-Encoding: chunked\r\n\r\n-4\r\nhalf\r\n0\r\n\r\n`, lost],
    ['an event whose chunk is larger than numbers', `${event}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nhalf\r\n0\r\n\r\n`, lost],
    ['an event in chunks that end in line feeds', `${event}Transfer-Encoding: chunked\r\n\r\n4\nhalf\n0\n\n`, lost],
    ['an event whose trailers are too large', `${event}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nA: ${'x'.repeat(40_000)}\r\n\r\n`, lost],
  ])('takes %s for no success, and is not confused by it', async (_, response, same, strict) => {
    const server = await rawServer((socket, { nth, connection }) => {
      if (nth + connection === 0) socket.end(response, 'latin1');
      else write(socket, ok);
    });
    const client = clientOf(usesSockets);
    expect(await send(client, server.url, { id: 'odd' })).toMatchObject(verdict(same, strict));
    expect(await send(client, server.url)).toEqual({ status: 200, retryAfter: undefined });
    expect(server.requests.filter((text) => text.includes('ce-id: odd'))).toHaveLength(1); // what was sent is not sent again from here
  });

  it.each<[what: string, response: string]>([
    ['a status line that goes on in the next piece', `${head}Content-Length: 0\r\n\r\n`],
    ['a body of a length', 'HTTP/1.1 500 No\r\nRetry-After: 3\r\nContent-Length: 5\r\n\r\nhello'],
    ['a body in chunks', 'HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n'],
    ['an event', `${event}Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n`],
    ['interim responses', 'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n'],
  ])('reads %s byte by byte as in one piece', async (_, response) => {
    const server = await rawServer((socket, { nth, connection }) => {
      if (nth + connection === 0) {
        write(socket, response);
        return;
      }
      let at = 0;
      const more = (): void => {
        if (at < response.length) socket.write(response[at++]!, 'latin1', () => setImmediate(more));
      };
      more();
    });
    const client = clientOf(usesSockets);
    expect(await send(client, server.url)).toEqual(await send(client, server.url));
    expect(problems).toEqual([]);
  });

  it('takes a response that is cut at any byte for no event', async () => {
    const response = `${event}Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n`;
    let length = 0;
    const server = await rawServer((socket) => void socket.end(response.slice(0, length), 'latin1'));
    const client = clientOf(usesSockets);
    for (; length < response.length; length++) expect(await send(client, server.url)).toMatchObject(lost);
    expect(await send(client, server.url)).toMatchObject({ status: 200, reply: { body: Buffer.from('hello') } });
    expect(problems).toEqual([]); // a connection that ends is no riddle
  });

  it.each<[what: string, response: string, status: number]>([
    ['a response and the beginning of another one', `${ok}HTTP/1.1 500 No`, 200],
    ['two responses', `${ok}HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n`, 200],
    ['bytes behind a body', 'HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nab', 500],
    ['a line end behind a body', 'HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\na\r\n', 500],
    ['204 with a body', 'HTTP/1.1 204 No Content\r\nContent-Length: 38\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n', 204],
    ['304 with chunks', 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 304],
    ['a response as one to HEAD has', 'HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n', 503],
  ])('takes nothing of %s for the answer to the next request', async (_, response, status) => {
    const server = await rawServer((socket, { text }) => void write(socket, text.includes('ce-id: odd') ? response : 'HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n'));
    const client = clientOf(usesSockets, { connectionsPerDestination: 1 });
    const answers = await Promise.all(['odd', 'next', 'odd', 'next', 'next'].map((id) => send(client, server.url, { id })));
    expect(answers).toMatchObject([{ status }, { status: 201 }, { status }, { status: 201 }, { status: 201 }]);
  });

  it('ends a connection on which something comes that nobody asked for', async () => {
    const server = await rawServer((socket) => {
      write(socket, ok);
      setTimeout(() => write(socket, 'HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n'), 20);
    });
    const client = clientOf(usesSockets, { connectionsPerDestination: 1 });
    expect(await send(client, server.url)).toMatchObject(success);
    await until(() => expect(server.open).toBe(0));
    expect(await send(client, server.url)).toMatchObject(success);
  });

  it('takes no connection again that was closed meanwhile', async () => {
    const server = await rawServer((socket) => {
      write(socket, ok);
      setTimeout(() => socket.end(), 20);
    });
    const client = clientOf(usesSockets);
    for (let n = 1; n <= 3; n++) {
      expect(await send(client, server.url)).toMatchObject(success);
      await until(() => expect(server.open).toBe(0));
    }
  });

  it.each([1, 10])('loses nothing where every answer is followed by the end of the connection, unannounced, with %i connections', async (connectionsPerDestination) => {
    const server = await rawServer((socket) => void socket.end(ok));
    const client = clientOf(usesSockets, { connectionsPerDestination });
    for (let n = 0; n < 20; n++) expect(await send(client, server.url)).toMatchObject(success);
    expect(server.opened).toBe(20);
  });

  it('does not use a connection again that the server says it closes, or keeps for too short a time', async () => {
    for (const header of ['Connection: close', 'Connection: keep-alive, Close', 'Keep-Alive: timeout=1']) {
      const server = await rawServer((socket) => void write(socket, `${head}${header}\r\nContent-Length: 0\r\n\r\n`));
      const client = clientOf(usesSockets, { connectionsPerDestination: 1 });
      for (let n = 1; n <= 3; n++) {
        expect(await send(client, server.url)).toMatchObject(success);
        await until(() => expect(server.open).toBe(0));
      }
      expect(server.opened).toBe(3);
    }
  });

  it('fails an attempt whose connection breaks after it was sent, and does not send it again', async () => {
    const server = await rawServer((socket, { nth }) => {
      if (nth === 0) write(socket, ok);
      else socket.resetAndDestroy();
    });
    const client = clientOf(usesSockets, { connectionsPerDestination: 1 });
    expect(await send(client, server.url)).toMatchObject(success);
    expect(await send(client, server.url)).toMatchObject(lost);
    expect(server.requests).toHaveLength(2);
  });

  it.each<[what: string, begin: string, more: string, expected: object, strict?: object]>([
    ['a head that comes a byte at a time', head, 'x', { failure: 'timeout' }],
    ['interim responses without end', '', 'HTTP/1.1 102 Processing\r\n\r\n', { failure: 'timeout' }],
    ['an event that comes a byte at a time', `${event}Content-Length: 1000\r\n\r\n`, 'x', { failure: 'timeout' }],
    ['the size of a chunk that comes a byte at a time', `${event}Transfer-Encoding: chunked\r\n\r\n`, '0', { failure: 'timeout' }, lost],
    ['a body that comes a byte at a time', 'HTTP/1.1 503 No\r\nContent-Length: 1000\r\n\r\n', 'x', { status: 503 }],
  ])('does not wait longer than the time of an attempt for %s', async (_, begin, more, expected, strict) => {
    const server = await rawServer((socket) => {
      write(socket, begin);
      const drip = (): void => {
        if (!socket.destroyed) socket.write(more, 'latin1', () => setTimeout(drip, 2));
      };
      drip();
    });
    const answer = await send(clientOf(usesSockets), server.url, { timeoutMs: 300 });
    expect([expected, verdict(expected, strict)].some((one) => Object.entries(one).every(([name, value]) => answer[name as keyof DeliveryAnswer] === value))).toBe(true);
    await until(() => expect(server.open).toBe(0));
  });

  it.each<[what: string, begin: string, more: string, same: object, strict?: object]>([
    ['a status line', 'HTTP/1.1 200 ', 'x'.repeat(1_000), { failure: 'timeout' }, lost],
    ['headers', head, `A: ${'x'.repeat(1_000)}\r\n`, lost],
    ['a header', `${head}A: `, 'x'.repeat(1_000), lost],
    ['interim responses', '', 'HTTP/1.1 102 Processing\r\nA: b\r\n\r\n'.repeat(50), { failure: 'timeout' }, lost],
    ['an extension of an event’s chunk', `${event}Transfer-Encoding: chunked\r\n\r\n1;a`, 'a'.repeat(1_000), { failure: 'timeout' }, lost],
    ['trailers of an event', `${event}Transfer-Encoding: chunked\r\n\r\n0\r\n`, `A: ${'x'.repeat(1_000)}\r\n`, lost],
    ['an event', `${event}\r\n`, 'x'.repeat(1_000), { status: 200, reply: 'too-large' }],
    ['an event in chunks', `${event}Transfer-Encoding: chunked\r\n\r\n`, `64\r\n${'x'.repeat(100)}\r\n`, { status: 200, reply: 'too-large' }],
    ['a body', 'HTTP/1.1 503 No\r\n\r\n', 'x'.repeat(10_000), { status: 503, body: Buffer.alloc(768, 'x') }],
    ['trailers of a body', 'HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n', `A: ${'x'.repeat(1_000)}\r\n`, { status: 503, body: Buffer.from('x') }],
  ])('gives up where %s never ends', async (_, begin, more, same, strict) => {
    const server = await rawServer((socket) => {
      write(socket, begin);
      const flood = (): void => {
        if (!socket.destroyed) socket.write(more, 'latin1', () => setImmediate(flood));
      };
      flood();
    });
    expect(await send(clientOf(usesSockets), server.url, { timeoutMs: 1_000 })).toMatchObject(verdict(same, strict));
    await until(() => expect(server.open).toBe(0));
  });

  it('takes what a server says before it was asked for no success of a later attempt', async () => {
    const server = await rawServer((socket, { nth }) => {
      if (nth > 0) write(socket, 'HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n');
    }, (socket) => void write(socket, ok));
    const client = clientOf(usesSockets, { connectionsPerDestination: 1 });
    const answer = await send(client, server.url, { timeoutMs: 500 });
    // Whether those bytes came before or behind the request nobody can see; but they answer one attempt at most.
    expect(answer).toSatisfy((one: DeliveryAnswer) => ('failure' in one ? one.failure === 'connection-lost' || one.failure === 'timeout' : one.status === 200));
  });

  it.each<[what: string, headers: readonly string[], failure: string | undefined]>([
    ['a line end in a value', ['ce-id', '1\r\nx-evil: 1'], 'unreachable'],
    ['a line feed in a value', ['ce-id', '1\nx-evil: 1'], 'unreachable'],
    ['a zero in a value', ['ce-id', '1\0'], 'unreachable'],
    ['a line end in a name', ['ce-id\r\nx-evil', '1'], 'unreachable'],
    ['a colon in a name', ['ce-id: 1', '1'], 'unreachable'],
    ['a length of its own', ['content-length', '3'], undefined],
    ['a coding of its own', ['transfer-encoding', 'chunked'], 'unreachable'],
  ])('does not let an event speak HTTP: %s', async (_, headers, failure) => {
    const server = await rawServer((socket) => void write(socket, ok));
    const answer = await send(clientOf(usesSockets), server.url, { headers });
    if (failure === undefined) expect('failure' in answer).toBe(true);
    else expect(answer).toMatchObject({ failure });
    expect(server.requests).toEqual([]);
  });

  it.each([0, 1, 1_000, 32 * 1024, 32 * 1024 + 1, 65_000, 65_536, 200_000, 3_000_000])('sends a body of %i bytes as it is', async (length) => {
    const server = await rawServer((socket) => void write(socket, ok));
    const client = clientOf(usesSockets);
    const body = Buffer.from(Array.from({ length }, (_, n) => (n * 7 + (n >> 8)) % 256));
    for (let n = 0; n < 3; n++) expect(await send(client, server.url, { body })).toMatchObject(success);
    expect(server.requests).toHaveLength(3);
    for (const text of server.requests) expect(Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4), 'latin1').equals(body)).toBe(true);
  });

  it('sends what many attempts at a time have to say, to servers that read slowly, unmixed', async () => {
    const server = await rawServer((socket, { text }) => void write(socket, `HTTP/1.1 422 No\r\nContent-Length: ${text.length % 700}\r\n\r\n${'x'.repeat(text.length % 700)}`), (socket) => {
      socket.pause();
      setTimeout(() => socket.resume(), 30);
    });
    const client = clientOf(usesSockets, { connectionsPerDestination: 40 });
    const bodies = Array.from({ length: 120 }, (_, n) => Buffer.alloc(n * 1_000, 97 + (n % 26)));
    await Promise.all(bodies.map((body, n) => send(client, server.url, { id: `n${n}`, body })));
    expect(server.requests).toHaveLength(120);
    for (const text of server.requests) {
      const n = Number(/ce-id: n(\d+)\r\n/.exec(text)![1]);
      expect(text.slice(text.indexOf('\r\n\r\n') + 4) === bodies[n]!.toString('latin1')).toBe(true);
    }
  });
});

describe('a destination whose answer was not understood', () => {
  const odd = `${head}Transfer-Encoding: gzip\r\n\r\n`;

  it('has failed that attempt, and is undici’s from then on', async () => {
    const server = await rawServer((socket) => void socket.end(odd));
    const client = clientOf(true);
    expect(await send(client, server.url)).toEqual({ failure: 'connection-lost', message: 'the answer is not understood: a Transfer-Encoding that is not chunked' });
    expect(await send(client, server.url)).toMatchObject(success); // undici takes it as it comes
    expect(await send(client, server.url)).toMatchObject(success);
    expect(problems).toEqual(['a Transfer-Encoding that is not chunked']);
  });

  it('is undici’s for a while', async () => {
    const server = await rawServer((socket) => void socket.end(odd));
    const client = clientOf(true);
    expect(await send(client, server.url)).toMatchObject(lost);
    expect(await send(client, server.url)).toMatchObject(success);
    const later = performance.now.bind(performance);
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => later() + 10 * 60_000);
    try {
      expect(await send(client, server.url)).toMatchObject(lost);
    } finally {
      clock.mockRestore();
    }
    expect(problems).toHaveLength(2);
  });

  it('is told once, however many attempts are under way', async () => {
    const waiting: Socket[] = [];
    const server = await rawServer((socket) => void waiting.push(socket));
    const client = clientOf(true);
    const answers = Array.from({ length: 10 }, () => send(client, server.url));
    await until(() => expect(waiting).toHaveLength(10));
    for (const socket of waiting) socket.end(odd);
    for (const answer of await Promise.all(answers)) expect(answer).toMatchObject(lost);
    expect(problems).toHaveLength(1);
  });

  it('is the only one', async () => {
    const server = await rawServer((socket) => void socket.end(odd));
    const client = clientOf(true);
    expect(await send(client, server.url)).toMatchObject(lost);
    expect(await send(client, `${server.url}other`)).toMatchObject(lost);
    expect(problems).toHaveLength(2);
  });

  it('keeps what it answered, where the status had come and only the rest was odd', async () => {
    const server = await rawServer((socket) => void socket.end('HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n'));
    expect(await send(clientOf(true), server.url)).toEqual({ status: 503, retryAfter: undefined, body: Buffer.from('half') });
    expect(problems).toHaveLength(1);
  });
});

describe('a request that is not for sockets of our own', () => {
  it('goes through undici, and the next one does not', async () => {
    const server = await rawServer((socket) => void write(socket, ok));
    const client = clientOf(true);
    const large = ['ce-id', 'x'.repeat(70_000)];
    expect(await send(client, server.url, { headers: large })).toMatchObject(success);
    expect(await send(client, server.url)).toMatchObject(success);
    expect(server.requests.map((text) => text.length > 70_000)).toEqual([true, false]);
  });

  it('frees its place when it is done', async () => {
    const server = await rawServer((socket) => void write(socket, ok));
    const client = clientOf(true, { connectionsPerDestination: 1 });
    const answers = await Promise.all(['x'.repeat(70_000), '1', 'x'.repeat(70_000), '2'].map((id) => send(client, server.url, { id })));
    expect(answers).toMatchObject([success, success, success, success]);
    expect(client.waiting).toBe(0);
  });
});

describe('a server that answers before it has read the request', () => {
  it('gets no other one on that connection (undici sends one, and waits)', async () => {
    let connections = 0;
    const server = await rawServer(() => undefined, (socket) => {
      connections++;
      socket.once('data', () => {
        socket.pause();
        write(socket, 'HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n');
      });
    });
    const client = clientOf(true, { connectionsPerDestination: 1 });
    const body = Buffer.alloc(32 * 1024 * 1024);
    expect(await send(client, server.url, { body })).toMatchObject({ status: 413 });
    expect(await send(client, server.url, { body })).toMatchObject({ status: 413 });
    expect(connections).toBe(2);
  });
});
