import { describe, expect, it } from 'vitest';
import { isEventError } from './event.ts';
import type { Attributes } from './event.ts';
import { jsonArrayElements, readJsonBatch, readJsonEvent } from './json-format.ts';
import { SeededRandom } from './seeded-random.ts';

const minimal = { specversion: '1.0', id: '1', source: '/s', type: 't' };
const old = { ...minimal, specversion: '0.3' };

function bytes(json: unknown): Buffer {
  return Buffer.from(typeof json === 'string' ? json : JSON.stringify(json));
}

describe('valid events', () => {
  const all = {
    ...minimal, subject: 'tests', time: '2018-04-05T17:31:00Z', datacontenttype: 'text/plain', dataschema: 'https://example.com/schema', data: 'text',
  };
  it.each<[string, unknown, Record<string, string>]>([
    ['the minimum', minimal, minimal],
    ['all core attributes', all, { ...minimal, subject: 'tests', time: '2018-04-05T17:31:00Z', datacontenttype: 'text/plain', dataschema: 'https://example.com/schema' }],
    ['null for what is unset', { ...minimal, subject: null, time: null, datacontenttype: null, dataschema: null, ext: null }, minimal],
    ['data null', { ...minimal, data: null }, minimal],
    ['data null beside data_base64', { ...minimal, data: null, data_base64: 'AA==' }, minimal],
    ['data_base64 null beside data', { ...minimal, data: 1, data_base64: null }, minimal],
    ['data_base64', { ...minimal, data_base64: 'eyAieHl6IjogMTIzIH0=' }, minimal],
    ['data_base64 of no bytes', { ...minimal, data_base64: '' }, minimal],
    ['data of every kind', { ...minimal, data: [1.5, { id: 2, 'my-name': [] }, false, null] }, minimal],
    ['an integer', { ...minimal, ext: 10 }, { ...minimal, ext: '10' }],
    ['the smallest and the largest integer', { ...minimal, a: -2147483648, b: 2147483647 }, { ...minimal, a: '-2147483648', b: '2147483647' }],
    ['minus zero', '{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":-0}', { ...minimal, ext: '0' }],
    ['booleans', { ...minimal, a: true, b: false }, { ...minimal, a: 'true', b: 'false' }],
    ['an empty extension', { ...minimal, ext: '' }, { ...minimal, ext: '' }],
    ['the last of members with one name', '{"specversion":"0.3","id":"","id":"1","source":"/s","type":"t","specversion":"1.0"}', minimal],
    ['white space', ` \n\t\r${JSON.stringify(minimal, undefined, 2)}\n `, minimal],
    ['escapes in names and values', '{"\\u0069d":"\\u0031","specversion":"1.0","source":"\\/s","type":"t"}', minimal],
    ['0.3', old, old],
    ['0.3 with schemaurl', { ...old, schemaurl: '/schema' }, { ...old, schemaurl: '/schema' }],
    ['0.3 with base64 in data', { ...old, datacontentencoding: 'Base64', data: 'AAA=' }, { ...old, datacontentencoding: 'Base64' }],
    ['0.3 with an unknown encoding', { ...old, datacontentencoding: 'quoted-printable', data: 'a=20b' }, { ...old, datacontentencoding: 'quoted-printable' }],
    ['0.3 with dataschema as extension', { ...old, dataschema: 5 }, { ...old, dataschema: '5' }],
    ['1.0 with datacontentencoding as extension', { ...minimal, datacontentencoding: 'base64', data: '?' }, { ...minimal, datacontentencoding: 'base64' }],
    ['text beyond ASCII', { ...minimal, subject: 'é😀' }, { ...minimal, subject: 'é😀' }],
  ])('%s', (_, json, attributes) => {
    expect(Object.fromEntries(readJsonEvent(bytes(json)) as Attributes)).toEqual(attributes);
  });
});

