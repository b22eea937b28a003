/**
 * How to reach the Kafka cluster of a KafkaSource: from `spec.net` and the Secrets that it refers to.
 *
 * What is given is put together as one Kafka Secret and read as such (kafka-secret.ts), so that both have the same rules
 * and the same words; only the names of keys are turned back into fields of `spec.net`.
 *
 * | `spec.net` | what it is |
 * | --- | --- |
 * | `sasl.type` | PLAIN (where it is left out), SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER |
 * | `sasl.user`, `sasl.password` | for PLAIN and SCRAM; of OAUTHBEARER the client's id and secret |
 * | `tls.caCert` | PEM: the authorities that are believed, and no others; the system's where it is left out |
 * | `tls.cert`, `tls.key` | PEM: who we are by TLS; both or neither |
 *
 * Where the tokens of OAUTHBEARER come from stands in the Secret that `sasl.type` is in, under the keys of a Kafka Secret
 * (`sasl.oauthbearer.…`, `token`, `sasl.jaas.config`).
 *
 * Always true: no message shows a value; what is not enabled is not looked at.
 */
import { parseKafkaSecret, type KafkaAccess } from './kafka-secret.ts';
import type { FieldPath, FieldProblem } from './resources/field-problem.ts';
import type { KafkaSource, SecretKeyReference } from './resources/kafka-source.ts';
import { parseBootstrapServers } from './settings.ts';

/** The data of a Secret in the source's namespace, decoded; undefined where there is none. */
export type SecretLookup = (name: string) => Readonly<Record<string, Buffer>> | undefined;

/** Names of the Secrets that a KafkaSource needs, in its namespace; sorted, each once. */
export function secretsOf({ spec: { net } }: Pick<KafkaSource, 'spec'>): readonly string[] {
  const references = Object.values<SecretKeyReference>({ ...net.sasl, ...net.tls });
  return [...new Set(references.map(({ name }) => name))].sort();
}

/**
 * @param secretOf called with the names of `secretsOf`
 * @returns everything that is wrong, by field, if anything is
 */
export function sourceAccess(source: Pick<KafkaSource, 'spec'>, secretOf: SecretLookup): { readonly access: KafkaAccess } | { readonly problems: readonly FieldProblem[] } {
  const { bootstrapServers, net: { sasl, tls } } = source.spec;
  if (sasl?.tokenProvider !== undefined) return { problems: [{ path: saslPath('tokenProvider'), message: tokenProviderMessage }] };
  const parts = new NetParts(secretOf);
  const mechanism = sasl === undefined ? undefined : (parts.text(saslPath('type'), sasl.type, 'sasl.mechanism') ?? 'PLAIN').trim().toUpperCase();
  const isToken = mechanism === 'OAUTHBEARER';
  if (isToken && sasl?.type !== undefined) parts.addTokenKeys(saslPath('type'), sasl.type);
  parts.text(saslPath('user'), sasl?.user, isToken ? clientIdKey : 'username');
  parts.text(saslPath('password'), sasl?.password, isToken ? clientSecretKey : 'password');
  parts.text(tlsPath('caCert'), tls?.caCert, 'ca.crt');
  parts.text(tlsPath('cert'), tls?.cert, 'user.crt');
  parts.text(tlsPath('key'), tls?.key, 'user.key');

  const serverProblems = bootstrapServers.flatMap((server, index) => {
    const message = `expected host:port; found ${JSON.stringify(server)}`;
    return parseBootstrapServers(server) === undefined ? [{ path: ['spec', 'bootstrapServers', index], message }] : [];
  });
  if (bootstrapServers.length === 0) serverProblems.push({ path: ['spec', 'bootstrapServers'], message: 'is required: host:port, one each' });
  const problems = [...serverProblems, ...parts.problems];
  if (problems.length > 0) return { problems };
  const protocol = `${sasl === undefined ? '' : 'SASL_'}${tls === undefined ? 'PLAINTEXT' : 'SSL'}`;
  const read = parseKafkaSecret({ ...parts.data, brokers: bootstrapServers.join(','), protocol });
  return 'connection' in read ? { access: read.connection } : { problems: read.problems.map((problem) => parts.blame(problem)) };
}

