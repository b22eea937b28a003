/**
 * What every bench returns, as text for a terminal and for a page.
 */
import { figure, median, spread } from './statistics.ts';

export interface BenchTable {
  /** Also the name of its markers on the page. */
  readonly id: string;
  readonly title: string;
  /** The first names the row; ratios come next, absolute figures last. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly targets: readonly Target[];
  /** Whole sentences: what has to be known to read the figures. */
  readonly notes: readonly string[];
  /** How often everything was measured. */
  readonly runs: number;
  /** The figures of each run by what was measured, for `--json`. */
  readonly figures: Readonly<Record<string, readonly unknown[]>>;
}

/** A promise of this project and what became of it. */
export interface Target {
  /** `CPU per event / per request of the bare server, 50 connections`. */
  readonly name: string;
  /** Median of the runs; the worst of them where the bound holds for each. */
  readonly value: number;
  /** The median with the least and the most. */
  readonly valueText: string;
  /** `at most 3`, `at least 0.6 of ...`. */
  readonly target: string;
  readonly isMet: boolean;
  /** By what part of the target it was missed: 0.2 is a fifth, Infinity where the target is 0; 0 when it was met. */
  readonly missedBy: number;
}

/** @param samples one per run */
export function atMost(limit: number, name: string, samples: readonly number[], unit = ''): Target {
  const value = median(samples);
  return target({ name, samples, unit, bound: `at most ${figure(limit)}`, isMet: value <= limit, missedBy: value / limit - 1 });
}

/** @param samples one per run */
export function atLeast(limit: number, name: string, samples: readonly number[], unit = ''): Target {
  const value = median(samples);
  return target({ name, samples, unit, bound: `at least ${figure(limit)}`, isMet: value >= limit, missedBy: 1 - value / limit });
}

/** A bound that holds in every run, where a median would hide the one that broke it. @param samples one per run */
export function neverAbove(limit: number, name: string, samples: readonly number[], unit = ''): Target {
  const value = Math.max(...samples);
  return { ...target({ name, samples, unit, bound: `never above ${figure(limit)}`, isMet: value <= limit, missedBy: value / limit - 1 }), value };
}

function target(given: { name: string; samples: readonly number[]; unit: string; bound: string; isMet: boolean; missedBy: number }): Target {
  const unit = given.unit === '' ? '' : ` ${given.unit}`;
  return {
    name: given.name,
    value: median(given.samples),
    valueText: spread(given.samples) + unit,
    target: given.bound + unit,
    isMet: given.isMet,
    missedBy: given.isMet ? 0 : given.missedBy,
  };
}

/** `met`, or by how much not. */
export function verdict({ isMet, missedBy }: Target): string {
  if (isMet) return 'met';
  if (missedBy === Infinity) return 'missed'; // of a bound of 0 there is no part
  return Number.isFinite(missedBy) ? `missed by ${(missedBy * 100).toFixed(missedBy < 0.1 ? 1 : 0)} %` : 'missed: no figure';
}

/** As Markdown: targets, then figures, then what to know. @param day when it was measured: `2026-11-22` */
export function tableMarkdown(table: BenchTable, day: string): string {
  const blocks: string[] = [];
  if (table.targets.length > 0) {
    blocks.push(markdownRows(['target', 'measured', 'promised', ''], table.targets.map((entry) => [entry.name, entry.valueText, entry.target, entry.isMet ? 'met' : `**${verdict(entry)}**`])));
  }
  blocks.push(markdownRows(table.columns, table.rows));
  blocks.push(table.notes.map((note) => `- ${note}`).join('\n'));
  blocks.push(`_Measured ${day}; ${table.runs === 1 ? 'one run' : `medians of ${table.runs} runs, the least and the most in brackets`}._`);
  return blocks.filter((block) => block !== '').join('\n\n');
}

export function markdownRows(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const aligned = columns.map((_, index) => (index === 0 ? '---' : '---:'));
  return [line(columns), `| ${aligned.join(' | ')} |`, ...rows.map(line)].join('\n');
}

export interface TextStyle {
  bold(text: string): string;
  dim(text: string): string;
  green(text: string): string;
  red(text: string): string;
}

/** For a terminal, with a mark before each target. */
export function tableText(table: BenchTable, style: TextStyle): string {
  const lines = ['', style.bold(table.title)];
  const targets = alignedRows(table.targets.map((entry) => [entry.name, entry.valueText, entry.target, verdict(entry)]));
  table.targets.forEach((entry, index) => lines.push(entry.isMet ? style.green(`  ✓ ${targets[index]!}`) : style.red(`  ✗ ${targets[index]!}`)));
  const [head = '', ...rows] = alignedRows([table.columns, ...table.rows]);
  lines.push('', style.dim(`  ${head}`), ...rows.map((row) => `  ${row}`));
  for (const note of table.notes) lines.push(style.dim(`  ${note}`));
  return lines.join('\n');
}

/** Columns as wide as their longest cell: the first to the left, figures to the right. */
function alignedRows(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  return rows.map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join('  ').trimEnd());
}
