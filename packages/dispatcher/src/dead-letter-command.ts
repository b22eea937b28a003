/** What can be asked of the command for dead letter topics, and what is wrong with what was typed. */
import { parseArgs } from 'node:util';
import { bootstrapServers, deadLetterTopicName, isDeadLetterTopic, topicName } from '@knative-kafka/common/core';

export type Command =
  | { readonly brokers: readonly string[]; readonly action: 'list'; /** Undefined: all there are. */ readonly topic: string | undefined }
  | TopicCommand;

type TopicCommand = { readonly brokers: readonly string[]; readonly topic: string } & (
  | { readonly action: 'print'; readonly limit: number; readonly isJson: boolean }
  | { readonly action: 'redrive'; readonly filter: Filter; readonly to: string | undefined; readonly isDryRun: boolean }
);

export type RedriveCommand = Extract<Command, { action: 'redrive' }>;

export interface Filter {
  readonly subscription: string | undefined;
  readonly reason: string | undefined;
}

export const exitCodes = { done: 0, notDone: 1, wrongUsage: 2 } as const;

const defaultLimit = 100;

export const usage = `What could not be delivered, and sending it again.

  npm run dead-letters -- list    [TOPIC]                how many there are, by subscription and reason
  npm run dead-letters -- print    TOPIC [--limit N] [--json]
  npm run dead-letters -- redrive  TOPIC [--subscription S] [--reason R] [--to URI] [--dry-run]

  TOPIC is one of
  --channel NS/NAME    the KafkaChannel whose events they were
  --topic T            its topic, or the dead letter topic itself

  --brokers HOST:PORT  bootstrap servers of Kafka, separated by commas; also KAFKA_BROKERS=HOST:PORT
  --limit N            print: the N newest (${defaultLimit}); 0 prints all, and holds them in memory to sort them
  --json               print: one JSON object per line
  --subscription S     redrive: only what was meant for this Subscription
  --reason R           redrive: only what failed for this reason, such as status-503 or timeout
  --to URI             redrive: send there instead of to the subscriber
  --dry-run            redrive: only say what would be sent
  --help               this text

redrive ends with 0 when everything it sent was delivered, with 1 when some of it failed again or it could not go on,
with 2 when it was not understood. What was not delivered stays in the topic.
`;

/** @returns what to do, or what is wrong with what was typed */
export function readCommand(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): Command | { readonly help: true } | { readonly problem: string } {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        brokers: { type: 'string' },
        channel: { type: 'string' },
        topic: { type: 'string' },
        limit: { type: 'string' },
        json: { type: 'boolean' },
        subscription: { type: 'string' },
        reason: { type: 'string' },
        to: { type: 'string' },
        'dry-run': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    return { problem: (error as Error).message };
  }
  const { values, positionals } = parsed;
  if (values.help === true) return { help: true };
  const [action, extra] = positionals;
  if (action !== 'list' && action !== 'print' && action !== 'redrive') return { problem: `expected list, print or redrive, got ${action === undefined ? 'nothing' : `"${action}"`}` };
  if (extra !== undefined) return { problem: `${action}: "${extra}" is not understood` };
  const foreign = Object.keys(values).find((flag) => flagOwners[flag] !== undefined && flagOwners[flag] !== action);
  if (foreign !== undefined) return { problem: `--${foreign}: only ${flagOwners[foreign] ?? ''} has it` };

  const brokersText = values.brokers ?? (env['KAFKA_BROKERS'] === '' ? undefined : env['KAFKA_BROKERS']);
  if (brokersText === undefined) return { problem: '--brokers: expected HOST:PORT, got nothing, and KAFKA_BROKERS is not set' };
  const brokers = servers.parse(brokersText);
  if (brokers === undefined) return { problem: `${values.brokers === undefined ? 'KAFKA_BROKERS' : '--brokers'}: expected HOST:PORT, several separated by commas, got "${brokersText}"` };

  if (action === 'list' && values.channel === undefined && values.topic === undefined) return { brokers, action, topic: undefined };
  const found = readTopic(values.channel, values.topic);
  if (typeof found !== 'string') return found;
  const common = { brokers, topic: found };
  if (action === 'list') return { ...common, action };
  if (action === 'print') {
    const limit = values.limit ?? String(defaultLimit);
    if (!/^\d{1,9}$/.test(limit)) return { problem: `--limit: expected a whole number, got "${limit}"` };
    return { ...common, action, limit: limit === '0' ? Infinity : Number(limit), isJson: values.json === true };
  }
  for (const flag of ['subscription', 'reason', 'to'] as const) if (values[flag] === '') return { problem: `--${flag}: expected a value, got an empty one` };
  const protocol = values.to === undefined ? 'http:' : URL.parse(values.to)?.protocol;
  if (protocol !== 'http:' && protocol !== 'https:') return { problem: `--to: expected an http or https URL, got "${values.to ?? ''}"` };
  return { ...common, action, filter: { subscription: values.subscription, reason: values.reason }, to: values.to, isDryRun: values['dry-run'] === true };
}

const flagOwners: Readonly<Record<string, Command['action']>> = { limit: 'print', json: 'print', subscription: 'redrive', reason: 'redrive', to: 'redrive', 'dry-run': 'redrive' };
const servers = bootstrapServers('KAFKA_BROKERS', { about: 'Kafka' });

function readTopic(channel: string | undefined, topic: string | undefined): string | { readonly problem: string } {
  if (channel !== undefined && topic !== undefined) return { problem: '--topic: --channel names the topic already' };
  if (channel === undefined && topic === undefined) return { problem: '--channel: expected NS/NAME, or a --topic, got neither' };
  if (topic !== undefined) {
    if (topic === '') return { problem: '--topic: expected a name, got an empty one' };
    return isDeadLetterTopic(topic) ? topic : deadLetterTopicName(topic);
  }
  const [, namespace, name] = /^([a-z0-9.-]+)\/([a-z0-9.-]+)$/.exec(channel ?? '') ?? [];
  if (namespace === undefined || name === undefined) return { problem: `--channel: expected NS/NAME, got "${channel ?? ''}"` };
  const named = topicName({ namespace, name, uid: '' });
  return 'problem' in named ? { problem: `--channel: ${named.problem}` } : deadLetterTopicName(named.topic);
}
