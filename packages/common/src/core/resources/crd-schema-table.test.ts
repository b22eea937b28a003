import { expect, it } from 'vitest';
import type { CrdSchema } from './crd-schema.ts';
import { describeSchema } from './crd-schema-table.ts';

const row = (path: string, schema: CrdSchema): string | undefined => describeSchema(schema).split('\n').find((line) => line.startsWith(`| \`${path}\` `));

const object = (properties: Readonly<Record<string, CrdSchema>>, required: readonly string[] = []): CrdSchema => ({ type: 'object', properties, required });

it('tells a field with its limits, its default and the words with which a rule refuses', () => {
  const replicas: CrdSchema = { type: 'integer', minimum: 1, maximum: 32767, default: 1, description: 'Copies.', 'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'it is fixed' }] };
  expect(row('spec.replicas', object({ spec: object({ replicas }) }))).toBe('| `spec.replicas` | integer | `1` | Copies. From 1 to 32767. Rule: it is fixed. |');
});

it('tells what has to be given', () => {
  expect(row('name', object({ name: { type: 'string', description: 'A name.', maxLength: 5 } }, ['name']))).toBe('| `name` | string | *required* | A name. At most 5 characters. |');
});

it('tells the values of an enumeration instead of its type', () => {
  expect(row('policy', object({ policy: { type: 'string', enum: ['linear', 'exponential'] } }))).toBe('| `policy` | `linear`, `exponential` |  |  |');
});

it('goes into lists, which may ask for one of several fields', () => {
  const schema = object({ subscribers: { type: 'array', items: { ...object({ uid: { type: 'string' } }), anyOf: [{ required: ['a'] }, { required: ['b'] }] } } });
  expect(row('subscribers', schema)).toBe('| `subscribers` | list of object |  | Needs `a` or `b`. |');
  expect(row('subscribers[].uid', schema)).toBe('| `subscribers[].uid` | string |  |  |');
});

it('tells the limits of a list or a map, and the rules for its entries', () => {
  const topics: CrdSchema = { type: 'array', minItems: 1, maxItems: 9, 'x-kubernetes-list-type': 'set', items: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self != ""', message: 'no topic has no name' }] } };
  expect(row('topics', object({ topics }))).toBe('| `topics` | list of string |  | At least 1 entry. At most 9 entries. None twice. Rule: no topic has no name. |');
  expect(row('extensions', object({ extensions: { type: 'object', maxProperties: 3, additionalProperties: { type: 'string' } } }))).toBe('| `extensions` | map to string |  | At most 3 entries. |');
});

it('leaves out what every object has, and does not break the table', () => {
  const table = describeSchema(object({ apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata: { type: 'object' }, spec: { type: 'object', description: 'a|b\nc' } }));
  expect(table.split('\n').slice(2)).toEqual(['| `spec` | object |  | a\\|b c |']);
});
