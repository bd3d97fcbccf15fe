import { describe, expect, test } from 'vitest';
import { type Coverage, upTo } from '../../../src/coverage.ts';
import { GatelogError } from '../../../src/errors.ts';
import { formatIdentity } from '../../../src/identity.ts';
import { CODE } from '../../../src/mirror/kafka/codes.ts';
import { createCompressor } from '../../../src/mirror/kafka/compressor.ts';
import type { DeliveryParts } from '../../../src/mirror/kafka/delivery-parts.ts';
import {
  isInDoubt,
  type Outcome,
  positionsAfterDoubt,
  requireOwnRecords,
} from '../../../src/mirror/kafka/doubt.ts';
import { type Cargo, PieceEncoder } from '../../../src/mirror/kafka/encode.ts';
import { ExactlyOnceDelivery } from '../../../src/mirror/kafka/exactly-once.ts';
import { Journal } from '../../../src/mirror/kafka/journal.ts';
import type { Lane } from '../../../src/mirror/kafka/lane.ts';
import { identityBytes } from '../../../src/mirror/kafka/plan.ts';
import { sentUnderOtherNames } from '../../../src/mirror/kafka/other-books.ts';
import { Ring } from '../../../src/mirror/kafka/ring.ts';
import type { Delivered } from '../../../src/mirror/kafka/rounds.ts';
import { TimeBounds } from '../../../src/mirror/kafka/time-bounds.ts';
import type { StagedPosition } from '../../../src/mirror/kafka/transaction.ts';
import type { MirrorStream } from '../../../src/mirror/upstream.ts';
import { type Random, seededRandom } from '../../../src/random.ts';
import { type StreamId, streamId } from '../../../src/record.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';
import { MemoryLog } from '../../support/memory-log.ts';

/**
 * Whatever a session sends (records, or only positions that pass over what had expired, was lost or
 * skipped) and wherever it breaks off, our own books say of every position of the far side that it is ours.
 */
const STREAMS: readonly MirrorStream[] = [0, 1, 2].map((index) => ({
  stream: streamId(index),
  topic: `topic-${index}`,
  partition: 0,
  had: upTo(0),
}));

/** Of each stream: which offsets a read_committed reader has, and the position. */
class FarSide {
  readonly positions = new Map<number, number>();
  readonly offsets = new Map<string, number[]>();
  commits = 0;
  /** EndTxn of this number is not answered. */
  breaksAt = Number.POSITIVE_INFINITY;
  /** Whether that one arrived. */
  arrives = true;

  lane(): Lane {
    let staged: readonly StagedPosition[] = [];
    let sent: readonly Cargo[] = [];
    const lane = {
      index: 1,
      transactionalId: 'id',
      begin: () => Promise.resolve(),
      produce: (cargo: readonly Cargo[]): Promise<Delivered[]> => {
        sent = cargo;
        return Promise.resolve(cargo.map((one) => ({ cargo: one, answer: answerTo(one) })));
      },
      stage: (positions: readonly StagedPosition[]) => {
        staged = positions;
        return Promise.resolve();
      },
      commit: () => {
        const isLast = ++this.commits === this.breaksAt;
        if (!isLast || this.arrives) this.#take(sent, staged);
        const lost = new GatelogError('UPSTREAM_UNREACHABLE', 'the answer to EndTxn was lost');
        return isLast ? Promise.reject(lost) : Promise.resolve();
      },
    };
    return lane as unknown as Lane;
  }

  #take(sent: readonly Cargo[], staged: readonly StagedPosition[]): void {
    for (const { first, batch } of sent) {
      const known = this.offsets.get(first.way.topic) ?? [];
      const more = Array.from({ length: batch.records }, (_, index) => first.offset + index);
      this.offsets.set(first.way.topic, [...known, ...more]);
    }
    for (const { index, offset } of staged) this.positions.set(index, offset);
  }
}

function answerTo({ topic, partition, first }: Cargo): Delivered['answer'] {
  const baseOffset = BigInt(first.offset);
  return { topic, partition, code: CODE.none, baseOffset, recordErrors: [], message: null };
}

