import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import { CheckedDatabase, alteredKeys, sealAll } from './checked-database.ts';
import { isDamage, isUnsteady } from './damage.ts';
import type { Database, Engine } from './database.ts';
import { StateDatabase } from './state-database.ts';
import { hasUncheckedIdentity, writePositionsLost } from './state.ts';

export interface OpenedState {
  readonly database: Database;
  /** What is wrong with it, for people; undefined: nothing was found. */
  readonly damage: string | undefined;
}

interface Raw {
  readonly database: Database;
  readonly damage: string | undefined;
}

/**
 * Opens the state database, whatever state it is in: what LevelDB can't read is repaired, what can't
 * be repaired is set aside and made anew, and altered values are taken out. `readOnly`: as it is, or
 * not at all. Throws STORE_LOCKED and what stands for trouble of the surroundings.
 */
export async function openState(
  engine: Engine,
  readOnly: boolean,
  logger: Logger,
): Promise<OpenedState> {
  if (readOnly) {
    return { database: new CheckedDatabase(await engine.openState(), logger), damage: undefined };
  }
  const opened = await openRaw(engine, logger);
  const raw = { ...opened, database: new StateDatabase({ engine, logger }, opened.database) };
  try {
    return await checked(raw, logger);
  } catch (error) {
    await raw.database.close();
    throw error;
  }
}

async function checked(raw: Raw, logger: Logger): Promise<OpenedState> {
  if (await hasUncheckedIdentity(raw.database)) await sealAll(raw.database);
  const altered = await alteredKeys(raw.database);
  const database = new CheckedDatabase(raw.database, logger);
  // At once, and in one step: an opening that fails later must not be the only one that knows.
  const taken = altered.map((key) => ({ key, value: undefined }));
  if (raw.damage !== undefined || altered.length > 0) {
    await writePositionsLost(database, true, taken);
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

/** Values named in messages. */
const NAMES = 8;

async function openRaw(engine: Engine, logger: Logger): Promise<Raw> {
  const first = await attempt(engine);
  if ('database' in first) return { database: first.database, damage: undefined };
  const why = messageOf(first.error);
  logger.error({ event: 'store.state-damaged', error: why }, 'the state database is damaged');
  if (engine.repairState !== undefined) {
    try {
      await engine.repairState();
      const second = await attempt(engine);
      if ('database' in second) {
        return { database: second.database, damage: `it was repaired (${why})` };
      }
    } catch (error) {
      logger.error({ error: messageOf(error) }, 'the state database could not be repaired');
    }
  }
  // A last look: who takes it meanwhile is another process, whose folder this is then.
  const last = await attempt(engine);
  if ('database' in last) return { database: last.database, damage: `it was repaired (${why})` };
  if (engine.setAside === undefined) throw last.error;
  await engine.setAside('state', {
    why: `the state database can't be read (${why}): with it went the positions and pauses of the mirrors and the loss ledger`,
  });
  return { database: await engine.openState(), damage: `it could not be read (${why})` };
}

/** Opens it and reads all of it, which is little. Throws what is no damage. */
async function attempt(
  engine: Engine,
): Promise<{ readonly database: Database } | { readonly error: unknown }> {
  for (let tries = 0; ; tries++) {
    let database: Database | undefined;
    try {
      database = await engine.openState();
      await alteredKeys(database);
      return { database };
    } catch (error) {
      await database?.close();
      if (isUnsteady(error) && tries === 0) continue;
      if (!isDamage(error) && !isUnsteady(error)) throw error;
      return { error };
    }
  }
}
