import { describe, expect, it } from 'vitest';
import { describeError, Fault } from './fault.ts';

function caused(message: string, cause: unknown): Error {
  return new Error(message, { cause });
}

describe('describeError', () => {
  it.each<[string, unknown, string]>([
    ['an error', new Error('a'), 'a'],
    ['an error and its causes, the nearest first', caused('a', caused('b', new Error('c'))), 'a: b: c'],
    ['a cause that is text', caused('a', 'b'), 'a: b'],
    ['a cause that is an object', caused('a', { code: 7 }), 'a: {"code":7}'],
    ['once what a cause only repeats', caused('topic t: no broker', new Error('no broker')), 'topic t: no broker'],
    ['an error without a message by its name', caused('a', new TypeError()), 'a: TypeError'],
    ['the first of several errors', caused('a', new AggregateError([new Error('refused by ::1'), new Error('refused by 127.0.0.1')], '')), 'a: AggregateError: refused by ::1'],
    ['several errors that are none', new AggregateError([], 'all failed'), 'all failed'],
    ['text that was thrown', 'gone', 'gone'],
    ['nothing that was thrown', undefined, ''],
  ])('tells %s', (_, error, text) => {
    expect(describeError(error)).toBe(text);
  });

  it('ends with causes that go round in a circle', () => {
    const error = new Error('a');
    error.cause = caused('b', error);
    expect(describeError(error)).toBe('a: b');
  });

  it('never throws, whatever was thrown', () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    for (const thrown of [1, 1n, Symbol('s'), null, () => 1, circular]) expect(typeof describeError(thrown)).toBe('string');
    expect(describeError(caused('a', circular))).toMatch(/^a/);
  });
});

describe('Fault', () => {
  it('is an error with a code, that keeps its cause and says whether trying again makes sense', () => {
    const cause = new Error('ECONNREFUSED');
    const fault = new Fault('KAFKA_UNAVAILABLE', 'no broker', { retriable: true, cause });
    expect(fault).toBeInstanceOf(Error);
    expect(fault).toMatchObject({ name: 'Fault', code: 'KAFKA_UNAVAILABLE', message: 'no broker', retriable: true, cause });
    expect(describeError(fault)).toBe('no broker: ECONNREFUSED');
  });

  it('has no cause where it is the first to know', () => {
    expect(Object.hasOwn(new Fault('CLOSED', 'closed', { retriable: false }), 'cause')).toBe(false);
  });
});
