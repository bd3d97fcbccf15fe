/**
 * What the check of the stored log costs: node test/bench/store-scrub.ts [MB of payload] [records a commit]
 * Flat out: rate and processor time. Paced at the default rate: processor share of one core, alone,
 * and durable appends a second with and without it beside them, in turns.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LIMITS } from '../../src/limits.ts';
import type { Store } from '../../src/store/log.ts';
import { systemClock } from '../../src/time.ts';
import { defineTopics, open, rssAnonMiB, samples, say, streamOf } from './store-data.ts';

const MEGABYTES = Number(process.argv[2] ?? 200);
const PER_COMMIT = Number(process.argv[3] ?? 1000);
const TURN_MS = 4000;
const TURNS = 3;
const IN_FLIGHT = 200;
const folder = await mkdtemp(join(process.env['BENCH_DIR'] ?? '/var/tmp', 'gatelog-bench-'));
const none = new Uint8Array(0);
const pool = samples();

/** Appends `count` records, or until `untilMs`; resolves with how many. */
function load(store: Store, inFlight: number, count: number, untilMs: number): Promise<number> {
  const topics = defineTopics(store);
  const streams = pool.map((sample) => streamOf(topics, sample));
  return new Promise((resolve, reject) => {
    let sent = 0;
    let answered = 0;
    const more = (): boolean => sent < count && systemClock.monotonicMs() < untilMs;
    const next = (): void => {
      const at = sent++ % pool.length;
      const sample = pool[at];
      const stream = streams[at];
      if (sample === undefined || stream === undefined) return;
      store.writer.append(stream, sent, sample.key, sample.value, none, 'fsync', (error) => {
        if (error !== null) reject(error);
        answered++;
        if (more()) next();
        else if (answered === sent) resolve(answered);
      });
    };
    for (let index = 0; index < inFlight && more(); index++) next();
  });
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const scrubbing = { scrubSchedule: '0 0 1 1 *' };
{
  const store = await open(folder);
  await load(store, PER_COMMIT, (MEGABYTES * 1e6) / 122, Infinity);
  await store.close();
}
{
  const store = await open(folder);
  for (let round = 0; round < 2; round++) {
    const [cpu, begun, before] = [cpuMs(), performance.now(), store.counters().scrub.bytesChecked];
    await store.scrub();
    const seconds = (performance.now() - begun) / 1000;
    const megabytes = (store.counters().scrub.bytesChecked - before) / 1e6;
    say(
      `flat out: ${megabytes.toFixed(0)} MB stored at ${(megabytes / seconds).toFixed(0)} MB/s, ` +
        `${((cpuMs() - cpu) / megabytes).toFixed(1)} ms of CPU a MB, RssAnon ${rssAnonMiB().toFixed(0)} MiB`,
    );
  }
  await store.close();
}
for (let turn = 0; turn < TURNS; turn++) {
  for (const paced of [false, true]) {
    // A place in its notes makes a start begin the pass; the wait before it is not measured.
    const store = await open(folder, paced ? scrubbing : {});
    if (paced) {
      await store.keyValue('scrub').put('place', Buffer.from([0x93, 1, 0, 0]));
    }
    await store.close();
    const measured = await open(folder, paced ? scrubbing : {});
    if (paced) {
      while (measured.counters().scrub.state !== 'running') {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const [cpu, bytes] = [cpuMs(), measured.counters().scrub.bytesChecked];
      await new Promise((resolve) => setTimeout(resolve, TURN_MS));
      const read = (measured.counters().scrub.bytesChecked - bytes) / TURN_MS / 1000;
      say(
        `paced, alone: ${read.toFixed(1)} MB/s, ${(((cpuMs() - cpu) / TURN_MS) * 100).toFixed(1)} % of one core`,
      );
    }
    const begun = performance.now();
    const appended = await load(measured, IN_FLIGHT, Infinity, begun + TURN_MS);
    const rate = appended / ((performance.now() - begun) / 1000);
    say(`appends ${paced ? 'beside it' : 'alone'}: ${Math.round(rate)} records/s`);
    await measured.close();
  }
}
say(`(rate ${LIMITS.scrubBytesPerSecond} B/s)`);
await rm(folder, { recursive: true });
