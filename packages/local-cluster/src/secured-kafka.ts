/**
 * A Kafka of one broker that asks who its clients are, in every way that clients of ours know, for tests.
 *
 * | listener | wants |
 * | --- | --- |
 * | `password` | PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, without TLS |
 * | `passwordTls` | the same over TLS |
 * | `session`, `sessionTls` | the same, and proof again before a session is over (`connections.max.reauth.ms`); who fails it is cut off |
 * | `tls` | TLS and no more |
 * | `clientCertificate` | TLS with a certificate of ours (mTLS) |
 * | `token`, `tokenTls` | OAUTHBEARER with a token of `tokens`; without and over TLS |
 * | `otherName`, `expired` | TLS, with a certificate for another host, or one whose time is over |
 * | `plaintext` | nothing: for a look past all of it |
 */
import { CertificateAuthority, type IssuedCertificate } from './certificates.ts';
import { startKafka, type KafkaCluster, type KafkaOptions } from './kafka.ts';
import { runKafkaTool } from './kafka-tools.ts';
import type { ListenerProtocol } from './server-properties.ts';
import { startTokenServer, type TokenServer } from './token-server.ts';

export interface SecuredKafkaOptions extends Pick<KafkaOptions, 'dataDir' | 'heapMb' | 'jvmFlags' | 'onProgress'> {
  /** How long a session of `session` and `sessionTls` lasts; 12 s unless told. */
  readonly sessionMs?: number;
}

export type SecuredListener = 'password' | 'passwordTls' | 'session' | 'sessionTls' | 'tls' | 'clientCertificate' | 'token' | 'tokenTls' | 'otherName' | 'expired';

/** PLAIN and SCRAM know the same users by the same passwords, until `setScramPassword`. */
export const securedKafkaUsers = { ann: 'password-of-ann', bob: 'password-of-bob' } as const;

export interface SecuredKafka {
  /** `127.0.0.1:port` by listener. */
  readonly bootstrap: Readonly<Record<SecuredListener | 'plaintext', string>>;
  readonly users: typeof securedKafkaUsers;
  /** PEM: who signed the brokers' certificates, and those of clients that brokers believe. */
  readonly ca: string;
  /** For `clientCertificate`. */
  readonly client: IssuedCertificate;
  /** The same from an authority that nobody knows. */
  readonly strangeClient: IssuedCertificate;
  /** PEM of that authority, which signed nothing that is in use. */
  readonly strangeCa: string;
  readonly tokens: TokenServer;
  readonly cluster: KafkaCluster;
  /**
   * Changes it for SCRAM-SHA-512 alone, by Kafka's own tool, which takes some seconds. Sessions that are open go on until
   * they have to prove anew who they are.
   */
  setScramPassword(user: string, password: string): Promise<void>;
  stop(): Promise<void>;
}

const listeners: Readonly<Record<SecuredListener, ListenerProtocol>> = {
  password: 'SASL_PLAINTEXT',
  passwordTls: 'SASL_SSL',
  session: 'SASL_PLAINTEXT',
  sessionTls: 'SASL_SSL',
  tls: 'SSL',
  clientCertificate: 'SSL',
  token: 'SASL_PLAINTEXT',
  tokenTls: 'SASL_SSL',
  otherName: 'SSL',
  expired: 'SSL',
};

const listenerNames = Object.keys(listeners) as SecuredListener[];
const scramMechanisms = ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;
const passwordListeners = ['password', 'passwordTls', 'session', 'sessionTls'] as const;
const sessionListeners: readonly SecuredListener[] = ['session', 'sessionTls'];
const tokenListeners = ['token', 'tokenTls'] as const;
const here = ['127.0.0.1', 'localhost'];
const loginModules = 'org.apache.kafka.common.security';

