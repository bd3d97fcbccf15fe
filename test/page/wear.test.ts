import { expect, it } from 'vitest';
import type { WearStatus } from '../../src/admin/wear-status.ts';
import { LIMITS } from '../../src/limits.ts';
import { setBytes } from '../../src/page/format.ts';
import { verdictOf } from '../../src/page/verdict.ts';
import { isEarly, WEAR_TELL_MS, writtenText, yearsText } from '../../src/page/wear.ts';
import { WELL } from '../support/agent-status.ts';

/** A start writes the reserve at once: by that pace a card would last for weeks. */
const STARTED = {
  windowMs: 35_000,
  diskBytesPerDay: 2.2e12,
  processBytesPerDay: 1.6e11,
  ratingBytes: 1e14,
  ratingYears: 0.12,
} as WearStatus;
const LATER: WearStatus = { ...STARTED, windowMs: WEAR_TELL_MS };

it('says nothing of a day after half a minute, and then what gatelog status says', () => {
  expect(WEAR_TELL_MS).toBe(LIMITS.wearTellMs);
  expect([isEarly(STARTED), isEarly(LATER)]).toEqual([true, false]);
  expect([writtenText(STARTED), yearsText(STARTED)]).toEqual([
    'too early to tell',
    'too early to tell',
  ]);
  expect([writtenText(LATER), yearsText(LATER)]).toEqual(['2.2 TB', '0.1']);
});

it('does not mourn a card that was hardly looked at', () => {
  expect(verdictOf({ ...WELL, wear: STARTED }, 0).level).toBe('good');
  expect(verdictOf({ ...WELL, wear: LATER }, 0).sentence).toMatch(/^The card lasts/u);
});

it('shows what a person has set as it was set', () => {
  expect([setBytes(2 ** 30), setBytes(64 * 2 ** 20), setBytes(500)]).toEqual([
    '1 GiB',
    '64 MiB',
    '500 B',
  ]);
});
