/** `npm run images`: builds the services' images from their bundles. `npm run images -- --help` lists the options. */
import { join } from 'node:path';
import { buildAll, install, nodeCommand, root, runForeground } from './workspace.mjs';

try {
  await install();
  await buildAll();
  process.exitCode = await runForeground(nodeCommand(), [join(root, 'e2e', 'images', 'main.ts'), ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
