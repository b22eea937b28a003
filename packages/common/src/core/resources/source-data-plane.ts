/**
 * Settings of all KafkaSources, in the ConfigMap `config-kafka-source-data-plane` as in eventing-kafka-broker.
 *
 * They stand there as the properties of a Kafka consumer in Java; one of them means something here.
 */
import { parseJavaProperties } from '../java-properties.ts';
import type { ConfigMap } from './core-objects.ts';
import type { FieldProblem } from './field-problem.ts';

export const sourceDataPlaneConfigMap = 'config-kafka-source-data-plane';

/** Its key that holds properties, one a line. */
export const sourceConsumerProperties = 'config-kafka-source-consumer.properties';
/** A property, or a key of the ConfigMap itself, which wins. */
export const maxPollRecordsKey = 'max.poll.records';
/** As in Kafka's own consumers it is 500; eventing-kafka-broker ships 50, which people count with. */
export const defaultMaxPollRecords = 50;
const mostPollRecords = 1_000_000;

export interface SourceDataPlane {
  /** Events a second that each vreplica may send while the rate limiter is on. */
  readonly maxPollRecords: number;
  /** Values that cannot be used; the path starts in the ConfigMap. */
  readonly problems: readonly FieldProblem[];
}

/** @param namespace the system namespace; the ConfigMap counts there only */
export function readSourceDataPlane(configMaps: readonly ConfigMap[], namespace: string): SourceDataPlane {
  const data = configMaps.find(({ metadata }) => metadata.namespace === namespace && metadata.name === sourceDataPlaneConfigMap)?.data ?? {};
  const given = [
    { path: ['data', maxPollRecordsKey], text: data[maxPollRecordsKey] },
    { path: ['data', sourceConsumerProperties, maxPollRecordsKey], text: parseJavaProperties(data[sourceConsumerProperties] ?? '').get(maxPollRecordsKey) },
  ];
  const usable = given.map(({ text }) => readEventsPerSecond(text)).find((value) => value !== undefined);
  return {
    maxPollRecords: usable ?? defaultMaxPollRecords,
    problems: given.flatMap(({ path, text }) => {
      const message = eventsPerSecondProblem(text);
      return message === undefined ? [] : [{ path, message }];
    }),
  };
}

/** @returns undefined where there is nothing, or nothing that can be used */
export function readEventsPerSecond(text: string | undefined): number | undefined {
  const digits = text?.trim() ?? '';
  const value = /^\d{1,7}$/.test(digits) ? Number(digits) : 0;
  return value >= 1 && value <= mostPollRecords ? value : undefined;
}

/** Why `max.poll.records` cannot be used; undefined if it can, or says nothing. */
export function eventsPerSecondProblem(text: string | undefined): string | undefined {
  if (text === undefined || readEventsPerSecond(text) !== undefined) return undefined;
  return `expected a whole number from 1 to ${mostPollRecords}; found ${JSON.stringify(text.slice(0, 60))}`;
}
