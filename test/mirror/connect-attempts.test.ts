import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ConnectAttempts } from '../../src/mirror/connect-attempts.ts';
import { SimClock } from '../support/sim-clock.ts';

test('no minute has more attempts than the bound, whoever asks and however often', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 1, maxLength: 60 }),
      async (pauses) => {
        const clock = new SimClock();
        const attempts = new ConnectAttempts(clock, 5);
        const begun: number[] = [];
        for (const pauseMs of pauses) {
          void attempts.take().then(() => begun.push(clock.monotonicMs()));
          await clock.advance(pauseMs);
        }
        await clock.advance(60_000 * Math.ceil(pauses.length / 5));
        expect(begun).toHaveLength(pauses.length);
        const early = begun.filter((at, index) => (begun[index + 5] ?? Infinity) - at < 60_000);
        expect(early).toEqual([]);
      },
    ),
    { numRuns: 50 },
  );
});

test('an attempt that came to something gives its place back', async () => {
  const clock = new SimClock();
  const attempts = new ConnectAttempts(clock, 2);
  for (let count = 0; count < 20; count++) {
    const worked = await clock.settled(attempts.take());
    worked();
  }
  expect(clock.monotonicMs()).toBe(0);
});

test('who gives up waits no longer', async () => {
  const clock = new SimClock();
  const attempts = new ConnectAttempts(clock, 1);
  await attempts.take();
  const giveUp = new AbortController();
  let over = false;
  void attempts.take(giveUp.signal).then(() => (over = true));
  await clock.advance(1000);
  expect(over).toBe(false);
  giveUp.abort();
  await clock.settle();
  expect(over).toBe(true);
});

test('who gave up takes nobody else’s place', async () => {
  const clock = new SimClock();
  const attempts = new ConnectAttempts(clock, 1);
  await attempts.take();
  const giveUp = new AbortController();
  const given = attempts.take(giveUp.signal);
  giveUp.abort();
  await clock.settled(given);
  await clock.settled(attempts.take());
  expect(clock.monotonicMs()).toBe(60_000);
});

test('a change of the network lets go at once who waits, and not all the time', async () => {
  const clock = new SimClock();
  const attempts = new ConnectAttempts(clock, 1);
  await attempts.take();
  let taken = 0;
  for (let count = 0; count < 3; count++) void attempts.take().then(() => taken++);
  await clock.advance(1000);
  expect(taken).toBe(0);
  attempts.forgive();
  await clock.settle();
  expect(taken).toBe(1);
  attempts.forgive();
  await clock.settle();
  expect(taken).toBe(1);
  await clock.advance(20_000);
  attempts.forgive();
  await clock.settle();
  expect(taken).toBe(2);
});
