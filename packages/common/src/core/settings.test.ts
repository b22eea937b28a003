import { describe, expect, it } from 'vitest';
import { Fault } from './fault.ts';
import { bootstrapServers, bytes, count, describeSettings, durationMs, json, oneOf, optional, port, readSettings, resourceName, text, type Setting } from './settings.ts';

const about = 'what it is for';
const kinds = {
  port: port('X', { default: 8080, about }),
  duration: durationMs('X', { default: '30s', about }),
  bytes: bytes('X', { default: '1MiB', about }),
  count: count('X', { default: 5, about, max: 10 }),
  countFromZero: count('X', { default: 5, about, min: 0 }),
  oneOf: oneOf('X', ['info', 'debug'], { default: 'info', about }),
  text: text('X', { default: 'a b', about }),
  optional: optional('X', { about }),
  resource: resourceName('X', { about }),
  servers: bootstrapServers('X', { about }),
} satisfies Record<string, Setting<unknown>>;

function read(kind: keyof typeof kinds, value: string | undefined): unknown {
  return readSettings({ value: kinds[kind] }, { X: value }).value;
}

describe('a setting', () => {
  it.each<[keyof typeof kinds, string | undefined, unknown]>([
    ['port', undefined, 8080],
    ['port', '', 8080], // how a manifest says "not set"
    ['port', '0', 0],
    ['port', '65535', 65_535],
    ['duration', undefined, 30_000],
    ['duration', '250ms', 250],
    ['bytes', undefined, 1_048_576],
    ['bytes', '0', 0],
    ['bytes', '65536', 65_536],
    ['bytes', '5B', 5],
    ['bytes', '64KiB', 65_536],
    ['bytes', '2GiB', 2_147_483_648],
    ['count', undefined, 5],
    ['count', '10', 10],
    ['countFromZero', '0', 0],
    ['oneOf', undefined, 'info'],
    ['oneOf', 'debug', 'debug'],
    ['text', undefined, 'a b'],
    ['text', ' x ', ' x '],
    ['optional', undefined, undefined],
    ['optional', '', undefined],
    ['optional', 'x', 'x'],
    ['resource', undefined, undefined],
    ['resource', 'shop/orders.v1', 'shop/orders.v1'],
    ['servers', 'kafka:9092', ['kafka:9092']],
    ['servers', 'a:1, [::1]:65535 ,c.d:9092', ['a:1', '[::1]:65535', 'c.d:9092']],
  ])('of kind %s reads %j as %j', (kind, given, expected) => {
    expect(read(kind, given)).toEqual(expected);
  });

  it.each<[keyof typeof kinds, string, string]>([
    ['port', '65536', 'a port number from 0 to 65535'],
    ['port', '-1', 'a port number from 0 to 65535'],
    ['port', '80 ', 'a port number from 0 to 65535'],
    ['port', '0x50', 'a port number from 0 to 65535'],
    ['port', '1e3', 'a port number from 0 to 65535'],
    ['duration', '30', 'a duration such as 250ms, 30s, 2m or 1h'],
    ['duration', '1000h', 'a duration such as 250ms, 30s, 2m or 1h'],
    ['bytes', '64KB', 'a size such as 65536, 64KiB or 16MiB'],
    ['bytes', '1.5MiB', 'a size such as 65536, 64KiB or 16MiB'],
    ['bytes', '-5', 'a size such as 65536, 64KiB or 16MiB'],
    ['bytes', '999999999999GiB', 'a size such as 65536, 64KiB or 16MiB'], // no longer a number that bytes can be counted with
    ['count', '0', 'a whole number from 1 to 10'],
    ['count', '11', 'a whole number from 1 to 10'],
    ['count', '2.5', 'a whole number from 1 to 10'],
    ['oneOf', 'INFO', 'one of info, debug'],
    ['resource', 'orders', 'namespace/name'],
    ['resource', 'shop/orders/more', 'namespace/name'],
    ['resource', 'Shop/orders', 'namespace/name'],
    ['servers', 'kafka', 'host:port, several separated by commas'],
    ['servers', 'a:1,', 'host:port, several separated by commas'],
    ['servers', 'http://a:1', 'host:port, several separated by commas'],
    ['servers', 'a:65536', 'host:port, several separated by commas'],
    ['servers', 'a:0', 'host:port, several separated by commas'],
  ])('of kind %s refuses %j and says what it expects', (kind, given, expects) => {
    expect(() => read(kind, given)).toThrow(`X: expected ${expects}, got "${given}"`);
  });
});

describe('a table of settings', () => {
  const table = {
    kafka: bootstrapServers('KAFKA', { about: 'where Kafka is' }),
    httpPort: port('HTTP_PORT', { default: 8080, about: 'where events arrive' }),
    password: durationMs('PASSWORD', { default: '1s', about: 'secret', secret: true }),
    folder: optional('FOLDER', { about: 'manifests' }),
  };

  it('becomes a typed configuration under the names of the table', () => {
    expect(readSettings(table, { KAFKA: 'k:1', OTHER: 'ignored' })).toEqual({ kafka: ['k:1'], httpPort: 8080, password: 1_000, folder: undefined });
  });

  it('reports all mistakes together, so that nobody has to fail once per mistake', () => {
    let fault: unknown;
    try {
      readSettings(table, { HTTP_PORT: 'many', PASSWORD: 'hunter2' });
    } catch (error) {
      fault = error;
    }
    expect(fault).toBeInstanceOf(Fault);
    expect(fault).toMatchObject({ code: 'SETTINGS_INVALID', retriable: false });
    expect((fault as Fault).message.split('\n')).toEqual([
      'KAFKA is required: host:port, several separated by commas (where Kafka is)',
      'HTTP_PORT: expected a port number from 0 to 65535, got "many"',
      'PASSWORD: expected a duration such as 250ms, 30s, 2m or 1h, got [set]', // never what it is
    ]);
  });

  it('takes an empty value of a required setting for a missing one', () => {
    expect(() => readSettings(table, { KAFKA: '' })).toThrow('KAFKA is required');
  });

  it('prints itself for a README: variable, default, meaning, and what is expected', () => {
    expect(describeSettings(table)).toBe(`| variable | default | what it is |
| --- | --- | --- |
| \`KAFKA\` | *required* | where Kafka is (host:port, several separated by commas) |
| \`HTTP_PORT\` | \`8080\` | where events arrive (a port number from 0 to 65535) |
| \`PASSWORD\` | \`1s\` | secret (a duration such as 250ms, 30s, 2m or 1h) |
| \`FOLDER\` |  | manifests (text) |`);
  });
});

describe('a setting of JSON', () => {
  const table = { parts: json('X', { about, default: '{}', expects: 'a JSON object' }, (value) => (Array.isArray(value) ? { problems: ['a: first', 'b: second'] } : { value })), other: count('Y', { default: 1, about }) };

  it('is read, by default too', () => {
    expect(readSettings(table, {}).parts).toEqual({});
    expect(readSettings(table, { X: '{"a":1}' }).parts).toEqual({ a: 1 });
  });

  it.each([
    ['[]', 'X: a: first\nX: b: second\nY: expected a whole number from 1 to 1000000, got "none"'],
    ['{"password":"hidden"', 'X: expected a JSON object, got something that is not JSON\nY: expected a whole number from 1 to 1000000, got "none"'],
  ])('%s: everything that is wrong is told at once, without the text', (given, expected) => {
    expect(() => readSettings(table, { X: given, Y: 'none' })).toThrow(new Fault('SETTINGS_INVALID', expected, { retriable: false }));
  });
});
