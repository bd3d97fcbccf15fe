import { describe, expect, test } from 'vitest';
import { must } from '../../../src/assert.ts';
import { GatelogError } from '../../../src/errors.ts';
import { LINK_LIMITS } from '../../../src/link-limits.ts';
import type { BudgetRule } from '../../../src/mirror/policy/budget.ts';
import type { Network } from '../../../src/mirror/policy/network.ts';
import type { Mirror } from '../../../src/mirror/mirror.ts';
import type { StreamId } from '../../../src/record.ts';
import { RIGHT, startMachine } from '../../support/shifty-clock.ts';
import { policyRig, type PolicyRig } from './policy-rig.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const KB = 1000;

function streamOf({ log }: PolicyRig, topic = 'telemetry'): StreamId {
  return must(log.topic(topic).streams[0], 'a topic has a partition');
}

/** Records of 1 kB, each with its offset. */
function fill(rig: PolicyRig, records: number, topic = 'telemetry'): void {
  const stream = streamOf(rig, topic);
  const { endOffset } = rig.log.reader.range(stream);
  for (let index = endOffset; index < endOffset + records; index++) {
    rig.log.add(stream, `${topic} ${index}`.padEnd(KB, '.'));
  }
}

function arrived(rig: PolicyRig, topic = 'telemetry'): number[] {
  return rig
    .texts()
    .filter((text) => text.startsWith(`${topic} `))
    .map((text) => Number(text.split(/[ .]/u)[1]));
}

/** As `arrived`, for conditions that are looked at often. */
function count({ wired }: PolicyRig, topic = 'telemetry'): number {
  return wired.delivered.reduce((sum, { at }) => sum + (at.topic === topic ? 1 : 0), 0);
}

const upTo = (end: number): number[] => Array.from({ length: end }, (_, index) => index);
const stateOf = (mirror: Mirror): string => mirror.status().state;
const linkOf = (mirror: Mirror) => must(mirror.status().link, 'the mirror has a policy');

class Routes implements Network {
  device = 'wwan0';
  routes = () =>
    Promise.resolve({
      ipv4: `x\n${this.device}\t00000000\t0100000A\t0003\t0\t0\t700\t00000000\t0\t0\t0\n`,
      ipv6: '',
    });
  localAddressTo = () => Promise.resolve(undefined);
  interfaceOf = () => undefined;
  askMetered = () => Promise.resolve(undefined);
}

describe('a cap of the rate', () => {
  test('bounds what is written in every stretch of time, and what one batch holds', async () => {
    const rig = policyRig();
    fill(rig, 200);
    const { clock, wired } = rig;
    const mirror = await rig.start({ bitsPerSecond: 64_000 });
    await clock.until(() => count(rig) === 200);
    expect(arrived(rig)).toEqual(upTo(200));
    // 200 kB with their headers at 8 kB a second.
    expect(clock.monotonicMs()).toBeGreaterThan(25_000);
    expect(clock.monotonicMs()).toBeLessThan(32_000);
    for (const [from, first] of wired.written.entries()) {
      let sum = 0;
      for (const { atMs, bytes } of wired.written.slice(from)) {
        sum += bytes;
        expect(sum).toBeLessThanOrEqual(3000 + (atMs - first.atMs) * 8 + 1);
      }
    }
    expect(wired.sends).toBeGreaterThan(10);
    expect(linkOf(mirror).bitsPerSecond).toBeGreaterThan(55_000);
    expect(linkOf(mirror).bitsPerSecond).toBeLessThanOrEqual(68_000);
    expect(linkOf(mirror).capBitsPerSecond).toBe(64_000);
    await clock.settled(mirror.stop());
  });
});

