import { CloudEvent, HTTP } from 'cloudevents';
import { describe, expect, it } from 'vitest';
import { isEventError } from './event.ts';
import type { NamedTexts, StoredEvent } from './event.ts';
import { toBinary, toStructured, withExtensions } from './event-conversion.ts';
import { encodeHttpEvent } from './http-binding.ts';
import { isJsonObject, jsonObjectMembers, readJsonEvent } from './json-format.ts';
import { SeededRandom } from './seeded-random.ts';

type Binary = Extract<StoredEvent, { mode: 'binary' }>;
type Structured = Extract<StoredEvent, { mode: 'structured' }>;

const required: NamedTexts = [['specversion', '1.0'], ['id', '1'], ['source', '/s'], ['type', 't']];
const requiredOld: NamedTexts = [['specversion', '0.3'], ...required.slice(1)];
const transport: NamedTexts = [['x-request-id', 'r']];
const head = '{"specversion":"1.0","id":"1","source":"/s","type":"t"';
const headOld = '{"specversion":"0.3","id":"1","source":"/s","type":"t"';

function binary(change: Partial<Binary>): Binary {
  return { mode: 'binary', attributes: required, contentType: undefined, data: null, transport, ...change };
}

function structured(body: string | Buffer, contentType = 'application/cloudevents+json'): Structured {
  return { mode: 'structured', contentType, body: Buffer.from(body), transport };
}

function bodyOf(event: StoredEvent): string {
  if (event.mode !== 'structured') throw new Error('not structured');
  return event.body.toString();
}

function asBinary(event: StoredEvent): Binary {
  if (event.mode !== 'binary') throw new Error('not binary');
  return event;
}

const deep = `${'[{"a":'.repeat(50_000)}1${'}]'.repeat(50_000)}`;
const loneSurrogate = String.fromCharCode(0xd800);
const notUtf8 = Buffer.from([0xff, 0x00, 0x80]);

