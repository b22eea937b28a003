/**
 * The headers that travel with an event without being part of it: trace context, request ids, Knative's own.
 *
 * Knative asks that they reach the subscriber. Between the two requests lies a record, whose headers carry them under
 * their own names; an attribute of the same name (`traceparent` is one) has the prefix `ce_` and is not affected.
 *
 * Always true: only names on this list pass, in lower case, with values that any HTTP client will take. They are help
 * for people who look for an event, so a value that cannot be passed on is left out and the event goes its way.
 */

/** As senders spell the frequent ones: they need no lower-case copy. */
const frequent: ReadonlyMap<string, string> = new Map([
  ['traceparent', 'traceparent'], ['Traceparent', 'traceparent'],
  ['tracestate', 'tracestate'], ['Tracestate', 'tracestate'],
  ['x-request-id', 'x-request-id'], ['X-Request-Id', 'x-request-id'],
]);

/**
 * The name under which a header is passed on.
 * @param rawName a header's name in any case
 * @returns       in lower case; undefined when the header is not on the list
 */
export function transportName(rawName: string): string | undefined {
  const firstLetter = rawName.charCodeAt(0) | 0x20;
  if (firstLetter !== 0x74 && firstLetter !== 0x78 && firstLetter !== 0x6b) return undefined; // t, x, k
  const known = frequent.get(rawName);
  if (known !== undefined) return known;
  const name = rawName.toLowerCase();
  if (name === 'traceparent' || name === 'tracestate' || name === 'x-request-id') return name;
  return name.startsWith('knative-') || name.startsWith('x-b3-') ? name : undefined;
}

/** Whether a transport header with this value is passed on: visible ASCII, spaces inside, not empty. */
export function isTransportValue(text: string): boolean {
  if (text === '' || text.charCodeAt(0) === 0x20 || text.charCodeAt(text.length - 1) === 0x20) return false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}
