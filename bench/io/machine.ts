/**
 * What the figures were measured on, because they mean little without it.
 */
import { cpus, release, totalmem, type } from 'node:os';
import { checkJava, kafkaVersion } from '@knative-kafka/local-cluster';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly system: string;
  readonly node: string;
  readonly kafka: string;
  readonly java: string;
}

export async function describeMachine(): Promise<Machine> {
  const java = await checkJava();
  const cores = cpus();
  return {
    cpu: cores[0]?.model.trim() ?? 'unknown',
    cores: cores.length,
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    system: `${type()} ${release().split('-')[0]!}`,
    node: process.versions.node,
    kafka: kafkaVersion,
    java: java.ok ? java.version : 'none',
  };
}

export function machineText({ cpu, cores, memoryGib, system, node, kafka, java }: Machine): string {
  return `${cores} cores of ${cpu}, ${memoryGib} GiB, ${system}; Node ${node}, Apache Kafka ${kafka} (one broker) on Java ${java}`;
}
