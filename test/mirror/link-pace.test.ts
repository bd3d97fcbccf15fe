import { expect, test } from 'vitest';
import { MIRROR_LIMITS } from '../../src/mirror-limits.ts';
import { BatchSize } from '../../src/mirror/batch-size.ts';
import { Pace } from '../../src/mirror/kafka/pace.ts';
import { seededRandom } from '../../src/random.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { SimClock } from '../support/sim-clock.ts';

/**
 * Sizes and numbers of transactions on simulated links: a line with a rate, a round trip, and loss
 * that makes what follows it late. Real links: `npm run bench:link`.
 */
interface SimulatedLink {
  readonly name: string;
  readonly bytesPerSecond: number;
  readonly roundTripMs: number;
  readonly loss: number;
  /** Of the line, at least, once sizes have settled. */
  readonly filled: number;
}

const SEGMENT = 1448;
/** Bytes as read for one on the line. */
const RATIO = 4;
const BROKER_MS = 8;
const MIB = 1_048_576;

const LINKS: readonly SimulatedLink[] = [
  {
    name: '10 Mbit/s, 600 ms, 2 %',
    bytesPerSecond: 1_250_000,
    roundTripMs: 600,
    loss: 0.02,
    filled: 0.85,
  },
  { name: '10 Mbit/s, 600 ms', bytesPerSecond: 1_250_000, roundTripMs: 600, loss: 0, filled: 0.9 },
  { name: '64 kbit/s, 600 ms', bytesPerSecond: 8000, roundTripMs: 600, loss: 0, filled: 0.85 },
  {
    name: '64 kbit/s, 100 ms, 2 %',
    bytesPerSecond: 8000,
    roundTripMs: 100,
    loss: 0.02,
    filled: 0.85,
  },
  {
    name: '1 Mbit/s, 200 ms, 5 %',
    bytesPerSecond: 125_000,
    roundTripMs: 200,
    loss: 0.05,
    filled: 0.85,
  },
  { name: '50 Mbit/s, 100 ms', bytesPerSecond: 6_250_000, roundTripMs: 100, loss: 0, filled: 0.8 },
];

interface Run {
  readonly filled: number;
  /** Longest that a transaction was open. */
  readonly openMs: number;
  /** Most that was under way, by what the line needs for it. */
  readonly underWayMs: number;
}

async function run(link: SimulatedLink): Promise<Run> {
  const { bytesPerSecond, roundTripMs, loss } = link;
  const clock = new SimClock();
  const random = seededRandom(3);
  const pace = new Pace(clock);
  const size = new BatchSize(
    { maxBytes: 6 * MIB, maxRecords: 1e9 },
    { name: 'm', logger: silentLogger },
  );
  size.begin();
  let [lineFreeMs, arrivedMs, settledBytes, underWay, underWayBytes] = [0, 0, 0, 0, 0];
  let [openMs, underWayMs] = [0, 0];
  let free = MIRROR_LIMITS.kafkaLanes;
  let lastSent = Promise.resolve();
  let lastCommitted = Promise.resolve();
  let changed = Promise.withResolvers<void>();
  const notify = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const until = async (reached: () => boolean): Promise<void> => {
    while (!reached()) await changed.promise;
  };
  const trip = (): Promise<void> => clock.sleep(roundTripMs + BROKER_MS);

  const carry = async (wire: number): Promise<void> => {
    const segments = Math.ceil(wire / SEGMENT);
    let lastMs = 0;
    for (let index = 0; index < segments; index++) {
      const takesMs = (Math.min(SEGMENT, wire) / bytesPerSecond) * 1000;
      const isLost = random.next() < loss;
      lineFreeMs = Math.max(lineFreeMs, clock.monotonicMs()) + (isLost ? 2 : 1) * takesMs;
      arrivedMs = Math.max(arrivedMs, lineFreeMs + roundTripMs / 2 + (isLost ? roundTripMs : 0));
      lastMs = arrivedMs;
    }
    await clock.sleep(lastMs + roundTripMs / 2 + BROKER_MS - clock.monotonicMs());
  };

  const fly = async (bytes: number): Promise<void> => {
    const [before, committed] = [lastSent, lastCommitted];
    const sent = Promise.withResolvers<void>();
    const done = Promise.withResolvers<void>();
    [lastSent, lastCommitted] = [sent.promise, done.promise];
    await until(() => free > 0);
    free--;
    const begunMs = clock.monotonicMs();
    await pace.ofSmall(trip());
    await before;
    const timed = pace.ofBatch(carry(bytes / RATIO));
    sent.resolve();
    const told = await timed;
    await committed;
    await trip();
    free++;
    openMs = Math.max(openMs, clock.monotonicMs() - begunMs);
    const batch = { slices: [], gaps: [], records: 1, bytes };
    size.follow(told, { batch, isFull: true });
    underWay--;
    underWayBytes -= bytes;
    settledBytes += bytes;
    done.resolve();
    notify();
  };

  const pump = async (): Promise<void> => {
    for (;;) {
      await until(() => underWay < size.window);
      underWay++;
      underWayBytes += size.maxBytes;
      underWayMs = Math.max(underWayMs, (underWayBytes / RATIO / bytesPerSecond) * 1000);
      void fly(size.maxBytes);
    }
  };
  void pump();
  await clock.advance(40_000);
  const before = settledBytes;
  await clock.advance(60_000);
  const filled = (settledBytes - before) / RATIO / (60 * bytesPerSecond);
  return { filled, openMs, underWayMs };
}

test.each(LINKS)('$name: filled, and nothing under way for long', async (link) => {
  const { filled, openMs, underWayMs } = await run(link);
  expect(filled).toBeGreaterThanOrEqual(link.filled);
  expect(openMs).toBeLessThan(7000);
  expect(underWayMs).toBeLessThan(7000);
});
