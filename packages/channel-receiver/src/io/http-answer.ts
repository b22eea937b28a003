/**
 * Answers as HTTP, for both lanes: through `node:http`'s response, or as the same bytes where there is none.
 */
import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { Answer } from '../core/receive-response.ts';

/** Longer than the idle time of the proxies in front, which must be the ones to close (a close from here can race a request). */
export const keepAliveTimeoutMs = 75_000;

export function sendAnswer(response: ServerResponse, answer: Answer): void {
  const body = bodyOf(answer);
  response.writeHead(answer.status, headersOf(answer, body)).end(body);
}

/**
 * The bytes that `sendAnswer` sends for a request of HTTP/1.1.
 * @param date as `Date` has it
 * @param isLast whether the connection is closed after it
 */
export function answerBytes(answer: Answer, date: string, isLast: boolean): Buffer {
  const body = bodyOf(answer);
  const headers = headersOf(answer, body);
  let head = `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n`;
  for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
  head += `Date: ${date}\r\n`;
  head += isLast ? 'Connection: close\r\n\r\n' : `Connection: keep-alive\r\nKeep-Alive: timeout=${keepAliveTimeoutMs / 1_000}\r\n\r\n`;
  return body === undefined ? Buffer.from(head, 'latin1') : Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

const acceptedHeaders = ['Content-Length', '0'];

function headersOf({ retryAfterSeconds, allow }: Answer, body: Buffer | undefined): string[] {
  if (body === undefined) return acceptedHeaders;
  const headers = ['Content-Type', 'application/problem+json', 'Content-Length', String(body.length)];
  if (retryAfterSeconds !== undefined) headers.push('Retry-After', String(retryAfterSeconds));
  if (allow !== undefined) headers.push('Allow', allow);
  return headers;
}

function bodyOf(answer: Answer): Buffer | undefined {
  return answer.problem === undefined ? undefined : problemBody(answer);
}

function problemBody({ status, problem }: Answer): Buffer {
  return Buffer.from(JSON.stringify({ type: 'about:blank', status, ...problem }));
}

/**
 * What is said about bytes that are no request; the connection is closed after it.
 * @param error as `node:http` has it in its event `clientError`
 */
export function brokenRequestBytes(error: { readonly code?: string | undefined; readonly message: string }): Buffer {
  const [status, title] =
    error.code === 'HPE_HEADER_OVERFLOW' ? ([431, 'Request Header Fields Too Large'] as const)
    : error.code === requestTimeoutCode ? ([408, 'Request Timeout'] as const)
    : ([400, 'Bad Request'] as const);
  const detail = status === 431 ? 'the head of the request is too long' : status === 408 ? 'the request did not arrive in time' : `not an HTTP/1.1 request: ${error.message}`;
  const body = problemBody({ status, problem: { title, detail } });
  const head = `HTTP/1.1 ${status} ${title}\r\nConnection: close\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

const requestTimeoutCode = 'ERR_HTTP_REQUEST_TIMEOUT';
/** As `node:http` says it when a request takes too long, and when its sender stops in the middle of one. */
export const requestTimedOut = { code: requestTimeoutCode, message: 'Request timeout' } as const;
export const requestEndedEarly = { code: 'HPE_INVALID_EOF_STATE', message: 'Parse Error' } as const;
