import { expect, test } from 'vitest';
import { Pacer } from '../../src/mirror/pacer.ts';
import { silentLogger, type Logger } from '../../src/telemetry.ts';
import { SimClock } from '../support/sim-clock.ts';

function rig(): {
  pacer: Pacer;
  clock: SimClock;
  waits: number[];
  loud: string[];
  next: () => Promise<void>;
} {
  const clock = new SimClock();
  const loud: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (_fields, message) => void loud.push(message) };
  const random = { next: () => 0.5, hex: () => '', fillBytes: () => {} };
  const backoff = { firstMs: 100, maxMs: 1000 };
  const pacer = new Pacer({ name: 'm', backoff, clock, random, logger });
  const waits: number[] = [];
  const next = (): Promise<void> =>
    clock.settled(
      pacer.wait('no route', new AbortController().signal, (waitMs) => void waits.push(waitMs)),
    );
  return { pacer, clock, waits, loud, next };
}

test('each wait in a row is longer, up to the cap, and really waited', async () => {
  const { clock, waits, next } = rig();
  for (let count = 0; count < 6; count++) await next();
  expect(waits).toEqual([50, 100, 200, 400, 500, 500]);
  expect(clock.monotonicMs()).toBe(1750);
});

test('success, or a session that lasted, begins anew; a short one does not', async () => {
  const { pacer, clock, waits, next } = rig();
  await next();
  await next();
  pacer.succeeded();
  await next();
  await next();
  pacer.stands();
  await clock.advance(900);
  pacer.over();
  await next();
  pacer.stands();
  await clock.advance(1001);
  pacer.over();
  await next();
  expect(waits).toEqual([50, 100, 50, 100, 200, 50]);
});

test('an attempt that took long and came to nothing does not begin anew', async () => {
  const { pacer, clock, waits, next } = rig();
  await next();
  await clock.advance(60_000);
  pacer.over();
  await next();
  pacer.over();
  await next();
  expect(waits).toEqual([50, 100, 200]);
});

test('the same failure again is said aloud only now and then', async () => {
  const { loud, next, pacer } = rig();
  for (let count = 0; count < 20; count++) await next();
  expect(loud).toHaveLength(5);
  expect(loud[0]).toBe('mirror m: no route; next try in 50ms');
  pacer.succeeded();
  await next();
  expect(loud).toHaveLength(6);
});
