import { expect, it } from 'vitest';
import { checkDeadLetter } from './dead-letter-check.ts';

const uri = 'http://127.0.0.1:1/';
const headers = (code: string, data: string): Record<string, string> => ({ 'ce-knativeerrordest': uri, 'ce-knativeerrorcode': code, 'ce-knativeerrordata': Buffer.from(data).toString('base64') });

it.each([
  ['an answer', headers('503', 'answered 503'), [503], undefined],
  ['one of several answers', headers('429', 'answered 429'), [500, 429], undefined],
  ['no answer', headers('500', 'dispatch error: connection reset'), [0], undefined],
  ['another answer than there was', headers('500', 'answered 500'), [503], /answered 503/],
  ['a body of another answer', headers('500', 'answered 503'), [500], /answered 500/],
  ['an error where there was an answer', headers('500', 'dispatch error: connection refused'), [500], /dispatch error/],
  ['an answer that took too long', headers('500', 'dispatch error: no answer within 2000 ms'), [500], undefined],
  ['another destination', { ...headers('503', 'answered 503'), 'ce-knativeerrordest': 'http://other/' }, [503], /knativeerrordest/],
  ['no data', { 'ce-knativeerrordest': uri, 'ce-knativeerrorcode': '503' }, [503], /knativeerrordata is absent/],
  ['a failure that never was', headers('503', 'answered 503'), [], /answered nothing/],
] as const)('a dead letter that tells of %s', (_, told, failures, problem) => {
  const found = checkDeadLetter(told, uri, new Set(failures));
  expect(found).toEqual(problem === undefined ? undefined : expect.stringMatching(problem));
});
