import { describe, expect, it } from 'vitest';
import { Fault } from '@knative-kafka/common/core';
import { accepted, badRequest, encodedBody, kafkaAway, methodNotAllowed, notAnEvent, notStored, overloaded, tooLarge, tooManyHeaders, unknownChannel, unknownExpectation } from './receive-response.ts';

const late = new Fault('DEADLINE_EXCEEDED', 'topic t, partition 0: too late', { retriable: true });
const refused = new Fault('KAFKA_REFUSED', 'not authorized', { retriable: false });
const large = new Fault('RECORD_TOO_LARGE', 'too large', { retriable: false });

describe('every answer', () => {
  const answers = [
    badRequest('a'), tooManyHeaders(500), unknownExpectation, encodedBody('gzip'), kafkaAway('away'), kafkaAway(undefined), methodNotAllowed, notAnEvent(400, { attribute: 'id', reason: 'r' }),
    notAnEvent(415, { attribute: 'content-type', reason: 'r' }), notStored(late, 0, 1, 9), notStored(refused, 0, 1, 9), notStored(large, 0, 1, 9), overloaded, tooLarge(9), unknownChannel('h', '/p'),
  ];
  it('but the good one gives a reason', () => {
    expect(accepted).toEqual({ status: 202 });
    for (const { problem } of answers) expect(problem?.detail).toMatch(/./);
  });

  it('of those that get better by themselves says when to come back, and no other', () => {
    for (const { status, retryAfterSeconds } of answers) expect({ status, retryAfterSeconds }).toEqual({ status, retryAfterSeconds: status === 429 || status === 503 ? 1 : undefined });
  });
});

describe('events that were not stored', () => {
  it.each([
    ['a Kafka that does not answer in time', late, 503],
    ['a Kafka that refuses for good', refused, 500],
    ['an event larger than the topic takes', large, 413],
  ])('because of %s', (_, fault, status) => {
    expect(notStored(fault, 0, 1, 1_000).status).toBe(status);
  });

  it('tell how many of a batch are stored: sent again they come twice', () => {
    expect(notStored(late, 2, 3, 1_000).problem?.detail).toBe('topic t, partition 0: too late; 2 of the 3 events of the batch are stored');
    expect(notStored(late, 0, 1, 1_000).problem?.detail).toBe('topic t, partition 0: too late');
  });
});

it('a refused channel shows what was addressed, but not without end', () => {
  const { problem } = unknownChannel('h'.repeat(500), '/p');
  expect(problem?.detail).toContain('path "/p"');
  expect(problem!.detail.length).toBeLessThan(500);
});

it('an event is refused with the attribute at fault', () => {
  expect(notAnEvent(400, { attribute: 'id', reason: 'expected an id' })).toEqual({ status: 400, problem: { title: 'Not a CloudEvent', detail: 'expected an id', attribute: 'id' } });
});
