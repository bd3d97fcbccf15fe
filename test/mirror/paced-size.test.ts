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
}

/** Batches over a link, one after the other as far as it is concerned. */
class Line {
  readonly size: PacedSize;
  #nowMs = 0;

  constructor() {
    this.size = new PacedSize({ smallest: 8 * KIB, largest: () => 6 * MIB, isPrompt: false });
  }

  carry(
    { bytesPerSecond, idleMs, lateMs = 0 }: Link,
    { batches = 1, bytes = this.size.bytes, isFull = true } = {},
  ): void {
    for (let count = 0; count < batches; count++) {
      const busyMs = (bytes / bytesPerSecond) * 1000;
      // What is late is late for all that travel together.
      this.#nowMs += Math.max(busyMs, lateMs / this.size.window);
      const batch = { slices: [], gaps: [], records: 1, bytes };
      const [leastMs, mostMs] = [busyMs, busyMs + lateMs];
      this.size.follow({ leastMs, mostMs, idleMs, answeredMs: this.#nowMs }, { batch, isFull });
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
  expect(line.size.window).toBe(window);
});

test('without a backlog one batch is under way, and the next gathers', () => {
  const line = new Line();
  const link = { bytesPerSecond: 200 * MIB, idleMs: 1800 };
  line.carry(link, { batches: 12 });
  expect(line.size.window).toBe(MIRROR_LIMITS.window);
  line.carry(link, { bytes: 300, isFull: false });
  expect(line.size.window).toBe(1);
  expect(line.size.bytes).toBe(6 * MIB);
  line.carry({ bytesPerSecond: 100, idleMs: 1800 }, { bytes: 300, isFull: false });
  expect(line.size.bytes).toBe(8 * KIB);
});
