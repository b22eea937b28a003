/**
 * Resources from a folder of Kubernetes manifests.
 *
 * Changes are found in two ways: the system's notifications make them take effect at once, and a look at the folder
 * every few seconds finds what notifications miss (a file behind a symlink, a folder that was replaced, a network file
 * system). What changes mean is decided in core/resources/manifest-folder.ts.
 *
 * Always true: one reading at a time; listeners are called only with a state that differs from the one before; losing
 * the folder loses no resource.
 */
import type { FSWatcher } from 'node:fs';
import { watch } from 'node:fs';
import { lstat, readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, describeError } from '../../core/fault.ts';
import type { ManifestProblem } from '../../core/manifests.ts';
import { maxFileBytes } from '../../core/manifests.ts';
import type { Secret } from '../../core/resources/core-objects.ts';
import type { FolderFile, FolderState } from '../../core/resources/manifest-folder.ts';
import { emptyFolder, nextFolderState } from '../../core/resources/manifest-folder.ts';
import type { ResourceName } from '../../core/resources/metadata.ts';
import type { Resources } from '../../core/resources/resources.ts';
import type { ResourceSource } from './port.ts';

export interface FolderOptions {
  readonly dir: string;
  /** URL that takes the events of a KafkaChannel, for Destinations that refer to one. */
  readonly channelUrl: (channel: ResourceName) => string;
  /** For Destinations that refer to a Service. */
  readonly clusterDomain?: string;
  /** Called once for every problem when it appears, also for those of the first reading. Must not throw. */
  readonly onProblem?: (problem: ManifestProblem) => void;
  /** How long the folder must be quiet before it is read: an editor makes several changes of one. */
  readonly debounceMs?: number;
  /** How often to look for changes that no notification told of. */
  readonly rescanMs?: number;
}

/** While changes keep coming the folder is read at least this often. */
const maxDebounceMs = 500;

/**
 * Reads a folder of manifests and keeps watching it.
 *
 * Every `*.yaml`, `*.yml` and `*.json` in the folder itself counts; hidden files do not, which leaves out what editors
 * and mounted ConfigMaps keep beside the real ones. Symlinks are followed.
 * By itself it keeps no process running.
 *
 * @returns after the first reading, in sync
 * @throws Fault MANIFEST_INVALID when the folder is not there or cannot be read; mistakes in its files are problems
 */
export async function openFolder(options: FolderOptions): Promise<ResourceSource> {
  const folder = new ManifestFolder(options);
  try {
    await folder.start();
  } catch (cause) {
    const message = `cannot read the folder of manifests ${options.dir}: ${describeError(cause)}`;
    throw new Fault('MANIFEST_INVALID', `${message}; create it, or name another one`, { retriable: false, cause });
  }
  return folder;
}

class ManifestFolder implements ResourceSource {
  readonly #options: FolderOptions;
  readonly #debounceMs: number;
  readonly #listeners = new Set<(resources: Resources) => void>();
  #state: FolderState = emptyFolder;
  /** What listeners know: the last reading, with the folder's own problem if it could not be read since. */
  #resources: Resources = emptyFolder.resources;
  #serialized = JSON.stringify(emptyFolder.resources);
  #known = new Set<string>();
  /** Of the last reading, taken before it, so that a change during the reading is seen by the next look. */
  #fingerprint = '';
  #watcher: FSWatcher | undefined;
  #watched = '';
  #rescan: NodeJS.Timeout | undefined;
  #debounce: NodeJS.Timeout | undefined;
  #unreadSinceMs: number | undefined;
  #reading: Promise<void> | undefined;
  /** Something changed while the reading in progress may have been past it. */
  #isReadAgain = false;
  #isClosed = false;

  constructor(options: FolderOptions) {
    this.#options = options;
    this.#debounceMs = options.debounceMs ?? 50;
  }

  /** Rejects with what the system says when the folder cannot be read. */
  async start(): Promise<void> {
    try {
      await this.#keepWatching();
      this.#tell((await this.#readFolder()).resources);
    } catch (error) {
      this.#unwatch();
      throw error;
    }
    this.#rescan = setInterval(() => void this.#look(), this.#options.rescanMs ?? 2000);
    this.#rescan.unref();
  }

  snapshot(): Resources {
    return this.#resources;
  }

