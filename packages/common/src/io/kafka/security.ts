/**
 * How to reach a cluster, in the words of each client library: TLS, and who we are by SASL.
 *
 * Always true: the broker's certificate is checked, and its name with it; passwords and tokens are read when a connection
 * proves who we are, so that one which proves it anew does so with what holds then.
 */
import { isIP } from 'node:net';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { ConnectionOptions, SASLMechanismValue } from '@platformatic/kafka';
import kafkajs, { type AuthenticationProviderArgs, type Mechanism, type SASLOptions } from 'kafkajs';
import { Fault } from '../../core/fault.ts';
import type { KafkaAccess, KafkaTls, SaslCredentials, TokenCredentials } from '../../core/kafka-secret.ts';
import { tokenExpiry } from './bearer-token.ts';
import type { ConnectionSource, KafkaConnection } from './port.ts';
import { bearerToken } from './token-source.ts';

const { KafkaJSNonRetriableError } = kafkajs;

/** The end of a login, which kafkajs would otherwise try again in the middle of it. */
class FailedLogin extends KafkaJSNonRetriableError {
  readonly originalError: Fault;

  constructor(fault: Fault) {
    super(fault);
    this.originalError = fault;
  }
}

/** For whoever opens connections and need not know when the settings change: each field as it is when it is read. */
export function asTheyAre(source: ConnectionSource): KafkaConnection {
  return {
    get brokers() { return source().brokers; },
    get tls() { return source().tls; },
    get sasl() { return source().sasl; },
    get clientId() { return source().clientId; },
    get requestTimeoutMs() { return source().requestTimeoutMs; },
    get connectTimeoutMs() { return source().connectTimeoutMs; },
  };
}

/** Of node:tls, beside host and port. */
export function tlsOptions({ ca, client }: KafkaTls): TlsOptions {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
  };
}

/** Servers behind one address are told apart by the name asked for; an IP address may not be one (RFC 6066). */
export function serverName(host: string): string | undefined {
  return isIP(host) === 0 ? host : undefined;
}

const platformaticMechanisms = {
  plain: 'PLAIN',
  'scram-sha-256': 'SCRAM-SHA-256',
  'scram-sha-512': 'SCRAM-SHA-512',
  oauthbearer: 'OAUTHBEARER',
} as const satisfies Record<SaslCredentials['mechanism'], SASLMechanismValue>;

/** For a `Connection` of @platformatic/kafka to that host. */
export function platformaticSecurity({ tls, sasl }: KafkaAccess, host: string): Pick<ConnectionOptions, 'tls' | 'tlsServerName' | 'sasl'> {
  return {
    ...(tls === undefined ? {} : { tls: tlsOptions(tls), tlsServerName: serverName(host) !== undefined }),
    ...(sasl === undefined ? {} : { sasl: platformaticSasl(sasl) }),
  };
}

function platformaticSasl(sasl: SaslCredentials): NonNullable<ConnectionOptions['sasl']> {
  const mechanism = platformaticMechanisms[sasl.mechanism];
  if (sasl.mechanism !== 'oauthbearer') return { mechanism, username: sasl.username, password: sasl.password };
  let sent = '';
  return {
    mechanism,
    token: async () => (sent = await bearerToken(sasl.token)),
    oauthBearerExtensions: { ...sasl.extensions },
    authBytesValidator: (answer, done) => {
      done(tokenRefusal(answer, sent) ?? null, answer);
    },
  };
}

/** @param access asked for its fields again and again; which mechanism it is must stay */
export function kafkajsSasl(access: KafkaAccess): SASLOptions | Mechanism | undefined {
  const { sasl } = access;
  if (sasl === undefined) return undefined;
  if (sasl.mechanism === 'oauthbearer') {
    const mechanism: Mechanism = { mechanism: sasl.mechanism, authenticationProvider: (connection) => ({ authenticate: () => sendToken(connection, access) }) };
    return mechanism;
  }
  const now = (field: 'username' | 'password'): string | undefined => {
    const current = access.sasl;
    return current === undefined || current.mechanism === 'oauthbearer' ? undefined : current[field];
  };
  // kafkajs keeps the object, reads it for each connection, and writes into it.
  return {
    mechanism: sasl.mechanism,
    get username() { return now('username'); },
    get password() { return now('password'); },
  } as SASLOptions;
}

/** kafkajs's own way with tokens does not look at the answer: a token that was refused would look like a broken connection. */
async function sendToken({ saslAuthenticate }: AuthenticationProviderArgs, { sasl }: KafkaAccess): Promise<void> {
  if (sasl?.mechanism !== 'oauthbearer') throw new FailedLogin(new Fault('KAFKA_REFUSED', 'the mechanism has changed', { retriable: true }));
  const token = await bearerToken(sasl.token).catch((error: unknown) => {
    throw error instanceof Fault ? new FailedLogin(error) : error;
  });
  const refusal = await saslAuthenticate({
    request: { encode: () => lengthPrefixed(tokenMessage(token, sasl)) },
    response: { decode: (bytes) => bytes, parse: (answer) => tokenRefusal(answer.subarray(lengthBytes), token) },
  });
  if (refusal instanceof Fault) throw new FailedLogin(refusal);
}

/** The first and only message of a client (RFC 7628, 3.1). */
function tokenMessage(token: string, { extensions = {} }: TokenCredentials): Buffer {
  const pairs = [['auth', `Bearer ${token}`], ...Object.entries(extensions)].map(([name, value]) => `${name}=${value}\x01`);
  return Buffer.from(`n,,\x01${pairs.join('')}\x01`);
}

/** kafkajs takes and gives SASL's bytes with their length in front. */
function lengthPrefixed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes);
  length.writeInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

const lengthBytes = 4;

/**
 * A broker that does not take a token answers with a JSON object, where it would say nothing else (RFC 7628, 3.2.2).
 *
 * @returns undefined where it took the token
 */
function tokenRefusal(answer: Buffer, token: string): Fault | undefined {
  if (answer.length === 0) return undefined;
  const expiresAt = tokenExpiry(token);
  const isExpired = expiresAt !== undefined && expiresAt <= Date.now();
  const why = isExpired ? `it expired at ${new Date(expiresAt).toISOString()}` : "the broker's log says why";
  return new Fault('KAFKA_REFUSED', `Authentication failed: the broker does not take the token (${statusOf(answer)}): ${why}`, { retriable: true });
}

function statusOf(answer: Buffer): string {
  try {
    const { status } = JSON.parse(answer.toString()) as { readonly status?: unknown };
    if (typeof status === 'string') return status;
  } catch {
    // It answers with something else, which is no consent either.
  }
  return 'without a reason';
}
