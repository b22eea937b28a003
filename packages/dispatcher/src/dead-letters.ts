/**
 * The command for dead letter topics: what is in them, and sending it again.
 *
 * `list` and `print` read beside everybody else and change nothing. `redrive` sends each open event to the subscriber it
 * was meant for and settles its record at once: delivered with a note, failed or filtered out with a copy at the end of
 * the partition (core/dead-letter-record.ts). So it can be killed at any moment: what was settled is not sent again, and
 * at most one event per partition was under way.
 */
import { parseArgs } from 'node:util';
import { bootstrapServers, deadLetterTopicName, decodeKafkaEvent, describeError, Fault, isDeadLetterTopic, isEventError, topicName, type IncomingRecord } from '@knative-kafka/common/core';
import type { Admin, KafkaClient } from '@knative-kafka/common/io';
import { foreignReason, isDeliveryNote, readDeadLetter, SettledRecords, type StoredDeadLetter } from './core/dead-letter-record.ts';
import { DeadLetterWriter, openRanges, patiently, readRanges, redriveGroupId, type PartitionRange } from './io/dead-letter-topic.ts';
import type { SubscriberClient } from './io/subscriber-client.ts';
import { Redrive } from './redrive.ts';

export type Command =
  | { readonly brokers: readonly string[]; readonly action: 'list'; /** Undefined: all there are. */ readonly topic: string | undefined }
  | TopicCommand;

type TopicCommand = { readonly brokers: readonly string[]; readonly topic: string } & (
  | { readonly action: 'print'; readonly limit: number; readonly isJson: boolean }
  | { readonly action: 'redrive'; readonly filter: Filter; readonly to: string | undefined; readonly isDryRun: boolean }
);

export interface Filter {
  readonly subscription: string | undefined;
  readonly reason: string | undefined;
}

