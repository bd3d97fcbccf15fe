import { expect, test } from 'vitest';
import { SessionPersistence } from '../../src/agent/broker-persistence.ts';
import { Sessions } from '../../src/agent/broker-sessions.ts';
import { SESSION_LIMITS } from '../../src/session-limits.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { memorySessions } from '../support/session-rig.ts';
import { SimClock } from '../support/sim-clock.ts';

/** Sessions that were left in another life end when their time is over. */
const HOUR_S = 3600;

/** As a session stands on the disk: of an hour, left so long ago, or while it was connected. */
async function reborn(
  awayMs: number | undefined,
  isSound: boolean,
): Promise<{ clock: SimClock; isThere: () => boolean }> {
  const clock = new SimClock();
  const left = awayMs === undefined ? {} : { left: clock.nowMs() - awayMs };
  const record = { number: '0123456789abcdef', expiry: HOUR_S, ...left };
  const space = new MortalSpace();
  space.disk.set('session/one', Buffer.from(JSON.stringify(record)));
  const persistence = new SessionPersistence(await memorySessions({ space }));
  const isClockSound = (): boolean => isSound;
  // oxlint-disable-next-line no-new -- it lives by its timers
  new Sessions({ persistence, clock, isClockSound, logger: silentLogger });
  return { clock, isThere: () => persistence.store.session('one') !== undefined };
}

const WITHIN = SESSION_LIMITS.expiryCheckMs;

test('counted from when its connection ended', async () => {
  const { clock, isThere } = await reborn(20 * 60_000, true);
  await clock.advance(40 * 60_000 - 1);
  expect(isThere()).toBe(true);
  await clock.advance(WITHIN);
  expect(isThere()).toBe(false);
});

test('it is over already', async () => {
  expect((await reborn(61 * 60_000, true)).isThere()).toBe(false);
});

test('from the start where it was connected until the power cut, or no clock says how long it was away', async () => {
  for (const [away, isSound] of [
    [undefined, true],
    [20 * 60_000, false],
  ] as const) {
    const { clock, isThere } = await reborn(away, isSound);
    await clock.advance(60 * 60_000 - 1);
    expect(isThere()).toBe(true);
    await clock.advance(WITHIN);
    expect(isThere()).toBe(false);
  }
});
