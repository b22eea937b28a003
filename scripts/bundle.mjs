/**
 * Bundles the programs of one service, each into one ESM file: `node scripts/bundle.mjs src/main.ts [src/other.ts ...]
 * [--external:NAME ...] [--native:NAME ...]`, run in the package's folder. Output: bundle/main.js and its source map, and
 * so for each; for all of them bundle/sbom.cdx.json, what is in them, and bundle/package.json, which says that they are ES
 * modules. Native code cannot be in a bundle: that of the packages NAME is copied beside it.
 */
import { copyFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { sbom } from './sbom.ts';

const args = process.argv.slice(2);
const entryPoints = args.filter((arg) => !arg.startsWith('--'));
const valuesOf = (option) => args.filter((arg) => arg.startsWith(option)).map((arg) => arg.slice(option.length));
const external = valuesOf('--external:');
const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * @platformatic/kafka is used for its protocol layer only. Its high-level clients compile dozens of JSON schemas for
 * their options at import: left in, they cost every pod 15 MB and a quarter of its start. Nothing else in it has effects
 * at import, so what is not used goes, and with it the validator that those schemas were for.
 */
const protocolLayerOnly = {
  name: 'protocol-layer-only',
  setup({ onLoad, onResolve, resolve }) {
    onResolve({ filter: /./ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      const isOfLibrary = path === '@platformatic/kafka' || /[\\/]@platformatic[\\/]kafka[\\/]/.test(importer);
      if (!isOfLibrary || pluginData === protocolLayerOnly) return undefined;
      if (path === 'ajv/dist/2020.js') return { path, namespace: 'unused-validator' };
      const found = await resolve(path, { importer, resolveDir, kind, pluginData: protocolLayerOnly });
      return { ...found, sideEffects: false };
    });
    onLoad({ filter: /./, namespace: 'unused-validator' }, () => ({ contents: 'export class Ajv2020 { addKeyword() {} compile() { return () => true; } }' }));
  },
};

/**
 * @kubernetes/client-node is used for its reading of kubeconfigs and credentials only, which is one module of it. Two of
 * that module's methods, which nobody calls, would bring in the generated classes of the API and an HTTP client.
 */
const credentialsOnly = {
  name: 'credentials-only',
  setup({ onLoad, onResolve, resolve }) {
    onResolve({ filter: /^@kubernetes\/client-node$/ }, ({ importer, resolveDir, kind }) => resolve('@kubernetes/client-node/dist/config.js', { importer, resolveDir, kind }));
    onResolve({ filter: /^(\.\/gen\/index\.js|undici)$/ }, ({ path, importer }) => (/[\\/]client-node[\\/]dist[\\/]config\.js$/.test(importer) ? { path, namespace: 'unused-clients' } : undefined));
    onLoad({ filter: /./, namespace: 'unused-clients' }, () => ({
      contents: "const left = class { constructor() { throw new Error('clients of the API are not in this bundle'); } }; export { left as Agent, left as ProxyAgent, left as createConfiguration, left as ServerConfiguration };",
    }));
  },
};

/** CommonJS packages inside an ESM bundle call require() for Node's own modules. */
const requireForCommonJs = "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);";

/**
 * Flags and an environment that a service needs and that Node only takes at its start. The first thing a bundle does is to
 * become itself again with them (execve: same process, same id, some 35 ms), so that whoever types `node main.js` has them too.
 *
 * - The young generation is bounded: unbounded it grows to 128 MB under load, for no gain in rate or CPU.
 * - A process at rest collects its garbage (ADR 0020), for which Node has to show the function.
 * - kafkajs computes a negative delay once per process, which Node warns of; it is harmless.
 * - glibc gives each thread a pool of memory of its own, and keeps most of what is freed in it. One pool for the main thread
 *   and one for all of V8's helpers are enough: 4 MB less.
 */
const nodeFlags = ['--max-semi-space-size=16', '--expose-gc', '--disable-warning=TimeoutNegativeWarning'];
const environment = { MALLOC_ARENA_MAX: '2' };
const restartWithFlags = `if (process.execve !== undefined && !process.execArgv.some((flag) => flag.startsWith('--max-semi-space-size'))) process.execve(process.execPath, [process.execPath, ...${JSON.stringify(nodeFlags)}, ...process.execArgv, ...process.argv.slice(1)], { ...${JSON.stringify(environment)}, ...process.env });`;

const { metafile } = await build({
  metafile: true,
  entryPoints,
  outdir: 'bundle',
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // Beside the bundle, not named in it: Node would hold 3 MB for a map it is not asked to use.
  sourcemap: 'external',
  // Identifiers stay as they are (errors of kafkajs are told apart by the names of their classes), and esbuild's
  // keepNames, which would touch every function at start, is not needed for that: 5 MB.
  minifySyntax: true,
  // V8 holds the text of a program as long as it runs: without its white space 1 MB less. Lines stay short enough to be named in
  // a stack trace.
  minifyWhitespace: true,
  lineLimit: 160,
  external,
  plugins: [protocolLayerOnly, credentialsOnly],
  // Its default entry reads a .wasm file beside itself, which a bundle has not; this one carries it inside.
  alias: { '@platformatic/wasm-utils': '@platformatic/wasm-utils/bundled' },
  banner: { js: `${requireForCommonJs}\n${restartWithFlags}` },
  logLevel: 'warning',
});

/**
 * Native code for the machines that images are made for, as far as npm has installed it: that is, for the one that builds.
 * An image for another one is made without, and its programs do with what they have instead.
 *
 * @returns what was copied, as esbuild would tell it
 */
function copyNative() {
  const outputs = {};
  for (const name of valuesOf('--native:')) {
    for (const machine of ['linux-x64-gnu', 'linux-arm64-gnu']) {
      const source = join(root, 'node_modules', `${name}-${machine}`, `${basename(name)}.${machine}.node`);
      const target = join('bundle', basename(source));
      rmSync(target, { force: true });
      if (!existsSync(source)) continue;
      copyFileSync(source, target);
      outputs[target] = { inputs: { [relative(process.cwd(), source)]: { bytesInOutput: statSync(source).size } } };
    }
  }
  return outputs;
}

const contents = { outputs: { ...metafile.outputs, ...copyNative() } };
const { name, version, license } = readJson('package.json');
const document = sbom({ name, version, license, contents, folder: relative(root, process.cwd()), lock: readJson(join(root, 'package-lock.json')) });
writeJson('bundle/sbom.cdx.json', document);
writeJson('bundle/package.json', { type: 'module' });

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function writeJson(file, content) {
  writeFileSync(file, `${JSON.stringify(content, undefined, 2)}\n`);
}
