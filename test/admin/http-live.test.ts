import { expect, test } from 'vitest';
import { EventBook } from '../../src/admin/event-book.ts';
import { LiveFeed } from '../../src/admin/http-live.ts';
import type { Operations } from '../../src/admin/operations.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { HTTP_LIMITS } from '../../src/http-limits.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { SimClock } from '../support/sim-clock.ts';

/** The status, once a second for all who listen. */
class Rig {
  readonly clock = new SimClock();
  readonly feed: LiveFeed;
  /** Answers the measurement under way; undefined: each is answered at once. */
  answer: (() => void) | undefined;
  isSlow = false;

  constructor() {
    const status = async (): Promise<AgentStatus> => {
      if (this.isSlow) {
        await new Promise<void>((resolve) => {
          this.answer = resolve;
        });
      }
      return { gateway: 'gw' } as unknown as AgentStatus;
    };
    this.feed = new LiveFeed({
      operations: { status } as unknown as Operations,
      events: new EventBook(this.clock),
      clock: this.clock,
      logger: silentLogger,
    });
  }
}

test('a page that is loaded anew while the status is measured gets it once a second, too', async () => {
  const rig = new Rig();
  const { clock, feed } = rig;
  rig.isSlow = true;
  for (let reload = 0; reload < 5; reload++) {
    const leave = feed.listen(() => {});
    await clock.advance(HTTP_LIMITS.liveMs);
    leave();
  }
  let heard = 0;
  const leave = feed.listen(() => {
    heard++;
  });
  rig.isSlow = false;
  rig.answer?.();
  await clock.settle();
  heard = 0;
  for (let second = 0; second < 10; second++) await clock.advance(HTTP_LIMITS.liveMs);
  expect(heard).toBe(10);
  leave();
  feed.stop();
});
