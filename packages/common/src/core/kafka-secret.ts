/**
 * How to reach a Kafka cluster, from the keys of a Kafka Secret.
 *
 * Secrets written for knative-kafka, for its successor with SASL types, and for eventing-kafka-broker are read as they
 * are; where several say the same thing under different names, any will do, and the first named here wins:
 *
 * | key | what it is |
 * | --- | --- |
 * | `brokers`, `bootstrap.servers` | `host:port`, several separated by commas |
 * | `protocol` | PLAINTEXT, SASL_PLAINTEXT, SASL_SSL or SSL |
 * | `tls.enabled` | where there is no `protocol`: `true` or `false` |
 * | `sasl.mechanism`, `sasltype`, `saslType` | PLAIN (default), SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER |
 * | `username`, `user` | for PLAIN and SCRAM; with `password` |
 * | `ca.crt` | PEM: the authorities that are believed, and no others |
 * | `user.crt`, `user.key` | PEM: who we are by TLS |
 * | `user.skip` | `true`: `user.crt` and `user.key` do not count |
 * | `sasl.oauthbearer.token.endpoint.url` | where OAUTHBEARER gets its tokens, and, as `….ca.crt`, who vouches for that server |
 * | `sasl.oauthbearer.client.credentials.client.id`, `sasl.oauthbearer.client.id` | for that; with `….client.secret` |
 * | `sasl.oauthbearer.scope`, `sasl.oauthbearer.extensions` | for that; extensions as `name=value`, separated by commas |
 * | `token` | in place of an endpoint: a token that somebody renews in the Secret |
 * | `sasl.jaas.config` | of Java's clients: user and password, or client's id and secret, where no key above has them |
 *
 * The names of OAUTHBEARER are those of Kafka's Java clients, and for the client's id and secret librdkafka's as well.
 * Where there is neither `protocol` nor `tls.enabled`, credentials mean SASL_SSL, and certificates mean TLS.
 *
 * Always true: no message shows a value; a password goes over a connection without TLS only where the Secret says so.
 */
import { parseJaasLine } from './jaas-line.ts';
import { certificatesProblem, isKeyOf, privateKeyProblem } from './pem.ts';
import type { FieldProblem } from './resources/field-problem.ts';
import { parseBootstrapServers } from './settings.ts';

/** Where a Kafka cluster is, and who we are to it. */
export interface KafkaAccess {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[];
  /** Connections use TLS where this is given. */
  readonly tls?: KafkaTls | undefined;
  readonly sasl?: SaslCredentials | undefined;
}

export interface KafkaTls {
  /** PEM; the only authorities that are believed. The system's when left out. */
  readonly ca?: string | undefined;
  /** Who we are to the broker (mTLS). */
  readonly client?: { readonly certificate: string; readonly key: string } | undefined;
}

export type SaslCredentials = PasswordCredentials | TokenCredentials;

export interface PasswordCredentials {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  /** Never to be shown, not even in an error. */
  readonly password: string;
}

export interface TokenCredentials {
  readonly mechanism: 'oauthbearer';
  readonly token: TokenSource;
  /** SASL extensions sent beside the token (RFC 7628), for example `logicalCluster`. */
  readonly extensions?: Readonly<Record<string, string>> | undefined;
}

/**
 * Where bearer tokens come from: a server that gives them for a client's id and secret (RFC 6749, 4.4); a file that
 * somebody renews; or, for whoever reads Secrets through the API server and has no file, the token itself.
 */
export type TokenSource =
  | {
      readonly kind: 'endpoint';
      readonly url: string;
      readonly clientId: string;
      /** Never to be shown, not even in an error. */
      readonly clientSecret: string;
      readonly scope?: string | undefined;
      /** PEM; the system's authorities when left out. */
      readonly ca?: string | undefined;
    }
  | { readonly kind: 'file'; readonly path: string }
  /** `token` is never to be shown, not even in an error. A renewed one comes as another `KafkaAccess`. */
  | { readonly kind: 'fixed'; readonly token: string };

interface Protocol {
  readonly hasTls: boolean;
  readonly hasSasl: boolean;
}

const protocols: Readonly<Record<string, Protocol>> = {
  PLAINTEXT: { hasTls: false, hasSasl: false },
  SASL_PLAINTEXT: { hasTls: false, hasSasl: true },
  SASL_SSL: { hasTls: true, hasSasl: true },
  SSL: { hasTls: true, hasSasl: false },
};