describe('invalid events', () => {
  const without = (name: keyof typeof minimal) => ({ ...minimal, [name]: undefined });
  it.each<[string, unknown, string, string]>([
    ['no specversion', without('specversion'), 'specversion', 'expected the required attribute specversion, got none'],
    ['no id', without('id'), 'id', 'expected the required attribute id, got none'],
    ['no source', without('source'), 'source', 'expected the required attribute source, got none'],
    ['no type', without('type'), 'type', 'expected the required attribute type, got none'],
    ['a required attribute that is null', { ...minimal, id: null }, 'id', 'expected the required attribute id, got none'],
    ['an empty specversion', { ...minimal, specversion: '' }, 'specversion', 'expected specversion 1.0 or 0.3, got ""'],
    ['an unknown specversion', { ...minimal, specversion: '0.9' }, 'specversion', 'expected specversion 1.0 or 0.3, got "0.9"'],
    ['a specversion that is a number', { ...minimal, specversion: 1.0 }, 'specversion', 'expected a string, got 1'],
    ['an empty id', { ...minimal, id: '' }, 'id', 'expected a non-empty string, got ""'],
    ['an empty type', { ...minimal, type: '' }, 'type', 'expected a non-empty string, got ""'],
    ['an empty source', { ...minimal, source: '' }, 'source', 'expected a non-empty URI reference, got ""'],
    ['an empty subject', { ...minimal, subject: '' }, 'subject', 'expected a non-empty string, got ""'],
    ['an empty datacontenttype', { ...minimal, datacontenttype: '' }, 'datacontenttype', 'expected a media type such as application/json, got ""'],
    ['an empty dataschema', { ...minimal, dataschema: '' }, 'dataschema', 'expected an absolute URI, got ""'],
    ['garbage in time', { ...minimal, time: 'lunchtime' }, 'time', 'expected an RFC 3339 timestamp such as 2024-01-31T23:59:59Z, got "lunchtime"'],
    ['a time that is a number', { ...minimal, time: 1706745599 }, 'time', 'expected a string, got 1706745599'],
    ['an id that is a number', { ...minimal, id: 25 }, 'id', 'expected a string, got 25'],
    ['an id that is an object', { ...minimal, id: { a: 1 } }, 'id', 'expected a string, got an object'],
    ['0.3: a schemaurl that is a number', { ...old, schemaurl: 1 }, 'schemaurl', 'expected a string, got 1'],
    ['0.3: an encoding that is a number', { ...old, datacontentencoding: 1 }, 'datacontentencoding', 'expected a string, got 1'],
    ['an upper-case extension', { ...minimal, MyExtension: 'x' }, 'MyExtension', 'expected an attribute name of letters a-z and digits, got "MyExtension"'],
    ['punctuation in an extension', { ...minimal, 'my.extension': 'x' }, 'my.extension', 'expected an attribute name of letters a-z and digits, got "my.extension"'],
    ['an empty name', { ...minimal, '': 'x' }, '', 'expected an attribute name of letters a-z and digits, got ""'],
    ['__proto__', '{"specversion":"1.0","id":"1","source":"/s","type":"t","__proto__":"x"}', '__proto__', 'expected an attribute name of letters a-z and digits, got "__proto__"'],
    ['a fraction', { ...minimal, ext: 1.5 }, 'ext', 'expected an integer of 32 bits (other numbers as a string), got 1.5'],
    ['a number beyond 32 bits', { ...minimal, ext: 2147483648 }, 'ext', 'expected an integer of 32 bits (other numbers as a string), got 2147483648'],
    ['a number beyond doubles', '{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":1e999}', 'ext', 'expected an integer of 32 bits (other numbers as a string), got Infinity'],
    ['an array', { ...minimal, ext: [1] }, 'ext', 'expected a string, a boolean or an integer, got an array'],
    ['an object', { ...minimal, ext: {} }, 'ext', 'expected a string, a boolean or an integer, got an object'],
    ['data and data_base64', { ...minimal, data: 'x', data_base64: 'AA==' }, 'data', 'expected either data or data_base64, got both'],
    ['data_base64 that is an array', { ...minimal, data_base64: [1] }, 'data_base64', 'expected a base64 string, got an array'],
    ['data_base64 that is none', { ...minimal, data_base64: 'AA' }, 'data_base64', 'expected base64 in the standard alphabet, padded, got "AA"'],
    ['0.3: encoded data that is an object', { ...old, datacontentencoding: 'base64', data: {} }, 'data', 'expected a base64 string, as datacontentencoding says, got an object'],
    ['0.3: encoded data that is not base64', { ...old, datacontentencoding: 'base64', data: '?' }, 'data', 'expected base64 in the standard alphabet, padded, as datacontentencoding says, got "?"'],
    ['an array', [minimal], 'body', 'expected an event: a JSON object, got an array'],
    ['a string', '"event"', 'body', 'expected an event: a JSON object, got "event"'],
    ['null', 'null', 'body', 'expected an event: a JSON object, got null'],
  ])('%s', (_, json, attribute, reason) => {
    expect(readJsonEvent(bytes(json))).toEqual({ attribute, reason });
  });

  it.each([
    ['nothing', Buffer.alloc(0), /^expected JSON: SyntaxError: Unexpected end/],
    ['text', Buffer.from('lunch'), /^expected JSON: SyntaxError: Unexpected token/],
    ['a trailing comma', Buffer.from('{"id":"1",}'), /^expected JSON: SyntaxError/],
    ['two documents', Buffer.from('{}{}'), /^expected JSON: SyntaxError/],
    ['a byte order mark', Buffer.from('\ufeff{}'), /^expected JSON without a byte order mark$/],
    ['UTF-16', Buffer.from('{}', 'utf16le'), /^expected JSON: SyntaxError/],
    ['latin1', Buffer.from('{"id":"é"}', 'latin1'), /^expected JSON in UTF-8, got bytes that are not UTF-8$/],
    ['an overlong encoding', Buffer.from([0x22, 0xc0, 0xa0, 0x22]), /^expected JSON in UTF-8/],
    ['half a surrogate pair', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), /^expected JSON in UTF-8/],
  ])('%s', (_, body, reason) => {
    for (const result of [readJsonEvent(body), readJsonBatch(body)]) {
      expect(result).toEqual({ attribute: 'body', reason: expect.stringMatching(reason) as string });
    }
  });
});

