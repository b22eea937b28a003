import { describe, expect, it } from 'vitest';
import type { KafkaChannelManifest } from './kafka-channel.ts';
import { parseKafkaChannel } from './kafka-channel.ts';

const manifest = (spec: Partial<KafkaChannelManifest['spec']> = {}, annotations?: Record<string, string>): KafkaChannelManifest => ({
  apiVersion: 'messaging.knative.dev/v1',
  kind: 'KafkaChannel',
  metadata: { name: 'orders', namespace: 'shop', uid: 'u', generation: 4, ...(annotations && { annotations }) },
  spec: { numPartitions: 3, replicationFactor: 1, retentionDuration: 'PT168H', ...spec },
});

describe('parseKafkaChannel', () => {
  it('gives durations in milliseconds and keeps the rest', () => {
    const { channel, problems } = parseKafkaChannel(
      manifest({
        retentionDuration: 'P1D',
        delivery: { retry: 2 },
        subscribers: [{ uid: 's1', subscriberUri: 'http://a' }, { uid: 's2', name: 'two', generation: 7, replyUri: 'http://b', delivery: { retry: 1 } }],
      }),
    );
    expect(problems).toEqual([]);
    expect(channel).toEqual({
      kind: 'KafkaChannel',
      metadata: { namespace: 'shop', name: 'orders', uid: 'u', generation: 4, labels: {}, annotations: {} },
      spec: {
        numPartitions: 3,
        replicationFactor: 1,
        retentionMs: 86_400_000,
        delivery: { retry: 2 },
        subscribers: [
          { uid: 's1', generation: 1, subscriberUri: 'http://a' },
          { uid: 's2', name: 'two', generation: 7, replyUri: 'http://b', delivery: { retry: 1 } },
        ],
      },
    });
  });

  it('fills in namespace, uid and generation where there is no API server to do so', () => {
    const { metadata } = parseKafkaChannel({ ...manifest(), metadata: { name: 'orders' } }).channel;
    expect(metadata).toMatchObject({ namespace: 'default', name: 'orders', generation: 1 });
    expect(metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(parseKafkaChannel({ ...manifest(), metadata: { name: 'orders' } }).channel.metadata.uid).toBe(metadata.uid);
    expect(parseKafkaChannel({ ...manifest(), metadata: { name: 'orders', namespace: 'shop' } }).channel.metadata.uid).not.toBe(metadata.uid);
  });

  it.each<[string, KafkaChannelManifest, string, RegExp]>([
    ['a retention in years', manifest({ retentionDuration: 'P1Y' }), 'spec.retentionDuration', /years and months/],
    ['an empty retention', manifest({ retentionDuration: '' }), 'spec.retentionDuration', /found ""/],
    ['a timeout of zero', manifest({ delivery: { timeout: 'PT0S' } }), 'spec.delivery.timeout', /longer than zero/],
    [
      'an order that does not exist',
      manifest({}, { 'kafka.eventing.knative.dev/delivery.order': 'Ordered' }),
      'metadata.annotations.kafka.eventing.knative.dev/delivery.order',
      /expected ordered, key-ordered, unordered; found "Ordered"/,
    ],
  ])('reports %s and still gives a KafkaChannel that works', (_name, given, field, message) => {
    const { channel, problems } = parseKafkaChannel(given);
    expect(problems.map((problem) => problem.path.join('.'))).toEqual([field]);
    expect(problems[0]?.message).toMatch(message);
    expect(channel.spec.retentionMs).toBe(604_800_000);
  });
});