function wayOf({ stream, topic }: MirrorStream) {
  const identity = identityBytes({ gateway: 'g', incarnation: 'i', topic, partition: 0 });
  return { stream, topic, partition: 0, centralTopic: topic, centralPartitions: 1, identity };
}

function deliveryTo(far: FarSide, journal: Journal): ExactlyOnceDelivery {
  const ways = new Map(STREAMS.map((at) => [at.stream, wayOf(at)]));
  const times = new TimeBounds(systemClock, silentLogger);
  const parts = {
    options: { gateway: 'g', incarnation: 'i', clock: systemClock, logger: silentLogger },
    clusterId: 'c',
    destinations: { ways },
    streams: new Map(STREAMS.map((at) => [at.stream, at])),
    encoder: new PieceEncoder(createCompressor('none', undefined), 100_000, times),
    journal,
  } as unknown as DeliveryParts;
  const lane = far.lane();
  const none = (): void => {};
  const rest = { laneOf: () => lane, most: 1, onGrown: none, onRefused: none, clock: systemClock };
  return new ExactlyOnceDelivery(
    parts,
    new Ring(rest, { first: lane, existing: [], unproven: [] }),
    new Map([...far.positions].map(([stream, next]) => [streamId(stream), upTo(next)])),
  );
}

interface Batch {
  readonly slices: { readonly stream: StreamId; readonly records: ReturnType<typeof record>[] }[];
  readonly after: Map<StreamId, Coverage>;
}

function record(offset: number) {
  const value = Buffer.from('x');
  return { offset, timestampMs: 1, key: null, value, headers: new Uint8Array(0) };
}

/** Of some streams: some records, and then some that are passed over; either may be none. */
function batchAt(next: Map<StreamId, number>, random: Random): Batch {
  const batch: Batch = { slices: [], after: new Map() };
  for (const { stream } of STREAMS) {
    const [records, passed] = [0, 1].map(() => Math.max(0, Math.floor(random.next() * 6) - 2));
    const from = next.get(stream) ?? 0;
    const to = from + (records ?? 0);
    if (to > from) {
      const offsets = Array.from({ length: to - from }, (_, index) => from + index);
      batch.slices.push({ stream, records: offsets.map(record) });
    }
    const end = to + (passed ?? 0);
    if (end === from) continue;
    next.set(stream, end);
    batch.after.set(stream, upTo(end));
  }
  return batch;
}

/** Sends batches until the far side breaks off. */
async function send(far: FarSide, journal: Journal, random: Random): Promise<Batch[]> {
  const delivery = deliveryTo(far, journal);
  const next = new Map<StreamId, number>();
  const batches: Batch[] = [];
  for (;;) {
    const batch = batchAt(next, random);
    if (batch.after.size === 0) continue;
    batches.push(batch);
    const shipment = await delivery.prepare(batch.slices);
    const isOver = await delivery.deliver(shipment, batch.after).then(
      () => false,
      () => true,
    );
    if (isOver) return batches;
  }
}

/** By the records themselves, as doubt.ts finds it. */
function outcomeAt(far: FarSide, witnesses: readonly { readonly identity: string }[]): Outcome {
  if (witnesses.length === 0) return 'unknown';
  const there = new Set(
    [...far.offsets].flatMap(([topic, offsets]) =>
      offsets.map((offset) =>
        formatIdentity({ gateway: 'g', incarnation: 'i', topic, partition: 0, offset }),
      ),
    ),
  );
  return witnesses.some(({ identity }) => there.has(identity)) ? 'committed' : 'aborted';
}

const seeds = Array.from({ length: 120 }, (_, seed) => seed + 1);

