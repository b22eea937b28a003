/**
 * What several runs say together.
 */

/** @returns NaN of nothing */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The ratio within each run, so that what slowed a whole run down is in both of its figures. */
export function ratios(measured: readonly number[], limits: readonly number[]): readonly number[] {
  return measured.map((value, run) => value / (limits[run] ?? Number.NaN));
}

/** The digits that matter, thousands apart: 0.012, 0.50, 1.23, 123, 12,300; of a whole number all of them. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1000 || Number.isInteger(value)) return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ',');
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.1) return value.toFixed(2);
  return Number(value.toPrecision(2)).toString();
}

/** `1.89 (1.80..2.02)`: the median and, of more than one run, the least and the most. */
export function spread(values: readonly number[]): string {
  const middle = figure(median(values));
  if (values.length < 2) return middle;
  return `${middle} (${figure(Math.min(...values))}..${figure(Math.max(...values))})`;
}
