/**
 * What a sender sends is what a subscriber gets: over HTTP in, through a record, over HTTP out. Golden cases where JSON
 * parsers and dates are known to alter events, then random ones.
 */
import { describe, expect, it } from 'vitest';
import { isEventError } from './event.ts';
import { decodeHeaderValue, decodeHttpEvent, encodeHeaderValue, encodeHttpEvent } from './http-binding.ts';
import { decodeKafkaEvent } from './kafka-binding.ts';
import { SeededRandom } from './seeded-random.ts';

interface Request { headers: string[]; body: Buffer }

/** In and out again, with headers as bytes between, as Kafka has them. */
function deliver(request: Request): Request[] {
  const result = decodeHttpEvent(request.headers, request.body);
  if ('error' in result) throw new Error(`${result.error.attribute}: ${result.error.reason} in ${JSON.stringify(request.headers)}`);
  return result.events.map((decoded) => {
    const event = decodeKafkaEvent(decoded.headers.map(([name, value]) => [name, Buffer.from(value)]), decoded.value);
    if (isEventError(event)) throw new Error(`${event.attribute}: ${event.reason}`);
    const { headers, body } = encodeHttpEvent(event);
    return { headers, body: body ?? Buffer.alloc(0) };
  });
}

/** As a set of pairs with lower-case names: HTTP gives no meaning to the order of different headers nor to case. */
function pairs(headers: readonly string[]): string[] {
  return headers.flatMap((name, i) => (i % 2 === 0 ? [`${name.toLowerCase()}: ${headers[i + 1]!}`] : [])).sort();
}

const required = ['ce-specversion', '1.0', 'ce-id', '1', 'ce-source', '/s', 'ce-type', 't'];

describe('binary events arrive as they were sent', () => {
  it.each<[string, string[], string | Buffer]>([
    ['integers beyond doubles', ['content-type', 'application/json'], '{"a":12345678901234567890,"b":-0,"c":1e400}'],
    ['1.0, which is not 1', ['content-type', 'application/json'], '1.0'],
    ['order of members, duplicates and white space', ['content-type', 'application/json'], '{ "b":1,\n"a":2, "b":3 }'],
    ['JSON that is none', ['content-type', 'application/json'], '{'],
    ['bytes that are not UTF-8', ['content-type', 'application/json'], Buffer.from([0, 255, 0xc0, 0x80])],
    ['nanoseconds and offsets', ['ce-time', '2024-01-31T23:59:59.123456789-07:00'], ''],
    ['a leap second in lower case', ['ce-time', '2016-12-31t23:59:60z'], ''],
    ['trace context as attributes and as headers', ['ce-traceparent', '00-1-2-01', 'ce-tracestate', 'a=1', 'traceparent', '00-3-4-00', 'tracestate', 'b=2'], ''],
    ['no content type', [], 'data'],
    ['a content type without data', ['content-type', 'text/plain'], ''],
    ['percent signs in URIs', ['ce-dataschema', 'https://example.com/%C3%A9%20?q=%41'], ''],
    ['numbers and booleans as text', ['ce-a', '007', 'ce-b', '1.0', 'ce-c', 'TRUE', 'ce-d', '12345678901234567890'], ''],
  ])('%s', (_, more, data) => {
    const request = { headers: [...required, ...more], body: Buffer.from(data) };
    const [delivered] = deliver(request);
    expect(pairs(delivered!.headers)).toEqual(pairs(request.headers));
    expect(delivered!.body).toEqual(request.body);
  });
});

describe('structured events arrive as they were sent', () => {
  it.each([
    '{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"b":12345678901234567890,"a":1.0,"b":1e400}}',
    '{\n  "type" : "t", "data" : "é\\u00e9\\/", "id":"1",\r\n\t"source":"\\/s","specversion":"1.0","time":"2024-01-31T23:59:59.123456789-07:00"}\n',
    '{"specversion":"0.3","id":"1","source":"/s","type":"t","datacontentencoding":"base64","data":"AAA="}',
    '{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AAA=","ext":-0,"flag":true,"gone":null,"subject":"\\ud800"}',
  ])('%s', (text) => {
    const request = { headers: ['content-type', 'application/CloudEvents+json; Charset=UTF-8', 'x-request-id', 'r'], body: Buffer.from(text) };
    expect(deliver(request)).toEqual([request]);
  });

  it('also out of a batch', () => {
    const events = ['{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1.0}', '{ "id":"2","specversion":"1.0","source":"/s","type":"t" }'];
    const delivered = deliver({ headers: ['content-type', 'application/cloudevents-batch+json'], body: Buffer.from(`[ ${events.join(' , ')} ]`) });
    expect(delivered).toEqual(events.map((text) => ({ headers: ['content-type', 'application/cloudevents+json'], body: Buffer.from(text) })));
  });
});

