import { describe, expect, it } from 'vitest';
import { readArguments, usage } from './config.ts';

const where = { home: '/clone', typedIn: '/clone/examples' };
function read(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return readArguments(argv, env, where);
}

describe('the command line of npm start', () => {
  it('needs nothing: the quickstart of the clone, usual ports, a Kafka of its own', () => {
    expect(read([])).toEqual({ manifestsDir: '/clone/examples/quickstart', dataDir: '/clone/.local', httpPort: 8080, displayPort: 8081, kafkaBrokers: undefined });
  });

  it.each<[readonly string[], object]>([
    [['--port', '9000'], { httpPort: 9000 }],
    [['--port=0'], { httpPort: 0 }],
    [['--display-port', '0'], { displayPort: 0 }],
    [['--kafka', 'kafka:9092'], { kafkaBrokers: ['kafka:9092'] }],
    [['--kafka', 'a:1, [::1]:2'], { kafkaBrokers: ['a:1', '[::1]:2'] }],
    [['--manifests', '/else/where'], { manifestsDir: '/else/where' }],
    [['--manifests', 'quickstart'], { manifestsDir: '/clone/examples/quickstart' }], // relative to where it was typed
    [['--manifests=../mine'], { manifestsDir: '/clone/mine' }],
    [['--data', 'd'], { dataDir: '/clone/examples/d' }],
  ])('%j', (argv, expected) => {
    expect(read(argv)).toMatchObject(expected);
  });

  it('takes Kafka from the environment as well; what was typed counts more', () => {
    expect(read([], { KAFKA_BROKERS: 'a:1,b:2' })).toMatchObject({ kafkaBrokers: ['a:1', 'b:2'] });
    expect(read(['--kafka', 'c:3'], { KAFKA_BROKERS: 'a:1' })).toMatchObject({ kafkaBrokers: ['c:3'] });
    expect(read([], { KAFKA_BROKERS: '' })).toMatchObject({ kafkaBrokers: undefined });
  });

  it.each([[['--help']], [['-h']], [['--port', 'x', '--help']]])('%j asks for help', (argv) => {
    expect(read(argv)).toEqual({ help: true });
  });

  it('lists every option it understands', () => {
    for (const option of ['--manifests', '--port', '--display-port', '--kafka', '--data', '--help', 'KAFKA_BROKERS']) expect(usage).toContain(option);
  });

  it.each<[readonly string[], Readonly<Record<string, string>>, RegExp]>([
    [['--port', '65536'], {}, /^--port: expected a port number from 0 to 65535, got "65536"$/],
    [['--port', '8o80'], {}, /^--port: .*got "8o80"/],
    [['--display-port', '-1'], {}, /--display-port/],
    [['--kafka', 'kafka'], {}, /^--kafka: expected HOST:PORT, several separated by commas, got "kafka"$/],
    [['--kafka', 'kafka:99999'], {}, /^--kafka/],
    [['--kafka', ''], {}, /^--kafka/],
    [[], { KAFKA_BROKERS: 'kafka' }, /^--kafka: .*got "kafka"/],
    [['--prot', '1'], {}, /--prot/],
    [['--manifests'], {}, /--manifests/],
    [['surplus'], {}, /surplus/],
  ])('%j with %j names what is wrong', (argv, env, problem) => {
    const answer = read(argv, env);
    expect(answer).toEqual({ problem: expect.stringMatching(problem) });
  });
});
