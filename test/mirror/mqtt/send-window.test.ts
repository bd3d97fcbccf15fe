import { describe, expect, test } from 'vitest';
import { type Flight, SendWindow } from '../../../src/mirror/mqtt/send-window.ts';
import { MIRROR_LIMITS } from '../../../src/mirror-limits.ts';

interface Link {
  readonly rttMs: number;
  readonly bytesPerSecond: number;
}

interface Drained {
  /** Part of what the link carries, over the last half. */
  readonly filled: number;
  /** How long the worst packet of the last half waited behind others. */
  readonly queuedMs: number;
  readonly mostBytes: number;
}

/** A link with one queue, an endless backlog of packets of that size, and answers without a size. */
function drain(link: Link, packetBytes: number, forMs: number, packets = 10_000): Drained {
  const window = new SendWindow({ packets });
  const flights: { flight: Flight; answeredMs: number; queuedMs: number }[] = [];
  let nowMs = 0;
  let freeMs = 0;
  let inFlight = 0;
  let mostBytes = 0;
  let queuedMs = 0;
  let late = 0;
  while (nowMs < forMs) {
    while (window.hasRoom) {
      const flight = window.sent(packetBytes, nowMs);
      const startsMs = Math.max(freeMs, nowMs);
      freeMs = startsMs + (packetBytes / link.bytesPerSecond) * 1000;
      flights.push({ flight, answeredMs: freeMs + link.rttMs, queuedMs: startsMs - nowMs });
      inFlight += packetBytes;
    }
    mostBytes = Math.max(mostBytes, inFlight);
    const first = flights.shift();
    if (first === undefined) break;
    nowMs = first.answeredMs;
    inFlight -= packetBytes;
    window.answered(first.flight, nowMs);
    if (nowMs < forMs / 2) continue;
    late += packetBytes;
    queuedMs = Math.max(queuedMs, first.queuedMs);
  }
  return { filled: late / ((forMs / 2 / 1000) * link.bytesPerSecond), queuedMs, mostBytes };
}

describe('an endless backlog', () => {
  test.each([
    ['satellite', { rttMs: 600, bytesPerSecond: 1_250_000 }, 300],
    ['LTE in a tunnel', { rttMs: 300, bytesPerSecond: 25_000 }, 300],
    ['64 kbit/s', { rttMs: 100, bytesPerSecond: 8000 }, 300],
    ['64 kbit/s over a satellite', { rttMs: 600, bytesPerSecond: 8000 }, 1000],
    ['LAN', { rttMs: 1, bytesPerSecond: 12_500_000 }, 300],
  ] as const)('%s: the link is filled, and hardly more than that', (_name, link, packetBytes) => {
    const { filled, queuedMs } = drain(link, packetBytes, 120_000);
    expect(filled).toBeGreaterThan(0.85);
    // Twice the allowed queue, or the few packets that may always be out.
    const packetMs = (packetBytes / link.bytesPerSecond) * 1000;
    const floorMs = (MIRROR_LIMITS.mqttWindowBytesMin / link.bytesPerSecond) * 1000;
    const allowedMs = 2 * Math.max(MIRROR_LIMITS.mqttQueueMs, link.rttMs / 2);
    expect(queuedMs).toBeLessThan(Math.max(allowedMs * 1.5, floorMs) + packetMs);
  });
});

test('the first window is small: no burst onto a link that is not known', () => {
  const window = new SendWindow({ packets: 10_000 });
  let sent = 0;
  while (window.hasRoom) {
    window.sent(300, 0);
    sent += 300;
  }
  expect(sent).toBeLessThanOrEqual(MIRROR_LIMITS.mqttWindowBytesFirst + 300);
});

test('the far side’s Receive Maximum bounds it, whatever the link would take', () => {
  const { mostBytes } = drain({ rttMs: 600, bytesPerSecond: 1_250_000 }, 300, 10_000, 20);
  expect(mostBytes).toBe(20 * 300);
});

test('two packets may be out however large they are', () => {
  const window = new SendWindow({ packets: 10 });
  window.sent(5_000_000, 0);
  expect(window.hasRoom).toBe(true);
  window.sent(5_000_000, 0);
  expect(window.hasRoom).toBe(false);
});

test('a way that becomes longer is not taken for a queue for ever', () => {
  const window = new SendWindow({ packets: 10_000 });
  let nowMs = 0;
  const round = (rttMs: number): void => {
    const flights: Flight[] = [];
    while (window.hasRoom) flights.push(window.sent(1000, nowMs));
    nowMs += rttMs;
    for (const flight of flights) window.answered(flight, nowMs);
  };
  for (let count = 0; count < 20; count++) round(20);
  const before = window.bytes;
  for (let count = 0; count < 400; count++) round(700);
  expect(window.bytes).toBeGreaterThan(before / 4);
});
