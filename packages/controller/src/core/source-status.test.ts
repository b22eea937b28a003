import { describe, expect, it } from 'vitest';
import { parseKafkaSource } from '@knative-kafka/common/core';
import { sourceStatus, type ObservedSource } from './source-status.ts';

const { source } = parseKafkaSource({
  apiVersion: 'sources.knative.dev/v1', kind: 'KafkaSource',
  metadata: { name: 'orders', namespace: 'shop', uid: 'u', generation: 3 },
  spec: { bootstrapServers: ['kafka:9092'], topics: ['a', 'b'], consumers: 25, sink: { uri: 'http://sink' } },
});
const paused = { ...source, spec: { ...source.spec, consumers: 0 } };
const placements = [{ podName: 'kafka-source-dispatcher-0', vreplicas: 13 }, { podName: 'kafka-source-dispatcher-1', vreplicas: 12 }];
const placed = { placements, waiting: 0, wanted: 25, ready: 25 };
const well: ObservedSource = {
  invalid: undefined, sink: { uri: 'http://sink' }, deadLetterSink: undefined, kafka: 'ready', offsets: 'ready', placed, podsProblem: undefined, grantedSecrets: [],
  settled: { bootstrapServers: ['kafka:9092'], topics: ['a', 'b'] },
};
const statusOf = (observed: Partial<ObservedSource>, previous?: Parameters<typeof sourceStatus>[2]) => sourceStatus(source, { ...well, ...observed }, previous, 0);
const conditionOf = (status: ReturnType<typeof statusOf>, type: string) => status.conditions?.find((condition) => condition.type === type);
const why = { reason: 'Why', message: 'because' };

