import { describe, expect, test } from 'vitest';
import { SlotBudget, type SlotShare } from '../../src/agent/broker-qos2-budget.ts';
import { LIMITS } from '../../src/limits.ts';

describe('QoS 2 messages open in all lasting sessions together', () => {
  /** Opens what it may. */
  function opens(share: SlotShare, most: number): number {
    for (let open = 0; open < most; open++) {
      try {
        share.take();
      } catch (error) {
        if ((error as { reasonCode?: number }).reasonCode !== 0x97) throw error;
        return open;
      }
    }
    return most;
  }

  test('a flood of one user’s sessions leaves something to its other sessions, and much to others', () => {
    const budget = new SlotBudget();
    const flood = Array.from({ length: 100 }, () => budget.share(() => 'flood'));
    const opened = flood.map((share) => opens(share, 1024)).reduce((sum, one) => sum + one);
    expect(opened).toBeGreaterThan(LIMITS.ownProducers * 0.7);
    expect(
      opens(
        budget.share(() => 'flood'),
        1,
      ),
    ).toBe(1);
    expect(
      opens(
        budget.share(() => 'other'),
        256,
      ),
    ).toBe(256);
    expect(opens(flood[0] as SlotShare, 1)).toBe(0);
    flood[0]?.giveBack(1024);
    expect(opens(flood[0] as SlotShare, 200)).toBe(200);
  });

  test('of four users that flood none has all, and the fifth has some', () => {
    const budget = new SlotBudget();
    let opened = 0;
    for (let user = 0; user < 4; user++) {
      for (let session = 0; session < 50; session++) {
        opened += opens(
          budget.share(() => `user ${user}`),
          1024,
        );
      }
    }
    expect(opened).toBeLessThan(LIMITS.ownProducers);
    expect(
      opens(
        budget.share(() => 'other'),
        1,
      ),
    ).toBe(1);
  });

  test('a session that goes over to another user takes what it has open with it', () => {
    const budget = new SlotBudget();
    const whose = { user: 'before' };
    const share = budget.share(() => whose.user);
    opens(share, 100);
    whose.user = 'press';
    opens(share, 1);
    expect(budget.mostOf('before')).toBeGreaterThan(budget.mostOf('press'));
    share.giveBack(101);
    expect(budget.mostOf('press')).toBe(budget.mostOf('before'));
  });
});
