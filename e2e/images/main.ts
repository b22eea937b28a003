/** `npm run images`: builds the images of our services. `npm run images -- --help` lists the options. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createImageBuilder, runCommandLine, typedPath, type ImageBuilder, type Terminal } from '@knative-kafka/local-cluster';
import { buildServiceImages, chooseBase, services, usualBase, type Service, type ServiceImage } from './service-images.ts';

const usage = `npm run images -- [options] [service ...]

Builds an image of each service (${services.join(', ')}), with a Docker engine where one
runs, else with buildah, as root.

  --base IMAGE     what the images are built on; ${usualBase} unless told, and where
                   that cannot be pulled one of Debian packages, made here. "local": that one in any case
  --tag TAG        the version in package.json unless told
  --registry HOST  pushes them to HOST/knative-kafka/SERVICE:TAG
  --archive DIR    writes them to DIR/SERVICE.tar, for "docker load" or "ctr images import"
  --help

buildah keeps nothing, so without a Docker engine --registry or --archive is needed.
`;

interface Options {
  readonly services: readonly Service[];
  readonly base: string | undefined;
  readonly tag: string | undefined;
  readonly registry: string | undefined;
  readonly archive: string | undefined;
}

process.exitCode = await runCommandLine({ usage, readOptions, run, showsTotalTime: true });

function readOptions(args: readonly string[]): Options | string | undefined {
  const string = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { base: string, tag: string, registry: string, archive: string, help: { type: 'boolean' } },
  });
  if (values.help === true) return undefined;
  const isService = (name: string): name is Service => services.some((service) => service === name);
  const unknown = positionals.filter((name) => !isService(name));
  if (unknown.length > 0) return `there is no service ${unknown.join(', ')}: there are ${services.join(', ')}`;
  const wanted = positionals.filter(isService);
  const archive = values.archive === undefined ? undefined : typedPath(values.archive);
  return { services: wanted.length > 0 ? wanted : services, base: values.base, tag: values.tag, registry: values.registry, archive };
}

async function run(options: Options, terminal: Terminal): Promise<number> {
  let builder: ImageBuilder | undefined;
  try {
    builder = await createImageBuilder();
    if (builder.program === 'buildah' && options.archive === undefined && options.registry === undefined) {
      throw new Error('no Docker engine answers, and buildah keeps nothing: say --archive DIR or --registry HOST');
    }
    const onProgress = (text: string): void => terminal.step(text);
    const base = await chooseBase(builder, options.base, onProgress);
    const images = await buildServiceImages({ builder, base, services: options.services, tag: options.tag, onProgress });
    for (const image of images) terminal.print(`${image.name} ${image.id}${await handOver(builder, image, options, terminal)}`);
    return 0;
  } catch (error) {
    terminal.print(terminal.red((error as Error).message));
    return 1;
  } finally {
    await builder?.close();
  }
}

/** @returns where the image went, as the rest of a line */
async function handOver(builder: ImageBuilder, { service, name }: ServiceImage, { archive, registry }: Options, terminal: Terminal): Promise<string> {
  const places: string[] = [];
  if (archive !== undefined) {
    const file = join(archive, `${service}.tar`);
    await mkdir(archive, { recursive: true });
    terminal.step(`writing ${file}`);
    await builder.save(name, file);
    places.push(file);
  }
  if (registry !== undefined) {
    const target = `${registry.replace(/\/$/, '')}/${name}`;
    terminal.step(`pushing ${target}`);
    await builder.push(name, target);
    places.push(target);
  }
  return places.length === 0 ? '' : ` -> ${places.join(', ')}`;
}
