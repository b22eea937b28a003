import { describe, expect, it } from 'vitest';
import { propertiesText, serverProperties, type NodePorts, type ServerPropertiesInput } from './server-properties.ts';

function node(nodeId: number, listenerPorts: Record<string, number> = {}): NodePorts {
  return { nodeId, kafkaPort: 9090 + nodeId, controllerPort: 9190 + nodeId, listenerPorts };
}

function propertiesOf(input: Partial<ServerPropertiesInput>): Map<string, string> {
  const text = serverProperties({ nodeId: 1, nodes: [node(1)], logDir: '/data', listeners: {}, config: {}, ...input });
  return new Map(text.trimEnd().split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

describe('serverProperties', () => {
  it('makes a single node broker and controller in one', () => {
    const properties = propertiesOf({});
    expect(properties.get('process.roles')).toBe('broker,controller');
    expect(properties.get('controller.quorum.voters')).toBe('1@127.0.0.1:9191');
    expect(properties.get('listeners')).toBe('PLAINTEXT://127.0.0.1:9091,CONTROLLER://127.0.0.1:9191');
    expect(properties.get('advertised.listeners')).toBe('PLAINTEXT://127.0.0.1:9091');
    expect(properties.get('log.dirs')).toBe('/data');
  });

  it('asks of a single node no more replicas than there are brokers', () => {
    const replicas = [...propertiesOf({})].filter(([key]) => /replication\.factor|min\.(isr|insync)/.test(key));
    expect(replicas).toHaveLength(5);
    expect(new Set(replicas.map(([, value]) => value))).toEqual(new Set(['1']));
  });

  it('lets three nodes know each other and survive the loss of one', () => {
    const properties = propertiesOf({ nodeId: 2, nodes: [node(1), node(2), node(3)] });
    expect(properties.get('node.id')).toBe('2');
    expect(properties.get('controller.quorum.voters')).toBe('1@127.0.0.1:9191,2@127.0.0.1:9192,3@127.0.0.1:9193');
    expect(properties.get('listeners')).toBe('PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9192');
    expect(properties.get('offsets.topic.replication.factor')).toBe('3');
    expect(properties.get('min.insync.replicas')).toBe('2');
    expect(properties.get('auto.leader.rebalance.enable')).toBe('false');
  });

  it('never creates a topic because somebody asked for it', () => {
    expect(propertiesOf({}).get('auto.create.topics.enable')).toBe('false');
    expect(propertiesOf({ nodes: [node(1), node(2), node(3)] }).get('auto.create.topics.enable')).toBe('false');
  });

  it('opens and advertises further listeners with their protocols', () => {
    const properties = propertiesOf({
      nodes: [node(1, { LOGIN: 9291, SECURE: 9391 })],
      listeners: { LOGIN: 'SASL_PLAINTEXT', SECURE: 'SASL_SSL' },
    });
    const open = 'PLAINTEXT://127.0.0.1:9091,LOGIN://127.0.0.1:9291,SECURE://127.0.0.1:9391';
    expect(properties.get('listeners')).toBe(`${open},CONTROLLER://127.0.0.1:9191`);
    expect(properties.get('advertised.listeners')).toBe(open);
    expect(properties.get('listener.security.protocol.map')).toBe(
      'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT,SECURE:SASL_SSL',
    );
    expect(properties.get('inter.broker.listener.name')).toBe('PLAINTEXT');
  });

  it('lets the caller have the last word', () => {
    const properties = propertiesOf({ config: { 'log.segment.bytes': '1048576', 'sasl.enabled.mechanisms': 'PLAIN' } });
    expect(properties.get('log.segment.bytes')).toBe('1048576');
    expect(properties.get('sasl.enabled.mechanisms')).toBe('PLAIN');
  });

  it('refuses a node that is not of the cluster', () => {
    expect(() => propertiesOf({ nodeId: 4 })).toThrow(RangeError);
  });
});

describe('propertiesText', () => {
  it.each([
    ['a plain value', '127.0.0.1:9092', 'key=127.0.0.1:9092\n'],
    ['an equals sign and quotes', 'user_alice="secret";', 'key=user_alice="secret";\n'],
    ['spaces inside', '/my data/kafka', 'key=/my data/kafka\n'],
    ['a leading space', ' indented', 'key=\\ indented\n'],
    ['a backslash', 'C:\\data', 'key=C:\\\\data\n'],
    ['a line break', 'one\ntwo', 'key=one\\ntwo\n'],
    ['letters beyond ASCII', '/home/jürgen/ž', 'key=/home/j\\u00fcrgen/\\u017e\n'],
    ['a character of two code units', '📦', 'key=\\ud83d\\udce6\n'],
    ['nothing', '', 'key=\n'],
  ])('writes %s so that Java reads the same', (_what, value, line) => {
    expect(propertiesText({ key: value })).toBe(line);
  });
});
