/** `npm start`: from a fresh clone to a running event path. `npm start -- --help` lists the options. */
import { buildAll, install, nodeCommand, root, runForeground } from './workspace.mjs';
import { join } from 'node:path';

try {
  await install();
  await buildAll();
  process.exitCode = await runForeground(nodeCommand(), [join(root, 'packages', 'standalone', 'bundle', 'main.js'), ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
