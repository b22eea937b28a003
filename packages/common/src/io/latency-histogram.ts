/**
 * A histogram of seconds for where events pass: an observation is a few comparisons and three additions. The registry's
 * own hashes a text and looks up two objects for each, which shows in the CPU time of an event.
 */
import type { Metric, Registry } from 'prom-client';

export interface LatencyHistogramOptions {
  readonly name: string;
  readonly help: string;
  /** Upper bounds in seconds, from the least. */
  readonly buckets: readonly number[];
  readonly registry: Registry;
}

/** The observations of one set of labels. */
export class Latencies {
  readonly #buckets: readonly number[];
  /** By bucket, not cumulated; the last is for what lies above all. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(buckets: readonly number[]) {
    this.#buckets = buckets;
    this.#counts = new Float64Array(buckets.length + 1);
  }

  observe(seconds: number): void {
    const buckets = this.#buckets;
    let bucket = 0;
    while (bucket < buckets.length && seconds > buckets[bucket]!) bucket++;
    this.#counts[bucket]!++;
    this.#sum += seconds;
  }

  /** As Prometheus wants them: how many were at most so long. */
  lines(name: string, labels: Readonly<Record<string, string>>): Line[] {
    let count = 0;
    const bounds = [...this.#buckets, '+Inf'];
    const lines = bounds.map((le, bucket): Line => ({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: (count += this.#counts[bucket]!) }));
    return [...lines, { metricName: `${name}_sum`, labels, value: this.#sum }, { metricName: `${name}_count`, labels, value: count }];
  }
}

interface Line {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export class LatencyHistogram {
  readonly #options: LatencyHistogramOptions;
  readonly #children = new Map<string, { readonly labels: Readonly<Record<string, string>>; readonly latencies: Latencies }>();

  constructor(options: LatencyHistogramOptions) {
    this.#options = options;
    const { name, help, registry } = options;
    const metric = { name, help, type: 'histogram', aggregator: 'sum', get: () => Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values: this.#lines() }) };
    // The registry asks a metric for its lines and for nothing else; the type describes its own classes.
    registry.registerMetric(metric as unknown as Metric);
  }

  /** The same object for the same labels, to be kept where events pass. */
  labels(labels: Readonly<Record<string, string>>): Latencies {
    const key = JSON.stringify(labels);
    let child = this.#children.get(key);
    if (child === undefined) this.#children.set(key, (child = { labels, latencies: new Latencies(this.#options.buckets) }));
    return child.latencies;
  }

  remove(labels: Readonly<Record<string, string>>): void {
    this.#children.delete(JSON.stringify(labels));
  }

  #lines(): Line[] {
    return [...this.#children.values()].flatMap(({ labels, latencies }) => latencies.lines(this.#options.name, labels));
  }
}
