/**
 * Records of a dead letter topic: an event that could not be delivered, why, and what became of it since.
 *
 * The event stays the record it was: key, value and headers byte for byte, so that any reader of the channel's topic can
 * read this one. What is known of the failure stands beside it in headers of its own (`dead-letter-...`).
 *
 * Kafka cannot take a record out of the middle of a topic, so a record is settled by a later one of the same partition
 * that names its offset (`dead-letter-settles`): a delivery note, or a copy of it that takes its place. The topic alone
 * says what is open; it needs no committed offset for that, which Kafka forgets sooner than it forgets records.
 *
 * Always true: one write settles, so there is no moment at which a record is neither open nor settled; `toDeadLetterRecord`
 * and `readDeadLetter` undo each other, but for passwords, which are never written.
 */
import type { IncomingRecord, OutgoingRecord, RecordHeaders } from '@knative-kafka/common/core';
import { blankedUserInfo, shownUri } from './dead-letter.ts';

/** What a record is counted under where it is no dead letter: somebody else has written it. */
export const foreignReason = 'not-a-dead-letter';

export interface DeadLetter {
  /** As read from the channel's topic; of a KafkaSource the event that its record became (`eventRecord`). */
  readonly record: IncomingRecord;
  /** Where it was read. */
  readonly topic: string;
  readonly partition: number;
  readonly groupId: string;
  /** `namespace/name`, of a KafkaSource too. */
  readonly channel: string;
  /** The Subscription's name; of a KafkaSource its own. */
  readonly subscription: string;
  /** The URI that failed last, as configured: the subscriber's, or that of a dead letter sink. */
  readonly destination: string;
  /** Whom the event was meant for. */
  readonly subscriberUri: string;
  /** A short constant word: `status-503`, `timeout`, `unreachable`. */
  readonly reason: string;
  /** HTTP status of the last answer; undefined where there was none. */
  readonly code: number | undefined;
  /** The first bytes of that answer. */
  readonly data: Buffer | undefined;
  /** All attempts there were. */
  readonly attempts: number;
  /** When it was given up. */
  readonly timeMs: number;
}

/** As it lies in a dead letter topic. */
export interface StoredDeadLetter extends DeadLetter {
  /** How often it was sent again from there, and failed again. */
  readonly redrives: number;
}

/** How much of an answer is kept: what Knative allows for the attribute `knativeerrordata`. */
export const answerLimitBytes = 1024;

/** What our headers can add to a record, with long URIs: the topic takes records that much larger than the channel's. */
export const headerRoomBytes = 64 * 1024;

const header = {
  topic: 'dead-letter-topic',
  partition: 'dead-letter-partition',
  offset: 'dead-letter-offset',
  timestamp: 'dead-letter-timestamp',
  group: 'dead-letter-group',
  channel: 'dead-letter-channel',
  subscription: 'dead-letter-subscription',
  subscriber: 'dead-letter-subscriber',
  destination: 'dead-letter-destination',
  reason: 'dead-letter-reason',
  code: 'dead-letter-code',
  data: 'dead-letter-data',
  time: 'dead-letter-time',
  attempts: 'dead-letter-attempts',
  redrives: 'dead-letter-redrives',
  settles: 'dead-letter-settles',
  outcome: 'dead-letter-outcome',
} as const;

const ourHeaders: ReadonlySet<string> = new Set(Object.values(header));

/**
 * @param redriven for the copy of a record that failed again: how often it did, and the offset of the record whose place
 *                 it takes
 * @returns        the record to store; its timestamp is the time of the failure, so that retention counts from there
 */
export function toDeadLetterRecord(letter: DeadLetter, redriven?: { readonly redrives: number; readonly settles: bigint }): OutgoingRecord {
  const { record } = letter;
  const headers: (readonly [string, string | Buffer])[] = [
    ...eventHeaders(record.headers),
    [header.topic, letter.topic],
    [header.partition, String(letter.partition)],
    [header.offset, String(record.offset)],
    [header.timestamp, String(record.timestampMs)],
    [header.group, letter.groupId],
    [header.channel, letter.channel],
    [header.subscription, letter.subscription],
    [header.subscriber, shownUri(letter.subscriberUri)],
    [header.destination, shownUri(letter.destination)],
    [header.reason, letter.reason],
    [header.time, new Date(letter.timeMs).toISOString()],
    [header.attempts, String(letter.attempts)],
    [header.redrives, String(redriven?.redrives ?? 0)],
  ];
  if (letter.code !== undefined) headers.push([header.code, String(letter.code)]);
  if (letter.data !== undefined) headers.push([header.data, letter.data.subarray(0, answerLimitBytes)]);
  if (redriven !== undefined) headers.push([header.settles, String(redriven.settles)]);
  return { key: record.key, value: record.value, headers, timestampMs: letter.timeMs };
}

