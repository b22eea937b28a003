/** `npm run e2e`: images and chart on a Kubernetes that runs pods. `npm run e2e -- --help` lists the options. */
import { join } from 'node:path';
import { buildAll, install, nodeCommand, root, runForeground } from './workspace.mjs';

try {
  await install();
  await buildAll();
  process.exitCode = await runForeground(nodeCommand(), [join(root, 'e2e', 'node', 'main.ts'), ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
