/**
 * The level of a logger follows the ConfigMap `config-kafka-logging` while the process runs.
 *
 * Always true: without a word there the level is the one that the process was started with.
 */
import type { ConfigMap } from '../core/resources/core-objects.ts';
import { loggingConfigMap, readLogLevel, type LoggedService, type LogLevel } from '../core/resources/log-levels.ts';
import { configMapProblemTeller } from './config-map-problems.ts';
import type { Logger } from './logger.ts';
import type { ResourceSource } from './resources/port.ts';

export interface LogLevelOptions {
  /** Whose key of the ConfigMap counts. */
  readonly service: LoggedService;
  /** LOG_LEVEL. */
  readonly startLevel: LogLevel;
  readonly systemNamespace: string;
  readonly log: Logger;
}

/** @returns a function that takes the ConfigMaps there are, after each change of them */
export function logLevelFollower({ service, startLevel, systemNamespace, log }: LogLevelOptions): (configMaps: readonly ConfigMap[]) => void {
  const tellProblems = configMapProblemTeller(loggingConfigMap, log);
  return (configMaps) => {
    const { level, problems } = readLogLevel(configMaps, systemNamespace, service);
    log.setLevel(level ?? startLevel);
    tellProblems(problems);
  };
}

/** For as long as the resources are open. */
export function followLogLevel(resources: ResourceSource, options: LogLevelOptions): void {
  const follow = logLevelFollower(options);
  resources.onChange(({ configMaps }) => follow(configMaps));
  follow(resources.snapshot().configMaps);
}
