import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import { CheckedDatabase, alteredKeys, sealAll } from './checked-database.ts';
import { isDamage, isUnsteady } from './damage.ts';
import type { Database, Engine } from './database.ts';
import { unreadableError, type Patience } from './patience.ts';
import { StateDatabase } from './state-database.ts';
import { hasUncheckedIdentity, IDENTITY_KEY, writePositionsLost } from './state.ts';

export interface OpenedState {
  readonly database: Database;
  /** What is wrong with it, for people; undefined: nothing was found. */
  readonly damage: string | undefined;
}

export interface OpenStateOptions {
  readonly readOnly: boolean;
  /** Without it what the disk does not read counts as damaged at once. */
  readonly patience: Patience | undefined;
}

interface Attempt {
  readonly database: Database;
  /** Keys whose values are. */
  readonly altered: readonly Uint8Array[];
}

interface Raw extends Attempt {
  readonly damage: string | undefined;
}

/**
 * Opens the state database, whatever state it is in: what LevelDB can't read is repaired, what can't
 * be repaired is set aside and made anew, and altered values are taken out. `readOnly`: the
 * same, where the engine has a copy for it. Throws STORE_LOCKED and what stands for trouble of the surroundings.
 */
export async function openState(
  engine: Engine,
  { readOnly, patience }: OpenStateOptions,
  logger: Logger,
): Promise<OpenedState> {
  if (readOnly && engine.repairState === undefined) {
    return { database: new CheckedDatabase(await engine.openState(), logger), damage: undefined };
  }
  const opened = await openRaw(engine, patience, logger);
  let { database } = opened;
  try {
    const identity = await database.get(IDENTITY_KEY);
    database = new StateDatabase({ engine, logger, identity }, database);
    return await checked({ ...opened, database }, logger);
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function checked(raw: Raw, logger: Logger): Promise<OpenedState> {
  const isUnchecked = await hasUncheckedIdentity(raw.database);
  if (isUnchecked) await sealAll(raw.database);
  const altered = isUnchecked ? [] : raw.altered;
  const database = new CheckedDatabase(raw.database, logger);
  // At once, and in one step: an opening that fails later must not be the only one that knows.
  const taken = altered.map((key) => ({ key, value: undefined }));
  if (raw.damage !== undefined || altered.length > 0) {
    await writePositionsLost(database, Infinity, taken);
  }
  if (altered.length === 0) return { database, damage: raw.damage };
  const names = altered.map((key) => Buffer.from(key).toString('utf8'));
  logger.error(
    { event: 'store.state-altered', keys: names.slice(0, NAMES) },
    `${altered.length} values of the state database are altered and were taken out`,
  );
  const text = `${altered.length} altered values were taken out (${names.slice(0, NAMES).join(', ')})`;
  return { database, damage: raw.damage ?? text };
}

const WHAT = 'the state database';

/** Values named in messages. */
const NAMES = 8;

async function openRaw(
  engine: Engine,
  patience: Patience | undefined,
  logger: Logger,
): Promise<Raw> {
  const first = await attempt(engine, patience);
  if ('database' in first) return { ...first, damage: engine.stateDamage };
  const why = messageOf(first.error);
  logger.error({ event: 'store.state-damaged', error: why }, 'the state database is damaged');
  if (engine.repairState !== undefined) {
    try {
      await engine.repairState();
      const second = await attempt(engine, patience);
      if ('database' in second) return { ...second, damage: `it was repaired (${why})` };
    } catch (error) {
      logger.error({ error: messageOf(error) }, 'the state database could not be repaired');
    }
  }
  // A last look: who takes it meanwhile is another process, whose folder this is then.
  const last = await attempt(engine, patience);
  if ('database' in last) return { ...last, damage: `it was repaired (${why})` };
  if (engine.setAside === undefined) throw last.error;
  await engine.setAside('state', {
    why: `the state database can't be read (${why}): with it went the positions and pauses of the mirrors and the loss ledger`,
  });
  const database = await engine.openState();
  return { database, altered: [], damage: `it could not be read (${why})` };
}

/**
 * Opens it and reads all of it, which is little. Throws what is no damage; a disk that does not read it
 * is waited for, and STORE_FAILING until that has taken too long.
 */
async function attempt(
  engine: Engine,
  patience: Patience | undefined,
): Promise<Attempt | { readonly error: unknown }> {
  for (let tries = 0; ; tries++) {
    let database: Database | undefined;
    try {
      database = await engine.openState();
      return { database, altered: await alteredKeys(database) };
    } catch (error) {
      await database?.close().catch(() => {});
      if (isDamage(error)) return { error };
      if (!isUnsteady(error)) throw error;
      const answers = async (): Promise<boolean> => (await engine.answers?.()) ?? true;
      const verdict =
        patience === undefined ? 'lost' : await patience.afterFailure(WHAT, 0, tries, answers);
      if (verdict === 'wait') throw unreadableError(WHAT, error);
      if (verdict === 'lost') return { error };
    }
  }
}
