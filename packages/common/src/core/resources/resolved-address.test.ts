import { describe, expect, it } from 'vitest';
import type { ResolvedAddress } from './destination.ts';
import { addressFields, addressIn } from './resolved-address.ts';

describe('an address among the fields of a status', () => {
  it.each<[ResolvedAddress, object]>([
    [{ uri: 'http://dead.shop' }, { deadLetterSinkUri: 'http://dead.shop' }],
    [{ uri: 'http://dead.shop', CACerts: 'PEM', audience: 'dead' }, { deadLetterSinkUri: 'http://dead.shop', deadLetterSinkCACerts: 'PEM', deadLetterSinkAudience: 'dead' }],
  ])('is written and read: %j', (address, fields) => {
    expect(addressFields('deadLetterSink', address)).toEqual(fields);
    expect(addressIn(fields, 'deadLetterSink')).toEqual(address);
    expect(addressIn(fields, 'sink')).toBeUndefined();
  });

  it.each([undefined, { error: { reason: 'SinkResolveFailed', message: 'no' } as const }])('leaves no fields where there is none: %j', (resolved) => {
    expect(addressFields('sink', resolved)).toEqual({});
  });

  it.each([undefined, {}, { sinkUri: '' }, { sinkUri: 7 }, { sinkCACerts: 'PEM' }])('is none in %j', (holder) => {
    expect(addressIn(holder, 'sink')).toBeUndefined();
  });

  it('is read without what is no text', () => {
    expect(addressIn({ sinkUri: 'http://a', sinkCACerts: null, sinkAudience: 1 }, 'sink')).toEqual({ uri: 'http://a' });
  });
});
