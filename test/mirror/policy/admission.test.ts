import fc from 'fast-check';
import { expect, test } from 'vitest';
import { zoneOf } from '../../../src/calendar.ts';
import type { MirrorBatch } from '../../../src/mirror/mirror-cursor.ts';
import { Admission } from '../../../src/mirror/policy/admission.ts';
import type { BudgetRule } from '../../../src/mirror/policy/budget.ts';
import { BudgetBook } from '../../../src/mirror/policy/budget-book.ts';
import { PolicyCursor } from '../../../src/mirror/policy/policy-cursor.ts';
import type { TopicClass } from '../../../src/mirror/selection.ts';
import { streamId } from '../../../src/record.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { memorySpace } from './memory-space.ts';

const HOUR = 3_600_000;
const BEGIN = Date.UTC(2026, 0, 1);
const HOURLY: BudgetRule = { per: 'hour', resets: 0, bytes: 1_000_000, exempt: ['alarm'] };
const NORMAL: ReadonlySet<TopicClass> = new Set(['normal'] as const);
const STREAM = streamId(0);

function batchOf(bytes: number): MirrorBatch {
  return { slices: [], gaps: [], records: 1, bytes };
}

/** A link's accounts, with a clock and a meter that a test moves by hand. */
async function accounts(rule: BudgetRule = HOURLY) {
  const space = memorySpace();
  const zone = zoneOf('UTC');
  const book = await BudgetBook.load({ space, rules: [rule], zone, logger: silentLogger });
  const [budget] = book.budgets;
  if (budget === undefined) throw new Error('there is one rule');
  const now = { ms: BEGIN, wireBytes: 0 };
  const overdrawn: number[] = [];
  let booked = 0;
  const hooks = { ended: (): void => {} };
  const settle = (): void => {
    book.look(now.ms);
    book.charge(now.wireBytes - booked);
    booked = now.wireBytes;
  };
  const admission = new Admission({
    book,
    wireBytes: () => now.wireBytes,
    settleAccounts: settle,
    onEnded: () => hooks.ended(),
    onOverdrawn: (_budget, cost) => overdrawn.push(cost),
  });
  admission.reset();
  const stop = new AbortController();
  const admit = (batch: MirrorBatch): Promise<boolean> =>
    admission.admit(batch, NORMAL, stop.signal);
  return { book, budget, now, settle, admission, admit, overdrawn, hooks, stop };
}

/** What it will cost is not known: taken as it is read, it costs more than there is in any hour. */
const LARGE = batchOf(920_000);

test('what is too large for a budget goes in any period that has something left', async () => {
  const { admission, admit, budget, now, settle, overdrawn } = await accounts();
  now.wireBytes = 990_000;
  expect(await admit(LARGE)).toBe(true);
  expect(overdrawn).toEqual([920_000 * 1.1 + 2000]);
  // What was begun ends, however much it takes.
  now.wireBytes += 920_000;
  settle();
  expect(budget.isOver).toBe(false);
  admission.settled(LARGE);
  expect(budget.isOver).toBe(true);
  expect(await admit(batchOf(10))).toBe(false);
});

test('two that are too large do not go side by side, nor when nothing is left', async () => {
  const { admission, admit, now } = await accounts();
  const next = batchOf(920_000);
  expect(await admit(LARGE)).toBe(true);
  const second = admit(next);
  now.wireBytes += 1_000_000;
  admission.settled(LARGE);
  expect(await second).toBe(false);
});

test('the end of a session ends a budget that was used up by what it had under way', async () => {
  const { admission, admit, budget, now, settle } = await accounts();
  expect(await admit(LARGE)).toBe(true);
  now.wireBytes += 1_100_000;
  settle();
  expect(budget.isOver).toBe(false);
  admission.left();
  expect(budget.isOver).toBe(true);
  // Nor does its late receipt open it.
  admission.settled(LARGE);
  expect(budget.isOver).toBe(true);
});

test('what only fits another period waits for it, and is not taken for too large', async () => {
  const { admit, budget, now, overdrawn } = await accounts();
  now.wireBytes = 700_000;
  expect(await admit(batchOf(400_000))).toBe(false);
  expect(budget.isOver).toBe(true);
  now.ms += HOUR;
  expect(await admit(batchOf(400_000))).toBe(true);
  expect(overdrawn).toEqual([]);
});

test('a period that begins while a budget is being ended lets the batch go', async () => {
  const { book, admit, now, hooks } = await accounts();
  now.ms = BEGIN + HOUR - 1;
  now.wireBytes = 950_000;
  hooks.ended = () => {
    now.ms++;
    book.look(now.ms);
  };
  expect(await admit(batchOf(100_000))).toBe(true);
});

test('to tell the far side of what is left out costs too, and ends with the budget', async () => {
  const { admission, budget, now, hooks, stop } = await accounts({ ...HOURLY, bytes: 100_000 });
  hooks.ended = () => stop.abort();
  const expired = [{ stream: STREAM, offsets: [1], bytes: 100 }];
  const inner = {
    next: () => Promise.resolve({ slices: [], gaps: [], records: 0, bytes: 0, expired }),
    wait: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const cursor = new PolicyCursor({
    inner,
    classOf: () => 'normal',
    signal: stop.signal,
    admission,
    rested: () => Promise.resolve(),
  });
  let sent = 0;
  for (; !stop.signal.aborted && sent < 1000; sent++) {
    const batch = await cursor.next({ maxRecords: 10, maxBytes: 10 });
    if (batch.expired === undefined) break;
    now.wireBytes += 1800;
    admission.settled(batch);
  }
  expect(sent).toBeGreaterThan(40);
  expect(sent).toBeLessThan(56);
  expect(budget.usedBytes).toBeLessThanOrEqual(100_000);
});

test('whatever the sizes, all goes in twice the hours that it needs at most, and no hour on average takes more than its budget', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 1_048_576 }), { minLength: 1, maxLength: 40 });
  const ratios = fc.constantFrom(0.1, 0.9, 1.2);
  await fc.assert(
    fc.asyncProperty(sizes, ratios, async (records, ratio) => {
      const { admission, admit, budget, now } = await accounts();
      let hours = 1;
      for (const batch of records.map(batchOf)) {
        while (!(await admit(batch))) {
          now.ms += HOUR;
          hours++;
          expect(hours).toBeLessThan(1000);
        }
        now.wireBytes += 1500 + batch.bytes * ratio;
        admission.settled(batch);
        // By what a record costs at most, and a little for one that was taken to cost less.
        expect(now.wireBytes).toBeLessThan(hours * budget.rule.bytes + 1_500_000);
      }
      const needed = Math.ceil(now.wireBytes / budget.rule.bytes);
      expect(hours).toBeLessThanOrEqual(2 * needed + 1);
    }),
    { numRuns: 100 },
  );
});
