/**
 * What has settled beyond the commit offset, as text that is committed beside it.
 *
 * One slow record holds the commit offset back while thousands after it are delivered. Were these forgotten with the
 * process, all of them would be delivered again. So a commit carries them, and whoever has the partition next passes
 * over them. Room is scarce: what does not fit is left out, later offsets first.
 *
 * The text: a version, then in base64url four bytes of check and a row of bits. The bits are run lengths from the commit
 * offset on: unsettled, settled, unsettled, settled. Each is an Elias gamma code (as many zeros as the binary number has
 * digits after its first, then the number): one bit for a run of one, 13 for one of a hundred. A slow key leaves short
 * runs by the thousand, of which whole bytes would hold a third.
 *
 * Always true: a text names an offset as settled only for the commit offset it was made for, and only as it was made.
 * Anything else is nobody's: the check covers version, commit offset and bits. Nor does it name one at which the log had
 * no record when reading began. To read less costs duplicates, to read more would lose events.
 */

/** Both ends belong to it. */
export interface OffsetRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** Changes with the meaning of what follows: an older reader then ignores it. */
const version = '1';
const checkBytes = 4;

/**
 * @param commitOffset the oldest record that is unsettled
 * @param ranges       settled, beyond the commit offset, rising, none touching another; read no further than fits
 * @param limitBytes   the most characters of the text, all of which are ASCII
 * @returns            undefined where there are none, or none fits
 */
export function encodeSettled(commitOffset: bigint, ranges: Iterable<OffsetRange>, limitBytes: number): string | undefined {
  const roomBytes = Math.floor(((limitBytes - version.length) * 3) / 4) - checkBytes; // 3 bytes are 4 characters
  const bits = new BitWriter(Math.max(0, roomBytes));
  let from = commitOffset;
  for (const { first, last } of ranges) {
    const unsettled = Number(first - from);
    const settled = Number(last - first) + 1;
    if (!isRun(unsettled) || !isRun(settled) || gammaBits(unsettled) + gammaBits(settled) > bits.free) break;
    bits.writeGamma(unsettled);
    bits.writeGamma(settled);
    from = last + 1n;
  }
  const runs = bits.bytes();
  if (runs.length === 0) return undefined;
  const check = Buffer.alloc(checkBytes);
  check.writeUInt32BE(checkOf(commitOffset, runs));
  return version + Buffer.concat([check, runs]).toString('base64url');
}

/**
 * @param text         what was committed beside the offset, by anybody
 * @param commitOffset the offset that reading begins at
 * @param logEnd       the offset of the next record to be stored. What was settled beyond it was lost since (an unclean
 *                     leader election, a topic made anew), and its offsets are given to other records
 * @returns            rising, none touching another; undefined for what `encodeSettled` did not make for this very offset
 */
export function decodeSettled(text: string | undefined, commitOffset: bigint, logEnd: bigint): readonly OffsetRange[] | undefined {
  if (text?.startsWith(version) !== true) return undefined;
  const coded = text.slice(version.length);
  const bytes = Buffer.from(coded, 'base64url');
  if (bytes.length <= checkBytes || bytes.toString('base64url') !== coded) return undefined; // the decoder skips what is foreign
  const runs = bytes.subarray(checkBytes);
  if (bytes.readUInt32BE() !== checkOf(commitOffset, runs)) return undefined;
  const bits = new BitReader(runs);
  const ranges: OffsetRange[] = [];
  let from = commitOffset;
  for (let unsettled = bits.readGamma(); unsettled !== undefined; unsettled = bits.readGamma()) {
    const settled = bits.readGamma();
    if (settled === undefined) return undefined;
    const first = from + BigInt(unsettled);
    from = first + BigInt(settled);
    if (first >= logEnd) break;
    ranges.push({ first, last: (from < logEnd ? from : logEnd) - 1n });
  }
  return ranges;
}

/** Binary digits after the first that a number counts exactly. */
const longestRunDigits = 52;

/** A longer run is left out like one that does not fit. */
function isRun(length: number): boolean {
  return length >= 1 && Number.isSafeInteger(length);
}

/** FNV-1a of 32 bits over version, commit offset and runs: a single wrong byte always shows. */
function checkOf(commitOffset: bigint, runs: Uint8Array): number {
  const head = Buffer.alloc(9);
  head.write(version, 'latin1');
  head.writeBigInt64BE(commitOffset, 1);
  let hash = 0x811c9dc5;
  for (const byte of head) hash = Math.imul(hash ^ byte, 0x01000193);
  for (const byte of runs) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Binary digits of a run length after its first. */
function furtherDigits(run: number): number {
  if (run < 2 ** 31) return 31 - Math.clz32(run);
  let digits = 31;
  while (2 ** (digits + 1) <= run) digits++;
  return digits;
}

function gammaBits(run: number): number {
  return 2 * furtherDigits(run) + 1;
}

class BitWriter {
  readonly #bytes: Uint8Array;
  #length = 0;

  constructor(capacityBytes: number) {
    this.#bytes = new Uint8Array(capacityBytes);
  }

  get free(): number {
    return this.#bytes.length * 8 - this.#length;
  }

  writeGamma(run: number): void {
    const digits = furtherDigits(run);
    this.#length += digits; // zeros are there already
    for (let digit = digits; digit >= 0; digit--) {
      if (Math.floor(run / 2 ** digit) % 2 === 1) this.#bytes[this.#length >> 3]! |= 0x80 >> (this.#length & 7);
      this.#length++;
    }
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, Math.ceil(this.#length / 8));
  }
}

class BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** @returns undefined when only the zeros that fill the last byte are left, or for what the writer does not write */
  readGamma(): number | undefined {
    let digits = 0;
    for (let bit = this.#bit(); bit !== 1; bit = this.#bit()) {
      if (bit === undefined || ++digits > longestRunDigits) return undefined;
    }
    let run = 1;
    for (; digits > 0; digits--) {
      const bit = this.#bit();
      if (bit === undefined) return undefined;
      run = run * 2 + bit;
    }
    return run;
  }

  #bit(): number | undefined {
    const byte = this.#bytes[this.#at >> 3];
    return byte === undefined ? undefined : (byte >> (7 - (this.#at++ & 7))) & 1;
  }
}