const tokenProviderMessage = 'token providers, such as those of AWS IAM, are not served; use SASL PLAIN, SCRAM or OAUTHBEARER, or certificates (spec.net.tls)';

const clientIdKey = 'sasl.oauthbearer.client.credentials.client.id';
const clientSecretKey = 'sasl.oauthbearer.client.credentials.client.secret';

/** Keys of a Kafka Secret that say where tokens come from. */
const tokenKey = /^(?:sasl\.oauthbearer\..*|token|sasl\.jaas\.config)$/;

/** Which field stands for a key of a Kafka Secret, where the source gives no reference for it. */
const fieldOf: Readonly<Record<string, FieldPath>> = {
  'sasl.mechanism': saslPath('type'),
  'username': saslPath('user'),
  'password': saslPath('password'),
  'user.crt': tlsPath('cert'),
  'user.key': tlsPath('key'),
};

function saslPath(part: string): FieldPath {
  return ['spec', 'net', 'sasl', part];
}

function tlsPath(part: string): FieldPath {
  return ['spec', 'net', 'tls', part];
}

/** The keys of a Kafka Secret, gathered from several Secrets, and where each of them is from. */
class NetParts {
  readonly data: Record<string, Buffer> = {};
  readonly problems: FieldProblem[] = [];
  readonly #secretOf: SecretLookup;
  readonly #origins = new Map<string, { readonly path: FieldPath } & SecretKeyReference>();

  constructor(secretOf: SecretLookup) {
    this.#secretOf = secretOf;
  }

  /** What a reference leads to becomes the value of a key. @returns it as text */
  text(path: FieldPath, reference: SecretKeyReference | undefined, asKey: string): string | undefined {
    if (reference === undefined) return undefined;
    const { name, key } = reference;
    const secret = this.#secretOf(name);
    if (secret === undefined) return this.#missing(path, `Secret ${JSON.stringify(name)} does not exist, or cannot be read yet`);
    const value = Object.hasOwn(secret, key) ? secret[key] : undefined;
    if (value === undefined) return this.#missing(path, `Secret ${JSON.stringify(name)} has no key ${JSON.stringify(key)}`);
    this.data[asKey] = value;
    this.#origins.set(asKey, { path: [...path, 'secretKeyRef'], name, key });
    return value.toString();
  }

  addTokenKeys(path: FieldPath, { name }: SecretKeyReference): void {
    for (const [key, value] of Object.entries(this.#secretOf(name) ?? {})) {
      if (!tokenKey.test(key)) continue;
      this.data[key] = value;
      this.#origins.set(key, { path, name, key });
    }
  }

  /** A problem with a key as a problem with the field that it stands for. */
  blame({ path: [, key = ''], message: inWordsOfSecrets }: FieldProblem): FieldProblem {
    const message = inWordsOfSecrets.replace('user.crt', 'cert').replace('user.key', 'key');
    const origin = this.#origins.get(String(key));
    if (origin !== undefined) return { path: origin.path, message: `key ${JSON.stringify(origin.key)} of Secret ${JSON.stringify(origin.name)}: ${message}` };
    const path = fieldOf[String(key)];
    if (path !== undefined) return { path, message };
    // Keys for tokens that the Secret does not have.
    const secret = this.#origins.get('sasl.mechanism')?.name ?? '';
    return { path: saslPath('type'), message: `key ${JSON.stringify(key)} of Secret ${JSON.stringify(secret)}: ${message}` };
  }

  #missing(path: FieldPath, message: string): undefined {
    this.problems.push({ path: [...path, 'secretKeyRef'], message });
  }
}
