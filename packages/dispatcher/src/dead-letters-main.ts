/** `npm run dead-letters`: the command line, the terminal and the signals of dead-letters.ts. */
import { describeError } from '@knative-kafka/common/core';
import { createKafkaClient } from '@knative-kafka/common/io';
import { exitCodes, readCommand, usage } from './dead-letter-command.ts';
import { runDeadLetters } from './dead-letters.ts';
import { createSubscriberClient } from './io/subscriber-client.ts';
import type { CommandIo } from './redrive.ts';

const requestTimeoutMs = 30_000;
const connectTimeoutMs = 5_000;
const replyLimitBytes = 1024 * 1024;
/** One event of a partition is under way at a time. */
const connectionsPerDestination = 256;
const progressIntervalMs = 100;
/** Without a terminal each line stays. */
const lineIntervalMs = 5_000;

process.exitCode = await run();

async function run(): Promise<number> {
  const command = readCommand(process.argv.slice(2), process.env);
  if ('help' in command) {
    process.stdout.write(usage);
    return exitCodes.done;
  }
  if ('problem' in command) {
    process.stderr.write(`${command.problem}\n\n${usage}`);
    return exitCodes.wrongUsage;
  }
  // `print | head` closes the pipe once it has seen enough.
  process.stdout.on('error', () => process.exit(exitCodes.done));
  const client = createSubscriberClient({ connectionsPerDestination, connectTimeoutMs, replyLimitBytes });
  // The group hands partitions to members in the order of their ids, which begin with this: who came first keeps them.
  const clientId = `knative-kafka-dead-letters-${Date.now()}`;
  const terminal = createOutput(process.stdout, process.stderr);
  try {
    // The classic protocol: every broker speaks it, and it leaves no settings of groups behind that are used once.
    const kafka = createKafkaClient({ brokers: command.brokers, clientId, requestTimeoutMs, connectTimeoutMs }, 'platformatic', 'kafkajs');
    return await runDeadLetters(command, { kafka, client, signal: abortOnSignals(), ...terminal });
  } catch (error) {
    terminal.warn(describeError(error));
    return exitCodes.notDone;
  } finally {
    terminal.end();
    await client.close();
  }
}

/** The first signal ends things in order, the second one at once: a redrive may be killed at any moment. */
function abortOnSignals(): AbortSignal {
  const stopped = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stopped.signal.aborted) process.exit(exitCodes.notDone);
      stopped.abort();
    });
  }
  return stopped.signal;
}

/** Results to one stream, everything about them to the other, so that results can be piped on. */
function createOutput(results: NodeJS.WriteStream, notes: NodeJS.WriteStream): Pick<CommandIo, 'print' | 'progress' | 'warn'> & { end(): void } {
  let hasProgress = false;
  let toldAt = -Infinity;
  const clear = (): void => {
    if (hasProgress && notes.isTTY) notes.write('\r\u001b[2K');
    hasProgress = false;
  };
  return {
    print: (line) => {
      clear();
      results.write(`${line}\n`);
    },
    warn: (line) => {
      clear();
      notes.write(`${line}\n`);
    },
    progress: (line) => {
      if (performance.now() - toldAt < (notes.isTTY ? progressIntervalMs : lineIntervalMs)) return;
      toldAt = performance.now();
      clear();
      notes.write(notes.isTTY ? line.slice(0, Math.max(20, notes.columns - 1)) : `${line}\n`);
      hasProgress = true;
    },
    end: clear,
  };
}