const mechanisms = { 'PLAIN': 'plain', 'SCRAM-SHA-256': 'scram-sha-256', 'SCRAM-SHA-512': 'scram-sha-512', 'OAUTHBEARER': 'oauthbearer' } as const;

/** Which mechanisms a login module of Java's clients is for. */
const loginModules: Readonly<Record<string, readonly string[]>> = {
  PlainLoginModule: ['PLAIN'],
  ScramLoginModule: ['SCRAM-SHA-256', 'SCRAM-SHA-512'],
  OAuthBearerLoginModule: ['OAUTHBEARER'],
};

/** Keys with a name that is long, or that several places need. */
const keyOf = {
  brokers: ['brokers', 'bootstrap.servers'],
  mechanism: ['sasl.mechanism', 'sasltype', 'saslType'],
  username: ['username', 'user'],
  jaas: ['sasl.jaas.config'],
  tokenUrl: ['sasl.oauthbearer.token.endpoint.url'],
  tokenCa: ['sasl.oauthbearer.token.endpoint.ca.crt'],
  clientId: ['sasl.oauthbearer.client.credentials.client.id', 'sasl.oauthbearer.client.id'],
  clientSecret: ['sasl.oauthbearer.client.credentials.client.secret', 'sasl.oauthbearer.client.secret'],
  scope: ['sasl.oauthbearer.scope'],
  extensions: ['sasl.oauthbearer.extensions'],
} as const;

/** A connection string of Azure Event Hubs is a password, and this is the user that goes with each of them; a shell likes to make it an empty one. */
const eventHubsUsername = '$ConnectionString';
const eventHubsPassword = /^Endpoint=sb:\/\//i;

/** RFC 7628, 3.1; `auth` is the token itself. */
const extension = /^\s*(?!auth\s*=)([A-Za-z]+)\s*=([\x20-\x7e\t]*)$/;

/**
 * @param data      the keys of the Secret, decoded
 * @param mountedAt the folder where the Secret is mounted; a token in it is then a file, which is read when it is needed
 * @returns everything that is wrong, by key, if anything is
 */
export function parseKafkaSecret(data: Readonly<Record<string, Buffer | string>>, mountedAt?: string): { readonly connection: KafkaAccess } | { readonly problems: readonly FieldProblem[] } {
  const keys = new SecretKeys(data);
  const brokers = brokersOf(keys);
  const protocol = protocolOf(keys);
  const tls = protocol?.hasTls === true ? tlsOf(keys) : undefined;
  const sasl = protocol?.hasSasl === true ? credentialsOf(keys, mountedAt) : undefined;
  if (keys.problems.length > 0 || brokers === undefined) return { problems: keys.problems };
  return { connection: { brokers, ...(tls === undefined ? {} : { tls }), ...(sasl === undefined ? {} : { sasl }) } };
}

interface Found {
  readonly key: string;
  readonly text: string;
}

/** The keys as text, and what is wrong with them. */
class SecretKeys {
  readonly problems: FieldProblem[] = [];
  readonly #data: Readonly<Record<string, Buffer | string>>;
  readonly #notText = new Set<string>();

  constructor(data: Readonly<Record<string, Buffer | string>>) {
    this.#data = data;
  }

  problem(key: string, message: string): undefined {
    this.problems.push({ path: ['data', key], message });
  }

