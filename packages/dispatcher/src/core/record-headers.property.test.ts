/** Bytes to bytes beside the ordinary way, over random records; the same at every run. */
import { decodeKafkaEvent, encodeHttpEvent, isEventError, type FetchedRecord } from '@knative-kafka/common/core';
import { expect, it, vi } from 'vitest';
import { fetchedRecord, type WrittenHeader } from '../fetched-record-of.ts';
import { pick, randomOf, type Random } from '../seeded-choices.ts';
import { recordHeaders } from './record-headers.ts';

// Generous, for machines that are busy.
vi.setConfig({ testTimeout: 60_000 });

const namespace = 'shop-7';
const out = Buffer.alloc(64 * 1024);
const plainValues = ['1', '42', '/a/b?c=d', 'order.placed', 'x y', '2026-01-01T00:00:00.123456789Z', '%41', '"quoted"', 'a'.repeat(62), 'b'.repeat(63), 'e'.repeat(64), 'd'.repeat(128), 'application/json', 'application/x'];
const oddPieces = ['a', ' ', '\r', '\n', '\r\n', '\0', '\t', 'ü', '漢', '\u{1f600}', '\x7f', '\x1b', ':', '%', 'application/cloudevents', 'application/cloudevents-batch+json', '1.0'];
const plainNames = ['ce_subject', 'ce_time', 'ce_a', 'ce_b', 'ce_x1', 'ce_partitionkey', 'ce_traceparent', 'content-type', 'traceparent', 'tracestate', 'x-request-id', 'x-b3-traceid', 'knative-error-dest'];
const oddNames = ['ce_', 'ce_data', 'ce_datacontenttype', 'ce_A', 'CE_x', 'ce-x', 'Content-Type', 'X-Request-Id', 'x-b3-\r\n', 'knative-a b', 'host', 'content-length', 'kn-namespace', 'prefer', 'colour', '', 'ce_ü', 'ce_a\r\nx: y', 'ce_a:', `ce_${'n'.repeat(70)}`];

function randomHeaders(random: Random): WrittenHeader[] {
  const oddOneIn = pick(random, [3, 20, 1_000_000]);
  const isOdd = (): boolean => random(oddOneIn) === 0;
  const valueOf = (name: string): string | Buffer | null => {
    if (isOdd()) return pick(random, [null, '', Array.from({ length: random(6) }, () => pick(random, oddPieces)).join(''), Buffer.from(Array.from({ length: random(6) }, () => random(256)))]);
    return name === 'ce_specversion' ? pick(random, ['1.0', '1.0', '1.0', '0.3']) : pick(random, plainValues);
  };
  const names = ['ce_specversion', 'ce_id', 'ce_source', 'ce_type'].filter(() => !isOdd());
  for (const name of plainNames) if (random(3) === 0) names.push(name);
  while (isOdd()) names.push(pick(random, [...oddNames, ...names, ...plainNames]));
  for (let i = names.length - 1; i > 0; i--) {
    const other = random(i + 1);
    [names[i], names[other]] = [names[other]!, names[i]!];
  }
  return names.map((name) => [name, valueOf(name)]);
}

/** Undefined where the record is no event, or one that is delivered in another mode. */
function ordinaryFlat(record: FetchedRecord): readonly string[] | undefined {
  const event = decodeKafkaEvent(record.headers, record.value);
  if (isEventError(event) || event.mode === 'structured') return undefined;
  const { headers, body } = encodeHttpEvent(event);
  expect(body).toEqual(record.value);
  return [...headers, 'prefer', 'reply', 'kn-namespace', namespace];
}

it('writes the very bytes of the ordinary way, or refuses; 50,000 records', () => {
  const random = randomOf(99);
  let plain = 0;
  let refused = 0;
  for (let run = 0; run < 50_000; run++) {
    const written = randomHeaders(random);
    const record = fetchedRecord(written, random(10) === 0 ? null : Buffer.from('{}'));
    const headers = recordHeaders(record, namespace);
    if (headers === undefined) {
      refused++;
      continue;
    }
    plain++;
    const flat = ordinaryFlat(record);
    if (flat === undefined) expect(written).toEqual('an event in binary mode');
    const at = random(100);
    const got = out.toString('latin1', at, headers.write(out, at));
    let expected = '';
    for (let i = 0; i < flat!.length; i += 2) expected += `${flat![i]!}: ${flat![i + 1]!}\r\n`;
    if (got !== expected) expect(got).toBe(expected);
    if (headers.flat().join() !== flat!.join()) expect(headers.flat()).toEqual(flat);
    if (!/^(?:[a-z0-9-]+: [\x20-\x7e]+\r\n)+$/.test(got)) expect(got).toBe('lines');
  }
  expect(plain).toBeGreaterThan(10_000);
  expect(refused).toBeGreaterThan(10_000);
});

it('refuses no record whose parts are all plain', () => {
  const random = randomOf(100);
  for (let run = 0; run < 20_000; run++) {
    const names = ['ce_specversion', 'ce_id', 'ce_source', 'ce_type', ...plainNames.filter(() => random(2) === 0)];
    const record = fetchedRecord(names.map((name) => [name, name === 'ce_specversion' ? '1.0' : pick(random, plainValues)]));
    expect(recordHeaders(record, namespace) === undefined).toBe(false);
  }
});
