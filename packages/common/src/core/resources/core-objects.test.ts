import { describe, expect, it } from 'vitest';
import type { SecretManifest } from './core-objects.ts';
import { parseConfigMap, parseSecret, parseService } from './core-objects.ts';

const secret = (fields: Partial<SecretManifest>): SecretManifest => ({
  apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, ...fields,
});

describe('parseSecret', () => {
  it.each<[string, Partial<SecretManifest>, Record<string, string>]>([
    ['nothing', {}, {}],
    ['base64', { data: { password: 'aHVudGVyMg==' } }, { password: 'hunter2' }],
    ['base64 over several lines', { data: { password: 'aHVu\ndGVy\nMg==\n' } }, { password: 'hunter2' }],
    ['an empty value', { data: { password: '' } }, { password: '' }],
    ['plain text', { stringData: { password: 'hünter2' } }, { password: 'hünter2' }],
    ['plain text over base64', { data: { password: 'aHVudGVyMg==' }, stringData: { password: 'new' } }, { password: 'new' }],
  ])('decodes %s', (_name, fields, expected) => {
    const { secret: parsed, problems } = parseSecret(secret(fields));
    expect(problems).toEqual([]);
    expect(Object.fromEntries(Object.entries(parsed.data).map(([key, value]) => [key, value.toString()]))).toEqual(expected);
  });

  it.each([['hunter2!'], ['aHVudGVyMg='], ['a'], ['====']])('reports what is no base64 without showing it: %s', (value) => {
    const { secret: parsed, problems } = parseSecret(secret({ data: { password: value, user: 'bWU=' } }));
    expect(problems).toEqual([{ path: ['data', 'password'], message: 'expected base64; plain text goes to stringData' }]);
    expect(Object.keys(parsed.data)).toEqual(['user']);
  });
});

it('takes a ConfigMap without data for an empty one', () => {
  expect(parseConfigMap({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' } }).data).toEqual({});
});

it('knows a Service by name', () => {
  const { metadata } = parseService({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'display', namespace: 'shop' } });
  expect(metadata).toMatchObject({ namespace: 'shop', name: 'display' });
});
