/**
 * What is asked of a token server, what its answer means, and how long a bearer token lasts.
 *
 * Pure. Asking is token-source.ts.
 *
 * Always true: no problem shows a secret or a token.
 *
 * @see RFC 6749, 4.4 (client credentials), 5.2 (refusals); RFC 7519 (`exp`)
 */
import { isBearerToken } from '../../core/kafka-secret.ts';

export interface ClientCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scope?: string | undefined;
}

export interface TokenRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type TokenAnswer =
  /** `lifetimeMs` is undefined where the server does not tell and the token does not say. */
  | { readonly token: string; readonly lifetimeMs: number | undefined }
  | { readonly problem: string };

/** Of what a server says beside its code. */
const longestDescription = 200;

export function tokenRequest({ clientId, clientSecret, scope }: ClientCredentials): TokenRequest {
  // Both are form-encoded before they are joined, so that a colon in one of them is none (RFC 6749, 2.3.1).
  const credentials = Buffer.from(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`).toString('base64');
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...(scope === undefined ? {} : { scope }) });
  return {
    headers: { authorization: `Basic ${credentials}`, accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  };
}

function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1);
}

/**
 * @param nowMs  the moment of the answer, as of `Date.now()`
 * @param secret what the problem must not show, whatever the server says
 */
export function tokenAnswer(status: number, body: string, nowMs: number, secret: string): TokenAnswer {
  const answer = jsonObject(body);
  if (status < 200 || status > 299) return { problem: refusal(status, answer, secret) };
  const token = answer?.['access_token'];
  if (typeof token !== 'string' || token === '') return { problem: `${status}, and no access_token in the answer` };
  if (!isBearerToken(token)) return { problem: `${status}, and an access_token that cannot be one` };
  return { token, lifetimeMs: lifetimeMs(answer?.['expires_in']) ?? remainingMs(token, nowMs) };
}

/** Refusals carry a code and may say more. */
function refusal(status: number, answer: Readonly<Record<string, unknown>> | undefined, secret: string): string {
  const said = [answer?.['error'], answer?.['error_description']].filter((text) => typeof text === 'string').map(printable);
  const [code = '', description = ''] = said;
  const words = `${status}${code === '' ? '' : ` ${code}`}${description === '' ? '' : ` (${description})`}`;
  return secret !== '' && words.includes(secret) ? String(status) : words;
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').trim().slice(0, longestDescription);
}

/** Some servers write the number as a text. */
function lifetimeMs(expiresIn: unknown): number | undefined {
  const seconds = typeof expiresIn === 'string' && expiresIn !== '' ? Number(expiresIn) : expiresIn;
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
}

function remainingMs(token: string, nowMs: number): number | undefined {
  const expiresAt = tokenExpiry(token);
  return expiresAt === undefined ? undefined : Math.max(0, expiresAt - nowMs);
}

/** @returns when a token expires, in ms as of `Date.now()`; undefined for one that is no JWT, or says nothing of it */
export function tokenExpiry(token: string): number | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  const exp = jsonObject(Buffer.from(parts[1]!, 'base64url').toString())?.['exp'];
  return typeof exp === 'number' && Number.isFinite(exp) ? exp * 1000 : undefined;
}

function jsonObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
