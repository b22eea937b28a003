import { describe, expect, it } from 'vitest';
import { answerReason, responseVerdict } from './response-verdict.ts';

const status = (code: number) => ({ status: code, retryAfter: undefined });

describe('responseVerdict', () => {
  it.each([
    [200, 'delivered'], [201, 'delivered'], [202, 'delivered'], [204, 'delivered'], [299, 'delivered'],
    [404, 'retry'], [408, 'retry'], [409, 'retry'], [429, 'retry'],
    [500, 'retry'], [501, 'retry'], [503, 'retry'], [599, 'retry'], [600, 'retry'],
    [300, 'failed'], [301, 'failed'], [302, 'failed'], [304, 'failed'], [307, 'failed'], [308, 'failed'],
    [400, 'failed'], [401, 'failed'], [403, 'failed'], [405, 'failed'], [410, 'failed'], [413, 'failed'], [415, 'failed'], [422, 'failed'], [499, 'failed'],
  ] as const)('%i is %s', (code, verdict) => {
    expect(responseVerdict(status(code))).toBe(verdict);
  });

  it.each(['timeout', 'unreachable', 'connection-lost'] as const)('%s is worth another attempt', (failure) => {
    expect(responseVerdict({ failure, message: '' })).toBe('retry');
    expect(answerReason({ failure, message: 'x' })).toBe(failure);
  });

  it('names the status for metrics', () => {
    expect(answerReason(status(503))).toBe('status-503');
  });
});
