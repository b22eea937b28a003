/**
 * The client on real servers: what is on the wire, what each kind of failure is called, and who waits for whom.
 */
import type { ServerResponse } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { TextHeaders } from '../core/request-headers.ts';
import type { DeliveryAnswer } from '../core/response-verdict.ts';
import type { DeliveryRequest } from '../core/delivery-attempt.ts';
import { LoopbackSubscriber, type Answer, type TlsFiles } from './loopback-subscriber.ts';
import { createPrivateCa } from './private-ca.ts';
import { createSubscriberClient, requestPath, type SubscriberClient, type SubscriberClientOptions } from './subscriber-client.ts';

// Generous, for machines that are busy and for name servers that take their time.
vi.setConfig({ testTimeout: 30_000 });

const toClose: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0).reverse()) await one.close();
});

async function subscriber(answers: readonly Answer[] = [200], tls?: TlsFiles): Promise<LoopbackSubscriber> {
  const started = await LoopbackSubscriber.start(answers, tls);
  toClose.push(started);
  return started;
}

/** A server below HTTP. */
async function rawServer(onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  toClose.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function clientOf(change: Partial<SubscriberClientOptions> = {}): SubscriberClient {
  const client = createSubscriberClient({ connectionsPerDestination: 10, connectTimeoutMs: 10_000, replyLimitBytes: 1_000, ...change });
  toClose.push(client);
  return client;
}

type RequestChange = Partial<Omit<DeliveryRequest, 'headers'>> & { readonly headers?: readonly string[] };

function to(uri: string, { headers = ['ce-id', '1', 'content-type', 'text/plain'], ...change }: RequestChange = {}): DeliveryRequest {
  return { uri, headers: new TextHeaders(headers), body: Buffer.from('hello'), timeoutMs: 30_000, wantsReply: true, ...change };
}

/** Waits for a fact. */
function until(assertion: () => void): Promise<void> {
  return vi.waitFor(assertion, { timeout: 20_000, interval: 5 });
}

const reply = { 'ce-specversion': '1.0', 'ce-id': 'r', 'ce-source': '/r', 'ce-type': 'r' };

describe.each([['over sockets of its own', true], ['through undici', false]])('the client %s', (_client, usesSockets) => {
  const clientWith = (change: Partial<SubscriberClientOptions> = {}): SubscriberClient => clientOf({ usesSockets, ...change });

  describe('a request', () => {
    it.each<[what: string, written: string, sent: string]>([
      ['nothing, which HTTP writes as a slash', '', '/'],
      ['a slash', '/', '/'],
      ['a path', '/a/b', '/a/b'],
      ['a path with a slash at its end', '/a/b/', '/a/b/'],
      ['dots', '/a/../b/./c/..', '/a/../b/./c/..'],
      ['double slashes', '//a//b', '//a//b'],
      ['percent signs, whatever follows them', '/a%2Fb%2e%2E/%zz%', '/a%2Fb%2e%2E/%zz%'],
      ['a query', '/a?x=1&y=%20+&z=a/../b?', '/a?x=1&y=%20+&z=a/../b?'],
      ['an empty query', '/a?', '/a?'],
      ['a query without a path', '?x=1', '/?x=1'],
      ['a URL as query', '?to=http://other/path', '/?to=http://other/path'],
      ['a fragment, which is not sent', '/a?x#y?z', '/a?x'],
      ['a fragment without a path', '#y', '/'],
      ['what HTTP cannot carry, encoded as browsers do', '/ü b?ß', '/%C3%BC%20b?%C3%9F'],
    ])('asks for the path and query as configured: %s', async (_, written, sent) => {
      const server = await subscriber();
      expect(await clientWith().send(to(`${server.url}${written}`))).toMatchObject({ status: 200 });
      expect(server.received[0]).toMatchObject({ method: 'POST', path: sent });
    });

    it.each([
      ['http://host', '/'],
      ['HTTP://host:8080/A', '/A'],
      ['http://user:pass@host/a@b:c', '/a@b:c'],
      ['http://[::1]:8080/a', '/a'],
      [' http://host/after/a/space', '/after/a/space'],
      ['http://host/before/a/line/end\n', '/before/a/line/end'],
    ])('asks of %j for %s', (uri, path) => {
      expect(requestPath(uri)).toBe(path);
    });

    it('is these lines and no others', async () => {
      let head = '';
      const address = await rawServer((socket) => socket.on('data', (chunk) => {
        head += chunk.toString('latin1');
        if (head.endsWith('hello')) socket.end('HTTP/1.1 204 No Content\r\n\r\n');
      }));
      await clientWith().send(to(`http://${address}/a#b`, { headers: ['ce-id', '1', 'prefer', 'reply'] }));
      const [lines, body] = head.split('\r\n\r\n');
      expect(lines!.split('\r\n')).toEqual(['POST /a HTTP/1.1', `host: ${address}`, 'connection: keep-alive', 'ce-id: 1', 'prefer: reply', 'content-length: 5']);
      expect(body).toBe('hello');
    });

    it('without a body says so', async () => {
      const server = await subscriber();
      await clientWith().send(to(server.url, { body: null }));
      expect(server.received[0]!.headers).toMatchObject({ 'content-length': '0' });
    });

    it.each([
      ['user:pass', 'user:pass'],
      ['user', 'user:'],
      ['us%40er:p%3Aa%2Fss', 'us@er:p:a/ss'],
    ])('to %s@ carries them as Authorization', async (userInfo, credentials) => {
      const server = await subscriber();
      await clientWith().send(to(`http://${userInfo}@127.0.0.1:${server.port}/a`));
      expect(server.received[0]).toMatchObject({ path: '/a', headers: { host: `127.0.0.1:${server.port}`, authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } });
    });

    it('to nobody in particular carries no Authorization', async () => {
      const server = await subscriber();
      await clientWith().send(to(`${server.url}/user:pass@host`));
      expect(server.received[0]!.headers).not.toHaveProperty('authorization');
    });
  });

  describe('an answer', () => {
    it.each([200, 202, 204, 299, 304, 400, 404, 429, 500, 503, 599, 600, 999])('of %i is told by its status', async (status) => {
      const server = await subscriber([status]);
      expect(await clientWith().send(to(server.url))).toEqual({ status, retryAfter: undefined });
    });

    it.each([301, 302, 303, 307, 308])('of %i is not followed', async (status) => {
      const elsewhere = await subscriber();
      const server = await subscriber([{ status, headers: { location: `${elsewhere.url}/` } }]);
      expect(await clientWith().send(to(server.url))).toMatchObject({ status });
      expect(elsewhere.opened).toBe(0);
    });

    it('is the one that follows 102 and 103', async () => {
      const server = await subscriber([(response) => {
        response.writeProcessing();
        response.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => response.writeHead(503).end('later'));
      }]);
      expect(await clientWith().send(to(server.url))).toEqual({ status: 503, retryAfter: undefined, body: Buffer.from('later') });
    });

    it('is not 103, if nothing follows', async () => {
      const server = await subscriber([(response) => response.writeEarlyHints({ link: '</style.css>; rel=preload' })]);
      expect(await clientWith().send(to(server.url, { timeoutMs: 200 }))).toMatchObject({ failure: 'timeout' });
    });

    it.each(['not HTTP at all\r\n\r\n', 'HTTP/1.1 099 Low\r\n\r\n', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n'])('of %j is none, and the client goes on', async (text) => {
      const address = await rawServer((socket) => socket.on('data', () => socket.end(text)));
      const server = await subscriber();
      const client = clientWith();
      expect(await client.send(to(`http://${address}/`))).toMatchObject({ failure: 'connection-lost' });
      expect(await client.send(to(server.url))).toMatchObject({ status: 200 });
    });

    it('brings its Retry-After, of two the first', async () => {
      const server = await subscriber([(response) => response.writeHead(429, ['Retry-After', '6', 'Retry-After', '7']).end()]);
      expect(await clientWith().send(to(server.url))).toMatchObject({ status: 429, retryAfter: '6' });
    });

    it('of failure brings the first 768 bytes of its body, one of success none', async () => {
      const body = Buffer.from(Array.from({ length: 2_000 }, (_, n) => n % 256));
      const server = await subscriber([{ status: 422, body }, { status: 200, body }]);
      const client = clientWith({ connectionsPerDestination: 1 });
      expect(await client.send(to(server.url))).toMatchObject({ status: 422, body: body.subarray(0, 768) });
      expect(await client.send(to(server.url))).toEqual({ status: 200, retryAfter: undefined });
      expect(server.opened).toBe(1); // read to its end, so that the connection is used again
    });

    it.each([500, 200])('of %i whose body never ends is cut, and its connection given up', async (status) => {
      let written = 0;
      const server = await subscriber([(response) => {
        response.writeHead(status);
        const more = (): void => {
          if (response.destroyed) return;
          written += 64 * 1024;
          response.write(Buffer.alloc(64 * 1024, 'x'), more);
        };
        more();
      }, 200]);
      const client = clientWith();
      const answer = await client.send(to(server.url));
      expect(answer).toMatchObject(status === 500 ? { status, body: Buffer.alloc(768, 'x') } : { status });
      await until(() => expect(server.open).toBe(0));
      expect(written).toBeGreaterThanOrEqual(1024 * 1024);
      expect(written).toBeLessThan(64 * 1024 * 1024); // what else it wrote was in the buffers of the connection
      expect(await client.send(to(server.url))).toMatchObject({ status: 200 });
    });
  });

  describe('a reply', () => {
    const replyOf = (answer: DeliveryAnswer): object => {
      if ('failure' in answer || typeof answer.reply !== 'object') throw new Error(`no reply in ${JSON.stringify(answer)}`);
      const { headers, body } = answer.reply;
      return { body: body.toString(), ...Object.fromEntries(headers.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), headers[i + 1]!]] : []))) };
    };

    it('in binary mode comes with its headers and body as they are', async () => {
      const server = await subscriber([{ status: 200, headers: { ...reply, 'Content-Type': 'text/plain', 'X-Request-Id': 'q' }, body: 'hi' }]);
      expect(replyOf(await clientWith().send(to(server.url)))).toMatchObject({ ...reply, 'content-type': 'text/plain', 'x-request-id': 'q', body: 'hi' });
    });

    it('in structured mode is known by its content type', async () => {
      const server = await subscriber([{ status: 201, headers: { 'content-type': 'Application/CloudEvents+JSON; charset=utf-8' }, body: '{}' }]);
      expect(replyOf(await clientWith().send(to(server.url)))).toMatchObject({ 'content-type': 'Application/CloudEvents+JSON; charset=utf-8', body: '{}' });
    });

    it.each<[string, Answer, RequestChange]>([
      ['a 202, whatever is in it', { status: 202, headers: reply, body: 'hi' }, {}],
      ['an answer to somebody who wants none', { status: 200, headers: reply, body: 'hi' }, { wantsReply: false }],
      ['a page', { status: 200, headers: { 'content-type': 'text/html' }, body: '<p>hi' }, {}],
      ['a batch', { status: 200, headers: { 'content-type': 'application/cloudevents-batch+json' }, body: '[]' }, {}],
    ])('is not %s', async (_, answer, change) => {
      const server = await subscriber([answer]);
      expect(await clientWith().send(to(server.url, change))).not.toHaveProperty('reply');
    });

    it('is not in a failure, whose body is told as such', async () => {
      const server = await subscriber([{ status: 500, headers: reply, body: 'broken' }]);
      expect(await clientWith().send(to(server.url))).toEqual({ status: 500, retryAfter: undefined, body: Buffer.from('broken') });
    });

    it('of the limit passes, one byte more does not', async () => {
      const server = await subscriber([{ status: 200, headers: reply, body: 'x'.repeat(1_000) }, { status: 200, headers: reply, body: 'x'.repeat(1_001) }]);
      const client = clientWith({ replyLimitBytes: 1_000 });
      expect(replyOf(await client.send(to(server.url)))).toMatchObject({ body: 'x'.repeat(1_000) });
      expect(await client.send(to(server.url))).toEqual({ status: 200, reply: 'too-large' });
    });
  });

  describe('the time of an attempt', () => {
    it('holds below one second', async () => {
      // Both timers are of this process, which fires them in the order of their times, however busy the machine is.
      const server = await subscriber([(response) => void setTimeout(() => response.writeHead(200).end(), 400)]);
      expect(await clientWith().send(to(server.url, { timeoutMs: 20 }))).toEqual({ failure: 'timeout', message: 'no answer within 20 ms' });
      await until(() => expect(server.open).toBe(0));
    });

    it('counts the connection as well, which may stand and still be of no use', async () => {
      let connections = 0;
      const address = await rawServer(() => connections++); // TLS to it is never answered
      expect(await clientWith({ connectTimeoutMs: 30_000 }).send(to(`https://${address}/`, { timeoutMs: 200 }))).toEqual({ failure: 'timeout', message: 'no answer within 200 ms' });
      expect(connections).toBe(1);
    });

    it('does not count where the status is known and only its body is missing', async () => {
      const begins = (status: number) => (response: ServerResponse): void => void response.writeHead(status).write('half');
      const server = await subscriber([begins(200), begins(503), begins(400)]);
      const client = clientWith();
      const request = to(server.url, { timeoutMs: 1_000 });
      expect(await client.send(request)).toEqual({ status: 200, retryAfter: undefined });
      expect(await client.send(request)).toEqual({ status: 503, retryAfter: undefined, body: Buffer.from('half') });
      expect(await client.send(request)).toEqual({ status: 400, retryAfter: undefined, body: Buffer.from('half') });
      await until(() => expect(server.open).toBe(0));
    });

    it('counts for a reply, which is none before its end', async () => {
      const server = await subscriber([(response) => void response.writeHead(200, reply).write('half')]);
      expect(await clientWith().send(to(server.url, { timeoutMs: 200 }))).toMatchObject({ failure: 'timeout' });
    });

    it('begins when the attempt is sent, not while it waits in line', async () => {
      const waiting: ServerResponse[] = [];
      const server = await subscriber([(response) => void waiting.push(response)]);
      const client = clientWith({ connectionsPerDestination: 1 });
      const first = client.send(to(server.url, { timeoutMs: 20 }));
      const second = client.send(to(server.url, { timeoutMs: 30_000 }));
      const third = client.send(to(server.url, { timeoutMs: 20 }));
      expect(await first).toMatchObject({ failure: 'timeout' });
      await until(() => expect(waiting).toHaveLength(2));
      expect(client.waiting).toBe(1); // the third is older than its time, and has not begun
      waiting[1]!.writeHead(200).end();
      expect(await second).toMatchObject({ status: 200 });
      expect(await third).toMatchObject({ failure: 'timeout' });
      await until(() => expect(server.received).toHaveLength(3));
    });
  });

  describe('a connection that fails is', () => {
    it('connection-refused where nobody listens', async () => {
      const gone = await LoopbackSubscriber.start([200]);
      const { url } = gone;
      await gone.close();
      expect(await clientWith().send(to(url))).toMatchObject({ failure: 'connection-refused', message: expect.stringContaining('ECONNREFUSED') });
    });

    it('dns-failed where the name is nobody’s', async () => {
      expect(await clientWith().send(to('http://nobody.invalid/'))).toMatchObject({ failure: 'dns-failed', message: expect.stringContaining('nobody.invalid') });
    });

    it.each(['no URL', 'http://', 'ftp://host/', 'http://us%er:pass@127.0.0.1/'])('unreachable where %j is to be called', async (uri) => {
      expect(await clientWith().send(to(uri))).toMatchObject({ failure: 'unreachable' });
    });

    it('unreachable where a header cannot be sent', async () => {
      const server = await subscriber();
      expect(await clientWith().send(to(server.url, { headers: ['ce-id', 'a\r\nb'] }))).toMatchObject({ failure: 'unreachable' });
      expect(server.received).toEqual([]);
    });

    it('connection-lost where it ends instead of an answer', async () => {
      const server = await subscriber(['reset']);
      expect(await clientWith().send(to(server.url))).toMatchObject({ failure: 'connection-lost' });
      expect(server.received).toHaveLength(1);
    });

    it('connection-lost where it ends within a reply', async () => {
      const server = await subscriber([(response) => {
        response.writeHead(200, { ...reply, 'content-length': 100 });
        response.write('half', () => response.destroy());
      }]);
      expect(await clientWith().send(to(server.url))).toMatchObject({ failure: 'connection-lost' });
    });

    it.each([[200, undefined], [400, Buffer.from('half')], [503, Buffer.from('half')]])('no failure where it ends within the body of a %i: the status was told', async (status, body) => {
      const server = await subscriber([(response) => {
        response.writeHead(status, { 'content-length': 100 });
        response.write('half', () => response.destroy());
      }]);
      expect(await clientWith().send(to(server.url))).toEqual({ status, retryAfter: undefined, ...(body === undefined ? {} : { body }) });
    });
  });

  describe('TLS', () => {
    const ca = createPrivateCa('tests only');
    const other = createPrivateCa('others only');

    it('is tls-failed where nobody vouches for the server', async () => {
      const server = await subscriber([200], ca.issue('127.0.0.1'));
      expect(await clientWith().send(to(server.url))).toMatchObject({ failure: 'tls-failed' });
      expect(server.received).toEqual([]);
    });

    it('trusts the private authority of CACerts', async () => {
      const server = await subscriber([200], ca.issue('127.0.0.1'));
      expect(await clientWith().send(to(server.url, { caCerts: ca.caCerts }))).toMatchObject({ status: 200 });
    });

    it('trusts each of several authorities', async () => {
      const [server, second] = [await subscriber([200], ca.issue('127.0.0.1')), await subscriber([200], other.issue('127.0.0.1'))];
      const client = clientWith();
      const caCerts = `${other.caCerts}${ca.caCerts}`;
      expect(await client.send(to(server.url, { caCerts }))).toMatchObject({ status: 200 });
      expect(await client.send(to(second.url, { caCerts }))).toMatchObject({ status: 200 });
    });

    it.each<[string, string | undefined]>([['none of its own', undefined], ['another’s', other.caCerts]])('does not lend them to a destination that has %s', async (_, caCerts) => {
      const server = await subscriber([200], ca.issue('127.0.0.1'));
      const client = clientWith();
      expect(await client.send(to(server.url, { caCerts: ca.caCerts }))).toMatchObject({ status: 200 });
      expect(await client.send(to(server.url, { caCerts }))).toMatchObject({ failure: 'tls-failed' });
      expect(await client.send(to(`${server.url}/other`, { caCerts }))).toMatchObject({ failure: 'tls-failed' });
      expect(await client.send(to(server.url, { caCerts: ca.caCerts }))).toMatchObject({ status: 200 });
      expect(server.received).toHaveLength(2);
    });

    it('trusts CACerts beside the authorities of the system, not instead of them', async () => {
      const ofTheSystem = getCACertificates('default');
      setDefaultCACertificates([...ofTheSystem, other.caCerts]);
      try {
        const server = await subscriber([200], other.issue('127.0.0.1'));
        expect(await clientWith().send(to(server.url, { caCerts: ca.caCerts }))).toMatchObject({ status: 200 });
      } finally {
        setDefaultCACertificates(ofTheSystem);
      }
    });

    it('is tls-failed where the certificate is for another host', async () => {
      const server = await subscriber([200], ca.issue('elsewhere.example'));
      expect(await clientWith().send(to(server.url, { caCerts: ca.caCerts }))).toMatchObject({ failure: 'tls-failed', message: expect.stringContaining('ERR_TLS_CERT_ALTNAME_INVALID') });
    });

    it('is tls-failed where the server speaks plain HTTP', async () => {
      const server = await subscriber();
      expect(await clientWith().send(to(`https://127.0.0.1:${server.port}/`))).toMatchObject({ failure: 'tls-failed' });
    });

    it('is tls-failed where CACerts hold no certificate', async () => {
      const server = await subscriber([200], ca.issue('127.0.0.1'));
      const client = clientWith();
      expect(await client.send(to(server.url, { caCerts: 'none' }))).toMatchObject({ failure: 'tls-failed' });
      const broken = '-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n';
      expect(await client.send(to(server.url, { caCerts: broken }))).toMatchObject({ failure: 'tls-failed' });
    });
  });

  describe('who is told of an answer', () => {
    it('is told once, be it an answer or a failure', async () => {
      const server = await subscriber([200, 'reset']);
      const client = clientWith();
      const told: DeliveryAnswer[] = [];
      const receiver = { answered: (answer: DeliveryAnswer): void => void told.push(answer) };
      client.sendTo(to(server.url), receiver);
      await until(() => expect(told).toHaveLength(1));
      client.sendTo(to(server.url), receiver);
      await until(() => expect(told).toHaveLength(2));
      client.sendTo(to('no URL'), receiver);
      expect(told).toMatchObject([{ status: 200 }, { failure: 'connection-lost' }, { failure: 'unreachable' }]);
    });
  });

  describe('connections', () => {
    it('are used again', async () => {
      const server = await subscriber([200, 503, { status: 200, headers: reply, body: 'hi' }, 200]);
      const client = clientWith({ connectionsPerDestination: 1 });
      for (let n = 0; n < 5; n++) await client.send(to(server.url));
      expect(server.opened).toBe(1);
    });

    it('are at most the limit at a time; the rest wait in line and all are answered', async () => {
      const held: ServerResponse[] = [];
      const server = await subscriber([(response) => void held.push(response)]);
      const client = clientWith({ connectionsPerDestination: 3 });
      const order: number[] = [];
      const answers = Array.from({ length: 20 }, async (_, n) => {
        const answer = await client.send(to(server.url, { headers: ['ce-id', String(n)] }));
        order.push(n);
        return answer;
      });
      expect(client.waiting).toBe(17);
      for (let n = 0; n < 20; n++) {
        await until(() => expect(held.length).toBeGreaterThanOrEqual(Math.min(n + 3, 20)));
        expect(server.open).toBeLessThanOrEqual(3);
        held[n]!.writeHead(200 + n).end();
      }
      expect((await Promise.all(answers)).map((answer) => ('status' in answer ? answer.status : answer))).toHaveLength(20);
      expect(server.received.map(({ headers }) => Number(headers['ce-id'])).slice(3)).toEqual(Array.from({ length: 17 }, (_, n) => n + 3)); // in line: first come, first served
      expect(order).toHaveLength(20);
      expect(server.peak).toBe(3);
      expect(client.waiting).toBe(0);
    });

    it('free a place however their attempt ends', async () => {
      const server = await subscriber(['hang', 'reset', { status: 200, headers: reply, body: 'x'.repeat(2_000) }, 'hang', 200]);
      const client = clientWith({ connectionsPerDestination: 1 });
      const answers = await Promise.all(Array.from({ length: 6 }, () => client.send(to(server.url, { timeoutMs: 1_000 }))));
      expect(answers).toMatchObject([{ failure: 'timeout' }, { failure: 'connection-lost' }, { reply: 'too-large' }, { failure: 'timeout' }, { status: 200 }, { status: 200 }]);
      expect(client.waiting).toBe(0);
    });

    it('of a destination that hangs are not those of another, not even on the same host', async () => {
      const held: ServerResponse[] = [];
      const server = await subscriber([(response) => {
        if (response.req.url === '/hangs') held.push(response);
        else response.writeHead(200).end();
      }]);
      const client = clientWith({ connectionsPerDestination: 1 });
      const hanging = [client.send(to(`${server.url}/hangs`)), client.send(to(`${server.url}/hangs`))];
      await until(() => expect(held).toHaveLength(1));
      for (let n = 0; n < 5; n++) expect(await client.send(to(`${server.url}/answers`))).toMatchObject({ status: 200 });
      held[0]!.writeHead(202).end();
      await until(() => expect(held).toHaveLength(2));
      held[1]!.writeHead(202).end();
      expect(await Promise.all(hanging)).toMatchObject([{ status: 202 }, { status: 202 }]);
    });
  });

  describe('retain', () => {
    it('closes the connections of what is gone and keeps the others', async () => {
      const [gone, kept] = [await subscriber(), await subscriber()];
      const client = clientWith({ connectionsPerDestination: 1 });
      await client.send(to(gone.url));
      await client.send(to(kept.url));
      client.retain([{ uri: kept.url }, { uri: 'http://never.called/' }]);
      await until(() => expect(gone.open).toBe(0));
      await client.send(to(kept.url));
      expect(kept.opened).toBe(1);
    });

    it('tells destinations apart by their certificates, too', async () => {
      const ca = createPrivateCa('tests only');
      const server = await subscriber([200], ca.issue('127.0.0.1'));
      const client = clientWith({ connectionsPerDestination: 1 });
      await client.send(to(server.url, { caCerts: ca.caCerts }));
      client.retain([{ uri: server.url, caCerts: ca.caCerts }]);
      await client.send(to(server.url, { caCerts: ca.caCerts }));
      expect(server.opened).toBe(1);
      client.retain([{ uri: server.url }]);
      await until(() => expect(server.open).toBe(0));
    });

    it('lets finish what is under way and what waits in line', async () => {
      const held: ServerResponse[] = [];
      const server = await subscriber([(response) => void held.push(response)]);
      const client = clientWith({ connectionsPerDestination: 1 });
      const answers = [client.send(to(server.url)), client.send(to(server.url)), client.send(to(server.url))];
      await until(() => expect(held).toHaveLength(1));
      client.retain([]);
      for (let n = 0; n < 3; n++) {
        await until(() => expect(held).toHaveLength(n + 1));
        held[n]!.writeHead(200).end();
      }
      expect(await Promise.all(answers)).toMatchObject([{ status: 200 }, { status: 200 }, { status: 200 }]);
      await until(() => expect(server.open).toBe(0));
    });

    it('can be followed by attempts to what was gone', async () => {
      const server = await subscriber();
      const client = clientWith();
      await client.send(to(server.url));
      client.retain([]);
      expect(await client.send(to(server.url))).toMatchObject({ status: 200 });
    });
  });

  describe('close', () => {
    it('answers all that is under way or waits, however much that is', async () => {
      const server = await subscriber(['hang']);
      const client = clientWith({ connectionsPerDestination: 2 });
      const answers = Array.from({ length: 20_000 }, () => client.send(to(server.url)));
      await until(() => expect(server.received).toHaveLength(2));
      await client.close();
      for (const answer of await Promise.all(answers)) expect('failure' in answer && answer.failure).toBe('connection-lost');
      await until(() => expect(server.open).toBe(0));
      expect(server.received).toHaveLength(2);
      expect(client.waiting).toBe(0);
    });

    it('of a client that was never used is nothing', async () => {
      await clientWith().close();
    });

    it('may come while a connection is being made', async () => {
      let accepted = 0;
      const address = await rawServer(() => { accepted++; });
      const client = clientWith();
      const answer = client.send(to(`https://${address}/`)); // the server never says a word of TLS
      await until(() => expect(accepted).toBe(1));
      await client.close();
      expect(await answer).toMatchObject({ failure: 'connection-lost' });
    });
  });
});
