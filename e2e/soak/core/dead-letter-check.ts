/**
 * Whether what a dead letter sink was sent tells the truth about the failure.
 *
 * @see Knative Eventing, DeliverySpec: `knativeerrordest`, `knativeerrorcode`, `knativeerrordata`
 */
import { answerBody } from './answer-plan.ts';

/** What stands for a failure without an HTTP answer. */
const noAnswerCode = 500;

/**
 * @param headers       of the request, names in lower case
 * @param subscriberUri that the event was not delivered to
 * @param failures      statuses that the subscriber has answered for this event; 0 where it did not answer
 * @returns             what is wrong; undefined where nothing is. An answer that took too long is always believed: on a busy
 *                      machine, or for a dispatcher that stood still, that can be so although the subscriber was quick
 */
export function checkDeadLetter(headers: Readonly<Record<string, string | readonly string[] | undefined>>, subscriberUri: string, failures: ReadonlySet<number>): string | undefined {
  const [destination, code, data] = [headers['ce-knativeerrordest'], headers['ce-knativeerrorcode'], headers['ce-knativeerrordata']];
  if (destination !== subscriberUri) return `knativeerrordest is ${shown(destination)}, the subscriber ${subscriberUri}`;
  if (typeof data !== 'string') return `knativeerrordata is ${shown(data)}`;
  const told = Buffer.from(data, 'base64').toString();
  if (code === String(noAnswerCode) && told.startsWith('dispatch error: no answer within')) return undefined;
  for (const status of failures) {
    if (code === String(status) && told === answerBody(status)) return undefined;
    if (status === 0 && code === String(noAnswerCode) && told.startsWith('dispatch error: ')) return undefined;
  }
  return `knativeerrorcode is ${shown(code)} with "${told}", the subscriber answered ${[...failures].join(', ') || 'nothing'}`;
}

function shown(value: string | readonly string[] | undefined): string {
  return value === undefined ? 'absent' : String(value);
}
