import { CertificateAuthority } from '@knative-kafka/local-cluster';
import { describe, expect, it } from 'vitest';
import { secretsOf, sourceAccess } from './kafka-source-access.ts';
import { fieldName } from './resources/field-problem.ts';
import type { KafkaSourceNet } from './resources/kafka-source.ts';
import { parseKafkaSource } from './resources/kafka-source.ts';

const authority = new CertificateAuthority('test');
const issue = (commonName: string) => {
  const { certificate, key } = authority.issue({ commonName });
  return { certificate: certificate.trimEnd(), key: key.trimEnd() };
};
const [ann, bob] = [issue('ann'), issue('bob')];
const ca = authority.certificate.trimEnd();
/** Such as nothing may show. */
const hush = 'hush-hush';

const secrets: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  kafka: { type: 'SCRAM-SHA-512', lower: 'scram-sha-256\n', nonsense: 'KERBEROS', user: 'ann', password: `${hush}\n`, empty: ' \n', hub: `Endpoint=sb://hub.example/;${hush}` },
  certificates: { 'ca.crt': ca, 'tls.crt': ann.certificate, 'tls.key': ann.key, 'other.key': bob.key, broken: 'hush-hush' },
  tokens: { 'type': 'OAUTHBEARER', 'sasl.oauthbearer.token.endpoint.url': 'https://id.example/token', 'sasl.oauthbearer.scope': 'kafka', 'sasl.oauthbearer.token.endpoint.ca.crt': ca, 'id': 'client', 'secret': hush, 'unrelated': 'x', 'brokers': 'evil:9092' },
  fixed: { type: 'oauthbearer', token: 'a.b.c' },
  bare: { type: 'OAUTHBEARER' },
};
const decoded = (name: string): Record<string, Buffer> | undefined =>
  Object.hasOwn(secrets, name) ? Object.fromEntries(Object.entries(secrets[name]!).map(([key, text]) => [key, Buffer.from(text)])) : undefined;

const ref = (name: string, key: string) => ({ name, key });
const withUser = { user: ref('kafka', 'user'), password: ref('kafka', 'password') };

function source(net: KafkaSourceNet, bootstrapServers: readonly string[] = ['kafka-0:9092', 'kafka-1:9092']) {
  const { spec } = parseKafkaSource({ apiVersion: 'sources.knative.dev/v1', kind: 'KafkaSource', metadata: { name: 'orders' }, spec: { bootstrapServers, topics: ['orders'], sink: { uri: 'http://sink' } } }).source;
  return { spec: { ...spec, net } };
}

const brokers = ['kafka-0:9092', 'kafka-1:9092'];
const plain = { mechanism: 'plain', username: 'ann', password: hush };

