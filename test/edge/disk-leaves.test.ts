import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DiskRig } from '../support/disk/disk-rig.ts';
import { makeLeavingDisk } from '../support/disk/leaving-disk.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';
import { until } from '../support/hunt/wait.ts';

/**
 * The disk below a running agent turns read-only, then is gone, then is back. Nothing is acknowledged
 * meanwhile, nothing is made in the bare mount point, and nothing of what is stored is taken for damaged.
 */
test('a disk that turns read-only, is pulled out and comes back costs no record', async () => {
  await inWorkFolder('disk-leaves', async (work) => {
    const disk = await makeLeavingDisk(work);
    const seed = seedOfRun();
    console.log(`disk-leaves: GATELOG_SEED=${seed}`);
    const rig = await DiskRig.make({
      work,
      data: disk.data,
      env: disk.env,
      seed,
      store: ['segment: 1MiB', 'compression: none', 'reserve: 1MiB'],
      topics: ['t: { partitions: 2 }'],
      routes: ['- { match: "#", topic: t }'],
    });
    const failures = (): number => rig.events('store.write-failed').length;
    try {
      await rig.start();
      const devices = ([0, 1, 2, 1] as const).map((qos, n) => ({
        id: `d${n}`,
        topic: `d/${n}`,
        qos,
      }));
      rig.connect(devices, 4000);
      await rig.acked(1000); // Several segments.

      disk.turnReadOnly();
      const says = await rig.is(({ store }) => store.trouble !== null, 'it says what is wrong');
      expect(says.store.trouble).toMatch(/read-only file system/iu);
      const acked = rig.ledger.ackedCount;

      await disk.leave();
      const logged = (): boolean =>
        rig.lines().some((line) => String(line['error']).includes('was there and is gone'));
      await until(logged, 60_000, () => `the agent notices: ${rig.logFile}`);
      expect(rig.ledger.ackedCount).toBe(acked);
      expect(disk.left()).toEqual([]);
      expect(failures()).toBeGreaterThan(0);

      await disk.comeBack();
      await rig.acked(300);
      await rig.agent.kill();
      const found = await rig.judge();
      expect(found.problems).toEqual([]);
      expect(found.declared).toBe(0);
      const aside = join(disk.data, 'quarantine');
      expect(existsSync(aside) ? readdirSync(aside) : []).toEqual([]);
    } finally {
      await rig.end();
      await disk.remove();
    }
  });
});
