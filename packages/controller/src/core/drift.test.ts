import { describe, expect, it } from 'vitest';
import { appliedAnnotation, isAsDesired, isSameJson, withAppliedHash } from './drift.ts';

describe('isAsDesired', () => {
  it.each<[string, unknown, unknown, boolean]>([
    ['the same', { a: 1, b: ['x'] }, { a: 1, b: ['x'] }, true],
    ['more beside it', { a: { b: 1 } }, { a: { b: 1, c: 2 }, d: 3 }, true],
    ['another value', { a: { b: 1 } }, { a: { b: 2 } }, false],
    ['a missing field', { a: 1, b: 2 }, { a: 1 }, false],
    ['an undefined field that is missing', { a: 1, b: undefined }, { a: 1 }, true],
    ['a shorter list', { a: [1, 2] }, { a: [1] }, false],
    ['a longer list', { a: [1] }, { a: [1, 2] }, false],
    ['a list in another order', { a: [1, 2] }, { a: [2, 1] }, false],
    ['more in an item of a list', { a: [{ b: 1 }] }, { a: [{ b: 1, c: 2 }] }, true],
    ['nothing there', { a: {} }, {}, false],
    ['null where an object should be', { a: { b: 1 } }, { a: null }, false],
    ['a list where an object should be', { a: { b: 1 } }, { a: [1] }, false],
    ['text where a number should be', { a: 80 }, { a: '80' }, false],
  ])('%s', (_name, desired, observed, expected) => {
    expect(isAsDesired(desired, observed)).toBe(expected);
  });
});

describe('isSameJson', () => {
  it.each<[unknown, unknown, boolean]>([
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, true],
    [{ a: 1 }, { a: 1, b: 2 }, false],
    [{ a: 1, b: undefined }, { a: 1 }, true],
    [[{ a: 1 }], [{ a: 1, b: 2 }], false],
    [undefined, undefined, true],
    [undefined, {}, false],
  ])('%j and %j: %s', (one, other, expected) => {
    expect(isSameJson(one, other)).toBe(expected);
  });
});

describe('withAppliedHash', () => {
  const object = (spec: object) => ({ apiVersion: 'v1', kind: 'Thing', metadata: { name: 'x', labels: {} }, spec });
  const hash = (spec: object, unhashed?: readonly string[]) => withAppliedHash(object(spec), unhashed).metadata.annotations[appliedAnnotation];

  it('differs when something is taken away, which a comparison of what is there would not see', () => {
    const before = withAppliedHash(object({ a: 1, b: 2 }));
    const after = withAppliedHash(object({ a: 1 }));
    expect(isAsDesired(object({ a: 1 }), before)).toBe(true);
    expect(isAsDesired(after, before)).toBe(false);
  });

  it('is the same for the same, and leaves out what it is told to', () => {
    expect(hash({ a: 1 })).toBe(hash({ a: 1 }));
    expect(hash({ a: 1, replicas: 1 }, ['replicas'])).toBe(hash({ a: 1, replicas: 4 }, ['replicas']));
    expect(hash({ a: 1, replicas: 1 })).not.toBe(hash({ a: 1, replicas: 4 }));
  });
});
