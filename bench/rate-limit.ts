/**
 * The rate limiter of KafkaSources against the rate it was told: in its own process, with more senders than it lets
 * through, each of which sends again as soon as it may.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { RateLeases } from '@knative-kafka/dispatcher';
import type { BenchContext } from './bench.ts';
import { neverAbove, type BenchTable } from './core/bench-table.ts';
import { figure, median, spread } from './core/statistics.ts';

/** 50 events a second for each of two vreplicas, as people count with them; and what is more than enough for anybody. */
const rates = [100, 1_000, 20_000] as const;
const senders = 100;
const allowed = 0.02;
const never = new AbortController().signal;

interface Measured {
  /** Let through ÷ told. */
  readonly share: number;
  /** The most in any second ÷ told. */
  readonly worstSecond: number;
  readonly cpuMicrosecondsPerEvent: number;
}

export async function benchRateLimit({ runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const lengthMs = isQuick ? 3_000 : 20_000;
  const measured = new Map<string, Measured[]>();
  const add = (name: string, entry: Measured): void => void measured.set(name, [...(measured.get(name) ?? []), entry]);
  for (let run = 1; run <= runs; run++) {
    for (const rate of rates) {
      step(`rate limit: run ${run} of ${runs}, ${figure(rate)} a second`);
      add(`${figure(rate)} a second`, await measure(rate, lengthMs));
    }
    step(`rate limit: run ${run} of ${runs}, changes`);
    add('100 a second, after 1,000', await measure(100, lengthMs, 1_000));
    add('1,000 a second, after 100', await measure(1_000, lengthMs, 100));
  }
  const rows = [...measured].map(([name, entries]) => [name, spread(entries.map(({ share }) => share)), spread(entries.map(({ worstSecond }) => worstSecond)), figure(median(entries.map((entry) => entry.cpuMicrosecondsPerEvent)))]);
  return {
    id: 'rate-limit',
    title: 'Rate limit',
    columns: ['told', 'let through ÷ told', 'the most in any second ÷ told', 'CPU µs/event'],
    rows,
    targets: [...measured].map(([name, entries]) => neverAbove(allowed, `${name}: distance from it`, entries.map(({ share }) => Math.abs(share - 1)))),
    runs,
    figures: Object.fromEntries(measured),
    notes: [
      `${senders} senders that want more than they may, for ${figure(lengthMs / 1000)} s, without Kafka and without HTTP. What is let through in the first second, and in the first second after a change, does not count.`,
      'Leases of 10 ms each: a second may have two of them more than its share, which is 2 % of the rate, and more where the process was held up just before.',
    ],
  };
}

/** @param before the rate at first, when it changes */
async function measure(rate: number, lengthMs: number, before?: number): Promise<Measured> {
  const limit = new RateLeases(before ?? rate);
  const times: number[] = [];
  let isOver = false;
  const send = async (): Promise<void> => {
    while ((limit.take() || (await limit.wait(never))) && !isOver) {
      times.push(performance.now());
      await nextTurn(); // as an answer would come
    }
  };
  const sending = Promise.all(Array.from({ length: senders }, send));
  if (before !== undefined) {
    await passed(1_000);
    limit.setRate(rate);
  }
  await passed(1_000);
  const [from, cpu] = [performance.now(), process.cpuUsage()];
  const first = times.length;
  await passed(lengthMs);
  const [to, { user, system }] = [performance.now(), process.cpuUsage(cpu)];
  const counted = times.slice(first);
  isOver = true;
  limit.close();
  await sending;
  return { share: counted.length / (rate * ((to - from) / 1000)), worstSecond: mostInASecond(counted) / rate, cpuMicrosecondsPerEvent: (user + system) / counted.length };
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function mostInASecond(times: readonly number[]): number {
  let most = 0;
  for (let from = 0, to = 0; from < times.length; from++) {
    while (to < times.length && times[to]! < times[from]! + 1_000) to++;
    most = Math.max(most, to - from);
  }
  return most;
}
