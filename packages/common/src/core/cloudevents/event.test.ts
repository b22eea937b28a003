import { describe, expect, it } from 'vitest';
import { attributeError, eventError } from './event.ts';

describe('attributes that keep the rules', () => {
  it.each([
    ['specversion', '1.0', '1.0'],
    ['specversion', '0.3', '0.3'],
    ['id', 'x', '1.0'],
    ['id', ' x ', '1.0'],
    ['type', 'com.example.Some Type', '1.0'],
    ['source', '/relative', '1.0'],
    ['source', '#fragment', '0.3'],
    ['subject', 'órdenes/7', '1.0'],
    ['time', '2024-01-31T23:59:59.123456789+01:00', '1.0'],
    ['datacontenttype', 'text/plain; charset=utf-8', '1.0'],
    ['dataschema', 'https://example.com/schema', '1.0'],
    ['dataschema', 'an extension then', '0.3'],
    ['schemaurl', '/schema', '0.3'],
    ['schemaurl', 'an extension then', '1.0'],
    ['datacontentencoding', 'base64', '0.3'],
    ['myextension', 'anything at all, "quoted" or\nnot', '1.0'],
    ['1st', '', '1.0'],
    ['x'.repeat(256), 'x', '1.0'],
  ])('%s: %j in %s', (name, value, specversion) => {
    expect(attributeError(name, value, specversion)).toBeUndefined();
  });
});

describe('attributes that do not', () => {
  it.each([
    ['specversion', '', '1.0', 'expected specversion 1.0 or 0.3, got ""'],
    ['specversion', '10.0', '10.0', 'expected specversion 1.0 or 0.3, got "10.0"'],
    ['specversion', '1.0.2', '1.0.2', 'expected specversion 1.0 or 0.3, got "1.0.2"'],
    ['id', '', '1.0', 'expected a non-empty string, got ""'],
    ['id', ' \t ', '1.0', 'expected a non-empty string, got " \\t "'],
    ['type', '', '1.0', 'expected a non-empty string, got ""'],
    ['subject', '', '1.0', 'expected a non-empty string, got ""'],
    ['source', '', '1.0', 'expected a non-empty URI reference, got ""'],
    ['source', 'not a uri', '1.0', 'expected a non-empty URI reference, got "not a uri"'],
    ['time', 'lunchtime', '1.0', 'expected an RFC 3339 timestamp such as 2024-01-31T23:59:59Z, got "lunchtime"'],
    ['time', '', '0.3', 'expected an RFC 3339 timestamp such as 2024-01-31T23:59:59Z, got ""'],
    ['datacontenttype', 'xyz', '1.0', 'expected a media type such as application/json, got "xyz"'],
    ['dataschema', '', '1.0', 'expected an absolute URI, got ""'],
    ['dataschema', '/relative', '1.0', 'expected an absolute URI, got "/relative"'],
    ['schemaurl', '', '0.3', 'expected a non-empty URI reference, got ""'],
    ['data', 'x', '1.0', 'expected data in the body; no attribute may be named data'],
    ['my-extension', 'x', '1.0', 'expected an attribute name of letters a-z and digits, got "my-extension"'],
    ['MyExtension', 'x', '1.0', 'expected an attribute name of letters a-z and digits, got "MyExtension"'],
    ['my_extension', 'x', '1.0', 'expected an attribute name of letters a-z and digits, got "my_extension"'],
    ['é', 'x', '1.0', 'expected an attribute name of letters a-z and digits, got "é"'],
    ['', 'x', '1.0', 'expected an attribute name of letters a-z and digits, got ""'],
    ['__proto__', 'x', '1.0', 'expected an attribute name of letters a-z and digits, got "__proto__"'],
  ])('%s: %j in %s', (name, value, specversion, reason) => {
    expect(attributeError(name, value, specversion)).toEqual({ attribute: name, reason });
  });

  it('tells a name that is too long, clipped', () => {
    const error = attributeError('x'.repeat(257), 'x', '1.0')!;
    expect(error.attribute).toBe('x'.repeat(80));
    expect(error.reason).toBe(`expected a name of at most 256 characters, got "${'x'.repeat(80)}"...`);
  });
});

it('clips what came and shows control characters and halves of characters in a readable form', () => {
  expect(eventError('id', 'something', `\r\n${'x'.repeat(100)}`).reason).toBe(`expected something, got "\\r\\n${'x'.repeat(78)}"...`);
  expect(eventError('id', 'something', `${'x'.repeat(79)}😀`).reason).toBe(`expected something, got "${'x'.repeat(79)}\\ud83d"...`);
});
