import { expect, test } from 'vitest';
import { MIRROR_LIMITS } from '../../src/mirror-limits.ts';
import { KAFKA_DEFAULTS } from '../../src/mirror/kafka/options.ts';
import { PacedSize } from '../../src/mirror/paced-size.ts';
import { type LinkOptions, SimulatedLink } from '../support/simulated-link.ts';

/**
 * Sizes and numbers of transactions on simulated links: a line with a rate, a round trip, and loss
 * that makes what follows it late. Real ones: `npm run bench:link`.
 */
interface Case extends LinkOptions {
  readonly name: string;
  /** Of the line, at least, once sizes have settled. */
  readonly filled: number;
}

const MIB = 1_048_576;

const LINKS: readonly Case[] = [
  {
    name: '10 Mbit/s, 600 ms, 2 %',
    bytesPerSecond: 1_250_000,
    roundTripMs: 600,
    loss: 0.02,
    filled: 0.85,
  },
  {
    name: '10 Mbit/s, 600 ms, 2 %, large commits, brokers that take their time',
    bytesPerSecond: 1_250_000,
    roundTripMs: 600,
    loss: 0.02,
    commitBytes: 860_000,
    brokerMs: 50,
    ratio: 6.1,
    filled: 0.85,
  },
  {
    name: '10 Mbit/s, 1200 ms, 1 %, with the longer timeout that it comes to',
    bytesPerSecond: 1_250_000,
    roundTripMs: 1200,
    loss: 0.01,
    timeoutMs: 10_000,
    filled: 0.75,
  },
  { name: '10 Mbit/s, 600 ms', bytesPerSecond: 1_250_000, roundTripMs: 600, loss: 0, filled: 0.9 },
  { name: '64 kbit/s, 600 ms', bytesPerSecond: 8000, roundTripMs: 600, loss: 0, filled: 0.75 },
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
  { name: '50 Mbit/s, 100 ms', bytesPerSecond: 6_250_000, roundTripMs: 100, loss: 0, filled: 0.9 },
];

interface Run {
  readonly filled: number;
  /** For how long transactions were open: the one in the middle, and the longest but one in a hundred. */
  readonly openMs: number;
  readonly longMs: number;
  readonly size: PacedSize;
}

async function run(link: LinkOptions, isPrompt = false): Promise<Run> {
  const sim = new SimulatedLink(link, MIRROR_LIMITS.kafkaLanes);
  const size = new PacedSize({ smallest: 8192, largest: () => 6 * MIB, isPrompt });
  void sim.run(size);
  await sim.clock.advance(100_000);
  const settled = sim.carried.filter(({ atMs }) => atMs >= 40_000);
  const bytes = settled.reduce((sum, { wireBytes }) => sum + wireBytes, 0);
  const open = settled.map(({ openMs }) => openMs).toSorted((a, b) => a - b);
  const [openMs = 0, longMs = 0] = [0.5, 0.99].map(
    (share) => open[Math.floor(open.length * share)],
  );
  return { filled: bytes / (60 * link.bytesPerSecond), openMs, longMs, size };
}

test.each(LINKS)('$name: filled, and nothing open for long', async (link) => {
  const { filled, openMs, longMs } = await run(link);
  expect(filled).toBeGreaterThanOrEqual(link.filled);
  const { timeoutMs = KAFKA_DEFAULTS.transactionTimeoutMs } = link;
  // For the broker it is open from the arrival of its beginning to that of its end: a round trip less.
  expect(openMs - link.roundTripMs).toBeLessThan(timeoutMs * 0.95);
  // The broker looks for those over time every 10 s only: a rare one that is a little late gets through.
  expect(longMs).toBeLessThan(timeoutMs * 1.35);
});

test('64 kbit/s, where something may have to overtake: still filled well, and open for less', async () => {
  const link = { bytesPerSecond: 8000, roundTripMs: 600, loss: 0 };
  const [prompt, other] = [await run(link, true), await run(link)];
  expect(prompt.filled).toBeGreaterThanOrEqual(0.55);
  expect(prompt.longMs).toBeLessThan(other.longMs);
});

test('a broker that answers late does not make batches ever smaller', async () => {
  const { size } = await run({ bytesPerSecond: 1e8, roundTripMs: 1, loss: 0, brokerMs: 1500 });
  expect(size.bytes).toBe(6 * MIB);
});
