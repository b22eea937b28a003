import { describe, expect, it } from 'vitest';
import { decodeHttpEvent, encodeHttpEvent } from './http-binding.ts';
import { decodeKafkaEvent } from './kafka-binding.ts';
import { isEventError } from './event.ts';

const data = Buffer.from('{"a":1.0}');
const required: [string, string][] = [['ce_specversion', '1.0'], ['ce_id', '1'], ['ce_source', '/s'], ['ce_type', 't']];
const attributes = [['specversion', '1.0'], ['id', '1'], ['source', '/s'], ['type', 't']];

/** Headers as a Kafka client gives them. */
function bytes(headers: readonly (readonly [string, string])[]): [string, Buffer][] {
  return headers.map(([name, value]) => [name, Buffer.from(value)]);
}

describe('binary records', () => {
  it.each<[string, [string, string][], Record<string, unknown>]>([
    ['the minimum', required, {}],
    ['a content type', [['content-type', 'application/json'], ...required], { contentType: 'application/json' }],
    ['names in any case', [['Content-Type', 'text/plain'], ...required.map(([name, value]): [string, string] => [name.toUpperCase(), value])], { contentType: 'text/plain' }],
    ['ce- for ce_', required.map(([name, value]) => [name.replace('_', '-'), value]), {}],
    ['ce_datacontenttype alone', [...required, ['ce_datacontenttype', 'text/plain']], { contentType: 'text/plain' }],
    ['ce_datacontenttype beside a content type', [['ce_datacontenttype', 'text/plain'], ...required, ['content-type', 'text/html']], { contentType: 'text/html' }],
    ['ce_datacontenttype of an event', [...required, ['ce_datacontenttype', 'application/cloudevents+json']], {}],
    ['an empty content type', [['content-type', ''], ...required], {}],
    ['text beyond ASCII and percent signs as they are', [...required, ['ce_subject', 'é 100% %41']], { attributes: [...attributes, ['subject', 'é 100% %41']] }],
    ['the last of several headers', [...required, ['ce_id', '2'], ['CE-Id', '3']], { attributes: [['specversion', '1.0'], ['id', '3'], ['source', '/s'], ['type', 't']] }],
    ['the last of several content types', [['content-type', 'a/b'], ...required, ['Content-Type', 'c/d']], { contentType: 'c/d' }],
    ['empty attributes as absent', [...required, ['ce_subject', ''], ['ce_id', '']], {}],
    ['no attribute named data, none without name', [...required, ['ce_data', 'x'], ['ce_', 'x']], {}],
    ['attributes of any name', [...required, ['ce_my-ext', 'x']], { attributes: [...attributes, ['my-ext', 'x']] }],
    ['values that are not valid by the rules of requests', [...required, ['ce_time', 'lunchtime']], { attributes: [...attributes, ['time', 'lunchtime']] }],
    ['transport headers', [['Traceparent', '00-a-b-00'], ...required, ['x-b3-traceid', 'a'], ['knative-x', 'y'], ['x-request-id', 'r']],
      { transport: [['traceparent', '00-a-b-00'], ['x-b3-traceid', 'a'], ['knative-x', 'y'], ['x-request-id', 'r']] }],
    ['transport values that no header can hold', [...required, ['x-request-id', 'a\r\nb'], ['knative-x', ''], ['tracestate', 'é']], {}],
    ['other headers', [...required, ['cex', 'x'], ['c', 'x'], ['', 'x'], ['key', 'x'], ['content-encoding', 'gzip'], ['kafka_offset', '1']], {}],
  ])('%s', (_, headers, change) => {
    const event = { mode: 'binary', attributes, contentType: undefined, data, transport: [], ...change };
    expect(decodeKafkaEvent(bytes(headers), data)).toEqual(event);
    expect(decodeKafkaEvent(headers, data), 'headers as text').toEqual(event);
  });

  it('counts the last of several headers, at the place of the first, however many there are', () => {
    const many = Array.from({ length: 50_000 }, (_, index): [string, string] => [`ce_e${index}`, 'before']);
    const again = many.map(([name], index): [string, string] => [name.toUpperCase(), `after ${index}`]);
    const expected = [...attributes, ...many.map(([name], index) => [name.slice(3), `after ${index}`])];
    expect(decodeKafkaEvent([...required, ...many, ...again], data)).toHaveProperty('attributes', expected);
  });

  it('shares the value and keeps null apart from empty', () => {
    expect(decodeKafkaEvent(bytes(required), data)).toHaveProperty('data', data);
    expect(decodeKafkaEvent(bytes(required), null)).toHaveProperty('data', null);
    expect(decodeKafkaEvent(bytes(required), Buffer.alloc(0))).toHaveProperty('data', Buffer.alloc(0));
  });

  it.each(required)('is no event without %s', (missing) => {
    const name = missing.slice(3);
    expect(decodeKafkaEvent(bytes(required.filter(([header]) => header !== missing)), data))
      .toEqual({ attribute: name, reason: `expected the required attribute ${name}, got none` });
  });

  it('is no event with another specversion', () => {
    expect(decodeKafkaEvent(bytes([...required, ['ce_specversion', '2.0']]), data))
      .toEqual({ attribute: 'specversion', reason: 'expected specversion 1.0 or 0.3, got "2.0"' });
  });

  it('is no event without any header', () => {
    expect(decodeKafkaEvent([], null)).toEqual({ attribute: 'specversion', reason: 'expected the required attribute specversion, got none' });
  });
});

describe('structured records', () => {
  it.each([
    'application/cloudevents+json', 'application/cloudevents+json; charset=utf-8', 'Application/CloudEvents+JSON;charset=UTF-8', 'application/cloudevents',
    'application/cloudevents+avro',
  ])('%s', (contentType) => {
    const event = decodeKafkaEvent(bytes([...required, ['tracestate', 'a=1'], ['CONTENT-TYPE', contentType]]), data);
    expect(event).toEqual({ mode: 'structured', contentType, body: data, transport: [['tracestate', 'a=1']] });
    expect(event).toHaveProperty('body', data);
  });

  it('are no batches', () => {
    expect(decodeKafkaEvent(bytes([['content-type', 'application/cloudevents-batch+json'], ...required]), data))
      .toEqual({ attribute: 'content-type', reason: 'expected one event in a record, got "application/cloudevents-batch+json"' });
  });

  it.each([null, Buffer.alloc(0)])('have a value', (value) => {
    expect(decodeKafkaEvent(bytes([['content-type', 'application/cloudevents+json']]), value))
      .toEqual({ attribute: 'body', reason: 'expected an event in the value of a structured record, got none' });
  });
});

it('reads what the HTTP binding made, without Kafka between them, as a reply needs it', () => {
  const headers = ['ce-specversion', '1.0', 'ce-id', '1', 'ce-source', '/s', 'ce-type', 't', 'ce-ext', 'caf%C3%A9', 'content-type', 'application/json', 'x-request-id', 'r'];
  const result = decodeHttpEvent(headers, data);
  if ('error' in result) throw new Error(result.error.reason);
  const event = decodeKafkaEvent(result.events[0]!.headers, result.events[0]!.value);
  if (isEventError(event)) throw new Error(event.reason);
  expect(encodeHttpEvent(event)).toEqual({ headers, body: data });
});
