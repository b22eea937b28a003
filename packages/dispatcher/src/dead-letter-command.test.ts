import { describe, expect, it } from 'vitest';
import { readCommand } from './dead-letter-command.ts';

const brokers = ['--brokers', 'a:9092,b:9092'];

describe('readCommand', () => {
  it('reads each action with its flags', () => {
    expect(readCommand(['list', '--channel', 'shop/orders', ...brokers], {})).toEqual({ action: 'list', brokers: ['a:9092', 'b:9092'], topic: 'knative-messaging-kafka.shop.orders.dead-letters' });
    expect(readCommand(['print', '--topic', 't', '--json', ...brokers], {})).toMatchObject({ action: 'print', topic: 't.dead-letters', limit: 100, isJson: true });
    expect(readCommand(['print', '--topic', 't', '--limit', '0', ...brokers], {})).toMatchObject({ limit: Infinity, isJson: false });
    expect(readCommand(['redrive', '--topic', 't', '--reason', 'timeout', '--to', 'https://h/p', '--dry-run', ...brokers], {})).toMatchObject({
      action: 'redrive',
      filter: { subscription: undefined, reason: 'timeout' },
      to: 'https://h/p',
      isDryRun: true,
    });
  });

  it('lists all topics where none is named', () => {
    expect(readCommand(['list', ...brokers], {})).toEqual({ action: 'list', brokers: ['a:9092', 'b:9092'], topic: undefined });
  });

  it('takes the dead letter topic itself as well', () => {
    expect(readCommand(['list', '--topic', 't.dead-letters', ...brokers], {})).toMatchObject({ topic: 't.dead-letters' });
  });

  it('asks flags first, then the environment', () => {
    expect(readCommand(['list', '--topic', 't'], { KAFKA_BROKERS: 'env:1' })).toMatchObject({ brokers: ['env:1'] });
    expect(readCommand(['list', '--topic', 't', '--brokers', 'flag:1'], { KAFKA_BROKERS: 'env:1' })).toMatchObject({ brokers: ['flag:1'] });
  });

  it('helps wherever it is asked to', () => {
    expect(readCommand(['redrive', '--help'], {})).toEqual({ help: true });
  });

  it.each<[string, readonly string[], RegExp]>([
    ['no action', [...brokers], /list, print or redrive, got nothing/],
    ['an unknown action', ['resend', ...brokers], /got "resend"/],
    ['a word too many', ['list', 'orders', ...brokers], /"orders" is not understood/],
    ['an unknown flag', ['list', '--colour'], /--colour/],
    ['a flag of another action', ['list', '--topic', 't', '--to', 'http://h/', ...brokers], /--to: only redrive has it/],
    ['no brokers', ['list', '--topic', 't'], /--brokers: .*KAFKA_BROKERS is not set/],
    ['brokers without a port', ['list', '--topic', 't', '--brokers', 'host'], /--brokers: .*"host"/],
    ['neither channel nor topic', ['print', ...brokers], /--channel: .*--topic/],
    ['both', ['list', '--channel', 'a/b', '--topic', 't', ...brokers], /--topic: /],
    ['a channel without a namespace', ['list', '--channel', 'orders', ...brokers], /--channel: expected NS\/NAME, got "orders"/],
    ['an empty topic', ['list', '--topic', '', ...brokers], /--topic: /],
    ['a limit that is none', ['print', '--topic', 't', '--limit', '-1', ...brokers], /--limit/],
    ['a limit in words', ['print', '--topic', 't', '--limit', 'ten', ...brokers], /--limit: .*"ten"/],
    ['a target that is no URL', ['redrive', '--topic', 't', '--to', 'host:80', ...brokers], /--to: .*"host:80"/],
    ['an empty filter', ['redrive', '--topic', 't', '--reason', '', ...brokers], /--reason: /],
  ])('names what is wrong: %s', (_name, argv, problem) => {
    expect(readCommand(argv, {})).toEqual({ problem: expect.stringMatching(problem) as string });
  });

  it('does not take an empty variable for brokers', () => {
    expect(readCommand(['list', '--topic', 't'], { KAFKA_BROKERS: '' })).toHaveProperty('problem');
  });
});