  /** The first of these keys that says anything. */
  find(...keys: readonly string[]): Found | undefined {
    for (const key of keys) {
      const value = Object.hasOwn(this.#data, key) ? this.#data[key] : undefined;
      if (value === undefined) continue;
      // `echo secret | base64` ends with a line break that nobody meant.
      const text = value.toString().replace(/[\r\n]+$/, '');
      if (/[\uFFFD\0]/.test(text) && !this.#notText.has(key)) {
        this.#notText.add(key);
        this.problem(key, 'is not UTF-8 text');
      }
      if (text.trim() !== '') return { key, text };
    }
    return undefined;
  }

  /** The text of the first of these keys that says anything, or a problem with the first of all. */
  require(keys: readonly [string, ...string[]], otherwise: string | undefined, message: string): string | undefined {
    const text = this.find(...keys)?.text ?? otherwise;
    return text === undefined ? this.problem(keys[0], message) : text;
  }

  flag(key: string): boolean | undefined {
    const text = this.find(key)?.text.trim();
    if (text === undefined) return undefined;
    if (/^(true|t|1)$/i.test(text)) return true;
    if (/^(false|f|0)$/i.test(text)) return false;
    return this.problem(key, 'expected true or false');
  }
}

function brokersOf(keys: SecretKeys): readonly string[] | undefined {
  const listed = keys.find(...keyOf.brokers);
  if (listed === undefined) return keys.problem('brokers', 'is required: host:port, several separated by commas');
  return parseBootstrapServers(listed.text) ?? keys.problem(listed.key, 'expected host:port, several separated by commas');
}

function protocolOf(keys: SecretKeys): Protocol | undefined {
  const named = keys.find('protocol');
  if (named !== undefined) {
    const name = named.text.trim().toUpperCase();
    return Object.hasOwn(protocols, name) ? protocols[name] : keys.problem('protocol', `expected ${Object.keys(protocols).join(', ')}`);
  }
  const hasSasl = keys.find(...keyOf.username, 'password', ...keyOf.jaas, ...keyOf.tokenUrl, 'token') !== undefined;
  const hasCertificates = keys.find('ca.crt', 'user.crt', 'user.key') !== undefined;
  return { hasTls: keys.flag('tls.enabled') ?? (hasSasl || hasCertificates), hasSasl };
}

function tlsOf(keys: SecretKeys): KafkaTls {
  const ca = authoritiesOf(keys, 'ca.crt');
  const client = keys.flag('user.skip') === true ? undefined : clientCertificateOf(keys);
  return { ...(ca === undefined ? {} : { ca }), ...(client === undefined ? {} : { client }) };
}

function authoritiesOf(keys: SecretKeys, key: string): string | undefined {
  const text = keys.find(key)?.text;
  if (text === undefined) return undefined;
  const problem = certificatesProblem(text);
  return problem === undefined ? text : keys.problem(key, problem);
}

function clientCertificateOf(keys: SecretKeys): KafkaTls['client'] {
  const certificate = keys.find('user.crt')?.text;
  const key = keys.find('user.key')?.text;
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined) return keys.problem('user.crt', 'is required beside user.key: the certificate that the key belongs to');
  if (key === undefined) return keys.problem('user.key', 'is required beside user.crt: the private key of the certificate');
  const ofCertificate = certificatesProblem(certificate);
  const ofKey = privateKeyProblem(key);
  if (ofCertificate !== undefined) keys.problem('user.crt', ofCertificate);
  if (ofKey !== undefined) keys.problem('user.key', ofKey);
  if (ofCertificate !== undefined || ofKey !== undefined) return undefined;
  return isKeyOf(key, certificate) ? { certificate, key } : keys.problem('user.key', 'this private key does not belong to the first certificate in user.crt');
}

function credentialsOf(keys: SecretKeys, mountedAt: string | undefined): SaslCredentials | undefined {
  const named = keys.find(...keyOf.mechanism);
  const name = named?.text.trim().toUpperCase() ?? 'PLAIN';
  if (!isMechanism(name)) return keys.problem(named!.key, `expected ${Object.keys(mechanisms).join(', ')}`);
  const options = jaasOptionsOf(keys, name, named?.key ?? keyOf.mechanism[0]);
  if (options === undefined) return undefined;
  const mechanism = mechanisms[name];
  return mechanism === 'oauthbearer' ? tokenCredentialsOf(keys, options, mountedAt) : passwordCredentialsOf(keys, options, mechanism, name);
}

function isMechanism(name: string): name is keyof typeof mechanisms {
  return Object.hasOwn(mechanisms, name);
}

type JaasOptions = ReadonlyMap<string, string>;

/** @returns none where there is no `sasl.jaas.config`; undefined where it cannot be used */
function jaasOptionsOf(keys: SecretKeys, mechanism: string, mechanismKey: string): JaasOptions | undefined {
  const [jaasKey] = keyOf.jaas;
  const text = keys.find(jaasKey)?.text;
  if (text === undefined) return new Map();
  const instead = `or leave it out and use the keys username and password, or for OAUTHBEARER ${[...keyOf.tokenUrl, keyOf.clientId[0], keyOf.clientSecret[0]].join(', ')}`;
  const line = parseJaasLine(text);
  if (line === undefined) return keys.problem(jaasKey, `expected one login module and its options, such as org.apache.kafka.common.security.plain.PlainLoginModule required username="…" password="…"; ${instead}`);
  const fitting = Object.hasOwn(loginModules, line.module) ? loginModules[line.module]! : [];
  if (fitting.length === 0) return keys.problem(jaasKey, `this login module is for Java alone; expected ${Object.keys(loginModules).join(', ')}, ${instead}`);
  if (!fitting.includes(mechanism)) return keys.problem(mechanismKey, `expected ${fitting.join(' or ')}, which the login module in ${jaasKey} is for`);
  return line.options;
}

