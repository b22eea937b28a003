/** `npm run dead-letters`: what could not be delivered, and sending it again. `-- --help` lists the options. */
import { install, nodeCommand, root, runForeground } from './workspace.mjs';
import { join } from 'node:path';

try {
  await install();
  process.exitCode = await runForeground(nodeCommand(), ['--disable-warning=TimeoutNegativeWarning', join(root, 'packages', 'dispatcher', 'src', 'dead-letters-main.ts'), ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
