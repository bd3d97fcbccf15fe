import { expect, test } from 'vitest';
import { fuzzAgent } from '../support/attack/mqtt-fuzz.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';

const PACKETS = Number(process.env['GATELOG_PACKETS'] ?? 1_000_000);

test('1,000,000 mutated packets: no crash, no hang, no memory, and an innocent client is served', async () => {
  const seed = seedOfRun();
  console.log(`mqtt-fuzz: GATELOG_SEED=${seed} replays this run`);
  await inWorkFolder('mqtt-fuzz', async (folder) => {
    const report = await fuzzAgent(folder, seed, PACKETS);
    console.log('mqtt-fuzz:', report);
    expect(report.packets).toBeGreaterThanOrEqual(PACKETS);
    expect(report.hung).toBe(0);
    expect(report.service.unanswered).toBe(0);
    expect(report.peakKiBLate - report.peakKiBEarly).toBeLessThan(96 * 1024);
  });
});