  onChange(listener: (resources: Resources) => void): () => void {
    // The same function may listen twice and must then be ended twice.
    const own = (resources: Resources): void => listener(resources);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  isSynced(): boolean {
    return true;
  }

  readSecret({ namespace, name }: ResourceName): Promise<Secret | undefined> {
    return Promise.resolve(this.#resources.secrets.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#listeners.clear();
    clearInterval(this.#rescan);
    clearTimeout(this.#debounce);
    this.#unwatch();
    await this.#reading;
  }

  /** Notes a change: the folder is read once it has been quiet for a moment. */
  #changed(): void {
    if (this.#isClosed) return;
    const nowMs = performance.now();
    this.#unreadSinceMs ??= nowMs;
    const waitMs = Math.min(this.#debounceMs, this.#unreadSinceMs + maxDebounceMs - nowMs);
    clearTimeout(this.#debounce);
    this.#debounce = setTimeout(() => this.#readSoon(), Math.max(0, waitMs));
  }

  /** Reads now, or once the reading in progress is done. */
  #readSoon(): void {
    if (this.#isClosed) return;
    if (this.#reading !== undefined) {
      this.#isReadAgain = true;
      return;
    }
    this.#isReadAgain = false;
    this.#unreadSinceMs = undefined;
    this.#reading = this.#read().finally(() => {
      this.#reading = undefined;
      if (this.#isReadAgain) this.#readSoon();
    });
  }

  async #read(): Promise<void> {
    try {
      await this.#keepWatching();
      const state = await this.#readFolder();
      if (!this.#isClosed) this.#tell(state.resources);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.#unwatch();
      this.#fingerprint = '';
      if (!this.#isClosed) this.#tellLoss(error);
    }
  }

  /** The slow look: has anything changed that no notification told of? */
  async #look(): Promise<void> {
    if (this.#reading !== undefined || this.#unreadSinceMs !== undefined) return;
    try {
      const isWatched = this.#watcher !== undefined && this.#watched === (await identity(this.#options.dir));
      if (isWatched && (await this.#findFiles()).fingerprint === this.#fingerprint) return;
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
    this.#changed();
  }

  /** Sees to it that notifications come from the folder that is there now: it may be another one of the same name. */
  async #keepWatching(): Promise<void> {
    const { dir } = this.#options;
    const now = await identity(dir);
    if ((this.#watcher !== undefined && this.#watched === now) || this.#isClosed) return;
    this.#unwatch();
    try {
      const watcher = watch(dir, { persistent: false }, () => this.#changed());
      // Where the system gives up notifying, the slow look remains.
      watcher.on('error', () => {
        if (this.#watcher === watcher) this.#unwatch();
      });
      this.#watcher = watcher;
      this.#watched = now;
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  async #readFolder(): Promise<FolderState> {
    const { names, fingerprint } = await this.#findFiles();
    const files: FolderFile[] = [];
    for (const name of names) {
      const file = await readManifestFile(this.#options.dir, name);
      if (file !== undefined) files.push(file);
    }
    this.#fingerprint = fingerprint;
    this.#state = nextFolderState(this.#state, files, {
      channelUrl: this.#options.channelUrl,
      clusterDomain: this.#options.clusterDomain ?? 'cluster.local',
    });
    return this.#state;
  }

  async #findFiles(): Promise<{ names: readonly string[]; fingerprint: string }> {
    const { dir } = this.#options;
    const names = (await readdir(dir)).filter((name) => /^[^.].*\.(?:ya?ml|json)$/i.test(name)).sort();
    const prints: string[] = [];
    for (const name of names) prints.push(`${name} ${await fileFingerprint(join(dir, name))}`);
    return { names, fingerprint: prints.join('\n') };
  }

  #tellLoss(error: Error): void {
    const message = `the folder cannot be read (${error.message}); what was read before stays in force`;
    const problem: ManifestProblem = { level: 'error', file: this.#options.dir, document: 0, line: 0, message };
    this.#tell({ ...this.#state.resources, problems: [problem, ...this.#state.resources.problems] });
  }

  #tell(resources: Resources): void {
    const serialized = JSON.stringify(resources);
    if (serialized === this.#serialized) return;
    this.#serialized = serialized;
    this.#resources = resources;
    const known = this.#known;
    this.#known = new Set(resources.problems.map((problem) => JSON.stringify(problem)));
    for (const problem of resources.problems) {
      if (!known.has(JSON.stringify(problem))) this.#options.onProblem?.(problem);
    }
    for (const listener of [...this.#listeners]) listener(resources);
  }
}

/** undefined if it is gone by now, or is no file. */
async function readManifestFile(dir: string, name: string): Promise<FolderFile | undefined> {
  const path = join(dir, name);
  try {
    const found = await stat(path);
    // Opening a pipe of that name would wait for a writer.
    if (!found.isFile()) return undefined;
    const { size } = found;
    if (size > maxFileBytes) return { name, unreadable: `has ${size} bytes, at most ${maxFileBytes} are read` };
    return { name, text: new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path)) };
  } catch (error) {
    if (error instanceof TypeError) return { name, unreadable: 'is not UTF-8 text' };
    if (!isSystemError(error)) throw error;
    if (error.code === 'ENOENT' && !(await isSymlink(path))) return undefined;
    return { name, unreadable: `cannot be read: ${error.message}` };
  }
}

async function isSymlink(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}

/** Differs when the file behind the name is another one or was written to. */
async function fileFingerprint(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return error.code ?? 'unreadable';
  }
}

/** Which folder it is, whatever its name. */
async function identity(dir: string): Promise<string> {
  const found = await stat(dir, { bigint: true });
  return [found.dev, found.ino, found.birthtimeNs].join(' ');
}

/** An error of the operating system, as opposed to a bug. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}
