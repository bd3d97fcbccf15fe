import type { WearStatus } from '../admin/wear-status.ts';
import { bytes } from './format.ts';

/** A minute makes no day: the reserve was just written, the log opened. As `gatelog status` has it (LIMITS.wearTellMs). */
export const WEAR_TELL_MS = 600_000;

const NOT_KNOWN = '–';
const TOO_EARLY = 'too early to tell';

export function isEarly({ windowMs }: WearStatus): boolean {
  return windowMs < WEAR_TELL_MS;
}

export function writtenText(wear: WearStatus | null): string {
  if (wear === null) return NOT_KNOWN;
  const written = wear.diskBytesPerDay ?? wear.processBytesPerDay;
  return written !== null && isEarly(wear) ? TOO_EARLY : bytes(written);
}

export function yearsText(wear: WearStatus | null): string {
  if (wear === null) return NOT_KNOWN;
  const { ratingYears, ratingBytes } = wear;
  if (ratingBytes === null) return 'not known: set store.wear.rating';
  if (ratingYears === null) return NOT_KNOWN;
  if (isEarly(wear)) return TOO_EARLY;
  return ratingYears >= 100 ? 'more than 100' : ratingYears.toFixed(1);
}
