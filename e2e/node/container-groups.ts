/**
 * Where the kernel accounts for a container of the node: its control groups, of either version.
 *
 * Always true: nothing is written here.
 */
import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const hierarchies = '/sys/fs/cgroup';

/** What a container has taken, as the kernel counts it. */
export interface ContainerUsage {
  /** What `kubectl top` shows and a limit is held against: all but what can be read from disk again and has not been used lately. */
  readonly workingSetBytes: number;
  /** Of it what is nobody else's and in no file: heaps and stacks. */
  readonly anonymousBytes: number;
  /** Since it began, user and system. */
  readonly cpuMs: number;
}

/** Files of a container's memory; what they hold is in bytes. */
export interface MemoryFiles {
  readonly held: string;
  readonly limit: string;
}

interface Groups {
  readonly memory: string;
  readonly cpu: string;
  readonly isUnified: boolean;
}

/**
 * @param controlGroup of the node
 * @param container    id of containerd
 * @throws Error when there is no such container
 */
export async function memoryFiles(controlGroup: string, container: string): Promise<MemoryFiles> {
  const { memory, isUnified } = await groupsOf(controlGroup, container);
  const [held, limit] = isUnified ? ['memory.current', 'memory.max'] : ['memory.usage_in_bytes', 'memory.limit_in_bytes'];
  return { held: join(memory, held), limit: join(memory, limit) };
}

/** With the same parameters. */
export async function containerUsage(controlGroup: string, container: string): Promise<ContainerUsage> {
  const { memory, cpu, isUnified } = await groupsOf(controlGroup, container);
  const numbers = async (file: string): Promise<ReadonlyMap<string, number>> => numbersOf(await readFile(file, 'utf8'));
  const stat = await numbers(join(memory, 'memory.stat'));
  // Of version 1 the counts with "total_" hold groups below as well, as those of version 2 do.
  const [heldFile, inactive, anonymous] = isUnified ? ['memory.current', 'inactive_file', 'anon'] : ['memory.usage_in_bytes', 'total_inactive_file', 'total_rss'];
  const held = Number(await readFile(join(memory, heldFile), 'utf8'));
  const cpuMs = isUnified ? ((await numbers(join(cpu, 'cpu.stat'))).get('usage_usec') ?? 0) / 1_000 : Number(await readFile(join(cpu, 'cpuacct.usage'), 'utf8')) / 1_000_000;
  return { workingSetBytes: held - (stat.get(inactive) ?? 0), anonymousBytes: stat.get(anonymous) ?? 0, cpuMs };
}

async function groupsOf(controlGroup: string, container: string): Promise<Groups> {
  const find = async (root: string): Promise<string | undefined> => {
    for await (const folder of glob(join(root, controlGroup, '**', container))) return folder;
    return undefined;
  };
  const unified = await find(hierarchies);
  if (unified !== undefined) return { memory: unified, cpu: unified, isUnified: true };
  const [memory, cpu] = await Promise.all([find(join(hierarchies, 'memory')), find(join(hierarchies, 'cpuacct'))]);
  if (memory === undefined || cpu === undefined) throw new Error(`no control group of container ${container} below ${controlGroup}`);
  return { memory, cpu, isUnified: false };
}

/** Lines of a name and a number. */
function numbersOf(text: string): ReadonlyMap<string, number> {
  return new Map(text.trim().split('\n').map((line) => [line.slice(0, line.indexOf(' ')), Number(line.slice(line.indexOf(' ') + 1))]));
}
