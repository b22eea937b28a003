import { describe, expect, it } from 'vitest';
import type { NamedTexts } from '@knative-kafka/common/core';
import { announcesEvent, readReply } from './reply.ts';

const binary = ['Ce-Specversion', '1.0', 'Ce-Id', 'r', 'Ce-Source', '/r', 'Ce-Type', 'answered'];
const trace: NamedTexts = [['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'], ['tracestate', 'a=1'], ['x-request-id', 'q']];
const structured = (event: object): Buffer => Buffer.from(JSON.stringify(event));
const json = ['content-type', 'application/cloudevents+json'];

describe('announcesEvent', () => {
  it.each<[boolean, string, Record<string, string>]>([
    [true, 'ce-specversion', { 'ce-specversion': '1.0' }],
    [true, 'a version that nobody knows: the body decides nothing here', { 'ce-specversion': '9.9' }],
    [true, 'structured JSON', { 'content-type': 'application/cloudevents+json; charset=utf-8' }],
    [true, 'structured in another format, in any case', { 'content-type': 'Application/CloudEvents+Avro' }],
    [false, 'a batch', { 'content-type': 'application/cloudevents-batch+json' }],
    [false, 'JSON', { 'content-type': 'application/json' }],
    [false, 'other ce- headers', { 'ce-id': '1', 'ce-type': 't' }],
    [false, 'nothing', {}],
  ])('is %s for %s', (expected, _, headers) => {
    expect(announcesEvent((name) => headers[name])).toBe(expected);
  });
});

describe('readReply', () => {
  it('is a binary event as it came', () => {
    expect(readReply({ headers: [...binary, 'Content-Type', 'text/plain', 'Date', 'x', 'Server', 'y'], body: Buffer.from('hi') }, [])).toEqual({
      mode: 'binary', contentType: 'text/plain', data: Buffer.from('hi'), transport: [],
      attributes: [['specversion', '1.0'], ['id', 'r'], ['source', '/r'], ['type', 'answered']],
    });
  });

  it('is an event without data where the body is empty', () => {
    expect(readReply({ headers: binary, body: Buffer.alloc(0) }, [])).toMatchObject({ data: null });
  });

  it('is a structured event, byte for byte', () => {
    const body = structured({ specversion: '1.0', id: 'r', source: '/r', type: 't', data: { n: 1 } });
    expect(readReply({ headers: json, body }, [])).toEqual({ mode: 'structured', contentType: 'application/cloudevents+json', body, transport: [] });
  });

  it('may be of specversion 0.3', () => {
    expect(readReply({ headers: binary.map((text) => (text === '1.0' ? '0.3' : text)), body: Buffer.alloc(0) }, [])).toMatchObject({ attributes: expect.arrayContaining([['specversion', '0.3']]) });
  });

  it('keeps the headers of the answer that travel with an event, and no others', () => {
    const passed = ['X-Request-Id', 'own', 'Knative-Any', 'k', 'X-B3-TraceId', 'b'];
    expect(readReply({ headers: [...binary, ...passed, 'Set-Cookie', 'c', 'X-Other', 'o'], body: Buffer.alloc(0) }, [])!.transport).toEqual([['x-request-id', 'own'], ['knative-any', 'k'], ['x-b3-traceid', 'b']]);
  });

  it('continues the trace of the event that was answered, and takes nothing else of it', () => {
    expect(readReply({ headers: binary, body: Buffer.alloc(0) }, trace)!.transport).toEqual(trace.slice(0, 2));
  });

  it('has a trace of its own where it brings one', () => {
    const own = ['traceparent', '00-11111111111111111111111111111111-2222222222222222-00'];
    expect(readReply({ headers: [...binary, ...own], body: Buffer.alloc(0) }, trace)!.transport).toEqual([own]);
  });

  it('loses a state that belongs to no trace', () => {
    expect(readReply({ headers: [...binary, 'tracestate', 'b=2'], body: Buffer.alloc(0) }, trace)!.transport).toEqual(trace.slice(0, 2));
  });

  it.each<[string, string[], Buffer]>([
    ['an attribute is missing', binary.slice(0, 6), Buffer.alloc(0)],
    ['its version is unknown', ['ce-specversion', '9.9', ...binary.slice(2)], Buffer.alloc(0)],
    ['an attribute came twice', [...binary, 'ce-id', 's'], Buffer.alloc(0)],
    ['a structured body is no JSON', json, Buffer.from('{')],
    ['a structured body is no event', json, structured({ id: 'r' })],
    ['it is in a format that is not read', ['content-type', 'application/cloudevents+avro'], Buffer.from('x')],
    ['it is a batch', ['content-type', 'application/cloudevents-batch+json'], structured([{ specversion: '1.0', id: 'r', source: '/r', type: 't' }])],
  ])('is none where %s', (_, headers, body) => {
    expect(readReply({ headers, body }, trace)).toBeUndefined();
  });
});
