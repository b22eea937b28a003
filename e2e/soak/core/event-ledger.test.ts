import { beforeEach, describe, expect, it } from 'vitest';
import { EventLedger, withoutStoredTwice } from './event-ledger.ts';

describe('the ledger', () => {
  let ledger: EventLedger;
  beforeEach(() => {
    ledger = new EventLedger(['a']);
    ledger.setPartitions(new Map([['x', 0], ['y', 1]]));
  });
  const accept = (...ids: readonly string[]): void => {
    for (const id of ids) {
      ledger.sent(id, 0);
      ledger.accepted(id);
    }
  };

  it('finds each event at the first of its places, and those that are nowhere', () => {
    accept('x-0', 'x-1', 'x-2', 'x-3', 'x-4');
    ledger.arrived('a', 'x-0', 'subscriber', 1);
    ledger.arrived('a', 'x-1', 'sink', 2);
    ledger.arrived('a', 'x-2', 'sink', 3);
    ledger.arrived('a', 'x-2', 'subscriber', 4);
    expect(ledger.tally('a', new Set(['x-0', 'x-3']))).toEqual({
      delivered: 2, deadLettered: 1, kept: 1, inSeveralPlaces: 2, missing: ['x-4'], orderBreaks: [],
    });
    expect(ledger.arrivals('a')).toEqual({ subscriber: 1, sink: 2 }); // where they came first
  });

  it('puts a duplicate down to the fault that began last', () => {
    accept('x-0');
    ledger.arrived('a', 'x-0', 'subscriber', 1);
    ledger.arrived('a', 'x-0', 'subscriber', 2);
    ledger.openWindow('killed', 3);
    ledger.openWindow(undefined, 4);
    ledger.arrived('a', 'x-0', 'sink', 5);
    expect(ledger.duplicates.map(({ fault, firstAtMs, atMs }) => [fault, firstAtMs, atMs])).toEqual([[undefined, 1, 2], ['killed', 1, 5]]);
  });

  it('takes records that the sender stored twice for what they are', () => {
    const duplicate = (id: string, subscription = 'a') => ({ id, subscription, fault: undefined, atMs: 0, firstAtMs: 0 });
    const duplicates = [duplicate('x-0'), duplicate('x-0'), duplicate('x-0', 'b'), duplicate('x-1')];
    expect(withoutStoredTwice(duplicates, new Map([['x-0', 2]]))).toEqual([duplicate('x-0'), duplicate('x-1')]);
  });

  it.each([
    ['in order', ['x-0', 'x-1', 'x-2'], []],
    ['with a gap, for a dead letter', ['x-0', 'x-2'], []],
    ['redelivered from the beginning', ['x-0', 'x-1', 'x-0', 'x-1', 'x-2'], []],
    ['overtaken', ['x-1', 'x-0'], ['x-0 came first after x-1']],
    ['of several keys', ['x-0', 'y-1', 'x-1', 'y-2'], []],
  ])('knows order: %s', (_, arrivals, breaks) => {
    for (const [at, id] of arrivals.entries()) ledger.arrived('a', id, 'subscriber', at);
    expect(ledger.tally('a', new Set()).orderBreaks).toEqual(breaks);
  });

  it('measures the longest pause of the worst partition within each window, also one that has not ended', () => {
    accept('x-0', 'y-0', 'x-1', 'y-1');
    ledger.arrived('a', 'x-0', 'subscriber', 0);
    ledger.arrived('a', 'y-0', 'subscriber', 0);
    ledger.openWindow('frozen', 100);
    ledger.arrived('a', 'x-1', 'subscriber', 130);
    ledger.arrived('a', 'y-1', 'subscriber', 170);
    ledger.openWindow(undefined, 180);
    ledger.closeWindow(200);
    ledger.arrived('a', 'x-1', 'subscriber', 900); // no window is open
    ledger.openWindow('killed', 1000);
    ledger.closeWindow(1400);
    expect(ledger.windows).toEqual([
      { fault: 'frozen', startedAt: 100, endedAt: 180, pauseMs: { a: 70 } },
      { fault: undefined, startedAt: 180, endedAt: 200, pauseMs: { a: 20 } },
      { fault: 'killed', startedAt: 1000, endedAt: 1400, pauseMs: { a: 400 } },
    ]);
  });

  it('tells which partitions have delivered nothing that was sent since', () => {
    ledger.sent('x-0', 10);
    ledger.sent('x-1', 20);
    ledger.sent('y-0', 20);
    expect(ledger.silentSince(20, ['a'])).toEqual(['a/0', 'a/1']);
    ledger.arrived('a', 'x-0', 'subscriber', 21);
    ledger.arrived('a', 'y-0', 'sink', 22);
    expect(ledger.silentSince(20, ['a'])).toEqual(['a/0']);
    ledger.arrived('a', 'x-1', 'subscriber', 23);
    expect(ledger.silentSince(20, ['a'])).toEqual([]);
  });
});
