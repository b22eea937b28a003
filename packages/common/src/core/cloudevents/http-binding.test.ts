import { describe, expect, it } from 'vitest';
import type { StoredEvent } from './event.ts';
import { decodeHeaderValue, decodeHttpEvent, encodeHeaderValue, encodeHttpEvent } from './http-binding.ts';
import type { DecodedEvent, DecodeResult } from './http-binding.ts';

const required = ['ce-specversion', '1.0', 'ce-id', '1', 'ce-source', '/s', 'ce-type', 't'];
const requiredRecord = [['ce_specversion', '1.0'], ['ce_id', '1'], ['ce_source', '/s'], ['ce_type', 't']];
const json = '{"specversion":"1.0","id":"1","source":"/s","type":"t"}';
const none = Buffer.alloc(0);

/** Header text as node:http hands it over: one character per byte. */
function onTheWire(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function only(result: DecodeResult): DecodedEvent {
  if ('error' in result) throw new Error(`${result.error.attribute}: ${result.error.reason}`);
  expect(result.events).toHaveLength(1);
  return result.events[0]!;
}

function structured(contentType: string, body: string | Buffer = json): DecodeResult {
  return decodeHttpEvent(['Content-Type', contentType], Buffer.from(body));
}

describe('a binary request becomes a binary record', () => {
  it('copies attributes and content type in their order and leaves the rest of the request behind', () => {
    const body = Buffer.from('{"a":1.0}');
    const result = decodeHttpEvent([
      'Host', 'orders-kn-channel.shop.svc', 'Ce-Id', '1', 'Content-Type', 'application/json; charset=UTF-8', 'CE-SOURCE', '/s', 'ce-Type', 't',
      'Accept', '*/*', 'Content-Length', '9', 'Ce-Specversion', '1.0', 'ce-MyExt1', 'X', 'Connection', 'keep-alive', 'authorization', 'Bearer x',
    ], body);
    expect(result).toEqual({
      mode: 'binary',
      events: [{
        headers: [['ce_id', '1'], ['content-type', 'application/json; charset=UTF-8'], ['ce_source', '/s'], ['ce_type', 't'], ['ce_specversion', '1.0'], ['ce_myext1', 'X']],
        value: body,
        partitionKey: undefined,
      }],
    });
    expect(only(result).value).toBe(body);
  });

  it('stores null for a request without body', () => {
    expect(only(decodeHttpEvent(required, none))).toEqual({ headers: requiredRecord, value: null, partitionKey: undefined });
  });

  it('takes 0.3 with its own attributes', () => {
    const headers = ['ce-specversion', '0.3', 'ce-id', '1', 'ce-source', '/s', 'ce-type', 't', 'ce-schemaurl', '/schema', 'ce-datacontentencoding', 'base64'];
    expect(only(decodeHttpEvent(headers, Buffer.from('AAAA'))).headers).toEqual([
      ['ce_specversion', '0.3'], ['ce_id', '1'], ['ce_source', '/s'], ['ce_type', 't'], ['ce_schemaurl', '/schema'], ['ce_datacontentencoding', 'base64'],
    ]);
  });

  it('keeps the attribute traceparent apart from the header traceparent', () => {
    expect(only(decodeHttpEvent([...required, 'traceparent', '00-a-b-00', 'ce-traceparent', '00-c-d-01'], none)).headers)
      .toEqual([...requiredRecord, ['traceparent', '00-a-b-00'], ['ce_traceparent', '00-c-d-01']]);
  });

  it.each([
    ['neither', [], undefined],
    ['subject', ['ce-subject', 'order-7'], 'order-7'],
    ['partitionkey', ['ce-partitionkey', 'k'], 'k'],
    ['both', ['ce-partitionkey', 'k', 'ce-subject', 'order-7'], 'k'],
    ['encoded', ['ce-subject', 'caf%C3%A9'], 'café'],
  ])('partitions by %s', (_, headers, partitionKey) => {
    expect(only(decodeHttpEvent([...required, ...headers], none)).partitionKey).toBe(partitionKey);
  });

  it.each([
    'application/json', 'text/plain;charset=ISO-8859-1', 'application/octet-stream', 'application/cloudeventz', 'application/cloud', 'x/cloudevents+json',
    'multipart/form-data; boundary="a b"', 'text/plain;\tcharset=utf-8',
  ])('stores the content type %j as it is', (contentType) => {
    const event = only(decodeHttpEvent([...required, 'content-type', contentType], none));
    expect(event.headers.at(-1)).toEqual(['content-type', contentType]);
  });

  it('reads an empty content type as none', () => {
    expect(only(decodeHttpEvent(['Content-Type', '', ...required], none)).headers).toEqual(requiredRecord);
  });

  it('does not count white space around a value, as HTTP does not', () => {
    expect(only(decodeHttpEvent([...required, 'ce-ext', ' \ta b\t '], none)).headers.at(-1)).toEqual(['ce_ext', 'a b']);
  });

  it('has no trouble with very many attributes', () => {
    const many = Array.from({ length: 1000 }, (_, i) => [`ce-x${i}`, 'v']).flat();
    expect(only(decodeHttpEvent([...required, ...many], none)).headers).toHaveLength(1004);
    expect(decodeHttpEvent([...required, ...many, 'CE-X999', 'v'], none)).toMatchObject({ status: 400, error: { attribute: 'x999' } });
  });
});

describe('a binary request is refused with the attribute at fault', () => {
  const instead = (name: string, value: string) => required.map((text, i) => (required[i - 1] === name ? value : text));
  const without = (name: string) => required.filter((text, i) => text !== name && required[i - 1] !== name);
  it.each<[string, string[], string, string]>([
    ['nothing of CloudEvents', ['content-type', 'application/json'], 'specversion', 'expected the required attribute specversion, got none'],
    ['no specversion', without('ce-specversion'), 'specversion', 'expected the required attribute specversion, got none'],
    ['no id', without('ce-id'), 'id', 'expected the required attribute id, got none'],
    ['no source', without('ce-source'), 'source', 'expected the required attribute source, got none'],
    ['no type', without('ce-type'), 'type', 'expected the required attribute type, got none'],
    ['specversion 10.0', instead('ce-specversion', '10.0'), 'specversion', 'expected specversion 1.0 or 0.3, got "10.0"'],
    ['an empty id', instead('ce-id', ''), 'id', 'expected a value in the header of this attribute, got none'],
    ['a blank id', instead('ce-id', '  '), 'id', 'expected a value in the header of this attribute, got none'],
    ['an id of encoded spaces', instead('ce-id', '%20'), 'id', 'expected a non-empty string, got " "'],
    ['an empty extension', [...required, 'ce-ext', ''], 'ext', 'expected a value in the header of this attribute, got none'],
    ['a bad source', instead('ce-source', 'not a uri'), 'source', 'expected a non-empty URI reference, got "not a uri"'],
    ['a bad time', [...required, 'ce-time', 'lunchtime'], 'time', 'expected an RFC 3339 timestamp such as 2024-01-31T23:59:59Z, got "lunchtime"'],
    ['a relative dataschema', [...required, 'ce-dataschema', '/x'], 'dataschema', 'expected an absolute URI, got "/x"'],
    ['a bad extension name', [...required, 'ce-my-ext', 'x'], 'my-ext', 'expected an attribute name of letters a-z and digits, got "my-ext"'],
    ['an extension without name', [...required, 'ce-', 'x'], '', 'expected an attribute name of letters a-z and digits, got ""'],
    ['an attribute named data', [...required, 'ce-data', 'x'], 'data', 'expected data in the body; no attribute may be named data'],
    ['ce-datacontenttype', [...required, 'Ce-DataContentType', 'text/plain'], 'datacontenttype', 'expected the header Content-Type for it, got the header ce-datacontenttype'],
    ['a bad content type', [...required, 'content-type', 'xyz'], 'datacontenttype', 'expected a media type such as application/json, got "xyz"'],
    ['two content types', ['content-type', 'text/plain', ...required, 'Content-Type', 'text/plain'], 'content-type', 'expected one Content-Type header, got several'],
    ['an attribute twice', [...required, 'CE-ID', '1'], 'id', 'expected one header for this attribute, got several'],
    ['bytes that are not UTF-8', [...required, 'ce-subject', 'caf\u00e9'], 'subject', 'expected UTF-8 in the header value, percent-encoded if not ASCII, got "café"'],
    ['a source in latin1', instead('ce-source', '/caf\u00e9'), 'source', 'expected UTF-8 in the header value, percent-encoded if not ASCII, got "/café"'],
  ])('%s', (_, headers, attribute, reason) => {
    expect(decodeHttpEvent(headers, Buffer.from('data'))).toEqual({ status: 400, error: { attribute, reason } });
  });
});

describe('a structured request becomes a structured record', () => {
  it.each([
    'application/cloudevents+json',
    'application/cloudevents+json; charset=utf-8',
    'application/cloudevents+json;charset=UTF-8',
    'Application/CloudEvents+JSON ; Charset="utf-8"',
    'application/cloudevents+json; charset=us-ascii',
    'application/cloudevents+json; profile=x;',
  ])('%s', (contentType) => {
    const body = Buffer.from(json);
    const event = only(decodeHttpEvent(['ce-id', 'ignored', 'Content-Type', contentType, 'ce-my-ext', 'ignored too'], body));
    expect(event.headers).toEqual([['content-type', contentType]]);
    expect(event.value).toBe(body);
  });

  it.each([
    ['application/cloudevents+json; charset=iso-8859-1', 415, 'expected the charset utf-8, got "application/cloudevents+json; charset=iso-8859-1"'],
    ['application/cloudevents+json; charset=utf-8; charset=utf-16', 415, 'expected the charset utf-8, got "application/cloudevents+json; charset=utf-8; charset=utf-16"'],
    ['application/cloudevents', 415, 'expected application/cloudevents+json or application/cloudevents-batch+json, got "application/cloudevents"'],
    ['application/cloudevents+xml', 415, 'expected application/cloudevents+json or application/cloudevents-batch+json, got "application/cloudevents+xml"'],
    ['application/cloudevents+avro', 415, 'expected application/cloudevents+json or application/cloudevents-batch+json, got "application/cloudevents+avro"'],
    ['application/CloudEvents-batch+protobuf', 415, 'expected application/cloudevents+json or application/cloudevents-batch+json, got "application/CloudEvents-batch+protobuf"'],
    ['application/cloudevents-batch+json; charset=utf-16', 415, 'expected the charset utf-8, got "application/cloudevents-batch+json; charset=utf-16"'],
    ['application/cloudevents+json; charset', 400, 'expected a media type, got "application/cloudevents+json; charset"'],
  ])('not %s', (contentType, status, reason) => {
    expect(structured(contentType)).toEqual({ status, error: { attribute: 'content-type', reason } });
  });

  it('is refused with the attribute at fault', () => {
    expect(structured('application/cloudevents+json', '{"specversion":"1.0","id":"1","type":"t"}'))
      .toEqual({ status: 400, error: { attribute: 'source', reason: 'expected the required attribute source, got none' } });
    expect(structured('application/cloudevents+json', '')).toMatchObject({ status: 400, error: { attribute: 'body' } });
  });

  it('partitions by partitionkey, else subject', () => {
    const body = (more: string) => json.replace('}', `,${more}}`);
    const key = (more: string) => only(structured('application/cloudevents+json', body(more))).partitionKey;
    expect(key('"data":{"subject":"no"}')).toBeUndefined();
    expect(key('"subject":"s"')).toBe('s');
    expect(key('"subject":"s","partitionkey":"k"')).toBe('k');
    expect(key('"subject":"s","partitionkey":""')).toBe('s');
    expect(key('"subject":"s","partitionkey":7')).toBe('7');
  });
});

describe('a batch becomes one structured record for each event', () => {
  it('with its own bytes, the charset that was named, and the transport headers', () => {
    const second = ' {"id":"2" , "specversion":"1.0","source":"/s","type":"t","subject":"b"}';
    const result = decodeHttpEvent(['content-type', 'application/CloudEvents-Batch+json; a=b; Charset=UTF-8', 'x-request-id', 'r'], Buffer.from(`[${json},${second}\n]`));
    const headers = [['content-type', 'application/cloudevents+json; charset=UTF-8'], ['x-request-id', 'r']];
    expect(result).toEqual({
      mode: 'batch',
      events: [
        { headers, value: Buffer.from(json), partitionKey: undefined },
        { headers, value: Buffer.from(second.trim()), partitionKey: 'b' },
      ],
    });
  });

  it('may be empty', () => {
    expect(structured('application/cloudevents-batch+json', '[]')).toEqual({ mode: 'batch', events: [] });
  });

  it('is refused as a whole', () => {
    expect(structured('application/cloudevents-batch+json', `[${json},{}]`))
      .toEqual({ status: 400, error: { attribute: 'specversion', reason: 'batch[1]: expected the required attribute specversion, got none' } });
  });
});

describe('headers that travel with the event', () => {
  it.each([
    ['Traceparent', 'traceparent'], ['TRACESTATE', 'tracestate'], ['X-Request-Id', 'x-request-id'], ['x-request-ID', 'x-request-id'],
    ['Knative-Foo', 'knative-foo'], ['knative-', 'knative-'], ['X-B3-TraceId', 'x-b3-traceid'], ['x-b3-sampled', 'x-b3-sampled'],
  ])('%s is kept in every mode', (rawName, name) => {
    for (const result of [
      decodeHttpEvent([...required, rawName, 'v; w=1'], none),
      decodeHttpEvent([rawName, 'v; w=1', 'content-type', 'application/cloudevents+json'], Buffer.from(json)),
      decodeHttpEvent([rawName, 'v; w=1', 'content-type', 'application/cloudevents-batch+json'], Buffer.from(`[${json}]`)),
    ]) expect(only(result).headers.at(-1)).toEqual([name, 'v; w=1']);
  });

  it.each(['traceparen', 'x-request-ids', 'knative', 'x-b3', 'b3', 'te', 'trailer', 'x-forwarded-for', 'keep-alive', 'cookie'])('%s is not', (name) => {
    expect(only(decodeHttpEvent([...required, name, 'v'], none)).headers).toEqual(requiredRecord);
  });

  it('keeps those that repeat and drops values that no header can hold', () => {
    const headers = ['tracestate', 'a=1', 'tracestate', 'b=2', 'x-request-id', 'caf\u00e9', 'knative-a', '', 'knative-b', 'a\tb', 'knative-c', ' c '];
    expect(only(decodeHttpEvent([...required, ...headers], none)).headers.slice(4)).toEqual([['tracestate', 'a=1'], ['tracestate', 'b=2'], ['knative-c', 'c']]);
  });
});

describe('header values', () => {
  // What came, what is stored; what goes out is what came unless a third column says otherwise.
  it.each<[string, string, string?]>([
    ['plain', 'plain'],
    ['a b', 'a b'],
    ['"a b"', '"a b"'],
    ['a"b\\c', 'a"b\\c'],
    ['100%', '100%'],
    ['100% sure', '100% sure'],
    ['%', '%'],
    ['%4', '%4'],
    ['%zz', '%zz'],
    ['%41', '%41'],
    ['a%20b', 'a%20b'],
    ['%25', '%25'],
    ['%22', '%22'],
    ['caf%C3%A9', 'café'],
    ['caf%c3%a9', 'caf%c3%a9'],
    ['Euro%20%E2%82%AC%20%F0%9F%98%80', 'Euro € 😀'],
    ['Euro %E2%82%AC', 'Euro %E2%82%AC'],
    ['%20leading', ' leading'],
    ['trailing%20', 'trailing '],
    ['%C3%A9%41', '%C3%A9%41'],
    ['%C3%A9%25', 'é%'],
    ['%C3%A9%22', 'é"'],
    ['%C0%A0', '%C0%A0'],
    ['%ED%A0%80', '%ED%A0%80'],
    ['%C3', '%C3'],
    ['%0D%0AX:%20y', '%0D%0AX:%20y'],
    ['%00', '%00'],
    ['%7F', '%7F'],
    ['%C2%85', '%C2%85'],
    ['%EF%BB%BF', '\ufeff'],
    [onTheWire('café'), 'café', 'caf%C3%A9'],
    [onTheWire('café au lait'), 'café au lait', 'caf%C3%A9%20au%20lait'],
    [onTheWire('😀'), '😀', '%F0%9F%98%80'],
    [onTheWire('é%41'), 'éA', '%C3%A9A'],
    [onTheWire('é 100%'), 'é 100%', '%C3%A9%20100%25'],
    ['a\tb', 'a\tb', 'a%09b'],
  ])('%j is stored as %j', (raw, stored, out = raw) => {
    expect(decodeHeaderValue(raw)).toBe(stored);
    expect(encodeHeaderValue(stored)).toBe(out);
  });

  it.each(['caf\u00e9', '\u00c0\u00a0', '\u00ff', '\u0100', '\u00e9%C3%A9'])('%j is not UTF-8', (raw) => {
    expect(decodeHeaderValue(raw)).toBeUndefined();
  });

  it.each([
    ['', ''],
    [' ', '%20'],
    ['a\r\nset-cookie: x', 'a%0D%0Aset-cookie:%20x'],
    ['\u0000', '%00'],
    ['\u007f', '%7F'],
    ['é "100%"', '%C3%A9%20%22100%25%22'],
    ['\ud800', '%EF%BF%BD'],
  ])('%j leaves as %j', (text, header) => expect(encodeHeaderValue(text)).toBe(header));

  it('are left alone in URIs, which have a percent-encoding of their own', () => {
    const headers = ['ce-specversion', '1.0', 'ce-id', '1', 'ce-source', '/caf%C3%A9', 'ce-type', 't', 'ce-dataschema', onTheWire('http://x/é?%C3%A9')];
    expect(only(decodeHttpEvent(headers, none)).headers).toEqual([
      ['ce_specversion', '1.0'], ['ce_id', '1'], ['ce_source', '/caf%C3%A9'], ['ce_type', 't'], ['ce_dataschema', 'http://x/é?%C3%A9'],
    ]);
  });
});

describe('a stored event becomes a request', () => {
  const binary: StoredEvent = { mode: 'binary', attributes: [['specversion', '1.0'], ['id', '1']], contentType: undefined, data: null, transport: [] };

  it('binary: attributes, content type, transport headers, data', () => {
    const data = Buffer.from('x');
    const request = encodeHttpEvent({
      ...binary, attributes: [...binary.attributes, ['myext', 'é'], ['subject', 'a b']], contentType: 'text/plain;\tcharset=utf-8', data, transport: [['traceparent', '00-a-b-00']],
    });
    expect(request.headers).toEqual([
      'ce-specversion', '1.0', 'ce-id', '1', 'ce-myext', '%C3%A9', 'ce-subject', 'a b', 'content-type', 'text/plain;\tcharset=utf-8', 'traceparent', '00-a-b-00',
    ]);
    expect(request.body).toBe(data);
  });

  it('binary without data: no body, and no content type that was not there', () => {
    expect(encodeHttpEvent(binary)).toEqual({ headers: ['ce-specversion', '1.0', 'ce-id', '1'], body: null });
  });

  it('structured: as it is', () => {
    const body = Buffer.from(json);
    const request = encodeHttpEvent({ mode: 'structured', contentType: 'Application/CloudEvents+JSON; charset="UTF-8"', body, transport: [['x-request-id', 'r']] });
    expect(request.headers).toEqual(['content-type', 'Application/CloudEvents+JSON; charset="UTF-8"', 'x-request-id', 'r']);
    expect(request.body).toBe(body);
  });

  it('puts nothing into a header that could end it', () => {
    const { headers } = encodeHttpEvent({
      ...binary, attributes: [['a b', 'x'], ['a\r\nb', 'x'], ['ok', 'x\r\ny']], contentType: 'text/plain\r\nx: y', transport: [['bad name', 'x'], ['x-request-id', 'a\nb']],
    });
    expect(headers).toEqual(['ce-ok', 'x%0D%0Ay', 'content-type', 'text/plain%0D%0Ax:%20y', 'x-request-id', 'a%0Ab']);
    expect(encodeHttpEvent({ ...binary, attributes: [], contentType: 'text/é' }).headers).toEqual(['content-type', 'text/%C3%A9']);
  });
});
