import { describe, expect, it } from 'vitest';
import { backingSpec, defaultChannelTemplate } from './default-channel.ts';

const kafka = 'apiVersion: messaging.knative.dev/v1\n  kind: KafkaChannel';
const config = (text: string) => ({ 'default-ch-config': text });

describe('GC-01: the default template of a Channel', () => {
  const both = config(`clusterDefault:\n  ${kafka}\nnamespaceDefaults:\n  shop:\n    apiVersion: messaging.knative.dev/v1\n    kind: InMemoryChannel\n    spec:\n      a: 1\n`);

  it('is the one of its namespace before the one of the cluster', () => {
    expect(defaultChannelTemplate(both, 'shop')).toEqual({ apiVersion: 'messaging.knative.dev/v1', kind: 'InMemoryChannel', spec: { a: 1 } });
    expect(defaultChannelTemplate(both, 'bank')).toEqual({ apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel' });
  });

  it.each<[string, Readonly<Record<string, string>> | undefined, RegExp]>([
    ['no ConfigMap', undefined, /default-ch-config is missing/],
    ['no such key', {}, /default-ch-config is missing/],
    ['text that is no YAML', config('a: [1'), /is not YAML/],
    ['nothing for the namespace', config('namespaceDefaults: {}'), /no apiVersion and kind for namespace shop/],
    ['no kind', config('clusterDefault:\n  apiVersion: v1'), /no apiVersion and kind/],
    ['a list', config('- a'), /no apiVersion and kind/],
    ['nothing at all', config(''), /no apiVersion and kind/],
  ])('GC-04: says what is missing: %s', (_name, data, problem) => {
    expect(defaultChannelTemplate(data, 'shop')).toEqual({ problem: expect.stringMatching(problem) as string });
  });
});

describe('GC-02: the spec of the channel behind a Channel', () => {
  const channel = (spec: object) => ({ apiVersion: 'messaging.knative.dev/v1', kind: 'Channel', metadata: { name: 'c' }, spec });
  const template = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel' };

  it.each([
    ['nothing', {}, template, {}],
    ['the delivery of the Channel', { delivery: { retry: 3 } }, template, { delivery: { retry: 3 } }],
    ['what the template says', {}, { ...template, spec: { numPartitions: 4 } }, { numPartitions: 4 }],
    ['the delivery of the template before that of the Channel', { delivery: { retry: 3 } }, { ...template, spec: { delivery: { retry: 1 } } }, { delivery: { retry: 1 } }],
  ])('is %s', (_name, spec, from, expected) => {
    expect(backingSpec(channel(spec), from)).toEqual(expected);
  });
});