describe('further extensions', () => {
  const added: NamedTexts = [['knativeerrordest', 'http://a/?b="c"'], ['knativeerrorcode', '500']];
  const spliced = '"knativeerrordest":"http://a/?b=\\"c\\"","knativeerrorcode":"500"';

  it('follow the attributes of a binary event', () => {
    const event = binary({ data: notUtf8, contentType: 'a/b' });
    expect(withExtensions(event, added)).toEqual({ ...event, attributes: [...required, ...added] });
  });

  it('leave a binary attribute that is there as it is', () => {
    const event = binary({ attributes: [...required, ['knativeerrorcode', '404']] });
    expect(asBinary(withExtensions(event, added)).attributes).toEqual([...event.attributes, added[0]]);
  });

  it.each<[string, string, string]>([
    ['after the last member', `${head}}`, `${head},${spliced}}`],
    ['into an empty object', '{}', `{${spliced}}`],
    ['into an object of white space', ' { \n} ', ` { \n${spliced}} `],
    ['before white space at the end', `${head} }\r\n\t `, `${head} ,${spliced}}\r\n\t `],
    ['not into nested objects', `${head},"data":{"knativeerrordest":1,"x":[{}]}}`, `${head},"data":{"knativeerrordest":1,"x":[{}]},${spliced}}`],
    ['past braces in strings', `${head},"data":"}\\"}","a":"\\\\"}`, `${head},"data":"}\\"}","a":"\\\\",${spliced}}`],
    ['without one that is there', '{"knativeerrorcode":"1"}', `{"knativeerrorcode":"1",${spliced.split(',')[0]!}}`],
    ['without one whose name is escaped', '{"\\u006bnativeerrorcode":1}', `{"\\u006bnativeerrorcode":1,${spliced.split(',')[0]!}}`],
    ['behind one that holds null', '{"knativeerrordest" : null , "knativeerrorcode":0}', `{"knativeerrordest" : null , "knativeerrorcode":0,${spliced.split(',')[0]!}}`],
    ['where the last of several holds null', '{"knativeerrorcode":1,"knativeerrorcode":null,"knativeerrordest":1}', '{"knativeerrorcode":1,"knativeerrorcode":null,"knativeerrordest":1,"knativeerrorcode":"500"}'],
    ['not where only the first of several holds null', '{"knativeerrorcode":null,"knativeerrorcode":1,"knativeerrordest":1}', '{"knativeerrorcode":null,"knativeerrorcode":1,"knativeerrordest":1}'],
    ['with numbers and spelling kept', '{"a":1.0,"b":12345678901234567890,"c":1e999,"d":"\\/\\u0041","__proto__":{}}', `{"a":1.0,"b":12345678901234567890,"c":1e999,"d":"\\/\\u0041","__proto__":{},${spliced}}`],
    ['behind any depth of nesting', `{"data":${deep}}`, `{"data":${deep},${spliced}}`],
  ])('come as members of structured JSON: %s', (_, body, expected) => {
    const result = withExtensions(structured(body), added);
    expect(bodyOf(result) === expected, bodyOf(result).slice(0, 300)).toBe(true);
    expect({ ...result, body: null }).toEqual({ ...structured(body), body: null });
    const members = JSON.parse(bodyOf(result)) as Record<string, unknown>;
    for (const [name] of added) expect(members[name]).not.toBeNull();
  });

  it.each(['Application/CloudEvents+JSON', 'application/cloudevents+json; charset="UTF-8"', 'application/cloudevents+json ;a=b'])('know JSON by its content type: %s', (contentType) => {
    expect(withExtensions(structured('{}', contentType), [['a', 'b']])).toEqual(structured('{"a":"b"}', contentType));
  });

  it.each<[string, string | Buffer, string]>([
    ['Avro', '{}', 'application/cloudevents+avro'],
    ['Protobuf', notUtf8, 'application/cloudevents+protobuf'],
    ['a format that is not named', '{}', 'application/cloudevents'],
    ['another charset', '{}', 'application/cloudevents+json; charset=utf-16'],
    ['an array', '[{}]', 'application/cloudevents+json'],
    ['null', 'null', 'application/cloudevents+json'],
    ['nothing', '', 'application/cloudevents+json'],
    ['a truncated object', '{"a":{"b":1}', 'application/cloudevents+json'],
    ['text after the object', '{}}', 'application/cloudevents+json'],
    ['a byte order mark', '\ufeff{}', 'application/cloudevents+json'],
    ['bytes that are not UTF-8', Buffer.from('{"a":"é"}', 'latin1'), 'application/cloudevents+json'],
  ])('become transport headers beside a body that cannot take them: %s', (_, body, contentType) => {
    const event = structured(body, contentType);
    const result = withExtensions(event, added);
    const headers = [['ce-knativeerrordest', 'http://a/?b="c"'], ['ce-knativeerrorcode', '500']];
    expect(result).toEqual({ ...event, transport: [...transport, ...headers] });
    expect(encodeHttpEvent(result).headers).toEqual(['content-type', contentType, ...transport.flat(), ...headers.flat()]);
    expect(withExtensions(result, [['knativeerrorcode', '404']])).toBe(result);
  });

  it('take the first of equal names', () => {
    const twice: NamedTexts = [['a', '1'], ['a', '2']];
    expect(asBinary(withExtensions(binary({}), twice)).attributes.slice(4)).toEqual([['a', '1']]);
    expect(bodyOf(withExtensions(structured('{}'), twice))).toBe('{"a":"1"}');
    expect(withExtensions(structured('', 'application/cloudevents+avro'), twice).transport).toEqual([...transport, ['ce-a', '1']]);
  });

  it('keep the first error through a chain of dead letter sinks', () => {
    for (const event of [binary({}), structured(`${head}}`), structured('', 'application/cloudevents+avro')]) {
      const once = withExtensions(event, added);
      expect(withExtensions(once, [['knativeerrordest', 'http://other'], ['knativeerrorcode', '404']])).toBe(once);
    }
  });

  it('change nothing when there are none', () => {
    for (const event of [binary({}), structured('{}'), structured('{')]) expect(withExtensions(event, [])).toBe(event);
  });
});

