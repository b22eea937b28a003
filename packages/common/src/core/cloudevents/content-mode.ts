/**
 * Which content mode a content type announces, the same question for a request and for a record.
 */

/** How an event is laid out: attributes beside the data, all in one document, or many such documents in one. */
export type ContentMode = 'binary' | 'structured' | 'batch';

const cloudEvents = 'application/cloudevents';
const cloudEventsBatch = 'application/cloudevents-batch';

/**
 * By prefix and in any case, as the bindings have it: whether the format that follows can be read is another question.
 * @see CloudEvents HTTP binding 1.0.2 §3, Kafka binding 1.0.2 §3
 */
export function contentMode(contentType: string | undefined): ContentMode {
  // The first character after `application/` tells nearly all others apart.
  if (contentType === undefined || (contentType.charCodeAt(12) | 0x20) !== 0x63) return 'binary';
  const start = contentType.slice(0, cloudEventsBatch.length).toLowerCase();
  if (start === cloudEventsBatch) return 'batch';
  return start.startsWith(cloudEvents) ? 'structured' : 'binary';
}