export interface CommandIo {
  readonly kafka: KafkaClient;
  readonly client: Pick<SubscriberClient, 'send'>;
  /** One line of what was asked for. */
  print(line: string): void;
  /** One line that says how far it is; the next one replaces it. */
  progress(line: string): void;
  /** One line that is worth knowing beside the result. */
  warn(line: string): void;
  /** Ends early and in order: what is under way is finished. */
  readonly signal: AbortSignal;
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

/**
 * @returns the exit code
 * @throws Fault when Kafka does not go along
 */
export async function runDeadLetters(command: Command, io: CommandIo): Promise<number> {
  const admin = io.kafka.createAdmin();
  try {
    if (command.topic === undefined) {
      const topics = (await admin.listTopics()).filter(isDeadLetterTopic).sort();
      if (topics.length === 0) io.print('no dead letter topics, so nothing was kept');
      for (const topic of topics) await list(topic, admin, io);
      return exitCodes.done;
    }
    if ((await admin.describeTopic(command.topic)) === undefined) {
      io.print(`${command.topic}: no such topic, so nothing was kept`);
      return exitCodes.done;
    }
    if (command.action === 'list') return await list(command.topic, admin, io);
    if (command.action === 'print') return await print(command, admin, io);
    return command.isDryRun ? await rehearse(command, admin, io) : await redrive(command, admin, io);
  } finally {
    await admin.close();
  }
}

// --- reading what is open --------------------------------------------------------------------------------------------

/** By partition and offset, what each open record amounts to; a partition's in the order stored. */
export type OpenRecords<T> = ReadonlyMap<number, ReadonlyMap<bigint, T>>;

/**
 * Reads a topic to its end and keeps something of each record that nothing has settled.
 * @param onAdded may take some out again, which are then not told
 */
async function readOpen<T>(
  { kafka, signal }: CommandIo,
  admin: Admin,
  topic: string,
  ranges: readonly PartitionRange[],
  summary: (record: IncomingRecord, partition: number) => T,
  onAdded?: (open: ReadonlyMap<number, Map<bigint, T>>) => void,
): Promise<OpenRecords<T>> {
  const open = new Map(ranges.map(({ partition }) => [partition, new Map<bigint, T>()]));
  const settled = new Map(ranges.map(({ partition }) => [partition, new SettledRecords()]));
  await readRanges(kafka, admin, topic, ranges, signal, (partition, record) => {
    const ofPartition = open.get(partition)!;
    const offset = settled.get(partition)!.add(record);
    if (offset !== undefined) ofPartition.delete(offset);
    if (isDeliveryNote(record)) return;
    ofPartition.set(record.offset, summary(record, partition));
    onAdded?.(open);
  });
  return open;
}

function* valuesOf<T>(open: OpenRecords<T>): Iterable<T> {
  for (const ofPartition of open.values()) yield* ofPartition.values();
}

// --- list ------------------------------------------------------------------------------------------------------------

interface Tally {
  readonly subscription: string;
  readonly reason: string;
  readonly timeMs: number;
}

async function list(topic: string, admin: Admin, io: CommandIo): Promise<number> {
  const open = await readOpen<Tally>(io, admin, topic, await openRanges(admin, topic, io.signal), (record) => {
    const letter = readDeadLetter(record);
    return letter === undefined ? { subscription: '-', reason: foreignReason, timeMs: record.timestampMs } : letterTally(letter);
  });
  const groups = Map.groupBy(valuesOf(open), ({ subscription, reason }) => JSON.stringify([subscription, reason]));
  const total = [...groups.values()].reduce((sum, group) => sum + group.length, 0);
  io.print(`${topic}: ${counted(total, 'record')}`);
  const rows = [...groups.values()]
    .sort((one, other) => other.length - one.length)
    .map((group) => {
      const times = group.map(({ timeMs }) => timeMs).sort((one, other) => one - other);
      return [shown(group[0]!.subscription), shown(group[0]!.reason), String(group.length), timeText(times[0]!), timeText(times.at(-1)!)];
    });
  if (rows.length > 0) for (const line of columns([['subscription', 'reason', 'records', 'oldest', 'newest'], ...rows])) io.print(`  ${line}`);
  return exitCodes.done;
}

/** Of a letter, only what is counted: there may be very many. */
function letterTally({ subscription, reason, timeMs }: StoredDeadLetter): Tally {
  return { subscription, reason, timeMs };
}

// --- print -----------------------------------------------------------------------------------------------------------

interface Printed {
  readonly record: IncomingRecord;
  readonly partition: number;
  readonly timeMs: number;
}

async function print(command: Extract<Command, { action: 'print' }>, admin: Admin, io: CommandIo): Promise<number> {
  const { topic, limit, isJson } = command;
  let added = 0;
  let left = 0;
  const open = await readOpen<Printed>(
    io,
    admin,
    topic,
    await openRanges(admin, topic, io.signal),
    (record, partition) => ({ record, partition, timeMs: readDeadLetter(record)?.timeMs ?? record.timestampMs }),
    (all) => {
      if (++added < Math.max(1_000, limit)) return;
      added = 0;
      left += leaveNewest(all, limit);
    },
  );
  const newestLast = [...valuesOf(open)].sort(byTime);
  left += Math.max(0, newestLast.length - limit);
  for (const entry of newestLast.slice(Math.max(0, newestLast.length - limit))) io.print(isJson ? jsonLine(topic, entry) : textLine(entry));
  if (left > 0) io.warn(`${counted(left, 'older record')} not shown; --limit 0 shows all`);
  return exitCodes.done;
}

function byTime(one: Printed, other: Printed): number {
  return one.timeMs - other.timeMs || one.partition - other.partition || Number(one.record.offset - other.record.offset);
}

/** @returns how many had to go */
function leaveNewest(open: ReadonlyMap<number, Map<bigint, Printed>>, limit: number): number {
  const all = [...valuesOf(open)].sort(byTime);
  const surplus = all.slice(0, Math.max(0, all.length - limit));
  for (const { partition, record } of surplus) open.get(partition)!.delete(record.offset);
  return surplus.length;
}

function textLine({ record, partition, timeMs }: Printed): string {
  const letter = readDeadLetter(record);
  if (letter === undefined) return `${timeText(timeMs)}  -  ${foreignReason}  partition ${partition}, offset ${record.offset}`;
  const { subscription, reason, code, destination } = letter;
  const { id, type, source, subject } = eventNames(letter.record);
  const why = code === undefined || reason.endsWith(String(code)) ? reason : `${reason} (${code})`;
  const names = Object.entries({ id, type, source, subject }).filter(([, text]) => text !== undefined);
  return [timeText(timeMs), subscription, why, destination, ...names.map(([name, text]) => `${name}=${text ?? ''}`)].map(shown).join('  ');
}

function jsonLine(topic: string, { record, partition, timeMs }: Printed): string {
  const letter = readDeadLetter(record);
  const place = { topic, partition, offset: String(record.offset), time: timeText(timeMs) };
  if (letter === undefined) return JSON.stringify({ ...place, reason: foreignReason, ...textOrBase64('key', record.key), ...textOrBase64('value', record.value) });
  const event = decodeKafkaEvent(letter.record.headers, letter.record.value);
  const isBinary = !isEventError(event) && event.mode === 'binary';
  return JSON.stringify({
    ...place,
    channel: letter.channel,
    subscription: letter.subscription,
    group: letter.groupId,
    subscriber: letter.subscriberUri,
    destination: letter.destination,
    reason: letter.reason,
    code: letter.code,
    attempts: letter.attempts,
    redrives: letter.redrives,
    ...textOrBase64('answer', letter.data),
    record: { topic: letter.topic, partition: letter.partition, offset: String(letter.record.offset), time: timeText(letter.record.timestampMs), ...textOrBase64('key', letter.record.key) },
    event: { ...eventNames(letter.record), contentType: isEventError(event) ? undefined : event.contentType, attributes: isBinary ? Object.fromEntries(event.attributes) : undefined },
    // Of a binary event its data, of a structured one the whole event.
    ...textOrBase64('value', letter.record.value),
  });
}

interface EventNames {
  readonly id?: string | undefined;
  readonly type?: string | undefined;
  readonly source?: string | undefined;
  readonly subject?: string | undefined;
}

/** What people look for an event by; nothing where the record holds none. */
function eventNames(record: IncomingRecord): EventNames {
  const event = decodeKafkaEvent(record.headers, record.value);
  if (isEventError(event)) return {};
  let members: Readonly<Record<string, unknown>>;
  if (event.mode === 'binary') members = Object.fromEntries(event.attributes);
  else {
    try {
      members = JSON.parse(event.body.toString()) as Record<string, unknown>;
    } catch {
      return {}; // in another format than JSON
    }
  }
  const text = (name: string): string | undefined => (typeof members[name] === 'string' ? members[name] : undefined);
  return { id: text('id'), type: text('type'), source: text('source'), subject: text('subject') };
}

function textOrBase64(name: string, bytes: Buffer | null | undefined): Readonly<Record<string, string>> {
  if (bytes === null || bytes === undefined) return {};
  try {
    return { [name]: strictUtf8.decode(bytes) };
  } catch {
    return { [`${name}Base64`]: bytes.toString('base64') };
  }
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// --- redrive ---------------------------------------------------------------------------------------------------------

export type RedriveCommand = Extract<Command, { action: 'redrive' }>;

function isMatch(letter: StoredDeadLetter | undefined, { subscription, reason }: Filter): boolean {
  if (subscription !== undefined && letter?.subscription !== subscription) return false;
  return reason === undefined || (letter === undefined ? foreignReason : letter.reason) === reason;
}

/** What a redrive would do. */
async function rehearse({ topic, filter, to }: RedriveCommand, admin: Admin, io: CommandIo): Promise<number> {
  const open = await readOpen<string | undefined>(io, admin, topic, await openRanges(admin, topic, io.signal), (record) => {
    const letter = readDeadLetter(record);
    if (!isMatch(letter, filter)) return undefined;
    return letter === undefined ? `- (${foreignReason})` : `${letter.subscription} (${letter.reason}) -> ${to ?? letter.subscriberUri}`;
  });
  const groups = Map.groupBy(valuesOf(open), (line) => line);
  const left = groups.get(undefined)?.length ?? 0;
  groups.delete(undefined);
  const total = [...groups.values()].reduce((sum, group) => sum + group.length, 0);
  io.print(`${topic}: ${counted(total, 'event')} would be sent, ${left} left out`);
  for (const [line, group] of groups) io.print(`  ${group.length}  ${shown(line ?? '')}`);
  return exitCodes.done;
}

async function redrive(command: RedriveCommand, admin: Admin, io: CommandIo): Promise<number> {
  const { topic } = command;
  const groupId = redriveGroupId(topic);
  const { signal } = io;
  await patiently(() => admin.commitInitialOffsets(groupId, topic, 'earliest'), signal);
  const writer = new DeadLetterWriter(io.kafka.createProducer());
  const run = new Redrive(command, admin, io, writer);
  try {
    const partitions = await writer.partitionCount(topic);
    io.progress('joining the consumer group; a redrive that was killed is waited for until its session is over');
    await run.join(partitions, groupId);
    io.progress('reading what there is');
    const ranges = await openRanges(admin, topic, signal);
    const open = await readOpen(io, admin, topic, ranges, (record) => isMatch(readDeadLetter(record), command.filter));
    await run.sendAll(ranges, open);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    io.warn(signal.aborted ? 'stopped; what was not sent stays in the topic' : describeError(error));
    run.wasCut = true;
  } finally {
    await run.close();
    await writer.close();
  }
  return tell(run, topic, io);
}

function tell({ results, wasCut }: Redrive, topic: string, io: CommandIo): number {
  const { delivered, failed, leftOut } = results;
  const failures = [...failed.values()].reduce((sum, count) => sum + count, 0);
  const reasons = [...failed].map(([reason, count]) => `${shown(reason)} ${count}`).join(', ');
  io.print(`${topic}: ${delivered} delivered, ${failures} failed again${failures === 0 ? '' : ` (${reasons})`}, ${leftOut} left out`);
  return failures === 0 && !wasCut ? exitCodes.done : exitCodes.notDone;
}

// --- text ------------------------------------------------------------------------------------------------------------

function timeText(timeMs: number): string {
  return timeMs >= 0 ? new Date(timeMs).toISOString() : '-';
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** For a terminal: what came from elsewhere must not move the cursor or turn the text around. */
function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Rows as lines, each column as wide as its longest cell. */
function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd());
}