describe('binary to structured', () => {
  it.each<[string, string | Buffer, string | undefined, string]>([
    ['JSON', '{"b":1.0,"a":[12345678901234567890,"\\u00e9\\/"]}', 'application/json', '"data":{"b":1.0,"a":[12345678901234567890,"\\u00e9\\/"]}'],
    ['JSON by suffix, in any case, with a charset', '1e999', 'Application/Vnd.x+JSON; charset="utf-8"', '"data":1e999'],
    ['JSON that is a string', '"a"', 'text/json', '"data":"a"'],
    ['JSON with white space around it', ' [1]\n', 'application/json', '"data": [1]\n'],
    ['JSON with equal names and half a surrogate pair', '{"a":1,"a":"\\ud800"}', 'application/json', '"data":{"a":1,"a":"\\ud800"}'],
    ['JSON without content type', '{"a":1}', undefined, '"data":{"a":1}'],
    ['what is not JSON, without content type', 'hello', undefined, '"data_base64":"aGVsbG8="'],
    ['JSON null, which as a member would be no data', 'null', 'application/json', '"data_base64":"bnVsbA=="'],
    ['JSON that is truncated', '{"a":', 'application/json', '"data_base64":"eyJhIjo="'],
    ['JSON that would end the object', '1,"id":"2"', 'application/json', '"data_base64":"MSwiaWQiOiIyIg=="'],
    ['JSON with a byte order mark', Buffer.from([0xef, 0xbb, 0xbf, 0x31]), 'application/json', '"data_base64":"77u/MQ=="'],
    ['JSON in another charset', '1', 'application/json; charset=utf-16', '"data_base64":"MQ=="'],
    ['JSON that is not UTF-8', Buffer.from('"é"', 'latin1'), 'application/json', '"data_base64":"Iuki"'],
    ['text', 'a"\\\u0000\n\u2028é😀', 'text/plain', '"data":"a\\"\\\\\\u0000\\n\u2028é😀"'],
    ['text with a byte order mark', '\ufeffa', 'text/plain', '"data":"\ufeffa"'],
    ['text that looks like JSON', '{"a":1}', 'text/plain; charset=us-ascii', '"data":"{\\"a\\":1}"'],
    ['text in another charset', 'a', 'text/plain; charset=iso-8859-1', '"data_base64":"YQ=="'],
    ['text that is not UTF-8', notUtf8, 'text/plain', '"data_base64":"/wCA"'],
    ['XML', '<a/>', 'application/xml', '"data":"<a/>"'],
    ['XML by suffix', '<svg/>', 'image/svg+xml', '"data":"<svg/>"'],
    ['a form', 'a=b', 'application/x-www-form-urlencoded', '"data":"a=b"'],
    ['bytes', 'abc', 'application/octet-stream', '"data_base64":"YWJj"'],
    ['bytes of a content type that is none', 'abc', 'json', '"data_base64":"YWJj"'],
    ['text of no bytes', '', 'text/plain', '"data":""'],
    ['JSON of no bytes', '', 'application/json', '"data_base64":""'],
  ])('holds data: %s', (_, data, contentType, member) => {
    const result = toStructured(binary({ data: Buffer.from(data), contentType }));
    const type = contentType === undefined ? '' : `,"datacontenttype":${JSON.stringify(contentType)}`;
    expect(result).toEqual(structured(`${head}${type},${member}}`, 'application/cloudevents+json; charset=utf-8'));
    expect(isJsonObject(Buffer.from(bodyOf(result)))).toBe(true);
  });

  it.each<[string, NamedTexts, string | Buffer, string | undefined, string]>([
    ['JSON', [], '[1.0]', 'application/json', '"datacontenttype":"application/json","data":[1.0]'],
    ['text', [], 'a', 'text/plain', '"datacontenttype":"text/plain","data":"a"'],
    ['bytes', [], notUtf8, undefined, '"datacontentencoding":"base64","data":"/wCA"'],
    ['base64, as declared', [['datacontentencoding', 'Base64'], ['b', '1']], 'YWJj', 'a/b', '"datacontentencoding":"Base64","b":"1","datacontenttype":"a/b","data":"YWJj"'],
    ['JSON declared as base64', [['datacontentencoding', 'base64']], '{}', undefined, '"data":{}'],
    ['bytes declared as base64', [['datacontentencoding', 'base64']], notUtf8, undefined, '"datacontentencoding":"base64","data":"/wCA"'],
    ['text in another encoding', [['datacontentencoding', 'quoted-printable']], 'a=20b', undefined, '"datacontentencoding":"quoted-printable","data":"a=20b"'],
  ])('holds data of 0.3: %s', (_, extensions, data, contentType, members) => {
    const event = binary({ attributes: [...requiredOld, ...extensions], data: Buffer.from(data), contentType });
    expect(bodyOf(toStructured(event))).toBe(`${headOld},${members}}`);
  });

  it('stays binary where 0.3 names an encoding that is not text', () => {
    const event = binary({ attributes: [...requiredOld, ['datacontentencoding', 'gzip']], data: notUtf8 });
    expect(toStructured(event)).toBe(event);
    expect(bodyOf(toStructured({ ...event, data: null }))).toBe(`${headOld},"datacontentencoding":"gzip"}`);
  });

  it('takes datacontentencoding for an ordinary extension in 1.0', () => {
    const event = binary({ attributes: [...required, ['datacontentencoding', 'base64']], data: Buffer.from('{}') });
    expect(bodyOf(toStructured(event))).toBe(`${head},"datacontentencoding":"base64","data":{}}`);
  });

  it('holds no data in no member', () => {
    expect(bodyOf(toStructured(binary({})))).toBe(`${head}}`);
    expect(bodyOf(toStructured(binary({ contentType: 'text/plain' })))).toBe(`${head},"datacontenttype":"text/plain"}`);
    expect(bodyOf(toStructured(binary({ attributes: [] })))).toBe('{}');
  });

  it('keeps attributes as text, in their order, but none that would take the place of the data', () => {
    const attributes: NamedTexts = [...required, ['zeta', '"\\\u0001'], ['1', '007'], ['data', 'x'], ['data_base64', 'eA=='], ['__proto__', 'p'], ['my-ext', loneSurrogate]];
    expect(bodyOf(toStructured(binary({ attributes, data: Buffer.from('1') }))))
      .toBe(`${head},"zeta":"\\"\\\\\\u0001","1":"007","__proto__":"p","my-ext":"\\ud800","data":1}`);
  });

  it('is nothing to do for a structured event', () => {
    for (const event of [structured('{}'), structured(notUtf8, 'application/cloudevents+avro')]) expect(toStructured(event)).toBe(event);
  });
});

