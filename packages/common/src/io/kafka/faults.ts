/**
 * Errors of the two clients as Faults.
 *
 * Both wrap the broker's answer several levels deep (`errors[0]`, `cause`, `originalError`), under different names;
 * what decides is the protocol's own error name, or else whether the connection or the time ran out.
 */
import { protocolErrorsCodesById } from '@platformatic/kafka';
import { describeError, Fault, type FaultCode } from '../../core/fault.ts';

/** Answers after which the very same request may succeed: leadership moves, replicas that lag, coordinators that load. */
const retriableAnswers = new Set([
  'UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE', 'NOT_LEADER_OR_FOLLOWER', 'NOT_LEADER_FOR_PARTITION', 'REQUEST_TIMED_OUT',
  'BROKER_NOT_AVAILABLE', 'REPLICA_NOT_AVAILABLE', 'NETWORK_EXCEPTION', 'COORDINATOR_LOAD_IN_PROGRESS', 'GROUP_LOAD_IN_PROGRESS',
  'COORDINATOR_NOT_AVAILABLE', 'GROUP_COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR', 'NOT_COORDINATOR_FOR_GROUP', 'NOT_ENOUGH_REPLICAS',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'NOT_CONTROLLER', 'KAFKA_STORAGE_ERROR', 'FENCED_LEADER_EPOCH', 'UNKNOWN_LEADER_EPOCH',
  'REBALANCE_IN_PROGRESS', 'UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'STALE_MEMBER_EPOCH', 'UNKNOWN_TOPIC_ID', 'CORRUPT_MESSAGE',
  'THROTTLING_QUOTA_EXCEEDED', 'NON_EMPTY_GROUP',
]);

const answerCodes: Readonly<Record<string, FaultCode>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'TOPIC_MISSING',
  MESSAGE_TOO_LARGE: 'RECORD_TOO_LARGE',
  RECORD_LIST_TOO_LARGE: 'RECORD_TOO_LARGE',
  REQUEST_TIMED_OUT: 'KAFKA_TIMEOUT',
  INVALID_PARTITIONS: 'TOPIC_REJECTED',
  INVALID_REPLICATION_FACTOR: 'TOPIC_REJECTED',
  INVALID_CONFIG: 'TOPIC_REJECTED',
  INVALID_TOPIC_EXCEPTION: 'TOPIC_REJECTED',
  POLICY_VIOLATION: 'TOPIC_REJECTED',
};

type Links = {
  readonly errors?: readonly unknown[];
  /** kafkajs, of consumer groups that cannot be deleted. */
  readonly groups?: readonly { readonly error?: unknown }[];
  readonly cause?: unknown;
  readonly originalError?: unknown;
};

/** An error and what it wraps, outermost first, one path down. */
function chain(error: unknown): readonly object[] {
  const found: object[] = [];
  for (let current = error; typeof current === 'object' && current !== null && found.length < 8; ) {
    found.push(current);
    const links = current as Links;
    current = links.errors?.[0] ?? links.groups?.[0]?.error ?? links.cause ?? links.originalError;
  }
  return found;
}

/** The protocol's name of the broker's answer, such as NOT_LEADER_OR_FOLLOWER; undefined where no broker answered. */
export function brokerAnswer(error: unknown): string | undefined {
  for (const link of chain(error)) {
    const { apiId, type } = link as { readonly apiId?: unknown; readonly type?: unknown };
    if (typeof apiId === 'string') return apiId;
    if (typeof type === 'string') return type;
  }
  return undefined;
}

/** What the broker says beside its answer; undefined where it says nothing, or the error's own message has it. */
function brokerWords(error: unknown): string | undefined {
  for (const link of chain(error)) {
    const { serverErrorMessage } = link as { readonly serverErrorMessage?: unknown };
    if (typeof serverErrorMessage === 'string') return serverErrorMessage;
  }
  return undefined;
}

/** Answers that the keys of a Kafka Secret are to blame for, in words. */
const accessWords: Readonly<Record<string, string>> = {
  UNSUPPORTED_SASL_MECHANISM: 'the broker does not offer this SASL mechanism on this port: sasl.mechanism',
  ILLEGAL_SASL_STATE: 'the broker does not take SASL on this port: protocol',
};

const unknownAuthority = 'is not signed by an authority that is believed: put its CA in ca.crt';
const outOfTime = 'is out of its time';
const noGoodCertificate = 'wants a client certificate that it believes: user.crt and user.key';
const strangeCertificate = 'does not believe our client certificate: user.crt and user.key';

/** Why a certificate was not taken, by Node's error codes: what is wrong with the other side's. */
const theirCertificate: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  CERT_UNTRUSTED: unknownAuthority,
  CERT_SIGNATURE_FAILURE: unknownAuthority,
  CERT_HAS_EXPIRED: outOfTime,
  CERT_NOT_YET_VALID: outOfTime,
};

/** The same of ours, by the alert that the other side ends the connection with (RFC 8446, 6). Java sends the first for no certificate at all. */
const ourCertificate: Readonly<Record<string, string>> = {
  42: noGoodCertificate, // bad_certificate
  116: noGoodCertificate, // certificate_required
  43: strangeCertificate, // unsupported_certificate
  44: strangeCertificate, // certificate_revoked
  45: strangeCertificate, // certificate_expired
  46: strangeCertificate, // certificate_unknown
  48: strangeCertificate, // unknown_ca
};

