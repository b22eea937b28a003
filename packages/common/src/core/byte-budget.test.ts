import { describe, expect, it } from 'vitest';
import { ByteBudget } from './byte-budget.ts';

describe('ByteBudget', () => {
  it('lends up to its limit and not one byte more', () => {
    const budget = new ByteBudget(100);
    expect(budget.take(60)).toBe(true);
    expect(budget.take(40)).toBe(true);
    expect(budget.take(1)).toBe(false);
    expect(budget.heldBytes).toBe(100);
  });

  it('takes nothing where it refuses', () => {
    const budget = new ByteBudget(100);
    budget.take(60);
    expect(budget.take(41)).toBe(false);
    expect(budget.take(40)).toBe(true);
  });

  it('lends again what was given back', () => {
    const budget = new ByteBudget(100);
    budget.take(100);
    budget.give(30);
    expect(budget.take(30)).toBe(true);
    expect(budget.take(1)).toBe(false);
  });

  it('lets what is larger than the whole of it pass alone: otherwise it could never pass', () => {
    const budget = new ByteBudget(100);
    expect(budget.take(250)).toBe(true);
    expect(budget.take(1)).toBe(false);
    budget.give(250);
    budget.take(1);
    expect(budget.take(250)).toBe(false);
  });

  it('calls it a bug when more comes back than was taken', () => {
    const budget = new ByteBudget(100);
    budget.take(10);
    expect(() => budget.give(11)).toThrow('gave back 1 bytes that were never taken');
  });
});
