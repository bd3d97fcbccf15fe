import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { must } from '../../src/assert.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import { createMqttUpstream } from '../../src/mirror/mqtt/mqtt-upstream.ts';
import { OwnRecords } from '../../src/mirror/mqtt/own-records.ts';
import { LinkPolicy } from '../../src/mirror/policy/link-policy.ts';
import { encodeHeaders } from '../../src/headers.ts';
import { systemRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { until } from '../support/hunt/wait.ts';
import { handshakesOf } from '../support/handshakes.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { startVeth, type Veth } from '../support/veth.ts';
import { memorySpace } from '../mirror/policy/memory-space.ts';

/** What a mirror books as gone over its link, held against what the interface has counted. */
const OFF = 0.02;

let veth: Veth;
let mosquitto: Mosquitto;
let log: MemoryLog;
let stream: StreamId;
let mirror: Mirror;

beforeEach(async () => {
  veth = await startVeth();
  mosquitto = await startMosquitto({ at: veth.far });
  log = new MemoryLog();
  stream = must(log.topic('telemetry').streams[0], 'a topic has a partition');
  mirror = await startMirror();
});

afterEach(async () => {
  await mirror.stop();
  await mosquitto.stop();
  await veth.stop();
});

async function startMirror(): Promise<Mirror> {
  const clock = systemClock;
  const logger = silentLogger;
  const budget = { bytes: 1e9, per: 'day' as const, resets: 0, exempt: [] };
  const policy = await LinkPolicy.load({
    name: 'central',
    rules: {
      bitsPerSecond: undefined,
      budgets: [budget],
      windows: [],
      metered: undefined,
      zone: 'UTC',
    },
    space: memorySpace(),
    clock,
    isClockSound: () => true,
    logger,
  });
  const { url } = mosquitto;
  const own = new OwnRecords(log.keyValue, log.reader);
  const who = { gateway: 'gw', incarnation: 'abc', clock, logger };
  const positions = log.positions();
  const handshakes = handshakesOf(log.keyValue, log.reader, positions);
  return new Mirror({
    ...who,
    name: 'central',
    reader: log.reader,
    positions,
    ledger: log.ledger,
    quarantine: { writer: log.writer, topic: log.topic('_quarantine') },
    decisions: log.keyValue,
    sampled: log.sampled,
    upstream: createMqttUpstream({ ...who, own, handshakes, url, wire: policy.wire }),
    topics: ['*'],
    random: systemRandom,
    policy,
    backoff: { firstMs: 20, maxMs: 200 },
  });
}

function add(value: Buffer): void {
  const headers = encodeHeaders([{ key: 'mqtt.topic', value: Buffer.from('a/b') }]);
  log.writer.append(stream, 0, null, value, headers, 'fsync', () => {});
}

const sent = (): Promise<void> =>
  until(
    () => mirror.status().state === 'live' && mirror.status().lagRecords === 0,
    30_000,
    () => JSON.stringify(mirror.status()),
  );

/** Measures what `traffic` makes of both counts. */
async function offBy(traffic: () => Promise<void>): Promise<number> {
  const before = veth.bytes();
  await mirror.start();
  await traffic();
  await sent();
  await mirror.stop();
  // The kernel's last acknowledgements.
  await new Promise((resolve) => {
    setTimeout(resolve, 100);
  });
  const link = must(mirror.status().link, 'the mirror has a policy');
  // Without root there is no interface of our own to hold it against, only its own account.
  const counted = before === undefined ? link.wireBytes : must(veth.bytes(), 'as before') - before;
  expect(counted).toBeGreaterThan(10_000);
  expect(link.budgets[0]?.usedBytes).toBe(link.wireBytes);
  return link.wireBytes / counted - 1;
}

test('a backlog', async () => {
  for (let index = 0; index < 3000; index++) add(randomBytes(1000));
  expect(Math.abs(await offBy(() => Promise.resolve()))).toBeLessThan(OFF);
});

test('a trickle of small records', async () => {
  const off = await offBy(async () => {
    for (let index = 0; index < 80; index++) {
      add(randomBytes(50));
      await sent();
    }
  });
  expect(Math.abs(off)).toBeLessThan(OFF);
});

test('one session after the other', async () => {
  const off = await offBy(async () => {
    for (let index = 0; index < 20; index++) {
      await mirror.pause();
      for (let part = 0; part < 5; part++) add(randomBytes(400));
      await mirror.resume();
      await sent();
    }
  });
  expect(Math.abs(off)).toBeLessThan(OFF);
});
