import type { Random } from '../random.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { Database } from './database.ts';
import type { StoreIdentity } from './log.ts';
import type { LogIdentity } from './opened-log.ts';
import { FORMAT_VERSION, type StoredIdentity, writeIdentity } from './state.ts';

/** What an opener says of whose folder it is. */
export interface IdentityGiven {
  readonly folder: string;
  readonly gateway?: string;
  /** False: nobody chose that id, it is the host's name. */
  readonly gatewayGiven?: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export function identityOf(
  { random, clock, gateway, gatewayGiven }: IdentityGiven,
  known: StoredIdentity | undefined,
  found: LogIdentity | undefined,
): StoreIdentity {
  const isChosen = gatewayGiven !== false;
  const keeps = !isChosen && known?.gateway !== undefined;
  // The log's own word counts: a state database may be lost and made anew.
  return {
    formatVersion: FORMAT_VERSION,
    incarnation: found?.incarnation ?? random.hex(8),
    gateway: isChosen ? (gateway ?? known?.gateway) : (known?.gateway ?? gateway),
    gatewayAssumed: keeps ? known.gatewayAssumed : !isChosen,
    createdMs: found?.createdMs ?? known?.createdMs ?? clock.nowMs(),
  };
}

/** Writes it where it changed, and tells of another name. */
export async function keepIdentity(
  { folder, logger }: IdentityGiven,
  known: StoredIdentity | undefined,
  identity: StoreIdentity,
  database: Database,
): Promise<void> {
  if (isSame(known, identity)) return;
  await writeIdentity(database, identity);
  const [from, to] = [known?.gateway, identity.gateway];
  if (from === undefined || to === undefined || from === to) return;
  const said = `the data folder ${folder} was gateway ${from}'s, and is gateway ${to}'s from now on`;
  logger.info({ event: 'store.gateway', from, to }, said);
}

function isSame(known: StoredIdentity | undefined, identity: StoreIdentity): boolean {
  return (
    known?.incarnation === identity.incarnation &&
    known.gateway === identity.gateway &&
    (known.gatewayAssumed ?? false) === (identity.gatewayAssumed ?? false)
  );
}
