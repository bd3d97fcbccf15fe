import { describe, expect, test } from 'vitest';
import type { WearStatus } from '../../src/admin/wear-status.ts';
import { WearBudget } from '../../src/agent/wear-budget.ts';
import type { WearSource, WrittenCounts } from '../../src/agent/wear-files.ts';
import { WearMeter } from '../../src/agent/wear-meter.ts';
import { LIMITS } from '../../src/limits.ts';
import type { KeyValue, StoreCounters } from '../../src/store/log.ts';
import { rememberingLogger } from '../support/store-kit.ts';
import { SimClock } from '../support/sim-clock.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A machine: what its kernel counts, what a log counts, and what its state database keeps. */
class Machine {
  bootId = 'boot-1';
  device: WearSource['device'] = { volume: 'mmcblk0p2', disk: 'mmcblk0' };
  /** Set to undefined what the kernel does not tell. */
  counts: WrittenCounts = { processBytes: 0, volumeBytes: 1e9, diskBytes: 2e9 };
  log = { bytesAppended: 0, commits: 0, syncs: 0, stateSyncs: 0 };
  readonly kept = new Map<string, Uint8Array>();
  puts = 0;
  failPuts = false;
  readonly logger = rememberingLogger();

  readonly space: KeyValue = {
    get: async (key) => this.kept.get(key),
    put: async (key, value) => {
      if (this.failPuts) throw new Error('no space left on device');
      this.puts++;
      this.kept.set(key, value);
    },
    delete: async () => {},
  };

  start(clock: SimClock, more: { budget?: WearBudget; ratingBytes?: number } = {}) {
    const { budget } = more;
    return WearMeter.start({
      source: { device: this.device, bootId: this.bootId, read: async () => this.counts },
      space: this.space,
      counters: () => this.log as StoreCounters,
      budget,
      lingerMs: () => budget?.lingerMs() ?? 0,
      budgetBytes: budget === undefined ? undefined : 5e9,
      ratingBytes: more.ratingBytes,
      clock,
      logger: this.logger,
    });
  }

  write(amounts: { process: number; disk: number; payload?: number }): void {
    const { processBytes = 0, volumeBytes = 0, diskBytes = 0 } = this.counts;
    this.counts = {
      processBytes: processBytes + amounts.process,
      volumeBytes: volumeBytes + amounts.disk,
      diskBytes: diskBytes + amounts.disk,
    };
    this.log.bytesAppended += amounts.payload ?? 0;
    this.log.commits += 2;
    this.log.syncs += 2;
    this.log.stateSyncs += 1;
  }

  /** The process is a new one: its own counts begin at nothing. */
  newProcess(): void {
    this.counts = { ...this.counts, processBytes: 0 };
    this.log = { bytesAppended: 0, commits: 0, syncs: 0, stateSyncs: 0 };
  }
}

/** Writes every second for so long. */
async function work(machine: Machine, clock: SimClock, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    machine.write({ process: 8_000, disk: 36_000, payload: 1_000 });
    await clock.advance(1000);
  }
}

