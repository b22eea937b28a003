const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** A timer of Node that is to wait longer does not wait at all. */
const longestMs = 2 ** 31 - 1;

/** `250ms`, `30s`, `2m`, `1h` in milliseconds; undefined for anything else, and beyond 24 days. Resources use ISO 8601 instead. */
export function parseDurationText(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m|h)$/.exec(text);
  const ms = match === null ? NaN : Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
  return ms <= longestMs ? ms : undefined;
}
