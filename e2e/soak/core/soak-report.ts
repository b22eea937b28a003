/**
 * A soak's result as tables, for a terminal and for a page.
 */
import { gracefulFaults, type SoakResult } from './soak-result.ts';

interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Where the events of each Subscription ended. */
function outcomeTable({ events, subscriptions }: SoakResult): Table {
  return {
    columns: ['Subscription', 'events', 'delivered', 'dead-lettered', 'kept', 'lost', 'duplicates', 'out of order'],
    rows: Object.entries(subscriptions).map(([name, tally]) => [
      name, String(events), String(tally.delivered), String(tally.deadLettered), String(tally.kept), String(tally.missing.length), String(tally.duplicates),
      name === 'flaky' ? 'unordered' : String(tally.orderBreaks.length),
    ]),
  };
}

/**
 * What each kind of fault cost; pauses and duplicates by Subscription, in the order of the first table. `of the last`: how
 * long before the fault any of the duplicates had arrived first.
 */
function faultTable({ faults, subscriptions }: SoakResult): Table {
  const names = Object.keys(subscriptions);
  return {
    columns: ['fault', 'times', 'took', ...names.map((name) => `pause ${name}`), `duplicates ${names.join(' / ')}`, 'of the last'],
    rows: faults.map(({ fault, tookMs, pauseMs, duplicates, repeatedFromMs }) => [
      fault === 'none' ? 'none (time between)' : fault,
      String(tookMs.length),
      seconds(tookMs),
      ...names.map((name) => seconds(pauseMs[name] ?? [])),
      names.map((name) => duplicates[name] ?? 0).join(' / '),
      repeatedFromMs === undefined ? '' : `${(repeatedFromMs / 1000).toFixed(2)} s`,
    ]),
  };
}

/** Whether the faults that are to cost no duplicate have cost none. */
export function gracefulDuplicates({ faults }: SoakResult): number {
  return faults
    .filter(({ fault }) => fault !== 'none' && gracefulFaults.includes(fault))
    .reduce((sum, { duplicates }) => sum + Object.values(duplicates).reduce((of, count) => of + count, 0), 0);
}

function sentences(result: SoakResult): readonly string[] {
  const { events, elapsedMs, seed, storedTwice, calm, deadLettersChecked, atWrongSink } = result;
  const compared = calm.reduce((sum, stretch) => sum + stretch.events, 0);
  return [
    `${events} events accepted in ${minutes(elapsedMs)}, start and account included; seed ${seed}.`,
    `${storedTwice} events are in the topic twice because an acknowledgement got lost and they were sent again; that is no duplicate here.`,
    `The dispatchers' own counters were compared over ${compared} of the events, in ${calm.length} stretches without a fault: what is killed takes its counters along.`,
    'Pauses are those of the worst partition; with several times, the median and the longest.',
    `${deadLettersChecked} requests to dead letter sinks had their error extensions checked. ${atWrongSink} events of flaky were dead-lettered after attempts that failed on the busy machine and not at the subscriber.`,
  ];
}

/** @param style for headlines and for what went wrong */
export function soakText(result: SoakResult, style: { bold(text: string): string; red(text: string): string; green(text: string): string }): string {
  const lines = ['', style.bold('What became of the events'), ...aligned(outcomeTable(result)), '', style.bold('What the faults cost'), ...aligned(faultTable(result)), ''];
  lines.push(...sentences(result), '');
  for (const problem of result.problems) lines.push(style.red(`✗ ${problem}`));
  lines.push(result.problems.length === 0 ? style.green('✓ nothing lost') : style.red('✗ not passed'));
  return lines.join('\n');
}

export function soakMarkdown(result: SoakResult, machine: string, day: string): string {
  const verdict = result.problems.length === 0 ? 'Nothing lost.' : `**Not passed**: ${result.problems.join('; ')}`;
  return [
    `${machine}.`,
    markdown(outcomeTable(result)),
    markdown(faultTable(result)),
    sentences(result).map((sentence) => `- ${sentence}`).join('\n'),
    `${verdict} _Run ${day}._`,
  ].join('\n\n');
}

/** The page with another block between its markers. @throws Error when it has none */
export function withBlock(page: string, block: string): string {
  const [begin, end] = ['<!-- soak -->', '<!-- /soak -->'];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the page has no ${begin} … ${end}`);
  return `${page.slice(0, from + begin.length)}\n\n${block.trim()}\n\n${page.slice(to)}`;
}

/** `0.42 s`, or the median and the longest: `0.42 s (1.31 s)`. */
function seconds(timesMs: readonly number[]): string {
  const sorted = [...timesMs].sort((one, other) => one - other);
  const shown = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  const median = shown(sorted[Math.floor((sorted.length - 1) / 2)] ?? 0);
  return sorted.length <= 1 ? median : `${median} (${shown(sorted.at(-1)!)})`;
}

function minutes(ms: number): string {
  const total = Math.round(ms / 1000);
  return total < 60 ? `${total} s` : `${Math.floor(total / 60)} min ${total % 60} s`;
}

function aligned({ columns, rows }: Table): readonly string[] {
  const all = [columns, ...rows];
  const widths = columns.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) => `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join('  ')}`);
}

function markdown({ columns, rows }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(columns), line(columns.map((_, column) => (column === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}
