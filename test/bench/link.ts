import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import NODE_ENVIRONMENT from '../../deploy/node-env.json' with { type: 'json' };
import NODE_FLAGS from '../../deploy/node-flags.json' with { type: 'json' };
import { seededRandom } from '../../src/random.ts';
import { openCluster } from '../support/kafka/cluster.ts';
import { openKafkaLink } from '../support/kafka/link.ts';
import { RoundTrips } from '../support/kafka/round-trips.ts';
import { runChecked } from '../support/process.ts';
import { SharedLine } from '../support/shared-line.ts';

/**
 * npm run bench:link [-- SECONDS [satellite|thin|far]]: the mirror to a real Kafka through the test's own shaping proxy,
 * one link for all brokers.
 *
 * - 600 ms round trip, 2 % loss, 10 Mbit/s, a backlog: how much of the link is filled with payload
 *   of record batches once the sizes have settled (goal >= 0.80);
 * - 100 ms round trip, as fast as the machine: the drain, once a quarter of it went and sizes have settled, against the
 *   one without latency, through the same proxies, in turns (goal >= 0.70);
 * - 64 kbit/s, 600 and 100 ms round trip, a backlog: how long alarms take meanwhile (goal: within 5 s,
 *   and the time that its bytes take), by the receipt on this side, half a round trip late;
 * - and in each how long it takes until the first record leaves, in round trips.
 */
const SECONDS = Number(process.argv[2] ?? 80);
const ONLY = process.argv[3];
const RECORDS = 2_000_000;
const HERE = import.meta.dirname;

interface Told {
  readonly atMs: number;
  readonly records: number;
  readonly bytesSent: number;
}

interface Drained extends Told {
  readonly delaysMs: readonly number[];
  readonly raised: number;
  readonly ms: number;
  /** When the first records were there. */
  readonly firstMs: number;
  readonly peakKiB: number;
}

const folder = mkdtempSync(join(tmpdir(), 'gatelog-link-'));
const data = join(folder, 'data');
const cluster = await openCluster({ heapMiB: 512 });
const trips = new RoundTrips();
const link = await openKafkaLink(cluster, trips);
try {
  const fill = [join(HERE, 'drain-store.ts'), data, String(RECORDS), join(folder, 'payloads')];
  await runChecked({ command: process.execPath, args: fill }, 600_000);
  const everything = (['topic', 'group', 'transactionalId'] as const).map((resource) => ({
    resource,
    name: '*',
    operations: ['ALL' as const],
  }));
  await cluster.grant(cluster.state.users.gw.name, everything);
  if (ONLY === undefined || ONLY === 'satellite') await satellite();
  if (ONLY === undefined || ONLY === 'thin') await thin();
  if (ONLY === undefined || ONLY === 'far') await far();
} finally {
  await link.close();
  await cluster.close();
  rmSync(folder, { recursive: true, force: true });
}

async function satellite(): Promise<void> {
  const bytesPerSecond = 1_250_000;
  const { told, lines } = await shaped('satellite', {
    bytesPerSecond,
    roundTripMs: 600,
    loss: 0.02,
  });
  // While there is a backlog: in the last seconds there may be none.
  const toMs = told.findLast(({ records }) => records < RECORDS * 0.97)?.atMs ?? SECONDS * 1000;
  for (const fromMs of [0, 20_000, 40_000]) {
    const share = rateBetween(told, fromMs, toMs) / bytesPerSecond;
    console.log(
      `600 ms, 2 % loss, 10 Mbit/s: from second ${fromMs / 1000} to ${Math.round(toMs / 1000)} ${share.toFixed(2)} of the link is payload${fromMs > 0 ? ' (goal >= 0.80)' : ''}`,
    );
  }
  console.log(
    `  put on the line: ${lines.up.bytes} B; first record left after ${first()} round trips`,
  );
}

