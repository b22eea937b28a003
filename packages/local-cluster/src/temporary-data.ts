/**
 * Data of tests, which must be gone afterwards, whatever ends the process.
 *
 * Always true: only the paths named are removed, and the folder around them only when that leaves it empty.
 */
import { rmdirSync, rmSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';

/**
 * Promises that data of a test is removed, at the latest when this process exits.
 *
 * @param folder holds the paths, and may hold something of the caller's
 * @returns removes it now; again is harmless
 */
export function removeDataAtExit(folder: string, paths: readonly string[]): () => Promise<void> {
  const atExit = () => {
    for (const path of paths) rmSync(path, { recursive: true, force: true, maxRetries: 5 });
    try {
      rmdirSync(folder);
    } catch {
      // It holds something of the caller's.
    }
  };
  process.once('exit', atExit);
  return async () => {
    process.off('exit', atExit);
    for (const path of paths) await rm(path, { recursive: true, force: true, maxRetries: 5 });
    await rmdir(folder).catch(() => undefined);
  };
}
