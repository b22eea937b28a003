/**
 * How much a service logs while it runs, from the ConfigMap `config-kafka-logging`.
 *
 * A level there counts before the LOG_LEVEL that a process was started with, and for as long as it is there: a key that
 * is taken out, or cannot be used, leaves LOG_LEVEL in force.
 */
import type { ConfigMap } from './core-objects.ts';
import type { FieldProblem } from './field-problem.ts';

export const loggingConfigMap = 'config-kafka-logging';

/** From the fewest lines to the most: each shows those before it, too. */
export const logLevels = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

const keyPrefix = 'loglevel.';

/** Its keys, for the page that lists them. */
export const logLevelKeys = {
  'controller': { key: `${keyPrefix}controller`, about: 'how much the controller logs' },
  'channel-receiver': { key: `${keyPrefix}channel-receiver`, about: 'how much receivers log' },
  'dispatcher': { key: `${keyPrefix}dispatcher`, about: 'how much dispatchers of KafkaChannels log; under `npm start` those of KafkaSources, too' },
  'source-dispatcher': { key: `${keyPrefix}source-dispatcher`, about: 'how much dispatchers of KafkaSources log' },
} as const;

export type LoggedService = keyof typeof logLevelKeys;

const knownKeys: readonly string[] = Object.values(logLevelKeys).map(({ key }) => key);

export interface ChosenLogLevel {
  /** undefined where nothing is said, or nothing that can be used. */
  readonly level: LogLevel | undefined;
  /** About this service's key, and about keys that belong to none; what is wrong for others is theirs to tell. */
  readonly problems: readonly FieldProblem[];
}

/** @param namespace the system namespace; the ConfigMap counts there only */
export function readLogLevel(configMaps: readonly ConfigMap[], namespace: string, service: LoggedService): ChosenLogLevel {
  const data = configMaps.find(({ metadata }) => metadata.namespace === namespace && metadata.name === loggingConfigMap)?.data ?? {};
  const { key } = logLevelKeys[service];
  const text = data[key]?.trim().toLowerCase() ?? '';
  const level = logLevels.find((known) => known === text);
  const isWrong = level === undefined && text !== '';
  const unknown = Object.keys(data).filter((other) => other.startsWith(keyPrefix) && !knownKeys.includes(other));
  return {
    level,
    problems: [
      ...(isWrong ? [{ path: ['data', key], message: `expected one of ${logLevels.join(', ')}; found ${JSON.stringify(data[key]?.slice(0, 60))}` }] : []),
      ...unknown.map((other) => ({ path: ['data', other], message: `is not known; known are ${knownKeys.join(', ')}` })),
    ],
  };
}