/**
 * @param stored a record of a dead letter topic
 * @returns      undefined for a delivery note, and for a record that somebody else has written there
 */
export function readDeadLetter(stored: IncomingRecord): StoredDeadLetter | undefined {
  const ours = new Map<string, Buffer>();
  for (const [name, value] of stored.headers) if (ourHeaders.has(name)) ours.set(name, value);
  const text = (name: string): string | undefined => ours.get(name)?.toString();
  const [topic, groupId, channel, subscription] = [text(header.topic), text(header.group), text(header.channel), text(header.subscription)];
  const [subscriberUri, destination, reason] = [text(header.subscriber), text(header.destination), text(header.reason)];
  const [partition, attempts] = [wholeNumber(text(header.partition)), wholeNumber(text(header.attempts))];
  const [offset, timeMs] = [offsetOf(text(header.offset)), Date.parse(text(header.time) ?? '')];
  if (topic === undefined || groupId === undefined || channel === undefined || subscription === undefined) return undefined;
  if (subscriberUri === undefined || destination === undefined || reason === undefined) return undefined;
  if (partition === undefined || attempts === undefined || offset === undefined || Number.isNaN(timeMs)) return undefined;
  const timestamp = text(header.timestamp) ?? '';
  return {
    record: {
      offset,
      key: stored.key,
      value: stored.value,
      headers: eventHeaders(stored.headers),
      timestampMs: /^-?\d{1,16}$/.test(timestamp) ? Number(timestamp) : stored.timestampMs,
    },
    topic,
    partition,
    groupId,
    channel,
    subscription,
    destination,
    subscriberUri,
    reason,
    code: wholeNumber(text(header.code)),
    data: ours.get(header.data),
    attempts,
    timeMs,
    redrives: wholeNumber(text(header.redrives)) ?? 0,
  };
}

/** The record that takes the place of another, unchanged: of one that a filter left out, or that is no dead letter. */
export function toCopy(stored: IncomingRecord): OutgoingRecord {
  const headers = stored.headers.filter(([name]) => name !== header.settles && name !== header.outcome);
  return { key: stored.key, value: stored.value, headers: [...headers, [header.settles, String(stored.offset)]], timestampMs: stored.timestampMs };
}

/** The note that the record at an offset was delivered. */
export function toDeliveryNote(settles: bigint, timeMs: number): OutgoingRecord {
  return {
    key: null,
    value: null,
    headers: [
      [header.settles, String(settles)],
      [header.outcome, 'delivered'],
      [header.time, new Date(timeMs).toISOString()],
    ],
    timestampMs: timeMs,
  };
}

export function isDeliveryNote(stored: IncomingRecord): boolean {
  return stored.headers.some(([name]) => name === header.outcome);
}

/**
 * Which records of one partition are settled, found by reading it from anywhere to its end.
 *
 * A copy whose acknowledgement got lost may have been written twice: then the later one settles the earlier one too.
 */
export class SettledRecords {
  readonly #copyOf = new Map<bigint, bigint>();

  /** @returns the offset that this record settles, in the order read; undefined where it settles none */
  add(stored: IncomingRecord): bigint | undefined {
    const settles = offsetOf(lastText(stored.headers, header.settles));
    // A record can only settle an earlier one; any other number was not written by us.
    if (settles === undefined || settles >= stored.offset) return undefined;
    const earlier = this.#copyOf.get(settles);
    this.#copyOf.set(settles, stored.offset);
    return earlier ?? settles;
  }
}

function eventHeaders(headers: RecordHeaders): RecordHeaders {
  return headers.filter(([name]) => !ourHeaders.has(name));
}

function lastText(headers: RecordHeaders, wanted: string): string | undefined {
  return headers.findLast(([name]) => name === wanted)?.[1].toString();
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function offsetOf(text: string | undefined): bigint | undefined {
  return text !== undefined && /^\d{1,19}$/.test(text) ? BigInt(text) : undefined;
}

/** Whether a URI of a letter had a user or a password in it, which are not kept: requests to it would lack them. */
export function lacksCredentials(uri: string): boolean {
  return URL.parse(uri)?.username === blankedUserInfo;
}