describe('the wear meter', () => {
  test('tells rates, amplification and how long the rating lasts', async () => {
    const machine = new Machine();
    const clock = new SimClock();
    const meter = await machine.start(clock, { ratingBytes: 100e12 });
    await work(machine, clock, 600);
    const status = await meter.measure();
    expect(status).toMatchObject({
      windowMs: 600_000,
      device: { volume: 'mmcblk0p2', disk: 'mmcblk0' },
      deviceUnknown: null,
      processBytesPerDay: 8_000 * 86_400,
      volumeBytesPerDay: 36_000 * 86_400,
      diskBytesPerDay: 36_000 * 86_400,
      payloadBytesPerDay: 1_000 * 86_400,
      processAmplification: 8,
      diskAmplification: 36,
      lingerMs: 0,
      budgetBytes: null,
      budgetLevel: null,
      ratingBytes: 100e12,
    } satisfies Partial<WearStatus>);
    expect(status.commitsPerSecond).toBeCloseTo(2);
    expect(status.syncsPerSecond).toBeCloseTo(3);
    expect(status.ratingYears).toBeCloseTo(100e12 / (36_000 * 86_400 * 365));
    await meter.stop();
  });

  test('what was written before it began is not of this day', async () => {
    const machine = new Machine();
    const meter = await machine.start(new SimClock());
    expect(await meter.measure()).toMatchObject({ windowMs: 0, diskBytesPerDay: 0 });
    await meter.stop();
  });

  test('stores its state rarely, and at the end', async () => {
    const machine = new Machine();
    const clock = new SimClock();
    const meter = await machine.start(clock);
    await clock.advance(DAY);
    expect(machine.puts).toBeLessThanOrEqual(DAY / LIMITS.wearSaveMs);
    expect(machine.puts).toBeGreaterThan(DAY / LIMITS.wearSaveMs / 2);
    const before = machine.puts;
    await meter.stop();
    expect(machine.puts).toBe(before + 1);
    expect(machine.kept.get('day')?.length).toBeLessThan(6000);
    await clock.advance(DAY);
    expect(machine.puts).toBe(before + 1);
  });

  test('a restart goes on with the day: the device counted meanwhile, this process did not', async () => {
    const machine = new Machine();
    const clock = new SimClock();
    const first = await machine.start(clock);
    await work(machine, clock, 3600);
    await first.stop();
    machine.write({ process: 0, disk: 36_000 * 3600 });
    machine.newProcess();
    await clock.advance(HOUR);
    const second = await machine.start(clock);
    const status = await second.measure();
    expect(status).toMatchObject({
      windowMs: 2 * HOUR,
      diskBytesPerDay: 36_000 * 86_400,
      processBytesPerDay: (8_000 * 86_400) / 2,
    });
    await second.stop();
  });

  test('a kill loses no more than what this process wrote since the last saving', async () => {
    const machine = new Machine();
    const clock = new SimClock();
    await machine.start(clock);
    await work(machine, clock, LIMITS.wearSaveMs / 1000 + 60);
    machine.newProcess();
    const second = await machine.start(clock);
    const status = await second.measure();
    expect(status.diskBytesPerDay).toBe(36_000 * 86_400);
    expect(status.processBytesPerDay ?? 0).toBeGreaterThan(8_000 * 86_400 * 0.85);
    await second.stop();
  });

  test('after the machine started anew its counts begin at nothing', async () => {
    const machine = new Machine();
    const clock = new SimClock();
    const first = await machine.start(clock);
    await work(machine, clock, 60);
    await first.stop();
    machine.bootId = 'boot-2';
    machine.newProcess();
    machine.counts = { processBytes: 0, volumeBytes: 5e9, diskBytes: 9e9 };
    const second = await machine.start(clock);
    const { windowMs, diskBytesPerDay } = await second.measure();
    expect({ windowMs, diskBytesPerDay }).toEqual({
      windowMs: 60_000,
      diskBytesPerDay: 36_000 * 86_400,
    });
    await second.stop();
  });

  test.each([
    ['ten years ahead', 10 * 365 * DAY],
    ['ten years back', -10 * 365 * DAY],
  ])('a clock that jumps %s between two starts makes no figure absurd', async (_, jumpMs) => {
    const machine = new Machine();
    const clock = new SimClock();
    const first = await machine.start(clock);
    await work(machine, clock, 600);
    await first.stop();
    machine.newProcess();
    const later = new SimClock(clock.nowMs() + jumpMs);
    const second = await machine.start(later);
    await work(machine, later, 600);
    const status = await second.measure();
    expect(status.windowMs).toBeLessThanOrEqual(1_200_000);
    expect(status.diskBytesPerDay).toBe(36_000 * 86_400);
    await second.stop();
  });

  test('without a block device it tells of the process, and why', async () => {
    const machine = new Machine();
    machine.device = { unknown: 'the data folder is on overlay' };
    machine.counts = { processBytes: 0, volumeBytes: undefined, diskBytes: undefined };
    const clock = new SimClock();
    const budget = new WearBudget({ budgetBytesPerDay: 5e9, lingerMs: 0, maxLingerMs: 1000 });
    const meter = await machine.start(clock, { budget, ratingBytes: 1e12 });
    machine.counts = { ...machine.counts, processBytes: 5e9 };
    await clock.advance(60_000);
    const status = await meter.measure();
    expect(status).toMatchObject({
      device: null,
      deviceUnknown: 'the data folder is on overlay',
      diskBytesPerDay: null,
      volumeBytesPerDay: null,
      diskAmplification: null,
      processBytesPerDay: 5e9 * 24 * 60,
      lingerMs: 1000,
      budgetLevel: 0,
    });
    expect(status.ratingYears).toBeCloseTo(1e12 / (5e9 * 24 * 60 * 365));
    await meter.stop();
  });

  test('a count that can’t be read for once is neither nothing nor everything', async () => {
    const machine = new Machine();
    const clock = new SimClock();
    const meter = await machine.start(clock);
    await work(machine, clock, 60);
    const { counts } = machine;
    machine.counts = { processBytes: undefined, volumeBytes: undefined, diskBytes: undefined };
    await clock.advance(LIMITS.wearSampleMs);
    expect((await meter.measure()).diskBytesPerDay).toBeNull();
    machine.counts = counts;
    await clock.advance(LIMITS.wearSampleMs);
    const { windowMs, diskBytesPerDay } = await meter.measure();
    expect(((diskBytesPerDay ?? 0) * windowMs) / DAY).toBeCloseTo(36_000 * 60, -1);
    await meter.stop();
  });

  test('the budget is fed, and goes on where it was after a restart', async () => {
    const machine = new Machine();
    const clock = new SimClock();
    const make = () => new WearBudget({ budgetBytesPerDay: 5e9, lingerMs: 0, maxLingerMs: 1000 });
    const first = make();
    const meter = await machine.start(clock, { budget: first });
    machine.write({ process: 0, disk: 250e6 });
    await clock.advance(LIMITS.wearSampleMs);
    expect(first.lingerMs()).toBeGreaterThan(10);
    await meter.stop();
    const second = make();
    expect(second.lingerMs()).toBe(0);
    const next = await machine.start(clock, { budget: second });
    expect(second.lingerMs()).toBe(first.lingerMs());
    await next.stop();
  });

  test.each(['not json', '[]', '{"slots":[{"ms":-4}],"savedMs":"x"}', 'null'])(
    'what was stored is damaged (%s): the day begins anew',
    async (text) => {
      const machine = new Machine();
      machine.kept.set('day', Buffer.from(text));
      const clock = new SimClock();
      const meter = await machine.start(clock);
      await work(machine, clock, 60);
      expect(await meter.measure()).toMatchObject({
        windowMs: 60_000,
        diskBytesPerDay: 36_000 * 86_400,
      });
      await meter.stop();
    },
  );

  test('a state database that can’t be written is said, and nothing else happens', async () => {
    const machine = new Machine();
    machine.failPuts = true;
    const meter = await machine.start(new SimClock());
    await meter.stop();
    expect(machine.logger.lines.map(({ level, fields }) => [level, fields['event']])).toEqual([
      ['warn', 'wear.unsaved'],
    ]);
  });
});
