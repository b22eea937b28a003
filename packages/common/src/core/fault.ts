/**
 * The expected ways in which the world fails, as one error type with a code.
 *
 * A Fault is thrown where the world failed, keeps its cause, and is translated once, at the edge: into an HTTP status,
 * a condition, an exit code. Anything else that is thrown is a bug and is treated as one.
 */

/** What went wrong, in the words of metrics and logs. `KAFKA_*` come from the adapters, the rest from our own limits. */
export type FaultCode =
  | 'KAFKA_UNAVAILABLE' // no broker answers, or none leads the partition
  | 'KAFKA_TIMEOUT' // a broker took longer than the request may
  | 'KAFKA_REFUSED' // a broker understood and will not: authorization, policy
  | 'KAFKA_PROTOCOL' // an answer that misses what was asked for
  | 'TOPIC_MISSING'
  | 'TOPIC_REJECTED' // a topic cannot be created as asked
  | 'RECORD_TOO_LARGE'
  | 'DEADLINE_EXCEEDED' // ours: the event waited too long for Kafka
  | 'OVERLOADED' // ours: the byte budget is used up
  | 'CLOSED' // ours: asked of something that is shutting down
  | 'SETTINGS_INVALID'
  | 'MANIFEST_INVALID'
  | 'DESTINATION_UNRESOLVED'
  | 'KUBERNETES_UNAVAILABLE' // no API server answers, or it cannot now (429, 5xx)
  | 'KUBERNETES_CONFLICT' // somebody else changed or made the object (409)
  | 'KUBERNETES_EXPIRED' // a watch or a page goes on from a state that is forgotten (410)
  | 'KUBERNETES_REFUSED'; // the API server understood and will not: forbidden, invalid

export class Fault extends Error {
  override readonly name = 'Fault';
  readonly code: FaultCode;
  /** Whether the same call may succeed later without anything being changed. */
  readonly retriable: boolean;

  constructor(code: FaultCode, message: string, options: { retriable: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retriable = options.retriable;
  }
}

/** The message of anything thrown, with the messages of its causes: what an operator needs in one line. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let current = error, depth = 0; current !== undefined && current !== null && depth < 6; depth++) {
    const message = current instanceof Error ? current.message || current.name : textOf(current);
    if (message !== '' && !parts.some((part) => part.includes(message))) parts.push(message);
    if (current instanceof AggregateError && current.errors.length > 0) current = current.errors[0];
    else current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(': ');
}

/** What was thrown and is no error: an object as JSON where it can be. */
function textOf(thrown: unknown): string {
  if (typeof thrown === 'string') return thrown;
  if (typeof thrown !== 'object') return (thrown as number | bigint | boolean | symbol).toString();
  try {
    return JSON.stringify(thrown);
  } catch {
    return Object.prototype.toString.call(thrown); // it goes round in a circle
  }
}
