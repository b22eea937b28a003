import { describe, expect, it } from 'vitest';
import { fieldName } from './field-problem.ts';
import { readLogLevel, type LoggedService } from './log-levels.ts';

const configMap = (data: Record<string, string>, namespace = 'knative-eventing', name = 'config-kafka-logging') =>
  ({ kind: 'ConfigMap', metadata: { namespace, name, uid: 'u', generation: 1, labels: {}, annotations: {} }, data }) as const;
const read = (data: Record<string, string>, service: LoggedService = 'dispatcher') => {
  const { level, problems } = readLogLevel([configMap(data)], 'knative-eventing', service);
  return { level, problems: problems.map(({ path, message }) => `${fieldName(path)}: ${message}`) };
};

describe('readLogLevel', () => {
  it.each<[LoggedService, string]>([
    ['controller', 'error'],
    ['channel-receiver', 'warn'],
    ['dispatcher', 'info'],
    ['source-dispatcher', 'debug'],
  ])('has a key for %s', (service, level) => {
    const data = { 'loglevel.controller': 'error', 'loglevel.channel-receiver': 'warn', 'loglevel.dispatcher': 'info', 'loglevel.source-dispatcher': 'debug' };
    expect(read(data, service)).toEqual({ level, problems: [] });
  });

  it.each<[string, Record<string, string>, string | undefined]>([
    ['nothing', {}, undefined],
    ['what other keys say', { 'loglevel.controller': 'debug', '_example': 'loglevel.dispatcher: debug', 'zap-logger-config': '{"level":"debug"}' }, undefined],
    ['a key without a value', { 'loglevel.dispatcher': ' ' }, undefined],
    ['capitals and blanks', { 'loglevel.dispatcher': ' Debug\n' }, 'debug'],
  ])('takes %s', (_name, data, level) => {
    expect(read(data)).toEqual({ level, problems: [] });
  });

  it('looks at no other ConfigMap', () => {
    const loud = { 'loglevel.dispatcher': 'debug' };
    expect(readLogLevel([], 'knative-eventing', 'dispatcher').level).toBeUndefined();
    expect(readLogLevel([configMap(loud, 'shop'), configMap(loud, 'knative-eventing', 'config-kafka-features')], 'knative-eventing', 'dispatcher').level).toBeUndefined();
  });

  it.each(['loud', 'trace', 'warning', 'debug,info', '1', 'constructor'])('says that %j is no level, and which there are', (text) => {
    expect(read({ 'loglevel.dispatcher': text })).toEqual({ level: undefined, problems: [`data["loglevel.dispatcher"]: expected one of error, warn, info, debug; found ${JSON.stringify(text)}`] });
  });

  it('leaves what is wrong for another service to that one', () => {
    expect(read({ 'loglevel.dispatcher': 'debug', 'loglevel.controller': 'loud' })).toEqual({ level: 'debug', problems: [] });
  });

  it('says that a key belongs to no service, to all of them: whoever looks for its effect finds it', () => {
    const problem = 'data["loglevel.receiver"]: is not known; known are loglevel.controller, loglevel.channel-receiver, loglevel.dispatcher, loglevel.source-dispatcher';
    for (const service of ['controller', 'channel-receiver'] as const) expect(read({ 'loglevel.receiver': 'debug' }, service)).toEqual({ level: undefined, problems: [problem] });
  });

  it('repeats no megabyte', () => {
    expect(read({ 'loglevel.dispatcher': 'x'.repeat(1_000_000) }).problems[0]?.length).toBeLessThan(200);
  });
});
