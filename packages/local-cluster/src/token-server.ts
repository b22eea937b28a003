/**
 * A token server for tests of OAUTHBEARER: gives JWTs for a client's id and secret, and tells brokers the key that
 * they are signed with.
 *
 * The same answers come over HTTP and, with a certificate of the caller's, over HTTPS.
 *
 * @see RFC 6749, 4.4 (client credentials) and 5.2 (refusals); RFC 7517 (JWKS)
 */
import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { IssuedCertificate } from './certificates.ts';

export interface TokenServerOptions {
  readonly clientId: string;
  readonly clientSecret: string;
  /** For the HTTPS address; good for 127.0.0.1. */
  readonly certificate: IssuedCertificate;
}

export interface TokenOptions {
  /** From now; negative for one that has expired. Default: what the server is set to. */
  readonly lifetimeSeconds?: number;
  /** Default: what brokers expect. */
  readonly audience?: string;
  /** By a key that brokers do not know. */
  readonly isForged?: boolean;
}

export interface TokenServer {
  /** `http://127.0.0.1:port/token` */
  readonly url: string;
  /** The same over TLS. */
  readonly tlsUrl: string;
  readonly jwksUrl: string;
  readonly issuer: string;
  readonly audience: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** How many were asked for, whether given or refused. */
  asked(): number;
  /** Of the tokens to come; an hour unless told. */
  setLifetime(seconds: number): void;
  /** Another secret from now on. */
  setClientSecret(secret: string): void;
  /** A token as the server would give it, or one with something wrong. */
  createToken(options?: TokenOptions): string;
  close(): Promise<void>;
}

const keyId = 'key-of-test';
const audience = 'kafka';
const skewSeconds = 5;

export async function startTokenServer({ clientId, clientSecret, certificate }: TokenServerOptions): Promise<TokenServer> {
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const strangeKeys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwks = JSON.stringify({ keys: [{ ...keys.publicKey.export({ format: 'jwk' }), kid: keyId, use: 'sig', alg: 'RS256' }] });
  let secret = clientSecret;
  let lifetimeSeconds = 3600;
  let asked = 0;
  let issuer = '';

  const createToken = ({ lifetimeSeconds: wanted = lifetimeSeconds, audience: to = audience, isForged = false }: TokenOptions = {}): string => {
    const now = Math.floor(Date.now() / 1000);
    const issuedAt = now - skewSeconds + Math.min(0, wanted);
    const claims = { iss: issuer, aud: to, sub: clientId, scope: 'kafka', iat: issuedAt, exp: now + wanted, jti: randomUUID() };
    return jwt(claims, isForged ? strangeKeys.privateKey : keys.privateKey);
  };

  const answer: RequestListener = (request, response) => {
    const reply = (status: number, body: string): void => void response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    if (request.url === '/jwks') return reply(200, jwks);
    if (request.url !== '/token' || request.method !== 'POST') return reply(404, '{}');
    asked++;
    let form = '';
    request.setEncoding('utf8').on('data', (text: string) => (form += text));
    request.on('end', () => {
      const expected = `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}`;
      if (request.headers.authorization !== expected) return reply(401, JSON.stringify({ error: 'invalid_client', error_description: 'unknown client or wrong secret' }));
      if (new URLSearchParams(form).get('grant_type') !== 'client_credentials') return reply(400, JSON.stringify({ error: 'unsupported_grant_type' }));
      return reply(200, JSON.stringify({ access_token: createToken(), token_type: 'Bearer', expires_in: lifetimeSeconds }));
    });
  };

  const plain = createServer(answer);
  const tls = createTlsServer({ cert: certificate.certificate, key: certificate.key }, answer);
  issuer = `http://127.0.0.1:${await listen(plain)}`;
  const tlsUrl = `https://127.0.0.1:${await listen(tls)}/token`;
  return {
    url: `${issuer}/token`,
    tlsUrl,
    jwksUrl: `${issuer}/jwks`,
    issuer,
    audience,
    clientId,
    clientSecret,
    asked: () => asked,
    setLifetime: (seconds) => (lifetimeSeconds = seconds),
    setClientSecret: (next) => (secret = next),
    createToken,
    close: async () => {
      await Promise.all([plain, tls].map(close));
    },
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

/** @see RFC 7515, 3.1 */
function jwt(claims: object, key: KeyObject): string {
  const content = [{ alg: 'RS256', typ: 'JWT', kid: keyId }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${content}.${sign('sha256', Buffer.from(content), key).toString('base64url')}`;
}
