/**
 * Logs for people and machines: one JSON object per line, transitions only, never one per event.
 *
 * winston costs a microsecond even for a level that is off, so nothing on an event's path calls it; what is counted
 * there goes to metrics.
 */
import { Writable } from 'node:stream';
import winston from 'winston';
import { describeError } from '../core/fault.ts';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';
export const logLevels = ['error', 'warn', 'info', 'debug'] as const satisfies readonly LogLevel[];

/** Fields first, then a constant sentence: what varies can be searched for, what does not can be grouped by. */
export interface Logger {
  error(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  setLevel(level: LogLevel): void;
}

/** `err` may hold anything that was thrown; its message and those of its causes are logged. */
export type LogFields = Readonly<Record<string, unknown>>;

/** @param write where a finished line goes; standard error unless given, so that standard output stays the program's */
export function createLogger(service: string, level: LogLevel, write: (line: string) => void = (line) => process.stderr.write(line)): Logger {
  const stream = new Writable({
    decodeStrings: false,
    write: (line: string, _encoding, done) => {
      write(line);
      done();
    },
  });
  const logger = winston.createLogger({
    level,
    format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
    defaultMeta: { service },
    transports: [new winston.transports.Stream({ stream })],
  });
  const at = (name: LogLevel) => (fields: LogFields, message: string): void => {
    if (!logger.isLevelEnabled(name)) return;
    logger.log(name, message, 'err' in fields ? { ...fields, err: describeError(fields['err']) } : fields);
  };
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    setLevel: (next) => {
      logger.level = next;
    },
  };
}