describe('sourceAccess', () => {
  it.each<[string, KafkaSourceNet, object]>([
    ['nothing', {}, {}],
    ['TLS and the authorities of the system', { tls: {} }, { tls: {} }],
    ['one-way TLS', { tls: { caCert: ref('certificates', 'ca.crt') } }, { tls: { ca } }],
    ['mTLS', { tls: { caCert: ref('certificates', 'ca.crt'), cert: ref('certificates', 'tls.crt'), key: ref('certificates', 'tls.key') } }, { tls: { ca, client: { certificate: ann.certificate, key: ann.key } } }],
    ['a user without a mechanism, over plaintext because it says so', { sasl: withUser }, { sasl: plain }],
    ['a user over TLS', { sasl: withUser, tls: {} }, { tls: {}, sasl: plain }],
    ['SCRAM', { sasl: { ...withUser, type: ref('kafka', 'type') }, tls: {} }, { tls: {}, sasl: { ...plain, mechanism: 'scram-sha-512' } }],
    ['a mechanism in lower case', { sasl: { ...withUser, type: ref('kafka', 'lower') }, tls: {} }, { tls: {}, sasl: { ...plain, mechanism: 'scram-sha-256' } }],
    ['an empty mechanism', { sasl: { ...withUser, type: ref('kafka', 'empty') } }, { sasl: plain }],
    ['a connection string of Event Hubs', { sasl: { password: ref('kafka', 'hub') }, tls: {} }, { tls: {}, sasl: { mechanism: 'plain', username: '$ConnectionString', password: `Endpoint=sb://hub.example/;${hush}` } }],
    ['OAUTHBEARER, whose Secret says where tokens come from', { sasl: { type: ref('tokens', 'type'), user: ref('tokens', 'id'), password: ref('tokens', 'secret') }, tls: {} }, { tls: {}, sasl: { mechanism: 'oauthbearer', token: { kind: 'endpoint', url: 'https://id.example/token', clientId: 'client', clientSecret: hush, scope: 'kafka', ca } } }],
    ['OAUTHBEARER with a token', { sasl: { type: ref('fixed', 'type') }, tls: {} }, { tls: {}, sasl: { mechanism: 'oauthbearer', token: { kind: 'fixed', token: 'a.b.c' } } }],
  ])('%s', (_name, net, expected) => {
    expect(sourceAccess(source(net), decoded)).toEqual({ access: { brokers, ...expected } });
  });

  it.each<[string, KafkaSourceNet, string[]]>([
    ['a Secret that is not there', { sasl: { ...withUser, password: ref('gone', 'password') } }, ['spec.net.sasl.password.secretKeyRef Secret "gone" does not exist, or cannot be read yet']],
    ['a key that is not there', { tls: { caCert: ref('certificates', 'ca') } }, ['spec.net.tls.caCert.secretKeyRef Secret "certificates" has no key "ca"']],
    ['a key that every object has', { tls: { caCert: ref('certificates', 'constructor') } }, ['spec.net.tls.caCert.secretKeyRef Secret "certificates" has no key "constructor"']],
    ['several things', { sasl: { user: ref('gone', 'user'), password: ref('kafka', 'pass') } }, ['spec.net.sasl.user.secretKeyRef Secret "gone" does not exist, or cannot be read yet', 'spec.net.sasl.password.secretKeyRef Secret "kafka" has no key "pass"']],
    ['a mechanism that is not known', { sasl: { ...withUser, type: ref('kafka', 'nonsense') } }, ['spec.net.sasl.type.secretKeyRef key "nonsense" of Secret "kafka": expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER']],
    ['SASL and no more', { sasl: {} }, ['spec.net.sasl.user is required for SASL with mechanism PLAIN', 'spec.net.sasl.password is required for SASL with mechanism PLAIN']],
    ['an empty password', { sasl: { ...withUser, password: ref('kafka', 'empty') } }, ['spec.net.sasl.password.secretKeyRef key "empty" of Secret "kafka": is required for SASL with mechanism PLAIN']],
    ['an authority that is no certificate', { tls: { caCert: ref('certificates', 'broken') } }, ['spec.net.tls.caCert.secretKeyRef key "broken" of Secret "certificates": expected certificates in PEM: -----BEGIN CERTIFICATE----- and so on']],
    ['a certificate without its key', { tls: { cert: ref('certificates', 'tls.crt') } }, ['spec.net.tls.key is required beside cert: the private key of the certificate']],
    ['somebody else\'s key', { tls: { cert: ref('certificates', 'tls.crt'), key: ref('certificates', 'other.key') } }, ['spec.net.tls.key.secretKeyRef key "other.key" of Secret "certificates": this private key does not belong to the first certificate in cert']],
    ['OAUTHBEARER without a place for tokens', { sasl: { type: ref('bare', 'type') }, tls: {} }, ['spec.net.sasl.type key "sasl.oauthbearer.token.endpoint.url" of Secret "bare": is required for SASL with mechanism OAUTHBEARER: where to get tokens; or a token in the key token']],
    ['OAUTHBEARER without a client', { sasl: { type: ref('tokens', 'type') }, tls: {} }, ['client.id', 'client.secret'].map((part) => `spec.net.sasl.type key "sasl.oauthbearer.client.credentials.${part}" of Secret "tokens": is required beside sasl.oauthbearer.token.endpoint.url`)],
    ['a token provider', { sasl: { tokenProvider: ref('kafka', 'type') }, tls: {} }, ['spec.net.sasl.tokenProvider token providers, such as those of AWS IAM, are not served; use SASL PLAIN, SCRAM or OAUTHBEARER, or certificates (spec.net.tls)']],
  ])('says what is wrong with %s, and no value', (_name, net, expected) => {
    const answer = sourceAccess(source(net), decoded);
    expect('problems' in answer && answer.problems.map(({ path, message }) => `${fieldName(path)} ${message}`)).toEqual(expected);
    expect(JSON.stringify(answer)).not.toContain(hush);
  });

  it('says which server is none', () => {
    expect(sourceAccess(source({}, ['kafka:9092', 'kafka']), decoded)).toEqual({ problems: [{ path: ['spec', 'bootstrapServers', 1], message: 'expected host:port; found "kafka"' }] });
    expect(sourceAccess(source({}, []), decoded)).toEqual({ problems: [{ path: ['spec', 'bootstrapServers'], message: 'is required: host:port, one each' }] });
  });
});

describe('secretsOf', () => {
  it.each<[string, KafkaSourceNet, string[]]>([
    ['nothing', {}, []],
    ['parts without references', { sasl: {}, tls: {} }, []],
    ['several Secrets, each once', { sasl: { ...withUser, type: ref('b', 'type') }, tls: { caCert: ref('a', 'ca.crt') } }, ['a', 'b', 'kafka']],
  ])('of %s', (_name, net, expected) => {
    expect(secretsOf(source(net))).toEqual(expected);
  });
});
