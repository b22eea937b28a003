import { describe, expect, it } from 'vitest';
import type { Condition, ConditionStatus } from '@knative-kafka/common/core';
import { readyEvent } from './ready-event.ts';

const conditions = (status: ConditionStatus, reason?: string): readonly Condition[] => [
  { type: 'Addressable', status: 'True' },
  { type: 'Ready', status, ...(reason === undefined ? {} : { reason, message: `because of ${reason}` }) },
];
const whenReady = { reason: 'KafkaChannelReady', note: 'the channel takes events' };
const ready = { type: 'Normal', ...whenReady };
const failed = (reason: string) => ({ type: 'Warning', reason, note: `because of ${reason}` });

describe('CP-34: the Event about Ready', () => {
  it.each<[string, readonly Condition[] | undefined, readonly Condition[] | undefined, object | undefined]>([
    ['nothing is known', undefined, undefined, undefined],
    ['it is True the first time', undefined, conditions('True'), ready],
    ['it is True still', conditions('True'), conditions('True'), undefined],
    ['it is False the first time', undefined, conditions('False', 'TopicRejected'), failed('TopicRejected')],
    ['it has become False', conditions('True'), conditions('False', 'TopicRejected'), failed('TopicRejected')],
    ['it is False still', conditions('False', 'TopicRejected'), conditions('False', 'TopicRejected'), undefined],
    ['it is False for another reason', conditions('False', 'TopicRejected'), conditions('False', 'KafkaUnavailable'), failed('KafkaUnavailable')],
    ['it has become True', conditions('False', 'TopicRejected'), conditions('True'), ready],
    ['it waits', conditions('True'), conditions('Unknown', 'TopicPending'), undefined],
    ['it is False without a reason', conditions('True'), conditions('False'), { type: 'Warning', reason: 'NotReady', note: '' }],
  ])('when %s', (_name, before, after, expected) => {
    expect(readyEvent(before, after, whenReady)).toEqual(expected);
  });

  it('is none of what nobody wants to hear', () => {
    expect(readyEvent(undefined, conditions('True'))).toBeUndefined();
  });
});
