import { decodeHttpEvent, decodeKafkaEvent, encodeHttpEvent, isEventError, keyTypes, toBinary, toStructured, withExtensions, type IncomingRecord, type StoredEvent, type TopicPartition } from '@knative-kafka/common/core';
import { describe, expect, it } from 'vitest';
import { eventRecord, overridingExtensions, sourceEvent as eventOf, type EventSource } from './source-event.ts';

type Texts = readonly (readonly [string, string])[];
type SourceRecord = IncomingRecord & TopicPartition;
const sourceEvent = (record: SourceRecord, from: EventSource): StoredEvent => eventOf(record, record, from);

const source: EventSource = { namespace: 'shop', name: 'orders-source', keyType: 'string', extensions: [] };
const overriding = (extensions: Record<string, string>): EventSource => ({ ...source, extensions: overridingExtensions(extensions) });
const value = Buffer.from('{"a":1.0}');
const required: Texts = [['ce_specversion', '1.0'], ['ce_id', '1'], ['ce_source', '/s'], ['ce_type', 't']];
const json = 'application/cloudevents+json';

function recordOf(headers: Texts, change: Partial<SourceRecord> = {}): SourceRecord {
  const bytes = headers.map(([name, text]) => [name, Buffer.from(text)] as const);
  return { topic: 'orders', partition: 3, offset: 42n, key: null, value, timestampMs: Date.UTC(2024, 0, 31, 23, 59, 59, 123), headers: bytes, ...change };
}

const plain: Texts = [
  ['specversion', '1.0'], ['id', 'partition:3/offset:42'], ['source', '/apis/v1/namespaces/shop/kafkasources/orders-source#orders'], ['type', 'dev.knative.kafka.event'],
  ['subject', 'partition:3#42'], ['time', '2024-01-31T23:59:59.123Z'],
];
const place: Texts = [['knativekafkapartition', '3'], ['knativekafkaoffset', '42']];

/** What a plain record with these headers becomes. */
function plainEvent(extensions: Texts = [], contentType?: string): StoredEvent {
  return { mode: 'binary', attributes: [...plain, ...extensions, ...place], contentType, data: value, transport: [] };
}

/** The request that a subscriber gets, by header. */
function request(event: StoredEvent): Record<string, string> {
  const { headers } = encodeHttpEvent(event);
  return Object.fromEntries(headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1]!]] : [])));
}

function attributesOf(event: StoredEvent): Record<string, string> {
  if (event.mode !== 'binary') throw new Error('not binary');
  return Object.fromEntries(event.attributes);
}

function bodyOf(event: StoredEvent): string {
  if (event.mode !== 'structured') throw new Error('not structured');
  return event.body.toString();
}

