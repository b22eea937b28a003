import { describe, expect, it } from 'vitest';
import type { PodObject } from './objects.ts';
import type { DispatcherPod } from './placement.ts';
import { podStates, type KnownPods } from './source-pods.ts';

const name = (ordinal: number): string => `kafka-source-dispatcher-${ordinal}`;
const patienceMs = 60_000;

function pod(ordinal: number, is: { readonly ready?: boolean; readonly node?: boolean; readonly deleting?: boolean; readonly annotation?: string } = {}): PodObject {
  const { ready = true, node = true, deleting = false, annotation } = is;
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: {
      name: name(ordinal), ...(deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
      ...(annotation === undefined ? {} : { annotations: { 'eventing.knative.dev/unschedulable': annotation } }),
    },
    spec: node ? { nodeName: 'node' } : {},
    status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
}

const never: KnownPods = new Map();
const wasReady: KnownPods = new Map([[name(0), undefined]]);
const since = (ms: number): KnownPods => new Map([[name(0), ms]]);

describe('a pod', () => {
  it.each<{ title: string; pods: readonly PodObject[]; known?: KnownPods; state: DispatcherPod['state'] | undefined }>([
    { title: 'that is Ready', pods: [pod(0)], state: 'schedulable' },
    { title: 'without a node', pods: [pod(0, { ready: false, node: false })], state: 'pending' },
    { title: 'that never was Ready', pods: [pod(0, { ready: false })], state: 'pending' },
    { title: 'that is being deleted and never was seen Ready', pods: [pod(0, { deleting: true })], state: 'pending' },
    { title: 'that was Ready and starts again', pods: [pod(0, { ready: false })], known: wasReady, state: 'schedulable' },
    { title: 'that was Ready and is being deleted', pods: [pod(0, { deleting: true })], known: wasReady, state: 'schedulable' },
    { title: 'that was Ready and is gone for the moment', pods: [], known: wasReady, state: 'schedulable' },
    { title: 'that came back and has no node yet', pods: [pod(0, { ready: false, node: false })], known: since(50_001), state: 'schedulable' },
    { title: 'that came back too late', pods: [pod(0, { ready: false, node: false })], known: since(40_000), state: 'pending' },
    { title: 'that is gone for too long', pods: [], known: since(40_000), state: undefined },
    { title: 'that is not there', pods: [], state: undefined },
    { title: 'that is Ready and not to have any', pods: [pod(0, { annotation: 'true' })], state: 'unschedulable' },
    { title: 'that is not Ready and not to have any', pods: [pod(0, { ready: false, annotation: 'true' })], known: wasReady, state: 'unschedulable' },
    { title: 'with another annotation', pods: [pod(0, { annotation: 'false' })], state: 'schedulable' },
    { title: 'of somebody else', pods: [{ ...pod(0), metadata: { name: 'another-0' } }], state: undefined },
  ])('$title: $state', ({ pods, known = never, state }) => {
    expect(podStates({ pods, replicas: 1 }, known, 100_000, patienceMs).pods[0]?.state).toBe(state);
  });

  it('that the StatefulSet will not have any more takes nothing, Ready or remembered', () => {
    expect(podStates({ pods: [pod(0), pod(1)], replicas: 1 }, new Map([[name(1), undefined], [name(2), undefined]]), 0, patienceMs).pods).toEqual([{ name: name(0), state: 'schedulable' }]);
  });

  it('has its patience from when it is first seen not Ready, and anew once it is Ready again', () => {
    let known = never;
    const at = (ms: number, ...pods: readonly PodObject[]) => {
      const states = podStates({ pods, replicas: 1 }, known, ms, patienceMs);
      known = states.known;
      return [states.pods[0]?.state, states.againInMs];
    };
    expect(at(0, pod(0))).toEqual(['schedulable', undefined]);
    expect(at(1_000_000, pod(0, { ready: false }))).toEqual(['schedulable', 60_000]);
    expect(at(1_059_999)).toEqual(['schedulable', 1]);
    expect(at(1_059_999, pod(0))).toEqual(['schedulable', undefined]);
    expect(at(1_060_000)).toEqual(['schedulable', 60_000]);
    expect(at(1_120_000)).toEqual([undefined, undefined]);
    expect(at(1_120_001, pod(0, { ready: false }))).toEqual(['pending', undefined]);
  });
});

describe('pods that are Ready', () => {
  it('are told apart from those that are only expected back', () => {
    expect([...podStates({ pods: [pod(0, { ready: false }), pod(1)], replicas: 2 }, wasReady, 0, patienceMs).ready]).toEqual([name(1)]);
  });
});