describe('a budget', () => {
  const hourly: BudgetRule = { bytes: 300 * KB, per: 'hour', resets: 0, exempt: [] };

  test('ends between two batches and is never overdrawn; the next period goes on where it stood', async () => {
    const rig = policyRig();
    fill(rig, 700);
    const { clock } = rig;
    const begun = clock.nowMs();
    const mirror = await rig.start({ budgets: [hourly] });
    await clock.until(() => stateOf(mirror) === 'over budget');
    const first = arrived(rig).length;
    expect(first).toBeGreaterThan(200);
    expect(arrived(rig)).toEqual(upTo(first));
    const { budgets } = linkOf(mirror);
    expect(budgets[0]?.usedBytes).toBeLessThanOrEqual(300 * KB);
    expect(budgets[0]).toMatchObject({ over: true, resetsMs: begun + HOUR });
    expect(mirror.status()).toMatchObject({ nextTryMs: begun + HOUR, lagRecords: 700 - first });
    expect(mirror.status().reason).toMatch(
      /budget of this hour is used up \(2[89]\d\.\d kB of 300\.0 kB\)/u,
    );
    await clock.advance(HOUR - 2000 - clock.monotonicMs());
    expect(arrived(rig)).toHaveLength(first);
    await clock.until(() => count(rig) > first, 5000);
    await clock.until(() => count(rig) === 700, 2 * HOUR);
    expect(arrived(rig)).toEqual(upTo(700));
    expect(clock.nowMs()).toBeGreaterThanOrEqual(begun + 2 * HOUR);
    expect(rig.wired.openSessions).toBe(1);
    await clock.settled(mirror.stop());
  });

  test('is not given anew by a restart, nor by a crash', async () => {
    const rig = policyRig();
    fill(rig, 700);
    const { clock } = rig;
    const first = await rig.start({ budgets: [hourly] });
    await clock.until(() => count(rig) > 50);
    await clock.settled(first.stop());
    const second = await rig.start({ budgets: [hourly] });
    await clock.until(() => stateOf(second) === 'over budget');
    const sent = arrived(rig).length;
    expect(sent).toBeLessThan(300);
    // Nothing of it is written any more: as after a crash.
    await rig.start({ budgets: [hourly] });
    await clock.advance(HOUR / 2);
    expect(arrived(rig)).toHaveLength(sent);
    await clock.settled(second.stop());
  });

  test('alarms that are exempt go on, and are counted', async () => {
    const rig = policyRig();
    fill(rig, 700);
    rig.log.topic('alarm');
    const { clock } = rig;
    const mirror = await rig.start({ budgets: [{ ...hourly, exempt: ['alarm'] }] });
    await clock.until(() => linkOf(mirror).holds.length > 0);
    const before = arrived(rig).length;
    const used = linkOf(mirror).budgets[0]?.usedBytes ?? 0;
    fill(rig, 20, 'alarm');
    await clock.until(() => count(rig, 'alarm') === 20, 10_000);
    await clock.advance(5000);
    expect(stateOf(mirror)).toBe('over budget');
    expect(arrived(rig)).toHaveLength(before);
    expect(linkOf(mirror).budgets[0]?.usedBytes).toBeGreaterThan(used + 20 * KB);
    expect(linkOf(mirror).holds).toMatchObject([
      { cause: 'over budget', classes: ['high', 'normal', 'bulk'] },
    ]);
    await clock.until(() => count(rig) > before, HOUR);
    await clock.settled(mirror.stop());
  });

  test('what was begun ends: a slow far side has its time', async () => {
    const rig = policyRig({ latencyMs: () => 5000 });
    fill(rig, 700);
    const { clock } = rig;
    const mirror = await rig.start({ budgets: [hourly] });
    await clock.until(() => stateOf(mirror) === 'over budget');
    const { sends } = rig.wired;
    expect(arrived(rig)).toEqual(upTo(arrived(rig).length));
    await clock.advance(HOUR / 2);
    expect(rig.wired.sends).toBe(sends);
    expect(linkOf(mirror).budgets[0]?.usedBytes).toBeLessThanOrEqual(300 * KB);
    await clock.settled(mirror.stop());
  });

  test('a record that no period holds goes over a slow link, and the next hours save what it took', async () => {
    const rig = policyRig();
    fill(rig, 5);
    rig.log.add(streamOf(rig), 'telemetry 5'.padEnd(250 * KB, '.'));
    fill(rig, 100);
    const { clock, wired } = rig;
    const begun = clock.nowMs();
    const mirror = await rig.start({
      bitsPerSecond: 64_000,
      budgets: [{ ...hourly, bytes: 100 * KB }],
    });
    await clock.until(() => stateOf(mirror) === 'over budget', 5 * 60_000);
    // It took longer than a session is given to end, and it went once.
    expect(arrived(rig)).toEqual(upTo(6));
    expect(clock.monotonicMs()).toBeGreaterThan(30_000);
    expect(wired.connects).toHaveLength(1);
    expect(mirror.status().reason).toMatch(/2\d\d\.\d kB of 100\.0 kB, with what a record took/u);
    await clock.until(() => count(rig) > 6, 4 * HOUR);
    expect(clock.nowMs() - begun).toBeGreaterThanOrEqual(2 * HOUR);
    expect(clock.nowMs() - begun).toBeLessThan(3 * HOUR);
    await clock.until(() => count(rig) === 106, 4 * HOUR);
    expect(arrived(rig)).toEqual(upTo(106));
    await clock.settled(mirror.stop());
  });

  test('a link that breaks under such a record is not dialled again while nothing may go', async () => {
    const rig = policyRig();
    rig.log.add(streamOf(rig), 'telemetry 0'.padEnd(250 * KB, '.'));
    const { clock, wired } = rig;
    const budgets = [{ ...hourly, bytes: 100 * KB }];
    const mirror = await rig.start({ bitsPerSecond: 64_000, budgets });
    await clock.advance(20_000);
    expect(linkOf(mirror).budgets[0]).toMatchObject({ over: false });
    expect(linkOf(mirror).budgets[0]?.usedBytes).toBeGreaterThan(120 * KB);
    wired.breakSession(new GatelogError('UPSTREAM_UNREACHABLE', 'the link broke'));
    await clock.advance(5000);
    expect(stateOf(mirror)).toBe('over budget');
    await clock.advance(HOUR / 2);
    expect(wired.connects).toHaveLength(1);
    await clock.until(() => count(rig) === 1, 4 * HOUR);
    await clock.settled(mirror.stop());
  });

  test('a clock that jumps ahead and back gives no second period', async () => {
    const machine = await startMachine({ wallMs: Date.UTC(2026, 0, 1) });
    const rig = policyRig();
    fill(rig, 1500);
    const { clock } = rig;
    // The mirror's clock is the machine's: both are set together.
    const setAhead = async (ms: number): Promise<void> => {
      clock.set(clock.nowMs() + ms);
      machine.clock.set(clock.nowMs());
      await machine.clock.advance(3000);
      await clock.advance(3000);
    };
    const mirror = await rig.start(
      { budgets: [hourly] },
      { isClockSound: () => machine.trust.isSound() },
    );
    await clock.until(() => stateOf(mirror) === 'over budget');
    const sent = arrived(rig).length;
    await setAhead(40 * DAY);
    expect(machine.trust.isSound()).toBe(false);
    expect(arrived(rig)).toHaveLength(sent);
    await setAhead(-40 * DAY);
    expect(arrived(rig)).toHaveLength(sent);
    await setAhead(3 * DAY);
    machine.source.answer = RIGHT;
    await machine.clock.advance(5000);
    await clock.until(() => count(rig) > sent, 10_000);
    await clock.settled(mirror.stop());
  });
});

