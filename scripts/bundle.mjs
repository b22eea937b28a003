/**
 * Bundles one service into one ESM file: `node scripts/bundle.mjs src/main.ts [--external:NAME ...]`,
 * run in the package's folder. Output: bundle/main.js and its source map.
 */
import { build } from 'esbuild';

const [entry, ...flags] = process.argv.slice(2);
const external = flags.filter((flag) => flag.startsWith('--external:')).map((flag) => flag.slice('--external:'.length));

/**
 * @platformatic/kafka is used for its protocol layer only. Nothing in it has effects at import but its high-level
 * clients, which compile dozens of JSON schemas: left in, they cost every pod 15 MB and a quarter of its start.
 */
const protocolLayerOnly = {
  name: 'protocol-layer-only',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /./ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      const isOfLibrary = path === '@platformatic/kafka' || /[\\/]@platformatic[\\/]kafka[\\/]/.test(importer);
      if (!isOfLibrary || pluginData === protocolLayerOnly) return undefined;
      const found = await resolve(path, { importer, resolveDir, kind, pluginData: protocolLayerOnly });
      return { ...found, sideEffects: false };
    });
  },
};

await build({
  entryPoints: [entry],
  outfile: 'bundle/main.js',
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // Beside the bundle, not named in it: Node would hold 3 MB for a map it is not asked to use.
  sourcemap: 'external',
  // Identifiers stay as they are (errors of kafkajs are told apart by the names of their classes), and esbuild's
  // keepNames, which would touch every function at start, is not needed for that: 5 MB.
  minifySyntax: true,
  external,
  plugins: [protocolLayerOnly],
  // Its default entry reads a .wasm file beside itself, which a bundle has not; this one carries it inside.
  alias: { '@platformatic/wasm-utils': '@platformatic/wasm-utils/bundled' },
  // CommonJS packages inside an ESM bundle call require() for Node's own modules.
  banner: { js: "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);" },
  logLevel: 'warning',
});
