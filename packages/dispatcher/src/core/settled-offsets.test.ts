import { describe, expect, it } from 'vitest';
import { decodeSettled, encodeSettled, type OffsetRange } from './settled-offsets.ts';

const limitBytes = 2048;
const endless = 2n ** 62n;

function range(first: number, last: number): OffsetRange {
  return { first: BigInt(first), last: BigInt(last) };
}
/** What is read of what was written, where nothing happened to it. */
function passedOn(commitOffset: bigint, ranges: readonly OffsetRange[], limit = limitBytes): readonly OffsetRange[] | undefined {
  return decodeSettled(encodeSettled(commitOffset, ranges, limit), commitOffset, endless);
}
function randomOf(firstSeed: number): (below: number) => number {
  let seed = firstSeed;
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}
function randomRanges(random: (below: number) => number, commitOffset: bigint, count: number): OffsetRange[] {
  const length = (): bigint => 1n + BigInt(random(random(8) === 0 ? 2 ** 31 : 12)) ** (random(40) === 0 ? 2n : 1n) % 2n ** 52n;
  const ranges: OffsetRange[] = [];
  for (let from = commitOffset; ranges.length < count;) {
    const first = from + length();
    from = first + length();
    ranges.push({ first, last: from - 1n });
  }
  return ranges;
}

