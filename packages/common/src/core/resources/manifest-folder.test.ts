import { describe, expect, it } from 'vitest';
import type { FolderFile, FolderState } from './manifest-folder.ts';
import { emptyFolder, nextFolderState } from './manifest-folder.ts';

const settings = {
  channelUrl: ({ namespace, name }: { namespace: string; name: string }) => `http://localhost:8080/${namespace}/${name}`,
  clusterDomain: 'cluster.local',
};

const channel = (name: string, spec = ''): string =>
  `apiVersion: messaging.knative.dev/v1\nkind: KafkaChannel\nmetadata: {name: ${name}}\nspec: {${spec}}\n`;
const subscription = (name: string, to: string, more = '', metadata = ''): string =>
  `apiVersion: messaging.knative.dev/v1\nkind: Subscription\nmetadata: {name: ${name}${metadata}}\nspec:\n` +
  `  channel: {apiVersion: messaging.knative.dev/v1, kind: KafkaChannel, name: ${to}}\n` +
  `  subscriber: {uri: "http://${name}"}\n${more}`;

const kafkaSource = (name: string, more = '', sink = '{uri: "http://sink"}'): string =>
  `apiVersion: sources.knative.dev/v1\nkind: KafkaSource\nmetadata: {name: ${name}}\nspec:\n  bootstrapServers: ["kafka:9092"]\n  topics: [orders]\n  sink: ${sink}\n${more}`;

/** The states after each of several readings, each given as texts by file name; undefined for a file that is unreadable. */
function readings(...folders: Record<string, string | undefined>[]): FolderState[] {
  const states: FolderState[] = [];
  for (const folder of folders) {
    const files = Object.entries(folder).map(
      ([name, text]): FolderFile => (text === undefined ? { name, unreadable: 'cannot be read: EIO' } : { name, text }),
    );
    states.push(nextFolderState(states.at(-1) ?? emptyFolder, files, settings));
  }
  return states;
}
const last = (...folders: Record<string, string | undefined>[]): FolderState => readings(...folders).at(-1)!;
/** `name(partitions)` of each KafkaChannel. */
const channels = ({ resources }: FolderState): string[] =>
  resources.channels.map(({ metadata, spec }) => `${metadata.name}(${spec.numPartitions})`);
const problems = ({ resources }: FolderState): string[] =>
  resources.problems.map(({ level, file, line, message }) => `${level} ${file}:${line} ${message}`);

