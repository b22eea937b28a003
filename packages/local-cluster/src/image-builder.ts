/**
 * What builds container images on this machine: a Docker engine where one answers, or else buildah, which needs no
 * engine, no registry and no rights but root's.
 *
 * Always true: an image that is built again from the same files, with the same arguments and base, is the same to the
 * bit with buildah; a store that was made for the builder goes with it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand, type CommandResult } from './run-command.ts';
import { removeDataAtExit } from './temporary-data.ts';
import { lastLines } from './text-lines.ts';

export interface ImageBuild {
  /** `repository:tag`. */
  readonly name: string;
  /** Folder that COPY reads from. */
  readonly context: string;
  /** The Dockerfile; `Dockerfile` of the context when left out. */
  readonly file?: string;
  /** A stage of it; the last one when left out. */
  readonly target?: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** In seconds since 1970: what every file and the image itself are dated. */
  readonly timestamp: number;
}

export interface ImageBuilder {
  readonly program: 'docker' | 'buildah';
  /** @throws Error with the last lines the program printed */
  build(wanted: ImageBuild): Promise<void>;
  /**
   * Brings an image from its registry.
   *
   * @returns undefined, or why it cannot be had, in the program's words
   */
  pull(image: string): Promise<string | undefined>;
  /** Takes the images of an archive of `docker save`. */
  load(archive: string): Promise<void>;
  /** Writes an image as `docker save` does; a file that is there is replaced. */
  save(name: string, archive: string): Promise<void>;
  /** Sends an image to the registry that `target` names, with whatever credentials the program keeps for it. */
  push(name: string, target: string): Promise<void>;
  /** Digest of an image's configuration, which names each layer by what is in it: equal for equal images. */
  imageId(name: string): Promise<string>;
  close(): Promise<void>;
}

const pullTimeoutMs = 120_000;

/** @throws Error in a sentence for people when neither program will do */
export async function createImageBuilder(): Promise<ImageBuilder> {
  if (await hasDockerEngine()) return dockerBuilder();
  const buildah = await runCommand('buildah', ['--version']).catch(() => undefined);
  if (buildah === undefined) throw new Error('images need a Docker engine that runs, or buildah (Debian and Ubuntu: apt install buildah)');
  if (process.getuid?.() !== 0) throw new Error('no Docker engine answers, and buildah can only be used by root here');
  return buildahBuilder();
}

async function hasDockerEngine(): Promise<boolean> {
  const answer = await runCommand('docker', ['info', '--format', '{{.ServerVersion}}'], { timeoutMs: 15_000 }).catch(() => undefined);
  return answer?.code === 0 && answer.stdout.trim() !== '';
}

function dockerBuilder(): ImageBuilder {
  const docker = async (args: readonly string[], env = {}): Promise<string> => checked('docker', args, await runCommand('docker', args, { env }));
  return {
    program: 'docker',
    build: async (wanted) => {
      const epoch = String(wanted.timestamp);
      await docker(['build', '--quiet', ...buildFlags({ ...wanted, buildArgs: { ...wanted.buildArgs, SOURCE_DATE_EPOCH: epoch } })], {
        DOCKER_BUILDKIT: '1', // which knows COPY --chmod
        SOURCE_DATE_EPOCH: epoch,
      });
    },
    pull: async (image) => failure(await runCommand('docker', ['pull', '--quiet', image], { timeoutMs: pullTimeoutMs })),
    load: async (archive) => {
      await docker(['load', '--quiet', '--input', archive]);
    },
    save: async (name, archive) => {
      await docker(['save', '--output', archive, name]);
    },
    push: async (name, target) => {
      await docker(['tag', name, target]);
      await docker(['push', '--quiet', target]);
    },
    imageId: async (name) => (await docker(['image', 'inspect', '--format', '{{.Id}}', name])).trim(),
    close: () => Promise.resolve(),
  };
}

/** With a store of its own, on which no other program waits and which nobody has to clean up. */
async function buildahBuilder(): Promise<ImageBuilder> {
  const store = await mkdtemp(join(tmpdir(), 'knative-kafka-images-'));
  const removeStore = removeDataAtExit(store, [join(store, 'root'), join(store, 'run')]);
  const run = (args: readonly string[], timeoutMs?: number): Promise<CommandResult> =>
    runCommand(
      'buildah',
      // vfs copies every layer, which costs time and space, but works on any file system.
      ['--storage-driver', 'vfs', '--root', join(store, 'root'), '--runroot', join(store, 'run'), ...args],
      timeoutMs === undefined ? {} : { timeoutMs },
    );
  const buildah = async (args: readonly string[]): Promise<string> => checked('buildah', args, await run(args));
  return {
    program: 'buildah',
    build: async (wanted) => {
      const flags = ['--isolation', 'chroot', '--pull-never', '--layers=false', '--timestamp', String(wanted.timestamp)];
      await buildah(['bud', '--quiet', ...flags, ...buildFlags(wanted)]);
    },
    pull: async (image) => failure(await run(['pull', '--quiet', image], pullTimeoutMs)),
    load: async (archive) => {
      await buildah(['pull', '--quiet', `docker-archive:${archive}`]);
    },
    save: async (name, archive) => {
      await rm(archive, { force: true });
      await buildah(['push', '--quiet', name, `docker-archive:${archive}:${name}`]);
    },
    push: async (name, target) => {
      await buildah(['push', '--quiet', name, `docker://${target}`]);
    },
    imageId: async (name) => (await buildah(['inspect', '--type', 'image', '--format', '{{.FromImageID}}', name])).trim(),
    close: removeStore,
  };
}

function buildFlags({ name, context, file, target, buildArgs = {}, labels = {} }: ImageBuild): string[] {
  const repeated = (flag: string, entries: Readonly<Record<string, string>>): string[] =>
    Object.entries(entries).flatMap(([key, value]) => [flag, `${key}=${value}`]);
  return [
    '--tag',
    name,
    ...(file === undefined ? [] : ['--file', file]),
    ...(target === undefined ? [] : ['--target', target]),
    ...repeated('--build-arg', buildArgs),
    ...repeated('--label', labels),
    context,
  ];
}

/** @throws Error with the last lines the program printed */
function checked(program: string, args: readonly string[], result: CommandResult): string {
  const why = failure(result);
  if (why !== undefined) throw new Error(`${program} ${args.find((arg) => /^[a-z]/.test(arg)) ?? ''} failed: ${why}`);
  return result.stdout;
}

function failure({ code, signal, stderr }: CommandResult): string | undefined {
  if (code === 0) return undefined;
  return signal === null ? lastLines(stderr, 5) : 'no answer in time';
}
