import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { DiskRig, type RigOptions } from '../support/disk/disk-rig.ts';
import { type DiskKind, makeSmallDisk, type SmallDisk } from '../support/disk/small-disk.ts';
import { idOf } from '../support/hunt/messages.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { freePorts } from '../support/ports.ts';

/**
 * Real agents on real small disks that run full. Nothing acknowledged is ever lost without standing
 * in the loss ledger, the agent lives throughout, and goes on by itself.
 */
const MIB = 1_048_576;
/** Its unit of room is 1 MiB: it warns at 10, drops at 5 and 3, refuses at 1. */
const DISK = 56 * MIB;
const SMALL_SEGMENTS = [
  'segment: 1MiB',
  'compression: none',
  'retentionSchedule: "0 0 1 1 *"',
  'reserve: 6MiB',
];
const FOR_EVER = 'retention: { time: none, bytes: none }';

async function onDisk(
  kind: DiskKind,
  options: Partial<RigOptions> & Pick<RigOptions, 'topics' | 'routes'>,
  task: (rig: DiskRig, disk: SmallDisk) => Promise<void>,
): Promise<void> {
  await inWorkFolder(`full-${kind}`, async (work) => {
    const disk = await makeSmallDisk(work, kind, DISK);
    const data = join(disk.folder, 'data');
    mkdirSync(data);
    const seed = seedOfRun();
    console.log(`disk-full ${kind}: GATELOG_SEED=${seed}`);
    const rig = await DiskRig.make({
      work,
      data,
      env: disk.env,
      store: SMALL_SEGMENTS,
      seed,
      ...options,
    });
    try {
      await task(rig, disk);
    } finally {
      await rig.end();
      await disk.remove();
    }
  });
}

const reserved = (rig: DiskRig): Promise<unknown> =>
  rig.is(
    ({ store: { disk } }) =>
      disk.reserveTargetBytes > 0 && disk.reserveBytes >= disk.reserveTargetBytes,
    'the reserve is whole',
  );

afterEach(stopTestBrokers);

describe.each(['tmpfs', 'ext4'] as const)('a full disk (%s)', (kind) => {
  test('refuses, loses nothing, lives, and takes messages again when there is room', async () => {
    const t = [`t: { partitions: 2, onFull: refuse, ${FOR_EVER} }`];
    const devices = ([0, 1, 2, 1, 2] as const).map((qos, index) => ({
      id: `d${index}`,
      topic: `plant/d${index}`,
      qos,
    }));
    await onDisk(kind, { topics: t, routes: ['- { match: "#", topic: t }'] }, async (rig, disk) => {
      await rig.start();
      await reserved(rig);
      rig.connect(devices, 2000);
      await rig.acked(300);
      disk.fill();
      const full = await rig.is(({ store }) => store.disk.step === 'refuse', 'it refuses');
      expect(full.store.disk.refusal).toMatch(/are kept in reserve, so nothing is stored/u);
      await rig.is(({ ingest }) => (ingest?.dropped ?? 0) > 10, 'QoS 0 messages are counted');
      const told = await rig.is(
        ({ store }) => store.losses.pressure.records > 10,
        'they are in the ledger',
      );
      expect(rig.reasons().get(0x97)).toBeGreaterThan(0);
      // Killed here: what was acknowledged after a failed write is what LevelDB would lose.
      await rig.agent.kill();
      disk.fill();
      await rig.start();
      const again = await rig.is(
        ({ store }) => store.disk.step === 'refuse',
        'it starts on the full disk',
      );
      const { records } = again.store.losses.pressure;
      expect(records, 'what was counted outlives it').toBeGreaterThanOrEqual(
        told.store.losses.pressure.records,
      );
      disk.empty();
      await rig.is(({ store }) => store.disk.step === 'ok', 'there is room again');
      await rig.acked(300);
      await rig.quiet();
      await reserved(rig);
      await rig.agent.kill();
      const found = await rig.judge();
      expect(found.problems).toEqual([]);
      expect(found.declared).toBe(0);
      const pressure = found.entries.find(({ reason }) => reason === 'pressure');
      expect(pressure).toMatchObject({ topic: 't', detail: expect.stringContaining('full') });
    });
  });
});

test('the lowest priority is given up first, in the ledger, and the higher one stays', async () => {
  const topics = [
    `low: { partitions: 1, priority: 1, ${FOR_EVER} }`,
    `high: { partitions: 1, priority: 9, ${FOR_EVER} }`,
  ];
  const routes = ['- { match: "low/#", topic: low }', '- { match: "#", topic: high }'];
  await onDisk('tmpfs', { topics, routes }, async (rig, disk) => {
    await rig.start();
    await reserved(rig);
    rig.connect([{ id: 'h', topic: 'high', qos: 1 }], 20_000);
    await rig.acked(150);
    await rig.quiet();
    const low = [1, 2].map((index) => ({
      id: `l${index}`,
      topic: `low/${index}`,
      qos: 1 as const,
    }));
    rig.connect(low, 20_000);
    await rig.acked(500);
    disk.fill(2.5 * MIB);
    const done = await rig.is(({ store }) => store.disk.segmentsDropped > 3, 'low is given up');
    await rig.acked(500);
    await rig.quiet();
    const starts = (await rig.status()).topics.map(
      ({ name, partitions }) => `${name} ${(partitions[0]?.startOffset ?? 0) > 0}`,
    );
    expect(starts).toContain('low true');
    expect(starts).toContain('high false');
    expect(done.store.disk.entered['drop-unmirrored']).toBeGreaterThan(0);
    await rig.agent.stop();
    const found = await rig.judge();
    expect(found.problems).toEqual([]);
    expect(found.declared).toBeGreaterThan(100);
    const dropped = found.entries.filter(({ reason }) => reason === 'disk-full');
    expect(new Set(dropped.map(({ topic }) => topic))).toEqual(new Set(['low']));
    expect(dropped[0]?.detail).toBe('the disk was full and no mirror has them');
  });
});

