import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startWorkQueue, type WorkOutcome, type WorkQueueOptions } from './work-queue.ts';

/** A queue whose work is ended by the test. */
function start(options: Partial<WorkQueueOptions> = {}) {
  const started: string[] = [];
  const running = new Map<string, (outcome: WorkOutcome) => void>();
  const queue = startWorkQueue({
    workers: 2,
    random: () => 0,
    work: (key) => {
      started.push(key);
      expect(running.has(key)).toBe(false); // never twice at the same time
      return new Promise((resolve) => running.set(key, resolve));
    },
    ...options,
  });
  return {
    queue,
    started,
    async end(key: string, outcome: WorkOutcome = { kind: 'done' }) {
      running.get(key)!(outcome);
      running.delete(key);
      await vi.advanceTimersByTimeAsync(0);
    },
  };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the work queue', () => {
  it('keeps a key once, however often it is added, and works on as many as there are workers', async () => {
    const { queue, started, end } = start();
    for (const key of ['a', 'b', 'c', 'c', 'd', 'c']) queue.add(key);
    expect(started).toEqual(['a', 'b']);
    expect(queue.depth).toBe(2);
    await end('a');
    await end('b');
    expect(started).toEqual(['a', 'b', 'c', 'd']);
    await end('c');
    await end('d');
    expect(started).toHaveLength(4);
    expect(queue.depth).toBe(0);
  });

  it('works again on a key that was added while it was being worked on, once', async () => {
    const { queue, started, end } = start();
    queue.add('a');
    queue.add('a');
    queue.add('a');
    expect(started).toEqual(['a']);
    await end('a');
    expect(started).toEqual(['a', 'a']);
    await end('a');
    expect(started).toHaveLength(2);
  });

  it('waits twice as long after each failure in a row, and starts over after a success', async () => {
    const { queue, started, end } = start({ backoff: { firstMs: 100, longestMs: 350 } });
    queue.add('a');
    for (const waitMs of [50, 100, 175, 175]) { // half of 100, 200, 350, 350
      await end('a', { kind: 'failed' });
      const before = started.length;
      await vi.advanceTimersByTimeAsync(waitMs - 1);
      expect(started).toHaveLength(before);
      await vi.advanceTimersByTimeAsync(1);
      expect(started).toHaveLength(before + 1);
    }
    await end('a', { kind: 'done', againAfterMs: 10 });
    await vi.advanceTimersByTimeAsync(10);
    await end('a', { kind: 'failed' });
    const before = started.length;
    await vi.advanceTimersByTimeAsync(50);
    expect(started).toHaveLength(before + 1);
  });

  it('does not come back before the time that a failure names', async () => {
    const { queue, started, end } = start();
    queue.add('a');
    await end('a', { kind: 'failed', atLeastMs: 30_000 });
    await vi.advanceTimersByTimeAsync(29_999);
    expect(started).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(started).toHaveLength(2);
  });

  it('counts the earlier of two times at which a key is due', async () => {
    const { queue, started } = start();
    queue.addAfter('a', 1_000);
    queue.addAfter('a', 5_000);
    await vi.advanceTimersByTimeAsync(999);
    expect(started).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(started).toEqual(['a']);
    queue.addAfter('b', 5_000);
    queue.addAfter('b', 100);
    await vi.advanceTimersByTimeAsync(100);
    expect(started).toEqual(['a', 'b']);
  });

  it('takes a change at once, though the key waits for its backoff or its time', async () => {
    const { queue, started, end } = start();
    queue.add('a');
    await end('a', { kind: 'failed', atLeastMs: 60_000 });
    queue.add('a');
    expect(started).toEqual(['a', 'a']);
    await end('a');
    await vi.advanceTimersByTimeAsync(120_000);
    expect(started).toHaveLength(2); // the retry that is no longer needed does not come
  });

  it('holds all retries together to a rate, and nothing that is new', async () => {
    const { queue, started, end } = start({ workers: 100, backoff: { firstMs: 2, longestMs: 2 }, retriesPerSecond: 10, retryBurst: 1 });
    const keys = Array.from({ length: 20 }, (_, index) => `k${index}`);
    for (const key of keys) queue.add(key);
    expect(started).toHaveLength(20);
    for (const key of keys) await end(key, { kind: 'failed' });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(started.length).toBeGreaterThanOrEqual(20 + 10);
    expect(started.length).toBeLessThanOrEqual(20 + 11);
  });

  it('tells how many wait, and how long the first of them', async () => {
    const { queue } = start({ workers: 1 });
    queue.add('a');
    expect(queue.oldestMs).toBe(0);
    queue.add('b');
    await vi.advanceTimersByTimeAsync(500);
    queue.add('c');
    expect(queue.depth).toBe(2);
    expect(queue.oldestMs).toBe(500);
  });

  it('waits more than a timer of Node can', async () => {
    const { queue, started } = start();
    queue.addAfter('a', 2 ** 32);
    await vi.advanceTimersByTimeAsync(2 ** 31);
    expect(started).toEqual([]);
    await vi.advanceTimersByTimeAsync(2 ** 31);
    expect(started).toEqual(['a']);
  });

  it('begins nothing after stop, and waits for what is under way, within the time', async () => {
    const { queue, started, end } = start();
    for (const key of ['a', 'b', 'c']) queue.add(key);
    queue.addAfter('d', 10);
    const stopped = queue.stop(1_000);
    await end('a', { kind: 'failed' });
    await end('b');
    expect(await stopped).toBe(true);
    queue.add('e');
    await vi.advanceTimersByTimeAsync(600_000);
    expect(started).toEqual(['a', 'b']);
  });

  it('gives up waiting for work that does not end', async () => {
    const { queue } = start();
    queue.add('a');
    const stopped = queue.stop(1_000);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await stopped).toBe(false);
  });
});
