/**
 * Kafka's own command line tools, as a second opinion in tests and a yardstick in benches.
 */
import { join } from 'node:path';
import { ensureKafkaJars } from './kafka-jars.ts';
import { javaCommand } from './prerequisites.ts';
import { runCommand } from './run-command.ts';
import { lastLines } from './text-lines.ts';

export interface KafkaToolOptions {
  /** Called with each line of stdout and stderr as it comes, for tools that run long. */
  readonly onLine?: (line: string) => void;
  /** Largest heap of the tool's JVM in MiB; 256 unless told. */
  readonly heapMb?: number;
}

/**
 * Runs one of the tools to its end. Brings the jars first where they are not cached yet.
 *
 * @param mainClass for example `org.apache.kafka.tools.ProducerPerformance`, `org.apache.kafka.tools.DumpLogSegments`
 * @throws Error with the last lines the tool printed when it ends with anything but exit code 0
 */
export async function runKafkaTool(
  mainClass: string,
  args: readonly string[],
  { onLine, heapMb = 256 }: KafkaToolOptions = {},
): Promise<{ stdout: string; stderr: string }> {
  const jars = await ensureKafkaJars({ tools: true });
  const flags = [`-Xmx${heapMb}m`, '-XX:+UseSerialGC', '-Xshare:auto', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'];
  const result = await runCommand(javaCommand(), [...flags, '-cp', join(jars, '*'), mainClass, ...args], { onLine });
  if (result.code !== 0) {
    const how = result.signal ?? `exit code ${result.code ?? '?'}`;
    throw new Error(`${mainClass} ended with ${how}:\n${lastLines(result.stdout + result.stderr, 15)}`);
  }
  return { stdout: result.stdout, stderr: result.stderr };
}