describe('the status of a KafkaSource', () => {
  it('says where events come from and go to, and what runs where', () => {
    const status = statusOf({ sink: { uri: 'http://sink', CACerts: 'PEM', audience: 'me' }, deadLetterSink: { uri: 'http://dead' }, grantedSecrets: ['ca', 'login'] });
    expect(status).toMatchObject({
      observedGeneration: 3, consumers: 25, placements, sinkUri: 'http://sink', sinkCACerts: 'PEM', sinkAudience: 'me', deadLetterSinkUri: 'http://dead',
      selector: 'eventing.knative.dev/source=kafka-source-controller,eventing.knative.dev/sourceName=orders',
      annotations: { 'kafka.eventing.knative.dev/topics': 'a,b', 'kafka.eventing.knative.dev/bootstrap-servers': 'kafka:9092', 'kafka.eventing.knative.dev/consumer-group': expect.stringMatching(/./) as string, 'kafka.eventing.knative.dev/granted-secrets': 'ca,login' },
      ceAttributes: ['a', 'b'].map((topic) => ({ type: 'dev.knative.kafka.event', source: `/apis/v1/namespaces/shop/kafkasources/orders#${topic}` })),
    });
    expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'True' });
  });

  it.each<[string, Partial<ObservedSource>, string, object, string]>([
    ['a sink that is missing', { sink: { error: { reason: 'SinkResolveFailed', message: 'Service shop/x does not exist' } } }, 'SinkProvided', { status: 'False', message: 'spec.sink: Service shop/x does not exist' }, 'False'],
    ['a dead letter sink that is missing', { deadLetterSink: { error: { reason: 'DeadLetterSinkResolveFailed', message: 'gone' } } }, 'SinkProvided', { status: 'False', reason: 'DeadLetterSinkResolveFailed', message: 'spec.delivery.deadLetterSink: gone' }, 'False'],
    ['a Kafka that refuses us', { kafka: why }, 'ConnectionEstablished', { status: 'False', ...why }, 'False'],
    ['a Kafka that was not asked yet', { kafka: undefined }, 'ConnectionEstablished', { status: 'Unknown', reason: 'KafkaPending' }, 'Unknown'],
    ['a topic that is missing', { offsets: why }, 'InitialOffsetsCommitted', { status: 'False', ...why }, 'False'],
    ['members that have to leave', { offsets: { ...why, isPending: true }, placed: { ...placed, placements: [], wanted: 0, ready: 0 } }, 'Deployed', { status: 'Unknown', reason: 'OffsetsPending' }, 'Unknown'],
    ['nobody to ask about offsets', { offsets: undefined }, 'InitialOffsetsCommitted', { status: 'Unknown', reason: 'ConnectionPending' }, 'Unknown'],
    ['nothing settled', { settled: undefined, offsets: undefined }, 'Deployed', { status: 'Unknown', reason: 'OffsetsPending' }, 'Unknown'],
    ['something wrong with the spec', { invalid: 'metadata.labels["x"]: expected y' }, 'Deployed', { status: 'False', reason: 'SpecInvalid', message: 'metadata.labels["x"]: expected y; events wait in Kafka' }, 'False'],
    ['nothing decided', { placed: undefined }, 'Deployed', { status: 'Unknown', reason: 'PlacementPending' }, 'Unknown'],
    ['a decision for another number', { placed: { ...placed, wanted: 20 } }, 'Deployed', { status: 'Unknown', reason: 'PlacementPending' }, 'Unknown'],
    ['vreplicas without a pod', { placed: { ...placed, waiting: 4 } }, 'Deployed', { status: 'Unknown', reason: 'VreplicasWaiting', message: '4 of 25 vreplicas wait for a pod' }, 'Unknown'],
    ['pods that are refused', { placed: { ...placed, waiting: 4 }, podsProblem: why }, 'Deployed', { status: 'False', ...why }, 'False'],
    ['pods of which none is ready', { placed: { ...placed, ready: 0 } }, 'Deployed', { status: 'Unknown', reason: 'PodsNotReady', message: 'none of the 2 pods that have the vreplicas is ready' }, 'Unknown'],
  ])('is not Ready with %s', (_name, observed, type, expected, ready) => {
    const status = statusOf(observed);
    expect(conditionOf(status, type)).toMatchObject(expected);
    expect(conditionOf(status, 'Ready')).toMatchObject({ status: ready });
  });

  it.each<[string, Partial<ObservedSource>]>([
    ['a pod of two starts again', { placed: { ...placed, ready: 13 } }],
    ['pods are refused that are not needed', { podsProblem: why }],
  ])('stays Ready when %s', (_name, observed) => {
    expect(conditionOf(statusOf(observed), 'Ready')).toMatchObject({ status: 'True' });
  });

  it('is Ready when it is paused', () => {
    const status = sourceStatus(paused, { ...well, placed: { placements: [], waiting: 0, wanted: 0, ready: 0 } }, undefined, 0);
    expect(conditionOf(status, 'Deployed')).toMatchObject({ status: 'True', reason: 'Paused' });
    expect(status).toMatchObject({ consumers: 0, placements: [] });
  });

  it('stays as it is while a new leader has not asked Kafka yet, and decided nothing', () => {
    const before = statusOf({});
    expect(statusOf({ kafka: undefined, offsets: 'ready' }, before)).toEqual(before);
    expect(statusOf({ placed: undefined }, before)).toMatchObject({ placements, consumers: 25 });
    const missing = statusOf({ offsets: why });
    expect(statusOf({ kafka: undefined, offsets: undefined }, missing)).toEqual(missing);
    // That the old topics have offsets says nothing of a new one.
    expect(conditionOf(statusOf({ kafka: undefined, offsets: undefined }, before), 'InitialOffsetsCommitted')).toMatchObject({ status: 'Unknown' });
  });

  it('has no URL of a sink that is not known', () => {
    expect(statusOf({ sink: { error: { reason: 'SinkResolveFailed', message: 'gone' } } })).not.toHaveProperty('sinkUri');
  });

  it('has a selector that can be read, however long the name is', () => {
    const named = (name: string) => sourceStatus({ ...source, metadata: { ...source.metadata, name } }, well, undefined, 0).selector?.split('sourceName=')[1] ?? '';
    const [one, other] = [named(`${'x'.repeat(100)}1`), named(`${'x'.repeat(100)}2`)];
    expect(one).toMatch(/^x{52}-[0-9a-f]{10}$/);
    expect(other).not.toBe(one);
  });
});
