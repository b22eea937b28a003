import { describe, expect, it } from 'vitest';
import { recordHeaders } from '../io/lanes-under-test.ts';
import { PlainRequest, type Reading } from './plain-request.ts';

const attributes = ['ce-specversion: 1.0', 'ce-id: 1', 'ce-source: /s', 'ce-type: t'];
const usual = ['Host: orders.example.com', ...attributes, 'Content-Length: 5'];

function head(lines: readonly string[], startLine = 'POST /shop/orders HTTP/1.1'): Buffer {
  return Buffer.from([startLine, ...lines, '', ''].join('\r\n'), 'latin1');
}
function changed(from: string, ...to: string[]): string[] {
  return usual.flatMap((line) => (line.startsWith(from) ? to : [line]));
}
function read(bytes: Buffer, headerLimitBytes = 32 * 1024): Reading {
  return new PlainRequest(headerLimitBytes).read(bytes, 0, bytes.length);
}

describe('a plain request', () => {
  it('is read wherever it stands in the bytes', () => {
    const request = new PlainRequest(32 * 1024);
    const bytes = Buffer.concat([Buffer.from('before'), head([...usual, 'content-type: application/json']), Buffer.from('hello, and more')]);
    expect(request.read(bytes, 6, bytes.length)).toBe('plain');
    expect(request).toMatchObject({ target: '/shop/orders', host: 'orders.example.com', contentLength: 5, keyStart: -1 });
    expect(bytes.toString('latin1', request.bodyStart)).toBe('hello, and more');
    expect(recordHeaders(request)).toEqual([['ce_specversion', '1.0'], ['ce_id', '1'], ['ce_source', '/s'], ['ce_type', 't'], ['content-type', 'application/json']]);
  });

  it('has the headers of its record in the order in which they came, names in lower case', () => {
    const request = new PlainRequest(32 * 1024);
    const bytes = head(['CE-Ext9: a  b ', 'X-B3-TraceId:1', 'Ce-Type: t', 'Traceparent: 00-1', 'User-Agent: x', 'Ce-Id: 1', 'X-Request-Id: ', 'Knative-A: B', 'HOST:x', 'Ce-Source: /a%20b', 'content-length:0', 'TraceState: a', 'x-request-id: r', 'CE-SPECVERSION: 1.0', 'Content-Type: text/plain', 'tracestate: b']);
    expect(request.read(bytes, 0, bytes.length)).toBe('plain');
    expect(recordHeaders(request)).toEqual([['ce_ext9', 'a  b'], ['x-b3-traceid', '1'], ['ce_type', 't'], ['traceparent', '00-1'], ['ce_id', '1'], ['knative-a', 'B'], ['ce_source', '/a%20b'], ['tracestate', 'a'], ['x-request-id', 'r'], ['ce_specversion', '1.0'], ['content-type', 'text/plain'], ['tracestate', 'b']]);
  });

  it.each<[string, string[], string | undefined]>([
    ['partitionkey', ['ce-subject: s', 'ce-partitionkey: a key '], 'a key'],
    ['subject', ['ce-subject: s'], 's'],
    ['nothing', [], undefined],
  ])('has its key from %s', (_, more, key) => {
    const request = new PlainRequest(32 * 1024);
    const bytes = head([...more, ...usual]);
    expect(request.read(bytes, 0, bytes.length)).toBe('plain');
    expect(request.keyStart < 0 ? undefined : request.headers.toString('latin1', request.keyStart, request.keyEnd)).toBe(key);
  });

  it.each([1, 63, 64, 8_191, 8_192, 15_000])('may have a value of %d bytes', (length) => {
    const request = new PlainRequest(32 * 1024);
    const bytes = head([...usual, `ce-ext: ${'v'.repeat(length)}`, 'ce-next: n']);
    expect(request.read(bytes, 0, bytes.length)).toBe('plain');
    expect(recordHeaders(request).slice(-2)).toEqual([['ce_ext', 'v'.repeat(length)], ['ce_next', 'n']]);
  });

  it('leaves nothing of the one before', () => {
    const request = new PlainRequest(32 * 1024);
    const [first, second] = [head([...usual, 'ce-subject: s', 'ce-ext: x', 'content-type: a/b']), head(usual)];
    expect(request.read(first, 0, first.length)).toBe('plain');
    expect(request.read(second, 0, second.length)).toBe('plain');
    expect(request.keyStart).toBe(-1);
    expect(recordHeaders(request)).toHaveLength(4);
  });

  it('needs all of its head, and nothing of its body', () => {
    const bytes = head([...usual, 'content-type: application/json', 'traceparent: 00-1']);
    for (let end = 0; end < bytes.length; end++) expect([end, read(bytes.subarray(0, end))]).toEqual([end, 'more']);
    expect(read(bytes)).toBe('plain');
  });

  it('is not looked for behind the end of what came', () => {
    const bytes = head(usual);
    expect(new PlainRequest(32 * 1024).read(bytes, 0, bytes.length - 1)).toBe('more');
  });

  it.each(['Connection: keep-alive', 'connection:KEEP-ALIVE', 'Keep-Alive: timeout=5', 'Upgrade-Insecure-Requests: 1', 'Terminal: x', 'X-Empty:', 'Accept-Encoding: gzip', 'ce-time: 2024-02-29T23:59:60.123Z', 'ce-dataschema: https://example.com/%41', 'Content-Type: text/plain; charset="iso-8859-1"'])('may have %s', (line) => {
    expect(read(head([...usual, line]))).toBe('plain');
  });

  it.each(['/', '/?', '/a/b?c=d&e=/?', '//a', '/%41', "/a-._~!$&'()*+,;=:@"])('may have the target %s', (target) => {
    expect(read(head(usual, `POST ${target} HTTP/1.1`))).toBe('plain');
  });
});

