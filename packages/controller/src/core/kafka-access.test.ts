import { describe, expect, it } from 'vitest';
import { afterLook, isSameTrouble, neverLooked, type AccessProblem } from './kafka-access.ts';

const unavailable = (message: string): AccessProblem => ({ of: 'kafka', reason: 'KafkaUnavailable', message });
const refused: AccessProblem = { of: 'secret', reason: 'KafkaAccessRefused', message: 'wrong password' };
const away = unavailable('connect ECONNREFUSED 10.0.0.1:9092');
const problemsOf = (looks: readonly (AccessProblem | undefined)[]): readonly (string | undefined)[] => {
  let standing = neverLooked;
  return looks.map((found) => (standing = afterLook(standing, found)).problem?.reason);
};

describe('looks at a Kafka', () => {
  it.each<[string, readonly (AccessProblem | undefined)[], readonly (string | undefined)[]]>([
    ['it lets us in', [undefined, undefined], [undefined, undefined]],
    ['it never could be reached', [away, away, undefined], ['KafkaUnavailable', 'KafkaUnavailable', undefined]],
    ['it starts again', [undefined, away, undefined, away, undefined], [undefined, undefined, undefined, undefined, undefined]],
    ['it goes away', [undefined, away, away, undefined], [undefined, undefined, 'KafkaUnavailable', undefined]],
    ['it refuses us', [undefined, refused, undefined], [undefined, 'KafkaAccessRefused', undefined]],
    ['it refuses us, and goes away', [undefined, refused, away], [undefined, 'KafkaAccessRefused', 'KafkaUnavailable']],
    ['it is away, and refuses us when it is back', [away, refused], ['KafkaUnavailable', 'KafkaAccessRefused']],
  ])('%s', (_name, looks, problems) => {
    expect(problemsOf(looks)).toEqual(problems);
  });

  it('keep the words of the first as long as they say the same', () => {
    const first = afterLook(neverLooked, away);
    expect(afterLook(first, unavailable('connect ECONNREFUSED 10.0.0.2:9092')).problem).toBe(away);
    expect(first).toMatchObject({ hasLooked: true, misses: 1 });
  });
});

describe('what keeps us out of a Kafka', () => {
  it.each([
    ['nothing, as before', undefined, undefined, true],
    ['nothing any more', away, undefined, false],
    ['something, suddenly', undefined, away, false],
    ['the same of another broker', unavailable('Kafka, from kafka-0.kafka:9092: connect ECONNREFUSED 10.0.0.1:9092'), unavailable('Kafka, from kafka-1.kafka:9092: connect ECONNREFUSED 10.0.0.12:9092'), true],
    ['other words', unavailable('getaddrinfo ENOTFOUND kafka'), unavailable('connect ECONNREFUSED'), false],
    ['another reason', unavailable('x'), { ...refused, message: 'x' }, false],
  ])('is the same or not: %s', (_name, before, after, isSame) => {
    expect(isSameTrouble(before, after)).toBe(isSame);
  });
});
