import { describe, expect, test } from 'vitest';
import { GatelogError } from '../../../src/errors.ts';
import { CODE } from '../../../src/mirror/kafka/codes.ts';
import { createCompressor } from '../../../src/mirror/kafka/compressor.ts';
import type { DeliveryParts } from '../../../src/mirror/kafka/delivery-parts.ts';
import { decodeCargo } from '../../../src/mirror/kafka/decode.ts';
import { type Cargo, PieceEncoder } from '../../../src/mirror/kafka/encode.ts';
import { ExactlyOnceDelivery } from '../../../src/mirror/kafka/exactly-once.ts';
import { Journal } from '../../../src/mirror/kafka/journal.ts';
import type { Lane } from '../../../src/mirror/kafka/lane.ts';
import { identityBytes } from '../../../src/mirror/kafka/plan.ts';
import { Ring } from '../../../src/mirror/kafka/ring.ts';
import type { Delivered } from '../../../src/mirror/kafka/rounds.ts';
import { TimeBounds } from '../../../src/mirror/kafka/time-bounds.ts';
import type { StagedPosition } from '../../../src/mirror/kafka/transaction.ts';
import type { Rejection } from '../../../src/mirror/upstream.ts';
import { type Random, seededRandom } from '../../../src/random.ts';
import { streamId } from '../../../src/record.ts';
import type { Slice } from '../../../src/store/log.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { inOrder } from '../../support/in-order.ts';

/**
 * The pipeline of transactions against a far side that is an array: whatever the order of answers,
 * and whatever is refused, what is committed is the log in order, and the position with it.
 */
const STREAM = streamId(0);
const WAY = {
  stream: STREAM,
  topic: 't',
  partition: 0,
  centralTopic: 't',
  centralPartitions: 1,
  identity: identityBytes({ gateway: 'g', incarnation: 'i', topic: 't', partition: 0 }),
};
const POISON = 'poison';

interface Transaction {
  readonly offsets: number[];
  position: number | undefined;
  state: 'open' | 'committed' | 'aborted';
}

/** Everything in the order in which it was appended. */
class FarSide {
  readonly log: { readonly offset: number; readonly transaction: Transaction }[] = [];
  readonly staged: { readonly position: number; readonly transaction: Transaction }[] = [];
  readonly committed: Transaction[] = [];
  open = 0;
  mostOpen = 0;

  /** What a read_committed reader has. */
  get read(): number[] {
    return this.log
      .filter(({ transaction }) => transaction.state === 'committed')
      .map(({ offset }) => offset);
  }

  /** Of the committed ones, that which was appended last. */
  get position(): number {
    return (
      this.staged.findLast(({ transaction }) => transaction.state === 'committed')?.position ?? 0
    );
  }
}