describe('handed over is', () => {
  it.each<[string, Buffer]>([
    ...['GET / HTTP/1.1', 'post / HTTP/1.1', 'POST  / HTTP/1.1', 'POST\t/ HTTP/1.1', 'POST /  HTTP/1.1', 'POST / HTTP/1.0', 'POST / HTTP/1.1 ', 'POST / http/1.1', 'POST /', 'POST * HTTP/1.1', 'POST http://x/ HTTP/1.1', 'POST /a#b HTTP/1.1', 'POST /a"b HTTP/1.1', 'POST /\xe9 HTTP/1.1', '\r\nPOST / HTTP/1.1', ' POST / HTTP/1.1'].map((line): [string, Buffer] => [`the line ${JSON.stringify(line)}`, head(usual, line)]),
    ...['Host: twice', 'Content-Length: 5', 'ce-id: twice', 'CE-ID: twice', 'ce-data: x', 'ce-datacontenttype: a/b', 'ce-: x', 'ce-a-b: x', 'ce-a_b: x', 'ce-ext:', 'ce-ext: ', 'ce-ext: 100%', 'ce-ext: %41', 'ce-ext: a\tb', 'ce-ext: \ta', 'ce-ext: \xe9', 'ce-ext: \x7f', 'ce-ext: a\x00', 'ce-ext: a\rb', 'ce-ext: a\nb', 'ce-ext: a\r\n b', `ce-${'n'.repeat(61)}: x`, 'ce-time: yesterday', 'ce-dataschema: relative', 'ce-subject: %41'].map((line): [string, Buffer] => [JSON.stringify(line), head([...usual, line])]),
    ...['Transfer-Encoding: chunked', 'transfer-encoding:', 'TE: trailers', 'Trailer: x', 'Expect: 100-continue', 'Upgrade: h2c', 'Proxy-Connection: keep-alive', 'Proxy-Authorization: x', 'Connection: close', 'Connection: keep-alive, x', 'Connection:', 'Content-Encoding: identity', 'X-Other: a\tb', 'X-Other: \xe9', 'x other: y', 'x\x00: y', ': x', 'no colon', 'space : x', ' folded: x', '\tfolded: x', 'a@b: x'].map((line): [string, Buffer] => [JSON.stringify(line), head([...usual, line])]),
    ...['application/cloudevents+json', 'Application/CloudEvents-Batch+json', 'application/cloudevents', 'json', 'a/b; c', ''].map((type): [string, Buffer] => [`the content type ${type}`, head([...usual, `Content-Type: ${type}`])]),
    ['a second content type', head([...usual, 'Content-Type: a/b', 'content-type: a/b'])],
    ...['', '+5', '-5', '5 ', '05', '5,5', '0x5', '5a', '1234567890', '5;x', '\t5'].map((length): [string, Buffer] => [`the length ${JSON.stringify(length)}`, head(changed('Content-Length', `Content-Length: ${length}`))]),
    ...['Host', 'ce-specversion', 'ce-id', 'ce-source', 'ce-type', 'Content-Length'].map((name): [string, Buffer] => [`what has no ${name}`, head(changed(name))]),
    ...['0.3', '1.1', '1', '1.0.'].map((version): [string, Buffer] => [`the version ${version}`, head(changed('ce-specversion', `ce-specversion: ${version}`))]),
    ...['a b', '%zz', '://x'].map((source): [string, Buffer] => [`the source ${source}`, head(changed('ce-source', `ce-source: ${source}`))]),
    ['a bare line feed at the end', Buffer.from(head(usual).toString('latin1').replace(/\r\n\r\n$/, '\r\n\n'), 'latin1')],
    ['bare line feeds', Buffer.from(head(usual).toString('latin1').replaceAll('\r\n', '\n'), 'latin1')],
    ['more attributes than are compared', head([...usual, ...Array.from({ length: 61 }, (_, n) => `ce-a${n}: x`)])],
    ['more headers than are read', head([...usual, ...Array.from({ length: 495 }, () => 'a: b')])],
  ])('%s', (_, bytes) => {
    expect(read(bytes)).toBe('hand-over');
  });

  it('what is longer than a head may be, whether it is complete or not', () => {
    const long = head([...usual, `x: ${'y'.repeat(600)}`]);
    expect(read(long, long.length)).toBe('plain');
    expect(read(long, long.length - 1)).toBe('hand-over');
    expect(read(long.subarray(0, 500), 500)).toBe('hand-over');
    expect(read(head([...usual, `x: ${'y'.repeat(17_000)}`]))).toBe('hand-over'); // whatever the other lane takes
  });
});

