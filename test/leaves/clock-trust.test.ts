import { afterEach, describe, expect, test } from 'vitest';
import { ClockTrust, believedClock } from '../../src/clock-trust.ts';
import { systemBoot } from '../../src/boot.ts';
import { LIMITS } from '../../src/limits.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { NOT_YET, RIGHT, startMachine, TestSource } from '../support/shifty-clock.ts';
import { SimClock } from '../support/sim-clock.ts';
import { rememberingLogger } from '../support/store-kit.ts';

const MAY = Date.UTC(2026, 4, 1);
const HOUR = 3_600_000;
const stops: (() => void)[] = [];

const machineOf = async (...options: Parameters<typeof startMachine>) => {
  const machine = await startMachine(...options);
  stops.push(() => machine.trust.stop());
  return machine;
};
const marked = (mark: string) => ({ says: 'synchronised', mark }) as const;

afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

describe('state', () => {
  test('nobody to ask: taken as it is, and one line says so', async () => {
    const logger = rememberingLogger();
    const { trust, clock } = await machineOf({ wallMs: MAY, logger });
    await clock.advance(HOUR);
    expect(trust.status()).toMatchObject({ state: 'unconfirmed', source: null, jumps: 0 });
    expect(trust.knownMs).toBeUndefined();
    const lines = logger.lines.filter(({ fields }) => fields['event'] === 'clock.trust');
    expect(lines).toMatchObject([
      { level: 'info', message: expect.stringMatching(/nothing here/u) },
    ]);
  });

  test('a daemon that waits, then has it: trusted from then on, one line a change', async () => {
    const logger = rememberingLogger();
    const source = new TestSource(NOT_YET);
    const { trust, clock } = await machineOf({ wallMs: MAY, source, logger });
    expect(trust.read().trust).toBe('suspect');
    await clock.advance(HOUR);
    source.answer = RIGHT;
    await clock.advance(LIMITS.clockCheckMs);
    expect(trust.read().trust).toBe('trusted');
    source.answer = NOT_YET; // It lost its servers; the clock runs on.
    await clock.advance(HOUR);
    expect(trust.status()).toMatchObject({ state: 'trusted', source: 'test daemon' });
    const states = logger.lines.map(({ fields }) => fields['state']);
    expect(states).toEqual(['suspect', 'trusted']);
  });

  test('an impossible time is not believed, whoever says so', async () => {
    for (const policy of ['ask', 'always'] as const) {
      const source = new TestSource(RIGHT);
      const { trust, clock } = await machineOf({ wallMs: 20_000, source, policy });
      await clock.advance(HOUR);
      expect(trust.status()).toMatchObject({ state: 'suspect', source: null });
      clock.set(MAY);
      await clock.advance(LIMITS.clockCheckMs);
      expect(trust.status()).toMatchObject({ state: 'trusted', jumps: 1 });
    }
  });

  test('never is never, and always goes with every jump but tells of it', async () => {
    const never = await machineOf({ wallMs: MAY, policy: 'never', source: new TestSource(RIGHT) });
    await never.clock.advance(HOUR);
    expect(never.trust.read().trust).toBe('suspect');
    expect(never.source.asked).toBe(0);
    const logger = rememberingLogger();
    const always = await machineOf({ wallMs: MAY, policy: 'always', logger });
    always.clock.set(MAY + HOUR);
    expect(always.trust.read()).toMatchObject({ trust: 'trusted', jumpMs: HOUR });
    expect(always.trust.knownMs).toBe(MAY + HOUR - 10_000);
    expect(logger.lines.filter(({ fields }) => fields['event'] === 'clock.jump')).toHaveLength(1);
  });
});

