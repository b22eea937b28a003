/**
 * The door of local-cluster: real parts on this machine, for `npm start`, integration tests and benches.
 */
export { startKafka, type KafkaBroker, type KafkaCluster, type KafkaOptions } from './kafka.ts';
export type { ListenerProtocol } from './server-properties.ts';
export { ensureKafkaJars, kafkaJarsCached, kafkaVersion, type KafkaJarsOptions } from './kafka-jars.ts';
export { runKafkaTool, type KafkaToolOptions } from './kafka-tools.ts';
export { checkDockerEngine, checkJava, checkMaven, type Prerequisite } from './prerequisites.ts';
export { startProcess, waitFor, type ChildService, type ChildServiceOptions, type WaitOptions } from './child-process.ts';
export { freePort, freePorts } from './free-port.ts';
export type { ProcessExit } from './guarded-process.ts';
