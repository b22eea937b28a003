import { describe, expect, it } from 'vitest';
import { decodeKafkaEvent, type IncomingRecord, type OutgoingRecord } from '@knative-kafka/common/core';
import { answerLimitBytes, headerRoomBytes, isDeliveryNote, readDeadLetter, SettledRecords, toCopy, toDeadLetterRecord, toDeliveryNote, type DeadLetter } from './dead-letter-record.ts';

const record: IncomingRecord = {
  offset: 9_007_199_254_740_993n,
  key: Buffer.from([0, 255, 1]),
  value: Buffer.from([123, 0, 200, 125]),
  headers: [
    ['ce_specversion', Buffer.from('1.0')],
    ['ce_id', Buffer.from('42')],
    ['ce_source', Buffer.from('/shop')],
    ['ce_type', Buffer.from('order')],
    ['trace', Buffer.from([0xff, 0xfe])],
    ['trace', Buffer.from('again')],
    ['empty', Buffer.alloc(0)],
  ],
  timestampMs: 1_700_000_000_123,
};

const letter: DeadLetter = {
  record,
  topic: 'knative-messaging-kafka.shop.orders',
  partition: 3,
  groupId: 'kafka.shop.orders.u-1',
  channel: 'shop/orders',
  subscription: 'billing',
  destination: 'http://dead-letters.shop/',
  subscriberUri: 'http://billing.shop/events?a=1',
  reason: 'status-503',
  code: 503,
  data: Buffer.from([0, 1, 254]),
  attempts: 11,
  timeMs: Date.parse('2026-02-03T04:05:06.789Z'),
};

/** As Kafka would give it back. */
function stored(outgoing: OutgoingRecord, offset = 0n): IncomingRecord {
  return { ...outgoing, offset, headers: outgoing.headers.map(([name, value]) => [name, Buffer.from(value)] as const) };
}

function headersOf(outgoing: OutgoingRecord): Record<string, string> {
  return Object.fromEntries(outgoing.headers.map(([name, value]) => [name, value.toString()]));
}

describe('toDeadLetterRecord', () => {
  it('leaves key, value and all headers of the event as they were, in their order', () => {
    const outgoing = toDeadLetterRecord(letter);
    expect(outgoing.key).toBe(record.key);
    expect(outgoing.value).toBe(record.value);
    expect(outgoing.headers.slice(0, record.headers.length)).toEqual(record.headers);
    expect(decodeKafkaEvent(outgoing.headers, outgoing.value)).toEqual(decodeKafkaEvent(record.headers, record.value));
  });

  it('tells in headers where it came from, whom it was meant for and why it did not arrive', () => {
    expect(headersOf(toDeadLetterRecord(letter))).toMatchObject({
      'dead-letter-topic': 'knative-messaging-kafka.shop.orders',
      'dead-letter-partition': '3',
      'dead-letter-offset': '9007199254740993',
      'dead-letter-timestamp': '1700000000123',
      'dead-letter-group': 'kafka.shop.orders.u-1',
      'dead-letter-channel': 'shop/orders',
      'dead-letter-subscription': 'billing',
      'dead-letter-subscriber': 'http://billing.shop/events?a=1',
      'dead-letter-destination': 'http://dead-letters.shop/',
      'dead-letter-reason': 'status-503',
      'dead-letter-code': '503',
      'dead-letter-time': '2026-02-03T04:05:06.789Z',
      'dead-letter-attempts': '11',
      'dead-letter-redrives': '0',
    });
  });

  it('is kept from the time of the failure on, however old the event is', () => {
    expect(toDeadLetterRecord(letter).timestampMs).toBe(letter.timeMs);
  });

  it('replaces what an earlier time in a dead letter topic has left', () => {
    const again = { ...letter, record: stored(toDeadLetterRecord(letter)), reason: 'timeout', code: undefined, data: undefined };
    const outgoing = toDeadLetterRecord(again, { redrives: 2, settles: 7n });
    const names = outgoing.headers.map(([name]) => name).filter((name) => name.startsWith('dead-letter-'));
    expect(new Set(names).size).toBe(names.length);
    expect(headersOf(outgoing)).toMatchObject({ 'dead-letter-reason': 'timeout', 'dead-letter-redrives': '2', 'dead-letter-settles': '7' });
    expect(names).not.toContain('dead-letter-code');
    expect(names).not.toContain('dead-letter-data');
  });

  it('leaves headers of the event alone that only look like ours', () => {
    const own = { ...record, headers: [['dead-letter-colour', Buffer.from('red')] as const, ...record.headers] };
    expect(readDeadLetter(stored(toDeadLetterRecord({ ...letter, record: own })))?.record.headers).toEqual(own.headers);
  });

  it.each([
    ['http://user:secret@host/path', 'http://***@host/path'],
    ['http://token@host/path', 'http://***@host/path'],
    ['http://user:s@c:ret@host/?q=a@b', 'http://***@host/?q=a@b'],
    ['http:user:secret@host/', 'http://***@host/'],
    ['http://user:se/cret@host/', 'http://***@host/'],
    ['//user:secret@host', '//***@host'],
    ['secret@host', '***@host'],
    ['http://host/a@b', 'http://host/a@b'],
    ['http://HOST', 'http://HOST'],
  ])('shows no password: %s', (uri, shown) => {
    const headers = headersOf(toDeadLetterRecord({ ...letter, subscriberUri: uri, destination: uri }));
    expect([headers['dead-letter-subscriber'], headers['dead-letter-destination']]).toEqual([shown, shown]);
    expect(JSON.stringify(headers)).not.toMatch(/secret|cret@/);
  });

  it('keeps no more of an answer than an event may carry, and stays within the room the topic has for it', () => {
    const long = { ...letter, data: Buffer.alloc(100_000, 'x'), subscriberUri: `http://host/${'p'.repeat(8_000)}`, destination: `http://host/${'q'.repeat(8_000)}` };
    const outgoing = toDeadLetterRecord(long, { redrives: 1, settles: 2n ** 63n - 1n });
    expect(readDeadLetter(stored(outgoing))?.data?.length).toBe(answerLimitBytes);
    const bytes = (headers: OutgoingRecord['headers']): number => headers.reduce((sum, [name, value]) => sum + name.length + value.length + 12, 0);
    expect(bytes(outgoing.headers) - bytes(record.headers)).toBeLessThan(headerRoomBytes);
  });
});

