import { expect, test } from 'vitest';
import { fuzzAgent } from '../support/attack/mqtt-fuzz.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';

test('20,000 mutated packets: no crash, no hang, no memory, and an innocent client is served', async () => {
  await inWorkFolder('mqtt-fuzz', async (folder) => {
    const report = await fuzzAgent(folder, 20_261_126, 20_000);
    console.log('mqtt-fuzz:', report);
    expect(report.packets).toBeGreaterThanOrEqual(20_000);
    expect(report.hung).toBe(0);
    expect(report.service.unanswered).toBe(0);
    expect(report.peakKiBLate - report.kiBBefore).toBeLessThan(160 * 1024);
  });
});
