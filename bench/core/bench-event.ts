/**
 * The event of every bench: binary mode, 1 KiB of JSON, one of a thousand keys; as a request and as what follows it.
 */

export const keyCount = 1000;
export const eventBytes = 1024;

/** Extension with the time of sending, in microseconds of the machine's monotonic clock (io/machine-clock.ts). */
export const sentAtHeader = 'ce-sentat';

const data = (() => {
  const frame = JSON.stringify({ note: 'as large as promised', padding: '' });
  return Buffer.from(JSON.stringify({ note: 'as large as promised', padding: 'x'.repeat(eventBytes - frame.length) }));
})();

/** @param n any number from 0: the key follows from it, and it is the event's id */
export function eventHeaders(n: number): readonly string[] {
  return ['ce-specversion', '1.0', 'ce-id', `event-${n}`, 'ce-source', '/bench', 'ce-type', 'dev.knative.kafka.bench', 'ce-subject', `key-${n % keyCount}`, 'content-type', 'application/json'];
}

export function eventBody(): Buffer {
  return data;
}

/** A whole request, ready for a socket. */
export function eventRequest(n: number, host: string, path: string, more: readonly string[] = []): Buffer {
  let head = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\n`;
  const headers = [...eventHeaders(n), ...more, 'content-length', String(data.length)];
  for (let at = 0; at + 1 < headers.length; at += 2) head += `${headers[at]!}: ${headers[at + 1]!}\r\n`;
  return Buffer.concat([Buffer.from(`${head}\r\n`), data]);
}
