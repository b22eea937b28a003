import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Fault } from '@knative-kafka/common/core';
import type { KubernetesApi } from '@knative-kafka/common/io';
import { SecretReader } from './secret-reader.ts';

const name = { namespace: 'shop', name: 'login' };
let answer: () => Promise<unknown>;
let requests: number;
let reader: SecretReader;

beforeEach(() => {
  vi.useFakeTimers();
  requests = 0;
  answer = () => Promise.resolve({ data: { user: Buffer.from('ann').toString('base64') } });
  reader = new SecretReader({ get: () => { requests++; return answer(); } } as unknown as KubernetesApi);
});
afterEach(() => {
  vi.useRealTimers();
});

describe('Secrets read by name', () => {
  it('are decoded, and read once for all who ask within ten seconds', async () => {
    expect(await Promise.all([reader.read(name), reader.read(name)])).toEqual([{ user: Buffer.from('ann') }, { user: Buffer.from('ann') }]);
    vi.advanceTimersByTime(9_999);
    await reader.read(name);
    expect(requests).toBe(1);
    vi.advanceTimersByTime(1);
    await reader.read(name);
    expect(requests).toBe(2);
  });

  it.each([['are not there', () => Promise.resolve(undefined)], ['may not be read', () => Promise.reject(new Fault('KUBERNETES_REFUSED', 'forbidden', { retriable: false }))]])('that %s are looked for again soon', async (_title, without) => {
    answer = without;
    expect(await reader.read(name)).toBeUndefined();
    vi.advanceTimersByTime(2_000);
    answer = () => Promise.resolve({});
    expect(await reader.read(name)).toEqual({});
  });

  it('that could not be read are read anew at once', async () => {
    answer = () => Promise.reject(new Fault('KUBERNETES_UNAVAILABLE', 'away', { retriable: true }));
    await expect(reader.read(name)).rejects.toThrow('away');
    answer = () => Promise.resolve({});
    expect(await reader.read(name)).toEqual({});
  });
});
