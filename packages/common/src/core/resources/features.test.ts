import { describe, expect, it } from 'vitest';
import { readFeatures } from './features.ts';

const configMap = (namespace: string, data: Record<string, string>, name = 'config-kafka-features') =>
  ({ kind: 'ConfigMap', metadata: { namespace, name, uid: 'u', generation: 1, labels: {}, annotations: {} }, data }) as const;

describe('features', () => {
  it.each([
    ['enabled', true], ['Enabled', true], [' enabled ', true],
    ['disabled', false], ['', false], ['yes', false], ['true', false],
  ])('dead-letter-topic: %j is %s', (value, expected) => {
    expect(readFeatures([configMap('knative-eventing', { 'dead-letter-topic': value })], 'knative-eventing').isDeadLetterTopicEnabled).toBe(expected);
  });

  it('is off where nothing is said, or said elsewhere', () => {
    expect(readFeatures([], 'knative-eventing').isDeadLetterTopicEnabled).toBe(false);
    const elsewhere = [configMap('shop', { 'dead-letter-topic': 'enabled' }), configMap('knative-eventing', { 'dead-letter-topic': 'enabled' }, 'other')];
    expect(readFeatures(elsewhere, 'knative-eventing').isDeadLetterTopicEnabled).toBe(false);
  });

  it.each([
    [{ 'channels-topic-template': 'events.{{ .Name }}' }, 'events.{{ .Name }}'],
    [{ 'channels-topic-template': '  ' }, 'knative-messaging-kafka.{{ .Namespace }}.{{ .Name }}'],
    [{}, 'knative-messaging-kafka.{{ .Namespace }}.{{ .Name }}'],
  ])('channels-topic-template of %j is %s', (data, expected) => {
    expect(readFeatures([configMap('knative-eventing', data)], 'knative-eventing').channelsTopicTemplate).toBe(expected);
  });

  it.each<[Record<string, string>, boolean]>([
    [{}, false],
    [{ 'dispatcher.rate-limiter': 'enabled' }, true],
    [{ 'dispatcher.rate-limiter': ' Enabled ' }, true],
    [{ 'dispatcher.rate-limiter': 'true' }, false],
    [{ 'dispatcher-rate-limiter': 'enabled' }, true],
    [{ 'dispatcher-rate-limiter': 'disabled' }, false],
    // The second is what eventing-kafka-broker installs, the first what somebody has added.
    [{ 'dispatcher.rate-limiter': 'enabled', 'dispatcher-rate-limiter': 'disabled' }, true],
    [{ 'dispatcher.rate-limiter': 'disabled', 'dispatcher-rate-limiter': 'enabled' }, false],
  ])('the rate limiter of %j is on: %s', (data, expected) => {
    expect(readFeatures([configMap('knative-eventing', data)], 'knative-eventing').isRateLimiterEnabled).toBe(expected);
  });
});