describe('a plain record', () => {
  it('becomes an event that says where it is from', () => {
    expect(sourceEvent(recordOf([]), source)).toEqual(plainEvent());
  });

  it('keeps its value as data, the same bytes; a tombstone has none, an empty value is empty', () => {
    const bytes = Buffer.from([0, 0xff]);
    expect(sourceEvent(recordOf([], { value: bytes }), source)).toHaveProperty('data', bytes);
    expect(sourceEvent(recordOf([['content-type', 'a/b']], { value: null }), source)).toMatchObject({ data: null, contentType: 'a/b' });
    expect(sourceEvent(recordOf([], { value: Buffer.alloc(0) }), source)).toHaveProperty('data', Buffer.alloc(0));
  });

  it('tells offsets of 64 bits digit for digit', () => {
    expect(attributesOf(sourceEvent(recordOf([], { offset: 2n ** 63n - 1n, partition: 0 }), source))).toMatchObject({
      id: 'partition:0/offset:9223372036854775807', subject: 'partition:0#9223372036854775807', knativekafkaoffset: '9223372036854775807', knativekafkapartition: '0',
    });
  });

  it.each<[string, number, string | undefined]>([
    ['the epoch', 0, '1970-01-01T00:00:00.000Z'],
    ['milliseconds', 1_700_000_000_001, '2023-11-14T22:13:20.001Z'],
    ['the end of year 9999', 253_402_300_799_999, '9999-12-31T23:59:59.999Z'],
    ['no timestamp', -1, undefined],
    ['before the epoch, which Kafka does not have', -86_400_000, undefined],
    ['year 10000', 253_402_300_800_000, undefined],
    ['microseconds by mistake', 1_700_000_000_000_000, undefined],
    ['beyond every calendar', 2 ** 63, undefined],
  ])('has a time or none: %s', (_, timestampMs, time) => {
    expect(attributesOf(sourceEvent(recordOf([], { timestampMs }), source))['time']).toBe(time);
  });

  it.each<[string, Texts, string | undefined, Texts]>([
    ['a content type', [['content-type', 'application/json']], 'application/json', []],
    ['its name in any case', [['Content-TYPE', 'text/plain']], 'text/plain', []],
    ['its value in lower case', [['content-type', 'Application/JSON; Charset=UTF-8']], 'application/json; charset=utf-8', []],
    ['white space around it', [['content-type', ' text/plain ']], 'text/plain', []],
    ['the last of several', [['content-type', 'text/plain'], ['Content-Type', 'text/html']], 'text/html', []],
    ['an empty one', [['content-type', '']], undefined, []],
    ['an empty one after another', [['content-type', 'text/plain'], ['content-type', '']], 'text/plain', []],
    ['one that is no media type', [['content-type', 'JSON']], undefined, [['kafkaheadercontenttype', 'JSON']]],
    ['one that would break the header', [['content-type', 'text/plain\r\nx: y']], undefined, [['kafkaheadercontenttype', 'dGV4dC9wbGFpbg0KeDogeQ==']]],
    ['one that is beyond ASCII', [['content-type', 'text/é']], undefined, [['kafkaheadercontenttype', 'text/é']]],
    ['one without a hyphen, which is another header', [['contenttype', 'text/plain']], undefined, [['kafkaheadercontenttype', 'text/plain']]],
  ])('has a content type or none: %s', (_, headers, contentType, extensions) => {
    expect(sourceEvent(recordOf(headers), source)).toEqual(plainEvent(extensions, contentType));
  });

  it('has its headers as extensions', () => {
    const headers: Texts = [['X-Tenant', 'a'], ['content-type', 'text/plain'], ['empty', ''], ['x_tenant', 'b'], ['X-Tenant', 'c']];
    expect(sourceEvent(recordOf(headers), source)).toEqual(plainEvent([['kafkaheaderxtenant', 'c'], ['kafkaheaderxtenant2', 'b']], 'text/plain'));
  });

  it('passes trace context on, beside the event and as extensions', () => {
    const event = sourceEvent(recordOf([['Traceparent', '00-a-b-01'], ['x-request-id', 'r\n'], ['knative-x', 'y']]), source);
    expect(event).toEqual({
      ...plainEvent([['kafkaheadertraceparent', '00-a-b-01'], ['kafkaheaderxrequestid', 'cgo='], ['kafkaheaderknativex', 'y']]),
      transport: [['traceparent', '00-a-b-01'], ['knative-x', 'y']],
    });
  });

  it('has its key as key and as partitionkey', () => {
    expect(sourceEvent(recordOf([['a', 'b']], { key: Buffer.from('customer') }), source))
      .toEqual(plainEvent([['key', 'customer'], ['partitionkey', 'customer'], ['kafkaheadera', 'b']]));
    expect(sourceEvent(recordOf([], { key: Buffer.alloc(0) }), source)).toEqual(plainEvent());
  });

  it.each([['string', 'AAAAAAAAAAc='], ['int', '7'], ['float', '3.5e-323'], ['byte-array', 'AAAAAAAAAAc=']] as const)('reads its key as %s', (keyType, text) => {
    const key = Buffer.from([0, 0, 0, 0, 0, 0, 0, 7]);
    expect(attributesOf(sourceEvent(recordOf([], { key }), { ...source, keyType }))).toMatchObject({ key: text, partitionkey: text });
  });

  it('is encoded where HTTP cannot carry its key and headers', () => {
    const event = sourceEvent(recordOf([['stadt', 'Köln'], ['end', 'x ']], { key: Buffer.from('Größe 5') }), source);
    expect(request(event)).toMatchObject({ 'ce-key': 'Gr%C3%B6%C3%9Fe%205', 'ce-partitionkey': 'Gr%C3%B6%C3%9Fe%205', 'ce-kafkaheaderstadt': 'K%C3%B6ln', 'ce-kafkaheaderend': 'x%20' });
  });
});

