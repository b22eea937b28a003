/** `npm start`: the command line, the terminal, and the signals. */
import { exitOnFailure, createLogger, giveMemoryBackAtRest, stopOnSignals } from '@knative-kafka/common/io';
import { readArguments, usage } from './config.ts';
import { createTerminal } from './io/terminal.ts';
import { startStandalone, type RunningStandalone } from './start-standalone.ts';

/** Within the ten seconds that people and process managers wait. */
const stopTimeoutMs = 9_500;

exitOnFailure(run());

async function run(): Promise<void> {
  const home = process.cwd();
  // npm runs scripts in the clone; what was typed is relative to where it was typed.
  const read = readArguments(process.argv.slice(2), process.env, { home, typedIn: process.env['INIT_CWD'] ?? home });
  if ('help' in read) {
    process.stdout.write(usage);
    return;
  }
  if ('problem' in read) {
    process.stderr.write(`${read.problem}\n\n${usage}`);
    process.exitCode = 1;
    return;
  }
  const terminal = createTerminal(process.stdout, process.env);
  const state: { running?: RunningStandalone } = {};
  stopOnSignals({
    timeoutMs: stopTimeoutMs,
    log: createLogger('standalone', 'warn'),
    stop: async () => {
      if (state.running === undefined) return; // still starting: nothing is promised yet
      terminal.print('Stopping: finishing deliveries, committing offsets');
      await state.running.stop();
    },
  });
  state.running = await startStandalone(read, home, process.env, terminal);
  giveMemoryBackAtRest();
}