test('a topic that refuses keeps its records, others go on, and nothing is dropped in vain', async () => {
  const topics = [
    `keep: { partitions: 1, onFull: refuse, ${FOR_EVER} }`,
    `other: { partitions: 1, priority: 0, ${FOR_EVER} }`,
  ];
  const routes = ['- { match: "keep/#", topic: keep }', '- { match: "#", topic: other }'];
  await onDisk('tmpfs', { topics, routes }, async (rig, disk) => {
    await rig.start();
    await reserved(rig);
    rig.connect([{ id: 'k', topic: 'keep/1', qos: 1 }], 8000);
    rig.connect([{ id: 'o', topic: 'other/1', qos: 1 }], 2000);
    await rig.acked(600);
    disk.fill(2.5 * MIB);
    await rig.is(({ store }) => store.disk.refusedTopics.includes('keep'), 'keep is refused');
    const kept = (await rig.status()).topics.find(({ name }) => name === 'keep')?.records;
    await rig.acked(50);
    const after = await rig.status();
    expect(after.topics.find(({ name }) => name === 'keep')?.records).toBe(kept);
    // What the other writes now shares no segment with it: so that can be given up, and it goes on.
    await rig.is(({ store }) => store.disk.segmentsDropped > 0, 'the other makes its own room');
    expect((await rig.status()).store.disk.refusedTopics).toEqual(['keep']);
    disk.empty();
    await rig.is(({ store }) => store.disk.refusedTopics.length === 0, 'all go on');
    await rig.acked(100);
    await rig.quiet();
    await rig.agent.stop();
    const found = await rig.judge();
    expect(found.problems).toEqual([]);
    const dropped = found.entries.filter(({ reason }) => reason === 'disk-full');
    expect(new Set(dropped.map(({ topic }) => topic))).toEqual(new Set(['other']));
    expect(found.firstKept.get('k')).toBe(0);
  });
});

test('a mirror drains a log that refuses, and so makes room with the disk still full', async () => {
  const [port = 0] = await freePorts(1);
  const options = {
    topics: [`t: { partitions: 2, onFull: refuse, ${FOR_EVER} }`],
    routes: ['- { match: "#", topic: t }'],
    mirrors: [`far: { mqtt: { url: "mqtt://127.0.0.1:${port}" } }`],
  };
  await onDisk('ext4', options, async (rig, disk) => {
    await rig.start();
    await reserved(rig);
    const devices = [1, 2, 3].map((n) => ({ id: `d${n}`, topic: `d/${n}`, qos: 1 as const }));
    rig.connect(devices, 20_000);
    await rig.acked(700);
    disk.fill();
    await rig.is(({ store }) => store.disk.step === 'refuse', 'it refuses');
    const far = await startTestBroker({ port });
    const freed = await rig.is(
      ({ store }) => store.disk.step === 'ok' || store.disk.step === 'warn',
      'room',
    );
    expect(freed.store.disk.segmentsDropped).toBeGreaterThan(2);
    await rig.acked(200);
    await rig.quiet();
    await rig.is(({ mirrors }) => mirrors[0]?.lagRecords === 0, 'all is mirrored');
    await rig.agent.stop();
    const ids = new Set(far.writer.records.map(({ value }) => idOf(value ?? Buffer.alloc(0))));
    const found = await rig.judge({ topics: ['t'], ids });
    expect(found.problems).toEqual([]);
    expect(found.entries.filter(({ reason }) => reason === 'disk-full')).toEqual([]);
  });
});

test('the cap of the data folder takes the disk’s place', async () => {
  await inWorkFolder('capped', async (work) => {
    const cap = 24 * MIB;
    const rig = await DiskRig.make({
      work,
      data: join(work, 'data'),
      env: {},
      store: [...SMALL_SEGMENTS, 'maxBytes: 24MiB'],
      topics: [`t: { partitions: 2, ${FOR_EVER} }`],
      routes: ['- { match: "#", topic: t }'],
      seed: seedOfRun(),
    });
    try {
      await rig.start();
      await reserved(rig);
      const devices = [1, 2, 3].map((n) => ({ id: `d${n}`, topic: `d/${n}`, qos: 1 as const }));
      rig.connect(devices, 40_000);
      let largest = 0;
      const status = await rig.is(({ store: { disk } }) => {
        largest = Math.max(largest, disk.folderBytes ?? 0);
        return disk.segmentsDropped > 15;
      }, 'segments are given up');
      expect(status.store.disk).toMatchObject({ maxBytes: cap, reserveTargetBytes: 3 * MIB });
      // On a slow machine a segment may be begun before the one that makes room for it is gone.
      expect(largest).toBeLessThan(cap + MIB);
      await rig.quiet();
      await rig.agent.stop();
      const found = await rig.judge();
      expect(found.problems).toEqual([]);
      expect(found.entries[0]?.detail).toBe('store.maxBytes was reached and no mirror has them');
    } finally {
      await rig.end();
    }
  });
});