describe('structured to binary', () => {
  it.each<[string, string, string | undefined, string | Buffer | null]>([
    ['JSON, byte for byte', `${head},"datacontenttype":"application/json","data": {"b" : 1.0,"a":[12345678901234567890, "\\u00e9\\/"]} }`, 'application/json', '{"b" : 1.0,"a":[12345678901234567890, "\\u00e9\\/"]}'],
    ['JSON that is a string', `${head},"datacontenttype":"a/b+json","data":"a\\n"}`, 'a/b+json', '"a\\n"'],
    ['JSON without content type', `{"data":{"a":1},${head.slice(1)}}`, 'application/json', '{"a":1}'],
    ['a string without content type', `${head},"data":"a"}`, 'application/json', '"a"'],
    ['a string with content type null', `${head},"datacontenttype":null,"data":"a"}`, 'application/json', '"a"'],
    ['half a surrogate pair in JSON', `${head},"data":["\\ud800"]}`, 'application/json', '["\\ud800"]'],
    ['text', `${head},"datacontenttype":"text/plain","data":"a\\n\\u00e9\\ud83d\\ude00"}`, 'text/plain', 'a\né😀'],
    ['text of no characters', `${head},"datacontenttype":"text/plain","data":""}`, 'text/plain', ''],
    ['an object that is declared as text', `${head},"datacontenttype":"text/plain","data":{"a": 1}}`, 'text/plain', '{"a": 1}'],
    ['base64', `${head},"datacontenttype":"application/octet-stream","data_base64":"/wCA"}`, 'application/octet-stream', notUtf8],
    ['base64 with escapes', `${head},"data_base64":"\\/w\\u0043A"}`, undefined, notUtf8],
    ['base64 of no bytes', `${head},"data_base64":""}`, undefined, ''],
    ['base64 of JSON', `${head},"datacontenttype":"application/json; charset=utf-16","data_base64":"MQ=="}`, 'application/json; charset=utf-16', '1'],
    ['none', `${head},"datacontenttype":"text/plain"}`, 'text/plain', null],
    ['null', `${head},"data":null,"data_base64":null}`, undefined, null],
    ['the last of several', `${head},"data":1,"\\u0064ata":[2 ]}`, 'application/json', '[2 ]'],
    ['the last of several is null', `${head},"data":1,"data":null}`, undefined, null],
    ['false', `${head},"data":false}`, 'application/json', 'false'],
    ['beside a member of that name inside', `${head},"data":{"data":1,"data_base64":{}}}`, 'application/json', '{"data":1,"data_base64":{}}'],
    ['any depth of nesting', `${head},"data":${deep}}`, 'application/json', deep],
  ])('gives the data: %s', (_, body, contentType, data) => {
    const result = asBinary(toBinary(structured(body)));
    expect({ ...result, data: null }).toEqual(binary({ contentType }));
    if (data === null) expect(result.data).toBeNull();
    else expect(result.data?.equals(Buffer.from(data)), result.data?.toString().slice(0, 300)).toBe(true);
  });

  it.each<[string, string, Partial<Binary>]>([
    ['base64', '"datacontentencoding":"BASE64","data":"\\/wCA"', { data: notUtf8 }],
    ['base64 of JSON', '"datacontentencoding":"base64","datacontenttype":"application/json","data":"MQ=="', { data: Buffer.from('1'), contentType: 'application/json' }],
    ['base64 in the manner of 1.0', '"data_base64":"/wCA"', { data: notUtf8 }],
    ['JSON', '"data":[1.0]', { data: Buffer.from('[1.0]'), contentType: 'application/json' }],
    ['another encoding, kept', '"datacontentencoding":"quoted-printable","data":"a=20b"', { attributes: [...requiredOld, ['datacontentencoding', 'quoted-printable']], data: Buffer.from('a=20b') }],
    ['an empty encoding', '"datacontentencoding":"","data":"a"', { data: Buffer.from('"a"'), contentType: 'application/json' }],
  ])('gives the data of 0.3: %s', (_, members, expected) => {
    expect(toBinary(structured(`${headOld},${members}}`))).toEqual(binary({ attributes: requiredOld, ...expected }));
  });

  it('gives attributes as canonical text', () => {
    const body = `${head.replace('"id"', '"\\u0069d"')},"int":-7,"exp":1e3,"yes":true,"no":false,"none":null,"empty":"","text":"\\u00e9\\"","twice":"1","twice":2,"datacontentencoding":"base64"}`;
    expect(asBinary(toBinary(structured(body))).attributes).toEqual([
      ...required, ['int', '-7'], ['exp', '1000'], ['yes', 'true'], ['no', 'false'], ['text', 'é"'], ['twice', '2'], ['datacontentencoding', 'base64'],
    ]);
  });

  it.each<[string, string | Buffer, string?]>([
    ['Avro', `${head}}`, 'application/cloudevents+avro'],
    ['another charset', `${head}}`, 'application/cloudevents+json; charset=iso-8859-1'],
    ['nothing', ''],
    ['an array', `[${head}}]`],
    ['a truncated object', head],
    ['bytes that are not UTF-8', Buffer.from(`${head},"a":"é"}`, 'latin1')],
    ['a byte order mark', `\ufeff${head}}`],
    ['no id', '{"specversion":"1.0","source":"/s","type":"t"}'],
    ['an attribute that is an object', `${head},"a":{}}`],
    ['a number beyond 32 bits', `${head},"a":12345678901234567890}`],
    ['a name that no attribute has', `${head},"__proto__":"a"}`],
    ['data twice', `${head},"data":1,"data_base64":"MQ=="}`],
    ['data_base64 that is none', `${head},"data_base64":"?"}`],
    ['a datacontenttype that would announce another mode', `${head},"datacontenttype":"Application/CloudEvents+json","data":{}}`],
    ['text that its charset does not fit', `${head},"datacontenttype":"text/plain; charset=iso-8859-1","data":"é"}`],
    ['text with half a surrogate pair', `${head},"datacontenttype":"text/plain","data":"\\ud800"}`],
  ])('leaves as it is: %s', (_, body, contentType) => {
    const event = structured(body, contentType);
    expect(toBinary(event)).toBe(event);
  });

  it('is nothing to do for a binary event', () => {
    const event = binary({});
    expect(toBinary(event)).toBe(event);
  });
});

