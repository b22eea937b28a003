import { Fault, type FaultCode } from '@knative-kafka/common/core';
import { Registry, type Logger } from '@knative-kafka/common/io';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startControllerLoop } from './controller-loop.ts';

function fault(code: FaultCode, retriable: boolean): Fault {
  return new Fault(code, 'it failed', { retriable });
}

/** What is reconciled at once: the result, or what is thrown. */
type Reconcile = (key: string) => { requeueAfterMs?: number } | undefined | Promise<undefined>;

function start(reconcile: Reconcile, registry = new Registry()) {
  const lines: string[] = [];
  const details: string[] = [];
  const line = (level: string) => (fields: Readonly<Record<string, unknown>>, message: string) => void lines.push([level, message, fields['reason']].filter(Boolean).join(' / '));
  const log: Logger = { error: line('error'), warn: line('warn'), info: line('info'), debug: (fields, message) => void details.push(`${message} / ${String(fields['key'])}`), setLevel: () => undefined };
  const state = { isLeading: true };
  const calls: string[] = [];
  const loop = startControllerLoop({
    name: 'kafka-channel',
    workers: 1,
    isLeading: () => state.isLeading,
    log,
    registry,
    reconcile: (key) => {
      calls.push(key);
      return Promise.resolve(key).then(reconcile);
    },
  });
  return { loop, lines, details, calls, registry, state };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the controller loop', () => {
  it('tries a failure of the world again soon, and tells of it when it begins and when it is over', async () => {
    let failures = 5;
    const { loop, lines, calls } = start(() => {
      if (failures-- > 0) throw fault('KUBERNETES_UNAVAILABLE', true);
      return undefined;
    });
    loop.enqueue('a');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(calls).toHaveLength(6);
    expect(lines).toEqual(['warn / not reconciled, trying again / KUBERNETES_UNAVAILABLE', 'info / reconciled again']);
  });

  it('tells of what it has reconciled to those who want to see more, and not of what failed', async () => {
    const { loop, details } = start((key) => {
      if (key === 'bad') throw fault('KUBERNETES_REFUSED', false);
      return undefined;
    });
    for (const key of ['a', 'bad', 'b']) loop.enqueue(key);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(details).toEqual(['reconciled / a', 'reconciled / b']);
  });

  it('tells of a failure that turns into another one', async () => {
    const faults = [fault('KUBERNETES_UNAVAILABLE', true), fault('KAFKA_UNAVAILABLE', true), fault('KAFKA_UNAVAILABLE', true)];
    const { loop, lines } = start(() => {
      const next = faults.shift();
      if (next !== undefined) throw next;
      return undefined;
    });
    loop.enqueue('a');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(lines).toEqual(['warn / not reconciled, trying again / KUBERNETES_UNAVAILABLE', 'warn / not reconciled, trying again / KAFKA_UNAVAILABLE', 'info / reconciled again']);
  });

  it('reads again after a conflict, and says nothing unless it stays', async () => {
    let conflicts = 1;
    const { loop, lines, calls } = start(() => {
      if (conflicts-- > 0) throw fault('KUBERNETES_CONFLICT', true);
      return undefined;
    });
    loop.enqueue('a');
    await vi.advanceTimersByTimeAsync(100);
    expect(calls).toHaveLength(2);
    expect(lines).toEqual([]);
    conflicts = 2;
    loop.enqueue('a');
    await vi.advanceTimersByTimeAsync(100);
    expect(lines).toEqual(['warn / not reconciled, trying again / KUBERNETES_CONFLICT', 'info / reconciled again']);
  });

  it.each([
    ['what somebody has to change first', fault('KUBERNETES_REFUSED', false), 'warn / not reconciled, trying again / KUBERNETES_REFUSED'],
    ['a bug', new TypeError('undefined is not a function'), 'error / a bug in a reconciler, trying again slowly'],
  ])('tries %s again slowly, and works on the others meanwhile', async (_, error, line) => {
    const { loop, lines, calls } = start((key) => {
      if (key === 'bad') throw error;
      return undefined;
    });
    loop.enqueue('bad');
    loop.enqueue('good');
    await vi.advanceTimersByTimeAsync(29_000);
    expect(calls).toEqual(['bad', 'good']);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(calls.filter((key) => key === 'bad')).toHaveLength(3);
    expect(lines).toEqual([line]);
  });

  it('looks again when the reconciler asks for it', async () => {
    const { loop, calls } = start(() => ({ requeueAfterMs: 5_000 }));
    loop.enqueue('a');
    await vi.advanceTimersByTimeAsync(15_000);
    expect(calls).toHaveLength(4);
    await loop.stop();
  });

  it('looks again by and by at what is there, and never at what is gone', async () => {
    const { loop, calls } = start((key) => (key === 'there' ? {} : undefined));
    loop.enqueue('there');
    loop.enqueue('gone');
    await vi.advanceTimersByTimeAsync(360_000);
    expect(calls).toEqual(['there', 'gone', 'there']);
  });

  it('reconciles nothing without the lead: neither what comes nor what waits', async () => {
    const { loop, calls, state } = start(() => ({ requeueAfterMs: 1_000 }));
    state.isLeading = false;
    loop.enqueue('a');
    await vi.advanceTimersByTimeAsync(10);
    expect(calls).toEqual([]);
    state.isLeading = true;
    loop.enqueue('b');
    await vi.advanceTimersByTimeAsync(10);
    state.isLeading = false;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(calls).toEqual(['b']);
  });

  it('counts: reconciliations, failures by reason, what waits; two loops share a registry', async () => {
    const registry = new Registry();
    const { loop } = start(() => {
      throw fault('KAFKA_UNAVAILABLE', false);
    }, registry);
    const hanging = startControllerLoop({ name: 'subscription', workers: 1, isLeading: () => true, log: silent, registry, reconcile: () => new Promise(() => undefined) });
    loop.enqueue('a');
    for (const key of ['x', 'y', 'z']) hanging.enqueue(key);
    await vi.advanceTimersByTimeAsync(2_000);
    const text = await registry.metrics();
    expect(text).toContain('knative_kafka_reconcile_duration_seconds_count{controller="kafka-channel"} 1');
    expect(text).toContain('knative_kafka_reconcile_errors_total{controller="kafka-channel",reason="KAFKA_UNAVAILABLE"} 1');
    expect(text).toContain('knative_kafka_workqueue_depth{controller="kafka-channel"} 0');
    expect(text).toContain('knative_kafka_workqueue_depth{controller="subscription"} 2');
    expect(text).toContain('knative_kafka_workqueue_oldest_seconds{controller="subscription"} 2');
  });

  it('waits for what is under way when it stops, and then for no more', async () => {
    let finish: (() => void) | undefined;
    const { loop, calls } = start(() => new Promise((resolve) => (finish = () => resolve(undefined))));
    loop.enqueue('a');
    loop.enqueue('b');
    let isStopped = false;
    const stopped = loop.stop().then(() => (isStopped = true));
    await vi.advanceTimersByTimeAsync(100);
    expect(isStopped).toBe(false);
    finish!();
    await stopped;
    expect(calls).toEqual(['a']);
  });
});

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, setLevel: () => undefined };
