import { expect, test } from 'vitest';
import { MIRROR_LIMITS } from '../../src/mirror-limits.ts';
import { PacedSize } from '../../src/mirror/paced-size.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

interface Link {
  /** Bytes as read. */
  readonly bytesPerSecond: number;
  readonly idleMs: number;
  /** Of every batch, whatever its size. */
  readonly lateMs?: number;
  /** Of what a batch may be under way, for so long each of those that travel is. */
  readonly longShare?: number;
}

/** Batches over a link, one after the other as far as it is concerned. */
class Line {
  readonly size: PacedSize;
  #nowMs = 0;

  constructor(largest = 6 * MIB, underWayBytes?: number) {
    const bounds = { smallest: 8 * KIB, largest: () => largest, underWayBytes };
    this.size = new PacedSize({ ...bounds, isPrompt: false });
  }

  carry(
    { bytesPerSecond, idleMs, lateMs = 0, longShare = 0 }: Link,
    { batches = 1, bytes = this.size.bytes, isFull = true } = {},
  ): void {
    for (let count = 0; count < batches; count++) {
      const busyMs = (bytes / bytesPerSecond) * 1000;
      // What is late is late for all that travel together.
      this.#nowMs += Math.max(busyMs, lateMs / this.size.window);
      const batch = { slices: [], gaps: [], records: 1, bytes };
      const [leastMs, mostMs] = [busyMs, busyMs + lateMs];
      const pace = {
        leastMs,
        mostMs,
        idleMs,
        tripMs: idleMs / 3,
        isAlone: false,
        underWayMs: longShare * this.size.window,
        tooLongMs: 1,
      };
      this.size.follow({ ...pace, answeredMs: this.#nowMs }, { batch, isFull });
      bytes = this.size.bytes;
    }
  }
}

test.each([
  ['64 kbit/s', 32 * KIB, 1800],
  ['10 Mbit/s', 5 * MIB, 1800],
  ['1 Mbit/s, near', 512 * KIB, 60],
])('each batch keeps the link busy for a while: %s', (_what, bytesPerSecond, idleMs) => {
  const line = new Line();
  expect(line.size.bytes).toBe(MIRROR_LIMITS.startBytes);
  line.carry({ bytesPerSecond, idleMs }, { batches: 60 });
  const carryMs = (line.size.bytes / bytesPerSecond) * 1000;
  // A larger one may just be tried.
  expect(carryMs).toBeLessThanOrEqual(MIRROR_LIMITS.carryMs * 2.6);
  expect(carryMs).toBeGreaterThanOrEqual(MIRROR_LIMITS.carryMs / 2);
  expect(line.size.window * carryMs).toBeGreaterThanOrEqual((carryMs + idleMs) * 0.9);
  expect(line.size.window).toBeLessThanOrEqual(MIRROR_LIMITS.window);
});

test('a fast link gets the configured size, and three at once', () => {
  const line = new Line();
  line.carry({ bytesPerSecond: 200 * MIB, idleMs: 9 }, { batches: 12 });
  expect(line.size.bytes).toBe(6 * MIB);
  expect(line.size.window).toBe(3);
});

test('batches that are late whatever their size do not become smaller for good', () => {
  const line = new Line();
  line.carry({ bytesPerSecond: 200 * MIB, idleMs: 1800, lateMs: 6000 }, { batches: 300 });
  expect(line.size.bytes).toBeGreaterThanOrEqual(3 * MIB);
});

test('a link that becomes slow is followed, whatever the size before', () => {
  const line = new Line();
  line.carry({ bytesPerSecond: 200 * MIB, idleMs: 9 }, { batches: 12 });
  const bytesPerSecond = 512 * KIB;
  line.carry({ bytesPerSecond, idleMs: 60 }, { batches: 30 });
  expect((line.size.bytes / bytesPerSecond) * 1000).toBeLessThan(MIRROR_LIMITS.carryMs * 2);
});

test('the size does not grow by batches that were read before it grew', () => {
  const line = new Line();
  const bytes = line.size.bytes;
  for (let count = 0; count < 3; count++)
    line.carry({ bytesPerSecond: 200 * MIB, idleMs: 1800 }, { bytes });
  expect(line.size.bytes).toBe(bytes * MIRROR_LIMITS.growth);
});

test('batches that are small for other reasons are no reason to send fewer, or others', () => {
  const line = new Line();
  const link = { bytesPerSecond: 200 * MIB, idleMs: 1800 };
  line.carry(link, { batches: 12 });
  const { bytes, window } = line.size;
  for (let count = 0; count < 60; count++) line.carry(link, { bytes: 100 * KIB });
  expect(line.size.bytes).toBe(bytes);
  expect(line.size.window).toBeGreaterThanOrEqual(window);
});

test('so many travel at once as are not under way for too long', () => {
  const line = new Line();
  const link = { bytesPerSecond: 200 * MIB, idleMs: 1800 };
  line.carry({ ...link, longShare: 0.2 }, { batches: 200 });
  expect(line.size.window).toBeGreaterThanOrEqual(4);
  expect(line.size.window).toBeLessThanOrEqual(5);
  line.carry({ ...link, longShare: 0.32 }, { batches: 100 });
  expect(line.size.window).toBeLessThanOrEqual(3);
  line.carry(link, { batches: 100 });
  expect(line.size.window).toBe(MIRROR_LIMITS.window);
});

test('without a backlog one batch is under way, and the next gathers', () => {
  const line = new Line();
  const link = { bytesPerSecond: 200 * MIB, idleMs: 1800 };
  line.carry(link, { batches: 60 });
  expect(line.size.window).toBe(MIRROR_LIMITS.window);
  line.carry(link, { bytes: 300, isFull: false });
  expect(line.size.window).toBe(1);
  expect(line.size.bytes).toBe(6 * MIB);
  line.carry({ bytesPerSecond: 100, idleMs: 1800 }, { bytes: 300, isFull: false });
  expect(line.size.bytes).toBe(8 * KIB);
});

test('where memory is little, less is under way, on a link that would carry more', () => {
  const { smallBatchBytes, smallUnderWayBytes } = MIRROR_LIMITS;
  const line = new Line(smallBatchBytes, smallUnderWayBytes);
  line.carry({ bytesPerSecond: 200 * MIB, idleMs: 1800 }, { batches: 200 });
  expect(line.size.bytes).toBe(smallBatchBytes);
  expect(line.size.window).toBe(smallUnderWayBytes / smallBatchBytes);
});
