/**
 * The command for dead letter topics: what is in them, and sending it again.
 *
 * `list` and `print` read beside everybody else and change nothing. `redrive` sends each open event to the subscriber it
 * was meant for and settles its record at once: delivered with a note, failed or filtered out with a copy at the end of
 * the partition (core/dead-letter-record.ts). So it can be killed at any moment: what was settled is not sent again, and
 * at most one event per partition was under way.
 */
import { decodeKafkaEvent, describeError, Fault, isDeadLetterTopic, isEventError, type IncomingRecord } from '@knative-kafka/common/core';
import type { Admin } from '@knative-kafka/common/io';
import { foreignReason, isDeliveryNote, readDeadLetter, SettledRecords, type StoredDeadLetter } from './core/dead-letter-record.ts';
import { exitCodes, type Command, type Filter, type RedriveCommand } from './dead-letter-command.ts';
import { DeadLetterWriter, openRanges, patiently, readRanges, redriveGroupId, type PartitionRange } from './io/dead-letter-topic.ts';
import { Redrive, type CommandIo, type OpenRecords } from './redrive.ts';

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