function passwordCredentialsOf(keys: SecretKeys, options: JaasOptions, mechanism: PasswordCredentials['mechanism'], name: string): PasswordCredentials | undefined {
  const isRequired = `is required for SASL with mechanism ${name}`;
  const ofEventHubs = mechanism === 'plain' && eventHubsPassword.test(keys.find('password')?.text ?? '') ? eventHubsUsername : undefined;
  const username = keys.require(keyOf.username, options.get('username') ?? ofEventHubs, isRequired);
  const password = keys.require(['password'], options.get('password'), isRequired);
  return username === undefined || password === undefined ? undefined : { mechanism, username, password };
}

function tokenCredentialsOf(keys: SecretKeys, options: JaasOptions, mountedAt: string | undefined): TokenCredentials | undefined {
  const token = tokenSourceOf(keys, options, mountedAt);
  const extensions = extensionsOf(keys, options);
  return token === undefined ? undefined : { mechanism: 'oauthbearer', token, ...(Object.keys(extensions).length === 0 ? {} : { extensions }) };
}

function tokenSourceOf(keys: SecretKeys, options: JaasOptions, mountedAt: string | undefined): TokenSource | undefined {
  const [urlKey] = keyOf.tokenUrl;
  const url = keys.find(urlKey)?.text.trim();
  const token = keys.find('token')?.text.trim();
  if (url !== undefined && token !== undefined) return keys.problem('token', `is there beside ${urlKey}: expected one of them`);
  if (url !== undefined) return tokenEndpointOf(keys, options, url);
  if (token === undefined) return keys.problem(urlKey, 'is required for SASL with mechanism OAUTHBEARER: where to get tokens; or a token in the key token');
  if (!isBearerToken(token)) return keys.problem('token', 'expected a bearer token: letters, digits and -._~+/=, nothing else');
  return mountedAt === undefined ? { kind: 'fixed', token } : { kind: 'file', path: `${mountedAt}/token` };
}

/** The letters of RFC 6750, 2.1. Anything else would end a client's message to the broker early. */
export function isBearerToken(text: string): boolean {
  return /^[\w.~+/-]+=*$/.test(text);
}

function tokenEndpointOf(keys: SecretKeys, options: JaasOptions, url: string): TokenSource | undefined {
  const forEndpoint = `is required beside ${keyOf.tokenUrl[0]}`;
  if (!isEndpoint(url)) keys.problem(keyOf.tokenUrl[0], 'expected a URL with https or http, without a user in it; a token that you have goes into the key token');
  const clientId = keys.require(keyOf.clientId, options.get('clientId'), forEndpoint);
  const clientSecret = keys.require(keyOf.clientSecret, options.get('clientSecret'), forEndpoint);
  const scope = keys.find(...keyOf.scope)?.text.trim() ?? options.get('scope');
  const ca = authoritiesOf(keys, keyOf.tokenCa[0]);
  if (clientId === undefined || clientSecret === undefined) return undefined;
  return { kind: 'endpoint', url, clientId, clientSecret, ...(scope === undefined ? {} : { scope }), ...(ca === undefined ? {} : { ca }) };
}

function isEndpoint(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && ['http:', 'https:'].includes(url.protocol) && url.username === '' && url.password === '';
}

function extensionsOf(keys: SecretKeys, options: JaasOptions): Readonly<Record<string, string>> {
  const mark = 'extension_'; // which Java's clients write before the names of extensions
  const inJaas = [...options].filter(([name]) => name.startsWith(mark)).map(([name, value]) => `${name.slice(mark.length)}=${value}`);
  const listed = keys.find(...keyOf.extensions)?.text.split(',') ?? [];
  const read = (key: string, texts: readonly string[]): readonly (readonly [string, string])[] => {
    const entries = texts.map((text) => extension.exec(text));
    if (entries.includes(null)) keys.problem(key, 'expected extensions as name=value, several separated by commas; a name is of letters, and not auth');
    return entries.flatMap((entry) => (entry === null ? [] : [[entry[1]!, entry[2]!.trim()] as const]));
  };
  return Object.fromEntries([...read(keyOf.jaas[0], inJaas), ...read(keyOf.extensions[0], listed)]);
}
