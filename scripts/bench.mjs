/** `npm run bench`: measures what docs/PERFORMANCE.md promises. `npm run bench -- --help` lists the options. */
import { buildAll, install, nodeCommand, root, runForeground } from './workspace.mjs';
import { join } from 'node:path';

try {
  await install();
  await buildAll();
  process.exitCode = await runForeground(nodeCommand(), ['--disable-warning=TimeoutNegativeWarning', join(root, 'bench', 'main.ts'), ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
