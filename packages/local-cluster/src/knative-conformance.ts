/**
 * Knative's own conformance tests of channels as programs, and the images that their pods run, all from the sources of
 * its release by way of the module beside this folder.
 *
 * Always true: tests and images are of the release that go.mod names. One image is none of Knative's: before a receiver
 * counts as ready its tests run curl in a pod, from an image which no registry may be there for, so that one of Debian's
 * packages stands in for it, under the same name.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheRoot, ensureFolder } from './cache-folder.ts';
import { rootArchive, writeDebianRoot } from './debian-root.ts';
import { buildGoProgram, sourceHash } from './go-build.ts';
import type { ImageBuilder } from './image-builder.ts';
import type { NodeImagesOptions } from './node-images.ts';

const moduleFolder = fileURLToPath(new URL('../knative-conformance', import.meta.url));

/** Without a tag, as the tests have it, so that a kubelet asks its registry each time unless it is told not to. */
export const curlImage = 'registry.access.redhat.com/ubi8/ubi';

/** Packages with tests, below the module, and the programs of the cached folder. */
const suites = ['features', 'older'] as const;

/** Import paths; the last part is the program's name. */
const programs = [
  'knative.dev/reconciler-test/cmd/eventshub',
  'knative.dev/eventing/test/test_images/recordevents',
  'knative.dev/eventing/test/test_images/event-sender',
  'knative.dev/eventing/test/test_images/request-sender',
] as const;

export interface KnativeConformance {
  /** Of the programs `features` and `older`. */
  readonly folder: string;
  /** Of all images. */
  readonly archives: readonly string[];
}

/** By its import path. */
export const conformanceImages: ReadonlyMap<string, string> = new Map(programs.map((path) => [path, imageOf(path)]));

/**
 * Builds it once.
 *
 * @throws Error when Go or debootstrap is missing or fails, with the last lines it printed
 */
export async function ensureKnativeConformance({ builder, onProgress }: NodeImagesOptions): Promise<KnativeConformance> {
  const mark = 'curl.tar';
  const fill = async (folder: string): Promise<void> => {
    for (const suite of suites) {
      const name = `Knative's conformance tests (${suite})`;
      await buildGoProgram({ name, module: moduleFolder, target: `./${suite}`, isTest: true, output: join(folder, suite), variables: {}, onProgress });
    }
    for (const path of programs) await writeProgramImage(builder, path, join(folder, `${nameOf(path)}.tar`), onProgress);
    onProgress?.('curl: unpacking Debian packages');
    await writeCurlImage(builder, join(folder, mark));
  };
  const folder = await ensureFolder({ folder: join(cacheRoot(), `knative-conformance-${await sourceHash(moduleFolder)}`), mark, fill });
  return { folder, archives: [...programs.map((path) => join(folder, `${nameOf(path)}.tar`)), join(folder, mark)] };
}

async function writeProgramImage(builder: ImageBuilder, path: string, archive: string, onProgress: NodeImagesOptions['onProgress']): Promise<void> {
  const name = nameOf(path);
  await writeImage(builder, imageOf(path), archive, async (context) => {
    await buildGoProgram({ name, module: moduleFolder, target: path, output: join(context, name), variables: {}, onProgress });
    return `FROM scratch\nCOPY ${name} /${name}\nENTRYPOINT ["/${name}"]\n`;
  });
}

async function writeCurlImage(builder: ImageBuilder, archive: string): Promise<void> {
  await writeImage(builder, `${curlImage}:latest`, archive, async (context) => {
    await writeDebianRoot(context, ['curl']);
    await writeFile(join(context, '.dockerignore'), 'root\n');
    return `FROM scratch\nADD ${rootArchive} /\nENV PATH=/usr/sbin:/usr/bin:/sbin:/bin\n`;
  });
}

/** @param prepare puts what the image is made of into the folder. @returns the Dockerfile */
async function writeImage(builder: ImageBuilder, name: string, archive: string, prepare: (context: string) => Promise<string>): Promise<void> {
  const context = await mkdtemp(join(tmpdir(), 'knative-kafka-image-'));
  try {
    await writeFile(join(context, 'Dockerfile'), await prepare(context));
    await builder.build({ name, context, timestamp: 0 });
    await builder.save(name, archive);
  } finally {
    await rm(context, { recursive: true, force: true });
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function imageOf(path: string): string {
  return `localhost/knative-conformance/${nameOf(path)}:1`;
}
