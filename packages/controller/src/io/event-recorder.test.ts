import { Fault } from '@knative-kafka/common/core';
import type { KubernetesApi, KubernetesObject, Logger } from '@knative-kafka/common/io';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createEventRecorder, type RecordedEvent } from './event-recorder.ts';

type Stored = KubernetesObject & { readonly note: string; readonly series?: { readonly count: number } };

/** Events as the API server keeps them. */
function start() {
  const stored = new Map<string, Stored>();
  const state = { fault: undefined as Fault | undefined, writes: 0, warnings: 0 };
  const answer = <T>(work: () => T): Promise<T> => {
    state.writes++;
    return state.fault === undefined ? Promise.resolve(work()) : Promise.reject(state.fault);
  };
  const api: Pick<KubernetesApi, 'create' | 'mergePatch'> = {
    create: (_, object) =>
      answer(() => {
        stored.set(object.metadata.name, object as KubernetesObject as Stored);
        return object;
      }),
    mergePatch: (_, { name }, patch) =>
      answer(() => {
        const before = stored.get(name);
        if (before !== undefined) stored.set(name, { ...before, ...patch });
        return (before === undefined ? undefined : stored.get(name)) as never;
      }),
  };
  const log: Logger = { error: () => undefined, warn: () => (state.warnings += 1), info: () => undefined, debug: () => undefined, setLevel: () => undefined };
  const recorder = createEventRecorder({ api: api as KubernetesApi, reportingController: 'kafka-controller', reportingInstance: 'pod-0', log });
  return { recorder, stored, state, events: () => [...stored.values()] };
}

function event(more: Partial<RecordedEvent> = {}, name = 'orders'): RecordedEvent {
  return { regarding: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', metadata: { namespace: 'shop', name, uid: `uid-${name}`, resourceVersion: '7' } }, type: 'Warning', reason: 'TopicRejected', note: 'no such replicas', action: 'Reconcile', ...more };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the event recorder', () => {
  it('writes an Event into the namespace of the object, and of a cluster\'s object into default', async () => {
    const { recorder, events } = start();
    recorder.record(event());
    recorder.record(event({ regarding: { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'kafkachannels.messaging.knative.dev' } } }));
    await vi.advanceTimersByTimeAsync(0);
    expect(events()[0]).toMatchObject({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace: 'shop' },
      regarding: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', namespace: 'shop', name: 'orders', uid: 'uid-orders' },
      type: 'Warning',
      reason: 'TopicRejected',
      note: 'no such replicas',
      action: 'Reconcile',
      reportingController: 'kafka-controller',
      reportingInstance: 'pod-0',
    });
    expect(events()[1]).toMatchObject({ metadata: { namespace: 'default' }, regarding: { kind: 'CustomResourceDefinition' } });
  });

  it('counts what is told again, and writes that at most every ten seconds', async () => {
    const { recorder, events, state } = start();
    for (let second = 0; second < 60; second++) {
      recorder.record(event());
      await vi.advanceTimersByTimeAsync(1_000);
    }
    await vi.advanceTimersByTimeAsync(10_000);
    expect(events()).toHaveLength(1);
    expect(events()[0]?.series?.count).toBe(60);
    expect(state.writes).toBeLessThanOrEqual(8);
  });

  it('tells other words, another reason or another object as an Event of its own', async () => {
    const { recorder, events } = start();
    for (const told of [event(), event({ note: 'other words' }), event({ reason: 'Other' }), event({ type: 'Normal' }), event({}, 'other'), event()]) recorder.record(told);
    await vi.advanceTimersByTimeAsync(0);
    expect(events()).toHaveLength(5);
  });

  it('begins a new Event when the last time is more than ten minutes ago', async () => {
    const { recorder, events } = start();
    recorder.record(event());
    await vi.advanceTimersByTimeAsync(599_000);
    recorder.record(event());
    await vi.advanceTimersByTimeAsync(600_000);
    recorder.record(event());
    await vi.advanceTimersByTimeAsync(0);
    expect(events()).toHaveLength(2);
  });

  it('gives an object 25 Events at once, and one more every five minutes; others have their own', async () => {
    const { recorder, events } = start();
    for (let index = 0; index < 100; index++) recorder.record(event({ note: `${index}` }));
    recorder.record(event({}, 'other'));
    await vi.advanceTimersByTimeAsync(0);
    expect(events()).toHaveLength(26);
    await vi.advanceTimersByTimeAsync(300_000);
    for (let index = 100; index < 110; index++) recorder.record(event({ note: `${index}` }));
    await vi.advanceTimersByTimeAsync(0);
    expect(events()).toHaveLength(27);
  });

  it('cuts a note after 1024 bytes, between characters', async () => {
    const { recorder, events } = start();
    recorder.record(event({ note: 'ä€😀'.repeat(300) }));
    recorder.record(event({ note: 'x'.repeat(1_024) }));
    await vi.advanceTimersByTimeAsync(0);
    const [long, fitting] = events();
    expect(Buffer.byteLength(long!.note)).toBeLessThanOrEqual(1_024);
    expect(Buffer.byteLength(long!.note)).toBeGreaterThan(1_015);
    expect(long!.note).toMatch(/^(?:ä€😀)+ä?€?\.\.\.$/u);
    expect(fitting!.note).toBe('x'.repeat(1_024));
  });

  it('tries again while the API server is away, and says so once', async () => {
    const { recorder, events, state } = start();
    state.fault = new Fault('KUBERNETES_UNAVAILABLE', 'away', { retriable: true });
    recorder.record(event());
    await vi.advanceTimersByTimeAsync(60_000);
    expect(events()).toHaveLength(0);
    state.fault = undefined;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(events()).toHaveLength(1);
    expect(state.warnings).toBe(1);
  });

  it('leaves what is refused', async () => {
    const { recorder, state } = start();
    state.fault = new Fault('KUBERNETES_REFUSED', 'the namespace is going', { retriable: false });
    recorder.record(event());
    await vi.advanceTimersByTimeAsync(600_000);
    expect(state.writes).toBe(1);
  });

  it('writes an Event again that has expired meanwhile', async () => {
    const { recorder, stored, events } = start();
    recorder.record(event());
    await vi.advanceTimersByTimeAsync(0);
    stored.clear();
    recorder.record(event());
    await vi.advanceTimersByTimeAsync(10_000);
    expect(events()).toHaveLength(1);
    expect(events()[0]?.series?.count).toBe(2);
  });

  it('keeps a bounded number of series, however many objects there are', async () => {
    const { recorder, state } = start();
    for (let index = 0; index < 5_000; index++) recorder.record(event({}, `channel-${index}`));
    await vi.advanceTimersByTimeAsync(0);
    const writes = state.writes;
    expect(writes).toBeGreaterThanOrEqual(1_000);
    for (let index = 4_500; index < 5_000; index++) recorder.record(event({}, `channel-${index}`));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(state.writes).toBe(writes + 500); // counted, not begun anew
  });

  it('writes what is new when it closes, and takes nothing more', async () => {
    const { recorder, events } = start();
    for (let index = 0; index < 5; index++) recorder.record(event({ note: `${index}` }));
    await recorder.close();
    expect(events()).toHaveLength(5);
    recorder.record(event({ note: 'late' }));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(events()).toHaveLength(5);
  });
});
