import { CODE } from './codes.ts';
import type { FenceJudge } from './fencing.ts';
import type { Journal } from './journal.ts';
import { refusal, type RefusalContext } from './refusal.ts';
import type { TransactionClient } from './transaction.ts';

/**
 * Marked before and after, so that an InitProducerId whose answer never came is remembered across
 * a crash too: carried out late it fences us, and that must not be taken for a clone.
 */
export async function initialise(
  client: TransactionClient,
  journal: Journal,
  judge: FenceJudge,
  refusals: RefusalContext,
): Promise<void> {
  await journal.markInitialising();
  try {
    const code = await client.initialise();
    if (code !== CODE.none) throw refusal(refusals, 'InitProducerId', code);
  } finally {
    if (client.unanswered) judge.noteUnanswered();
    else await journal.clearInitialising();
  }
}