describe('a record that is a CloudEvent', () => {
  const attributes: Texts = [['specversion', '1.0'], ['id', '1'], ['source', '/s'], ['type', 't']];

  it.each<[string, (name: string) => string]>([
    ['ce_', (name) => name], ['ce-', (name) => name.replace('_', '-')], ['upper case', (name) => name.toUpperCase()],
  ])('stays as it is in binary mode: %s', (_, spell) => {
    const headers = required.map(([name, text]) => [spell(name), text] as const);
    const record = recordOf([...headers, [spell('ce_ext'), 'é 100%'], ['Content-Type', 'Text/Plain'], ['traceparent', 't'], ['other', 'x']], { key: Buffer.from('k') });
    expect(sourceEvent(record, source)).toEqual({
      mode: 'binary', attributes: [...attributes, ['ext', 'é 100%'], ...place], contentType: 'Text/Plain', data: value, transport: [['traceparent', 't']],
    });
  });

  it('may be a tombstone, and of specversion 0.3', () => {
    const headers: Texts = [...required.slice(1), ['ce_specversion', '0.3'], ['ce_schemaurl', '/schema']];
    const event = sourceEvent(recordOf(headers, { value: null }), source);
    expect(attributesOf(event)).toMatchObject({ specversion: '0.3', id: '1', schemaurl: '/schema' });
    expect(event).toHaveProperty('data', null);
  });

  it('tells of this topic, not of the one before', () => {
    const headers: Texts = [['ce_knativekafkaoffset', '9'], ...required, ['ce_knativekafkapartition', '9']];
    expect(sourceEvent(recordOf(headers), source)).toMatchObject({ attributes: [place[1], ...attributes, place[0]] });
  });

  const head = '{ "specversion":"1.0","id":"1","source":"/s","type":"t"';
  it.each<[string, string, string]>([
    ['numbers, escapes and white space kept', `${head},"data":{"a":1.0,"b":12345678901234567890,"c":"\\/"} } \n`, `${head},"data":{"a":1.0,"b":12345678901234567890,"c":"\\/"} ,"knativekafkapartition":3,"knativekafkaoffset":42} \n`],
    ['braces in data', `${head},"data":"}}"}`, `${head},"data":"}}","knativekafkapartition":3,"knativekafkaoffset":42}`],
    ['an earlier place exchanged where it stands', `{"knativekafkaoffset" : "9" ,${head.slice(1)}}`, `{"knativekafkaoffset" : 42 ,${head.slice(1)},"knativekafkapartition":3}`],
    ['an earlier place given twice', `{"knativekafkaoffset":1,"knativekafkaoffset":2,${head.slice(1)}}`, `{"knativekafkaoffset":42,"knativekafkaoffset":42,${head.slice(1)},"knativekafkapartition":3}`],
    ['an earlier place of null', `{"knativekafkaoffset":null,${head.slice(1)}}`, `{"knativekafkaoffset":null,${head.slice(1)},"knativekafkapartition":3,"knativekafkaoffset":42}`],
    ['a place in the data', `${head},"data":{"knativekafkaoffset":1}}`, `${head},"data":{"knativekafkaoffset":1},"knativekafkapartition":3,"knativekafkaoffset":42}`],
  ])('stays as it is in structured mode: %s', (_, body, expected) => {
    const event = sourceEvent(recordOf([['Content-Type', json], ['ce_id', 'ignored'], ['tracestate', 'a=1']], { value: Buffer.from(body), key: Buffer.from('k') }), source);
    expect(event).toEqual({ mode: 'structured', contentType: json, body: Buffer.from(expected), transport: [['tracestate', 'a=1']] });
  });

  it('has its offset as a string in JSON where an integer would be none of CloudEvents', () => {
    const bodyAt = (offset: bigint) => bodyOf(sourceEvent(recordOf([['content-type', json]], { value: Buffer.from(`${head}}`), offset }), source));
    expect(bodyAt(2n ** 31n - 1n)).toMatch(/"knativekafkaoffset":2147483647}$/);
    expect(bodyAt(2n ** 31n)).toMatch(/"knativekafkaoffset":"2147483648"}$/);
  });

  it.each(['application/cloudevents+avro', `${json}; charset=utf-16`, 'application/cloudevents'])('is not looked into when it is %s', (contentType) => {
    const body = Buffer.from([0, 1, 2]);
    const event = sourceEvent(recordOf([['content-type', contentType]], { value: body }), overriding({ team: 'a', knativekafkaoffset: '0' }));
    expect(event).toEqual({ mode: 'structured', contentType, body, transport: [['ce-team', 'a'], ['ce-knativekafkaoffset', '0'], ['ce-knativekafkapartition', '3']] });
  });
});

