/** `npm run soak`: delivery under faults, every event accounted for. `npm run soak -- --help` lists the options. */
import { buildAll, install, nodeCommand, root, runForeground } from './workspace.mjs';
import { join } from 'node:path';

try {
  await install();
  await buildAll();
  process.exitCode = await runForeground(nodeCommand(), ['--disable-warning=TimeoutNegativeWarning', join(root, 'e2e', 'soak', 'main.ts'), ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
