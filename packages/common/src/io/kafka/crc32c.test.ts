import { describe, expect, it } from 'vitest';
import { crc32c, nativeCrc32c, portableCrc32c } from './crc32c.ts';

const functions = [['the one in use', crc32c], ['the native one', nativeCrc32c()], ['the portable one', portableCrc32c]] as const;

describe.each(functions)('%s', (_, sum) => {
  // RFC 3720, appendix B.4, and the check value by which the algorithm is known.
  it.each([
    ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
    ['32 ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['counting up', Buffer.from(Array.from({ length: 32 }, (__, index) => index)), 0x46dd794e],
    ['counting down', Buffer.from(Array.from({ length: 32 }, (__, index) => 31 - index)), 0x113fdb5c],
    ['the check value', Buffer.from('123456789'), 0xe3069283],
    ['nothing', Buffer.alloc(0), 0],
  ])('knows the checksum of %s, in one piece and in several', (__, bytes, expected) => {
    expect(sum).toBeDefined();
    for (let cut = 0; cut <= bytes.length; cut++) expect(sum!([bytes.subarray(0, cut), bytes.subarray(cut)])).toBe(expected);
    expect(sum!([bytes])).toBe(expected);
  });
});
