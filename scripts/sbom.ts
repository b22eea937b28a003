/**
 * The bill of materials of a bundle: which packages are in it, as a CycloneDX document.
 *
 * Pure. What is in a bundle is known to nobody better than to esbuild, which tells for each file how many of its bytes
 * it has kept; package-lock.json knows the rest. A scan of node_modules would name a thousand packages that never ship.
 *
 * Always true: the same bundle has the same document, without dates and random numbers, so that images can be rebuilt
 * to the bit; each package is named once, and one that package-lock.json does not know is an error.
 */
import { posix } from 'node:path';

/** What is needed of esbuild's metafile; paths are relative to the folder that it ran in. */
export interface BundleContents {
  readonly outputs: Readonly<Record<string, { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }>>;
}

/** What is needed of package-lock.json, version 3. */
export interface PackageLock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  /** Subresource integrity: `sha512-` and base64. */
  readonly integrity?: string;
}

export interface SbomInput {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly contents: BundleContents;
  /** Folder that esbuild ran in, from the folder of package-lock.json: `packages/controller`. */
  readonly folder: string;
  readonly lock: PackageLock;
}

interface Component {
  readonly type: 'library';
  readonly 'bom-ref': string;
  readonly group?: string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly licenses?: readonly object[];
  readonly hashes?: readonly object[];
}

/** @throws Error when package-lock.json does not know a package of the bundle */
export function sbom({ name, version, license, contents, folder, lock }: SbomInput): object {
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      lifecycles: [{ phase: 'build' }],
      component: { type: 'application', 'bom-ref': `${name}@${version}`, name, version, licenses: licensesOf(license) },
    },
    components: components(contents, folder, lock),
  };
}

/** A package may lie in several folders of node_modules, and is one component for each version. */
function components(contents: BundleContents, folder: string, lock: PackageLock): Component[] {
  const byPurl = new Map(bundledPackages(contents, folder).map((path) => component(path, lock)).map((found) => [found.purl, found]));
  return [...byPurl.keys()].sort().map((purl) => byPurl.get(purl)!);
}

/** @returns the packages' folders as keys of package-lock.json; our own are not among them */
function bundledPackages(contents: BundleContents, folder: string): string[] {
  const kept = Object.values(contents.outputs).flatMap(({ inputs }) => Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0));
  const folders = kept.map(([file]) => packageFolder(posix.join(folder, file)));
  return [...new Set(folders.filter((found) => found !== undefined))];
}

/** `node_modules/a/node_modules/@b/c/index.js` is of `node_modules/a/node_modules/@b/c`. */
function packageFolder(file: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0];
}

function component(folder: string, lock: PackageLock): Component {
  const { version, license, integrity } = lock.packages[folder] ?? {};
  if (version === undefined) throw new Error(`${folder} is in the bundle, but not in package-lock.json`);
  const fullName = folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const [name = '', group] = fullName.split('/').reverse();
  const purl = `pkg:npm/${fullName.replace('@', '%40')}@${version}`;
  return {
    type: 'library',
    'bom-ref': purl,
    ...(group === undefined ? {} : { group }),
    name,
    version,
    purl,
    ...(license === undefined ? {} : { licenses: licensesOf(license) }),
    ...(integrity === undefined ? {} : { hashes: hashesOf(integrity) }),
  };
}

/** A single licence has an id; `MIT OR Apache-2.0` is an expression. */
function licensesOf(license: string): object[] {
  return /\s/.test(license) ? [{ expression: license }] : [{ license: { id: license } }];
}

function hashesOf(integrity: string): object[] {
  const algorithms: Readonly<Record<string, string>> = { sha1: 'SHA-1', sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512' };
  return integrity.split(/\s+/).map((hash) => {
    const [algorithm = '', digest = ''] = hash.split(/-(.*)/s);
    return { alg: algorithms[algorithm] ?? algorithm, content: Buffer.from(digest, 'base64').toString('hex') };
  });
}
