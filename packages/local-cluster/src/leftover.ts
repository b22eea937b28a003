/**
 * Finds the JVM of an earlier run that still sits on a data folder, and ends it.
 *
 * Such a JVM is rare, since children end with their parent (guarded-process.ts), but one that is left holds the
 * folder's lock and every later start would fail. Beside each broker's data lies a file with the JVM's pid and ours.
 *
 * Always true: only a process whose command line names the data folder is touched, so a pid that was given to another
 * program since is safe; a JVM whose parent still lives is not left over but in use. Without /proc (macOS) nothing is
 * ended, and Kafka's own lock on the folder speaks up instead.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from './child-process.ts';

/** A clean end spares the next start the check of every open segment. */
const cleanEndMs = 15_000;

function ownerFile(folder: string): string {
  return join(folder, 'jvm.pid');
}

/** Notes that this process runs the JVM `pid` on `folder`. */
export async function writeOwnerFile(folder: string, pid: number): Promise<void> {
  await writeFile(ownerFile(folder), `${pid} ${process.pid}\n`);
}

export async function removeOwnerFile(folder: string): Promise<void> {
  await rm(ownerFile(folder), { force: true });
}

/**
 * Ends the JVM that works on `folder` and has lost its parent, if there is one.
 *
 * @throws Error when the JVM's parent still lives: another run is using the folder
 */
export async function endLeftover(folder: string): Promise<void> {
  const [pid, ownerPid] = await readNumbers(ownerFile(folder));
  if (pid === undefined || !(await worksOn(pid, folder))) return;
  if (ownerPid !== undefined && (await parentOf(pid)) === ownerPid) {
    throw new Error(`${folder} is in use by process ${ownerPid}: stop that one first, or use another folder`);
  }
  const hasEnded = async () => !(await worksOn(pid, folder));
  signal(pid, 'SIGTERM');
  signal(pid, 'SIGCONT');
  try {
    await waitFor(`the Kafka of an earlier run (process ${pid}) to stop`, hasEnded, { timeoutMs: cleanEndMs });
  } catch {
    signal(pid, 'SIGKILL');
    await waitFor(`the Kafka of an earlier run (process ${pid}) to end`, hasEnded, { timeoutMs: cleanEndMs });
  }
  await removeOwnerFile(folder);
}

async function readNumbers(file: string): Promise<number[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split(/\s+/).map(Number).filter((number) => Number.isInteger(number) && number > 1);
}

async function worksOn(pid: number, folder: string): Promise<boolean> {
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return commandLine.includes(join(folder, 'server.properties'));
}

/** An orphan is handed to another parent, so a parent that is still the owner has lived all along. */
async function parentOf(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const parent = /^PPid:\s+(\d+)/m.exec(status)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself in the meantime.
  }
}
