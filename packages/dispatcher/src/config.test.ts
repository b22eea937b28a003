import { describe, expect, it } from 'vitest';
import { readDispatcherSettings } from './config.ts';

describe('a dispatcher of KafkaSources', () => {
  it('needs the name of its pod, and no Kafka', () => {
    expect(readDispatcherSettings({ SERVES: 'sources', POD_NAME: 'kafka-source-dispatcher-0' })).toMatchObject({ serves: 'sources', podName: 'kafka-source-dispatcher-0' });
  });

  it('names all at once what it lacks and what it has no use for', () => {
    const env = { SERVES: 'sources', KAFKA_BROKERS: 'kafka:9092', KAFKA_SECRET_DIR: '/secret', KAFKA_SECRET: 'name', CHANNEL: 'shop/orders' };
    expect(() => readDispatcherSettings(env)).toThrow(/^POD_NAME is required[^\n]*\nKAFKA_BROKERS is for [^\n]*\nKAFKA_SECRET_DIR is for [^\n]*\nKAFKA_SECRET is for [^\n]*\nCHANNEL is for [^\n]*$/);
  });

  it('is asked for by name: anything else is a mistake', () => {
    expect(() => readDispatcherSettings({ SERVES: 'everything' })).toThrow('SERVES');
  });
});

it('a dispatcher serves KafkaChannels unless it is told otherwise', () => {
  expect(readDispatcherSettings({ KAFKA_BROKERS: 'kafka:9092', CHANNEL: 'shop/orders' })).toMatchObject({ serves: 'channels', podName: undefined });
});
