/**
 * npm run bench:wear [-- BUDGET [SECONDS]]: what is written to a card at 1, 10, 100, 1,000 and
 * 10,000 messages a second with default settings, and with a wear budget (5GB a day), side by side.
 *
 * The store is real, and so are the bytes: of the block device where we may make one. Only the time
 * of a day is worked out: up to 100 messages a second each is a commit of its own (a commit takes
 * about a millisecond), so commits are made one after the other without the pauses; above that
 * messages come in real time, and gather while the disk works. Under the budget the wait is what
 * src/agent/wear-budget.ts says, fed with the bytes of this device, in the time that the messages
 * would take; it is measured once the wait has come to rest.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { WearBudget } from '../../src/agent/wear-budget.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store } from '../../src/store/log.ts';
import { formatDiskSize, parseSize } from '../../src/units.ts';
import { defineTopics, open, samples, say, streamOf } from './store-data.ts';
import { makePlace, type WearPlace } from './wear-place.ts';

const BUDGET = parseSize(process.argv[2] ?? '5GB') ?? 5e9;
const SECONDS = Number(process.argv[3] ?? 20);
const RATES = [1, 10, 100, 1000, 10_000];
/** From here on messages gather while a commit is written. */
const PACED_FROM = 1000;
const DAY_MS = 86_400_000;
const MAX_LINGER_MS = 1000;
const NONE = new Uint8Array(0);
const pool = samples();

interface Run {
  readonly perCommit: number;
  readonly lingerMs: number;
  /** At this rate all day. */
  readonly devicePerDay: number | undefined;
  readonly processPerDay: number;
  readonly payloadPerDay: number;
}

class Load {
  readonly store: Store;
  readonly #streams: readonly StreamId[];
  #sent = 0;

  constructor(store: Store) {
    this.store = store;
    const topics = defineTopics(store);
    this.#streams = pool.map((sample) => streamOf(topics, sample));
  }

  /** Resolves when all are durable. */
  append(count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let answers = 0;
      for (let index = 0; index < count; index++) {
        const at = this.#sent++ % pool.length;
        const sample = pool[at];
        const stream = this.#streams[at];
        if (sample === undefined || stream === undefined) continue;
        const time = 1_700_000_000_000 + this.#sent;
        this.store.writer.append(stream, time, sample.key, sample.value, NONE, 'fsync', (error) => {
          if (error !== null) reject(error);
          if (++answers === count) resolve();
        });
      }
    });
  }
}

/** What `work` wrote, which gives the time that it would take in reality and the wait in it. */
async function counted(
  place: WearPlace,
  { store }: Load,
  work: () => Promise<{ readonly ms: number; readonly lingerMs: number }>,
): Promise<Run> {
  const [written, counters] = [await place.written(), store.counters()];
  const { ms, lingerMs } = await work();
  const [now, after] = [await place.written(), store.counters()];
  const perDay = (amount: number): number => (amount * DAY_MS) / ms;
  const { diskBytes } = now;
  return {
    perCommit:
      (after.recordsAppended - counters.recordsAppended) / (after.commits - counters.commits),
    lingerMs,
    devicePerDay:
      diskBytes === undefined ? undefined : perDay(diskBytes - (written.diskBytes ?? 0)),
    processPerDay: perDay((now.processBytes ?? 0) - (written.processBytes ?? 0)),
    payloadPerDay: perDay(after.bytesAppended - counters.bytesAppended),
  };
}

/** One after the other for as long as we have. */
async function oneByOne(load: Load, rate: number): Promise<{ ms: number; lingerMs: number }> {
  const until = performance.now() + SECONDS * 1000;
  let count = 0;
  for (; performance.now() < until; count++) await load.append(1);
  return { ms: (count / rate) * 1000, lingerMs: 0 };
}

