/**
 * Tokens from a token server that is really asked, over HTTP and HTTPS.
 */
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CertificateAuthority, startTokenServer, waitFor, type TokenServer } from '@knative-kafka/local-cluster';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../core/fault.ts';
import type { TokenSource } from '../../core/kafka-secret.ts';
import { bearerToken } from './token-source.ts';

const authority = new CertificateAuthority('authority of token servers');
const clientSecret = 'secret-of-client';
let server: TokenServer;
const opened: { close(): unknown }[] = [];

beforeEach(async () => {
  server = await startTokenServer({ clientId: 'client', clientSecret, certificate: authority.issue({ commonName: 'tokens', hosts: ['127.0.0.1'] }) });
  opened.push(server);
});

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

function source(change: Partial<{ url: string; clientSecret: string; ca: string }> = {}): TokenSource {
  return { kind: 'endpoint', url: server.url, clientId: 'client', clientSecret, ...change };
}

async function faultOf(asked: TokenSource): Promise<Fault> {
  return bearerToken(asked).then(
    () => expect.fail('a token came of it'),
    (fault: unknown) => fault as Fault,
  );
}

/** A server that is none of tokens. @returns its address */
async function serve(answer: RequestListener): Promise<string> {
  const other = createServer(answer);
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  opened.push({
    close: () => {
      other.closeAllConnections();
      other.close();
    },
  });
  return `http://127.0.0.1:${(other.address() as AddressInfo).port}/token?key=hidden`;
}

describe('a token server', () => {
  it('is asked once for all who want a token at the same time, and again when most of its life is over', async () => {
    const endpoint = source();
    const tokens = await Promise.all([bearerToken(endpoint), bearerToken(endpoint), bearerToken(endpoint)]);
    expect(new Set(tokens).size).toBe(1);
    expect(await bearerToken(endpoint)).toBe(tokens[0]);
    expect(server.asked()).toBe(1);

    server.setLifetime(0.001);
    const short = source();
    const first = await bearerToken(short);
    await waitFor('another token', async () => (await bearerToken(short)) !== first, { timeoutMs: 5_000 });
  });

  it('that is away does not matter while the token lasts', async () => {
    server.setLifetime(3600);
    const endpoint = source();
    const token = await bearerToken(endpoint);
    await server.close();
    expect(await bearerToken(endpoint)).toBe(token);
    expect(await faultOf(source())).toMatchObject({ code: 'KAFKA_UNAVAILABLE', retriable: true, message: expect.stringMatching(/^token endpoint http:.*ECONNREFUSED/) as string });
  });

  it('is believed by the CA that is given, and by no other', async () => {
    expect(await bearerToken(source({ url: server.tlsUrl, ca: authority.certificate }))).toMatch(/^eyJ/);
    const fault = await faultOf(source({ url: server.tlsUrl, ca: new CertificateAuthority('another').certificate }));
    expect(fault).toMatchObject({ code: 'KAFKA_REFUSED', message: expect.stringMatching(/not signed by an authority that is believed/) as string });
  });

  it('that refuses is told in words, without the secret, and asked anew', async () => {
    const endpoint = source();
    server.setClientSecret('another');
    const fault = await faultOf(endpoint);
    expect(fault).toMatchObject({ code: 'KAFKA_REFUSED', retriable: true, message: `token endpoint ${server.url}: 401 invalid_client (unknown client or wrong secret)` });
    server.setClientSecret(clientSecret);
    expect(await bearerToken(endpoint)).toMatch(/^eyJ/);
  });

  it.each<[what: string, answer: RequestListener, message: RegExp]>([
    ['answers without end', (_, response) => { response.on('error', () => undefined); const more = (): void => { while (response.write('x'.repeat(65_536))); }; response.on('drain', more); more(); }, /the answer is too long$/],
    ['hangs up', (request) => void request.socket.destroy(), /: socket hang up$/],
    ['never answers', () => undefined, /: no answer in 5000 ms$/],
    ['begins to answer and stops', (_, response) => void response.write('{'), /: no answer in 5000 ms$/],
    ['redirects', (_, response) => void response.writeHead(302, { location: '/elsewhere' }).end(), /: 302$/],
  ])('that %s is given up', async (_what, answer, message) => {
    const fault = await faultOf(source({ url: await serve(answer) }));
    expect(fault.message).toMatch(message);
    expect(fault.message).not.toContain('hidden');
  });
});
