/**
 * Both client libraries against a broker that asks who they are, in every way: who is let in, and what they who are not
 * are told.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSecuredKafka, waitFor, type SecuredKafka, type SecuredListener } from '@knative-kafka/local-cluster';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Fault } from '../../core/fault.ts';
import type { KafkaAccess, PasswordCredentials, SaslCredentials } from '../../core/kafka-secret.ts';
import { RecordBatch } from '../../core/record-batch.ts';
import { createKafkaClient } from './client.ts';
import type { KafkaClient } from './port.ts';
import { groupOf, recordMember } from './recorded-member.ts';

const timeoutMs = 60_000;
let dataDir: string;
let kafka: SecuredKafka;
let topics = 0;
const opened: { close(): unknown }[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'security-test-'));
  kafka = await startSecuredKafka({ dataDir: join(dataDir, 'kafka') });
  await writeFile(tokenFile(), `${kafka.tokens.createToken()}\n`);
});

afterAll(async () => {
  await kafka.stop();
  await rm(dataDir, { recursive: true, force: true });
});

afterEach(async () => {
  for (const client of opened.splice(0)) await client.close();
});

function tokenFile(): string {
  return join(dataDir, 'token');
}

type Row = readonly [what: string, listener: SecuredListener | 'plaintext', access: () => Omit<KafkaAccess, 'brokers'>];

function password(mechanism: PasswordCredentials['mechanism'], text: string = kafka.users.ann): SaslCredentials {
  return { mechanism, username: 'ann', password: text };
}

function tokenOfServer(change: Partial<{ url: string; clientSecret: string; ca: string | undefined }> = {}): SaslCredentials {
  const { tlsUrl, clientId, clientSecret } = kafka.tokens;
  return { mechanism: 'oauthbearer', token: { kind: 'endpoint', url: tlsUrl, clientId, clientSecret, scope: 'kafka', ca: kafka.ca, ...change } };
}

function fixedToken(options: Parameters<SecuredKafka['tokens']['createToken']>[0]): SaslCredentials {
  return { mechanism: 'oauthbearer', token: { kind: 'fixed', token: kafka.tokens.createToken(options) } };
}

const letIn: readonly Row[] = [
  ['PLAIN', 'password', () => ({ sasl: password('plain') })],
  ['SCRAM-SHA-256', 'password', () => ({ sasl: password('scram-sha-256') })],
  ['SCRAM-SHA-512', 'password', () => ({ sasl: password('scram-sha-512') })],
  ['TLS with a CA of our own', 'tls', () => ({ tls: { ca: kafka.ca } })],
  ['a client certificate', 'clientCertificate', () => ({ tls: { ca: kafka.ca, client: kafka.client } })],
  ['PLAIN over TLS', 'passwordTls', () => ({ sasl: password('plain'), tls: { ca: kafka.ca } })],
  ['SCRAM-SHA-512 over TLS', 'passwordTls', () => ({ sasl: password('scram-sha-512'), tls: { ca: kafka.ca } })],
  ['a token of a server', 'token', () => ({ sasl: tokenOfServer() })],
  ['a token of a file, over TLS', 'tokenTls', () => ({ sasl: { mechanism: 'oauthbearer', token: { kind: 'file', path: tokenFile() } }, tls: { ca: kafka.ca } })],
  ['a token with extensions', 'token', () => ({ sasl: { mechanism: 'oauthbearer', token: { kind: 'file', path: tokenFile() }, extensions: { logicalCluster: 'lkc-1', identityPoolId: 'pool-1' } } })],
];

const invalidLogin = /Authentication failed: Invalid username or password/;
const unknownAuthority = /the broker's certificate is not signed by an authority that is believed: put its CA in ca\.crt/;

/** What they are told, and by which code: KAFKA_REFUSED where somebody has to put something right for sure. */
const turnedAway: readonly (readonly [...Row, words: RegExp, code: 'KAFKA_REFUSED' | 'KAFKA_UNAVAILABLE'])[] = [
  ['a wrong password, PLAIN', 'password', () => ({ sasl: password('plain', 'nonsense') }), invalidLogin, 'KAFKA_REFUSED'],
  ['a wrong password, SCRAM', 'passwordTls', () => ({ sasl: password('scram-sha-512', 'nonsense'), tls: { ca: kafka.ca } }), /Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512/, 'KAFKA_REFUSED'],
  ['a mechanism that is not offered', 'token', () => ({ sasl: password('plain') }), /the broker does not offer this SASL mechanism on this port: sasl\.mechanism/, 'KAFKA_REFUSED'],
  ['a login where none is asked for', 'plaintext', () => ({ sasl: password('plain') }), /the broker does not take SASL on this port: protocol/, 'KAFKA_REFUSED'],
  ['no login', 'password', () => ({}), /the broker closed the connection and answered nothing: it may want a login/, 'KAFKA_UNAVAILABLE'],
  ['a certificate of an authority unknown to the system', 'tls', () => ({ tls: {} }), unknownAuthority, 'KAFKA_REFUSED'],
  ['a certificate of another authority', 'passwordTls', () => ({ sasl: password('plain'), tls: { ca: kafka.strangeCa } }), unknownAuthority, 'KAFKA_REFUSED'],
  ['a certificate for another host', 'otherName', () => ({ tls: { ca: kafka.ca } }), /the broker's certificate is for another host: IP: 127\.0\.0\.1 is not in the cert's list/, 'KAFKA_REFUSED'],
  ['a certificate whose time is over', 'expired', () => ({ tls: { ca: kafka.ca } }), /the broker's certificate is out of its time/, 'KAFKA_REFUSED'],
  ['no client certificate', 'clientCertificate', () => ({ tls: { ca: kafka.ca } }), /the broker wants a client certificate that it believes: user\.crt and user\.key/, 'KAFKA_REFUSED'],
  ["a stranger's client certificate", 'clientCertificate', () => ({ tls: { ca: kafka.ca, client: kafka.strangeClient } }), /the broker does not believe our client certificate: user\.crt and user\.key/, 'KAFKA_REFUSED'],
  ['TLS where none is spoken', 'plaintext', () => ({ tls: { ca: kafka.ca } }), /the broker closed the connection before TLS was agreed on: it may not speak it on this port: protocol/, 'KAFKA_UNAVAILABLE'],
  ['no TLS where it is spoken', 'tls', () => ({}), /the broker speaks TLS on this port, and this connection does not: protocol/, 'KAFKA_REFUSED'],
  ['a login without TLS where it is spoken', 'passwordTls', () => ({ sasl: password('plain') }), /the broker speaks TLS on this port, and this connection does not: protocol/, 'KAFKA_REFUSED'],
  ['a token that has expired', 'token', () => ({ sasl: fixedToken({ lifetimeSeconds: -60 }) }), /the broker does not take the token \(invalid_token\): it expired at 20/, 'KAFKA_REFUSED'],
  ['a forged token', 'token', () => ({ sasl: fixedToken({ isForged: true }) }), /the broker does not take the token \(invalid_token\): the broker's log says why/, 'KAFKA_REFUSED'],
  ['a token for somebody else', 'tokenTls', () => ({ sasl: fixedToken({ audience: 'elsewhere' }), tls: { ca: kafka.ca } }), /the broker does not take the token \(invalid_token\)/, 'KAFKA_REFUSED'],
  ['a wrong client secret', 'token', () => ({ sasl: tokenOfServer({ clientSecret: 'nonsense' }) }), /token endpoint https:\/\/127\.0\.0\.1:\d+\/token: 401 invalid_client \(unknown client or wrong secret\)/, 'KAFKA_REFUSED'],
  ['a token server of an unknown authority', 'token', () => ({ sasl: tokenOfServer({ ca: undefined }) }), /token endpoint https:.*the server's certificate is not signed by an authority that is believed/, 'KAFKA_REFUSED'],
  ['a token server that is away', 'token', () => ({ sasl: tokenOfServer({ url: 'http://127.0.0.1:1/token' }) }), /token endpoint http:\/\/127\.0\.0\.1:1\/token: connect ECONNREFUSED/, 'KAFKA_UNAVAILABLE'],
  ['a token file that is not there', 'token', () => ({ sasl: { mechanism: 'oauthbearer', token: { kind: 'file', path: `${tokenFile()}-of-nobody` } } }), /token file .*-of-nobody: ENOENT/, 'KAFKA_REFUSED'],
];

async function faultOfCall(call: Promise<unknown>): Promise<Fault> {
  return call.then(
    () => expect.fail('it was let in'),
    (fault: unknown) => fault as Fault,
  );
}

describe.each(['platformatic', 'kafkajs'] as const)('%s', (library) => {
  const createClient = (listener: SecuredListener | 'plaintext', access: Omit<KafkaAccess, 'brokers'>): KafkaClient =>
    createKafkaClient({ brokers: [kafka.bootstrap[listener]], clientId: 'security-test', requestTimeoutMs: 10_000, connectTimeoutMs: 5_000, ...access }, library, library);

  it.each(letIn)('produces, consumes and administrates with %s', async (_what, listener, access) => {
    const client = createClient(listener, access());
    const topic = `topic-${++topics}`;
    const admin = client.createAdmin();
    expect(await admin.createTopic({ topic, partitions: 1, replicationFactor: 1, config: {} })).toBe('created');
    await waitFor('initial offsets', async () => (await admin.commitInitialOffsets(groupOf(topic), topic, 'earliest')).length === 1, { timeoutMs });
    const { member, told } = recordMember(client, topic);
    opened.push(member);
    await member.start();
    const producer = client.createProducer();
    opened.push(producer);
    const { leaders } = await producer.topicMetadata(topic);
    const [result] = await producer.produce(leaders[0]!, [{ topic, partition: 0, batch: RecordBatch.of([{ key: null, value: Buffer.from('one'), headers: [], timestampMs: Date.now() }]) }]);
    expect(result).toEqual({ baseOffset: 0n });
    await waitFor('the record', () => told.records.length === 1, { timeoutMs });
    await member.commit([{ topic, partition: 0, commitOffset: 1n }]);
    expect(await admin.groupLag(groupOf(topic), topic)).toEqual([{ partition: 0, commitOffset: 1n, endOffset: 1n }]);
  });

  it.each(turnedAway)('is told in words what is wrong with %s', async (_what, listener, access, words, code) => {
    const client = createClient(listener, access());
    const producer = client.createProducer();
    const { member } = recordMember(client, 'topic-of-nobody');
    opened.push(producer, member);
    const faults = [await faultOfCall(producer.topicMetadata('topic-of-nobody')), await faultOfCall(client.createAdmin().ping()), await faultOfCall(member.start())];
    for (const fault of faults) {
      expect(fault.message).toMatch(words);
      expect(fault).toMatchObject({ code, retriable: true });
      expect(fault.message).not.toMatch(/nonsense|password-of|secret-of|eyJ/);
    }
  });
});
