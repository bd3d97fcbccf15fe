import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { seededRandom, type Random } from '../../src/random.ts';
import { DiskRig, type Findings } from '../support/disk/disk-rig.ts';
import { ERRNO, FailIo, PART } from '../support/disk/fail-io.ts';
import { type DiskKind, makeSmallDisk } from '../support/disk/small-disk.ts';
import { idOf } from '../support/hunt/messages.ts';
import { pause } from '../support/hunt/wait.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';

const MIB = 1_048_576;
const DISK = 56 * MIB;
const FOR_EVER = 'retention: { time: none, bytes: none }';
const STORE = [
  'segment: 1MiB',
  'compression: none',
  'retentionSchedule: "0 0 1 1 *"',
  'reserve: 6MiB',
];
const TOPICS = [
  `keep: { partitions: 2, onFull: refuse, ${FOR_EVER} }`,
  `low: { partitions: 2, priority: 1, ${FOR_EVER} }`,
  `high: { partitions: 2, priority: 9, ${FOR_EVER} }`,
];
const ROUTES = [
  '- { match: "keep/#", topic: keep }',
  '- { match: "low/#", topic: low }',
  '- { match: "#", topic: high }',
];

interface Trouble {
  readonly name: string;
  strike(): Promise<void> | void;
  heal(): Promise<void> | void;
}

function pick<T>(random: Random, list: readonly T[]): T {
  const found = list[Math.floor(random.next() * list.length)];
  if (found === undefined) throw new Error('the list is empty');
  return found;
}

/** Random troubles, one after the other, with kills between and within them. */
async function campaign(kind: DiskKind, rounds: number, seed: number): Promise<Findings> {
  console.log(`disk-full campaign on ${kind}: GATELOG_SEED=${seed} replays it`);
  return inWorkFolder(`full-hunt-${kind}`, async (work) => {
    const random = seededRandom(seed);
    const disk = await makeSmallDisk(work, kind, DISK);
    const data = join(disk.folder, 'data');
    mkdirSync(data);
    const io = await FailIo.prepare(work, data);
    const far = await startTestBroker();
    const rig = await DiskRig.make({
      work,
      data,
      env: io.env,
      store: STORE,
      topics: TOPICS,
      routes: ROUTES,
      // What no mirror has of `keep` would fill the disk for ever, in every segment.
      mirrors: [`far: { topics: [keep], mqtt: { url: "${far.url}" } }`],
      seed,
    });
    const part = (): number => pick(random, [PART.all, PART.log, PART.state]);
    const troubles: readonly Trouble[] = [
      { name: 'full', strike: () => disk.fill(), heal: () => disk.empty() },
      {
        name: 'nearly full',
        strike: () => disk.fill(random.next() * 6 * MIB),
        heal: () => disk.empty(),
      },
      {
        name: 'EIO',
        strike: () => io.set({ error: ERRNO.EIO, writes: 1 + random.next() * 4, part: part() }),
        heal: () => io.set({ writes: 0 }),
      },
      {
        name: 'quota',
        strike: () => io.set({ error: ERRNO.EDQUOT, writes: 1 + random.next() * 8, part: part() }),
        heal: () => io.set({ writes: 0 }),
      },
      {
        name: 'syncs',
        strike: () => io.set({ syncs: 1 + random.next() * 3, part: part() }),
        heal: () => io.set({ syncs: 0 }),
      },
      {
        name: 'read-only',
        strike: () => io.set({ readonly: 1, part: PART.all }),
        heal: () => io.set({ readonly: 0 }),
      },
    ];
    try {
      await rig.start();
      const devices = ['keep/1', 'low/1', 'low/2', 'high/1', 'keep/2', 'high/2'].map(
        (topic, n) => ({
          id: `d${n}`,
          topic,
          qos: ([1, 2, 0, 1] as const)[n % 4] ?? 1,
        }),
      );
      rig.connect(devices, 6000);
      for (let round = 0; round < rounds; round++) {
        const trouble = pick(random, troubles);
        await pause(random.next() * 1500);
        await trouble.strike();
        await pause(random.next() * 2500);
        if (random.next() < 0.35) {
          await rig.agent.kill();
          io.forget();
          io.clearLog();
          if (trouble.name === 'read-only' || random.next() < 0.3) await trouble.heal();
          await rig.start();
        }
        expect(rig.agent.ended).toBe(false);
        await trouble.heal();
        await rig.is(({ store }) => store.disk.step !== 'refuse', `after ${trouble.name}`, 90_000);
        await rig.acked(20, 90_000);
      }
      await rig.quiet(60_000);
      await rig.agent.kill();
      io.forget();
      const ids = new Set(far.writer.records.map(({ value }) => idOf(value ?? Buffer.alloc(0))));
      const found = await rig.judge({ topics: ['keep'], ids });
      const { acked, inLog, declared } = found;
      console.log(`disk-full campaign on ${kind}:`, { seed, rounds, acked, inLog, declared });
      return found;
    } finally {
      await rig.end();
      await disk.remove();
    }
  });
}

afterEach(stopTestBrokers);

test.each(['tmpfs', 'ext4'] as const)('random troubles of a small disk (%s)', async (kind) => {
  const seed = seedOfRun();
  const rounds = Number(process.env['GATELOG_ROUNDS'] ?? 60);
  const found = await campaign(kind, rounds, seed);
  expect(found.problems).toEqual([]);
  const dropped = found.entries.filter(({ reason }) => reason === 'disk-full');
  expect(dropped.map(({ topic }) => topic)).not.toContain('keep');
});

/**
 * LevelDB alone, on a full tmpfs, lost 278 of 299 values of 1,500 B and 293 of 299 of 5,000 B that it
 * had confirmed after the first write that failed.
 */
describe('confirmed after the disk was full, and killed', () => {
  test.each([1500, 5000, 37_000])('values of %i bytes', async (bytes) => {
    await inWorkFolder('full-sizes', async (work) => {
      const disk = await makeSmallDisk(work, 'tmpfs', DISK);
      const data = join(disk.folder, 'data');
      mkdirSync(data);
      const rig = await DiskRig.make({
        work,
        data,
        env: disk.env,
        store: STORE,
        topics: TOPICS,
        routes: ROUTES,
        seed: seedOfRun(),
      });
      try {
        await rig.start();
        rig.connect([{ id: 'd', topic: 'keep/1', qos: 1 }], bytes);
        await rig.acked(50);
        for (let round = 0; round < 3; round++) {
          disk.fill();
          await rig.is(({ store }) => store.disk.step === 'refuse', 'it refuses');
          disk.empty();
          await rig.acked(100);
        }
        await rig.agent.kill();
        const found = await rig.judge();
        expect(found.problems).toEqual([]);
        expect([found.declared, found.acked > 300]).toEqual([0, true]);
      } finally {
        await rig.end();
        await disk.remove();
      }
    });
  });
});
