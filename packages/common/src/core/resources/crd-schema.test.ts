import { describe, expect, it } from 'vitest';
import type { CrdSchema } from './crd-schema.ts';
import { checkAgainstSchema } from './crd-schema.ts';
import { kafkaChannelSchema } from './crd-schemas.generated.ts';
import { fieldName } from './field-problem.ts';

const problems = (schema: CrdSchema, value: unknown, hideValues = false): string[] =>
  checkAgainstSchema(schema, value, { hideValues }).problems.map(({ path, message }) => `${fieldName(path)}: ${message}`);
const withSubscribers = (...subscribers: unknown[]): unknown => ({ spec: { subscribers } });

describe('checkAgainstSchema', () => {
  it('gives a copy with defaults and without nulls, and leaves what it was given as it is', () => {
    const given = { spec: { numPartitions: null, delivery: { retry: null, timeout: 'PT1S' } } };
    const { value } = checkAgainstSchema(kafkaChannelSchema, given);
    expect(value).toEqual({
      spec: { numPartitions: 1, replicationFactor: 1, retentionDuration: 'PT168H', delivery: { timeout: 'PT1S' } },
    });
    expect(given).toEqual({ spec: { numPartitions: null, delivery: { retry: null, timeout: 'PT1S' } } });
  });

  it('does not share defaults between objects', () => {
    const first = checkAgainstSchema(kafkaChannelSchema, {}).value as { spec: { numPartitions: number } };
    first.spec.numPartitions = 99;
    expect(checkAgainstSchema(kafkaChannelSchema, {}).value).toMatchObject({ spec: { numPartitions: 1 } });
  });

  it.each<[string, unknown, string[]]>([
    ['a subscriber', { uid: 'u', subscriberUri: 'http://a' }, []],
    ['a receiver of replies only', { uid: 'u', replyUri: 'http://a' }, []],
    ['fields of a newer controller', { uid: 'u', replyUri: 'http://a', newField: { a: 1 }, delivery: { newer: 1 } }, []],
    ['no destination', { uid: 'u' }, ['spec.subscribers[0]: needs subscriberUri or replyUri']],
    ['no uid', { replyUri: 'http://a' }, ['spec.subscribers[0].uid: is required']],
    ['an empty uid', { uid: '', replyUri: 'http://a' }, ['spec.subscribers[0].uid: must not be empty']],
    ['a list', [], ['spec.subscribers[0]: expected an object with fields, found a list']],
  ])('checks an entry of spec.subscribers: %s', (_name, entry, expected) => {
    expect(problems(kafkaChannelSchema, withSubscribers(entry))).toEqual(expected);
  });

  const schema: CrdSchema = {
    type: 'object',
    properties: { text: { type: 'string', pattern: '^a+$' }, flag: { type: 'boolean' }, share: { type: 'number' }, free: {} },
  };
  it.each<[unknown, string]>([
    [{ text: 'b' }, 'text: expected text that matches ^a+$, found "b"'],
    [{ text: true }, 'text: expected text, found true; put it in quotes'],
    [{ flag: 'yes' }, 'flag: expected true or false, found "yes"'],
    [{ share: {} }, 'share: expected a number, found an object'],
    [{ share: '1' }, 'share: expected a number, found "1"; write it without quotes'],
    [{ text: 'b'.repeat(100) }, `text: expected text that matches ^a+$, found "${'b'.repeat(57)}..."`],
    [{ txt: 'a' }, 'txt: unknown field; did you mean text?'],
    [{ '0': 'a' }, '["0"]: unknown field; known here: text, flag, share, free'],
  ])('%j', (value, problem) => {
    expect(problems(schema, value)).toEqual([problem]);
  });

  it('takes whatever it is where the schema says nothing', () => {
    for (const free of [1, 'a', [], { a: { b: 1 } }]) expect(problems(schema, { free })).toEqual([]);
  });

  it('shows nothing of what it found where that may be secret', () => {
    expect(problems(schema, { text: 'hunter2' }, true)).toEqual(['text: expected text that matches ^a+$']);
    expect(problems(schema, { flag: 'hunter2' }, true)).toEqual(['flag: expected true or false']);
  });
});
