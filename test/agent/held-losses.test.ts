import { expect, test } from 'vitest';
import { HeldLosses } from '../../src/agent/held-losses.ts';
import type { Loss } from '../../src/loss.ts';
import { entriesOf, inMemory } from '../support/store-kit.ts';
import { SimClock } from '../support/sim-clock.ts';

const LOSS: Loss = {
  topic: 't',
  partition: undefined,
  fromOffset: undefined,
  toOffset: undefined,
  records: 2,
  bytes: 10,
  reason: 'pressure',
  detail: 'QoS 0 messages came while the disk was full',
  mirror: undefined,
};

test('counts that were held are told once, with the times when it happened', async () => {
  const clock = new SimClock();
  const held = new HeldLosses(clock);
  const atMs = clock.nowMs();
  await held.record([LOSS]);
  await clock.advance(1000);
  await held.record([LOSS]);
  await clock.advance(60_000);
  const place = await inMemory.make();
  const store = await place.open({ clock });
  await held.into(store.ledger);
  await held.into(store.ledger);
  const entries = await entriesOf(store);
  await store.close();
  const { incarnation } = store.identity;
  const detail = `${LOSS.detail} (the log was not open)`;
  const times = { atMs, untilMs: atMs + 1000 };
  expect(entries).toEqual([{ ...LOSS, records: 4, bytes: 20, detail, incarnation, ...times }]);
});

test.each([true, false])(
  'what comes while the held is told is held on (the ledger takes it: %s)',
  async (takes) => {
    const held = new HeldLosses(new SimClock());
    await held.record([LOSS]);
    let told = 0;
    const record = async (losses: readonly Loss[]): Promise<void> => {
      for (const { records } of losses) told += records;
    };
    const failed = await held
      .into({
        record: async (losses) => {
          await held.record([{ ...LOSS, records: 5 }]);
          if (!takes) throw new Error('the disk is full');
          await record(losses);
        },
      })
      .then(
        () => false,
        () => true,
      );
    expect({ failed, held: held.records }).toEqual({ failed: !takes, held: takes ? 5 : 7 });
    await held.into({ record });
    expect([told, held.records]).toEqual([7, 0]);
  },
);
