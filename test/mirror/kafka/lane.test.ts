import { expect, test } from 'vitest';
import { CODE } from '../../../src/mirror/kafka/codes.ts';
import type { DeliveryParts } from '../../../src/mirror/kafka/delivery-parts.ts';
import type { Cargo } from '../../../src/mirror/kafka/encode.ts';
import { FenceJudge } from '../../../src/mirror/kafka/fencing.ts';
import { Lane } from '../../../src/mirror/kafka/lane.ts';
import type { TransactionClient } from '../../../src/mirror/kafka/transaction.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { SimClock } from '../../support/sim-clock.ts';

const TIMEOUT_MS = 5000;
const CARGO = [
  { topic: 't', partition: 0, batch: { bytes: Buffer.alloc(300) } },
  { topic: 't', partition: 1, batch: { bytes: Buffer.alloc(45) } },
] as unknown as readonly Cargo[];

function rig(endCode: () => number, role?: 'import') {
  const clock = new SimClock();
  const judge = new FenceJudge(clock, () => Promise.resolve(0));
  const told: [string, number][] = [];
  const parts = {
    options: { clock, logger: silentLogger, gateway: 'gw', role },
    judge,
    transactionTimeoutMs: TIMEOUT_MS,
    timeout: {
      noteCommitted: (bytes: number) => told.push(['committed', bytes]),
      noteTooShort: (bytes: number) => told.push(['too short', bytes]),
    },
  } as unknown as DeliveryParts;
  const client = {
    transactionalId: 'gw#2',
    begin: () => Promise.resolve({ code: CODE.none }),
    end: () => Promise.resolve(endCode()),
    takenBy: () => Promise.resolve('unknown'),
  } as unknown as TransactionClient;
  return { clock, judge, told, lane: new Lane(parts, client, 2) };
}

test('what a transaction carried is told when it was committed, and when it took too long', async () => {
  let code: number = CODE.none;
  const { clock, told, lane } = rig(() => code);
  await lane.begin(CARGO);
  await lane.commit();
  expect(told).toEqual([['committed', 345]]);
  await lane.begin(CARGO.slice(1));
  const slow = clock.sleep(TIMEOUT_MS);
  await clock.advance(TIMEOUT_MS);
  await slow;
  code = CODE.producerFenced;
  await expect(lane.commit()).rejects.toMatchObject({ code: 'UPSTREAM_UNCERTAIN' });
  expect(told.slice(1)).toEqual([['too short', 45]]);
});

test('being fenced is excused by what was not answered of the same transactional id', async () => {
  const { judge, lane } = rig(() => CODE.producerFenced);
  for (const id of ['gw#1', 'gw#1', 'gw#2']) judge.noteUnanswered(id);
  const fenced = async (): Promise<void> => {
    await lane.begin(CARGO);
    await lane.commit();
  };
  await expect(fenced()).rejects.toMatchObject({ code: 'UPSTREAM_UNCERTAIN' });
  await expect(fenced()).rejects.toMatchObject({ code: 'UPSTREAM_FENCED' });
});

test('an import that its gateway ends says so, and what to do', async () => {
  const { lane } = rig(() => CODE.producerFenced, 'import');
  await lane.begin(CARGO);
  await expect(lane.commit()).rejects.toMatchObject({
    code: 'UPSTREAM_FENCED',
    message: expect.stringContaining('pause its mirror and begin again'),
  });
});
