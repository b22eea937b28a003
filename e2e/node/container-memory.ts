/**
 * A container that runs out of memory, in the kernel's own judgement: its limit is lowered, step by step, below what it holds.
 * First the kernel takes back what can be read from disk again; then the next page that is asked for is one too many.
 *
 * Control groups of version 2 end a container on the step that goes too far. Those of version 1 refuse that step; there the
 * limit becomes what is held, and the container ends when it asks for more, which a program under load soon does.
 *
 * Always true: only this container's limit is touched, never its processes, and the limit goes with the container: the
 * next one of its pod has what the pod's spec says.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { memoryFiles } from './container-groups.ts';

/** Of each step, and the time between two: a container of 100 MiB is at its end within seconds. */
const stepBytes = 2 * 2 ** 20;
const everyMs = 50;
/** A limit for failing. */
const patienceMs = 60_000;

/**
 * Resolves when the container is gone.
 *
 * @param controlGroup of the node
 * @param container    id of containerd
 * @throws Error when there is no such container, or when it lives on
 */
export async function exhaustMemory(controlGroup: string, container: string): Promise<void> {
  const { held, limit } = await memoryFiles(controlGroup, container);
  for (const endAt = performance.now() + patienceMs; performance.now() < endAt; await delay(everyMs)) {
    const bytes = await readFile(held, 'utf8').catch(() => undefined);
    if (bytes === undefined) return; // the group goes with its last process
    const isLower = await isTaken(limit, Number(bytes) - stepBytes);
    if (!isLower) await isTaken(limit, Number(bytes)); // nothing is left to take back
  }
  throw new Error(`container ${container} lives on at a limit of ${(await readFile(limit, 'utf8')).trim()} bytes`);
}

/** @returns whether the kernel has taken the limit */
async function isTaken(file: string, bytes: number): Promise<boolean> {
  return writeFile(file, String(Math.max(0, bytes))).then(() => true, () => false);
}