describe('jumps', () => {
  test('what a daemon said before a jump says nothing of the clock after it', async () => {
    const source = new TestSource(marked('at ten'));
    const { trust, clock } = await machineOf({ wallMs: MAY, source });
    await clock.advance(HOUR);
    clock.set(MAY);
    await clock.advance(HOUR);
    expect(trust.status()).toMatchObject({ state: 'suspect', jumps: 1, lastJumpMs: -HOUR });
    expect(trust.status().aheadMs).toBe(-HOUR);
    expect(trust.nowMs()).toBe(MAY + 2 * HOUR);
    source.answer = marked('at eleven');
    await clock.advance(LIMITS.clockCheckMs);
    expect(trust.read().trust).toBe('trusted');
    expect(trust.nowMs()).toBe(clock.nowMs());
    expect(trust.knownMs).toBe(MAY - 10_000 - HOUR);
  });

  test('a clock that comes back to where it was is trusted again', async () => {
    const { trust, clock } = await machineOf({
      wallMs: MAY,
      source: new TestSource(marked('one')),
    });
    clock.set(MAY + HOUR);
    expect(trust.read().trust).toBe('suspect');
    clock.set(MAY);
    expect(trust.read().trust).toBe('trusted');
  });

  test('how long a state holds is told by the monotonic clock', async () => {
    const { trust, clock } = await machineOf({
      wallMs: MAY,
      source: new TestSource(marked('one')),
    });
    await clock.advance(HOUR);
    expect(trust.status()).toMatchObject({ state: 'trusted', forMs: HOUR });
    clock.set(MAY + 100_000 * HOUR);
    trust.read();
    await clock.advance(2000);
    expect(trust.status()).toMatchObject({ state: 'suspect', forMs: 2000 });
    clock.set(20_000);
    expect(trust.status()).toMatchObject({ state: 'suspect', forMs: 2000 });
  });

  test('small steps are followed, also when a year of them is far more than a jump', async () => {
    const { trust, clock } = await machineOf({ wallMs: MAY });
    for (let day = 1; day <= 365; day++) {
      await clock.advance(1000);
      clock.set(clock.nowMs() + 5000);
    }
    await clock.advance(1000);
    expect(trust.status()).toMatchObject({ state: 'unconfirmed', jumps: 0 });
  });

  test('time asleep is no jump, once the boot was asked for it', async () => {
    const clock = new SimClock(MAY);
    let asleepMs = 0;
    let countedMs = 0;
    const boot = {
      id: 'laptop',
      monotonicMs: () => clock.monotonicMs() + countedMs,
      renew: () => {
        countedMs = asleepMs;
      },
    };
    const trust = new ClockTrust({
      clock,
      boot,
      logger: silentLogger,
      policy: 'always',
      sources: [],
      maxDriftMs: LIMITS.clockDriftMs,
    });
    clock.set(MAY + HOUR);
    asleepMs = HOUR;
    expect(trust.read()).toEqual({ wallMs: MAY + HOUR, monoMs: HOUR, trust: 'trusted', jumpMs: 0 });
    expect(trust.status().jumps).toBe(0);
  });

  test('a process that stood still between its two clocks reads them again', () => {
    const clock = new SimClock(MAY);
    let reads = 0;
    const boot = { id: 'slow', monotonicMs: () => (reads++ === 2 ? -HOUR : 0) };
    const trust = new ClockTrust({
      clock,
      boot,
      logger: silentLogger,
      policy: 'ask',
      sources: [],
      maxDriftMs: LIMITS.clockDriftMs,
    });
    expect(trust.read()).toMatchObject({ monoMs: 0, jumpMs: 0 });
  });
});

test('dear sources are asked rarely, and at once after a jump', async () => {
  const source = new TestSource({ says: 'nothing' }, true);
  const { clock } = await machineOf({ wallMs: MAY, source });
  expect(source.asked).toBe(0); // They would delay the start.
  await clock.advance(24 * HOUR);
  const { asked } = source;
  expect(asked).toBeLessThan(110);
  expect(asked).toBeGreaterThan(90);
  clock.set(MAY);
  await clock.advance(LIMITS.clockCheckMs);
  expect(source.asked).toBe(asked + 1);
});

test('a boot that learned its time earlier resumes with it', async () => {
  const earlier = { offsetMs: MAY - HOUR, lastMs: 0, marks: new Map<string, string>() };
  const { trust } = await machineOf({ wallMs: MAY, upMs: HOUR });
  trust.resume(earlier);
  expect(trust.status()).toMatchObject({ state: 'trusted', source: null });
  const wrong = await machineOf({ wallMs: MAY + 5 * HOUR, upMs: HOUR });
  wrong.trust.resume(earlier);
  expect(wrong.trust.status()).toMatchObject({ state: 'suspect', aheadMs: 5 * HOUR });
  const believed = believedClock(wrong.clock, wrong.trust);
  expect(believed.nowMs()).toBe(MAY);
  await wrong.clock.advance(1000);
  expect(believed.nowMs()).toBe(MAY + 1000);
  expect(believed.monotonicMs()).toBe(1000);
});

test('the system has a boot, and its time goes on', () => {
  const boot = systemBoot();
  expect(boot?.id).toMatch(/^[0-9a-f-]{36}$/u);
  const first = boot?.monotonicMs() ?? 0;
  boot?.renew?.();
  expect(boot?.monotonicMs()).toBeGreaterThan(first);
  expect(systemBoot()?.id).toBe(boot?.id);
});
