import { describe, expect, it } from 'vitest';
import { InFlightLimit } from './in-flight-limit.ts';

/** A lane as the limit sees it: wants as many places as it has records, and waits where it finds none. */
function lane(limit: InFlightLimit, name: string, started: string[]) {
  const state = { wanted: 0 };
  const start = (): void => {
    for (; state.wanted > 0; state.wanted--) {
      if (!limit.take()) return limit.wait(start);
      started.push(name);
    }
  };
  return { want: (records: number) => { state.wanted += records; start(); }, leave: () => limit.leave(start) };
}

describe('InFlightLimit', () => {
  it('gives so many places and no more, and each again when it comes back', () => {
    const limit = new InFlightLimit(2);
    expect([limit.take(), limit.take(), limit.take()]).toEqual([true, true, false]);
    limit.give();
    expect([limit.taken, limit.take(), limit.take()]).toEqual([1, true, false]);
  });

  it('calls those who wait in turn, so that a busy one cannot starve the others', () => {
    const limit = new InFlightLimit(2);
    const started: string[] = [];
    lane(limit, 'busy', started).want(1000);
    lane(limit, 'a', started).want(3);
    lane(limit, 'b', started).want(1);
    expect(started).toEqual(['busy', 'busy']);
    started.length = 0;
    for (let place = 0; place < 8; place++) limit.give();
    expect(started).toEqual(['busy', 'a', 'b', 'busy', 'a', 'busy', 'a', 'busy']);
  });

  it('calls one that waited several times once, in its first turn', () => {
    const limit = new InFlightLimit(1);
    const called: string[] = [];
    const [one, two] = ['one', 'two'].map((name) => () => { if (limit.take()) called.push(name); }) as [() => void, () => void];
    limit.take();
    for (const waiter of [one, two, one, one]) limit.wait(waiter);
    for (let place = 0; place < 3; place++) limit.give();
    expect(called).toEqual(['one', 'two']);
    expect(limit.taken).toBe(0);
  });

  it('lets others have the place of a delivery that waits, which goes on in its turn', async () => {
    const limit = new InFlightLimit(1);
    const started: string[] = [];
    limit.take();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const going = limit.without(promise, new AbortController().signal).then((mayGoOn) => started.push(`retry ${mayGoOn}`));
    lane(limit, 'other', started).want(2);
    expect(started).toEqual(['other']);
    resolve(true);
    await new Promise((turn) => setImmediate(turn));
    expect([started, limit.waiting]).toEqual([['other'], 2]);
    limit.give();
    limit.give();
    await going;
    expect([started, limit.taken]).toEqual([['other', 'other', 'retry true'], 1]);
  });

  it('gives nobody a place that is only one less of too many: who waits goes on when there is one, and does not end', async () => {
    const limit = new InFlightLimit(1);
    const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    const [one, other] = [Promise.withResolvers<boolean>(), Promise.withResolvers<boolean>()];
    const signal = new AbortController().signal;
    limit.take();
    const going = limit.without(one.promise, signal);
    limit.take();
    const ending = limit.without(other.promise, signal);
    limit.take(); // a third one has the place
    one.resolve(true);
    await turns();
    other.resolve(false);
    expect([await ending, limit.taken]).toEqual([false, 2]);
    limit.give(); // of the one that ends
    await turns();
    expect([limit.taken, limit.waiting]).toEqual([1, 1]);
    limit.give(); // of the third one
    expect([await going, limit.taken]).toEqual([true, 1]);
  });

  it.each([['while it waits', false], ['when its time is over', true]])('ends a delivery %s at once, place or not, and comes out even', async (_, isTimeOver) => {
    const limit = new InFlightLimit(1);
    const ended = new AbortController();
    limit.take();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const going = limit.without(promise, ended.signal);
    limit.take(); // somebody else's now
    resolve(isTimeOver);
    await new Promise((turn) => setImmediate(turn));
    ended.abort();
    expect(await going).toBe(false);
    limit.give();
    limit.give();
    expect([limit.taken, limit.waiting]).toEqual([0, 0]);
  });

  it('passes over one that has left, and over one that no longer wants the place', () => {
    const limit = new InFlightLimit(1);
    const started: string[] = [];
    limit.take();
    const gone = lane(limit, 'gone', started);
    gone.want(1);
    limit.wait(() => started.push('declined'));
    lane(limit, 'last', started).want(1);
    gone.leave();
    limit.give();
    expect(started).toEqual(['declined', 'last']);
    expect(limit.taken).toBe(1);
  });

  it.each([
    ['a limit under which nothing could start', () => new InFlightLimit(0)],
    ['a place given back that was not taken', () => new InFlightLimit(1).give()],
  ])('refuses %s: a bug in the caller', (_case, act) => {
    expect(act).toThrow(RangeError);
  });
});
