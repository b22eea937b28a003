import { describe, expect, it } from 'vitest';
import { isBearerToken } from '../../core/kafka-secret.ts';
import { tokenAnswer, tokenExpiry, tokenRequest } from './bearer-token.ts';

const now = Date.UTC(2026, 0, 1);

function jwt(claims: object): string {
  return ['header', JSON.stringify(claims), 'signature'].map((part) => Buffer.from(part).toString('base64url')).join('.');
}

describe('the request for a token', () => {
  it('names the client by Basic authentication, form-encoded, and the scope where there is one', () => {
    const { headers, body } = tokenRequest({ clientId: 'a:b', clientSecret: 'p&q r', scope: 'read write' });
    expect(Buffer.from(headers['authorization']!.replace('Basic ', ''), 'base64').toString()).toBe('a%3Ab:p%26q+r');
    expect(body).toBe('grant_type=client_credentials&scope=read+write');
    expect(tokenRequest({ clientId: 'a', clientSecret: 'b' }).body).toBe('grant_type=client_credentials');
  });
});

describe('the answer', () => {
  it.each<[what: string, status: number, body: string, expected: unknown]>([
    ['a token for an hour', 200, '{"access_token":"abc","expires_in":3600}', { token: 'abc', lifetimeMs: 3_600_000 }],
    ['a lifetime as text', 200, '{"access_token":"abc","expires_in":"60"}', { token: 'abc', lifetimeMs: 60_000 }],
    ['a lifetime that is in the token', 200, `{"access_token":"${jwt({ exp: now / 1000 + 30 })}"}`, { token: jwt({ exp: now / 1000 + 30 }), lifetimeMs: 30_000 }],
    ['no lifetime', 200, '{"access_token":"abc"}', { token: 'abc', lifetimeMs: undefined }],
    ['a lifetime that is none', 200, '{"access_token":"abc","expires_in":-1}', { token: 'abc', lifetimeMs: undefined }],
    ['a refusal', 401, '{"error":"invalid_client","error_description":"no such client"}', { problem: '401 invalid_client (no such client)' }],
    ['a refusal without words', 403, '', { problem: '403' }],
    ['a refusal in HTML', 502, '<html>', { problem: '502' }],
    ['a refusal on several lines', 400, '{"error":"bad\\r\\nthing"}', { problem: '400 bad thing' }],
    ['a refusal that shows the secret', 401, '{"error":"invalid_client","error_description":"hush is wrong"}', { problem: '401' }],
    ['no token', 200, '{}', { problem: '200, and no access_token in the answer' }],
    ['no JSON', 200, 'abc', { problem: '200, and no access_token in the answer' }],
    ['an array', 200, '[]', { problem: '200, and no access_token in the answer' }],
    ['a token that would end the message early', 200, '{"access_token":"a\\u0001b"}', { problem: '200, and an access_token that cannot be one' }],
  ])('of %s', (_what, status, body, expected) => {
    expect(tokenAnswer(status, body, now, 'hush')).toEqual(expected);
  });
});

describe('a token', () => {
  it.each([
    ['a JWT', jwt({ exp: 1000 }), 1_000_000],
    ['a JWT that does not say', jwt({ sub: 'a' }), undefined],
    ['a JWT that says nonsense', jwt({ exp: 'soon' }), undefined],
    ['no JWT', 'abc', undefined],
    ['three parts of nothing', '..', undefined],
  ])('tells when it expires: %s', (_what, token, expected) => {
    expect(tokenExpiry(token)).toBe(expected);
  });

  it.each([
    ['abc-._~+/==', true],
    ['', false],
    ['a b', false],
    ['a\nb', false],
    ['a=b', false],
  ])('%j may be one: %s', (text, expected) => {
    expect(isBearerToken(text)).toBe(expected);
  });
});
