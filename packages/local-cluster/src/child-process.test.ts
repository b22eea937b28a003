import { describe, expect, it } from 'vitest';
import { waitFor } from './child-process.ts';

describe('waitFor', () => {
  it('returns what the check finds once there is something to find', async () => {
    const answers = [undefined, false, null, 'ready'];
    expect(await waitFor('an answer', () => answers.shift(), { timeoutMs: 5_000, everyMs: 1 })).toBe('ready');
  });

  it('takes 0 and the empty text for values', async () => {
    expect(await waitFor('a number', () => 0, { timeoutMs: 5_000 })).toBe(0);
    expect(await waitFor('a text', () => Promise.resolve(''), { timeoutMs: 5_000 })).toBe('');
  });

  it('goes on after a check that throws', async () => {
    let checks = 0;
    const check = () => {
      if (++checks < 3) throw new Error('not yet');
      return checks;
    };
    expect(await waitFor('a check without an error', check, { timeoutMs: 5_000, everyMs: 1 })).toBe(3);
  });

  it('names the fact and the last error when the time is up', async () => {
    const check = () => Promise.reject(new Error('connection refused'));
    await expect(waitFor('the port to answer', check, { timeoutMs: 20, everyMs: 1 })).rejects.toThrow(
      'waited in vain for the port to answer (20 ms); last error: connection refused',
    );
  });

  it('ends although the check never answers', async () => {
    const check = () => new Promise<true>(() => undefined);
    await expect(waitFor('a miracle', check, { timeoutMs: 20 })).rejects.toThrow('waited in vain for a miracle (20 ms)');
  });
});
