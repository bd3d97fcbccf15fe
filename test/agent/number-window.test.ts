import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  GREATEST_NUMBER,
  greatestOf,
  NUMBER_WINDOW,
  takeNumber,
} from '../../src/agent/number-window.ts';

/** As said in words: what was taken, and what is too old to be known one by one. */
class Model {
  readonly #taken = new Set<number>();
  #greatest = -1;

  take(number: number): boolean {
    const isNew =
      number > this.#greatest - NUMBER_WINDOW - 1 &&
      !this.#taken.has(number) &&
      this.#greatest >= 0;
    if (!isNew && this.#greatest >= 0) return false;
    this.#taken.add(number);
    this.#greatest = Math.max(this.#greatest, number);
    return true;
  }

  get greatest(): number {
    return this.#greatest;
  }
}

const steps = fc.array(fc.integer({ min: -15, max: 14 }), { maxLength: 60 });

test.each([100, GREATEST_NUMBER - 1000])(
  'each number is taken once, or is too late for it, around %i',
  (start) => {
    fc.assert(
      fc.property(steps, (deltas) => {
        const model = new Model();
        let known = -1;
        let number = start;
        for (const delta of deltas) {
          number = Math.min(Math.max(0, number + delta), GREATEST_NUMBER);
          const { known: next, standing } = takeNumber(known, number);
          expect(standing !== 'repeat').toBe(model.take(number));
          expect(standing === 'repeat' ? next === known : next > known).toBe(true);
          expect(Number.isSafeInteger(next)).toBe(true);
          known = next;
          expect(greatestOf(known)).toBe(model.greatest);
        }
      }),
    );
  },
);
