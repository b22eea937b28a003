/**
 * The images of our services, from the bundles that `npm run build` has made and the Dockerfile of this repository.
 *
 * Always true: what is built twice from one commit on one base is the same to the bit (docs/IMAGES.md says with what).
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBaseImage, localBaseImage, runCommand, type ImageBuilder } from '@knative-kafka/local-cluster';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export const services = ['controller', 'channel-receiver', 'dispatcher', 'standalone'] as const;
export type Service = (typeof services)[number];

/** As the Dockerfile has it. */
export const usualBase = 'docker.io/library/node:24-bookworm-slim';

export interface ServiceImage {
  readonly service: Service;
  /** `knative-kafka/controller:0.1.0`, as the chart names it. */
  readonly name: string;
  /** Equal for equal images. */
  readonly id: string;
}

export interface ServiceImagesOptions {
  readonly builder: ImageBuilder;
  /** A base image that the builder has (`chooseBase`). */
  readonly base: string;
  readonly services: readonly Service[];
  /** The version of package.json unless told. */
  readonly tag?: string | undefined;
  readonly onProgress: (text: string) => void;
}

/** @throws Error when a bundle is missing, or with the last lines that the builder printed */
export async function buildServiceImages({ builder, base, services: wanted, tag, onProgress }: ServiceImagesOptions): Promise<ServiceImage[]> {
  const version = tag ?? (await projectVersion());
  const { revision, timestamp } = await sourceState();
  const images: ServiceImage[] = [];
  for (const service of wanted) {
    if (!existsSync(join(root, 'packages', service, 'bundle', 'sbom.cdx.json'))) throw new Error(`packages/${service}/bundle is missing or old: npm run build makes it`);
    const name = `knative-kafka/${service}:${version}`;
    onProgress(`building ${name}`);
    const buildArgs = { BASE_IMAGE: base, VERSION: version, REVISION: revision };
    await builder.build({ name, context: root, target: service, buildArgs, timestamp });
    images.push({ service, name, id: await builder.imageId(name) });
  }
  return images;
}

/**
 * Sees to it that the builder has the base.
 *
 * @param wanted an image; `local` for one made of Debian packages and the Node of node_modules; left out: the usual
 *               one where it can be pulled, else the local one
 * @returns the image's name
 * @throws Error when the image that was asked for cannot be pulled
 */
export async function chooseBase(builder: ImageBuilder, wanted: string | undefined, onProgress: (text: string) => void): Promise<string> {
  if (wanted !== 'local') {
    const image = wanted ?? usualBase;
    onProgress(`pulling the base ${image}`);
    const problem = await builder.pull(image);
    if (problem === undefined) return image;
    if (wanted !== undefined) throw new Error(`the base image ${image} cannot be pulled: ${problem}`);
    onProgress(`${image} cannot be pulled here, so the base is made on this machine`);
  }
  await builder.load(await ensureBaseImage({ builder, onProgress }));
  return localBaseImage;
}

export async function projectVersion(): Promise<string> {
  return (JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }).version;
}

/** Of the commit that is checked out; SOURCE_DATE_EPOCH, as reproducible builds know it, wins over its date. */
async function sourceState(): Promise<{ readonly revision: string; readonly timestamp: number }> {
  const git = async (...args: string[]): Promise<string> => (await runCommand('git', args, { cwd: root }).catch(() => undefined))?.stdout.trim() ?? '';
  const commit = await git('rev-parse', 'HEAD');
  const isChanged = (await git('status', '--porcelain', '--untracked-files=no')) !== '';
  const revision = commit === '' ? 'unknown' : `${commit}${isChanged ? '-changed' : ''}`;
  return { revision, timestamp: Number(process.env['SOURCE_DATE_EPOCH'] || (await git('log', '-1', '--format=%ct')) || 0) };
}
