import { describe, expect, it } from 'vitest';
import { chooseKafkaSecret, defaultKafkaSecret } from './kafka-secret-choice.ts';

const plain = (name: string) => ({ name, annotations: {} });
const marked = (name: string) => ({ name, annotations: { 'kafka.eventing.knative.dev/default-kafka-secret': 'true' } });
const asks = (name: string) => ({ 'kafka.eventing.knative.dev/kafka-secret': name });

describe('the Kafka Secret of a KafkaChannel', () => {
  it.each([
    ['the only one', {}, [plain('a')], { name: 'a', isDefault: true }],
    ['the one marked as default', {}, [plain('a'), marked('b')], { name: 'b', isDefault: true }],
    ['the first of several that are marked', {}, [marked('c'), marked('b')], { name: 'b', isDefault: true }],
    ['the one it asks for', asks('a'), [plain('a'), marked('b')], { name: 'a', isDefault: false }],
    ['the default one, when it asks for that', asks('b'), [plain('a'), marked('b')], { name: 'b', isDefault: true }],
    ['the one it asks for, where there is no default', asks('a'), [plain('a'), plain('b')], { name: 'a', isDefault: false }],
  ])('is %s', (_name, annotations, secrets, expected) => {
    expect(chooseKafkaSecret(annotations, secrets, 'knative-eventing')).toEqual(expected);
  });

  it.each([
    ['none there', {}, [], 'KafkaSecretMissing', /none in namespace knative-eventing has the label/],
    ['the one it asks for missing', asks('x'), [plain('a')], 'KafkaSecretMissing', /asks for "x"/],
    ['several and no default', {}, [plain('b'), plain('a')], 'KafkaSecretAmbiguous', /several Kafka Secrets \(a, b\)/],
  ])('is in doubt: %s', (_name, annotations, secrets, reason, message) => {
    expect(chooseKafkaSecret(annotations, secrets, 'knative-eventing')).toEqual({ reason, message: expect.stringMatching(message) as string });
  });

  it('has no default among several', () => {
    expect(defaultKafkaSecret([plain('a'), plain('b')])).toBeUndefined();
  });
});
