import type { Random } from '../random.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { CountedDatabase } from './counted-database.ts';
import type { StoreIdentity } from './log.ts';
import type { LogIdentity } from './opened-log.ts';
import { FORMAT_VERSION, type StoredIdentity, writeIdentity } from './state.ts';

/** What a person says of the folder's owner, and what a new folder needs (StoreOptions). */
interface Named {
  readonly random: Random;
  readonly clock: Clock;
  readonly gateway?: string | undefined;
  readonly gatewayGiven?: boolean | undefined;
}

/** Written down, and said where the folder gets another owner. */
export async function keepIdentity(
  { folder, logger }: { readonly folder: string; readonly logger: Logger },
  known: StoredIdentity | undefined,
  identity: StoreIdentity,
  database: CountedDatabase,
): Promise<void> {
  await writeIdentity(database, identity);
  const [from, to] = [known?.gateway, identity.gateway];
  if (from === undefined || to === undefined || from === to) return;
  const said = `the data folder ${folder} was gateway ${from}'s, and is gateway ${to}'s from now on`;
  logger.info({ event: 'store.gateway', from, to }, said);
}

/** What the folder is, of what is known of it and what a person says. */
export function identityOf(
  { random, clock, gateway, gatewayGiven }: Named,
  known: StoredIdentity | undefined,
  found: LogIdentity | undefined,
): StoreIdentity {
  // The log's own word counts: a state database may be lost and made anew.
  const isChosen = gatewayGiven !== false;
  const keeps = !isChosen && known?.gateway !== undefined;
  return {
    formatVersion: FORMAT_VERSION,
    incarnation: found?.incarnation ?? random.hex(8),
    gateway: isChosen ? (gateway ?? known?.gateway) : (known?.gateway ?? gateway),
    gatewayAssumed: keeps ? known.gatewayAssumed : !isChosen,
    createdMs: found?.createdMs ?? known?.createdMs ?? clock.nowMs(),
  };
}

export function sameIdentity(known: StoredIdentity | undefined, identity: StoreIdentity): boolean {
  return (
    known?.incarnation === identity.incarnation &&
    known.gateway === identity.gateway &&
    (known.gatewayAssumed ?? false) === (identity.gatewayAssumed ?? false)
  );
}
