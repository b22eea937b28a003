/**
 * The JavaScript SDK as the other side. It alters events where our codec does not (times, numbers, content types), so
 * the cases keep to what it gets right: what it sends we read, what we send it reads.
 */
import { CloudEvent, HTTP, Kafka } from 'cloudevents';
import type { CloudEventV1, Message } from 'cloudevents';
import { describe, expect, it } from 'vitest';
import { isEventError } from './event.ts';
import { decodeHttpEvent, encodeHttpEvent } from './http-binding.ts';
import { decodeKafkaEvent } from './kafka-binding.ts';

const events: [string, Partial<CloudEventV1<unknown>>][] = [
  ['the minimum', {}],
  ['a subject', { subject: 'order-7' }],
  ['all attributes', { subject: 'order-7', time: '2024-01-31T23:59:59.123Z', dataschema: 'https://example.com/schema', datacontenttype: 'application/json', data: { a: 1 } }],
  ['extensions', { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', partitionkey: 'k' }],
  ['JSON data', { datacontenttype: 'application/json', data: { a: [1, 'é', null, { b: true }] } }],
  ['text', { datacontenttype: 'text/plain', data: 'text, é' }],
];

function sdkEvent(change: Partial<CloudEventV1<unknown>>): CloudEvent<unknown> {
  return new CloudEvent({ id: '1', source: '/s', type: 't', time: '2024-01-31T23:59:59.000Z', ...change });
}

function rawHeaders(message: Message): string[] {
  return Object.entries(message.headers).flatMap(([name, value]) => [name, String(value)]);
}

/** Through our codecs, and back to the message the SDK's own HTTP servers would have made of it. */
function deliver(message: Message): Message {
  const body = message.body === undefined ? Buffer.alloc(0) : Buffer.from(message.body as string);
  const result = decodeHttpEvent(rawHeaders(message), body);
  if ('error' in result) throw new Error(`${result.error.attribute}: ${result.error.reason}`);
  expect(result.events).toHaveLength(1);
  const event = decodeKafkaEvent(result.events[0]!.headers, result.events[0]!.value);
  if (isEventError(event)) throw new Error(`${event.attribute}: ${event.reason}`);
  const request = encodeHttpEvent(event);
  const headers = Object.fromEntries(request.headers.flatMap((name, i) => (i % 2 === 0 ? [[name, request.headers[i + 1]!]] : [])));
  return { headers, body: request.body?.toString() };
}

/** The SDK's reading, without the content type that it makes up in binary mode. */
function read(message: Message): Record<string, unknown> {
  const event = HTTP.toEvent<unknown>(message);
  if (Array.isArray(event)) throw new Error('a batch');
  const { datacontenttype, ...rest } = JSON.parse(JSON.stringify(event)) as Record<string, unknown>;
  return datacontenttype === 'application/json; charset=utf-8' ? rest : { ...rest, datacontenttype };
}

describe.each(events)('an event of the SDK with %s', (_, change) => {
  const event = sdkEvent(change);
  const expected = JSON.parse(JSON.stringify(event)) as Record<string, unknown>;

  it('arrives in binary mode', () => expect(read(deliver(HTTP.binary(event)))).toEqual(expected));
  it('arrives in structured mode', () => expect(read(deliver(HTTP.structured(event)))).toEqual(expected));

  it('is read out of the record that the SDK makes, structured and binary', () => {
    const { headers, value } = Kafka.structured(event);
    const structured = decodeKafkaEvent(Object.entries(headers).map(([name, text]) => [name, String(text)]), Buffer.from(value));
    expect(structured).toMatchObject({ mode: 'structured', body: Buffer.from(event.toString()) });

    // The SDK leaves `undefined` among its headers, which no client can send, and the data as the object it was.
    const binaryHeaders = Object.entries(Kafka.binary(event).headers).filter(([, text]) => text !== undefined).map(([name, text]): [string, string] => [name, String(text)]);
    const binary = decodeKafkaEvent(binaryHeaders, null);
    if (isEventError(binary) || binary.mode !== 'binary') throw new Error('not binary');
    expect({ ...Object.fromEntries(binary.attributes), datacontenttype: binary.contentType }).toEqual({ ...expected, data: undefined, datacontenttype: event.datacontenttype });
  });
});

it('a batch of the SDK arrives event by event', () => {
  const batch = events.map(([, change]) => sdkEvent(change));
  const result = decodeHttpEvent(['content-type', 'application/cloudevents-batch+json'], Buffer.from(JSON.stringify(batch)));
  if ('error' in result) throw new Error(result.error.reason);
  expect(result.events.map((event) => JSON.parse(event.value!.toString()) as unknown)).toEqual(JSON.parse(JSON.stringify(batch)));
});