/** In real time: what is due at each turn of a timer comes at once, as from sockets. */
async function paced(load: Load, rate: number): Promise<{ ms: number; lingerMs: number }> {
  const from = performance.now();
  const answers: Promise<void>[] = [];
  let sent = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const ms = performance.now() - from;
      const due = Math.floor((Math.min(ms, SECONDS * 1000) * rate) / 1000) - sent;
      sent += due;
      // Each on its own: a burst of one socket is one commit anyway.
      for (let index = 0; index < due; index++) answers.push(load.append(1));
      if (ms < SECONDS * 1000) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  await Promise.all(answers);
  return { ms: (sent / rate) * 1000, lingerMs: 0 };
}

/** Commits of what arrives in the wait, the budget being fed; to rest, and then measured. */
async function underBudget(place: WearPlace, load: Load, rate: number): Promise<Run> {
  const budget = new WearBudget({
    budgetBytesPerDay: BUDGET,
    lingerMs: 0,
    maxLingerMs: MAX_LINGER_MS,
  });
  budget.restore(0.4);
  let last = await bytesOf(place);
  let behindMs = 0;
  let part = 0;
  const commit = async (): Promise<number> => {
    // The first one begins the wait, and shares the commit with what comes during it.
    part += 1 + (rate * Math.max(1, budget.lingerMs())) / 1000;
    const count = Math.floor(part);
    part -= count;
    await load.append(count);
    return (count / rate) * 1000;
  };
  const feed = async (): Promise<void> => {
    const now = await bytesOf(place);
    budget.spend(behindMs, now - last);
    last = now;
    behindMs = 0;
  };
  const until = performance.now() + SECONDS * 1000;
  for (let at = 1; performance.now() < until; at++) {
    behindMs += await commit();
    if (at % 50 === 0) await feed();
    if (at % 500 === 0 && budget.level >= 1) break;
  }
  const lingers: number[] = [];
  const run = await counted(place, load, async () => {
    const end = performance.now() + SECONDS * 1000;
    let ms = 0;
    for (let at = 1; performance.now() < end; at++) {
      const took = await commit();
      ms += took;
      behindMs += took;
      if (at % 50 === 0) await feed();
      lingers.push(budget.lingerMs());
    }
    return { ms, lingerMs: 0 };
  });
  return { ...run, lingerMs: lingers.reduce((sum, one) => sum + one, 0) / lingers.length };
}

async function bytesOf(place: WearPlace): Promise<number> {
  const { diskBytes, processBytes = 0 } = await place.counts();
  return diskBytes ?? processBytes;
}

async function withStore<T>(
  place: WearPlace,
  name: string,
  work: (load: Load) => Promise<T>,
): Promise<T> {
  const folder = join(place.folder, name);
  mkdirSync(folder);
  const store = await open(folder);
  const load = new Load(store);
  await load.append(1);
  await load.append(1);
  const result = await work(load);
  await store.close();
  return result;
}

function describe(run: Run): string {
  const { devicePerDay, processPerDay, payloadPerDay, perCommit, lingerMs } = run;
  const times = (amount: number): string => `${(amount / payloadPerDay).toFixed(2)} x`;
  const device =
    devicePerDay === undefined
      ? 'device unknown'
      : `${formatDiskSize(devicePerDay)} (${times(devicePerDay)})`;
  return (
    `${device}, process ${formatDiskSize(processPerDay)} (${times(processPerDay)}), ` +
    `${perCommit.toFixed(1)} a commit, wait ${lingerMs.toFixed(0)} ms`
  );
}

const place = await makePlace(process.argv.slice(4));
try {
  say(`${place.what}; budget ${formatDiskSize(BUDGET)} a day; x = times the payload`);
  for (const rate of RATES) {
    const free = await withStore(place, `free-${rate}`, (load) =>
      counted(place, load, () => (rate < PACED_FROM ? oneByOne(load, rate) : paced(load, rate))),
    );
    const held = await withStore(place, `held-${rate}`, (load) => underBudget(place, load, rate));
    const [before, after] = [
      free.devicePerDay ?? free.processPerDay,
      held.devicePerDay ?? held.processPerDay,
    ];
    say(`${rate} msg/s, payload ${formatDiskSize(free.payloadPerDay)} a day`);
    say(`  default: ${describe(free)}`);
    say(`  budget:  ${describe(held)}; ${(before / after).toFixed(1)} times less`);
  }
} finally {
  place.remove();
}
