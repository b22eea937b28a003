import { describe, expect, it } from 'vitest';
import { defaultDelivery, type Delivery, type IncomingRecord } from '@knative-kafka/common/core';
import type { DeliveryAnswer } from './core/response-verdict.ts';
import { dispatch, type DeliveryRequest } from './dispatch.ts';

const headers: [string, string][] = [['ce_specversion', '1.0'], ['ce_id', '1'], ['ce_source', '/s'], ['ce_type', 't'], ['content-type', 'application/json']];
const record = (extra: [string, string][] = headers): IncomingRecord => ({ offset: 0n, key: null, value: Buffer.from('{"n":1}'), headers: extra.map(([name, value]) => [name, Buffer.from(value)]), timestampMs: 0 });

/** A subscriber that gives these answers in turn, the last one for ever. */
function setUp(answers: DeliveryAnswer[], change: Partial<Delivery> = {}) {
  const sent: DeliveryRequest[] = [];
  const slept: number[] = [];
  const failed: string[] = [];
  const stop = new AbortController();
  let uri = 'http://subscriber';
  const io = {
    send: (request: DeliveryRequest) => { sent.push({ ...request, headers: [...request.headers] }); return Promise.resolve(answers[Math.min(sent.length, answers.length) - 1]!); },
    sleep: (ms: number, signal: AbortSignal) => { slept.push(ms); return Promise.resolve(!signal.aborted); },
    random: () => 0,
    onFailedAttempt: (reason: string, willRetry: boolean) => { failed.push(`${reason}${willRetry ? ' retry' : ''}`); },
  };
  const destination = () => ({ subscriberUri: uri, namespace: 'shop', delivery: { ...defaultDelivery, ...change } });
  return { sent, slept, failed, stop, moveTo: (next: string) => { uri = next; }, run: (given = record()) => dispatch(given, destination, io, stop.signal) };
}
const status = (code: number): DeliveryAnswer => ({ status: code, retryAfter: undefined });

describe('dispatch', () => {
  it('delivers the event as it is, and says who asks', async () => {
    const { run, sent } = setUp([status(202)]);
    expect(await run()).toEqual({ kind: 'delivered' });
    expect(sent[0]).toMatchObject({ uri: 'http://subscriber', body: Buffer.from('{"n":1}'), timeoutMs: 60_000 });
    const pairs = Object.fromEntries(Array.from({ length: sent[0]!.headers.length / 2 }, (_, n) => [sent[0]!.headers[2 * n], sent[0]!.headers[2 * n + 1]]));
    expect(pairs).toMatchObject({ 'ce-id': '1', 'ce-type': 't', 'content-type': 'application/json', prefer: 'reply', 'kn-namespace': 'shop' });
  });

  it('makes retry + 1 attempts, then drops and says why', async () => {
    const { run, sent, slept, failed } = setUp([status(503)], { retry: 3, backoffPolicy: 'linear', backoffDelayMs: 10 });
    expect(await run()).toEqual({ kind: 'dropped', reason: 'status-503' });
    expect(sent).toHaveLength(4);
    expect(slept).toEqual([10, 20, 30]);
    expect(failed).toEqual(['status-503 retry', 'status-503 retry', 'status-503 retry', 'status-503']);
  });

  it('makes one attempt where no retries are asked for', async () => {
    const { run, sent } = setUp([status(500)], { retry: 0 });
    expect(await run()).toEqual({ kind: 'dropped', reason: 'status-500' });
    expect(sent).toHaveLength(1);
  });

  it('does not repeat what will not get better', async () => {
    const { run, sent } = setUp([status(400)]);
    expect(await run()).toEqual({ kind: 'dropped', reason: 'status-400' });
    expect(sent).toHaveLength(1);
  });

  it('goes on until the subscriber recovers', async () => {
    const { run, sent } = setUp([{ failure: 'unreachable', message: '' }, { failure: 'timeout', message: '' }, status(200)]);
    expect(await run()).toEqual({ kind: 'delivered' });
    expect(sent).toHaveLength(3);
  });

  it('sends the next attempt where the subscriber is now', async () => {
    const { run, sent, moveTo } = setUp([status(503), status(200)]);
    const running = run();
    moveTo('http://elsewhere');
    await running;
    expect(sent.map((request) => request.uri)).toEqual(['http://subscriber', 'http://elsewhere']);
  });

  it('settles nothing when it is interrupted while it waits', async () => {
    const { run, stop } = setUp([status(503)]);
    stop.abort();
    expect(await run()).toEqual({ kind: 'interrupted' });
  });

  it('drops what is not a CloudEvent without calling anybody', async () => {
    const { run, sent } = setUp([status(200)]);
    expect(await run(record([['x', 'y']]))).toEqual({ kind: 'dropped', reason: 'not-a-cloudevent' });
    expect(sent).toHaveLength(0);
  });
});
