/**
 * Logs for people and machines: one JSON object per line, transitions only, never one per event.
 *
 * Nothing on an event's path logs, at whatever level: what is counted there goes to metrics.
 *
 * Always true: a change of the level is itself a line, also between two levels that both hide such lines; who reads a
 * log sees from where on it says less.
 */
import { Writable } from 'node:stream';
import winston from 'winston';
import { describeError } from '../core/fault.ts';
import { logLevels, type LogLevel } from '../core/resources/log-levels.ts';

/** Fields first, then a constant sentence: what varies can be searched for, what does not can be grouped by. */
export interface Logger {
  error(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  /** From now on; the same level again changes nothing. */
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
    // Everything: what is shown is decided below, before a line is made.
    level: 'debug',
    format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
    defaultMeta: { service },
    transports: [new winston.transports.Stream({ stream })],
  });
  let current = level;
  const at = (name: LogLevel) => {
    const rank = logLevels.indexOf(name);
    return (fields: LogFields, message: string): void => {
      if (rank > logLevels.indexOf(current)) return;
      logger.log(name, message, 'err' in fields ? { ...fields, err: describeError(fields['err']) } : fields);
    };
  };
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    setLevel: (next) => {
      if (next === current) return;
      logger.log('info', 'log level changed', { logLevel: next, logLevelBefore: current });
      current = next;
    },
  };
}