describe('a record that only claims to be a CloudEvent is a plain one', () => {
  it.each<[string, Texts, Texts]>([
    ['no id', required.filter(([name]) => name !== 'ce_id'), [['kafkaheadercespecversion', '1.0'], ['kafkaheadercesource', '/s'], ['kafkaheadercetype', 't']]],
    ['an empty id', [['ce_specversion', '1.0'], ['ce_id', '']], [['kafkaheadercespecversion', '1.0']]],
    ['a specversion of the future', [['ce_specversion', '2.0'], ['ce_id', '1']], [['kafkaheadercespecversion', '2.0'], ['kafkaheaderceid', '1']]],
    ['no specversion', [['ce_id', '1'], ['ce-type', 't']], [['kafkaheaderceid', '1'], ['kafkaheadercetype', 't']]],
    ['both spellings', [['ce_id', '1'], ['ce-id', '2']], [['kafkaheaderceid', '1'], ['kafkaheaderceid2', '2']]],
  ])('%s', (_, headers, extensions) => expect(sourceEvent(recordOf(headers), source)).toEqual(plainEvent(extensions)));

  it.each<[string, Texts]>([
    ['a blank type', [['ce_type', ' ']]],
    ['a source that is no URI', [['ce_source', 'a b']]],
    ['a time that is none', [['ce_time', 'lunchtime']]],
    ['an attribute name that is none', [['ce_my-ext', 'x']]],
    ['a content type that is none', [['ce_datacontenttype', 'text']]],
  ])('%s', (_, headers) => {
    expect(attributesOf(sourceEvent(recordOf([...required, ...headers]), source))).toMatchObject({ type: 'dev.knative.kafka.event', kafkaheaderceid: '1' });
  });

  it.each<[string, Buffer | null, string]>([
    ['a batch', Buffer.from('[]'), 'application/cloudevents-batch+json'],
    ['no value', null, json],
    ['an empty value', Buffer.alloc(0), json],
    ['no JSON', Buffer.from('{"specversion":'), json],
    ['JSON that is no object', Buffer.from('[1]'), json],
    ['JSON without an id', Buffer.from('{"specversion":"1.0","source":"/s","type":"t"}'), json],
    ['JSON in latin1', Buffer.from('{"é":1}', 'latin1'), json],
    ['a content type that is no media type', Buffer.from('{}'), `${json} x`],
  ])('structured: %s', (_, bytes, contentType) => {
    expect(sourceEvent(recordOf([['content-type', contentType]], { value: bytes }), source)).toEqual({ ...plainEvent([['kafkaheadercontenttype', contentType]]), data: bytes });
  });
});

