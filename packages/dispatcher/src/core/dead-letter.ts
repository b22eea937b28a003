/**
 * What a dead letter sink is told about the failure: three extensions beside the original event.
 *
 * @see Knative Eventing, pkg/kncloudevents/attributes (`knativeerrordest`, `knativeerrorcode`, `knativeerrordata`)
 */
import type { DeliveryAnswer } from './response-verdict.ts';

/** The last answer of a delivery that was given up, and where it came from. */
export interface DeliveryFailure {
  /** As configured: the subscriber's URL, or that of the reply. */
  readonly uri: string;
  readonly answer: DeliveryAnswer;
}

/** How much of an answer's body is told: 1024 characters of base64. */
export const errorDataBytes = 768;
/** Knative's code where there was no HTTP answer. */
const noAnswerCode = 500;

/**
 * The extensions for a dead letter sink. The URL is the configured text, with user and password in it blanked; the code a
 * status, 500 where there was no answer; the data base64 of the first bytes of the body or of what went wrong, absent
 * where the body was empty.
 */
export function errorExtensions({ uri, answer }: DeliveryFailure): readonly (readonly [name: string, value: string])[] {
  const code = 'failure' in answer ? noAnswerCode : answer.status;
  const data = errorData(answer);
  const extensions: (readonly [string, string])[] = [['knativeerrordest', shownUri(uri)], ['knativeerrorcode', String(code)]];
  if (data !== undefined) extensions.push(['knativeerrordata', data.toString('base64')]);
  return extensions;
}

/** The first bytes of the answer's body, or of the sentence that says why there was none; undefined when empty. */
export function errorData(answer: DeliveryAnswer): Buffer | undefined {
  const data = 'failure' in answer ? Buffer.from(`dispatch error: ${answer.message}`) : answer.body;
  return data === undefined || data.length === 0 ? undefined : data.subarray(0, errorDataBytes);
}

/** In the place of user and password. */
export const blankedUserInfo = '***';

/** A URL for people and for other systems: user and password in it are none of their business. All else stays as written. */
export function shownUri(uri: string): string {
  if (!uri.includes('@')) return uri;
  const parsed = URL.parse(uri);
  // A password with a slash in it makes a URL that nobody can read, and which must not be shown for that.
  if (parsed === null) return uri.replace(/^([^@]*?\/\/)?.*@/s, `$1${blankedUserInfo}@`);
  if (parsed.username === '' && parsed.password === '') return uri;
  const written = /^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i;
  if (written.test(uri)) return uri.replace(written, `$1${blankedUserInfo}@`);
  parsed.username = blankedUserInfo;
  parsed.password = '';
  return parsed.href;
}
