import { expect, test } from 'vitest';
import type { Glance } from '../../src/agent/glance.ts';
import type { ServiceManager } from '../../src/agent/service-manager.ts';
import { SupervisedService } from '../../src/agent/supervised-service.ts';
import { SERVICE_LIMITS } from '../../src/service-limits.ts';
import { SimClock } from '../support/sim-clock.ts';
import { rememberingLogger } from '../support/store-kit.ts';

/** What the service manager is told, and when the watchdog goes hungry. */
const WATCHDOG_MS = 90_000;
const GLANCE: Glance = {
  degraded: null,
  trouble: null,
  connections: 2,
  mirrors: [
    { name: 'central', state: 'catching up', lagRecords: 1500, lagMs: 61_000, reason: undefined },
  ],
  needsRestart: [],
};

/** An agent whose disk answers or not, and what was said of it. */
class Rig {
  readonly clock = new SimClock();
  readonly told: string[] = [];
  readonly logger = rememberingLogger();
  readonly service: SupervisedService;
  glanced: Glance = GLANCE;
  #answer: (() => void) | undefined;
  #hangs = false;

  constructor(watchdogMs: number | undefined = WATCHDOG_MS) {
    const manager: ServiceManager = {
      watchdogMs,
      tell: (assignments) => {
        this.told.push(assignments.join(' '));
        return Promise.resolve();
      },
    };
    this.service = new SupervisedService({ manager, clock: this.clock, logger: this.logger });
  }

  readonly agent = {
    glance: (): Glance => this.glanced,
    answered: (): Promise<void> =>
      this.#hangs
        ? new Promise((resolve) => {
            this.#answer = resolve;
          })
        : Promise.resolve(),
  };

  hang(): void {
    this.#hangs = true;
  }

  answer(): void {
    this.#hangs = false;
    this.#answer?.();
  }

  feeds(): number {
    return this.told.filter((text) => text.includes('WATCHDOG=1')).length;
  }
}

test('a start asks for more time, for a while, until devices may connect', async () => {
  const rig = new Rig();
  rig.service.starting();
  await rig.clock.advance(SERVICE_LIMITS.extendEveryMs * 3);
  expect(rig.told).toEqual(
    Array.from({ length: 3 }, () =>
      expect.stringMatching(/^EXTEND_TIMEOUT_USEC=60000000 STATUS=starting/u),
    ),
  );
  await rig.service.ready(rig.agent);
  expect(rig.told.slice(3)).toEqual([
    'READY=1 WATCHDOG=1 STATUS=2 connections; central catching up, 1500 records behind (1m 1s)',
  ]);
  await rig.clock.advance(SERVICE_LIMITS.extendEveryMs);
  expect(rig.told).toHaveLength(4);
});

test('a start that takes for ever asks for no more time', async () => {
  const rig = new Rig();
  rig.service.starting();
  await rig.clock.advance(SERVICE_LIMITS.startMs + 1);
  const asked = rig.told.length;
  await rig.clock.advance(SERVICE_LIMITS.startMs);
  expect(rig.told).toHaveLength(asked);
  expect(asked).toBeGreaterThan(100);
});

test('the watchdog is fed while the disk answers, whatever else is wrong', async () => {
  const rig = new Rig();
  await rig.service.ready(rig.agent);
  rig.glanced = { ...GLANCE, trouble: 'the disk is full', degraded: null };
  await rig.clock.advance(WATCHDOG_MS * 10);
  expect(rig.feeds()).toBeGreaterThan(10 * (SERVICE_LIMITS.watchdogFeeds - 1));
  expect(rig.told.at(-1)).toContain('nothing is acknowledged: the disk is full; 2 connections');
});

test('a write that gets no answer starves it, is told once, and feeds it again when it ends', async () => {
  const rig = new Rig();
  await rig.service.ready(rig.agent);
  rig.hang();
  await rig.clock.advance(WATCHDOG_MS);
  const fed = rig.feeds();
  await rig.clock.advance(WATCHDOG_MS * 3);
  expect(rig.feeds()).toBe(fed);
  expect(rig.told.at(-1)).toMatch(/^STATUS=the disk has not answered for \d+m/u);
  expect(
    rig.logger.lines.filter(({ fields }) => fields['event'] === 'service.stalled'),
  ).toHaveLength(1);
  rig.answer();
  await rig.clock.advance(WATCHDOG_MS);
  expect(rig.feeds()).toBeGreaterThan(fed);
});

test('a slow disk that answers in time does not', async () => {
  const rig = new Rig();
  await rig.service.ready(rig.agent);
  for (let round = 0; round < 10; round++) {
    rig.hang();
    await rig.clock.advance(WATCHDOG_MS * SERVICE_LIMITS.stallShare - 1);
    rig.answer();
    await rig.clock.settle();
  }
  expect(rig.told.filter((text) => !text.includes('WATCHDOG=1'))).toEqual([]);
});

test('without a watchdog only the line is renewed', async () => {
  const rig = new Rig(0);
  const plain = new SupervisedService({
    manager: {
      watchdogMs: undefined,
      tell: (what) => Promise.resolve(void rig.told.push(what.join(' '))),
    },
    clock: rig.clock,
    logger: rig.logger,
  });
  await plain.ready(rig.agent);
  await rig.clock.advance(SERVICE_LIMITS.statusEveryMs * 2);
  expect(rig.told).toHaveLength(3);
  expect(rig.feeds()).toBe(0);
});

test('a reload and a stop are told, and nothing is said after the stop', async () => {
  const rig = new Rig();
  await rig.service.ready(rig.agent);
  await rig.service.reloading(() => {
    rig.told.push('(reloads)');
    return Promise.resolve();
  });
  rig.service.stopping('SIGTERM');
  await rig.clock.advance(WATCHDOG_MS * 2);
  expect(rig.told.slice(1)).toEqual([
    expect.stringMatching(/^RELOADING=1 MONOTONIC_USEC=\d+ STATUS=reloading$/u),
    '(reloads)',
    expect.stringMatching(/^READY=1 WATCHDOG=1 /u),
    'STOPPING=1 STATUS=stopping (SIGTERM)',
  ]);
});

test('the line is one line, and bounded', async () => {
  const rig = new Rig();
  rig.glanced = { ...GLANCE, degraded: `a\nREADY=1\r${'x'.repeat(1000)}` };
  await rig.service.ready(rig.agent);
  const status = rig.told[0]?.split('STATUS=')[1] ?? '';
  expect(status).toMatch(/^serving without a log: a READY=1 x+…$/u);
  expect(status.length).toBe(SERVICE_LIMITS.statusChars);
});
