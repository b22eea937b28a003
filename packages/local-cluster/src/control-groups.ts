/**
 * The control group that holds all pods of one node: made before its kubelet starts, removed after its tree has ended.
 *
 * Nothing else of a node outlives its processes (isolation.ts), and even these are only empty folders of the kernel.
 * The name holds the process that answers for it, so that a later start finds what a killed one has left.
 *
 * Always true: only folders named by us are touched, and of those only what holds no process.
 */
import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const hierarchies = '/sys/fs/cgroup';
const prefix = 'knative-kafka-node-';
/** What a kubelet looks for in the group that it is given. */
const controllers = ['cpuset', 'cpu', 'memory', 'pids', 'hugetlb'];

/** @param owner id of the process that removes it, seen from outside the tree */
export function controlGroupName(owner: number): string {
  return `${prefix}${owner}`;
}

/** Makes the group in every hierarchy: version 2 has one, version 1 one for each controller. */
export async function createControlGroup(name: string): Promise<void> {
  for (const root of await roots()) {
    if (root === hierarchies) await enableControllers(root);
    await mkdir(join(root, name), { recursive: true });
    if (root === hierarchies) await enableControllers(join(root, name));
    if (root.endsWith('cpuset')) await copyCpuset(root, join(root, name));
  }
}

/** Removes the group, and those whose process is gone. */
export async function removeControlGroups(name?: string): Promise<void> {
  for (const root of await roots()) {
    for (const entry of await readdir(root).catch(() => [])) {
      if (!entry.startsWith(prefix)) continue;
      if (entry === name || !isAlive(Number(entry.slice(prefix.length)))) await removeTree(join(root, entry));
    }
  }
}

/** Where groups can be made. */
async function roots(): Promise<string[]> {
  const entries = await readdir(hierarchies, { withFileTypes: true });
  if (entries.some((entry) => entry.name === 'cgroup.controllers')) return [hierarchies];
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(hierarchies, entry.name));
}

/** One by one, because a single one that the kernel lacks would spoil them all. */
async function enableControllers(folder: string): Promise<void> {
  for (const controller of controllers) await writeFile(join(folder, 'cgroup.subtree_control'), `+${controller}`).catch(() => undefined);
}

/** In version 1 a new group may use no processor and no memory until it is told. */
async function copyCpuset(from: string, to: string): Promise<void> {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) await writeFile(join(to, file), await readFile(join(from, file)));
}

async function removeTree(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(folder, entry.name));
  await rmdir(folder).catch(() => undefined); // busy: a process in it is about to end, and the next start finds it
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