async function thin(): Promise<void> {
  const bytesPerSecond = 8000;
  for (const roundTripMs of [600, 100]) {
    const shape = { bytesPerSecond, roundTripMs };
    const { told, last } = await shaped(`thin-${roundTripMs}`, shape, { GATELOG_ALARM_MS: '3000' });
    const share = rateBetween(told, 30_000, SECONDS * 1000) / bytesPerSecond;
    const delays = last.delaysMs.toSorted((a, b) => a - b).map((ms) => (ms / 1000).toFixed(1));
    const of = (part: number): string => delays[Math.floor((delays.length - 1) * part)] ?? '-';
    console.log(
      `64 kbit/s, ${roundTripMs} ms: ${delays.length} of ${last.raised} alarms, delays in s: median ${of(0.5)}, p90 ${of(0.9)}, most ${of(1)}; from second 30 on ${share.toFixed(2)} of the link is payload; first record left after ${first()} round trips`,
    );
  }
}

async function far(): Promise<void> {
  const near: number[] = [];
  const distant: number[] = [];
  for (let round = 0; round < 3; round++) {
    for (const [latencyMs, into] of [
      [0, near],
      [50, distant],
    ] as const) {
      link.setShape({ latencyMs, queueBytes: 64 * 1_048_576 });
      // It ends when all is there; so long at most.
      const { told, last } = await drain(`far-${latencyMs}-${round}`, 120);
      const rate = last.records / (last.ms - last.firstMs);
      const settled = told.find(({ records }) => records >= last.records / 4) ?? last;
      into.push((last.records - settled.records) / (last.ms - settled.atMs));
      console.log(
        `${2 * latencyMs} ms: ${rate.toFixed(0)} k records/s from the first on, ${into.at(-1)?.toFixed(0)} from a quarter on, ${(last.records / last.ms).toFixed(0)} with connecting, RssAnon ${Math.round(last.peakKiB / 1024)} MB`,
      );
    }
  }
  link.setShape({});
  const ratio = median(distant) / median(near);
  console.log(`100 ms unlimited against loopback: ${ratio.toFixed(2)} (goal >= 0.70)`);
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

function first(): string {
  return String(trips.before('Produce') ?? 'no');
}

interface LinkOptions {
  readonly bytesPerSecond: number;
  readonly roundTripMs: number;
  readonly loss?: number;
}

async function shaped(
  name: string,
  { bytesPerSecond, roundTripMs, loss = 0 }: LinkOptions,
  env: NodeJS.ProcessEnv = {},
): Promise<{ told: Told[]; last: Drained; lines: { up: SharedLine; down: SharedLine } }> {
  const options = { bytesPerSecond, roundTripMs, loss, random: seededRandom(7) };
  const lines = { up: new SharedLine(options), down: new SharedLine(options) };
  // What a sender's window and the link's buffers hold.
  const queueBytes = Math.max((bytesPerSecond * roundTripMs * 2) / 1000, 16_384);
  link.setShape({ latencyMs: roundTripMs / 2, lines, queueBytes });
  trips.restart();
  const { told, last } = await drain(name, SECONDS, env);
  link.setShape({});
  return { told, last, lines };
}

async function drain(
  name: string,
  seconds: number,
  env: NodeJS.ProcessEnv = {},
): Promise<{ told: Told[]; last: Drained }> {
  const id = `link-${name}-${process.pid}`;
  await cluster.createTopic(id, { partitions: 8 });
  const own = join(folder, id);
  cpSync(data, own, { recursive: true });
  const { gw } = cluster.state.users;
  const brokers = cluster.bootstrap('proxied').join(',');
  const more = [gw.name, gw.password, String(seconds)];
  const agent = join(HERE, 'drain-agent.ts');
  const args = [...NODE_FLAGS, agent, own, brokers, id, id, 'zstd', ...more];
  const { stdout } = await runChecked(
    {
      command: process.execPath,
      args,
      env: { ...NODE_ENVIRONMENT, ...env },
    },
    300_000,
  );
  rmSync(own, { recursive: true });
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Told);
  return { told: lines.slice(0, -1), last: lines.at(-1) as Drained };
}

/** Bytes a second. */
function rateBetween(told: readonly Told[], fromMs: number, toMs: number): number {
  const at = (ms: number) => told.findLast(({ atMs }) => atMs <= ms) ?? { atMs: 0, bytesSent: 0 };
  const [from, to] = [at(fromMs), at(toMs)];
  return ((to.bytesSent - from.bytesSent) / (to.atMs - from.atMs)) * 1000;
}
