import { CertificateAuthority } from '@knative-kafka/local-cluster';
import { describe, expect, it } from 'vitest';
import { parseKafkaSecret } from './kafka-secret.ts';
import { fieldName } from './resources/field-problem.ts';

const brokers = 'kafka-0:9092,kafka-1:9092';
const servers = ['kafka-0:9092', 'kafka-1:9092'];
const plain = { mechanism: 'plain', username: 'ann', password: 'pass' };
const user = { user: 'ann', password: 'pass' };

const authority = new CertificateAuthority('test');
/** Without the line break at the end, which is cut. */
const issue = (commonName: string) => {
  const { certificate, key } = authority.issue({ commonName });
  return { certificate: certificate.trimEnd(), key: key.trimEnd() };
};
const [ann, bob] = [issue('ann'), issue('bob')];
const mtls = { 'user.crt': ann.certificate, 'user.key': ann.key };

const tokenUrl = 'https://id.example/token';
const oauth = { brokers, protocol: 'SASL_SSL', 'sasl.mechanism': 'OAUTHBEARER' };
const withClient = { 'sasl.oauthbearer.token.endpoint.url': tokenUrl, 'sasl.oauthbearer.client.credentials.client.id': 'id', 'sasl.oauthbearer.client.credentials.client.secret': 'hush' };
const fromEndpoint = { kind: 'endpoint', url: tokenUrl, clientId: 'id', clientSecret: 'hush' };
const jaas = (module: string, options: string): string => `org.apache.kafka.common.security.x.${module} required ${options};`;

const hub = 'Endpoint=sb://my-hub.servicebus.windows.net/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=c2VjcmV0+/s=';

type Data = Parameters<typeof parseKafkaSecret>[0];
const problemsOf = (data: Data): string[] => {
  const result = parseKafkaSecret(data);
  return 'problems' in result ? result.problems.map(({ path, message }) => `${fieldName(path)} ${message}`) : [];
};

