/**
 * How to reach a Kafka cluster, from the keys of a Kafka Secret.
 *
 * Secrets written for knative-kafka and for eventing-kafka-broker are read as they are; where both say the same thing
 * under two names, either will do:
 *
 * | key | what it is |
 * | --- | --- |
 * | `brokers`, `bootstrap.servers` | `host:port`, several separated by commas |
 * | `username`, `user` | for SASL; with `password` |
 * | `protocol` | PLAINTEXT, SASL_PLAINTEXT, SASL_SSL or SSL |
 * | `sasl.mechanism`, `sasltype`, `saslType` | PLAIN |
 * | `tls.enabled` | where there is no `protocol`: `true` or `false` |
 * | `user.skip` | with SSL: `true` means that `user.crt` and `user.key` do not count |
 *
 * Always true: no message shows a value; a password goes over a connection without TLS only where the Secret says so.
 */
import type { FieldProblem } from './resources/field-problem.ts';
import { parseBootstrapServers } from './settings.ts';

/** Where a Kafka cluster is, and who we are to it. */
export interface KafkaAccess {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[];
  /** Whether connections use TLS, with servers that a certificate authority known to the system vouches for. */
  readonly tls?: boolean | undefined;
  readonly sasl?: SaslCredentials | undefined;
}

export interface SaslCredentials {
  readonly mechanism: 'plain';
  readonly username: string;
  /** Never to be shown, not even in an error. */
  readonly password: string;
}

const protocols: Readonly<Record<string, { readonly hasTls: boolean; readonly hasSasl: boolean }>> = {
  PLAINTEXT: { hasTls: false, hasSasl: false },
  SASL_PLAINTEXT: { hasTls: false, hasSasl: true },
  SASL_SSL: { hasTls: true, hasSasl: true },
  SSL: { hasTls: true, hasSasl: false },
};

/**
 * @param data the keys of the Secret, decoded
 * @returns everything that is wrong, by key, if anything is
 */
export function parseKafkaSecret(data: Readonly<Record<string, Buffer | string>>): { readonly connection: KafkaAccess } | { readonly problems: readonly FieldProblem[] } {
  const problems: FieldProblem[] = [];
  const problem = (key: string, message: string): undefined => void problems.push({ path: ['data', key], message });
  /** The first of these keys that says anything. */
  const read = (...keys: readonly string[]): { readonly key: string; readonly text: string } | undefined => {
    for (const key of keys) {
      const value = Object.hasOwn(data, key) ? data[key] : undefined;
      if (value === undefined) continue;
      // `echo secret | base64` ends with a line break that nobody meant.
      const text = value.toString().replace(/[\r\n]+$/, '');
      if (text.includes('\uFFFD')) problem(key, 'is not UTF-8 text');
      if (text.trim() !== '') return { key, text };
    }
    return undefined;
  };

  const listed = read('brokers', 'bootstrap.servers');
  const brokers = listed === undefined ? undefined : parseBootstrapServers(listed.text);
  if (listed === undefined) problem('brokers', 'is required: host:port, several separated by commas');
  else if (brokers === undefined) problem(listed.key, 'expected host:port, several separated by commas');

  const username = read('username', 'user');
  const password = read('password');
  const protocol = chosenProtocol();
  if (protocol?.hasTls === true) refuseCertificates();
  const sasl = protocol?.hasSasl === true ? credentials() : undefined;

  if (problems.length > 0 || brokers === undefined || protocol === undefined) return { problems };
  return { connection: { brokers, ...(protocol.hasTls ? { tls: true } : {}), ...(sasl === undefined ? {} : { sasl }) } };

  function chosenProtocol(): { readonly hasTls: boolean; readonly hasSasl: boolean } | undefined {
    const named = read('protocol');
    if (named !== undefined) {
      const name = named.text.trim().toUpperCase();
      return Object.hasOwn(protocols, name) ? protocols[name] : problem('protocol', `expected ${Object.keys(protocols).join(', ')}`);
    }
    const hasSasl = username !== undefined || password !== undefined;
    const enabled = read('tls.enabled')?.text.trim().toLowerCase();
    if (enabled !== undefined && enabled !== 'true' && enabled !== 'false') return problem('tls.enabled', 'expected true or false');
    if (enabled !== undefined) return { hasTls: enabled === 'true', hasSasl };
    return { hasTls: hasSasl || read('ca.crt') !== undefined, hasSasl };
  }

  function refuseCertificates(): void {
    if (read('ca.crt') !== undefined) problem('ca.crt', 'a certificate authority of your own is not supported yet; supported are servers with certificates of an authority known to the system');
    if (read('user.skip')?.text.trim().toLowerCase() === 'true') return;
    for (const key of ['user.crt', 'user.key']) if (read(key) !== undefined) problem(key, 'client certificates are not supported yet; supported is SASL with mechanism PLAIN');
  }

  function credentials(): SaslCredentials | undefined {
    const mechanism = read('sasl.mechanism', 'sasltype', 'saslType');
    if (mechanism !== undefined && mechanism.text.trim().toUpperCase() !== 'PLAIN') problem(mechanism.key, 'this mechanism is not supported yet; supported is PLAIN');
    if (username === undefined) problem('username', 'is required for SASL');
    if (password === undefined) problem('password', 'is required for SASL');
    return username === undefined || password === undefined ? undefined : { mechanism: 'plain', username: username.text, password: password.text };
  }
}