describe('windows', () => {
  const nightly = { from: '0 2 * * *', forMs: 3 * HOUR };

  test('what they name waits for them, the rest does not', async () => {
    const rig = policyRig();
    fill(rig, 10, 'bulk');
    fill(rig, 10);
    const { clock } = rig;
    const mirror = await rig.start({ windows: [{ ...nightly, classes: ['bulk'] }] });
    await clock.until(() => count(rig) === 10);
    await clock.advance(HOUR);
    expect(arrived(rig, 'bulk')).toHaveLength(0);
    expect(stateOf(mirror)).toBe('waiting for schedule');
    expect(mirror.status().topics.find(({ topic }) => topic === 'bulk')).toMatchObject({
      state: 'held',
      etaMs: undefined,
      heldUntilMs: mirror.status().nextTryMs,
    });
    await clock.until(() => count(rig, 'bulk') === 10, 2 * HOUR);
    expect(clock.monotonicMs()).toBeGreaterThanOrEqual(2 * HOUR);
    expect(clock.monotonicMs()).toBeLessThan(2 * HOUR + 5000);
    await clock.settled(mirror.stop());
  });

  test('while nobody knows the time they are closed, and say so', async () => {
    const rig = policyRig();
    fill(rig, 5);
    const { clock } = rig;
    clock.set(Date.UTC(2026, 0, 1, 3));
    let isSound = false;
    const mirror = await rig.start(
      { windows: [{ ...nightly, classes: undefined }] },
      { isClockSound: () => isSound },
    );
    await clock.advance(5000);
    expect(mirror.status()).toMatchObject({
      state: 'waiting for schedule',
      reason: 'the clock is not trusted, so no window is known to be open',
    });
    isSound = true;
    await clock.until(() => count(rig) === 5, 5000);
    await clock.settled(mirror.stop());
  });
});

