/**
 * Latencies in buckets: a fixed array that any number of values goes into without an allocation.
 *
 * Exact below 128 µs; above, 64 buckets per power of two, so that a quantile is off by less than one percent.
 */

const bucketsPerDoubling = 64;
const exactBelow = 2 * bucketsPerDoubling;
/** Longer values count as this, about an hour. */
const largest = 2 ** 32 - 1;

/** Bucket, count, bucket, count …; only buckets that are not empty. */
export type HistogramText = readonly number[];

export class Histogram {
  readonly #counts = new Float64Array(bucketOf(largest) + 1);
  #count = 0;

  record(microseconds: number): void {
    const bucket = bucketOf(microseconds);
    this.#counts[bucket] = this.#counts[bucket]! + 1;
    this.#count++;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * @param quantile 0.5 for the median
   * @returns milliseconds; NaN while nothing was recorded
   */
  quantileMs(quantile: number): number {
    let left = Math.max(1, Math.ceil(this.#count * quantile));
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      left -= this.#counts[bucket]!;
      if (left <= 0) return middleOf(bucket) / 1000;
    }
    return Number.NaN;
  }

  toJSON(): HistogramText {
    const text: number[] = [];
    this.#counts.forEach((count, bucket) => {
      if (count > 0) text.push(bucket, count);
    });
    return text;
  }

  static from(text: HistogramText): Histogram {
    const histogram = new Histogram();
    for (let at = 0; at + 1 < text.length; at += 2) {
      histogram.#counts[text[at]!] = text[at + 1]!;
      histogram.#count += text[at + 1]!;
    }
    return histogram;
  }
}

function bucketOf(microseconds: number): number {
  const value = microseconds >= largest ? largest : microseconds > 0 ? Math.floor(microseconds) : 0;
  if (value < exactBelow) return value;
  const doublings = 32 - Math.clz32(value) - 7;
  return doublings * bucketsPerDoubling + (value >>> doublings);
}

function middleOf(bucket: number): number {
  if (bucket < exactBelow) return bucket;
  const doublings = Math.floor(bucket / bucketsPerDoubling) - 1;
  const width = 2 ** doublings;
  return (bucket - doublings * bucketsPerDoubling) * width + width / 2;
}
