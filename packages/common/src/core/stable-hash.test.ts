import { describe, expect, it } from 'vitest';
import { shortHash, stableHash, stableUuid } from './stable-hash.ts';

describe('stableHash', () => {
  it.each([
    ['', '6c62272e07bb014262b821756295c58d'],
    ['a', 'd228cb696f1a8caf78912b704e4a8964'],
    ['foobar', '343e1662793c64bf6f0d3597ba446f18'],
  ])('follows the published vectors of FNV-1a: %j', (text, hash) => {
    expect(stableHash(text)).toBe(hash);
  });
});

describe('stableUuid', () => {
  it('is a version 8 UUID and never changes, because consumer groups are named by it', () => {
    expect(stableUuid('Subscription default/event-display')).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    expect(stableUuid('Subscription default/event-display')).toBe('3edd56e8-65ae-88a3-85e4-e1a6e86dd461');
  });

  it('differs for a hundred thousand similar names', () => {
    const uuids = new Set<string>();
    const hashes = new Set<string>();
    for (let i = 0; i < 100_000; i++) {
      uuids.add(stableUuid(`Subscription default/s${i}`));
      hashes.add(shortHash(`s${i}`));
    }
    expect(uuids.size).toBe(100_000);
    expect(hashes.size).toBe(100_000);
  });
});
