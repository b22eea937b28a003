/**
 * What a process does with SIGTERM and SIGINT: stop in order, within a time, and exit 0.
 *
 * A second signal, or the end of the time, exits 1 at once: whoever sent it has waited long enough, and everything
 * that was promised is in Kafka already.
 */
import { describeError } from '../core/fault.ts';
import type { Logger } from './logger.ts';

/** @param stop resolves when everything is drained and closed */
export function stopOnSignals(options: { readonly stop: () => Promise<void>; readonly timeoutMs: number; readonly log: Logger }): void {
  let isStopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (isStopping) {
      options.log.warn({ signal }, 'second signal, exiting at once');
      exit(1);
      return;
    }
    isStopping = true;
    options.log.info({ signal }, 'shutting down');
    const deadline = setTimeout(() => {
      options.log.error({ timeoutMs: options.timeoutMs }, 'shutdown took too long, exiting');
      exit(1);
    }, options.timeoutMs);
    options.stop().then(
      () => {
        clearTimeout(deadline);
        options.log.info({}, 'shut down');
        exit(0);
      },
      (error: unknown) => {
        options.log.error({ err: error }, 'shutdown failed');
        exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

/** Ends the process when `start` fails, with a sentence rather than a stack. */
export function exitOnFailure(start: Promise<unknown>): void {
  start.catch((error: unknown) => {
    process.stderr.write(`${describeError(error)}\n`);
    process.exit(1);
  });
}

function exit(code: number): void {
  process.exit(code);
}
