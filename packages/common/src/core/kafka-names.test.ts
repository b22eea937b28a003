import { describe, expect, it } from 'vitest';
import { channelHosts, channelServiceName, consumerGroupId, deadLetterTopicName, isDeadLetterTopic, topicName, topicNameProblem } from './kafka-names.ts';

const channel = { namespace: 'shop', name: 'orders', uid: '5bbd2a5c-31f2-4a0e-9a5b-0b5cf2f1d6a1' };

describe('topicName', () => {
  it.each<[string, string | undefined, string]>([
    ['the default', undefined, 'knative-messaging-kafka.shop.orders'],
    ['without spaces', 'knative-{{.Namespace}}-{{.Name}}', 'knative-shop-orders'],
    ['with many spaces', '{{   .Name   }}', 'orders'],
    ['a field twice', '{{ .Name }}.{{ .Name }}', 'orders.orders'],
    ['by uid', 'ch-{{ .UID }}', 'ch-5bbd2a5c-31f2-4a0e-9a5b-0b5cf2f1d6a1'],
    ['without any field', 'one-for-all', 'one-for-all'],
  ])('%s', (_name, template, topic) => {
    expect(topicName(channel, template)).toEqual({ topic });
  });

  it.each<[string, string, RegExp]>([
    ['an unknown field', 'x-{{ .Labels }}', /\{\{ \.Labels \}\} is not understood/],
    ['a function', '{{ .Name | upper }}', /not understood/],
    ['a name of Object that is not a field', '{{ .constructor }}', /not understood/],
    ['an open action', 'x-{{ .Name', /\{\{ is not understood/],
    ['a closed one', 'x-.Name }}', /\}\} is not understood/],
    ['an empty one', '{{}}', /not understood/],
    ['an empty template', '', /cannot be empty/],
    ['a character that Kafka refuses', '{{ .Namespace }}/{{ .Name }}', /shop\/orders.*only letters/],
  ])('refuses %s', (_name, template, problem) => {
    expect(topicName(channel, template)).toEqual({ problem: expect.stringMatching(problem) as string });
  });

  it('refuses a name that is too long for Kafka', () => {
    const long = { ...channel, namespace: 'n'.repeat(63), name: 'a'.repeat(253) };
    expect(topicName(long)).toEqual({ problem: expect.stringMatching(/341 characters, Kafka takes 249/) as string });
  });
});

describe('topicNameProblem', () => {
  it.each([['a'], ['A.b_c-9'], ['...'], ['x'.repeat(249)]])('takes %j', (topic) => {
    expect(topicNameProblem(topic)).toBeUndefined();
  });
  it.each([[''], ['.'], ['..'], ['a b'], ['ä'], ['a:b'], ['a\n'], ['x'.repeat(250)]])('refuses %j', (topic) => {
    expect(topicNameProblem(topic)).toBeDefined();
  });
});

it('names consumer groups as eventing-kafka-broker does', () => {
  expect(consumerGroupId(channel, 'u-1')).toBe('kafka.shop.orders.u-1');
});

describe('deadLetterTopicName', () => {
  it.each([
    ['knative-messaging-kafka.shop.orders', 'knative-messaging-kafka.shop.orders.dead-letters'],
    ['t'.repeat(236), `${'t'.repeat(236)}.dead-letters`],
  ])('is the name and a suffix: %s', (topic, deadLetters) => {
    expect(deadLetterTopicName(topic)).toBe(deadLetters);
  });

  it.each([[237], [248], [249]])('is a name that Kafka takes for a topic with %i characters', (length) => {
    const name = deadLetterTopicName('t'.repeat(length));
    expect(topicNameProblem(name)).toBeUndefined();
    expect(name).toMatch(/^t{225}-[0-9a-f]{10}\.dead-letters$/);
  });

  it('keeps long topics apart that differ in the last character only', () => {
    expect(deadLetterTopicName(`${'t'.repeat(248)}a`)).not.toBe(deadLetterTopicName(`${'t'.repeat(248)}b`));
  });

  it('never changes, because topics are named by it', () => {
    expect(deadLetterTopicName('t'.repeat(249))).toBe(`${'t'.repeat(225)}-892bd52e7b.dead-letters`);
  });

  it('is told from the name of a channel\'s topic', () => {
    expect(isDeadLetterTopic(deadLetterTopicName('orders'))).toBe(true);
    expect(isDeadLetterTopic(deadLetterTopicName('t'.repeat(249)))).toBe(true);
    expect(isDeadLetterTopic('orders')).toBe(false);
    expect(isDeadLetterTopic('.dead-letters')).toBe(false);
  });
});

describe('channelServiceName', () => {
  it.each([
    ['orders', 'orders-kn-channel'],
    ['a', 'a-kn-channel'],
    ['o'.repeat(52), `${'o'.repeat(52)}-kn-channel`],
  ])('is the name and a suffix: %s', (name, service) => {
    expect(channelServiceName(name)).toBe(service);
  });

  it('keeps 63-character names apart that differ in the last character only', () => {
    const a = channelServiceName(`${'o'.repeat(62)}a`);
    const b = channelServiceName(`${'o'.repeat(62)}b`);
    expect(a).not.toBe(b);
    expect(a).toMatch(/^o{41}-[0-9a-f]{10}-kn-channel$/);
  });

  it('never changes, because Services are named by it', () => {
    expect(channelServiceName('o'.repeat(63))).toBe('ooooooooooooooooooooooooooooooooooooooooo-10a3362756-kn-channel');
  });

  it.each([
    ['o'.repeat(53)],
    ['o'.repeat(63)],
    ['o'.repeat(253)],
    ['shop.orders'],
    ['9lives'],
    ['9.lives'],
    [`${'o'.repeat(40)}-${'o'.repeat(22)}`],
    [`${'o'.repeat(38)}----${'o'.repeat(21)}`],
    [`${'o'.repeat(40)}.${'o'.repeat(22)}`],
    ['1'.repeat(63)],
  ])('is a name that a Service can have: %s', (name) => {
    expect(channelServiceName(name)).toMatch(/^(?=.{1,63}$)[a-z]([a-z0-9-]*[a-z0-9])?-kn-channel$/);
  });

  it('does not mix up names that only a dot or a digit tells apart', () => {
    const names = ['a.b', 'a-b', '9a', 'c9a', '9.a', '9-a'];
    expect(new Set(names.map(channelServiceName)).size).toBe(names.length);
  });
});

it('knows the hosts by which senders address a channel', () => {
  expect(channelHosts(channel, 'Cluster.Local')).toEqual([
    'orders-kn-channel.shop',
    'orders-kn-channel.shop.svc',
    'orders-kn-channel.shop.svc.cluster.local',
  ]);
});
