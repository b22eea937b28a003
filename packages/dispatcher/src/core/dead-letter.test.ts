import { describe, expect, it } from 'vitest';
import { errorData, errorDataBytes, errorExtensions, shownUri } from './dead-letter.ts';
import type { DeliveryAnswer } from './response-verdict.ts';

const told = (answer: DeliveryAnswer, uri = 'http://mail') => Object.fromEntries(errorExtensions({ uri, answer }));

describe('errorExtensions', () => {
  it('are where it went, the status as text, and the body in base64', () => {
    expect(errorExtensions({ uri: 'http://mail.shop.svc.cluster.local', answer: { status: 422, body: Buffer.from('<h1>no</h1>') } })).toEqual([
      ['knativeerrordest', 'http://mail.shop.svc.cluster.local'],
      ['knativeerrorcode', '422'],
      ['knativeerrordata', Buffer.from('<h1>no</h1>').toString('base64')],
    ]);
  });

  it.each<[string, DeliveryAnswer]>([['no', { status: 422 }], ['an empty', { status: 422, body: Buffer.alloc(0) }]])('have no data for %s body', (_, answer) => {
    expect(told(answer)).toEqual({ knativeerrordest: 'http://mail', knativeerrorcode: '422' });
  });

  it('tell of no answer as code 500 and what went wrong', () => {
    expect(told({ failure: 'dns-failed', message: 'getaddrinfo ENOTFOUND mail' })).toEqual({
      knativeerrordest: 'http://mail',
      knativeerrorcode: '500',
      knativeerrordata: Buffer.from('dispatch error: getaddrinfo ENOTFOUND mail').toString('base64'),
    });
  });

  it.each([0, 1, 2])('have at most 1024 characters of data, which are whole base64 (%i bytes past the limit)', (past) => {
    const body = Buffer.from(Array.from({ length: errorDataBytes + past }, (_, n) => n % 251));
    const data = told({ status: 500, body })['knativeerrordata']!;
    expect(data).toHaveLength(1024);
    expect(Buffer.from(data, 'base64')).toEqual(body.subarray(0, errorDataBytes));
  });

  it('clip what went wrong like a body', () => {
    expect(told({ failure: 'timeout', message: 'ü'.repeat(2_000) })['knativeerrordata']).toHaveLength(1024);
  });

  it('name the status of a redirect, too', () => {
    expect(told({ status: 302 })).toMatchObject({ knativeerrorcode: '302' });
  });
});

describe('errorData', () => {
  it('is bytes, whatever they are', () => {
    const body = Buffer.from([0, 255, 13, 10]);
    expect(errorData({ status: 500, body })).toEqual(body);
  });
});

describe('shownUri', () => {
  it.each([
    'http://fake.svc.cluster.local', 'http://host/', 'http://host:8080/a/../b//c?x=%20#y', 'HTTP://HOST', 'https://[::1]:8080/a@b', 'http://host/a:b@c', 'http://host?user:pass@x', 'http://host#user:pass@x', 'no URL at all', '',
  ])('is %j as configured', (uri) => {
    expect(shownUri(uri)).toBe(uri);
  });

  it.each([
    ['http://user@host/', 'http://***@host/'],
    ['http://user:pa/ss@host', 'http://***@host'],
    ['http://user:secret@host/a', 'http://***@host/a'],
    ['https://user:@host', 'https://***@host'],
    ['http://:secret@host', 'http://***@host'],
    ['http://user:sec:ret@host', 'http://***@host'],
    ['http://user:sec@ret@host', 'http://***@host'],
  ])('blanks user and password of %j', (uri, shown) => {
    expect(shownUri(uri)).toBe(shown);
  });
});
