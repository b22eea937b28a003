/**
 * A Kafka for this machine when none was given: from its jars where Java is, else from its image where Docker is, else
 * a sentence that says what to install.
 */
import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Fault } from '@knative-kafka/common/core';

export interface OwnKafka {
  readonly brokers: readonly string[];
  /** What it is and where its data is, for people. */
  readonly description: string;
  stop(): Promise<void>;
}

export interface OwnKafkaListener {
  readonly onProgress: (text: string) => void;
  /** It ended by itself. */
  readonly onEnded: (text: string) => void;
}

const run = promisify(execFile);
/** Where people and their tools look for a Kafka; the port after it is its controller's. */
const usualPort = 9092;
const composeStartTimeoutMs = 180_000;

/**
 * @param home    the clone's folder, with its docker-compose.yml
 * @param dataDir where the data goes, unless it is kept by docker
 */
export async function startOwnKafka(home: string, dataDir: string, { onProgress, onEnded }: OwnKafkaListener): Promise<OwnKafka> {
  // Not part of the bundle: where a Kafka is given (images, composed services), this package is not there.
  const localCluster = await import('@knative-kafka/local-cluster');
  const java = await localCluster.checkJava();
  const maven = (await localCluster.kafkaJarsCached()) ? { ok: true as const } : await localCluster.checkMaven();
  if (java.ok && maven.ok) {
    const folder = join(dataDir, 'kafka');
    // The same port each time where nobody else has it, so that manifests which name this Kafka go on being right.
    const areFree = await Promise.all([usualPort, usualPort + 1].map(localCluster.isPortFree));
    const cluster = await localCluster.startKafka({ dataDir: folder, persistent: true, ...(areFree.every(Boolean) ? { basePort: usualPort } : {}), onProgress, onBrokerEnded: onEnded });
    return { brokers: cluster.bootstrap.split(','), description: `Apache Kafka ${localCluster.kafkaVersion}, data in ${folder}`, stop: () => cluster.stop() };
  }
  const docker = await localCluster.checkDockerEngine();
  if (docker.ok) return startComposed(home, onProgress);
  const missing = [java, maven, docker].flatMap((check) => (check.ok ? [] : [`  - ${check.reason}`]));
  throw new Fault(
    'SETTINGS_INVALID',
    `No Kafka was given and none can be started here. One of these is needed: a Kafka (npm start -- --kafka HOST:PORT), Java 17 with Maven, or Docker.\n${missing.join('\n')}`,
    { retriable: false },
  );
}

async function startComposed(home: string, onProgress: (text: string) => void): Promise<OwnKafka> {
  const compose = (...args: string[]) => run('docker', ['compose', '--file', join(home, 'docker-compose.yml'), ...args]);
  onProgress('Starting Kafka with docker compose');
  await compose('up', '--detach', 'kafka');
  const deadline = Date.now() + composeStartTimeoutMs;
  while (!(await answers(usualPort))) {
    if (Date.now() > deadline) throw new Fault('KAFKA_UNAVAILABLE', 'the Kafka of docker compose did not open its port; see: docker compose logs kafka', { retriable: false });
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return { brokers: [`127.0.0.1:${usualPort}`], description: 'Apache Kafka from docker compose', stop: () => compose('stop', 'kafka').then(() => undefined) };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
