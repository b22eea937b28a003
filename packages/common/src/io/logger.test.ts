import { beforeEach, describe, expect, it } from 'vitest';
import { logLevels, type LogLevel } from '../core/resources/log-levels.ts';
import { createLogger, type Logger } from './logger.ts';

let lines: Record<string, unknown>[];
const loggerAt = (level: LogLevel): Logger => createLogger('test', level, (line) => lines.push(JSON.parse(line) as (typeof lines)[number]));
const logEach = (log: Logger): void => {
  for (const level of logLevels) log[level]({ of: level }, 'a line');
};
const shown = (): readonly unknown[] => lines.filter(({ message }) => message === 'a line').map(({ of }) => of);

beforeEach(() => {
  lines = [];
});

describe('a logger', () => {
  it.each<[LogLevel, readonly LogLevel[]]>([
    ['error', ['error']],
    ['warn', ['error', 'warn']],
    ['info', ['error', 'warn', 'info']],
    ['debug', ['error', 'warn', 'info', 'debug']],
  ])('at %s shows %j, from its start and by a change', (level, expected) => {
    logEach(loggerAt(level));
    expect(shown()).toEqual(expected);
    for (const before of logLevels) {
      lines = [];
      const log = loggerAt(before);
      log.setLevel(level);
      logEach(log);
      expect(shown()).toEqual(expected);
    }
  });

  it('has one line of every change of the level, whatever the levels, and none of the same level again', () => {
    const log = loggerAt('info');
    for (const level of ['info', 'debug', 'debug', 'error', 'warn', 'warn'] as const) log.setLevel(level);
    expect(lines).toMatchObject([
      { level: 'info', message: 'log level changed', logLevel: 'debug', logLevelBefore: 'info', service: 'test' },
      { level: 'info', message: 'log level changed', logLevel: 'error', logLevelBefore: 'debug' },
      { level: 'info', message: 'log level changed', logLevel: 'warn', logLevelBefore: 'error' },
    ]);
    expect(lines).toHaveLength(3);
  });

  it('has the messages of an error and of its causes', () => {
    loggerAt('warn').warn({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed');
    expect(lines).toMatchObject([{ level: 'warn', message: 'failed', err: expect.stringMatching(/outer.*inner/) as unknown }]);
  });
});