describe('a metered link', () => {
  const rule = { interfaces: ['wwan*'], networkManager: true };

  test('pauses, and goes on when the link was free for a while', async () => {
    const rig = policyRig();
    fill(rig, 5);
    const { clock } = rig;
    const network = new Routes();
    const mirror = await rig.start({ metered: { ...rule, action: 'pause' } }, { network });
    await clock.advance(60_000);
    expect(mirror.status()).toMatchObject({
      state: 'metered',
      reason: 'the way to the far side, wwan0, is metered (by its name)',
      link: { metered: { interface: 'wwan0', metered: true, by: 'name' } },
    });
    expect(rig.wired.connects).toHaveLength(0);
    network.device = 'eth0';
    await clock.until(() => count(rig) === 5, 30_000);
    await clock.settled(mirror.stop());
  });

  test('lets alarms through', async () => {
    const rig = policyRig();
    fill(rig, 5);
    fill(rig, 5, 'alarm');
    const { clock } = rig;
    const network = new Routes();
    const mirror = await rig.start({ metered: { ...rule, action: 'alarms-only' } }, { network });
    await clock.until(() => count(rig, 'alarm') === 5);
    await clock.advance(60_000);
    expect(arrived(rig)).toHaveLength(0);
    expect(linkOf(mirror).holds).toMatchObject([{ cause: 'metered' }]);
    await clock.settled(mirror.stop());
  });

  test('is slower', async () => {
    const rig = policyRig();
    const { clock } = rig;
    const network = new Routes();
    const action = { capBitsPerSecond: 8000 };
    const mirror = await rig.start({ metered: { ...rule, action } }, { network });
    fill(rig, 20);
    await clock.advance(10_000);
    expect(arrived(rig).length).toBeLessThan(15);
    network.device = 'eth0';
    await clock.advance(LINK_LIMITS.meteredReleaseMs + 2 * LINK_LIMITS.meteredLookMs);
    expect(arrived(rig)).toHaveLength(20);
    expect(linkOf(mirror).capBitsPerSecond).toBeUndefined();
    await clock.settled(mirror.stop());
  });
});

test('a whole day: bulk at night, an hourly budget, alarms at any time, a metered afternoon', async () => {
  const rig = policyRig();
  const { clock } = rig;
  const begun = clock.nowMs();
  const network = new Routes();
  network.device = 'eth0';
  for (const topic of ['bulk', 'telemetry', 'alarm']) rig.log.topic(topic);
  const mirror = await rig.start(
    {
      windows: [{ from: '0 2 * * *', forMs: 3 * HOUR, classes: ['bulk'] }],
      budgets: [{ bytes: 200 * KB, per: 'hour', resets: 0, exempt: ['alarm'] }],
      metered: { interfaces: ['wwan*'], networkManager: false, action: 'alarms-only' },
    },
    { network },
  );
  const to = (ms: number): Promise<void> => clock.advance(begun + ms - clock.nowMs());
  const bulkAt: number[] = [];
  const overAt: number[] = [];
  const leaked: number[] = [];
  const late: number[] = [];
  for (let hour = 0; hour < 24; hour++) {
    network.device = hour >= 13 && hour < 17 ? 'wwan0' : 'eth0';
    await to(hour * HOUR + 30_000);
    const before = { bulk: count(rig, 'bulk'), telemetry: count(rig), alarm: count(rig, 'alarm') };
    fill(rig, 30, 'bulk');
    // At noon more than an hour's budget holds.
    fill(rig, hour === 11 ? 300 : 60);
    fill(rig, 2, 'alarm');
    await to(hour * HOUR + 60_000);
    if (count(rig, 'alarm') - before.alarm !== 2) late.push(hour);
    const isMetered = hour >= 13 && hour < 17;
    await to((hour + 1) * HOUR - 5000);
    if (isMetered && count(rig) !== before.telemetry) leaked.push(hour);
    expect(linkOf(mirror).budgets[0]?.usedBytes).toBeLessThanOrEqual(202 * KB);
    if (linkOf(mirror).holds.some(({ cause }) => cause === 'over budget')) overAt.push(hour);
    if (count(rig, 'bulk') > before.bulk) bulkAt.push(hour);
  }
  expect({ late, leaked }).toEqual({ late: [], leaked: [] });
  expect(overAt).toContain(11);
  expect(bulkAt).toEqual([2, 3, 4]);
  for (const topic of ['bulk', 'telemetry', 'alarm']) {
    expect(arrived(rig, topic)).toEqual(upTo(count(rig, topic)));
  }
  expect(count(rig)).toBe(23 * 60 + 300);
  expect(count(rig, 'bulk')).toBe(5 * 30);
  await clock.settled(mirror.stop());
});
