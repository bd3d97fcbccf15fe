import { gapJson, LOSS_REASONS, type GapJson, type LossTotals } from '../loss.ts';
import type { Store } from '../store/log.ts';

/** The loss ledger of a stopped folder, as an agent gives it. */
export async function* ledgerOf({ ledger }: Store): AsyncGenerator<GapJson> {
  for await (const entry of ledger.entries()) yield gapJson(entry);
}

export async function gathered(
  gaps: AsyncIterable<GapJson>,
  isWanted: (gap: GapJson) => boolean,
): Promise<GapJson[]> {
  const found: GapJson[] = [];
  for await (const gap of gaps) if (isWanted(gap)) found.push(gap);
  return found;
}

/** `5 retention, 2 corruption`; undefined when the ledger is empty. */
export function totalsText(totals: LossTotals): string | undefined {
  const parts = LOSS_REASONS.filter((reason) => totals[reason].records > 0).map(
    (reason) => `${totals[reason].records} ${reason}`,
  );
  return parts.length === 0 ? undefined : parts.join(', ');
}

/**
 * Where the end of the log was lost nobody knows what it held: so many offsets are left out that it may
 * have given, and many of them may have held nothing. No size is known of these.
 */
export function isAtMost({ reason, records, bytes }: GapJson): boolean {
  return reason === 'corruption' && records > 0 && bytes === null;
}

/** Of entries of that reason: records that are lost, and those that may have been. */
export function corruptionOf(gaps: readonly GapJson[]): {
  readonly records: number;
  readonly atMost: number;
} {
  let records = 0;
  let atMost = 0;
  for (const gap of gaps) {
    if (isAtMost(gap)) atMost += gap.records;
    else records += gap.records;
  }
  return { records, atMost };
}
