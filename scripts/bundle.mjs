/**
 * Bundles one service into one ESM file: `node scripts/bundle.mjs src/main.ts [--external:NAME ...]`,
 * run in the package's folder. Output: bundle/main.js and its source map.
 */
import { build } from 'esbuild';

const [entry, ...flags] = process.argv.slice(2);
const external = flags.filter((flag) => flag.startsWith('--external:')).map((flag) => flag.slice('--external:'.length));

await build({
  entryPoints: [entry],
  outfile: 'bundle/main.js',
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  sourcemap: true,
  minifySyntax: true,
  keepNames: true,
  external,
  // Its default entry reads a .wasm file beside itself, which a bundle has not; this one carries it inside.
  alias: { '@platformatic/wasm-utils': '@platformatic/wasm-utils/bundled' },
  // CommonJS packages inside an ESM bundle call require() for Node's own modules.
  banner: { js: "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);" },
  logLevel: 'warning',
});