describe('ceOverrides', () => {
  const extensions = { team: 'a', knativekafkaoffset: 'none', key: 'other', kafkaheadera: 'b' };

  it('win over what a plain record has', () => {
    const event = sourceEvent(recordOf([['a', '1']], { key: Buffer.from('k') }), overriding(extensions));
    expect(event).toMatchObject({ attributes: [...plain, ['key', 'other'], ['partitionkey', 'k'], ['kafkaheadera', 'b'], place[0], ['knativekafkaoffset', 'none'], ['team', 'a']] });
  });

  it('win over what a CloudEvent has, in both modes', () => {
    const binary = sourceEvent(recordOf([['ce_team', 'z'], ...required]), overriding(extensions));
    expect(attributesOf(binary)).toEqual({ ...extensions, specversion: '1.0', id: '1', source: '/s', type: 't', knativekafkapartition: '3' });
    const body = '{"team":"z","specversion":"1.0","id":"1","source":"/s","type":"t"}';
    const structured = sourceEvent(recordOf([['content-type', json]], { value: Buffer.from(body) }), overriding({ ...extensions, quoted: '"é\n' }));
    expect(bodyOf(structured)).toBe('{"team":"a","specversion":"1.0","id":"1","source":"/s","type":"t","knativekafkapartition":3,"knativekafkaoffset":"none","key":"other","kafkaheadera":"b","quoted":"\\"é\\n"}');
  });

  it('leave out what would make events invalid', () => {
    expect(overridingExtensions({ ok: 'x', id: 'x', type: 'x', time: 'x', datacontenttype: 'x', data: 'x', schemaurl: 'x', Upper: 'x', 'with-hyphen': 'x', '': 'x', empty: '', ['n'.repeat(257)]: 'x' })).toEqual([['ok', 'x']]);
    expect(overridingExtensions(undefined)).toEqual([]);
  });
});

