import { describe, expect, it } from 'vitest';
import { parseJaasLine } from './jaas-line.ts';

describe('sasl.jaas.config', () => {
  it.each<[string, string, string, Readonly<Record<string, string>>]>([
    ['one line', 'org.apache.kafka.common.security.plain.PlainLoginModule required username="ann" password="pass";', 'PlainLoginModule', { username: 'ann', password: 'pass' }],
    ['several lines', 'a.b.ScramLoginModule required\n  username="ann"\n  password="pass";\n', 'ScramLoginModule', { username: 'ann', password: 'pass' }],
    ['quotes, backslashes and = in values', String.raw`a.M required password="a\"b\\c=;d" x="";`, 'M', { password: 'a"b\\c=;d', x: '' }],
    ['values without quotes', 'a.M required username=ann password=a=b;', 'M', { username: 'ann', password: 'a=b' }],
    ['no options', 'a.M required;', 'M', {}],
    ['no semicolon', 'a.M REQUIRED a.b = "c"', 'M', { 'a.b': 'c' }],
  ])('is read: %s', (_name, text, module, options) => {
    const line = parseJaasLine(text);
    expect(line?.module).toBe(module);
    expect(Object.fromEntries(line?.options ?? [])).toEqual(options);
  });

  it.each([
    ['something else', 'password'],
    ['without a flag', 'a.PlainLoginModule username="ann";'],
    ['two modules', 'a.M required; b.M required;'],
    ['a quote that does not end', 'a.M required password="pass;'],
    ['an option without a value', 'a.M required password;'],
  ])('is refused: %s', (_name, text) => {
    expect(parseJaasLine(text)).toBeUndefined();
  });
});
