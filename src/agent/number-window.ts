/**
 * What is known of a producer's numbers, as one number that grows with each that is taken: the greatest
 * above, and below it a bit for each of those just before it, so that they may come late. So the log's
 * one rule, a greater one is new, holds for it.
 */
export const NUMBER_WINDOW = 10;
const SCALE = 2 ** NUMBER_WINDOW;
/** Milliseconds since 1970 are numbers, too. */
export const GREATEST_NUMBER: number = 2 ** (53 - NUMBER_WINDOW) - 1;

/** `gap`: numbers were left out before it. `late`: it is one of those. */
export type NumberStanding = 'next' | 'gap' | 'late' | 'repeat';

export interface TakenNumber {
  /** What is known with it. */
  readonly known: number;
  readonly standing: NumberStanding;
}

/** `known`: so far; -1 for nothing. */
export function takeNumber(known: number, number: number): TakenNumber {
  if (known < 0) return { known: number * SCALE, standing: 'next' };
  const greatest = greatestOf(known);
  const before = known % SCALE;
  const ahead = number - greatest;
  if (ahead > 0) {
    const isNear = ahead <= NUMBER_WINDOW;
    const bits = isNear ? (((before << 1) | 1) << (ahead - 1)) % SCALE : 0;
    return { known: number * SCALE + bits, standing: ahead === 1 ? 'next' : 'gap' };
  }
  if (ahead === 0 || -ahead > NUMBER_WINDOW) return { known, standing: 'repeat' };
  const bit = 1 << (-ahead - 1);
  return (before & bit) === 0
    ? { known: known + bit, standing: 'late' }
    : { known, standing: 'repeat' };
}

export function greatestOf(known: number): number {
  return Math.floor(known / SCALE);
}