describe('random events', () => {
  const contentTypes = [
    undefined, 'application/json', 'a/b+json; charset=utf-8', 'application/json; charset=latin1', 'text/plain', 'Text/CSV;charset=UTF-8',
    'text/plain; charset=iso-8859-1', 'application/xml', 'application/octet-stream',
  ];
  const texts = ['a', '"', '\\', '\u0000', 'é', '😀', '{', '}', ',', ':', '[', ']', ' ', '\n', '1', 'null', '\ufeff', '\\u0069', '"data"'];

  it('come back from structured mode with their attributes and their data', () => {
    const random = new SeededRandom(11);
    const seen = new Set<string>();
    for (let round = 0; round < 5_000; round++) {
      const event = randomBinary(random);
      const body = bodyOf(toStructured(event));
      expect(isEventError(readJsonEvent(Buffer.from(body))), body).toBe(false);
      const members = JSON.parse(body) as Record<string, unknown>;
      for (const [name, value] of event.attributes) expect(members[name]).toBe(value);

      const back = asBinary(toBinary(toStructured(event)));
      expect(back.attributes, body).toEqual(event.attributes);
      expect(back.transport).toBe(event.transport);
      const isRaw = 'data' in members && members['datacontentencoding'] === undefined && /json|^undefined/.test(String(event.contentType));
      const isEncoded = members['datacontentencoding'] === 'base64';
      seen.add(event.data === null ? 'none' : isRaw ? 'raw' : isEncoded ? 'base64' : 'data_base64' in members ? 'data_base64' : 'text');
      expect(back.contentType, body).toBe(event.contentType ?? (isRaw ? 'application/json' : undefined));
      // White space around JSON is the one thing that is not the member's value.
      const data = isRaw ? Buffer.from(event.data!.toString().replace(/^[ \n]+|[ \n]+$/g, '')) : event.data;
      expect(back.data, body).toEqual(data);
    }
    expect([...seen].sort()).toEqual(['base64', 'data_base64', 'none', 'raw', 'text']);
  });

  it('are, with extensions, what they were and the extensions', () => {
    const random = new SeededRandom(12);
    for (let round = 0; round < 10_000; round++) {
      const body = randomObject(random, 4);
      const extensions = Array.from({ length: random.below(4) }, (): [string, string] => [random.pick(memberNames), random.text(texts, 4)]);
      const expected = new Map<string, unknown>(Object.entries(JSON.parse(body) as object));
      for (const [name, value] of extensions) expected.set(name, expected.get(name) ?? value);
      const result = bodyOf(withExtensions(structured(body), extensions));
      const brace = body.lastIndexOf('}');
      expect(new Map(Object.entries(JSON.parse(result) as object)), result).toEqual(expected);
      expect(result.slice(0, brace) + result.slice(result.length - (body.length - brace)), result).toBe(body);
    }
  });

  it('have the members that JSON.parse finds, each cut to its value', () => {
    const random = new SeededRandom(13);
    for (let round = 0; round < 5000; round++) {
      const body = randomObject(random, 5);
      const members = jsonObjectMembers(Buffer.from(body));
      expect(new Map(members.map(({ name, value }) => [name, JSON.parse(value.toString()) as unknown])), body)
        .toEqual(new Map(Object.entries(JSON.parse(body) as object)));
      for (const { value } of members) expect(value.toString()).toBe(value.toString().trim());
    }
  });

  it('make nothing throw when they are damaged, and damage is passed on as it is', () => {
    const random = new SeededRandom(14);
    const seen = new Set<string>();
    for (let round = 0; round < 5_000; round++) {
      const whole = Buffer.from(random.below(2) === 0 ? randomObject(random, 3) : bodyOf(toStructured(randomBinary(random))));
      const body = Buffer.from(whole.subarray(0, random.below(3) === 0 ? random.below(whole.length + 1) : whole.length));
      if (body.length > 0) for (let i = random.below(3); i > 0; i--) body[random.below(body.length)] = random.pick([0x22, 0x5c, 0x7b, 0x7d, 0x2c, 0x3a, 0x00, 0xff, 0x20]);
      const event = structured(body);
      const extended = withExtensions(event, [['a', 'b']]);
      if (isJsonObject(body)) expect((JSON.parse(bodyOf(extended)) as Record<string, unknown>)['a']).toBeDefined();
      else expect(extended).toEqual({ ...event, transport: [...transport, ['ce-a', 'b']] });
      const converted = toBinary(event);
      const isValid = !isEventError(readJsonEvent(body));
      seen.add(`${converted.mode}, ${isValid ? 'valid' : isJsonObject(body) ? 'an object' : 'no object'}`);
      if (!isValid) expect(converted).toBe(event);
      encodeHttpEvent(converted);
      encodeHttpEvent(extended);
    }
    expect([...seen]).toEqual(expect.arrayContaining(['binary, valid', 'structured, an object', 'structured, no object']));
  });

  const memberNames = ['a', 'b', 'id', 'data', '__proto__', 'é', '', '1'];

  function randomBinary(random: SeededRandom): Binary {
    const attributes = [...random.pick([required, requiredOld])];
    for (let i = random.below(4); i > 0; i--) attributes.push([`ext${i}`, `v${random.text([...texts, loneSurrogate], 4)}`]);
    const json = () => random.pick(['', ' ', '\n ']) + randomValue(random, 3) + random.pick(['', '', ' \n']);
    const data = random.pick([
      () => null, () => Buffer.from(json()), () => Buffer.from(random.text(texts, 6)),
      () => Buffer.from(Array.from({ length: random.below(20) }, () => random.below(256))),
    ])();
    return binary({ attributes, contentType: random.pick(contentTypes), data });
  }

  function randomObject(random: SeededRandom, depth: number): string {
    const gap = () => random.pick(['', '', ' ', '\r\n\t']);
    const members = Array.from({ length: random.below(5) }, () => {
      const name = random.pick(memberNames);
      const first = name.charCodeAt(0);
      const written = name !== '' && random.below(3) === 0 ? `"\\u${first.toString(16).padStart(4, '0')}${name.slice(1)}"` : `"${name}"`;
      return `${gap()}${written}${gap()}:${gap()}${randomValue(random, depth - 1)}${gap()}`;
    });
    return `${gap()}{${members.join(',') || gap()}}${gap()}`;
  }

  function randomValue(random: SeededRandom, depth: number): string {
    switch (random.below(depth > 0 ? 5 : 3)) {
      case 0: return random.pick(['null', 'true', '-0', '1e999', '12345678901234567890', '1.0']);
      case 1: return JSON.stringify(random.text(texts, 5));
      case 2: return random.pick(['"\\ud800"', '"\\\\"', '"\\"}"', '"\\/"']);
      case 3: return `[${Array.from({ length: random.below(3) }, () => randomValue(random, depth - 1)).join(' ,')}]`;
      default: return randomObject(random, depth - 1).trim();
    }
  }
});

