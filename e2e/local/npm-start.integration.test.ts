/**
 * `npm start` as people use it: what it prints, what works then, and how it ends.
 */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort, startKafka, startProcess, waitFor, type ChildService, type ProcessExit } from '@knative-kafka/local-cluster';
import { commandsOf } from '../cluster/page-commands.ts';
import { patienceMs, root, Subscriber } from './harness.ts';

/** What the manual promises for Ctrl-C. */
const stopLimitMs = 10_000;
/** The first start builds, and brings up Kafka. */
const startPatienceMs = 180_000;

const event = { 'ce-specversion': '1.0', 'ce-source': '/quickstart', 'ce-type': 'greeting', 'content-type': 'application/json' };

describe('npm start', () => {
  let folder: string;
  let manifests: string;
  let port: number;
  let displayPort: number;
  const running: ChildService[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'knative-kafka-start-'));
    manifests = join(folder, 'manifests');
    mkdirSync(manifests);
    [port, displayPort] = [await freePort(), await freePort()];
    const quickstart = join(root, 'examples', 'quickstart');
    for (const name of readdirSync(quickstart).filter((file) => file.endsWith('.yaml'))) {
      writeFileSync(join(manifests, name), readFileSync(join(quickstart, name), 'utf8').replaceAll('127.0.0.1:8081', `127.0.0.1:${displayPort}`));
    }
  });
  afterEach(() => Promise.all(running.splice(0).map((started) => started.stop())));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const npmStart = (args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): ChildService => {
    const started = startProcess({ name: 'npm start', command: 'npm', args: ['start', '--', ...args], cwd: root, env: { NO_COLOR: '1', KAFKA_BROKERS: undefined, ...env } });
    running.push(started);
    return started;
  };
  const start = async (more: readonly string[] = [], env: Readonly<Record<string, string | undefined>> = {}): Promise<ChildService> => {
    const started = npmStart(['--port', String(port), '--display-port', String(displayPort), '--manifests', manifests, '--data', join(folder, 'data'), ...more], env);
    await started.waitForOutput('Knative Kafka is ready.', startPatienceMs);
    await started.waitForOutput(/^\s+curl -i (\S+)/m, patienceMs);
    return started;
  };
  /** What a terminal does at Ctrl-C. @throws Error when that takes too long */
  const pressCtrlC = async (started: ChildService): Promise<ProcessExit> => {
    process.kill(-started.pid, 'SIGINT');
    return waitFor('the end of npm start', () => (started.isRunning() ? undefined : started.exited), { timeoutMs: stopLimitMs });
  };
  const post = async (channel: string, id: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}/default/${channel}`, { method: 'POST', headers: { ...event, 'ce-id': id }, body: `{"hello":"${id}"}` })).status;

  it('prints how to send an event, shows it when it arrives, tells the state of everything, and ends at Ctrl-C', async () => {
    const started = await start();
    const [, url] = await started.waitForOutput(/curl -i (http:\S+)/, patienceMs);
    expect(url).toBe(`http://127.0.0.1:${port}/default/quickstart`);
    expect(started.output()).toContain('KafkaChannel');

    // As people do: the printed lines, pasted into a shell.
    const printed = /curl -i .*\n.*\n.*'$/m.exec(started.output())?.[0];
    expect(execFileSync('sh', ['-c', printed!], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })).toContain('202 Accepted');
    await started.waitForOutput(/● event[^●]*greeting[^●]*\{"hello":"world"\}/, patienceMs);

    const page = await fetch(`http://127.0.0.1:${port}/`);
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(await page.text()).toContain('default/quickstart');
    const status = await (await fetch(`http://127.0.0.1:${port}/status.json`)).json() as { resources: { kind: string; name: string; conditions: { type: string; status: string }[] }[]; consumers: { subscription: string; delivered: number }[] };
    const ready = status.resources.filter(({ conditions }) => conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True'));
    expect(ready.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual(['KafkaChannel default/quickstart', 'Subscription default/event-display']);
    expect(status.consumers).toMatchObject([{ subscription: 'event-display', delivered: 1 }]);

    // A mistake is told with its place, and mended with a word as well.
    writeFileSync(join(manifests, 'mistake.yaml'), 'apiVersion: messaging.knative.dev/v1\nkind: KafkaChannel\nmetadata: { name: more, namespace: default }\nspec: { numPartitions: lots }\n');
    await started.waitForOutput(/mistake\.yaml:4 \(document 1\).*spec\.numPartitions/, patienceMs);
    writeFileSync(join(manifests, 'mistake.yaml'), 'apiVersion: messaging.knative.dev/v1\nkind: KafkaChannel\nmetadata: { name: more, namespace: default }\nspec: { numPartitions: 2 }\n');
    await started.waitForOutput(/KafkaChannel default\/more Ready/, patienceMs);
    expect(await post('more', '1')).toBe(202);
    rmSync(join(manifests, 'mistake.yaml'));
    await started.waitForOutput(/KafkaChannel default\/more removed/, patienceMs);

    // How much each part logs is a manifest as well.
    const logLines = () => readFileSync(join(folder, 'data', 'log', 'standalone.log'), 'utf8').split('\n').filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as { level: string; service: string; logLevel?: string });
    writeFileSync(join(manifests, 'logging.yaml'), 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: config-kafka-logging, namespace: knative-eventing }\ndata: { loglevel.dispatcher: debug }\n');
    await waitFor('more in the log', () => logLines().some(({ level }) => level === 'debug'), { timeoutMs: patienceMs });
    rmSync(join(manifests, 'logging.yaml'));
    await waitFor('less in the log', () => logLines().some(({ logLevel }) => logLevel === 'info'), { timeoutMs: patienceMs });
    expect(new Set(logLines().filter(({ level, logLevel }) => level === 'debug' || logLevel !== undefined).map(({ service }) => service))).toEqual(new Set(['dispatcher']));

    expect(await pressCtrlC(started)).toEqual({ code: 0, signal: null });
  });

  it('delivers at the next start what could not be delivered before, even when a subscriber hangs at Ctrl-C', async () => {
    const subscriber = await Subscriber.start({ answer: () => new Promise<number>(() => undefined) });
    try {
      writeFileSync(join(manifests, 'late.yaml'), JSON.stringify({
        apiVersion: 'messaging.knative.dev/v1', kind: 'Subscription', metadata: { name: 'late', namespace: 'default' },
        spec: { channel: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'quickstart' }, subscriber: { uri: subscriber.uri } },
      }));
      const first = await start();
      expect(await post('quickstart', 'kept')).toBe(202);
      await first.waitForOutput('{"hello":"kept"}', patienceMs);
      await waitFor('an attempt that hangs', () => subscriber.received.length === 1, { timeoutMs: patienceMs });
      expect(await pressCtrlC(first)).toEqual({ code: 0, signal: null });

      subscriber.answer = () => 200;
      const second = await start();
      await subscriber.untilAccepted(new Set(['kept']));
      expect(subscriber.accepted[0]!.body.toString()).toBe('{"hello":"kept"}');
      expect(second.output()).not.toContain('{"hello":"kept"}'); // the display had it, and does not get it again
      second.signal('SIGTERM');
      expect(await second.exited).toEqual({ code: 0, signal: null });
    } finally {
      rmSync(join(manifests, 'late.yaml'), { force: true });
      await subscriber.close();
    }
  });

  it('serves a KafkaSource as docs/KAFKA-SOURCE.md has it made', async () => {
    const started = await start();
    const [, kafka = ''] = await started.waitForOutput(/Kafka +(127\.0\.0\.1:\d+)/, patienceMs);
    execFileSync('sh', ['-euc', commandsOf('docs/KAFKA-SOURCE.md', 'quickstart', { '127.0.0.1:9092': kafka, '127.0.0.1:8081': `127.0.0.1:${displayPort}`, 'examples/quickstart': manifests })]);
    await started.waitForOutput(/KafkaSource default\/quickstart Ready/, patienceMs);
    expect(await post('quickstart', 'from both')).toBe(202);
    await waitFor('the event from the channel and from the source', () => started.output().split('{"hello":"from both"}').length === 3, { timeoutMs: patienceMs });
    rmSync(join(manifests, 'kafka-source.yaml'));
    await started.waitForOutput(/KafkaSource default\/quickstart removed/, patienceMs);
    expect(await pressCtrlC(started)).toEqual({ code: 0, signal: null });
  });

  it('uses the Kafka of KAFKA_BROKERS and leaves it running; a folder without manifests is watched as well', async () => {
    const kafka = await startKafka({ dataDir: join(folder, 'given') });
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    try {
      const started = npmStart(['--port', String(port), '--display-port', String(displayPort), '--manifests', empty, '--data', join(folder, 'data')], { KAFKA_BROKERS: kafka.bootstrap });
      await started.waitForOutput('Knative Kafka is ready.', patienceMs);
      expect(started.output()).toContain(kafka.bootstrap);
      expect(started.output()).not.toContain('Apache Kafka');
      for (const name of readdirSync(manifests)) writeFileSync(join(empty, name), readFileSync(join(manifests, name)));
      await started.waitForOutput(/Subscription default\/event-display Ready/, patienceMs);
      expect(await post('quickstart', 'given')).toBe(202);
      await started.waitForOutput('{"hello":"given"}', patienceMs);
      expect(await pressCtrlC(started)).toEqual({ code: 0, signal: null });
      expect(kafka.brokers[0]!.isRunning()).toBe(true);
    } finally {
      await kafka.stop();
    }
  });

  it('explains itself with --help', async () => {
    const started = npmStart(['--help']);
    expect(await started.exited).toEqual({ code: 0, signal: null });
    for (const option of ['--manifests', '--port', '--kafka', '--display-port', '--data', 'KAFKA_BROKERS']) expect(started.output()).toContain(option);
  });

  it.each([
    [['--prot', '1'], '--prot'],
    [['--port', 'many'], '--port: expected a port number from 0 to 65535, got "many"'],
    [['--manifests', '/there/is/no/such/folder', '--kafka', '127.0.0.1:1'], '/there/is/no/such/folder'],
  ])('names what is wrong with %j, and ends with code 1', async (args, named) => {
    const started = npmStart(args);
    expect(await started.exited).toEqual({ code: 1, signal: null });
    expect(started.output()).toContain(named);
  });

  it('says that a port is taken', async () => {
    const subscriber = await Subscriber.start();
    try {
      const taken = new URL(subscriber.uri).port;
      const started = npmStart(['--port', taken, '--display-port', '0', '--kafka', '127.0.0.1:1', '--manifests', manifests, '--data', join(folder, 'data')]);
      expect(await started.exited).toEqual({ code: 1, signal: null });
      expect(started.output()).toMatch(new RegExp(`port ${taken}.*in use`));
    } finally {
      await subscriber.close();
    }
  });

  it('says what is missing where neither Java nor Docker is, and ends with code 1', async () => {
    // A PATH with nothing but what runs npm: node, npm beside its own files, and a shell.
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    const npm = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim();
    symlinkSync(process.execPath, join(bin, 'node'));
    writeFileSync(join(bin, 'npm'), `#!/bin/sh\nexec "${process.execPath}" "${npm}" "$@"\n`);
    chmodSync(join(bin, 'npm'), 0o755);
    for (const tool of ['sh', 'uname']) symlinkSync(execFileSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).trim(), join(bin, tool));
    const started = npmStart(['--port', String(port), '--data', join(folder, 'none')], { PATH: bin, JAVA_HOME: '' });
    expect(await started.exited).toEqual({ code: 1, signal: null });
    expect(started.output()).toMatch(/No Kafka was given[^]*--kafka HOST:PORT[^]*Install Java[^]*docker is not on the PATH/);
    expect(dirname(npm)).not.toBe(bin);
  });
});
