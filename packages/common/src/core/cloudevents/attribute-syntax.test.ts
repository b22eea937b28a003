import { describe, expect, it } from 'vitest';
import { isBase64, isMediaType, isTimestamp, isToken, isUri, isUriReference, mediaTypeCharsets, mediaTypeEssence } from './attribute-syntax.ts';

describe('a timestamp is RFC 3339', () => {
  it.each([
    '2024-01-31T23:59:59Z',
    '2024-01-31t23:59:59z',
    '2018-04-05T17:31:00.000000000Z',
    '2018-04-05T17:31:00.1Z',
    '2018-04-05T17:31:00.123456789012345678901234567890Z',
    '2018-04-05T18:31:00+01:00',
    '2018-04-05T16:31:00-23:59',
    '2018-04-05T16:31:00-00:00',
    '2024-02-29T00:00:00Z',
    '2000-02-29T00:00:00Z',
    '0000-01-01T00:00:00Z',
    '9999-12-31T23:59:59Z',
    '2016-12-31T23:59:60Z',
    '2017-01-01T00:59:60+01:00',
  ])('%s', (text) => expect(isTimestamp(text)).toBe(true));

  it.each([
    '', 'now', 'lunchtime', '1706745599', '2024-01-31',
    '2024-01-31T23:59Z', '2024-01-31T23:59:59', '2024-01-31 23:59:59Z', '2024-01-31T23:59:59 Z',
    '2024-01-31T23:59:59X', '2024-01-31T23:59:59+01', '2024-01-31T23:59:59+0100', '2024-01-31T23:59:59+xx:00',
    '2024-01-31T23:59:59+24:00', '2024-01-31T23:59:59+01:60', '2024-01-31T23:59:59+01:000', '2024-01-31T23:59:59Zulu',
    '2024-01-31T23:59:59.Z', '2024-01-31T23:59:59,5Z', '2024-01-31T23:59:59.5', '2024-01-31T23:59:59.5x',
    '2024-00-31T23:59:59Z', '2024-13-31T23:59:59Z', '2024-01-00T23:59:59Z', '2024-01-32T23:59:59Z',
    '2024-04-31T23:59:59Z', '2023-02-29T23:59:59Z', '1900-02-29T23:59:59Z',
    '2024-01-31T24:00:00Z', '2024-01-31T23:60:59Z', '2024-01-31T23:59:61Z',
    '24-01-31T23:59:59Z', '+2024-01-31T23:59:59Z', '2024-1-31T23:59:59Z', '2024-01-31T2a:59:59Z', ' 2024-01-31T23:59:59Z',
    '2024/01/31T23:59:59Z', '2024-01-31T23.59.59Z', '2024-01-31T23:59:59Z ', '２024-01-31T23:59:59Z',
  ])('not %j', (text) => expect(isTimestamp(text)).toBe(false));

  it('agrees with Date on which days exist', () => {
    for (const year of [1896, 1900, 2000, 2023, 2024, 2100, 2400]) {
      for (let day = 0; day <= 372; day++) {
        const text = `${year}-${pad(1 + Math.floor(day / 31))}-${pad(1 + (day % 31))}T00:00:00Z`;
        const date = new Date(text);
        const exists = !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text.slice(0, 10));
        expect(isTimestamp(text), text).toBe(exists);
      }
    }
  });
});

function pad(value: number): string {
  return String(value).padStart(2, '0');
}

describe('a URI reference is RFC 3986, relative or not', () => {
  it.each([
    '', '/', '/sensors/tn-1234567/alerts', '1-555-123-4567', '#fragment', '?query=1', '//authority/path', '../up',
    'https://github.com/cloudevents', 'mailto:cncf-wg-serverless@lists.cncf.io', 'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66',
    '/apis/v1/namespaces/default/pingsources/ping#topic', 'http://[::1]:8080/', '/a:b', './a:b', '?a:b', '#a:b', 'a+b-c.d1:x',
    '/%C3%A9', '/%2f%2F', 'http://x/%7Eme', '/é', 'http:', 'localhost:8080/x',
  ])('%j', (text) => expect(isUriReference(text)).toBe(true));

  it.each([
    'a b', ' /a', '/a ', '\t', '/a\nb', '/a\u0000', '/a\u007f', '/a\u0085', '<a>', '"a"', '{a}', 'a|b', 'a\\b', 'a^b', 'a`b',
    '%', '%2', '%zz', '/a%2', '/a%g0', '/100%',
    ':', ':a', '1:a', '10.0.0.1:8080/a', 'my_service:a', '%41:a', 'é:a',
  ])('not %j', (text) => expect(isUriReference(text)).toBe(false));
});

describe('a URI has a scheme', () => {
  it.each(['https://example.com/schema', 'urn:x', 'a:', 'A+1.-:x?y#z'])('%j', (text) => expect(isUri(text)).toBe(true));
  it.each(['', '/schema', 'schema.json', '//host/x', ':x', '1:x', 'x y:z', 'x: y', 'a/b:c', '#a:b'])('not %j', (text) => expect(isUri(text)).toBe(false));
});

describe('a media type is RFC 9110', () => {
  it.each([
    'application/json', 'text/plain', 'application/vnd.apache.thrift.binary', 'image/svg+xml', 'x/y', 'Application/JSON',
    'application/json; charset=utf-8', 'application/json;charset=UTF-8', 'application/json ; charset=utf-8', 'text/plain;\tcharset=utf-8',
    'multipart/form-data; boundary="a b; c\\" d"', 'text/plain;', 'text/plain; ; a=b;', 'text/plain; a=b; c=d', 'text/plain; a=""',
  ])('%j', (text) => expect(isMediaType(text)).toBe(true));

  it.each([
    '', 'xyz', 'application/', '/json', 'application//json', 'application/json/x', 'application json', ' application/json',
    'application/json charset=utf-8', 'text/plain; charset', 'text/plain; charset=', 'text/plain; =x', 'text/plain; a = b',
    'text/plain; a="b', 'text/plain; a="b\\', 'text/plain; a="b"c', 'text/plain, text/html', 'text/plain; a="é"', 'tëxt/plain', 'text/plain\n',
  ])('not %j', (text) => expect(isMediaType(text)).toBe(false));

  it.each([
    ['application/json', 'application/json', []],
    ['Application/CloudEvents+JSON ;  Charset="UTF-8"', 'application/cloudevents+json', ['"UTF-8"']],
    ['text/plain; a=charset; charset=x; CHARSET=y', 'text/plain', ['x', 'y']],
    ['text/plain; a="; charset=x"', 'text/plain', []],
  ])('%s is taken apart', (text, essence, charsets) => {
    expect(mediaTypeEssence(text)).toBe(essence);
    expect(mediaTypeCharsets(text)).toEqual(charsets);
  });
});

describe('base64 is padded and in the standard alphabet', () => {
  it.each(['', 'AA==', 'AAA=', 'AAAA', 'eyAieHl6IjogMTIzIH0=', 'a+/9'])('%j', (text) => expect(isBase64(text)).toBe(true));
  it.each(['A', 'AA', 'AAA', '=', '====', 'A===', 'AA=A', 'AA\nAA==', 'a-_9', 'AAA é', 'AAAA='])('not %j', (text) => expect(isBase64(text)).toBe(false));
});

describe('a token can name a header', () => {
  it.each(['ce-id', 'x', "!#$%&'*+-.^_`|~9"])('%j', (text) => expect(isToken(text)).toBe(true));
  it.each(['', 'a b', 'a:b', 'é', 'a\r', '(a)'])('not %j', (text) => expect(isToken(text)).toBe(false));
});