it('survives any depth of nesting', () => {
  for (const depth of [1000, 300_000]) {
    const deep = `${'['.repeat(depth)}${']'.repeat(depth)}`;
    const event = readJsonEvent(bytes(`${JSON.stringify(minimal).slice(0, -1)},"data":${deep}}`));
    if (isEventError(event)) expect(event.attribute).toBe('body');
    else expect(event.get('id')).toBe('1');
    expect(isEventError(readJsonBatch(bytes(deep)))).toBe(true);
    expect(isEventError(readJsonEvent(bytes('['.repeat(depth))))).toBe(true);
  }
});

describe('batches', () => {
  it('gives each event its own bytes, untouched', () => {
    const first = '{ "specversion":"1.0","id":"a","source":"/s","type":"t", "data": [1.0, 12345678901234567890, "],\\"{"] }';
    const second = '{"type":"t","source":"/s","id":"b","specversion":"1.0","data":{"z":1,"a":{"b":[]}}}';
    const batch = readJsonBatch(bytes(`\n [ ${first}\n,\t${second} ] \r\n`));
    if (isEventError(batch)) throw new Error(batch.reason);
    expect(batch.map((event) => event.bytes.toString())).toEqual([first, second]);
    expect(batch.map((event) => event.attributes.get('id'))).toEqual(['a', 'b']);
  });

  it.each(['[]', ' [ ] '])('may be empty: %j', (text) => expect(readJsonBatch(bytes(text))).toEqual([]));

  it.each<[string, unknown, string, string]>([
    ['no array', minimal, 'body', 'expected a batch: a JSON array of events, got an object'],
    ['an event without id', [minimal, { ...minimal, id: undefined }], 'id', 'batch[1]: expected the required attribute id, got none'],
    ['an element that is no event', ['not an object', minimal], 'body', 'batch[0]: expected an event: a JSON object, got "not an object"'],
    ['two specversions', [minimal, minimal, old], 'specversion', 'expected batch[2] to have specversion 1.0 like the events before it, got "0.3"'],
  ])('are invalid as a whole: %s', (_, json, attribute, reason) => {
    expect(readJsonBatch(bytes(json))).toEqual({ attribute, reason });
  });

  it('are cut where JSON.parse cuts them, whatever is in them', () => {
    const random = new SeededRandom(7);
    for (let round = 0; round < 3000; round++) {
      const text = randomArray(random, 4);
      const parsed = JSON.parse(text) as unknown[];
      const slices = jsonArrayElements(Buffer.from(text)).map((slice) => slice.toString());
      expect(slices.map((slice) => JSON.parse(slice) as unknown), text).toEqual(parsed);
      expect(slices.filter((slice) => slice !== slice.trim()), text).toEqual([]);
    }
  });

  it('are cut right behind long strings, wherever in them something is escaped', () => {
    for (let before = 24; before < 40; before++) {
      for (let backslashes = 0; backslashes < 6; backslashes++) {
        const strings = ['"', 'x', '"x', '\\", "'].map((end) => 'x'.repeat(before) + '\\'.repeat(backslashes) + end);
        expect(jsonArrayElements(Buffer.from(JSON.stringify(strings))).map((slice) => slice.toString())).toEqual(strings.map((string) => JSON.stringify(string)));
      }
    }
  });
});

const gaps = ['', '', ' ', '\n', '\t\r\n '];
const stringPieces = ['a', '\\"', '\\\\', '[', ']', '{', '}', ',', ' ', '\\u0022', 'é', '😀', '\\n'];

function randomArray(random: SeededRandom, depth: number): string {
  const elements = Array.from({ length: random.below(4) }, () => randomJson(random, depth - 1));
  return `${random.pick(gaps)}[${elements.map((element) => random.pick(gaps) + element + random.pick(gaps)).join(',') || random.pick(gaps)}]${random.pick(gaps)}`;
}

function randomJson(random: SeededRandom, depth: number): string {
  const string = () => `"${random.text(stringPieces, random.pick([5, 5, 50]))}"`;
  switch (random.below(depth > 0 ? 5 : 3)) {
    case 0: return random.pick(['1', '-0.5e+3', '12345678901234567890', 'true', 'false', 'null']);
    case 1: case 2: return string();
    case 3: return randomArray(random, depth).trim();
    default: {
      const members = Array.from({ length: random.below(4) }, () => `${string()}${random.pick(gaps)}:${random.pick(gaps)}${randomJson(random, depth - 1)}`);
      return `{${random.pick(gaps)}${members.join(random.pick([',', ' , ']))}${random.pick(gaps)}}`;
    }
  }
}
