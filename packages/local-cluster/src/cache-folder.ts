/**
 * What takes long to bring or to build, made once per user and kept in a cache folder for every later run.
 *
 * It is made in a folder beside the final one, which is renamed when it is whole.
 *
 * Always true: the final folder either does not exist or is whole. Runs side by side may both make it; the first rename
 * wins and the others use its folder.
 */
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** A leftover of an aborted run is removed at this age; a younger one may belong to a run that is still busy. */
const abandonedAfterMs = 60 * 60 * 1000;

/** The folder all caches are in: `KNATIVE_KAFKA_CACHE`, or `.cache/knative-kafka` of the home folder. */
export function cacheRoot(): string {
  return process.env.KNATIVE_KAFKA_CACHE || join(homedir(), '.cache', 'knative-kafka');
}

export interface CachedFolder {
  /** The final folder, its name ending in what it holds and its version. */
  readonly folder: string;
  /** A file that is in it when it is whole. */
  readonly mark: string;
  /** Fills the folder it is given. */
  readonly fill: (folder: string) => Promise<void>;
}

/** Whether `ensureFolder` would return at once. */
export async function isCached({ folder, mark }: Pick<CachedFolder, 'folder' | 'mark'>): Promise<boolean> {
  return stat(join(folder, mark)).then(() => true, () => false);
}

const inProgress = new Map<string, Promise<string>>();

/**
 * Makes sure the folder is there. Calls at the same time in one process share one `fill`.
 *
 * @returns the folder
 * @throws whatever `fill` throws; nothing half is left then
 */
export async function ensureFolder(wanted: CachedFolder): Promise<string> {
  if (await isCached(wanted)) return wanted.folder;
  const { folder } = wanted;
  const running = inProgress.get(folder) ?? make(wanted).finally(() => inProgress.delete(folder));
  inProgress.set(folder, running);
  return running;
}

async function make(wanted: CachedFolder): Promise<string> {
  const { folder, fill } = wanted;
  const parent = dirname(folder);
  const prefix = `${basename(folder)}.partial-`;
  await mkdir(parent, { recursive: true });
  await removeAbandoned(parent, prefix);
  const partial = await mkdtemp(join(parent, prefix));
  try {
    await fill(partial);
    await moveIntoPlace(partial, wanted);
    return folder;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** Renames, and takes it as done when another run was faster. */
async function moveIntoPlace(partial: string, wanted: CachedFolder): Promise<void> {
  try {
    await rename(partial, wanted.folder);
  } catch (error) {
    if (!(await isCached(wanted))) throw error;
  }
}

async function removeAbandoned(parent: string, prefix: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix)) continue;
    const path = join(parent, name);
    const changed = await stat(path).then((found) => found.mtimeMs, () => undefined);
    if (changed !== undefined && Date.now() - changed > abandonedAfterMs) await rm(path, { recursive: true, force: true });
  }
}
