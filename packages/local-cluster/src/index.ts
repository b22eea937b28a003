/**
 * The door of local-cluster: real parts on this machine, for `npm start`, integration tests and benches.
 */
export { startKafka, type KafkaBroker, type KafkaCluster, type KafkaOptions } from './kafka.ts';
export type { ListenerProtocol } from './server-properties.ts';
export { CertificateAuthority, type CertificateRequest, type IssuedCertificate } from './certificates.ts';
export { securedKafkaUsers, startSecuredKafka, type SecuredKafka, type SecuredKafkaOptions, type SecuredListener } from './secured-kafka.ts';
export { startTokenServer, type TokenOptions, type TokenServer, type TokenServerOptions } from './token-server.ts';
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
export { conformanceImages, curlImage, ensureKnativeConformance, type KnativeConformance } from './knative-conformance.ts';
export { checkDockerEngine, checkGo, checkJava, checkMaven, missingNodePackages, type Prerequisite } from './prerequisites.ts';
export { controlGroupName, createControlGroup, removeControlGroups } from './control-groups.ts';
export { createImageBuilder, type ImageBuild, type ImageBuilder } from './image-builder.ts';
export { enterCommand, isIsolated, nodeNetwork, spawnIsolated, tryIsolation, type IsolatedOptions } from './isolation.ts';
export { startNode, type LocalNode, type NodeOptions } from './node.ts';
export { ensureBaseImage, ensureNodeImages, localBaseImage } from './node-images.ts';
export { startProcess, waitFor, type ChildService, type ChildServiceOptions, type WaitOptions } from './child-process.ts';
export { runCommandLine, typedPath, type Terminal } from './command-line.ts';
export { freePort, freePorts, isPortFree } from './free-port.ts';
export { runCommand, type CommandOptions, type CommandResult } from './run-command.ts';
export { removeDataAtExit } from './temporary-data.ts';
export { lastLines, lineSplitter } from './text-lines.ts';
export type { GuardedProcess, ProcessExit } from './guarded-process.ts';
