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

/** @param doing what was tried, for the message: "produce to orders/3" */
export function faultOfAnswer(answer: string, doing: string, cause?: unknown): Fault {
  const retriable = retriableAnswers.has(answer);
  return new Fault(answerCodes[answer] ?? (retriable ? 'KAFKA_UNAVAILABLE' : 'KAFKA_REFUSED'), `${doing}: ${answer}`, { retriable, cause });
}

/** @param errorCode the number in a response, not 0 */
export function faultOfErrorCode(errorCode: number, doing: string, cause?: unknown): Fault {
  const answer = (protocolErrorsCodesById as Readonly<Record<string, string>>)[String(errorCode)] ?? `error ${errorCode}`;
  return faultOfAnswer(answer, doing, cause);
}

/** Any error of either client. @param doing what was tried, for the message */
export function faultOf(error: unknown, doing: string): Fault {
  if (error instanceof Fault) return error;
  const isAuthentication = chain(error).some((link) => {
    const { code, name } = link as { readonly code?: unknown; readonly name?: unknown };
    return code === 'PLT_KFK_AUTHENTICATION' || name === 'KafkaJSSASLAuthenticationError';
  });
  // Worth trying again: the credentials are read anew for each connection.
  if (isAuthentication) return new Fault('KAFKA_REFUSED', `${doing}: ${brokerWords(error) ?? describeError(error)}`, { retriable: true, cause: error });
  const answer = brokerAnswer(error);
  if (answer !== undefined) return faultOfAnswer(answer, doing, error);
  const isTimeout = chain(error).some((link) => {
    const { code, name } = link as { readonly code?: unknown; readonly name?: unknown };
    return code === 'PLT_KFK_TIMEOUT' || name === 'KafkaJSRequestTimeoutError';
  });
  const code: FaultCode = isTimeout ? 'KAFKA_TIMEOUT' : 'KAFKA_UNAVAILABLE';
  return new Fault(code, `${doing}: ${describeError(error)}`, { retriable: true, cause: error });
}
