import { describe, expect, it } from 'vitest';
import { answerReason, responseVerdict, type AttemptFailure } from './response-verdict.ts';

const failures: readonly AttemptFailure[] = ['timeout', 'dns-failed', 'connection-refused', 'unreachable', 'tls-failed', 'connection-lost'];

describe('responseVerdict', () => {
  it.each([
    [200, 'delivered'], [201, 'delivered'], [202, 'delivered'], [204, 'delivered'], [299, 'delivered'],
    [404, 'retry'], [408, 'retry'], [409, 'retry'], [429, 'retry'],
    [500, 'retry'], [501, 'retry'], [503, 'retry'], [599, 'retry'], [600, 'retry'], [999, 'retry'],
    [300, 'failed'], [301, 'failed'], [302, 'failed'], [304, 'failed'], [307, 'failed'], [308, 'failed'],
    [400, 'failed'], [401, 'failed'], [403, 'failed'], [405, 'failed'], [410, 'failed'], [413, 'failed'], [415, 'failed'], [422, 'failed'], [499, 'failed'],
  ] as const)('%i is %s', (status, verdict) => {
    expect(responseVerdict({ status })).toBe(verdict);
  });

  it.each(failures)('%s is worth another attempt', (failure) => {
    expect(responseVerdict({ failure, message: '' })).toBe('retry');
  });

  it('looks at the status alone: what came with it changes nothing', () => {
    expect(responseVerdict({ status: 202, reply: { headers: [], body: Buffer.alloc(0) } })).toBe('delivered');
    expect(responseVerdict({ status: 200, reply: 'too-large' })).toBe('delivered');
    expect(responseVerdict({ status: 400, retryAfter: '1', body: Buffer.from('try again') })).toBe('failed');
  });
});

describe('answerReason', () => {
  it.each(failures)('is %s where there was no answer', (failure) => {
    expect(answerReason({ failure, message: 'in many words' })).toBe(failure);
  });

  it('is the status where there was one', () => {
    expect(answerReason({ status: 503, body: Buffer.from('in many words') })).toBe('status-503');
  });
});
