import { describe, expect, it } from 'vitest';
import type { KeyType } from '@knative-kafka/common/core';
import { attributeText, headerExtensions, keyText } from './record-attributes.ts';

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}
function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatBE(value);
  return bytes;
}
function float64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
}

describe('keyText', () => {
  it.each<KeyType>(['string', 'int', 'float', 'byte-array'])('of type %s is none for no key and for an empty one', (type) => {
    expect(keyText(null, type)).toBeUndefined();
    expect(keyText(Buffer.alloc(0), type)).toBeUndefined();
  });

  it.each<[KeyType, string, Buffer, string]>([
    ['string', 'text', Buffer.from('customer-4711'), 'customer-4711'],
    ['string', 'a space', Buffer.from(' '), ' '],
    ['string', 'text beyond ASCII', Buffer.from('schlüssel 🔑'), 'schlüssel 🔑'],
    ['string', 'percent signs and quotes', Buffer.from('100%41 "x"'), '100%41 "x"'],
    ['string', 'bytes that are not UTF-8, as base64', Buffer.from([0xff, 0xfe]), '//4='],
    ['string', 'control characters, as base64', Buffer.from('a\nb'), 'YQpi'],
    ['int', 'zero', int32(0), '0'],
    ['int', 'minus one', int32(-1), '-1'],
    ['int', 'the smallest of 32 bits', int32(-(2 ** 31)), '-2147483648'],
    ['int', 'the largest of 32 bits', int32(2 ** 31 - 1), '2147483647'],
    ['int', '64 bits', int64(7n), '7'],
    ['int', 'beyond 32 bits', int64(2n ** 31n), '2147483648'],
    ['int', 'the smallest of 64 bits', int64(-(2n ** 63n)), '-9223372036854775808'],
    ['int', 'the largest of 64 bits, digit for digit', int64(2n ** 63n - 1n), '9223372036854775807'],
    ['int', 'one byte, as text', Buffer.from('7'), '7'],
    ['int', 'two bytes, as text', Buffer.from('42'), '42'],
    ['int', 'three bytes that are no text', Buffer.from([0, 0, 1]), 'AAAB'],
    ['int', 'five bytes, as text', Buffer.from('12345'), '12345'],
    ['int', 'nine bytes, as text', Buffer.from('customer1'), 'customer1'],
    ['float', 'a float without the digits of a double', float32(0.1), '0.1'],
    ['float', 'a float of nine digits', float32(16777217.5), '16777218'],
    ['float', 'the largest float', float32(3.4028234663852886e38), '3.4028235e+38'],
    ['float', 'a double', float64(0.1), '0.1'],
    ['float', 'all digits of a double', float64(0.1 + 0.2), '0.30000000000000004'],
    ['float', 'a negative one', float32(-2.5), '-2.5'],
    ['float', 'no number', float32(Number.NaN), 'NaN'],
    ['float', 'no number of 64 bits', float64(Number.NaN), 'NaN'],
    ['float', 'infinity', float32(-Infinity), '-Infinity'],
    ['float', 'infinity of 64 bits', float64(Infinity), 'Infinity'],
    ['float', 'five bytes, as text', Buffer.from('1.234'), '1.234'],
    ['byte-array', 'text', Buffer.from('key'), 'a2V5'],
    ['byte-array', 'any bytes', Buffer.from([0, 0xff, 0x0a]), 'AP8K'],
    ['byte-array', 'four bytes', int32(7), 'AAAABw=='],
  ])('of type %s: %s', (type, _, key, expected) => expect(keyText(key, type)).toBe(expected));

  it('reads every float back as it was', () => {
    let bits = 1;
    for (let round = 0; round < 5_000; round++) {
      bits = (Math.imul(bits, 1664525) + 1013904223) | 0;
      const key = int32(bits);
      const single = key.readFloatBE();
      expect(Math.fround(Number(keyText(key, 'float')))).toBe(single === 0 ? 0 : single); // zero has no sign in text
    }
  });
});

describe('attributeText', () => {
  it.each<[string, Buffer | string, string]>([
    ['nothing', '', ''],
    ['visible ASCII', 'az AZ 09 ~!', 'az AZ 09 ~!'],
    ['UTF-8', 'Größe €', 'Größe €'],
    ['a byte order mark', '\uFEFFa', '\uFEFFa'],
    ['a tab', 'a\tb', 'YQli'],
    ['a line break, which could end a header', 'a\r\nx: y', 'YQ0KeDogeQ=='],
    ['NUL', '\0', 'AA=='],
    ['DEL', '\u007F', 'fw=='],
    ['a control character beyond ASCII', '\u0085', 'woU='],
    ['a noncharacter', '\uFFFE', '77++'],
    ['a noncharacter of a later plane', '\u{1FFFF}', '8J+/vw=='],
    ['latin1', Buffer.from([0xe9]), '6Q=='],
    ['half a surrogate pair', Buffer.from([0xed, 0xa0, 0x80]), '7aCA'],
    ['an overlong form', Buffer.from([0xc0, 0x80]), 'wIA='],
    ['UTF-8 that ends early', Buffer.from([0x61, 0xe2, 0x82]), 'YeKC'],
  ])('%s', (_, bytes, expected) => expect(attributeText(Buffer.from(bytes as string))).toBe(expected));
});