export interface TlsRefusal {
  readonly words: string;
  /** KAFKA_REFUSED where somebody has to put something right; a server that is about to end resets connections, too. */
  readonly code: 'KAFKA_REFUSED' | 'KAFKA_UNAVAILABLE';
}

/**
 * Why there is no TLS connection, where certificates or TLS itself are the matter.
 *
 * @param server who it was to be with: "the broker"
 * @returns undefined for any other failure
 */
export function tlsRefusal(error: unknown, server: string): TlsRefusal | undefined {
  const refused = (words: string): TlsRefusal => ({ words: `${server}${words}`, code: 'KAFKA_REFUSED' });
  for (const link of chain(error)) {
    const { code, message } = link as { readonly code?: unknown; readonly message?: unknown };
    if (typeof code !== 'string' || typeof message !== 'string') continue;
    const theirs = theirCertificate[code];
    if (theirs !== undefined) return refused(`'s certificate ${theirs}`);
    // The codes of alerts change with OpenSSL, their numbers do not.
    const ours = ourCertificate[/SSL alert number (\d+)/.exec(message)?.[1] ?? ''];
    if (ours !== undefined) return refused(` ${ours}`);
    if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return refused(`'s certificate is for another host: ${(/altnames: (.*)/s.exec(message)?.[1] ?? message).trim()}`);
    if (code === tlsAnswer) return refused(' speaks TLS on this port, and this connection does not: protocol');
    if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return refused(' does not speak TLS on this port, and this connection does: protocol');
    if (code === 'ECONNRESET' && message.includes('before secure TLS connection')) {
      return { words: `${server} closed the connection before TLS was agreed on: it may not speak it on this port: protocol`, code: 'KAFKA_UNAVAILABLE' };
    }
  }
  return undefined;
}

/** The first bytes of what a server says: a TLS record, where it takes nothing else (RFC 8446, 5.1). */
export function isTlsRecord(bytes: Buffer): boolean {
  return bytes.length >= 3 && bytes[0]! >= 20 && bytes[0]! <= 23 && bytes[1] === 3 && bytes[2]! <= 4;
}

const tlsAnswer = 'TLS_ANSWER';

/** To break a connection with, that is without TLS and got a TLS record for an answer. kafkajs keeps the code of it. */
export function answeredInTls(): Error {
  return Object.assign(new Error('the answer is a TLS record'), { code: tlsAnswer });
}

/** Of a connection without SASL, that was closed with its first request: what brokers do to whoever has not logged in. */
export function closedUnanswered(cause: unknown): Error {
  return new Error('the broker closed the connection and answered nothing: it may want a login, or TLS: protocol', { cause });
}

/** @param doing what was tried, for the message: "produce to orders/3" */
export function faultOfAnswer(answer: string, doing: string, cause?: unknown): Fault {
  const words = accessWords[answer];
  // Worth trying again, as all that has to do with credentials: they are read anew for each connection.
  if (words !== undefined) return new Fault('KAFKA_REFUSED', `${doing}: ${words}`, { retriable: true, cause });
  const retriable = retriableAnswers.has(answer);
  return new Fault(answerCodes[answer] ?? (retriable ? 'KAFKA_UNAVAILABLE' : 'KAFKA_REFUSED'), `${doing}: ${answer}`, { retriable, cause });
}

/** @param errorCode the number in a response, not 0 */
export function faultOfErrorCode(errorCode: number, doing: string, cause?: unknown): Fault {
  const answer = (protocolErrorsCodesById as Readonly<Record<string, string>>)[String(errorCode)] ?? `error ${errorCode}`;
  return faultOfAnswer(answer, doing, cause);
}

const authenticationFailed = 'SASL_AUTHENTICATION_FAILED';

function isAuthenticationError(link: object): boolean {
  const { code, name } = link as { readonly code?: unknown; readonly name?: unknown };
  return code === 'PLT_KFK_AUTHENTICATION' || name === 'KafkaJSSASLAuthenticationError';
}

/** Any error of either client. @param doing what was tried, for the message */
export function faultOf(error: unknown, doing: string): Fault {
  if (error instanceof Fault) return error;
  const inner = chain(error).find((link) => link instanceof Fault);
  if (inner !== undefined) return new Fault(inner.code, `${doing}: ${inner.message}`, { retriable: inner.retriable, cause: error });
  const refusal = tlsRefusal(error, 'the broker');
  if (refusal !== undefined) return new Fault(refusal.code, `${doing}: ${refusal.words}`, { retriable: true, cause: error });
  const answer = brokerAnswer(error);
  const isAuthentication = answer === undefined || answer === authenticationFailed ? chain(error).some(isAuthenticationError) : false;
  // Worth trying again: the credentials are read anew for each connection.
  if (isAuthentication) return new Fault('KAFKA_REFUSED', `${doing}: ${brokerWords(error) ?? describeError(error)}`, { retriable: true, cause: error });
  if (answer !== undefined) return faultOfAnswer(answer, doing, error);
  const isTimeout = chain(error).some((link) => {
    const { code, name } = link as { readonly code?: unknown; readonly name?: unknown };
    return code === 'PLT_KFK_TIMEOUT' || name === 'KafkaJSRequestTimeoutError';
  });
  const code: FaultCode = isTimeout ? 'KAFKA_TIMEOUT' : 'KAFKA_UNAVAILABLE';
  return new Fault(code, `${doing}: ${describeError(error)}`, { retriable: true, cause: error });
}
