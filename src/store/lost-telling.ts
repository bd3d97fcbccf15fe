import { messageOf } from '../errors.ts';
import type { Loss } from '../loss.ts';
import type { Logger } from '../telemetry.ts';
import type { LossLedger } from './log.ts';
import type { LogState } from './log-state.ts';
import { heldOf, lossesOf } from './lost-segments.ts';
import type { Recovered } from './opening.ts';
import type { Segments } from './segments.ts';

interface Told {
  readonly state: LogState;
  readonly segments: Segments;
  readonly ledger: LossLedger;
  readonly logger: Logger;
}

const LOST_END =
  'the end of the log was lost: what it may have held is left out, so that no offset is given twice';

/**
 * What opening found to be lost, told to the loss ledger. A ledger that can't be written keeps nobody
 * from going on: readers find the same gaps again.
 */
export async function tellLosses(
  { holes, asideAtEnd, identity }: Recovered,
  stateDamage: string | undefined,
  { state, segments, ledger, logger }: Told,
): Promise<void> {
  const losses = lossesOf(holes, state, LOST_END);
  try {
    if (losses.length > 0) await ledger.record(losses);
    if (stateDamage !== undefined)
      await ledger.record([positionsLost(stateDamage, identity === undefined, logger)]);
    for (const name of asideAtEnd) await segments.annotate(name, { held: heldOf(losses) });
  } catch (error) {
    logger.error(
      { losses, error: messageOf(error) },
      'what was lost could not be told to the loss ledger',
    );
  }
}

/** Positions are nobody's records, but a mirror without one sends again what it sent before. */
function positionsLost(damage: string, isEmpty: boolean, logger: Logger): Loss {
  const detail =
    `the state database was damaged: ${damage}; positions and pauses of mirrors in it, and the ` +
    `loss ledger, may be lost: Kafka keeps the positions of exactly-once mirrors itself, others send again from the start` +
    (isEmpty ? '; and the log holds nothing: whatever it held is lost, nobody knows how much' : '');
  logger.error({ event: 'store.state-lost', damage }, detail);
  const nowhere = { partition: undefined, fromOffset: undefined, toOffset: undefined } as const;
  const none = { records: 0, bytes: undefined, mirror: undefined } as const;
  return { topic: '*', ...nowhere, ...none, reason: 'corruption', detail };
}