describe('what is in force', () => {
  it('is what all files say together, sorted by name whatever the files are called', () => {
    const state = last({
      'z.yaml': `${channel('b')}---\n${subscription('s1', 'a')}`,
      'a.yaml': `${subscription('s0', 'a')}---\n${channel('c')}`,
      'm.json': JSON.stringify({ apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', metadata: { name: 'a' } }),
    });
    expect(channels(state)).toEqual(['a(1)', 'b(1)', 'c(1)']);
    expect(state.resources.channels[0]?.spec.subscribers.map((each) => [each.name, each.subscriberUri, each.generation])).toEqual([
      ['s0', 'http://s0', 1],
      ['s1', 'http://s1', 1],
    ]);
    expect(state.resources.problems).toEqual([]);
  });

  it('has Secrets and ConfigMaps, and Services for Destinations to refer to', () => {
    const { resources } = last({
      'a.yaml': `apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: v}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: v}\n---\n` +
        `apiVersion: v1\nkind: Service\nmetadata: {name: svc}\n---\n${channel('a')}---\n` +
        subscription('s', 'a', '  reply: {ref: {apiVersion: v1, kind: Service, name: svc}}\n'),
    });
    expect(resources.secrets.map((secret) => secret.data['k']?.toString())).toEqual(['v']);
    expect(resources.configMaps.map((configMap) => configMap.data)).toEqual([{ k: 'v' }]);
    expect(resources.channels[0]?.spec.subscribers[0]?.replyUri).toBe('http://svc.default.svc.cluster.local');
  });

  it('heals by itself when what is missing appears', () => {
    const states = readings({ 'a.yaml': subscription('s', 'orders') }, { 'a.yaml': subscription('s', 'orders'), 'b.yaml': channel('orders') });
    expect(problems(states[0]!)).toEqual([
      'warning a.yaml:1 not added to its channel: spec.channel: KafkaChannel default/orders does not exist',
    ]);
    expect(problems(states[1]!)).toEqual([]);
    expect(states[1]?.resources.channels[0]?.spec.subscribers).toHaveLength(1);
  });
});

describe('a KafkaSource', () => {
  const sources = ({ resources }: FolderState): unknown[] => resources.sources.map(({ source, sink, deadLetterSink }) => [source.metadata.name, sink, deadLetterSink]);

  it('is served with its destinations resolved, and whoever reads it does the rest', () => {
    const state = last({
      'b.yaml': kafkaSource('b', '  delivery: {deadLetterSink: {ref: {apiVersion: v1, kind: Service, name: dead}, uri: /letters}}\n'),
      'a.yaml': `${kafkaSource('a', '', '{ref: {apiVersion: messaging.knative.dev/v1, kind: KafkaChannel, name: c}}')}---\n${channel('c')}---\napiVersion: v1\nkind: Service\nmetadata: {name: dead}\n`,
    });
    expect(problems(state)).toEqual([]);
    expect(sources(state)).toEqual([
      ['a', { uri: 'http://localhost:8080/default/c' }, undefined],
      ['b', { uri: 'http://sink' }, { uri: 'http://dead.default.svc.cluster.local/letters' }],
    ]);
    expect(state.resources.sources[0]).toMatchObject({ placements: undefined, needsInitialOffsets: true, source: { spec: { consumers: 1, initialOffset: 'latest' } } });
    expect(state.resources.sources[0]?.source.spec.consumerGroup).toMatch(/^knative-kafka-source-[0-9a-f-]{36}$/);
  });

  it('without a destination that is there is reported and not served, until it appears', () => {
    const service = (name: string): string => `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\n`;
    const a = kafkaSource('a', '  delivery: {deadLetterSink: {ref: {apiVersion: v1, kind: Service, name: dead}}}\n', '{ref: {apiVersion: v1, kind: Service, name: shop}}');
    const states = readings({ a }, { a, b: service('shop') }, { a, b: service('shop'), c: service('dead') });
    expect(states.map(problems)).toEqual([
      ['warning a:1 not served: spec.sink: Service default/shop does not exist'],
      ['warning a:1 not served: spec.delivery.deadLetterSink: Service default/dead does not exist'],
      [],
    ]);
    expect(states.map((state) => state.resources.sources.length)).toEqual([0, 0, 1]);
  });

  it('counts the changes of its spec', () => {
    const states = readings({ a: kafkaSource('a') }, { a: `# same\n${kafkaSource('a')}` }, { a: kafkaSource('a', '  consumers: 2\n') });
    expect(states.map(({ resources }) => resources.sources.map(({ source }) => source.metadata.generation))).toEqual([[1], [1], [2]]);
  });

  it('stays as it was while its document is wrong', () => {
    const state = last({ a: kafkaSource('a', '  consumers: 2\n') }, { a: kafkaSource('a', '  consumers: many\n') });
    expect(state.resources.sources.map(({ source }) => source.spec.consumers)).toEqual([2]);
  });
});

describe('a mistake', () => {
  const good = { 'a.yaml': `${channel('one', 'numPartitions: 2')}---\n${channel('two')}`, 'b.yaml': channel('three') };

  it.each<[string, Record<string, string | undefined>, string[]]>([
    ['a wrong field keeps the resource as it was', { ...good, 'a.yaml': `${channel('one', 'numPartitions: x')}---\n${channel('two', 'numPartitions: 5')}` }, ['one(2)', 'three(1)', 'two(5)']],
    ['a broken document keeps what it may have been', { ...good, 'a.yaml': `${channel('one', 'numPartitions: [')}---\n${channel('two')}` }, ['one(2)', 'three(1)', 'two(1)']],
    ['a wrong name as well', { ...good, 'a.yaml': `${channel('One')}---\n${channel('two')}` }, ['one(2)', 'three(1)', 'two(1)']],
    ['a kind with a typing error as well', { ...good, 'a.yaml': `${channel('one').replace('KafkaChannel', 'KafkaChanel')}---\n${channel('two')}` }, ['one(2)', 'three(1)', 'two(1)']],
    ['an open quote that swallows the rest of the file', { ...good, 'a.yaml': `x: "\n---\n${channel('one')}---\n${channel('two')}` }, ['one(2)', 'three(1)', 'two(1)']],
    ['a file that cannot be read', { ...good, 'a.yaml': undefined }, ['one(2)', 'three(1)', 'two(1)']],
    ['a file that is too large', { ...good, 'a.yaml': `# ${'x'.repeat(1024 * 1024)}` }, ['one(2)', 'three(1)', 'two(1)']],
    ['a version that does not exist', { ...good, 'b.yaml': channel('three').replace('/v1', '/v2') }, ['one(2)', 'three(1)', 'two(1)']],
  ])('%s', (_name, folder, expected) => {
    const state = last(good, folder);
    expect(channels(state)).toEqual(expected);
    expect(state.resources.problems.map((problem) => problem.level)).toContain('error');
    expect(problems(state)).toContainEqual(expect.stringMatching(/its last valid version stays in force/));
  });

  it('stays harmless however often the file is saved with it', () => {
    const bad = { ...good, 'a.yaml': channel('one', 'numPartitions: x') };
    expect(channels(last(good, bad, { ...bad, 'a.yaml': `${bad['a.yaml']}# again\n` }, { ...bad, 'a.yaml': 'x: [' }))).toEqual(['one(2)', 'three(1)']);
  });

  it('keeps nothing that is in another file by now', () => {
    const state = last(good, { ...good, 'a.yaml': 'x: [', 'c.yaml': channel('two', 'numPartitions: 9') });
    expect(channels(state)).toEqual(['one(2)', 'three(1)', 'two(9)']);
    expect(problems(state)).toEqual([expect.stringMatching(/^error a.yaml:\d not valid YAML/), 'info a.yaml:1 its last valid version stays in force']);
  });

  it('is over once it is corrected', () => {
    const state = last(good, { ...good, 'b.yaml': 'x: [' }, { ...good, 'b.yaml': channel('three', 'numPartitions: 7') });
    expect(channels(state)).toEqual(['one(2)', 'three(7)', 'two(1)']);
    expect(problems(state)).toEqual([]);
  });

  it('from the first reading on has nothing to fall back to', () => {
    const state = last({ 'a.yaml': `${channel('one', 'numPartitions: x')}---\n${channel('two')}` });
    expect(channels(state)).toEqual(['two(1)']);
    expect(problems(state)).toEqual(['error a.yaml:4 expected a whole number of at least 1, found "x"']);
  });
});

describe('deleting', () => {
  const both = `${channel('one')}---\n${channel('two')}`;
  it.each<[string, Record<string, string>, string[]]>([
    ['a document', { 'a.yaml': channel('two') }, ['two(1)']],
    ['all documents of a file', { 'a.yaml': '' }, []],
    ['the file', {}, []],
    ['a document next to one that is wrong but says who it is', { 'a.yaml': channel('two', 'numPartitions: x') }, ['two(1)']],
    ['the file of a resource and writing it to another', { 'b.yaml': both }, ['one(1)', 'two(1)']],
  ])('%s deletes what was in it', (_name, folder, expected) => {
    expect(channels(last({ 'a.yaml': both }, folder))).toEqual(expected);
  });

  it('a file also deletes what stayed in force in spite of mistakes', () => {
    expect(channels(last({ 'a.yaml': both }, { 'a.yaml': 'x: [' }, {}))).toEqual([]);
  });
});

describe('several documents for one resource', () => {
  it('count by the name of the file, then by their place in it', () => {
    const state = last({ 'b.yaml': channel('one', 'numPartitions: 2'), 'a.yaml': `${channel('one', 'numPartitions: 3')}---\n${channel('one', 'numPartitions: 4')}` });
    expect(channels(state)).toEqual(['one(3)']);
    expect(problems(state)).toEqual([
      'error a.yaml:6 is there already, in a.yaml, line 1; the first one counts',
      'error b.yaml:1 is there already, in a.yaml, line 1; the first one counts',
    ]);
  });

  it('may have the same name in different namespaces and kinds', () => {
    const elsewhere = channel('one').replace('{name: one}', '{name: one, namespace: shop}');
    const state = last({ 'a.yaml': `${channel('one')}---\n${elsewhere}---\n${subscription('one', 'one')}` });
    expect(problems(state)).toEqual([]);
    expect(state.resources.channels).toHaveLength(2);
  });

  it('are the same resource in either version', () => {
    expect(problems(last({ 'a.yaml': `${channel('one')}---\n${channel('one').replace('/v1', '/v1beta1')}` }))).toHaveLength(1);
  });

  it('let the next one in when the first is deleted', () => {
    const two = { 'b.yaml': channel('one', 'numPartitions: 2') };
    const state = last({ ...two, 'a.yaml': channel('one', 'numPartitions: 3') }, two);
    expect(channels(state)).toEqual(['one(2)']);
    expect(state.resources.channels[0]?.metadata.generation).toBe(2);
  });
});

describe('uids', () => {
  it('are the same in every process, because consumer groups are named by them', () => {
    const folder = { 'a.yaml': `${channel('a')}---\n${subscription('s', 'a')}` };
    const [uid] = last(folder).resources.channels[0]!.spec.subscribers.map((subscriber) => subscriber.uid);
    expect(uid).toBe('f1cbc010-fa09-817d-8ba9-18e7e01e107b');
    expect(last({}, { ...folder, 'b.yaml': channel('b') }).resources.channels[0]?.spec.subscribers[0]?.uid).toBe(uid);
  });

  it('are taken from manifests that have one, but not for two Subscriptions', () => {
    const uid = ', uid: 11111111-2222-3333-4444-555555555555';
    const state = last({ 'a.yaml': `${channel('a')}---\n${subscription('s', 'a', '', uid)}---\n${subscription('copy', 'a', '', uid)}` });
    expect(state.resources.channels[0]?.spec.subscribers.map((each) => [each.name, each.uid])).toEqual([['s', uid.slice(7)]]);
    expect(problems(state)).toEqual([
      'error a.yaml:13 has the uid of Subscription default/s in a.yaml, line 6; leave metadata.uid out',
    ]);
  });
});

describe('generations', () => {
  const generations = (states: FolderState[]): unknown[] =>
    states.map(({ resources }) => [
      resources.channels.map((each) => each.metadata.generation),
      resources.subscriptions.map((each) => each.subscription.metadata.generation),
      resources.channels.flatMap((each) => each.spec.subscribers.map((subscriber) => subscriber.generation)),
    ]);

  it('move with spec, and with nothing else', () => {
    const a = channel('a');
    const s = subscription('s', 'a');
    expect(
      generations(
        readings(
          { a, s },
          { a: `# a comment\n${a}`, s },
          { a: a.replace('spec: {}', 'spec: {numPartitions: 1}'), s },
          { a, s: s.replace('{name: s}', '{name: s, labels: {x: y}}') },
          { a, s: s.replace('http://s', 'http://t') },
          { a: channel('a', 'numPartitions: 2'), s: s.replace('http://s', 'http://t') },
        ),
      ),
    ).toEqual([
      [[1], [1], [1]],
      [[1], [1], [1]],
      [[1], [1], [1]],
      [[1], [1], [1]],
      [[2], [2], [2]], // an entry of spec.subscribers is part of the channel's spec
      [[3], [2], [2]],
    ]);
  });

  it('begin at 1 again for a resource that was away', () => {
    const states = readings({ a: channel('a') }, { a: channel('a', 'numPartitions: 2') }, {}, { a: channel('a') });
    expect(states.map(({ resources }) => resources.channels.map((each) => each.metadata.generation))).toEqual([[1], [2], [], [1]]);
  });
});

it('does not read again what did not change', () => {
  const [first, second] = readings({ 'a.yaml': channel('a'), 'b.yaml': channel('b') }, { 'a.yaml': channel('a'), 'b.yaml': channel('b', 'numPartitions: 2') });
  expect(second?.files.get('a.yaml')).toBe(first?.files.get('a.yaml'));
  expect(second?.files.get('b.yaml')).not.toBe(first?.files.get('b.yaml'));
});
