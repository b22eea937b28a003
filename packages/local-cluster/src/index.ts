/**
 * The door of local-cluster: real parts on this machine, for `npm start`, integration tests and benches.
 */
export { startKafka, type KafkaBroker, type KafkaCluster, type KafkaOptions } from './kafka.ts';
export type { ListenerProtocol } from './server-properties.ts';
export { ensureKafkaJars, kafkaJarsCached, kafkaVersion, type KafkaJarsOptions } from './kafka-jars.ts';
export { runKafkaTool, type KafkaToolOptions } from './kafka-tools.ts';
export { startKubernetes, type ApiServer, type ClientOptions, type KubernetesCluster, type KubernetesOptions } from './kubernetes.ts';
export { ensureKubernetes, kubernetesCached, kubernetesVersion, type KubernetesBinaryOptions } from './kubernetes-binary.ts';
export {
  ensureKnativeEventing,
  knativeEventingNamespace,
  knativeEventingVersion,
  startKnativeEventing,
  type KnativeEventing,
  type KnativeEventingOptions,
} from './knative-eventing.ts';
export { checkDockerEngine, checkGo, checkJava, checkMaven, type Prerequisite } from './prerequisites.ts';
export { startProcess, waitFor, type ChildService, type ChildServiceOptions, type WaitOptions } from './child-process.ts';
export { runCommandLine, typedPath, type Terminal } from './command-line.ts';
export { freePort, freePorts } from './free-port.ts';
export type { CommandResult } from './run-command.ts';
export type { ProcessExit } from './guarded-process.ts';