/** Characters that header values may have, those with a meaning more often than the rest. */
const visible = Array.from({ length: 0x7f - 0x21 }, (_, i) => String.fromCharCode(0x21 + i));
const headerPieces = [
  ...visible, ' ', ' ', '%', '%', '"', '\\', '%20', '%25', '%C3%A9', '%c3%a9', '%E2%82%AC', '%F0%9F%98%80', '%C3', '%0D%0A', '%00', '%C2%85', '%ED%A0%80', '%EF%BB%BF',
];

function headerValue(random: SeededRandom): string {
  return random.text(headerPieces, 12).trim() || 'x';
}

describe('for random input', () => {
  it('every header value that HTTP allows leaves as it came', () => {
    const random = new SeededRandom(1);
    for (let round = 0; round < 20_000; round++) {
      const raw = headerValue(random);
      expect(encodeHeaderValue(decodeHeaderValue(raw)!), raw).toBe(raw);
    }
  });

  it('every text leaves as a header value that HTTP allows, and what had to be encoded comes back', () => {
    const random = new SeededRandom(2);
    const pieces = [...headerPieces, 'é', '😀', '\u0000', '\r\n', '\u007f', '\u0085', '\ud800', ' '];
    for (let round = 0; round < 20_000; round++) {
      const text = random.text(pieces, 8);
      const header = encodeHeaderValue(text);
      expect(header, text).toMatch(/^([!-~]([ -~]*[!-~])?)?$/);
      const isEncoded = header !== text && !/[\u0000-\u001f\u007f-\u009f\ud800]/u.test(text);
      if (isEncoded) expect(decodeHeaderValue(header), text).toBe(text);
    }
  });

  it('every valid binary event arrives as it was sent', () => {
    const random = new SeededRandom(3);
    for (let round = 0; round < 5000; round++) {
      const request = randomBinaryRequest(random);
      const [delivered] = deliver(request);
      expect(pairs(delivered!.headers)).toEqual(pairs(request.headers));
      expect(delivered!.body).toEqual(request.body);
    }
  });

  it('nothing makes decoding throw, and what it accepts can be delivered', () => {
    const random = new SeededRandom(4);
    const names = [
      'ce-id', 'CE-ID', 'ce-source', 'ce-type', 'ce-specversion', 'ce-time', 'ce-', 'c', '', 'ce-data', 'content-type', 'Content-Type', 'traceparent', 'x-b3-', 'knative-', '\u00ff',
    ];
    const values = [
      '', ' ', '1.0', '0.3', '/s', 't', '%', '\u00ff', '\u0000', '\u{1f600}', '2024-01-31T23:59:59Z',
      'application/json', 'application/cloudevents+json', 'application/cloudevents-batch+json',
    ];
    const bodies = ['', '[', '{', '}', ']', '"', '\\', ',', ':', 'null', '1', '{"specversion":"1.0","id":"1","source":"/s","type":"t"}', '[]', '"id"', ' ', '\ufeff'];
    const beginnings = [[], required, ...['+json', '+xml', '-batch+json'].map((format) => ['content-type', `application/cloudevents${format}`])];
    const outcomes = new Set<string>();
    for (let round = 0; round < 30_000; round++) {
      const headers = Array.from({ length: random.below(12) }, () => [random.pick(names), random.pick(values)]).flat();
      const body = random.below(2) === 0 ? Buffer.from(random.text(bodies, 5)) : Buffer.from(Array.from({ length: random.below(20) }, () => random.below(256)));
      const result = decodeHttpEvent([...random.pick(beginnings), ...headers], body);
      outcomes.add('error' in result ? String(result.status) : result.mode);
      if ('error' in result) {
        expect(result.error.reason).toMatch(/^(batch\[\d+\]: )?expected /);
        continue;
      }
      for (const { headers: record, value } of result.events) {
        const event = decodeKafkaEvent(record, value);
        if (isEventError(event)) throw new Error(event.reason);
        for (const text of encodeHttpEvent(event).headers) expect(text).toMatch(/^[\t -~]*$/);
      }
    }
    expect([...outcomes].sort()).toEqual(['400', '415', 'batch', 'binary', 'structured']);
  });
});

function randomBinaryRequest(random: SeededRandom): Request {
  const headers = ['Ce-Specversion', random.pick(['1.0', '0.3']), 'Ce-Id', `i${headerValue(random)}`, 'Ce-Type', `t${headerValue(random)}`];
  headers.push('Ce-Source', random.pick(['/s', 'urn:x', '/%C3%A9', '#a', 'https://example.com/a?b=%20']));
  if (random.below(2) === 0) headers.push('ce-subject', `s${headerValue(random)}`);
  if (random.below(2) === 0) headers.push('ce-time', random.pick(['2024-01-31T23:59:59Z', '2024-02-29t00:00:00.000000001+14:00']));
  if (random.below(2) === 0) headers.push('content-type', random.pick(['application/json', 'Text/Plain;\tcharset=latin1', 'a/b; c="d e"']));
  if (random.below(2) === 0) headers.push('x-request-id', headerValue(random));
  for (let i = random.below(4); i > 0; i--) headers.push(`ce-ext${i}`, headerValue(random));
  return { headers, body: Buffer.from(Array.from({ length: random.below(30) }, () => random.below(256))) };
}
