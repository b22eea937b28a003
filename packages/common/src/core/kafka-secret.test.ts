import { describe, expect, it } from 'vitest';
import { parseKafkaSecret } from './kafka-secret.ts';
import { fieldName } from './resources/field-problem.ts';

const brokers = 'kafka-0:9092,kafka-1:9092';
const servers = ['kafka-0:9092', 'kafka-1:9092'];
const plain = { mechanism: 'plain', username: 'ann', password: 'pass' };

type Data = Parameters<typeof parseKafkaSecret>[0];
const problemsOf = (data: Data): string[] => {
  const result = parseKafkaSecret(data);
  return 'problems' in result ? result.problems.map(({ path, message }) => `${fieldName(path)} ${message}`) : [];
};

describe('parseKafkaSecret', () => {
  it.each<[string, Data, object]>([
    ['brokers alone', { brokers }, { brokers: servers }],
    ['of knative-kafka: SASL is always over TLS', { brokers, username: 'ann', password: 'pass', namespace: 'azure' }, { brokers: servers, tls: true, sasl: plain }],
    ['of knative-kafka without credentials: empty values', { brokers, username: '', password: '', namespace: '' }, { brokers: servers }],
    ['of eventing-kafka-broker', { 'bootstrap.servers': brokers, protocol: 'SASL_SSL', 'sasl.mechanism': 'PLAIN', user: 'ann', password: 'pass' }, { brokers: servers, tls: true, sasl: plain }],
    ['the mechanism by default', { brokers, protocol: 'SASL_PLAINTEXT', user: 'ann', password: 'pass' }, { brokers: servers, sasl: plain }],
    ['TLS without SASL', { brokers, protocol: 'SSL', 'user.skip': 'true' }, { brokers: servers, tls: true }],
    ['TLS, client certificates skipped', { brokers, protocol: 'SSL', 'user.skip': 'true', 'user.crt': 'x' }, { brokers: servers, tls: true }],
    ['PLAINTEXT, whatever else is there', { brokers, protocol: 'PLAINTEXT', user: 'ann', password: 'pass', 'ca.crt': 'x' }, { brokers: servers }],
    ['the older format with TLS', { brokers, 'tls.enabled': 'true', user: 'ann', password: 'pass', saslType: 'plain' }, { brokers: servers, tls: true, sasl: plain }],
    ['the older format without TLS', { brokers, 'tls.enabled': 'false', username: 'ann', password: 'pass', sasltype: 'PLAIN' }, { brokers: servers, sasl: plain }],
    ['bytes, and line breaks that nobody meant', { brokers: Buffer.from(`${brokers}\n`), protocol: 'SASL_PLAINTEXT\n', username: Buffer.from('ann\n'), password: 'pass\r\n' }, { brokers: servers, sasl: plain }],
    ['a password with spaces at its ends', { brokers, protocol: 'SASL_PLAINTEXT', username: 'ann', password: ' p ' }, { brokers: servers, sasl: { ...plain, password: ' p ' } }],
    ['the first of two names for the same', { brokers, 'bootstrap.servers': 'other:1', protocol: 'sasl_plaintext', username: 'ann', user: 'bob', password: 'pass' }, { brokers: servers, sasl: plain }],
  ])('reads %s', (_name, data, connection) => {
    expect(parseKafkaSecret(data)).toEqual({ connection });
  });

  it.each<[string, Data, readonly string[]]>([
    ['nothing at all', {}, ['data.brokers is required: host:port, several separated by commas']],
    ['brokers that are none', { brokers: 'kafka' }, ['data.brokers expected host:port, several separated by commas']],
    ['brokers that are none, by the other name', { 'bootstrap.servers': 'http://kafka:1/' }, ['data["bootstrap.servers"] expected host:port, several separated by commas']],
    ['an unknown protocol', { brokers, protocol: 'SASL' }, ['data.protocol expected PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL']],
    ['a name of every object', { brokers, protocol: 'constructor' }, ['data.protocol expected PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL']],
    ['a user without a password', { brokers, username: 'ann' }, ['data.password is required for SASL']],
    ['SASL without credentials', { brokers, protocol: 'SASL_SSL' }, ['data.username is required for SASL', 'data.password is required for SASL']],
    ['SCRAM', { brokers, protocol: 'SASL_SSL', 'sasl.mechanism': 'SCRAM-SHA-512', user: 'ann', password: 'pass' }, ['data["sasl.mechanism"] this mechanism is not supported yet; supported is PLAIN']],
    ['SCRAM by the older name', { brokers, sasltype: 'SCRAM-SHA-256', username: 'ann', password: 'pass' }, ['data.sasltype this mechanism is not supported yet; supported is PLAIN']],
    ['an authority of their own', { brokers, protocol: 'SASL_SSL', 'ca.crt': 'x', user: 'ann', password: 'pass' }, [expect.stringMatching(/^data\["ca.crt"\] .* not supported yet/) as string]],
    ['client certificates', { brokers, protocol: 'SSL', 'user.crt': 'x', 'user.key': 'x' }, [expect.stringMatching(/^data\["user.crt"\] .* not supported yet/) as string, expect.stringMatching(/^data\["user.key"\] /) as string]],
    ['client certificates without a word about the protocol', { brokers, 'ca.crt': 'x', 'user.crt': 'x', 'user.key': 'x' }, [expect.stringMatching(/ca.crt/) as string, expect.stringMatching(/user.crt/) as string, expect.stringMatching(/user.key/) as string]],
    ['a switch that is neither on nor off', { brokers, 'tls.enabled': 'yes' }, ['data["tls.enabled"] expected true or false']],
    ['bytes that are no text', { brokers, username: 'ann', password: Buffer.from([0xff, 0xfe]) }, ['data.password is not UTF-8 text']],
  ])('says what is wrong with %s', (_name, data, problems) => {
    expect(problemsOf(data)).toEqual(problems);
  });

  it('never shows a value', () => {
    const secret = 'v4lue';
    const keys = ['brokers', 'bootstrap.servers', 'protocol', 'sasl.mechanism', 'sasltype', 'saslType', 'username', 'user', 'password', 'tls.enabled', 'ca.crt', 'user.crt', 'user.key', 'user.skip'];
    const all = Object.fromEntries(keys.map((key) => [key, secret]));
    for (const protocol of [undefined, 'SSL', 'SASL_SSL', secret]) {
      const problems = problemsOf({ ...all, ...(protocol === undefined ? {} : { protocol }) });
      expect(problems.length).toBeGreaterThan(0);
      expect(problems.join('\n')).not.toContain(secret);
    }
  });
});
