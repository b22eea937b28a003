/**
 * The other limit for a dispatcher: its own Kafka client that reads the topic from its beginning and drops the records.
 */
import { performance } from 'node:perf_hooks';
import { childOptions, exitOnError, tell } from '../io/child.ts';
import { connectKafka, createReader, type ReaderOptions } from '../io/kafka.ts';

export interface ReadLoopOptions extends ReaderOptions {
  /** Arrive before what counts. */
  readonly skip: number;
  readonly events: number;
}

export interface ReadLoopResult {
  readonly events: number;
  readonly elapsedMs: number;
  readonly cpuMs: number;
}

async function run(options: ReadLoopOptions): Promise<void> {
  const { bootstrap, skip, events } = options;
  const done = Promise.withResolvers<ReadLoopResult>();
  let read = 0;
  let from: { readonly read: number; readonly at: number; readonly cpu: NodeJS.CpuUsage } | undefined;
  const { member, lost } = createReader(connectKafka(bootstrap), options, (records) => {
    read += records.length;
    if (from === undefined) {
      if (read >= skip) from = { read, at: performance.now(), cpu: process.cpuUsage() };
    } else if (read >= skip + events) {
      const { user, system } = process.cpuUsage(from.cpu);
      done.resolve({ events: read - from.read, elapsedMs: performance.now() - from.at, cpuMs: (user + system) / 1000 });
    }
  });
  await member.start();
  const result = await Promise.race([done.promise, lost]);
  await member.close();
  tell('result', result);
}

exitOnError(run(childOptions() as ReadLoopOptions));
