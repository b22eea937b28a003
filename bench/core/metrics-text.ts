/**
 * Figures from Prometheus text, as services and the API server show it.
 */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Every sample of one name. @param text as `/metrics` answers it */
export function samplesOf(text: string, name: string): readonly Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    if (!line.startsWith(name)) continue;
    const match = /^([^\s{]+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (match?.[1] !== name) continue;
    const labels = Object.fromEntries([...(match[2] ?? '').matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map(([, label, value]) => [label!, value!]));
    samples.push({ name, labels, value: Number(match[3]) });
  }
  return samples;
}

/** The sum of those samples whose labels are as given. @returns 0 of none */
export function sumOf(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const chosen = samplesOf(text, name).filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value));
  return chosen.reduce((sum, { value }) => sum + value, 0);
}