describe('settled offsets', () => {
  it.each([
    ['one record', 10n, [range(11, 11)]],
    ['thousands behind one slow one', 7n, [range(8, 5000)]],
    ['several', 0n, [range(1, 1), range(3, 9), range(200, 65_535)]],
    ['at great offsets', 2n ** 61n, [{ first: 2n ** 61n + 1n, last: 2n ** 61n + 3n }]],
    ['in a run as long as numbers count', 0n, [{ first: 1n, last: 2n ** 53n - 1n }]],
  ])('come back as they were: %s', (_case, commitOffset, ranges) => {
    expect(passedOn(commitOffset, ranges)).toEqual(ranges);
  });

  it('are no text where there are none', () => {
    expect(encodeSettled(5n, [], limitBytes)).toBeUndefined();
  });

  it('take a known form: it is read by later versions', () => {
    // Bits 1 010 00110 1 behind the check: runs of 1, 2, 6 and 1.
    const text = encodeSettled(40n, [range(41, 42), range(49, 49)], limitBytes)!;
    expect(text.slice(0, 1)).toBe('1');
    expect(Buffer.from(text.slice(1), 'base64url').subarray(4).toString('hex')).toBe('a340');
    expect(text).toBe('1CgiKD6NA');
  });

  it('are left out from the later ones on where they do not fit, and no more are asked for', () => {
    const ranges = Array.from({ length: 5000 }, (_, at) => range(1 + 20 * at, 10 + 20 * at));
    let asked = 0;
    function* counted(): Generator<OffsetRange> { for (const one of ranges) { asked++; yield one; } }
    const text = encodeSettled(0n, counted(), 100)!;
    expect(text.length).toBeLessThanOrEqual(100);
    const read = decodeSettled(text, 0n, endless)!;
    expect(read.length).toBeGreaterThan(30);
    expect(read).toEqual(ranges.slice(0, read.length));
    expect(asked).toBe(read.length + 1);
  });

  it('of a key that holds up every third record fit for nine thousand records', () => {
    const ranges = Array.from({ length: 3000 }, (_, at) => range(3 * at + 1, 3 * at + 2));
    expect(passedOn(0n, ranges)).toHaveLength(3000);
  });

  it.each([0, 1, 6, 7, 8])('are no text where %i characters are no room, or a very short one', (limit) => {
    const text = encodeSettled(0n, [range(1, 1), range(900, 1000)], limit);
    expect(text === undefined).toBe(limit < 8);
    if (text !== undefined) expect([text.length, decodeSettled(text, 0n, endless)]).toEqual([8, [range(1, 1)]]);
  });

  it('end with the log: what was settled beyond was lost since, and its offsets are given to others', () => {
    const text = encodeSettled(10n, [range(12, 14), range(20, 29)], limitBytes);
    expect(decodeSettled(text, 10n, 30n)).toEqual([range(12, 14), range(20, 29)]);
    expect(decodeSettled(text, 10n, 25n)).toEqual([range(12, 14), range(20, 24)]);
    expect(decodeSettled(text, 10n, 20n)).toEqual([range(12, 14)]);
    expect(decodeSettled(text, 10n, 11n)).toEqual([]);
  });

  it.each([
    ['none', undefined],
    ['an empty text', ''],
    ['a note of somebody else', 'checkpointed by nightly-job'],
    ['a number', '1'],
    ['digits', '1234567890123'],
    ['another version', encodeSettled(10n, [range(12, 14)], limitBytes)!.replace(/^1/, '2')],
    ['a check without runs', encodeSettled(10n, [range(12, 14)], limitBytes)!.slice(0, 7)],
    ['a text with something behind it', `${encodeSettled(10n, [range(12, 14)], limitBytes)!}=`],
    ['a text with spaces in it', encodeSettled(10n, [range(12, 14)], limitBytes)!.replace(/^1./, '$& ')],
  ])('are not read from what others wrote: %s', (_case, text) => {
    expect(decodeSettled(text, 10n, endless)).toBeUndefined();
  });

  it.each([9n, 11n, 0n, 10n + 2n ** 32n])('are not read for another offset: %i', (offset) => {
    const text = encodeSettled(10n, [range(12, 14)], limitBytes);
    expect(decodeSettled(text, 10n, endless)).toBeDefined();
    expect(decodeSettled(text, offset, endless)).toBeUndefined();
  });

  it.each(Array.from({ length: 40 }, (_, at) => at + 1))('come back as they were, in a text within its limit (seed %i)', (seed) => {
    const random = randomOf(seed);
    const commitOffset = BigInt(random(2 ** 31)) ** BigInt(1 + random(2)) % 2n ** 60n;
    const ranges = randomRanges(random, commitOffset, 1 + random(400));
    const limit = random(4) === 0 ? random(300) : 2048;
    const text = encodeSettled(commitOffset, ranges, limit);
    expect(text?.length ?? 0).toBeLessThanOrEqual(limit);
    expect(text ?? '').toMatch(/^[\w-]*$/);
    const read = decodeSettled(text, commitOffset, endless) ?? [];
    expect(read).toEqual(ranges.slice(0, read.length));
    if (read.length < ranges.length) expect((text?.length ?? 0) + 40).toBeGreaterThan(limit); // cut only where it is full
  });

  it.each(Array.from({ length: 20 }, (_, at) => at + 1))('are not read from a damaged text (seed %i)', (seed) => {
    const random = randomOf(seed);
    const commitOffset = BigInt(random(2 ** 31));
    const text = encodeSettled(commitOffset, randomRanges(random, commitOffset, 1 + random(30)), limitBytes)!;
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    for (let at = 0; at < text.length; at++) {
      const wrong = alphabet[(alphabet.indexOf(text[at]!) + 1 + random(63)) % 64]!;
      expect(decodeSettled(text.slice(0, at) + wrong + text.slice(at + 1), commitOffset, endless), `character ${at}`).toBeUndefined();
      expect(decodeSettled(text.slice(0, at), commitOffset, endless), `cut at ${at}`).toBeUndefined();
      expect(decodeSettled(text.slice(0, at) + text.slice(at + 1), commitOffset, endless), `without ${at}`).toBeUndefined();
    }
  });

  it('are not read from noise', () => {
    const random = randomOf(99);
    for (let round = 0; round < 500; round++) {
      const noise = Buffer.from(Array.from({ length: random(60) }, () => random(256)));
      expect(decodeSettled(`1${noise.toString('base64url')}`, 10n, endless)).toBeUndefined();
      expect(decodeSettled(noise.toString('latin1'), 10n, endless)).toBeUndefined();
    }
  });
});
