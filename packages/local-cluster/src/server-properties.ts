/**
 * The server.properties of each node of a local cluster, as text.
 *
 * Pure. Every node is broker and controller in one JVM, listens on 127.0.0.1 alone and knows the controllers' ports
 * in advance, so nodes can start in any order. What is lowered against Kafka's defaults saves memory and waiting on
 * one machine; what guards data (fsync, retention) stays as it is.
 */

/** Protocols of listeners beside the plaintext one. */
export type ListenerProtocol = 'SSL' | 'SASL_PLAINTEXT' | 'SASL_SSL';

export interface NodePorts {
  readonly nodeId: number;
  readonly kafkaPort: number;
  readonly controllerPort: number;
  /** By listener name: ports of the listeners beside the plaintext one. */
  readonly listenerPorts: Readonly<Record<string, number>>;
}

export interface ServerPropertiesInput {
  readonly nodeId: number;
  /** All nodes of the cluster, this one included. */
  readonly nodes: readonly NodePorts[];
  readonly logDir: string;
  readonly listeners: Readonly<Record<string, ListenerProtocol>>;
  /** Laid over everything else. */
  readonly config: Readonly<Record<string, string>>;
}

/**
 * @returns the file's text, one `key=value` per line
 * @throws RangeError when `nodes` has no node `nodeId`: a bug in the caller
 */
export function serverProperties({ nodeId, nodes, logDir, listeners, config }: ServerPropertiesInput): string {
  const self = nodes.find((node) => node.nodeId === nodeId);
  if (self === undefined) throw new RangeError(`node ${nodeId} is not among the nodes of the cluster`);
  const open = [
    ['PLAINTEXT', self.kafkaPort] as const,
    ...Object.keys(listeners).map((name) => [name, self.listenerPorts[name] ?? 0] as const),
  ].map(([name, port]) => `${name}://127.0.0.1:${port}`);
  const protocols = { PLAINTEXT: 'PLAINTEXT', CONTROLLER: 'PLAINTEXT', ...listeners };
  const voters = nodes.map((node) => `${node.nodeId}@127.0.0.1:${node.controllerPort}`);

  return propertiesText({
    'process.roles': 'broker,controller',
    'node.id': String(nodeId),
    'controller.quorum.voters': voters.join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    listeners: [...open, `CONTROLLER://127.0.0.1:${self.controllerPort}`].join(','),
    'advertised.listeners': open.join(','),
    'listener.security.protocol.map': Object.entries(protocols).map(([name, protocol]) => `${name}:${protocol}`).join(','),
    'log.dirs': logDir,
    ...(nodes.length === 1 ? oneNode : severalNodes(nodes.length)),
    ...everyNode,
    ...config,
  });
}

const everyNode = {
  'auto.create.topics.enable': 'false', // a forgotten topic is an error here, as it is in production
  'group.initial.rebalance.delay.ms': '0',
  // Members may ask for a shorter session than 45 s, so that the partitions of a killed one are not waited for so long.
  'group.consumer.min.session.timeout.ms': '1000',
  'group.consumer.min.heartbeat.interval.ms': '100',
  'log.segment.bytes': String(64 * 1024 * 1024),
  'log.cleaner.dedupe.buffer.size': String(8 * 1024 * 1024), // the default, 128 MiB, is half of the heap
  'num.network.threads': '2',
  'num.io.threads': '4',
};

const oneNode = {
  'offsets.topic.replication.factor': '1',
  'offsets.topic.num.partitions': '4',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'transaction.state.log.num.partitions': '2',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'share.coordinator.state.topic.num.partitions': '2',
  // After a SIGKILL the broker may register again only when the session of its former life is over.
  'broker.session.timeout.ms': '3000',
  'broker.heartbeat.interval.ms': '500',
};

/** Failures are noticed in seconds, and leadership moves only when a test makes it move. */
function severalNodes(count: number): Record<string, string> {
  const factor = String(Math.min(count, 3));
  return {
    'default.replication.factor': factor,
    'min.insync.replicas': '2',
    'offsets.topic.replication.factor': factor,
    'offsets.topic.num.partitions': '6',
    'transaction.state.log.replication.factor': factor,
    'transaction.state.log.min.isr': '2',
    'transaction.state.log.num.partitions': '3',
    'share.coordinator.state.topic.replication.factor': factor,
    'share.coordinator.state.topic.min.isr': '2',
    'share.coordinator.state.topic.num.partitions': '3',
    'broker.session.timeout.ms': '6000',
    'broker.heartbeat.interval.ms': '1000',
    'replica.lag.time.max.ms': '6000',
    'auto.leader.rebalance.enable': 'false',
  };
}

/**
 * The text of a Java properties file. Kafka reads it as ISO-8859-1, so anything beyond ASCII goes in as \uXXXX, and
 * a backslash or a leading space in a value (a folder's name, say) would be lost without its own backslash.
 */
export function propertiesText(entries: Readonly<Record<string, string>>): string {
  const escaped = (text: string) =>
    text
      .replace(/\\/g, '\\\\')
      .replace(/\n/g, '\\n')
      .replace(/\r/g, '\\r')
      .replace(/[^\t -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .replace(/^[ \t]/, '\\$&');
  return Object.entries(entries)
    .map(([key, value]) => `${key}=${escaped(value)}\n`)
    .join('');
}
