/**
 * A subscriber's answer that is an event of its own: whether it is one, and which.
 *
 * Only binary and structured mode count: there are no batched replies in Knative.
 */
import { contentMode, decodeHttpEvent, decodeKafkaEvent, isEventError, type NamedTexts, type StoredEvent } from '@knative-kafka/common/core';
import type { ReplyMessage } from './response-verdict.ts';

/**
 * Whether an answer announces an event, before its body has been read: Knative's own question, by `ce-specversion` or
 * the content type.
 * @param header gives a header's value by its name in lower case
 */
export function announcesEvent(header: (name: string) => string | undefined): boolean {
  return header('ce-specversion') !== undefined || contentMode(header('content-type')) === 'structured';
}

/**
 * The event of an answer, to be sent on as it came.
 *
 * @param trace transport headers of the event that was answered: the reply continues its trace unless it has one
 * @returns     undefined when it announces an event and is none
 */
export function readReply(reply: ReplyMessage, trace: NamedTexts): StoredEvent | undefined {
  const decoded = decodeHttpEvent(reply.headers, reply.body);
  if ('error' in decoded || decoded.mode === 'batch') return undefined;
  const [first] = decoded.events;
  if (first === undefined) return undefined;
  const event = decodeKafkaEvent(first.headers, first.value);
  if (isEventError(event)) return undefined;
  if (event.transport.some(([name]) => name === 'traceparent')) return event;
  const own = event.transport.filter(([name]) => name !== 'tracestate'); // a state without a trace says nothing
  return { ...event, transport: [...own, ...trace.filter(([name]) => name === 'traceparent' || name === 'tracestate')] };
}
