/** What a bench is given, and what it is. */
import type { BenchTable } from './core/bench-table.ts';
import type { BenchWorld } from './io/bench-world.ts';

export interface BenchContext {
  readonly world: BenchWorld;
  /** How often each pair of measured thing and limit is measured, one after the other. */
  readonly runs: number;
  /** A smoke run: short times and few events, whose figures mean little. */
  readonly isQuick: boolean;
  /** Told before everything that takes longer than a moment. */
  readonly step: (text: string) => void;
}

export type Bench = (context: BenchContext) => Promise<BenchTable>;
