/**
 * The images that a node cannot do without, made here because no registry may be reachable: the pause process and the
 * DNS server, built from source by Go, and a base image with Node, of Debian's packages and the Node of node_modules.
 *
 * Always true: an archive in the cache (cache-folder.ts) is whole; a change of its sources or of Node's version makes
 * another one. What Debian's packages hold is as of the day on which the base was made.
 */
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createHash } from 'node:crypto';
import { cacheRoot, ensureFolder } from './cache-folder.ts';
import { debianRelease, leftOut, rootArchive, writeDebianRoot } from './debian-root.ts';
import { buildGoProgram, sourceHash } from './go-build.ts';
import type { ImageBuilder } from './image-builder.ts';
import { corednsImage, pauseImage } from './node-config.ts';

/** As the archive of `ensureBaseImage` names it: like the image that it stands in for. */
export const localBaseImage = 'localhost/local-cluster/node:24-bookworm-slim';

export interface NodeImagesOptions {
  readonly builder: ImageBuilder;
  /** Called with one line of text whenever there is something new to say. */
  readonly onProgress?: ((text: string) => void) | undefined;
}

interface GoImage {
  /** Of the module's folder, its program and its archive. */
  readonly name: string;
  /** What progress calls it. */
  readonly title: string;
  readonly image: string;
}

const goImages: readonly GoImage[] = [
  { name: 'pause', title: 'pause', image: pauseImage },
  { name: 'coredns', title: 'CoreDNS 1.13.1', image: corednsImage },
];

/**
 * The images of every node.
 *
 * @returns their archives, for `startNode`
 * @throws Error when Go is missing or too old (with how to get it) or something fails (with the last lines printed)
 */
export async function ensureNodeImages(options: NodeImagesOptions): Promise<string[]> {
  const archives: string[] = [];
  for (const image of goImages) archives.push(await ensureGoImage(image, options));
  return archives;
}

async function ensureGoImage({ name, title, image }: GoImage, { builder, onProgress }: NodeImagesOptions): Promise<string> {
  const module = fileURLToPath(new URL(`../${name}`, import.meta.url));
  const archive = `${name}.tar`;
  const fill = async (folder: string): Promise<void> => {
    const context = await mkdtemp(join(tmpdir(), 'knative-kafka-image-'));
    try {
      await buildGoProgram({ name: title, module, target: '.', output: join(context, name), variables: {}, onProgress });
      await writeFile(join(context, 'Dockerfile'), `FROM scratch\nCOPY ${name} /${name}\nENTRYPOINT ["/${name}"]\n`);
      await builder.build({ name: image, context, timestamp: 0 });
      await builder.save(image, join(folder, archive));
    } finally {
      await rm(context, { recursive: true, force: true });
    }
  };
  const folder = await ensureFolder({ folder: join(cacheRoot(), `${name}-${await sourceHash(module)}`), mark: archive, fill });
  return join(folder, archive);
}

/** Beyond the packages that Debian calls required: what Node links to, and whom TLS clients trust. */
const debianPackages = ['ca-certificates', 'libatomic1', 'libstdc++6'];

const dockerfile = `FROM scratch
ADD ${rootArchive} /
COPY --chmod=0755 node /usr/local/bin/node
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENTRYPOINT ["/usr/local/bin/node"]
`;

/**
 * A base image for machines that reach no registry; its user and entrypoint suit our Dockerfile.
 *
 * @returns its archive
 * @throws Error when debootstrap is missing or fails, with the last lines it printed
 */
export async function ensureBaseImage({ builder, onProgress }: NodeImagesOptions): Promise<string> {
  const node = await nodeProgram();
  const recipe = createHash('sha256').update(JSON.stringify([node.version, debianRelease, debianPackages, leftOut, dockerfile])).digest('hex');
  const archive = 'base.tar';
  const fill = async (folder: string): Promise<void> => {
    const context = await mkdtemp(join(tmpdir(), 'knative-kafka-base-'));
    try {
      onProgress?.('Base image: unpacking Debian packages');
      await writeDebianRoot(context, debianPackages);
      await copyFile(node.file, join(context, 'node'));
      await writeFile(join(context, 'Dockerfile'), dockerfile);
      await writeFile(join(context, '.dockerignore'), 'root\n');
      onProgress?.('Base image: building');
      await builder.build({ name: localBaseImage, context, timestamp: 0 });
      await builder.save(localBaseImage, join(folder, archive));
    } finally {
      await rm(context, { recursive: true, force: true });
    }
  };
  const folder = await ensureFolder({ folder: join(cacheRoot(), `node-base-${node.version}-${recipe.slice(0, 12)}`), mark: archive, fill });
  return join(folder, archive);
}

/** Node as npm has installed it for this processor. */
async function nodeProgram(): Promise<{ readonly file: string; readonly version: string }> {
  const name = `node-linux-${process.arch}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string };
    return { file: join(dirname(manifest), 'bin', 'node'), version };
  } catch (error) {
    throw new Error(`the npm package ${name} is not installed: npm ci brings it on Linux`, { cause: error });
  }
}
