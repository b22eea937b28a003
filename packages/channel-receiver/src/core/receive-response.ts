/**
 * What the sender is told. One value per situation, so that the table of answers can be read here.
 *
 * Bodies are RFC 9457 problem details. 429 and 503 carry Retry-After: Knative's senders repeat both, and 5xx and 404
 * besides, but no other 4xx.
 */
import { type EventError, type Fault } from '@knative-kafka/common/core';

export interface Answer {
  readonly status: number;
  /** Undefined for an empty body. */
  readonly problem?: Problem;
  readonly retryAfterSeconds?: number;
  readonly allow?: string;
}

export interface Problem {
  readonly title: string;
  readonly detail: string;
  /** The attribute at fault. */
  readonly attribute?: string;
}

export const allowedMethods = 'POST, OPTIONS';
const retryAfterSeconds = 1;

export const accepted: Answer = { status: 202 };

export const overloaded: Answer = {
  status: 429,
  retryAfterSeconds,
  problem: { title: 'Too many events', detail: 'more events are waiting for Kafka than this receiver may hold; send again later' },
};

export function notAnEvent(status: 400 | 415, error: EventError): Answer {
  return { status, problem: { title: status === 400 ? 'Not a CloudEvent' : 'Unsupported event format', detail: error.reason, attribute: error.attribute } };
}

export function unknownChannel(host: string | undefined, target: string): Answer {
  return { status: 404, problem: { title: 'No such channel', detail: `no KafkaChannel has the address host "${clip(host ?? '')}", path "${clip(target)}"; expected the channel's host with path "/", or path "/<namespace>/<name>"` } };
}

export const methodNotAllowed: Answer = {
  status: 405,
  allow: allowedMethods,
  problem: { title: 'Method not allowed', detail: 'send events with POST' },
};

/** What HTTP itself does not allow. */
export function badRequest(detail: string): Answer {
  return { status: 400, problem: { title: 'Bad request', detail } };
}

export function tooManyHeaders(limit: number): Answer {
  return { status: 431, problem: { title: 'Too many headers', detail: `at most ${limit} headers are accepted here` } };
}

export const unknownExpectation: Answer = { status: 417, problem: { title: 'Unknown expectation', detail: 'of the header Expect only 100-continue is understood' } };

export function encodedBody(contentEncoding: string): Answer {
  return { status: 415, problem: { title: 'Unsupported content encoding', detail: `expected a body without Content-Encoding, got "${clip(contentEncoding)}"`, attribute: 'content-encoding' } };
}

/** @param limitBytes of the topic (`max.message.bytes`), or of a batch's body */
export function tooLarge(limitBytes: number): Answer {
  return { status: 413, problem: { title: 'Event too large', detail: `at most ${limitBytes} bytes are accepted here` } };
}

export function kafkaAway(reason: string | undefined): Answer {
  return { status: 503, retryAfterSeconds, problem: { title: 'Kafka is not available', detail: reason ?? 'Kafka is not available; send again later' } };
}

/** Why events that were read were not all stored. @param stored of @param total events of the request */
export function notStored(fault: Fault, stored: number, total: number, limitBytes: number): Answer {
  if (fault.code === 'RECORD_TOO_LARGE') return tooLarge(limitBytes);
  const counted = total > 1 ? `; ${stored} of the ${total} events of the batch are stored` : '';
  const detail = `${fault.message}${counted}`;
  if (fault.retriable) return { status: 503, retryAfterSeconds, problem: { title: 'Event not stored', detail } };
  return { status: 500, problem: { title: 'Event not stored', detail } };
}

/** A bug of ours. */
export const internalError: Answer = { status: 500, problem: { title: 'Internal error', detail: 'the event was not stored' } };

function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