describe('headerExtensions', () => {
  const dots = ['-', '_', '.', ':', ',', ';', '+', '*', '#', '~', '!', '/'];
  const read = (headers: readonly (readonly [string, string])[]) => headerExtensions(headers.map(([name, value]) => [name, Buffer.from(value)] as const));

  it.each<[string, [string, string][], [string, string][]]>([
    ['none', [], []],
    ['names of letters and digits', [['source', 'erp'], ['x1', 'y']], [['kafkaheadersource', 'erp'], ['kafkaheaderx1', 'y']]],
    ['names in lower case, other characters left out', [['X-Request.ID_2', 'a']], [['kafkaheaderxrequestid2', 'a']]],
    ['names beyond ASCII', [['schlüssel', 'a'], ['名前', 'b']], [['kafkaheaderschlssel', 'a'], ['kafkaheader', 'b']]],
    ['a name of which nothing is left', [['__', 'a']], [['kafkaheader', 'a']]],
    ['no name at all', [['', 'a']], [['kafkaheader', 'a']]],
    ['names that mean something elsewhere', [['id', 'a'], ['key', 'b'], ['__proto__', 'c'], ['constructor', 'd']],
      [['kafkaheaderid', 'a'], ['kafkaheaderkey', 'b'], ['kafkaheaderproto', 'c'], ['kafkaheaderconstructor', 'd']]],
    ['an empty value, which is none', [['a', ''], ['b', 'x']], [['kafkaheaderb', 'x']]],
    ['the last of several, at the place of the first', [['a', '1'], ['b', 'x'], ['a', '2'], ['a', '3']], [['kafkaheadera', '3'], ['kafkaheaderb', 'x']]],
    ['the last that is not empty', [['a', '1'], ['a', '']], [['kafkaheadera', '1']]],
    ['names that come out alike, numbered', [['X-Id', '1'], ['x_id', '2'], ['b', 'x'], ['xid', '3']],
      [['kafkaheaderxid', '1'], ['kafkaheaderb', 'x'], ['kafkaheaderxid2', '2'], ['kafkaheaderxid3', '3']]],
    ['the last of several among names that come out alike', [['a', '1'], ['A', '2'], ['A', '3'], ['a', '4']], [['kafkaheadera', '4'], ['kafkaheadera2', '3']]],
    ['numbers that no other header has, wherever it comes', [['a', '1'], ['A', '2'], ['a-', '3'], ['a2', '4'], ['a3', '5']],
      [['kafkaheadera', '1'], ['kafkaheadera2', '4'], ['kafkaheadera3', '5'], ['kafkaheadera4', '2'], ['kafkaheadera5', '3']]],
    ['numbers that no numbered one has', [['a', '1'], ['a1', '2'], ['A1', '3'], ...dots.map((dot): [string, string] => [`a${dot}`, dot])],
      [['kafkaheadera', '1'], ['kafkaheadera1', '2'], ['kafkaheadera12', '3'], ...dots.map((dot, i): [string, string] => [`kafkaheadera${i < 10 ? i + 2 : i + 3}`, dot])]],
    ['binary values', [['offset', '\0\0\0\u0007']], [['kafkaheaderoffset', 'AAAABw==']]],
  ])('%s', (_, headers, expected) => expect(read(headers)).toEqual(expected));

  it('cuts names, and tells them apart then', () => {
    const name = 'n'.repeat(1_000);
    expect(read([[name, '1'], [`${name}x`, '2'], [`${name}-`, '3']])).toEqual(['', '2', '3'].map((number, i) => [`kafkaheader${'n'.repeat(200)}${number}`, String(i + 1)]));
  });

  it.each([31, 32, 33, 100])('keeps its rules among %i headers', (count) => {
    const headers = Array.from({ length: count }, (_, i): [string, string] => [`h${i}x`, `${i}`]);
    const last = `h${count - 1}x`;
    expect(read([...headers, ['h0x', 'again'], [last, 'last'], ['h0-x', 'other'], [last.toUpperCase(), 'alike']])).toEqual([
      ['kafkaheaderh0x', 'again'], ...headers.slice(1, -1).map(([name, value]) => [`kafkaheader${name}`, value]), [`kafkaheader${last}`, 'last'],
      ['kafkaheaderh0x2', 'other'], [`kafkaheader${last}2`, 'alike'],
    ]);
  });
});
