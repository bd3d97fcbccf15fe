import { describe, expect, test } from 'vitest';
import { MIRROR_LIMITS } from '../../src/mirror-limits.ts';
import { etaText } from '../../src/cli/mirror.ts';
import { presentState, type Entered } from '../../src/mirror/present-state.ts';
import type { HoldStatus } from '../../src/mirror/policy/link-status.ts';
import { LONG_MS, rig, type Rig } from './mirror-rig.ts';

/** What a status says of what waits, whatever the mirror noted last. */
const LATE = MIRROR_LIMITS.liveWithinMs;
const LIVE: Entered = {
  state: 'live',
  sinceMs: 0,
  forMs: 100_000,
  reason: undefined,
  nextTryMs: undefined,
};
const HOLD: HoldStatus = {
  cause: 'over budget',
  classes: ['bulk'],
  reason: 'used up',
  sinceMs: 0,
  untilMs: 7,
};
const ANSWERED = { silentMs: 0, underWayMs: 0 };
const NONE = { lagRecords: 0, hold: undefined };

function fill({ log }: Rig, records: number): void {
  const [stream] = log.topic('t').streams;
  for (let index = 0; index < records; index++) log.add(stream ?? (0 as never), 'x');
}

describe('the state', () => {
  test.each([
    ['nothing waits', ANSWERED, [NONE, { ...NONE, hold: HOLD }], 'live'],
    [
      'it is on its way',
      { ...ANSWERED, underWayMs: LATE - 1 },
      [{ ...NONE, lagRecords: 3 }],
      'live',
    ],
    ['it is late', { ...ANSWERED, underWayMs: LATE }, [{ ...NONE, lagRecords: 3 }], 'catching up'],
    ['it is held', ANSWERED, [NONE, { lagRecords: 3, hold: HOLD }], 'over budget'],
    ['nobody answers', { silentMs: 15_000, underWayMs: 15_000 }, [NONE], 'stalled'],
  ] as const)('of a mirror that has read everything: %s', (_name, answers, topics, state) => {
    expect(presentState(LIVE, answers, topics, 200_000).state).toBe(state);
  });

  test('any other stays as it was noted', () => {
    const entered: Entered = { ...LIVE, state: 'backing off', reason: 'no way' };
    expect(presentState(entered, ANSWERED, [{ lagRecords: 3, hold: HOLD }], 0)).toBe(entered);
  });
});

test('what is sent to a far side that stands still is a backlog before it counts as stalled', async () => {
  let isStill = false;
  const made = rig({ fate: () => (isStill ? 'silent' : 'ok') });
  const { clock, mirror } = made;
  made.log.topic('t');
  await mirror.start();
  await clock.until(() => mirror.status().state === 'live');
  isStill = true;
  fill(made, 8000);
  await clock.advance(LATE + 1000);
  const { state, forMs, topics } = mirror.status();
  expect(state).toBe('catching up');
  expect(forMs).toBeGreaterThanOrEqual(LATE);
  expect(topics).toMatchObject([{ state: 'behind', lagRecords: 8000 }]);
  await clock.advance(LONG_MS);
  await clock.settled(mirror.stop());
});

describe('when the rest will be there', () => {
  test('nobody says it while nothing moves, and it does not rise', async () => {
    let isStill = false;
    const made = rig(
      { fate: () => (isStill ? 'silent' : 'ok'), latencyMs: () => 100 },
      { batching: { maxRecords: 10 } },
    );
    const { clock, mirror } = made;
    fill(made, 5000);
    await mirror.start();
    await clock.advance(10_000);
    expect(mirror.status().topics[0]?.etaMs).toBeGreaterThan(0);
    isStill = true;
    await clock.advance(MIRROR_LIMITS.etaWithinMs + 1000);
    expect(mirror.status().topics).toMatchObject([{ state: 'behind', etaMs: undefined }]);
    await clock.settled(mirror.stop());
  });

  test('is the end of what holds it back, and `-` where a person must act', () => {
    const held = { state: 'held', lagRecords: 3, etaMs: undefined, heldUntilMs: 0 } as const;
    expect(etaText(held)).toBe('after 1970-01-01T00:00:00.000Z');
    expect(etaText({ ...held, heldUntilMs: undefined })).toBe('?');
    expect(etaText({ ...held, state: 'paused' })).toBe('-');
    expect(etaText({ ...held, lagRecords: 0 })).toBe('-');
    expect(etaText({ ...held, state: 'behind', etaMs: 5000 })).toBe('5s');
  });
});
