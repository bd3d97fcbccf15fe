import { expect, test } from 'vitest';
import type { Delivery } from '../../../src/mirror/kafka/session.ts';
import { KafkaSession } from '../../../src/mirror/kafka/session.ts';
import type { Links } from '../../../src/mirror/kafka/links.ts';
import { SimClock } from '../../support/sim-clock.ts';

const SECOND = 1000;
const HOUR = 3_600_000;

/** An idle session with three brokers that answer after a while, or not at all. */
class Idle {
  readonly clock = new SimClock();
  readonly #asked = { one: 0, all: 0 };
  isCostly = false;
  answers = true;
  broken: Error | undefined;
  /** The longest that any broker was not asked. */
  longestRestMs = 0;
  #allMs = 0;
  readonly session: KafkaSession;

  constructor() {
    const links = {
      onAnswer: (): void => {},
      probe: async (whom: 'one' | 'all'): Promise<void> => {
        this.#asked[whom]++;
        if (whom === 'all') this.#noteAll();
        await this.clock.sleep(600);
        if (!this.answers) throw new Error('no answer');
        links.onAnswer();
      },
      breakOff: (error: Error): void => {
        this.broken = error;
      },
    };
    this.session = new KafkaSession({
      links: links as unknown as Links,
      broken: new Promise<never>(() => {}),
      delivery: {} as Delivery,
      positions: new Map(),
      clock: this.clock,
      isCostly: () => this.isCostly,
      end: () => {},
    });
    this.#allMs = this.clock.monotonicMs();
  }

  #noteAll(): void {
    const nowMs = this.clock.monotonicMs();
    this.longestRestMs = Math.max(this.longestRestMs, nowMs - this.#allMs);
    this.#allMs = nowMs;
  }

  /** Requests of so many hours, and for how long at most nothing was answered. */
  async rest(hours: number): Promise<{ requests: number; longestSilenceMs: number }> {
    const before = { ...this.#asked };
    let longestSilenceMs = 0;
    const endMs = this.clock.monotonicMs() + hours * HOUR;
    while (this.clock.monotonicMs() < endMs) {
      await this.clock.advance(SECOND);
      const silentMs = this.clock.monotonicMs() - this.session.liveness.answeredMs;
      longestSilenceMs = Math.max(longestSilenceMs, silentMs);
    }
    const requests = this.#asked.one - before.one + 3 * (this.#asked.all - before.all);
    return { requests, longestSilenceMs };
  }
}

test('an idle session is asked less where bytes cost, and still within a bound', async () => {
  const idle = new Idle();
  const free = await idle.rest(6);
  expect(idle.session.liveness.probedAfterMs).toBe(30 * SECOND);
  expect(free.longestSilenceMs).toBeLessThanOrEqual(32 * SECOND);
  expect(free.requests / 6).toBeGreaterThan(110);
  expect(idle.longestRestMs).toBeLessThanOrEqual(265 * SECOND);
  idle.isCostly = true;
  await idle.clock.advance(60 * SECOND);
  const costly = await idle.rest(6);
  expect(idle.session.liveness.probedAfterMs).toBe(240 * SECOND);
  expect(costly.longestSilenceMs).toBeLessThanOrEqual(242 * SECOND);
  expect(costly.requests / 6).toBeLessThan(31);
  // Brokers close what rests for ten minutes.
  expect(idle.longestRestMs).toBeLessThanOrEqual(540 * SECOND);
  await idle.session.close();
});

test('what is not answered breaks the session within that bound', async () => {
  const idle = new Idle();
  idle.isCostly = true;
  await idle.clock.advance(60 * SECOND);
  idle.answers = false;
  await idle.clock.advance(242 * SECOND);
  expect(idle.broken?.message).toContain('no answer');
  await idle.session.close();
});
