import { describe, expect, it } from 'vitest';
import { parseJavaProperties } from './java-properties.ts';

describe('parseJavaProperties', () => {
  it.each<[string, string, Record<string, string>]>([
    ['nothing', '', {}],
    ['blank lines and comments', '\n  \n# a=b\n   ! c=d\n', {}],
    ['the three separators', 'a=1\nb:2\nc 3', { a: '1', b: '2', c: '3' }],
    ['white space around them', '  a  =  1\n\tb\t:\t2\n  c   3', { a: '1', b: '2', c: '3' }],
    ['a value with separators in it', 'a==b:c d', { a: '=b:c d' }],
    ['a value with white space at its end, which is kept', 'a=1  ', { a: '1  ' }],
    ['a key without a value', 'a\nb=', { a: '', b: '' }],
    ['a value without a key', '=1', { '': '1' }],
    ['every kind of line end', 'a=1\r\nb=2\rc=3\n', { a: '1', b: '2', c: '3' }],
    ['a key twice: the last one counts', 'a=1\na=2', { a: '2' }],
    ['a line that goes on in the next, whose indentation does not count', 'a=1,\\\n    2,\\\n\t3', { a: '1,2,3' }],
    ['a line that goes on, and what looks like a comment in it', 'a=1\\\n#2', { a: '1#2' }],
    ['a backslash that is one, at the end of a line', 'a=1\\\\\nb=2', { a: '1\\', b: '2' }],
    ['a line that goes on in nothing', 'a=1\\', { a: '1' }],
    ['a comment that seems to go on', '# a\\\nb=1', { b: '1' }],
    ['escapes', 'a=\\t\\n\\u00e9\\q\\:', { a: '\t\n\u00e9q:' }],
    ['a code that is none', 'a=\\u00g1', { a: 'u00g1' }],
    ['separators in a key', 'a\\ b\\=c\\:d=1', { 'a b=c:d': '1' }],
    ['names that objects have', '__proto__=1\nconstructor=2', { ['__proto__']: '1', constructor: '2' }],
    ['what eventing-kafka-broker ships', 'key.deserializer=io.x.KeyDeserializer\nfetch.min.bytes=1\nmax.poll.records=50\nenable.auto.commit=false', { 'key.deserializer': 'io.x.KeyDeserializer', 'fetch.min.bytes': '1', 'max.poll.records': '50', 'enable.auto.commit': 'false' }],
  ])('reads %s', (_name, text, expected) => {
    expect([...parseJavaProperties(text)]).toEqual(Object.entries(expected));
  });

  it.each([
    ['backslashes', '\\'.repeat(1_000_000)],
    ['backslashes before something else', `a=${'\\'.repeat(1_000_000)}b`],
    ['white space', ' '.repeat(1_000_000)],
    ['a key that does not end', 'a'.repeat(1_000_000)],
    ['white space after a key', `a${' '.repeat(1_000_000)}`],
    ['lines that go on', 'a\\\n'.repeat(250_000)],
  ])('reads a megabyte of %s', (_name, text) => {
    expect(parseJavaProperties(text).size).toBeLessThanOrEqual(1);
  });
});
