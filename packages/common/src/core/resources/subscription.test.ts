import { describe, expect, it } from 'vitest';
import type { SubscriptionManifest } from './subscription.ts';
import { parseSubscription } from './subscription.ts';

const channel = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'orders' };
const manifest = (spec: Partial<SubscriptionManifest['spec']>): SubscriptionManifest => ({
  apiVersion: 'messaging.knative.dev/v1',
  kind: 'Subscription',
  metadata: { name: 'display', annotations: { 'kafka.eventing.knative.dev/delivery.order': 'key-ordered' } },
  spec: { channel, ...spec },
});

describe('parseSubscription', () => {
  it('keeps what it knows', () => {
    const spec = { subscriber: { uri: 'http://a' }, reply: { uri: 'http://b' }, delivery: { retry: 1 } };
    const { subscription, problems } = parseSubscription(manifest(spec));
    expect(problems).toEqual([]);
    expect(subscription).toMatchObject({ kind: 'Subscription', metadata: { namespace: 'default' }, spec: { channel, ...spec } });
  });

  it('does not invent destinations', () => {
    expect(parseSubscription(manifest({})).subscription.spec).toEqual({ channel });
  });

  it('reports durations that are none', () => {
    const { problems } = parseSubscription(manifest({ delivery: { backoffDelay: '-PT1S' } }));
    expect(problems).toEqual([
      { path: ['spec', 'delivery', 'backoffDelay'], message: expect.stringContaining('without a sign') as string },
    ]);
  });
});
