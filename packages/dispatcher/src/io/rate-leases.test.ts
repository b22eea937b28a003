import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RateLeases } from './rate-leases.ts';

const never = new AbortController().signal;
let limits: RateLeases[] = [];
let isOver = false;

beforeEach(() => {
  isOver = false;
  vi.useFakeTimers();
});
afterEach(() => {
  isOver = true; // or a limit that is closed would let senders go on for ever
  for (const limit of limits) limit.close();
  limits = [];
  vi.useRealTimers();
});

function limitTo(perSecond: number): RateLeases {
  const limit = new RateLeases(perSecond);
  limits.push(limit);
  return limit;
}

/** Senders who always want more, with a pause after each attempt. @returns when each attempt was made, as it goes on */
function send(limit: RateLeases, senders: number, pauseMs = 0): number[] {
  const times: number[] = [];
  const sender = async (): Promise<void> => {
    while ((limit.take() || (await limit.wait(never))) && !isOver) {
      times.push(performance.now());
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  for (let n = 0; n < senders; n++) void sender();
  return times;
}

/** The most in any stretch of time that begins with an attempt. */
function most(times: readonly number[], withinMs: number): number {
  let found = 0;
  for (let from = 0, to = 0; from < times.length; from++) {
    while (to < times.length && times[to]! < times[from]! + withinMs) to++;
    found = Math.max(found, to - from);
  }
  return found;
}

describe('a rate limit', () => {
  it.each([
    [1, 5], [50, 5], [100, 5], [333, 10], [1_000, 100], [20_000, 300],
  ])('of %d a second lets exactly that many through while more is wanted', async (perSecond, senders) => {
    const times = send(limitTo(perSecond), senders);
    await vi.advanceTimersByTimeAsync(1_000);
    const before = times.length;
    await vi.advanceTimersByTimeAsync(2_000);
    const lease = Math.ceil(perSecond / 100);
    expect(Math.abs(times.length - before - 2 * perSecond)).toBeLessThanOrEqual(lease);
    expect(most(times, 1_000)).toBeLessThanOrEqual(perSecond + lease);
  });

  it('is reached by a single sender too, whose attempts take nearly as long as their share', async () => {
    const times = send(limitTo(100), 1, 9);
    await vi.advanceTimersByTimeAsync(2_100);
    expect(times.length).toBeGreaterThanOrEqual(200);
  });

  it('holds up nobody who wants less, and lets one lease go at once after a pause', async () => {
    const limit = limitTo(1_000);
    const first = send(limit, 1, 100);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(first.length).toBeGreaterThanOrEqual(10);
    isOver = true;
    limit.setRate(200);
    await vi.advanceTimersByTimeAsync(60_000);
    const taken = Array.from({ length: 100 }, () => limit.take()).filter(Boolean);
    expect(taken).toHaveLength(2);
  });

  it('keeps its distance after a pause: no second lease follows at once', async () => {
    const limit = limitTo(50);
    void limit.wait(never);
    await vi.advanceTimersByTimeAsync(60_000);
    const times = send(limit, 5);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(most(times, 15)).toBe(1);
    expect(times.length).toBeLessThanOrEqual(51);
  });

  it('serves those who wait in the order they came', async () => {
    const limit = limitTo(100);
    const served: number[] = [];
    for (let n = 0; n < 20; n++) void limit.wait(never).then(() => served.push(n));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(served).toEqual(Array.from({ length: 20 }, (_, n) => n));
  });

  it('lets nobody overtake those who wait', async () => {
    const limit = limitTo(1);
    void limit.wait(never);
    void limit.wait(never);
    await vi.advanceTimersByTimeAsync(100);
    expect([limit.waiting, limit.take()]).toEqual([1, false]);
  });

  it('ends the wait of one that is to end, who takes nothing with it', async () => {
    const limit = limitTo(1);
    const ending = new AbortController();
    const waits = [limit.wait(never), limit.wait(ending.signal), limit.wait(never)];
    await vi.advanceTimersByTimeAsync(100);
    ending.abort();
    await expect(waits[1]).resolves.toBe(false);
    expect(limit.waiting).toBe(1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await Promise.all(waits)).toEqual([true, false, true]);
    await expect(limit.wait(ending.signal)).resolves.toBe(false);
  });

  it('changes while some wait', async () => {
    const limit = limitTo(50);
    const times = send(limit, 20);
    await vi.advanceTimersByTimeAsync(2_000);
    limit.setRate(500);
    await vi.advanceTimersByTimeAsync(1_000);
    let before = times.length;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(Math.abs(times.length - before - 1_000)).toBeLessThanOrEqual(10);
    limit.setRate(10);
    await vi.advanceTimersByTimeAsync(1_000);
    before = times.length;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(Math.abs(times.length - before - 20)).toBeLessThanOrEqual(1);
  });

  it('that ends lets everybody go, at once and from then on, and leaves no timer', async () => {
    const limit = limitTo(1);
    const waits = [limit.wait(never), limit.wait(never), limit.wait(never)];
    limit.close();
    expect(await Promise.all(waits)).toEqual([true, true, true]);
    expect([limit.take(), await limit.wait(never), limit.waiting]).toEqual([true, true, 0]);
    await vi.advanceTimersByTimeAsync(0);
    await vi.runAllTimersAsync();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('says how long was waited', async () => {
    const limit = limitTo(10);
    for (let n = 0; n < 3; n++) void limit.wait(never);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(limit.waitedMs).toBeGreaterThanOrEqual(100 + 200);
    expect(limit.waitedMs).toBeLessThan(100 + 200 + 50);
  });
});
