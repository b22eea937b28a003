/**
 * Packages of Debian, unpacked and configured, as the one layer of an image that needs no other.
 *
 * What it holds is as of the day on which it was made.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from './run-command.ts';
import { lastLines } from './text-lines.ts';

export const debianRelease = 'bookworm';
/** What a running program never reads; copyright files stay, as their licences ask. */
export const leftOut: readonly string[] = ['./dev/*', './proc/*', './sys/*', './tmp/*', './run/*', './var/cache/*', './var/log/*', './var/lib/apt/lists/*', './usr/share/man/*', './usr/share/info/*', './usr/share/locale/*', './usr/share/doc/*/*.gz'];

/** In the folder that writeDebianRoot was given. */
export const rootArchive = 'rootfs.tar';

/**
 * Writes `rootfs.tar` into the folder, and leaves beside it what it was made of, in `root`.
 *
 * @param packages beyond those that Debian calls required
 * @throws Error when debootstrap is missing or fails, with the last lines it printed
 */
export async function writeDebianRoot(folder: string, packages: readonly string[]): Promise<void> {
  const root = join(folder, 'root');
  await mkdir(root, { recursive: true });
  const mirror = await debianMirror();
  await run('debootstrap', ['--variant=minbase', `--include=${packages.join(',')}`, debianRelease, root, ...(mirror === undefined ? [] : [mirror])]);
  const exclusions = leftOut.map((pattern) => `--exclude=${pattern}`);
  await run('tar', ['--directory', root, '--sort=name', ...exclusions, '--create', '--file', join(folder, rootArchive), '.']);
}

/** Where this machine gets its own packages of that release, or undefined: debootstrap then knows a place itself. */
async function debianMirror(): Promise<string | undefined> {
  const targets = await runCommand('apt-get', ['indextargets', '--format', '$(CODENAME) $(REPO_URI)', 'Created-By: Packages']).catch(() => undefined);
  const line = targets?.stdout.split('\n').find((text) => text.startsWith(`${debianRelease} `));
  return line?.split(' ')[1];
}

async function run(command: string, args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await runCommand(command, args);
  if (code !== 0) throw new Error(`${command} failed:\n${lastLines(stdout + stderr, 5)}`);
}