describe('the JavaScript SDK as the other side', () => {
  const attributes = { id: '1', source: '/s', type: 't', time: '2024-01-31T23:59:59.000Z', subject: 'é', ext: 'x' };
  const cases: [string, { datacontenttype?: string; data?: unknown }, string | undefined][] = [
    ['no data', {}, undefined],
    ['JSON', { datacontenttype: 'application/json', data: { a: [1, 'é', null] } }, '{"a":[1,"é",null]}'],
    ['text', { datacontenttype: 'text/plain', data: 'text, "é"' }, 'text, "é"'],
    ['XML', { datacontenttype: 'application/xml', data: '<a>é</a>' }, '<a>é</a>'],
  ];

  function headersOf(event: StoredEvent): Record<string, string> {
    const { headers } = encodeHttpEvent(event);
    return Object.fromEntries(headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1]!]] : [])));
  }

  function read(event: StoredEvent): CloudEvent<unknown> {
    const { body } = encodeHttpEvent(event);
    return HTTP.toEvent<unknown>({ headers: headersOf(event), body: body?.toString() }) as CloudEvent<unknown>;
  }

  it.each(cases)('reads what became structured: %s', (_, change, data) => {
    const event = binary({
      attributes: [['specversion', '1.0'], ...Object.entries(attributes)], contentType: change.datacontenttype, data: data === undefined ? null : Buffer.from(data),
    });
    expect(JSON.parse(read(toStructured(event)).toString())).toEqual({ specversion: '1.0', ...attributes, ...change });
  });

  it('reads bytes that became structured', () => {
    const event = read(toStructured(binary({ contentType: 'application/octet-stream', data: notUtf8 })));
    expect(event.datacontenttype).toBe('application/octet-stream');
    expect(Buffer.from(event.data as Uint8Array)).toEqual(notUtf8);
  });

  it.each(cases)('sends structured what becomes binary: %s', (_, change, data) => {
    const message = HTTP.structured(new CloudEvent({ ...attributes, ...change }));
    const event = asBinary(toBinary(structured(message.body as string, String(message.headers['content-type']))));
    expect(Object.fromEntries(event.attributes)).toEqual({ specversion: '1.0', ...attributes });
    expect([event.contentType, event.data?.toString()]).toEqual([change.datacontenttype, data]);
  });

  it('sends structured bytes that become binary', () => {
    const message = HTTP.structured(new CloudEvent({ ...attributes, datacontenttype: 'application/octet-stream', data: new Uint8Array(notUtf8) }));
    expect(asBinary(toBinary(structured(message.body as string))).data).toEqual(notUtf8);
  });

  it('reads the extensions of a dead letter in both modes', () => {
    for (const event of [binary({}), toStructured(binary({ data: Buffer.from('{"a":1}') }))]) {
      expect(read(withExtensions(event, [['knativeerrordest', 'http://a/b']]))['knativeerrordest']).toBe('http://a/b');
    }
  });
});
