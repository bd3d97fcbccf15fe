import { expect, test } from 'vitest';
import { attackAgent } from '../support/attack/attack-run.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';

test('attacks: bounded memory, and an innocent client is served', async () => {
  await inWorkFolder('mqtt-attacks', async (folder) => {
    const report = await attackAgent(folder, {
      halfOpen: 10_000,
      slow: 2000,
      slowSeconds: 15,
      churns: 10_000,
      churnsPerSecond: 500,
      filters: 100_000,
      retained: 4000,
      takeovers: 4000,
    });
    console.log('mqtt-attacks:', report);
    // Who has not said CONNECT within 10 s goes; a PUBLISH may take its time.
    expect(report).toMatchObject({ halfOpen: 10_000, slowEnded: 1000, filtersGranted: 10_000 });
    expect(report.service.unanswered).toBe(0);
    const most = Math.max(...Object.values(report.peakKiB));
    expect(most - report.kiBBefore).toBeLessThan(320 * 1024);
  });
});
