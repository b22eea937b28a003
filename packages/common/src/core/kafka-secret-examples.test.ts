import { readdirSync, readFileSync } from 'node:fs';
import { CertificateAuthority } from '@knative-kafka/local-cluster';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseKafkaSecret } from './kafka-secret.ts';

const root = new URL('../../../../', import.meta.url);
const folder = new URL('examples/kafka-secrets/', root);
const page = readFileSync(new URL('docs/KAFKA-SECRETS.md', root), 'utf8');

const authority = new CertificateAuthority('test');
const user = authority.issue({ commonName: 'user' });
/** Examples have words where certificates and keys are. */
const withPem = (key: string, text: string): string => (key === 'user.crt' ? user.certificate : key === 'user.key' ? user.key : key.endsWith('ca.crt') ? authority.certificate : text);

const has = (text: string): string => expect.stringContaining(text) as string;
const pem = has('BEGIN CERTIFICATE');
const expected: Readonly<Record<string, object>> = {
  'local.yaml': { brokers: ['my-kafka.kafka:9092'] },
  'confluent-api-key.yaml': { tls: {}, sasl: { mechanism: 'plain', username: 'the-api-key', password: 'the-api-secret' } },
  'confluent-oauth.yaml': { tls: {}, sasl: { mechanism: 'oauthbearer', token: { kind: 'endpoint', clientId: 'the-client-id', clientSecret: 'the-client-secret', scope: has('.default') }, extensions: { logicalCluster: 'lkc-00000', identityPoolId: 'pool-0000' } } },
  'event-hubs.yaml': { tls: {}, sasl: { mechanism: 'plain', username: '$ConnectionString', password: has('SharedAccessKey=the-key=') } },
  'strimzi-scram.yaml': { tls: { ca: pem }, sasl: { mechanism: 'scram-sha-512', username: 'knative', password: 'the-password' } },
  'strimzi-mtls.yaml': { tls: { ca: pem, client: { certificate: pem, key: has('PRIVATE KEY') } } },
  'keycloak.yaml': { tls: { ca: pem }, sasl: { mechanism: 'oauthbearer', token: { kind: 'endpoint', url: has('/token'), clientId: 'knative', clientSecret: 'the-client-secret', ca: pem } } },
};

it('there is a test of every example', () => {
  expect(readdirSync(folder).sort()).toEqual(Object.keys(expected).sort());
});

it.each(Object.entries(expected))('%s says what it is meant to, and is on the page', (file, connection) => {
  const secret = parse(readFileSync(new URL(file, folder), 'utf8')) as { kind: string; metadata: { labels: object; namespace: string }; stringData: Record<string, string> };
  expect(secret).toMatchObject({ kind: 'Secret', metadata: { namespace: 'knative-eventing', labels: { 'eventing-kafka.knative.dev/kafka-secret': 'true' } } });
  const data = Object.fromEntries(Object.entries(secret.stringData).map(([key, text]) => [key, withPem(key, text)]));
  expect(parseKafkaSecret(data)).toMatchObject({ connection });
  expect(page).toContain(`(../examples/kafka-secrets/${file})`);
});

it('every key of the parser is on the page', () => {
  const source = readFileSync(new URL('kafka-secret.ts', import.meta.url), 'utf8');
  const keys = [...source.matchAll(/'((?:[a-z]+\.)+[a-zA-Z]+|brokers|protocol|username|user|password|token|sasltype|saslType)'/g)].map(([, key = '']) => key);
  expect(keys).toContain('sasl.oauthbearer.token.endpoint.ca.crt');
  expect([...new Set(keys)].filter((key) => !page.includes(`\`${key}\``))).toEqual([]);
});
