/**
 * The checksum of record batches. Native where @node-rs/crc32, which @platformatic/kafka brings along where it can, is
 * there for this machine, in node_modules or, for a bundle, as a file beside it; else the library's own, which takes three
 * times as long.
 */
import { createRequire } from 'node:module';
import { crc32c as libraryCrc32c } from '@platformatic/kafka';
import type { Crc32c } from '../../core/record-batch.ts';

type NativeCrc32c = (bytes: Buffer, before?: number) => number;

export const crc32c: Crc32c = nativeCrc32c() ?? portableCrc32c;

/** @returns undefined where there is none for this machine */
export function nativeCrc32c(): Crc32c | undefined {
  // scripts/bundle.mjs puts the file there under the name that its package gives it.
  const native = load(`./crc32.${process.platform}-${process.arch}-gnu.node`) ?? load('@node-rs/crc32');
  if (native === undefined) return undefined;
  return (pieces) => {
    let sum = 0;
    for (const piece of pieces) sum = native(piece, sum);
    return sum;
  };
}

/** @returns undefined where it is not there, or not for this machine: another processor, another C library */
function load(name: string): NativeCrc32c | undefined {
  try {
    return (createRequire(import.meta.url)(name) as { readonly crc32c: NativeCrc32c }).crc32c;
  } catch {
    return undefined;
  }
}

/** It knows of no pieces, so that several are copied first. */
export function portableCrc32c(pieces: readonly Buffer[]): number {
  return libraryCrc32c(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces));
}
