import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DiskRig } from '../support/disk/disk-rig.ts';
import { ERRNO, FailIo, PART } from '../support/disk/fail-io.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';

/** Real agents whose writes and syncs fail: what was acknowledged is there after the worst of it. */
async function failing(task: (rig: DiskRig, io: FailIo) => Promise<void>): Promise<void> {
  await inWorkFolder('failed-io', async (work) => {
    const data = join(work, 'data');
    mkdirSync(data);
    const io = await FailIo.prepare(work, data);
    const seed = seedOfRun();
    console.log(`failed-io: GATELOG_SEED=${seed}`);
    const rig = await DiskRig.make({
      work,
      data,
      env: io.env,
      seed,
      store: ['segment: 1MiB', 'reserve: 0'],
      topics: ['t: { partitions: 2 }'],
      routes: ['- { match: "#", topic: t }'],
    });
    try {
      await rig.start();
      const devices = ([0, 1, 2, 1] as const).map((qos, n) => ({
        id: `d${n}`,
        topic: `d/${n}`,
        qos,
      }));
      rig.connect(devices, 1500);
      await rig.acked(100);
      await task(rig, io);
      await rig.acked(100);
      await rig.agent.kill();
      io.forget();
      const found = await rig.judge();
      expect(found.problems).toEqual([]);
      expect(found.declared).toBe(0);
    } finally {
      await rig.end();
    }
  });
}

const FAULTS = [
  ['EIO once', { error: ERRNO.EIO, writes: 1, part: PART.log }],
  ['EIO twice in a row', { error: ERRNO.EIO, writes: 2, part: PART.log }],
  ['a quota (EDQUOT)', { error: ERRNO.EDQUOT, writes: 2, part: PART.log }],
  ['a failed fdatasync', { syncs: 1, part: PART.log }],
  ['two failed fdatasyncs', { syncs: 2, part: PART.log }],
] as const;

describe('what was acknowledged survives, and the log goes on by itself, after', () => {
  test('EIO, quotas and failed syncs of the log, one after the other', async () => {
    await failing(async (rig, io) => {
      let failed = 0;
      for (const [name, fault] of FAULTS) {
        io.set(fault);
        await rig.is(() => io.get('writes') === 0 && io.get('syncs') === 0, `${name} has struck`);
        await rig.acked(60);
        failed += 'syncs' in fault ? fault.syncs : fault.writes;
      }
      expect(io.get('failedWrites') + io.get('failedSyncs')).toBe(failed);
      expect(rig.events('agent.crash')).toEqual([]);
    });
  });

  test('a failed sync whose pages are then forgotten, and a kill at once', async () => {
    await failing(async (rig, io) => {
      for (let round = 0; round < 3; round++) {
        io.set({ syncs: 1, part: PART.log });
        await rig.is(() => io.get('syncs') === 0, 'the sync has failed');
        await rig.acked(20);
        await rig.agent.kill();
        io.forget();
        io.clearLog();
        await rig.start();
      }
      expect(io.get('failedSyncs')).toBe(3);
    });
  });

  test('failing writes and syncs of the state database: counts of QoS 0 messages still arrive', async () => {
    await failing(async (rig, io) => {
      // QoS 0 messages are dropped, so that the ledger has something to write.
      io.set({ error: ERRNO.EIO, writes: 1e12, part: PART.log });
      await rig.is(({ ingest }) => (ingest?.dropped ?? 0) > 5, 'messages are dropped');
      io.set({ writes: 0 });
      io.set({ error: ERRNO.EIO, writes: 1, syncs: 1, part: PART.state });
      await rig.is(() => io.get('writes') + io.get('syncs') === 0, 'the state has failed');
      const { ingest, store } = await rig.is(
        ({ ingest: now, store: { losses } }) => losses.pressure.records === now?.dropped,
        'the ledger has all',
      );
      expect(store.losses.pressure.records).toBe(ingest?.dropped);
      expect(rig.events('state.mended').length).toBeGreaterThan(0);
    });
  });

  test('a file system that turns read-only, and back', async () => {
    await failing(async (rig, io) => {
      io.set({ readonly: 1, part: PART.all });
      await rig.is(({ ingest }) => (ingest?.dropped ?? 0) > 5, 'nothing is stored');
      const acked = rig.ledger.ackedCount;
      await rig.is(({ ingest }) => (ingest?.failed ?? 0) > 20, 'connections end');
      expect(rig.ledger.ackedCount).toBe(acked);
      io.set({ readonly: 0 });
      await rig.acked(50);
      await rig.is(
        ({ ingest, store: { losses } }) => losses.pressure.records === ingest?.dropped,
        'what was dropped is in the ledger',
      );
    });
  });
});
