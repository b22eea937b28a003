import { describe, expect, it } from 'vitest';
import type { KafkaSourceObject } from './objects.ts';
import { vreplicasOn, wantedVreplicas } from './placed-sources.ts';

const settled = { 'kafka.eventing.knative.dev/topics': 'a', 'kafka.eventing.knative.dev/bootstrap-servers': 'kafka:9092' };

function source({ consumers, metadata = {}, annotations = settled }: { readonly consumers?: unknown; readonly metadata?: object; readonly annotations?: Readonly<Record<string, string>> }): KafkaSourceObject {
  return {
    apiVersion: 'sources.knative.dev/v1', kind: 'KafkaSource', metadata: { name: 'orders', namespace: 'shop', uid: 'u', ...metadata },
    spec: { bootstrapServers: ['kafka:9092'], topics: ['a'], sink: { uri: 'http://sink' }, ...(consumers === undefined ? {} : { consumers: consumers as number }) },
    status: { annotations },
  };
}

describe('the vreplicas that a source wants', () => {
  it.each<[string, KafkaSourceObject, number]>([
    ['as many as it asks for', source({ consumers: 25 }), 25],
    ['one where it says nothing', source({}), 1],
    ['none while it is paused', source({ consumers: 0 }), 0],
    ['none before it has initial offsets', source({ consumers: 4, annotations: {} }), 0],
    ['none while it is being deleted', source({ consumers: 4, metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }), 0],
    ['none while something is wrong with it', source({ consumers: 4, metadata: { labels: { 'kafkasources.sources.knative.dev/key-type': 'integer' } } }), 0],
    ['none of a number that is none', source({ consumers: -1 }), 0],
    ['none of half a vreplica', source({ consumers: 0.5 }), 0],
    ['none without a spec', { apiVersion: 'sources.knative.dev/v1', kind: 'KafkaSource', metadata: { name: 'orders' } }, 0],
  ])('are %s', (_title, object, expected) => {
    expect(wantedVreplicas(object)).toBe(expected);
  });

  it('are counted on pods that are ready', () => {
    expect(vreplicasOn(new Set(['a', 'c']), [{ podName: 'a', vreplicas: 13 }, { podName: 'b', vreplicas: 12 }])).toBe(13);
  });
});