describe('when the answer to the last EndTxn is lost', () => {
  test.each(seeds)('our books have every position of the far side (seed %i)', async (seed) => {
    const random = seededRandom(seed);
    const far = new FarSide();
    far.breaksAt = 1 + Math.floor(random.next() * 5);
    const journal = new Journal(new MemoryLog().keyValue);
    await send(far, journal, random);
    const entry = await journal.read();
    expect(entry).toBeDefined();
    if (entry === undefined) return;
    // No local position was stored since the session began.
    for (const at of STREAMS) {
      const position = upTo(far.positions.get(at.stream) ?? 0);
      expect(() => requireOwnRecords({ gateway: 'g' }, at, position, entry)).not.toThrow();
    }
  });

  test.each(seeds)('a far side that forgot them gets nothing twice (seed %i)', async (seed) => {
    const random = seededRandom(seed);
    const far = new FarSide();
    far.breaksAt = 1 + Math.floor(random.next() * 5);
    far.arrives = random.next() < 0.5;
    const journal = new Journal(new MemoryLog().keyValue);
    const batches = await send(far, journal, random);
    const entry = await journal.read();
    if (entry === undefined) throw new Error('there is an entry');
    // Each stream's position is forgotten on its own.
    const local = new Map(STREAMS.slice(seed % 3).map(({ stream }) => [stream, upTo(0)]));
    const outcome = isInDoubt(entry, local) ? outcomeAt(far, entry.witnesses) : 'aborted';
    const found = positionsAfterDoubt(outcome, entry, local, 'stop');
    for (const [stream, had] of found) {
      const sent = far.offsets.get(`topic-${stream}`) ?? [];
      expect(sent.filter((offset) => offset >= had.next)).toEqual([]);
      const passed = batches
        .flatMap(({ slices }) => slices)
        .filter((slice) => slice.stream === stream)
        .flatMap(({ records }) => records.map(({ offset }) => offset))
        .filter((offset) => offset < had.next);
      expect(sent).toEqual(passed);
    }
  });
});

test('a session keeps the word of what the one before it left in doubt', async () => {
  const far = new FarSide();
  const journal = new Journal(new MemoryLog().keyValue);
  // Two sessions, of each of which the only answer is lost, about different streams.
  for (const stream of [streamId(0), streamId(1)]) {
    far.breaksAt = far.commits + 1;
    const delivery = deliveryTo(far, journal);
    const shipment = await delivery.prepare([{ stream, records: [record(0)] }]);
    await delivery.deliver(shipment, new Map([[stream, upTo(1)]])).catch(() => {});
  }
  const entry = await journal.read();
  if (entry === undefined) throw new Error('there is an entry');
  for (const at of STREAMS.slice(0, 2))
    expect(() => requireOwnRecords({ gateway: 'g' }, at, upTo(1), entry)).not.toThrow();
});

test('positions alone that are no news leave the word of the transaction before', async () => {
  const far = new FarSide();
  const journal = new Journal(new MemoryLog().keyValue);
  const delivery = deliveryTo(far, journal);
  const stream = streamId(0);
  const shipment = await delivery.prepare([{ stream, records: [record(0)] }]);
  await delivery.deliver(shipment, new Map([[stream, upTo(1)]]));
  const before = await journal.read();
  expect(before?.witnesses).toHaveLength(1);
  await delivery.commitPositions(new Map([[stream, upTo(1)]]));
  expect(await journal.read()).toEqual(before);
});

const AT = { stream: streamId(7), topic: 'telemetry', partition: 0 };

test('without a journal the local position alone says what is ours', () => {
  const of = { ...AT, had: upTo(20) };
  expect(() => requireOwnRecords({ gateway: 'g' }, of, upTo(20), undefined)).not.toThrow();
  expect(() => requireOwnRecords({ gateway: 'g' }, of, upTo(21), undefined)).toThrow(
    'up to 21, but this data folder has sent it up to 20 only',
  );
});

test('a mirror of another name has the books of what was sent under its old one', async () => {
  const othersOf = (next: number) => new Map([[AT.stream, upTo(next)]]);
  const journalOf = async (cluster: string, confirmed: number) => {
    const journal = new MemoryLog().keyValue;
    const entry = { clusterId: cluster, ranges: [], after: new Map(), witnesses: [] };
    await new Journal(journal).rememberCluster(cluster);
    await new Journal(journal).write({ ...entry, confirmed: othersOf(confirmed) });
    return journal;
  };
  const here = { journal: await journalOf('c', 20), positions: othersOf(15) };
  const elsewhere = { journal: await journalOf('d', 90), positions: othersOf(90) };
  const never = { journal: new MemoryLog().keyValue, positions: othersOf(90) };
  expect(await sentUnderOtherNames('c', [elsewhere, here, never])).toEqual(othersOf(20));
});
