/** What an attempt without an answer is called, by the error that it ended with. */
import type { AttemptFailure, DeliveryAnswer } from './response-verdict.ts';

const failureByCode: Readonly<Record<string, AttemptFailure>> = {
  ENOTFOUND: 'dns-failed', EAI_AGAIN: 'dns-failed', EAI_FAIL: 'dns-failed', EAI_NODATA: 'dns-failed', EAI_NONAME: 'dns-failed', ENODATA: 'dns-failed', ESERVFAIL: 'dns-failed',
  ECONNREFUSED: 'connection-refused',
  EHOSTUNREACH: 'unreachable', ENETUNREACH: 'unreachable', EADDRNOTAVAIL: 'unreachable', EHOSTDOWN: 'unreachable', ENETDOWN: 'unreachable', EACCES: 'unreachable',
  UND_ERR_CONNECT_TIMEOUT: 'unreachable', ETIMEDOUT: 'unreachable', UND_ERR_INVALID_ARG: 'unreachable',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls-failed', SELF_SIGNED_CERT_IN_CHAIN: 'tls-failed', HOSTNAME_MISMATCH: 'tls-failed', EPROTO: 'tls-failed',
};

/** Errors before a connection stood, by their codes; all others lost one. */
export function failureOf(error: Error & { readonly code?: string }): DeliveryAnswer {
  const cause = error instanceof AggregateError ? (error.errors[0] as (Error & { readonly code?: string }) | undefined) : undefined;
  const code = error.code ?? cause?.code ?? '';
  const message = cause?.message ?? error.message;
  const failure = failureByCode[code] ?? (/^(?:ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|UNABLE_TO_|INVALID_)/.test(code) ? 'tls-failed' : 'connection-lost');
  return { failure, message: code === '' || message.includes(code) ? message : `${code}: ${message}` };
}
