import { expect, test } from 'vitest';
import { attackAgent } from '../support/attack/attack-run.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';

test('attacks in small: bounded memory, and an innocent client is served', async () => {
  await inWorkFolder('mqtt-attacks', async (folder) => {
    const report = await attackAgent(folder, {
      halfOpen: 1000,
      slow: 100,
      slowSeconds: 1,
      churns: 500,
      churnsPerSecond: 500,
      filters: 11_000,
      retained: 1200,
      takeovers: 200,
    });
    console.log('mqtt-attacks:', report);
    expect(report).toMatchObject({ halfOpen: 1000, filtersGranted: 10_000 });
    expect(report.service.unanswered).toBe(0);
    const most = Math.max(...Object.values(report.peakKiB));
    expect(most - report.kiBBefore).toBeLessThan(160 * 1024);
  });
});
