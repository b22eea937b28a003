import { describe, expect, it } from 'vitest';
import { settledSource, type SettledSource } from '@knative-kafka/common/core';
import { settledAnnotations, stillSettled, unsettledTopics } from './settled-source.ts';

const of = (servers: string, topics: string): SettledSource => ({ bootstrapServers: servers.split(' '), topics: topics.split(' ') });

describe('what is settled about a KafkaSource', () => {
  it('is read as it was recorded', () => {
    expect(settledSource(settledAnnotations(of('a:1 b:2', 'x y')))).toEqual(of('a:1 b:2', 'x y'));
    expect(settledAnnotations(undefined)).toEqual({});
  });

  it.each([[undefined], [{}], [{ 'kafka.eventing.knative.dev/topics': 'x' }], [{ 'kafka.eventing.knative.dev/topics': ' , ', 'kafka.eventing.knative.dev/bootstrap-servers': 'a:1' }]])('is nothing with %j', (annotations) => {
    expect(settledSource(annotations)).toBeUndefined();
  });

  it.each<{ title: string; spec: SettledSource; settled: SettledSource | undefined; unsettled: readonly string[]; still: SettledSource | undefined }>([
    { title: 'nothing yet', spec: of('a:1', 'x y'), settled: undefined, unsettled: ['x', 'y'], still: undefined },
    { title: 'everything', spec: of('a:1', 'x y'), settled: of('a:1', 'y x'), unsettled: [], still: of('a:1', 'y x') },
    { title: 'the same servers in another order', spec: of('a:1 b:2', 'x'), settled: of('b:2 a:1', 'x'), unsettled: [], still: of('b:2 a:1', 'x') },
    { title: 'a topic more', spec: of('a:1', 'x y'), settled: of('a:1', 'x'), unsettled: ['y'], still: of('a:1', 'x') },
    { title: 'a topic less', spec: of('a:1', 'x'), settled: of('a:1', 'x y'), unsettled: [], still: of('a:1', 'x') },
    { title: 'one topic for another', spec: of('a:1', 'x z'), settled: of('a:1', 'x y'), unsettled: ['z'], still: of('a:1', 'x') },
    { title: 'another topic for the only one: that goes on until the new one is settled', spec: of('a:1', 'y'), settled: of('a:1', 'x'), unsettled: ['y'], still: of('a:1', 'x') },
    { title: 'other servers: the old ones go on until the new ones are settled', spec: of('b:2', 'x'), settled: of('a:1', 'x y'), unsettled: ['x'], still: of('a:1', 'x y') },
  ])('$title', ({ spec, settled, unsettled, still }) => {
    expect(unsettledTopics(spec, settled)).toEqual(unsettled);
    expect(stillSettled(spec, settled)).toEqual(still);
  });
});