describe('parseKafkaSecret', () => {
  it.each<[string, Data, object]>([
    ['brokers alone', { brokers }, { brokers: servers }],
    ['of knative-kafka: SASL is always over TLS', { brokers, username: 'ann', password: 'pass', namespace: 'azure' }, { brokers: servers, tls: {}, sasl: plain }],
    ['of knative-kafka without credentials: empty values', { brokers, username: '', password: '', namespace: '' }, { brokers: servers }],
    ['of its successor without credentials', { brokers, username: '', password: '', sasltype: 'PLAIN', namespace: '' }, { brokers: servers }],
    ['of its successor with a type', { brokers, username: 'ann', password: 'pass', sasltype: 'SCRAM-SHA-512' }, { brokers: servers, tls: {}, sasl: { ...plain, mechanism: 'scram-sha-512' } }],
    ['of eventing-kafka-broker', { 'bootstrap.servers': brokers, protocol: 'SASL_SSL', 'sasl.mechanism': 'PLAIN', ...user }, { brokers: servers, tls: {}, sasl: plain }],
    ['of eventing-kafka-broker, with SCRAM and an authority', { 'bootstrap.servers': brokers, protocol: 'SASL_SSL', 'sasl.mechanism': 'SCRAM-SHA-256', 'ca.crt': bob.certificate, ...user }, { brokers: servers, tls: { ca: bob.certificate }, sasl: { ...plain, mechanism: 'scram-sha-256' } }],
    ['of eventing-kafka-broker, mTLS', { 'bootstrap.servers': brokers, protocol: 'SSL', 'ca.crt': bob.certificate, ...mtls }, { brokers: servers, tls: { ca: bob.certificate, client: ann } }],
    ['the mechanism by default', { brokers, protocol: 'SASL_PLAINTEXT', ...user }, { brokers: servers, sasl: plain }],
    ['the mechanism in small letters', { brokers, protocol: 'SASL_PLAINTEXT', 'sasl.mechanism': 'scram-sha-256', ...user }, { brokers: servers, sasl: { ...plain, mechanism: 'scram-sha-256' } }],
    ['TLS without SASL', { brokers, protocol: 'SSL', 'user.skip': 'true' }, { brokers: servers, tls: {} }],
    ['TLS, client certificates skipped', { brokers, protocol: 'SSL', 'user.skip': 'true', 'user.crt': 'x' }, { brokers: servers, tls: {} }],
    ['TLS, nothing skipped', { brokers, protocol: 'SSL', 'user.skip': 'false', ...mtls }, { brokers: servers, tls: { client: ann } }],
    ['TLS and SASL, a certificate for both sides', { brokers, protocol: 'SASL_SSL', ...mtls, ...user }, { brokers: servers, tls: { client: ann }, sasl: plain }],
    ['PLAINTEXT, whatever else is there', { brokers, protocol: 'PLAINTEXT', ...user, 'ca.crt': 'x', 'user.key': 'x', token: '?' }, { brokers: servers }],
    ['the older format with TLS', { brokers, 'tls.enabled': 'true', ...user, saslType: 'plain' }, { brokers: servers, tls: {}, sasl: plain }],
    ['the older format without TLS', { brokers, 'tls.enabled': 'false', username: 'ann', password: 'pass', sasltype: 'PLAIN' }, { brokers: servers, sasl: plain }],
    ['the older format with an authority alone', { brokers, 'ca.crt': bob.certificate }, { brokers: servers, tls: { ca: bob.certificate } }],
    ['the older format with mTLS', { brokers, 'ca.crt': bob.certificate, ...mtls }, { brokers: servers, tls: { ca: bob.certificate, client: ann } }],
    ['bytes, and line breaks that nobody meant', { brokers: Buffer.from(`${brokers}\n`), protocol: 'SASL_PLAINTEXT\n', username: Buffer.from('ann\n'), password: 'pass\r\n' }, { brokers: servers, sasl: plain }],
    ['a password with spaces at its ends', { brokers, protocol: 'SASL_PLAINTEXT', username: 'ann', password: ' p ' }, { brokers: servers, sasl: { ...plain, password: ' p ' } }],
    ['the first of two names for the same', { brokers, 'bootstrap.servers': 'other:1', protocol: 'sasl_plaintext', username: 'ann', user: 'bob', password: 'pass' }, { brokers: servers, sasl: plain }],
    ['Event Hubs', { brokers: 'my-hub.servicebus.windows.net:9093', username: '$ConnectionString', password: hub, namespace: 'my-hub' }, { brokers: ['my-hub.servicebus.windows.net:9093'], tls: {}, sasl: { mechanism: 'plain', username: '$ConnectionString', password: hub } }],
    ['Event Hubs, when a shell has taken $ConnectionString for a variable', { brokers, username: '', password: hub }, { brokers: servers, tls: {}, sasl: { mechanism: 'plain', username: '$ConnectionString', password: hub } }],
    ['OAUTHBEARER', { ...oauth, ...withClient, 'ca.crt': bob.certificate }, { brokers: servers, tls: { ca: bob.certificate }, sasl: { mechanism: 'oauthbearer', token: fromEndpoint } }],
    ['OAUTHBEARER with all there is', { ...oauth, ...withClient, 'sasl.oauthbearer.scope': 'kafka', 'sasl.oauthbearer.token.endpoint.ca.crt': bob.certificate, 'sasl.oauthbearer.extensions': 'logicalCluster=lkc-1, identityPoolId=pool-1' }, { brokers: servers, tls: {}, sasl: { mechanism: 'oauthbearer', token: { ...fromEndpoint, scope: 'kafka', ca: bob.certificate }, extensions: { logicalCluster: 'lkc-1', identityPoolId: 'pool-1' } } }],
    ['OAUTHBEARER by librdkafka\'s names', { ...oauth, 'sasl.oauthbearer.token.endpoint.url': tokenUrl, 'sasl.oauthbearer.client.id': 'id', 'sasl.oauthbearer.client.secret': 'hush' }, { brokers: servers, tls: {}, sasl: { mechanism: 'oauthbearer', token: fromEndpoint } }],
    ['OAUTHBEARER with a token', { ...oauth, token: 'aaa.bbb.ccc\n' }, { brokers: servers, tls: {}, sasl: { mechanism: 'oauthbearer', token: { kind: 'fixed', token: 'aaa.bbb.ccc' } } }],
    ['OAUTHBEARER without a protocol', { brokers, saslType: 'OAUTHBEARER', token: 'aaa' }, { brokers: servers, tls: {}, sasl: { mechanism: 'oauthbearer', token: { kind: 'fixed', token: 'aaa' } } }],
    ['the login module of PLAIN', { brokers, protocol: 'SASL_SSL', 'sasl.jaas.config': jaas('PlainLoginModule', 'username="ann" password="pass"') }, { brokers: servers, tls: {}, sasl: plain }],
    ['the login module of SCRAM', { brokers, 'sasl.mechanism': 'SCRAM-SHA-512', 'sasl.jaas.config': jaas('ScramLoginModule', 'username="ann" password="pass"') }, { brokers: servers, tls: {}, sasl: { ...plain, mechanism: 'scram-sha-512' } }],
    ['the login module of OAUTHBEARER', { ...oauth, 'sasl.oauthbearer.token.endpoint.url': tokenUrl, 'sasl.jaas.config': jaas('OAuthBearerLoginModule', 'clientId="id" clientSecret="hush" scope="kafka" extension_logicalCluster="lkc-1"') }, { brokers: servers, tls: {}, sasl: { mechanism: 'oauthbearer', token: { ...fromEndpoint, scope: 'kafka' }, extensions: { logicalCluster: 'lkc-1' } } }],
    ['keys before what a login module says', { brokers, protocol: 'SASL_SSL', ...user, 'sasl.jaas.config': jaas('PlainLoginModule', 'username="bob" password="other"') }, { brokers: servers, tls: {}, sasl: plain }],
  ])('reads %s', (_name, data, connection) => {
    expect(parseKafkaSecret(data)).toEqual({ connection });
  });

  it('leaves a token in its file where the Secret is mounted, so that a renewed one is no change', () => {
    const read = (token: string) => parseKafkaSecret({ ...oauth, token }, '/etc/kafka-secret');
    expect(read('aaa')).toEqual({ connection: { brokers: servers, tls: {}, sasl: { mechanism: 'oauthbearer', token: { kind: 'file', path: '/etc/kafka-secret/token' } } } });
    expect(read('bbb')).toEqual(read('aaa'));
    expect(read('not a token')).toHaveProperty('problems');
  });

  const certificates = 'expected certificates in PEM: -----BEGIN CERTIFICATE----- and so on';
  const privateKey = 'expected a private key in PEM: -----BEGIN PRIVATE KEY----- (PKCS#8), RSA PRIVATE KEY (PKCS#1) or EC PRIVATE KEY';
  const instead = 'or leave it out and use the keys username and password, or for OAUTHBEARER sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.credentials.client.id, sasl.oauthbearer.client.credentials.client.secret';
  it.each<[string, Data, readonly string[]]>([
    ['nothing at all', {}, ['data.brokers is required: host:port, several separated by commas']],
    ['brokers that are none', { brokers: 'kafka' }, ['data.brokers expected host:port, several separated by commas']],
    ['brokers that are none, by the other name', { 'bootstrap.servers': 'http://kafka:1/' }, ['data["bootstrap.servers"] expected host:port, several separated by commas']],
    ['an unknown protocol', { brokers, protocol: 'SASL' }, ['data.protocol expected PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL']],
    ['a name of every object', { brokers, protocol: 'constructor' }, ['data.protocol expected PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL']],
    ['a user without a password', { brokers, username: 'ann' }, ['data.password is required for SASL with mechanism PLAIN']],
    ['a password without a user', { brokers, password: 'pass' }, ['data.username is required for SASL with mechanism PLAIN']],
    ['SASL without credentials', { brokers, protocol: 'SASL_SSL' }, ['data.username is required for SASL with mechanism PLAIN', 'data.password is required for SASL with mechanism PLAIN']],
    ['SCRAM without credentials, and nothing of Event Hubs', { brokers, protocol: 'SASL_SSL', 'sasl.mechanism': 'SCRAM-SHA-512', password: hub }, ['data.username is required for SASL with mechanism SCRAM-SHA-512']],
    ['Kerberos', { brokers, protocol: 'SASL_SSL', 'sasl.mechanism': 'GSSAPI', ...user }, ['data["sasl.mechanism"] expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER']],
    ['a mechanism that is none, by the older name', { brokers, sasltype: 'toString', username: 'ann', password: 'pass' }, ['data.sasltype expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER']],
    ['an authority that is none', { brokers, protocol: 'SASL_SSL', 'ca.crt': 'x', ...user }, [`data["ca.crt"] ${certificates}`]],
    ['an authority that is a key', { brokers, protocol: 'SSL', 'ca.crt': ann.key }, ['data["ca.crt"] expected certificates in PEM, this is a private key']],
    ['certificate and key that are none', { brokers, protocol: 'SSL', 'user.crt': 'x', 'user.key': 'x' }, [`data["user.crt"] ${certificates}`, `data["user.key"] ${privateKey}`]],
    ['certificate and key in each other\'s place', { brokers, protocol: 'SSL', 'user.crt': ann.key, 'user.key': ann.certificate }, ['data["user.crt"] expected certificates in PEM, this is a private key', 'data["user.key"] expected a private key in PEM, this is a certificate']],
    ['a certificate without a key', { brokers, protocol: 'SSL', 'user.crt': ann.certificate }, ['data["user.key"] is required beside user.crt: the private key of the certificate']],
    ['a key without a certificate, and no word about the protocol', { brokers, 'user.key': ann.key }, ['data["user.crt"] is required beside user.key: the certificate that the key belongs to']],
    ['somebody else\'s key', { brokers, protocol: 'SSL', 'user.crt': ann.certificate, 'user.key': bob.key }, ['data["user.key"] this private key does not belong to the first certificate in user.crt']],
    ['switches that are neither on nor off', { brokers, 'tls.enabled': 'yes' }, ['data["tls.enabled"] expected true or false']],
    ['client certificates skipped and not', { brokers, protocol: 'SSL', 'user.skip': 'yes' }, ['data["user.skip"] expected true or false']],
    ['bytes that are no text', { brokers, username: 'ann', password: Buffer.from([0xff, 0xfe]) }, ['data.password is not UTF-8 text']],
    ['a NUL, with which PLAIN would say something else', { brokers, username: 'ann\0bob', password: 'pass' }, ['data.username is not UTF-8 text']],
    ['OAUTHBEARER without anything', oauth, ['data["sasl.oauthbearer.token.endpoint.url"] is required for SASL with mechanism OAUTHBEARER: where to get tokens; or a token in the key token']],
    ['an endpoint without a client', { ...oauth, 'sasl.oauthbearer.token.endpoint.url': tokenUrl }, ['data["sasl.oauthbearer.client.credentials.client.id"] is required beside sasl.oauthbearer.token.endpoint.url', 'data["sasl.oauthbearer.client.credentials.client.secret"] is required beside sasl.oauthbearer.token.endpoint.url']],
    ['an endpoint and a token', { ...oauth, ...withClient, token: 'aaa' }, ['data.token is there beside sasl.oauthbearer.token.endpoint.url: expected one of them']],
    ['a file as endpoint', { ...oauth, ...withClient, 'sasl.oauthbearer.token.endpoint.url': 'file:///etc/passwd' }, ['data["sasl.oauthbearer.token.endpoint.url"] expected a URL with https or http, without a user in it; a token that you have goes into the key token']],
    ['an endpoint with a password in it', { ...oauth, ...withClient, 'sasl.oauthbearer.token.endpoint.url': 'https://a:b@id.example/' }, [expect.stringMatching(/without a user in it/) as string]],
    ['an authority of the endpoint that is none', { ...oauth, ...withClient, 'sasl.oauthbearer.token.endpoint.ca.crt': 'x' }, [`data["sasl.oauthbearer.token.endpoint.ca.crt"] ${certificates}`]],
    ['extensions that are none', { ...oauth, ...withClient, 'sasl.oauthbearer.extensions': 'logical-cluster' }, ['data["sasl.oauthbearer.extensions"] expected extensions as name=value, several separated by commas; a name is of letters, and not auth']],
    ['an extension in place of the token', { ...oauth, ...withClient, 'sasl.oauthbearer.extensions': 'a=b,auth=Bearer x' }, [expect.stringMatching(/a name is of letters, and not auth$/) as string]],
    ['the same by a login module', { ...oauth, token: 'aaa', 'sasl.jaas.config': jaas('OAuthBearerLoginModule', 'extension_auth="Bearer x"') }, [expect.stringMatching(/^data\["sasl.jaas.config"\] expected extensions/) as string]],
    ['a token that is none', { ...oauth, token: 'Bearer aaa' }, ['data.token expected a bearer token: letters, digits and -._~+/=, nothing else']],
    ['a login module that cannot be read', { brokers, protocol: 'SASL_SSL', 'sasl.jaas.config': 'username="ann"' }, [`data["sasl.jaas.config"] expected one login module and its options, such as org.apache.kafka.common.security.plain.PlainLoginModule required username="…" password="…"; ${instead}`]],
    ['a login module of somebody else', { brokers, protocol: 'SASL_SSL', 'sasl.jaas.config': jaas('IAMLoginModule', '') }, [`data["sasl.jaas.config"] this login module is for Java alone; expected PlainLoginModule, ScramLoginModule, OAuthBearerLoginModule, ${instead}`]],
    ['a login module of another mechanism', { brokers, protocol: 'SASL_SSL', 'sasl.jaas.config': jaas('ScramLoginModule', 'username="ann" password="pass"') }, ['data["sasl.mechanism"] expected SCRAM-SHA-256 or SCRAM-SHA-512, which the login module in sasl.jaas.config is for']],
    ['a login module without a password', { brokers, 'sasl.jaas.config': jaas('PlainLoginModule', 'username="ann"') }, ['data.password is required for SASL with mechanism PLAIN']],
  ])('says what is wrong with %s', (_name, data, problems) => {
    expect(problemsOf(data)).toEqual(problems);
  });

  describe('never shows a value, and never throws', () => {
    const keys = [
      'brokers', 'bootstrap.servers', 'protocol', 'sasl.mechanism', 'sasltype', 'saslType', 'username', 'user', 'password', 'tls.enabled', 'ca.crt', 'user.crt', 'user.key', 'user.skip', 'sasl.jaas.config', 'token',
      'sasl.oauthbearer.token.endpoint.url', 'sasl.oauthbearer.token.endpoint.ca.crt', 'sasl.oauthbearer.client.credentials.client.id', 'sasl.oauthbearer.client.id',
      'sasl.oauthbearer.client.credentials.client.secret', 'sasl.oauthbearer.client.secret', 'sasl.oauthbearer.scope', 'sasl.oauthbearer.extensions',
    ];
    const secret = 'v4lue';
    /** What may stand around a value, right and wrong; where there is none, the value does not count as one. */
    const around: readonly ((value: string) => string)[] = [
      (value) => value, (value) => `${value}\n`, (value) => `\0${value}\uFFFD`, (value) => `${value}:9092`, (value) => `https://${value}/token`, (value) => `https://u:${value}@h/`, (value) => `file:///${value}`,
      (value) => jaas('PlainLoginModule', `username="${value}" password="${value}"`), (value) => jaas(value, ''), (value) => jaas('ScramLoginModule', `password="${value}`), (value) => `auth=${value}`, (value) => `a=${value},${value}`,
      (value) => `-----BEGIN CERTIFICATE-----\n${value}\n-----END CERTIFICATE-----`, (value) => `-----BEGIN PRIVATE KEY-----\n${value}\n-----END PRIVATE KEY-----`, (value) => `Endpoint=sb://${value}`,
      () => 'SASL_SSL', () => 'SSL', () => 'OAUTHBEARER', () => 'SCRAM-SHA-256', () => 'true', () => '', () => ann.certificate, () => bob.key,
    ];
    // The same Secrets in every run: a linear congruence (Numerical Recipes).
    let seed = 1;
    const next = (below: number): number => {
      seed = (seed * 1_664_525 + 1_013_904_223) % 2 ** 32;
      return Math.floor((seed / 2 ** 32) * below);
    };

    it('of any Secret', () => {
      let refused = 0;
      for (let run = 0; run < 5_000; run++) {
        const data: Record<string, string> = {};
        for (const key of keys) if (next(3) > 0) data[key] = around[next(around.length)]!(secret);
        // Mostly a Secret that gets as far as its credentials.
        if (next(4) > 0) data['protocol'] = ['SASL_SSL', 'SASL_PLAINTEXT', 'SSL'][next(3)]!;
        if (next(4) > 0) data['sasl.mechanism'] = ['PLAIN', 'SCRAM-SHA-512', 'OAUTHBEARER'][next(3)]!;
        const problems = problemsOf(data);
        if (problems.length > 0) refused++;
        expect(problems.join('\n'), JSON.stringify(data)).not.toContain(secret);
      }
      expect(refused).toBeGreaterThan(1_000);
    });
  });
});