describe('any record', () => {
  /** Always the same choices for a seed. */
  function randomOf(firstSeed: number): (below: number) => number {
    let seed = Math.imul(firstSeed, 2654435761) >>> 0;
    return (below) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
  }
  type Random = ReturnType<typeof randomOf>;
  const pick = <Item>(random: Random, items: readonly Item[]): Item => items[random(items.length)]!;
  const bytesOf = (random: Random, longest: number): Buffer => Buffer.from(Array.from({ length: random(longest + 1) }, () => random(256)));

  const names = ['ce_time', 'ce_subject', 'ce_ext', 'CE-Ext', 'ce_datacontenttype', 'ce_knativekafkaoffset', 'ce_my_ext', 'content-type', 'Content-Type', 'traceparent', 'X-Id', 'x_id', 'xid', 'xid2', 'id', '', '_', 'é', '\0', '\uFFFD'];
  const texts = ['', ' x', '1', '1.0', '/s', 'text/plain', 'TEXT/HTML', json, 'application/cloudevents-batch+json', '2024-01-31T23:59:59Z', 'é', 'a\nb', '"', '\0', '\uFFFE'];
  const bodies = ['{"specversion":"1.0","id":"1","source":"/s","type":"t"}', '{"specversion":"1.0","id":"1","source":"/s","type":"t","team":1,"knativekafkaoffset":"1","data":{"a":1.0}} ', '{}', 'null', '', '[', '{"a":"}'];

  function randomRecord(random: Random): SourceRecord {
    const isClaim = random(2) === 0;
    const headers: [string, Buffer][] = isClaim ? required.filter(() => random(12) > 0).map(([name, text]) => [name, Buffer.from(text)]) : [];
    if (random(3) === 0) headers.push([pick(random, ['content-type', 'CONTENT-TYPE']), Buffer.from(json)]);
    for (let left = random(6); left > 0; left--) headers.splice(random(headers.length + 1), 0, [pick(random, names), random(4) === 0 ? bytesOf(random, 9) : Buffer.from(pick(random, texts))]);
    return {
      topic: 'orders', partition: random(50), offset: BigInt(random(2 ** 31)) * BigInt(pick(random, [1, 2 ** 31])), headers,
      key: random(4) === 0 ? null : bytesOf(random, 9),
      value: random(5) === 0 ? null : random(2) === 0 ? bytesOf(random, 40) : Buffer.from(pick(random, bodies)),
      timestampMs: pick(random, [-1, 0, 1_700_000_000_000, 2 ** 63, -(2 ** 63), random(2 ** 31)]),
    };
  }

  /** As our receiver would take the request that carries the event. */
  function isTaken(event: StoredEvent): boolean {
    const { headers, body } = encodeHttpEvent(event);
    return !('error' in decodeHttpEvent(headers, body ?? Buffer.alloc(0)));
  }

  const kinds = new Map<string, number>();

  it.each([1, 2, 3, 4])('becomes an event that receivers take, its data untouched (seed %i)', (seed) => {
    const random = randomOf(seed);
    for (let round = 0; round < 800; round++) {
      const record = randomRecord(random);
      const value = record.value === null ? null : Buffer.from(record.value);
      const from = { ...overriding(random(2) === 0 ? {} : { team: 'a', kafkaheaderzone: 'b' }), keyType: pick(random, keyTypes) };
      const event = sourceEvent(record, from);
      const shown = `seed ${seed}, round ${round}: ${JSON.stringify(record.headers.map(([name, bytes]) => [name, bytes.toString('latin1')]))}`;

      expect(isTaken(event), shown).toBe(true);
      expect(isTaken(toStructured(event)), shown).toBe(true);
      expect(isTaken(withExtensions(event, [['knativeerrorcode', '500']])), shown).toBe(true);
      expect(sourceEvent(record, from), shown).toEqual(event);
      expect(record.value, shown).toEqual(value);

      const decoded = decodeKafkaEvent(record.headers, record.value);
      const isEvent = !isEventError(decoded) && isTaken(decoded);
      kinds.set(isEvent ? decoded.mode : 'plain', (kinds.get(isEvent ? decoded.mode : 'plain') ?? 0) + 1);
      const asBinary = toBinary(event);
      const attributes = attributesOf(asBinary);
      expect(attributes, shown).toMatchObject({ knativekafkapartition: String(record.partition), knativekafkaoffset: String(record.offset), ...Object.fromEntries(from.extensions) });
      expect(attributes['type'] !== 'dev.knative.kafka.event', shown).toBe(isEvent);
      if (event.mode === 'binary') {
        expect(event.data, shown).toBe(record.value);
        expect(new Set(event.attributes.map(([name]) => name)).size, shown).toBe(event.attributes.length);
      }
      if (isEvent) {
        const { attributes: before, data } = toBinary(decoded) as Extract<StoredEvent, { mode: 'binary' }>;
        const kept = before.filter(([name]) => !['knativekafkapartition', 'knativekafkaoffset', 'team'].includes(name));
        expect(attributes, shown).toMatchObject(Object.fromEntries(kept));
        expect(asBinary, shown).toHaveProperty('data', data);
      } else {
        const isMediaType = ([name, bytes]: readonly [string, Buffer]): boolean => name.toLowerCase() === 'content-type' && /^text\/(plain|html)$/i.test(bytes.toString());
        const carried = new Set(record.headers.filter((header) => header[1].length > 0 && !isMediaType(header)).map(([name]) => name));
        expect(Object.keys(attributes).filter((name) => name.startsWith('kafkaheader') && name !== 'kafkaheaderzone'), shown).toHaveLength(carried.size);
      }
    }
  });

  it('was of every kind', () => {
    for (const kind of ['plain', 'binary', 'structured']) expect(kinds.get(kind), kind).toBeGreaterThan(100);
  });
});

describe('an event as a record of its own', () => {
  it.each<[string, SourceRecord]>([
    ['a plain record', recordOf([['content-type', 'text/plain'], ['traceparent', '00-a-b-01'], ['stadt', 'Köln']], { key: Buffer.from('k') })],
    ['a tombstone', recordOf([], { value: null })],
    ['a CloudEvent', recordOf([...required, ['content-type', 'a/b'], ['ce_team', 'Größe']])],
    ['a structured CloudEvent', recordOf([['content-type', json], ['tracestate', 'a=1']], { value: Buffer.from('{"specversion":"1.0","id":"1","source":"/s","type":"t"}') })],
  ])('of %s reads back as that event, with the key, offset and time that the record had', (_, record) => {
    const event = sourceEvent(record, overriding({ team: 'a' }));
    const stored = eventRecord(event, record);
    expect(decodeKafkaEvent(stored.headers, stored.value)).toEqual(event);
    expect(stored).toMatchObject({ offset: record.offset, key: record.key, timestampMs: record.timestampMs });
  });
});