describe('requests known to be read in two ways are handed over', () => {
  const cases: Readonly<Record<string, string>> = {
    'CL.TE': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED',
    'TE.CL': 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n',
    'TE.TE, obfuscated': 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\n',
    'TE with a space before the colon': 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n',
    'TE with a tab': 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\tchunked\r\nContent-Length: 3\r\n\r\n',
    'TE with a vertical tab': 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0bchunked\r\nContent-Length: 3\r\n\r\n',
    'TE on a folded line': 'POST / HTTP/1.1\r\nHost: x\r\nX: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n',
    'TE behind a bare line feed': 'POST / HTTP/1.1\r\nHost: x\r\nX: y\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n',
    'TE behind a bare carriage return': 'POST / HTTP/1.1\r\nHost: x\r\nX: y\rTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n',
    'CL.CL': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 8\r\n\r\n',
    'CL.CL, equal': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n',
    'CL as a list': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n',
    'CL with a sign': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\n',
    'CL with a space before the colon': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\n',
    'CL.0, without a length': 'POST / HTTP/1.1\r\nHost: x\r\n\r\nGET /x HTTP/1.1\r\n',
    'TE.0, chunked alone': 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a length hidden by Connection': 'POST / HTTP/1.1\r\nHost: x\r\nConnection: Content-Length\r\nContent-Length: 3\r\n\r\n',
    'two hosts': 'POST / HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 3\r\n\r\n',
    'a host in the target': 'POST http://y/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n',
    'a header before the first line': 'Host: x\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n',
    'a line of space before the headers': 'POST / HTTP/1.1\r\n Host: x\r\nContent-Length: 3\r\n\r\n',
    'a NUL in a name': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length\x00: 3\r\n\r\n',
    'h2c smuggling': 'POST / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 3\r\n\r\n',
    'HTTP/0.9': 'POST /\r\n\r\n',
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'Expect, in the way of 0.CL': 'POST / HTTP/1.1\r\nHost: x\r\nExpect: y 100-continue\r\nContent-Length: 3\r\n\r\n',
  };
  it.each(Object.entries(cases))('%s', (_, text) => {
    const [startLine = '', ...rest] = text.split('\r\n');
    const withEvent = [startLine, ...attributes, ...rest].join('\r\n');
    for (const sent of [text, withEvent]) expect(read(Buffer.from(sent, 'latin1'))).toBe('hand-over');
  });
});