/** @throws Error as `startKafka` does */
export async function startSecuredKafka({ sessionMs = 12_000, jvmFlags = [], ...options }: SecuredKafkaOptions): Promise<SecuredKafka> {
  const authority = new CertificateAuthority('brokers and clients of a test');
  const stranger = new CertificateAuthority('nobody');
  const broker = authority.issue({ commonName: 'broker', hosts: here });
  const tokens = await startTokenServer({ clientId: 'client-of-test', clientSecret: 'secret-of-client', certificate: broker });
  let cluster: KafkaCluster;
  try {
    cluster = await startKafka({
      ...options,
      listeners: Object.fromEntries(listenerNames.map((name) => [name.toUpperCase(), listeners[name]])),
      config: {
        ...keystore('', broker),
        ...truststore(authority),
        ...keystore('listener.name.othername.', authority.issue({ commonName: 'broker', hosts: ['kafka.elsewhere.test'] })),
        ...keystore('listener.name.expired.', authority.issue({ commonName: 'broker', hosts: here, isExpired: true })),
        'listener.name.clientcertificate.ssl.client.auth': 'required',
        ...Object.assign({}, ...passwordListeners.map((name) => passwords(name, sessionListeners.includes(name) ? sessionMs : 0))) as object,
        ...Object.assign({}, ...tokenListeners.map((name) => tokensOf(name, tokens))) as object,
      },
      formatArgs: Object.entries(securedKafkaUsers).flatMap(([name, password]) => scramMechanisms.flatMap((mechanism) => ['--add-scram', `${mechanism}=[name=${name},password=${password}]`])),
      // Brokers fetch keys from addresses on a list only.
      jvmFlags: [`-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=${tokens.jwksUrl}`, ...jvmFlags],
    });
  } catch (error) {
    await tokens.close();
    throw error;
  }
  const { listenerPorts } = cluster.brokers[0]!;
  const addresses = Object.fromEntries(listenerNames.map((name) => [name, `127.0.0.1:${listenerPorts[name.toUpperCase()]}`])) as Record<SecuredListener, string>;
  return {
    bootstrap: { ...addresses, plaintext: cluster.bootstrap },
    users: securedKafkaUsers,
    ca: authority.certificate,
    client: authority.issue({ commonName: 'client' }),
    strangeClient: stranger.issue({ commonName: 'client' }),
    strangeCa: stranger.certificate,
    tokens,
    cluster,
    setScramPassword: async (user, password) => {
      await runKafkaTool('kafka.admin.ConfigCommand', ['--bootstrap-server', cluster.bootstrap, '--alter', '--entity-type', 'users', '--entity-name', user, '--add-config', `SCRAM-SHA-512=[password=${password}]`]);
    },
    stop: async () => {
      await cluster.stop();
      await tokens.close();
    },
  };
}

function keystore(prefix: string, { certificate, key }: IssuedCertificate): Record<string, string> {
  return { [`${prefix}ssl.keystore.type`]: 'PEM', [`${prefix}ssl.keystore.certificate.chain`]: certificate, [`${prefix}ssl.keystore.key`]: key };
}

function truststore({ certificate }: CertificateAuthority): Record<string, string> {
  return { 'ssl.truststore.type': 'PEM', 'ssl.truststore.certificates': certificate };
}

function passwords(listener: SecuredListener, sessionMs: number): Record<string, string> {
  const prefix = `listener.name.${listener.toLowerCase()}`;
  const plainUsers = Object.entries(securedKafkaUsers).map(([name, password]) => `user_${name}="${password}"`);
  const config: Record<string, string> = {
    [`${prefix}.sasl.enabled.mechanisms`]: ['PLAIN', ...scramMechanisms].join(','),
    [`${prefix}.plain.sasl.jaas.config`]: `${loginModules}.plain.PlainLoginModule required ${plainUsers.join(' ')};`,
  };
  for (const mechanism of scramMechanisms) config[`${prefix}.${mechanism.toLowerCase()}.sasl.jaas.config`] = `${loginModules}.scram.ScramLoginModule required;`;
  for (const mechanism of ['PLAIN', ...scramMechanisms]) config[`${prefix}.${mechanism.toLowerCase()}.connections.max.reauth.ms`] = String(sessionMs);
  return config;
}

function tokensOf(listener: SecuredListener, { jwksUrl, issuer, audience }: TokenServer): Record<string, string> {
  const prefix = `listener.name.${listener.toLowerCase()}`;
  const mechanism = `${prefix}.oauthbearer`;
  return {
    [`${prefix}.sasl.enabled.mechanisms`]: 'OAUTHBEARER',
    [`${mechanism}.sasl.jaas.config`]: `${loginModules}.oauthbearer.OAuthBearerLoginModule required;`,
    [`${mechanism}.sasl.server.callback.handler.class`]: `${loginModules}.oauthbearer.OAuthBearerValidatorCallbackHandler`,
    [`${mechanism}.sasl.oauthbearer.jwks.endpoint.url`]: jwksUrl,
    [`${mechanism}.sasl.oauthbearer.expected.audience`]: audience,
    [`${mechanism}.sasl.oauthbearer.expected.issuer`]: issuer,
    [`${mechanism}.sasl.oauthbearer.clock.skew.seconds`]: '1', // of one machine; the default takes tokens for 30 s longer
    // A session lasts as long as its token, and no longer than this.
    [`${mechanism}.connections.max.reauth.ms`]: String(60 * 60 * 1000),
  };
}
