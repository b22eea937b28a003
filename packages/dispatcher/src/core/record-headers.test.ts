import { decodeKafkaEvent, encodeHttpEvent, FetchedRecord, isEventError } from '@knative-kafka/common/core';
import { describe, expect, it } from 'vitest';
import { fetchedRecord, type WrittenHeader } from '../fetched-record-of.ts';
import { recordHeaders, writeHeaderLines } from './record-headers.ts';

const required: readonly WrittenHeader[] = [['ce_specversion', '1.0'], ['ce_id', '42'], ['ce_source', '/shop/orders'], ['ce_type', 'order.placed']];

function lines(headers: readonly WrittenHeader[], namespace = 'shop'): string | undefined {
  const out = Buffer.alloc(4_096, '?');
  const end = writeHeaderLines(fetchedRecord(headers), namespace, out, 3);
  return end < 0 ? undefined : out.toString('latin1', 3, end);
}

/** As every record is delivered that is not plain. */
function ordinary(record: FetchedRecord, namespace: string): readonly string[] | undefined {
  const event = decodeKafkaEvent(record.headers, record.value);
  if (isEventError(event)) return undefined;
  const { headers } = encodeHttpEvent(event);
  return [...headers, 'prefer', 'reply', 'kn-namespace', namespace];
}

describe('writeHeaderLines', () => {
  it('writes attributes, then the content type, then what travels along, then what the channel says', () => {
    const headers: readonly WrittenHeader[] = [['content-type', 'application/json; charset=utf-8'], ['traceparent', '00-1-2-01'], ...required, ['ce_time', '2026-01-01T00:00:00Z'], ['knative-error-dest', 'x'], ['ce_long', 'y'.repeat(2_000)]];
    expect(lines(headers)).toBe(
      'ce-specversion: 1.0\r\nce-id: 42\r\nce-source: /shop/orders\r\nce-type: order.placed\r\nce-time: 2026-01-01T00:00:00Z\r\n' +
      `ce-long: ${'y'.repeat(2_000)}\r\ncontent-type: application/json; charset=utf-8\r\ntraceparent: 00-1-2-01\r\nknative-error-dest: x\r\nprefer: reply\r\nkn-namespace: shop\r\n`,
    );
  });

  it.each<readonly [string, readonly WrittenHeader[]]>([
    ['a line end in a value', [...required, ['ce_x', 'a\r\nb']]],
    ['a lone line feed in a value', [...required, ['ce_x', 'a\nb']]],
    ['a NUL in a value', [...required, ['ce_x', 'a\0b']]],
    ['a line end in a name', [...required, ['ce_x\r\nb', '1']]],
    ['a colon in a name', [...required, ['ce_x:', '1']]],
    ['a space in a name', [...required, ['ce_x y', '1']]],
    ['a name without letters', [...required, ['ce_', '1']]],
    ['upper case in a name', [...required, ['ce_X', '1']]],
    ['the prefix of former versions', [...required, ['ce-x', '1']]],
    ['a long name', [...required, [`ce_${'x'.repeat(61)}`, '1']]],
    ['a long value', [...required, ['ce_x', 'y'.repeat(9_000)]]],
    ['text beyond ASCII', [...required, ['ce_x', 'ü']]],
    ['DEL', [...required, ['ce_x', '\x7f']]],
    ['a tab', [...required, ['ce_x', 'a\tb']]],
    ['a space before', [...required, ['ce_x', ' a']]],
    ['a space behind', [...required, ['ce_x', 'a ']]],
    ['an empty value', [...required, ['ce_x', '']]],
    ['no value', [...required, ['ce_x', null]]],
    ['a name twice', [...required, ['ce_id', '43']]],
    ['a content type twice', [...required, ['content-type', 'a/b'], ['content-type', 'c/d']]],
    ['a structured event', [['content-type', 'application/cloudevents+json']]],
    ['a structured event with attributes', [...required, ['content-type', 'application/CloudEvents+json']]],
    ['data as an attribute', [...required, ['ce_data', '1']]],
    ['a content type as an attribute', [...required, ['ce_datacontenttype', 'a/b']]],
    ['a header of nobody', [...required, ['colour', 'red']]],
    ['a header that frames the message', [...required, ['transfer-encoding', 'chunked']]],
    ['a line end in the name of what travels along', [...required, ['x-b3-a\r\nb', '1']]],
    ['a line end in what travels along', [...required, ['traceparent', '1\r\n2']]],
    ['a line end in the content type', [...required, ['content-type', 'a/b\r\nc']]],
    ['another specversion', [['ce_specversion', '2.0'], ...required.slice(1)]],
    ...required.map(([name]) => [`no ${String(name)}`, required.filter((header) => header[0] !== name)] as const),
    ['no headers', []],
  ])('leaves %s to the ordinary way', (_, headers) => {
    expect(lines(required)).toBeDefined();
    expect(lines(headers)).toBeUndefined();
    expect(recordHeaders(fetchedRecord(headers), 'shop')).toBeUndefined();
  });

  it('leaves it to the ordinary way to say that a namespace is none', () => {
    for (const namespace of ['a\r\nb', 'a b', 'Ä']) expect(lines(required, namespace)).toBeUndefined();
  });

  it('writes nothing past the end', () => {
    const record = fetchedRecord(required);
    const needed = writeHeaderLines(record, 'shop', Buffer.alloc(1_000), 0);
    for (let length = 0; length < needed + 20; length++) {
      const memory = Buffer.alloc(1_000, '?');
      const end = writeHeaderLines(record, 'shop', memory.subarray(0, length), 0);
      if (length < needed) expect(end).toBe(-1);
      expect(memory.subarray(length).every((byte) => byte === 0x3f)).toBe(true);
    }
  });

  it('writes its own lines, whichever record was looked at since', () => {
    const first = recordHeaders(fetchedRecord(required), 'shop')!;
    const again = recordHeaders(fetchedRecord(required), 'shop')!;
    expect(recordHeaders(fetchedRecord([...required, ['ce_subject', 'another']]), 'other')).toBeDefined();
    const out = Buffer.alloc(1_000);
    const text = lines(required)!;
    expect(out.toString('latin1', 5, first.write(out, 5))).toBe(text);
    recordHeaders(fetchedRecord([...required, ['ce_x', '\n']]), 'shop');
    expect(out.toString('latin1', 0, again.write(out, 0))).toBe(text);
    const last = recordHeaders(fetchedRecord(required), 'shop')!;
    expect(last.write(Buffer.alloc(text.length + 3), 4)).toBe(-1);
    expect(out.toString('latin1', 9, last.write(out, 9))).toBe(text);
  });

  it('gives a client that wants texts what the ordinary way gives', () => {
    const record = fetchedRecord([...required, ['x-request-id', '7'], ['content-type', 'text/plain']]);
    expect(recordHeaders(record, 'shop')?.flat()).toEqual(ordinary(record, 'shop'));
  });
});
