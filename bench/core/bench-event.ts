/**
 * The event of every bench: binary mode, 1 KiB of JSON, one of a thousand keys; as a request and as a record.
 */
import type { OutgoingRecord } from '@knative-kafka/common/core';

export const keyCount = 1000;
export const eventBytes = 1024;

/** Extension with the time of sending, in microseconds of the machine's monotonic clock (io/machine-clock.ts). */
export const sentAtHeader = 'ce-sentat';

const data = jsonOf(eventBytes);

/** @param bytes at least 44 */
function jsonOf(bytes: number): Buffer {
  const frame = JSON.stringify({ note: 'as large as promised', padding: '' });
  return Buffer.from(JSON.stringify({ note: 'as large as promised', padding: 'x'.repeat(bytes - frame.length) }));
}

/** @param n any number from 0: the key follows from it, and it is the event's id */
export function eventHeaders(n: number): readonly string[] {
  return ['ce-specversion', '1.0', 'ce-id', `event-${n}`, 'ce-source', '/bench', 'ce-type', 'dev.knative.kafka.bench', 'ce-subject', `key-${n % keyCount}`, 'content-type', 'application/json'];
}

/** @returns n again; NaN of what is no id of these */
export function eventNumber(id: string | undefined): number {
  return Number(id?.replace(/^event-/, ''));
}

export function eventBody(): Buffer {
  return data;
}

/** The record that a receiver makes of the event. @param more headers of the request beside its own */
export function eventRecord(n: number, timestampMs: number, more: readonly string[] = []): OutgoingRecord {
  const flat = [...eventHeaders(n), ...more];
  const headers = Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index]!.replace(/^ce-/, 'ce_'), flat[2 * index + 1]!] as const);
  return { key: Buffer.from(`key-${n % keyCount}`), value: data, headers, timestampMs };
}

/** A whole request, ready for a socket. @param dataBytes of the event, at least 44 */
export function eventRequest(n: number, host: string, path: string, more: readonly string[] = [], dataBytes = eventBytes): Buffer {
  return request(host, path, [...eventHeaders(n), ...more], dataBytes === eventBytes ? data : jsonOf(dataBytes));
}

/** A request with several events: `first` and those that follow. */
export function batchRequest(first: number, events: number, host: string, path: string, dataBytes = eventBytes): Buffer {
  const json = JSON.parse(jsonOf(dataBytes).toString()) as unknown;
  const body = JSON.stringify(Array.from({ length: events }, (_, at) => ({ ...attributes(first + at), data: json })));
  return request(host, path, ['content-type', 'application/cloudevents-batch+json'], Buffer.from(body));
}

/** As JSON has them. */
function attributes(n: number): Readonly<Record<string, string>> {
  const headers = eventHeaders(n);
  const members = Array.from({ length: headers.length / 2 }, (_, at) => {
    const name = headers[2 * at]!;
    return [name === 'content-type' ? 'datacontenttype' : name.replace(/^ce-/, ''), headers[2 * at + 1]!] as const;
  });
  return Object.fromEntries(members);
}

function request(host: string, path: string, flat: readonly string[], body: Buffer): Buffer {
  let head = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\n`;
  const headers = [...flat, 'content-length', String(body.length)];
  for (let at = 0; at + 1 < headers.length; at += 2) head += `${headers[at]!}: ${headers[at + 1]!}\r\n`;
  return Buffer.concat([Buffer.from(`${head}\r\n`), body]);
}