describe('readDeadLetter', () => {
  it('gives back what was written', () => {
    expect(readDeadLetter(stored(toDeadLetterRecord(letter)))).toEqual({ ...letter, redrives: 0 });
    const bare = { ...letter, code: undefined, data: undefined, record: { ...record, key: null, value: null } };
    expect(readDeadLetter(stored(toDeadLetterRecord(bare, { redrives: 3, settles: 1n })))).toEqual({ ...bare, redrives: 3 });
  });

  it('does not take an empty answer for none', () => {
    expect(readDeadLetter(stored(toDeadLetterRecord({ ...letter, data: Buffer.alloc(0) })))?.data).toEqual(Buffer.alloc(0));
  });

  it.each(['topic', 'partition', 'offset', 'group', 'channel', 'subscription', 'subscriber', 'destination', 'reason', 'time', 'attempts'])('takes no record for a dead letter without its %s', (name) => {
    const whole = stored(toDeadLetterRecord(letter));
    expect(readDeadLetter({ ...whole, headers: whole.headers.filter((header) => header[0] !== `dead-letter-${name}`) })).toBeUndefined();
  });

  it.each([['partition', '-1'], ['offset', '1e3'], ['time', 'yesterday'], ['attempts', '']])('takes no record for a dead letter with %s %j', (name, text) => {
    const whole = stored(toDeadLetterRecord(letter));
    expect(readDeadLetter({ ...whole, headers: [...whole.headers, [`dead-letter-${name}`, Buffer.from(text)]] })).toBeUndefined();
  });

  it('takes neither a delivery note nor an ordinary event for a dead letter', () => {
    expect(readDeadLetter(stored(toDeliveryNote(1n, 0)))).toBeUndefined();
    expect(readDeadLetter(record)).toBeUndefined();
  });
});

describe('toCopy', () => {
  it('is the same letter, at the age it had, in the place of the record it was made of', () => {
    const original = stored(toDeadLetterRecord(letter, { redrives: 2, settles: 3n }), 5n);
    const copy = toCopy(original);
    expect(readDeadLetter(stored(copy, 9n))).toEqual(readDeadLetter(original));
    expect(copy.timestampMs).toBe(letter.timeMs);
    expect(new SettledRecords().add(stored(copy, 9n))).toBe(5n);
  });

  it('keeps a record that is no dead letter whole', () => {
    const copy = toCopy(record);
    expect([copy.key, copy.value]).toEqual([record.key, record.value]);
    expect(copy.headers.slice(0, -1)).toEqual(record.headers);
    expect(isDeliveryNote(stored(copy))).toBe(false);
  });
});

describe('SettledRecords', () => {
  const settled = (...records: readonly IncomingRecord[]): (bigint | undefined)[] => {
    const found = new SettledRecords();
    return records.map((entry) => found.add(entry));
  };
  const first = stored(toDeadLetterRecord(letter), 10n);

  it('leaves a record open that nothing later names', () => {
    expect(settled(first, stored(toDeadLetterRecord(letter), 11n))).toEqual([undefined, undefined]);
  });

  it('is settled by a delivery note, and a note needs no settling', () => {
    const note = stored(toDeliveryNote(10n, 0), 12n);
    expect(settled(first, note)).toEqual([undefined, 10n]);
    expect(isDeliveryNote(note)).toBe(true);
  });

  it('follows a record that was put back again and again', () => {
    const second = stored(toCopy(first), 20n);
    const third = stored(toDeadLetterRecord(letter, { redrives: 1, settles: 20n }), 30n);
    expect(settled(first, second, third, stored(toDeliveryNote(30n, 0), 31n))).toEqual([undefined, 10n, 20n, 30n]);
  });

  it('counts the later one when a copy was written twice because its acknowledgement got lost', () => {
    expect(settled(first, stored(toCopy(first), 20n), stored(toCopy(first), 21n), stored(toCopy(first), 22n))).toEqual([undefined, 10n, 20n, 21n]);
  });

  it('works without the record itself, which retention may have taken', () => {
    expect(settled(stored(toCopy(first), 20n))).toEqual([10n]);
  });

  it('does not believe a record that claims to settle itself or one to come', () => {
    expect(settled(stored(toCopy({ ...first, offset: 20n }), 20n), stored(toCopy({ ...first, offset: 30n }), 21n))).toEqual([undefined, undefined]);
  });
});
