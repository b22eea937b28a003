/**
 * Bearer tokens for OAUTHBEARER: from a token server, from a file that somebody renews, or as they are.
 *
 * Always true: however many connections want a token of a server at the same time, it is asked once; a token is given
 * out only while it lasts; no error shows a secret or a token.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { describeError, Fault } from '../../core/fault.ts';
import { isBearerToken, type TokenSource } from '../../core/kafka-secret.ts';
import { tokenAnswer, tokenRequest, type TokenRequest } from './bearer-token.ts';
import { tlsRefusal } from './faults.ts';

type TokenEndpoint = Extract<TokenSource, { readonly kind: 'endpoint' }>;

/** For connect and answer together. */
const answerTimeoutMs = 5_000;
const longestAnswer = 256 * 1024;
/**
 * A token is renewed when this share of its life is over. Connections prove anew who they are at 80 % of what was left
 * of their token then; they shall find a new one.
 */
const usedShare = 0.75;
/** Of a token of which nobody says how long it lasts. */
const unknownLifetimeMs = 60_000;

/** Tokens of the settings that hold: the same object for as long as they are the same. */
const servers = new WeakMap<TokenEndpoint, TokenServer>();

/**
 * @returns a token that has not expired as far as we can know
 * @throws Fault KAFKA_REFUSED when somebody has to put something right (what the server says, what the file holds),
 *               KAFKA_UNAVAILABLE when the server does not answer; both are worth another try
 */
export async function bearerToken(source: TokenSource): Promise<string> {
  if (source.kind === 'fixed') return source.token;
  if (source.kind === 'file') return tokenOfFile(source.path);
  let server = servers.get(source);
  if (server === undefined) servers.set(source, (server = new TokenServer(source)));
  return server.token();
}

/** Read each time: connections are opened rarely, and whoever renews the file does not tell. */
async function tokenOfFile(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new Fault('KAFKA_REFUSED', `token file ${path}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}`, { retriable: true, cause: error });
  }
  const token = text.trim();
  if (isBearerToken(token)) return token;
  throw new Fault('KAFKA_REFUSED', `token file ${path}: ${token === '' ? 'is empty' : 'holds something else than one token'}`, { retriable: true });
}

interface HeldToken {
  readonly token: string;
  /** By `performance.now()`: another one is asked for then. */
  readonly freshUntil: number;
  readonly expiresAt: number;
}

class TokenServer {
  readonly #endpoint: TokenEndpoint;
  /** Origin and path: the rest of a URL may hold what nobody shall see. */
  readonly #name: string;
  #held: HeldToken | undefined;
  #asking: Promise<string> | undefined;

  constructor(endpoint: TokenEndpoint) {
    this.#endpoint = endpoint;
    const { origin, pathname } = new URL(endpoint.url);
    this.#name = `token endpoint ${origin}${pathname}`;
  }

  token(): Promise<string> {
    if (this.#held !== undefined && performance.now() < this.#held.freshUntil) return Promise.resolve(this.#held.token);
    this.#asking ??= this.#renewed().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #renewed(): Promise<string> {
    try {
      this.#held = await this.#ask();
    } catch (error) {
      // A server that is away for a moment is no matter while the last token is still good.
      if (this.#held === undefined || performance.now() >= this.#held.expiresAt) throw error;
    }
    return this.#held.token;
  }

  async #ask(): Promise<HeldToken> {
    const { url, ca, clientSecret } = this.#endpoint;
    const askedAt = performance.now();
    const { status, body } = await this.#post(url, ca);
    const answer = tokenAnswer(status, body, Date.now(), clientSecret);
    if ('problem' in answer) throw new Fault('KAFKA_REFUSED', `${this.#name}: ${answer.problem}`, { retriable: true });
    const lifetimeMs = answer.lifetimeMs ?? unknownLifetimeMs;
    return { token: answer.token, freshUntil: askedAt + lifetimeMs * usedShare, expiresAt: askedAt + lifetimeMs };
  }

  async #post(url: string, ca: string | undefined): Promise<{ readonly status: number; readonly body: string }> {
    const tooLate = AbortSignal.timeout(answerTimeoutMs);
    try {
      return await post(url, { ...tokenRequest(this.#endpoint), ca, signal: tooLate });
    } catch (error) {
      const refusal = tlsRefusal(error, 'the server');
      const reason = refusal?.words ?? (tooLate.aborted ? `no answer in ${answerTimeoutMs} ms` : describeError(error));
      throw new Fault(refusal?.code ?? 'KAFKA_UNAVAILABLE', `${this.#name}: ${reason}`, { retriable: true, cause: error });
    }
  }
}

/** Node's own client: undici's costs a process that has no other use for it 15 MB. */
async function post(url: string, { headers, body, ca, signal }: TokenRequest & { readonly ca: string | undefined; readonly signal: AbortSignal }): Promise<{ readonly status: number; readonly body: string }> {
  const isTls = url.startsWith('https:');
  const options = { method: 'POST', headers: { ...headers, 'content-length': Buffer.byteLength(body) }, agent: false, signal } as const;
  const request = isTls ? httpsRequest(url, { ...options, ca }) : httpRequest(url, options);
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk as string;
    if (text.length > longestAnswer) throw new Error('the answer is too long');
  }
  return { status: response.statusCode ?? 0, body: text };
}