async function ticks(random: Random): Promise<void> {
  for (let left = Math.floor(random.next() * 6); left > 0; left--) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A lane whose answers take any time; what it sends arrives at once, as on one connection. */
function laneOf(index: number, far: FarSide, random: Random, fails: () => boolean): Lane {
  let transaction: Transaction | undefined;
  const answer = async (): Promise<void> => {
    await ticks(random);
    if (fails()) throw new GatelogError('UPSTREAM_UNREACHABLE', 'the link broke');
  };
  const ended = (state: 'committed' | 'aborted'): void => {
    if (transaction === undefined) throw new Error('only what was begun is ended');
    transaction.state = state;
    if (state === 'committed') far.committed.push(transaction);
    far.open--;
    transaction = undefined;
  };
  const lane = {
    index,
    transactionalId: `id#${index}`,
    initialise: () => answer(),
    begin: async () => {
      if (transaction !== undefined) throw new Error('one transaction at a time');
      transaction = { offsets: [], position: undefined, state: 'open' };
      far.mostOpen = Math.max(far.mostOpen, ++far.open);
      await answer();
    },
    produce: async (cargo: readonly Cargo[]): Promise<Delivered[]> => {
      const own = transaction as Transaction;
      const delivered = cargo.map((one) => append(one, own, far));
      await answer();
      return delivered;
    },
    stage: async ([one]: readonly StagedPosition[]) => {
      const own = transaction as Transaction;
      if (one !== undefined) far.staged.push({ position: one.offset, transaction: own });
      await answer();
    },
    commit: async () => {
      await ticks(random);
      ended('committed');
      await answer();
    },
    abort: async () => {
      ended('aborted');
      await answer();
    },
    check: async (request: string, code: number) => {
      if (code !== CODE.none) throw new Error(`${request}: ${code}`);
    },
  };
  return lane as unknown as Lane;
}

function append(cargo: Cargo, transaction: Transaction, far: FarSide): Delivered {
  const { records } = decodeCargo(cargo, () => WAY);
  const bad = records.findIndex(({ value }) => String(value) === POISON);
  if (bad < 0) for (const { offset } of records) far.log.push({ offset, transaction });
  const code = bad < 0 ? CODE.none : CODE.invalidRecord;
  const recordErrors = bad < 0 ? [] : [{ index: bad, reason: 'bad' }];
  const { topic, partition } = cargo;
  return {
    cargo,
    answer: {
      topic,
      partition,
      code,
      baseOffset: BigInt(far.log.length),
      recordErrors,
      message: null,
    },
  };
}

interface Rig {
  readonly far: FarSide;
  readonly delivery: ExactlyOnceDelivery;
  readonly quarantined: Rejection[];
}

function rig(random: Random, fails: () => boolean = () => false): Rig {
  const far = new FarSide();
  const quarantined: Rejection[] = [];
  const times = new TimeBounds(systemClock, silentLogger);
  const parts = {
    options: { gateway: 'g', incarnation: 'i', clock: systemClock, logger: silentLogger },
    clusterId: 'c',
    destinations: { ways: new Map([[STREAM, WAY]]), wayOf: () => WAY },
    streams: new Map([[STREAM, { stream: STREAM, topic: 't', partition: 0 }]]),
    encoder: new PieceEncoder(createCompressor('none', undefined), 100_000, times),
    journal: new Journal(new MemoryLog().keyValue),
    quarantine: async (rejected: readonly Rejection[]) => {
      await ticks(random);
      quarantined.push(...rejected);
    },
  } as unknown as DeliveryParts;
  const first = laneOf(1, far, random, fails);
  const ring = new Ring(
    {
      laneOf: (index) => laneOf(index, far, random, fails),
      most: 4,
      onGrown: () => {},
      onRefused: () => {},
      clock: systemClock,
    },
    { first, existing: [], unproven: [] },
  );
  return { far, delivery: new ExactlyOnceDelivery(parts, ring, new Map()), quarantined };
}

function batchesOf(count: number, random: Random, poison: number): Slice[][] {
  let offset = 0;
  return Array.from({ length: count }, () => {
    const size = 1 + Math.floor(random.next() * 4);
    const records = Array.from({ length: size }, () => ({
      offset: offset++,
      timestampMs: 1,
      key: null,
      value: Buffer.from(random.next() < poison ? POISON : 'good'),
      headers: new Uint8Array(0),
    }));
    return [{ stream: STREAM, records }];
  });
}

const seeds = Array.from({ length: 60 }, (_, seed) => seed + 1);

describe('many transactions at once', () => {
  test.each(seeds)('commit the log in order, whatever is refused (seed %i)', async (seed) => {
    const random = seededRandom(seed);
    const { far, delivery, quarantined } = rig(random);
    const batches = batchesOf(40, random, seed % 3 === 0 ? 0 : 0.08);
    const settled: number[] = [];
    const receipts: Promise<unknown>[] = [];
    for (const [index, slices] of batches.entries()) {
      const shipment = await delivery.prepare(slices);
      const receipt = delivery.deliver(shipment, inOrder(slices)).then(() => settled.push(index));
      receipts.push(receipt);
      if (receipts.length >= 5) await receipts[receipts.length - 5];
    }
    await Promise.all(receipts);
    const records = batches.flat().flatMap((slice) => slice.records);
    const bad = records.filter(({ value }) => String(value) === POISON).map(({ offset }) => offset);
    const good = records.map(({ offset }) => offset).filter((offset) => !bad.includes(offset));
    expect(far.read).toEqual(good);
    expect(quarantined.map(({ offset }) => offset)).toEqual(bad);
    expect(far.position).toBe(records.length);
    expect(settled).toEqual(batches.map((_, index) => index));
    expect(far.open).toBe(0);
    expect(far.mostOpen).toBeGreaterThan(1);
  });

  test.each(seeds)('leave a run without a gap when the link breaks (seed %i)', async (seed) => {
    const random = seededRandom(1000 + seed);
    const breaksAfter = Math.floor(random.next() * 200);
    let answers = 0;
    const { far, delivery } = rig(random, () => ++answers > breaksAfter);
    const batches = batchesOf(40, random, 0.05);
    const outcomes: Promise<boolean>[] = [];
    for (const slices of batches) {
      const shipment = await delivery.prepare(slices);
      const outcome = delivery.deliver(shipment, inOrder(slices)).then(
        () => true,
        () => false,
      );
      outcomes.push(outcome);
      if (outcomes.length >= 5) await outcomes[outcomes.length - 5];
    }
    const confirmed = (await Promise.all(outcomes)).lastIndexOf(true) + 1;
    // When one fails every later one does.
    expect((await Promise.all(outcomes)).slice(0, confirmed)).not.toContain(false);
    const bad = (record: { value: Uint8Array | null }): boolean => String(record.value) === POISON;
    const within = (count: number): number[] =>
      batches
        .slice(0, count)
        .flat()
        .flatMap((slice) => slice.records)
        .filter((record) => !bad(record))
        .map(({ offset }) => offset);
    // One more may have been committed without our hearing of it.
    const possible = [within(confirmed), within(confirmed + 1)];
    expect(possible).toContainEqual(far.read);
    const lengths = [confirmed, confirmed + 1].map(
      (count) =>
        batches
          .slice(0, count)
          .flat()
          .flatMap((slice) => slice.records).length,
    );
    expect(lengths).toContain(far.position);
  });
});

test('a new id is used only after the first one proved that it is still ours', async () => {
  const random = seededRandom(1);
  const far = new FarSide();
  const events: string[] = [];
  const spied = (index: number): Lane => {
    const lane = laneOf(index, far, random, () => false);
    const told = (what: 'initialise' | 'begin' | 'commit'): void => {
      const original = lane[what].bind(lane);
      lane[what] = async () => {
        events.push(`${what} ${index}`);
        await original([]);
        events.push(`${what} ${index} done`);
      };
    };
    told('initialise');
    told('begin');
    told('commit');
    return lane;
  };
  const grown: number[] = [];
  const onGrown = (index: number): void => void grown.push(index);
  const ring = new Ring(
    { laneOf: spied, most: 2, onGrown, onRefused: () => {}, clock: systemClock },
    {
      first: spied(1),
      existing: [],
      unproven: [],
    },
  );
  for (let round = 0; round < 6; round++) {
    const lanes = [ring.take(), ring.take()];
    const one = await Promise.race(lanes);
    await one.begin([]);
    await ring.commit(one);
    ring.give(one);
    const other = await lanes[1];
    await other?.begin([]);
    await ring.commit(other as Lane);
    ring.give(other as Lane);
  }
  const initialised = events.indexOf('initialise 2 done');
  const used = events.indexOf('begin 2');
  expect(initialised).toBeGreaterThan(0);
  expect(used).toBeGreaterThan(initialised);
  const proof = events.indexOf('commit 1', initialised);
  expect(events.slice(proof, used)).toContain('commit 1 done');
  expect(grown).toEqual([2]);
});
